package policies

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/internal/keys"
	"github.com/writ-run/writ/policies/internal/strict"
	"github.com/writ-run/writ/policies/label"
)

// What is here is what rules ask for besides a permit: none of it makes a decision wider.

// A Mode says how a payload is kept. The order of the constants is by strictness.
type Mode string

// The modes. The empty mode stands for Sealed.
const (
	Public     Mode = "public"      // the leaf is the plaintext
	Sealed     Mode = "sealed"      // the leaf is encrypted; the runtime keeps its key
	CommitOnly Mode = "commit-only" // the leaf is not stored; the record commits to it
	Ephemeral  Mode = "ephemeral"   // the key ends with the run
)

// stricter returns the stricter of two modes. The empty one asks for nothing.
func (m Mode) stricter(n Mode) Mode {
	if slices.Index(keys.Modes, string(n)) > slices.Index(keys.Modes, string(m)) {
		return n
	}
	return m
}

// A Limit bounds what is permitted. Zero is no bound.
type Limit struct {
	Tokens int64 // model.route: of the reply
	Calls  int64 // model.response: tool calls of one reply; those beyond are refused
	Bytes  int64 // tool.result, retrieval, output: of the text; what is beyond is cut off
}

func (l Limit) tighter(m Limit) Limit {
	least := func(a, b int64) int64 {
		if a == 0 || b != 0 && b < a {
			return b
		}
		return a
	}
	return Limit{least(l.Tokens, m.Tokens), least(l.Calls, m.Calls), least(l.Bytes, m.Bytes)}
}

// An obligation is what one rule asks for when it matches.
type obligation struct {
	redact   *Redaction
	use      []string // route
	priority int64
	limit    Limit
	label    label.Label
	mode     Mode
}

// String says all of it, so that two sets can be compared.
func (o *obligation) String() string {
	s := fmt.Sprint(o.use, o.priority, o.limit, o.label, o.mode)
	if o.redact != nil {
		s += fmt.Sprintf(" %q %q", o.redact.fields, o.redact.patterns)
	}
	return s
}

func (o *obligation) addTo(d *Decision) {
	if o.redact != nil {
		d.Redact = append(d.Redact, o.redact)
	}
	d.Limit = d.Limit.tighter(o.limit)
	d.Label = d.Label.Join(o.label)
	d.Mode = d.Mode.stricter(o.mode)
}

// routesTo says whether the route rule x, which matches, lets the request's model answer. A rule of a higher priority
// that matches too stands before it. One that cannot be evaluated lets nothing through.
func (s *Set) routesTo(x *Rule, r *Request, f *frame) bool {
	for _, y := range s.points[ModelRoute] {
		if y.Effect == "route" && y.more.priority > x.more.priority {
			if holds, err := y.matches(f); err != nil {
				return false
			} else if holds {
				return true // y is asked itself
			}
		}
	}
	return slices.Contains(x.more.use, r.Model)
}

// A Redaction cuts out what must not go on: the values of fields of a JSON text, and what patterns match.
type Redaction struct {
	fields   []string
	patterns []*regexp.Regexp
}

// Redacted stands where something was cut out.
const Redacted = "[redacted]"

// Apply returns text without what the redactions cut out. In a JSON text they reach into every string and key, and the
// text stays JSON; any other text is taken as it is. The time is linear in the text.
func Apply(text []byte, rs []*Redaction) []byte {
	if len(rs) == 0 {
		return text
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || dec.More() {
		return []byte(cutPatterns(string(text), rs))
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(redactValue(v, rs)); err != nil { // what was decoded encodes
		return []byte(strconv.Quote(Redacted))
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

func redactValue(v any, rs []*Redaction) any {
	switch v := v.(type) {
	case string:
		return cutPatterns(v, rs)
	case json.Number:
		if s := cutPatterns(v.String(), rs); s != v.String() {
			return s
		}
	case []any:
		for i := range v {
			v[i] = redactValue(v[i], rs)
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			if slices.ContainsFunc(rs, func(r *Redaction) bool { return slices.Contains(r.fields, k) }) {
				out[k] = Redacted
				continue
			}
			out[cutPatterns(k, rs)] = redactValue(x, rs)
		}
		return out
	}
	return v
}

func cutPatterns(s string, rs []*Redaction) string {
	for _, r := range rs {
		for _, p := range r.patterns {
			s = p.ReplaceAllLiteralString(s, Redacted)
		}
	}
	return s
}

// Cut returns at most n bytes of text, in whole characters, and whether something is missing. n 0 is no bound.
func Cut(text []byte, n int64) ([]byte, bool) {
	if n <= 0 || int64(len(text)) <= n {
		return text, false
	}
	text = text[:n]
	for len(text) > 0 && !utf8.Valid(text[max(0, len(text)-utf8.UTFMax):]) && !utf8.Valid(text) {
		text = text[:len(text)-1]
	}
	return text, true
}

// Bounds of one redaction.
const (
	maxFields   = 32
	maxPatterns = 16
	maxPattern  = 200  // bytes
	maxProgram  = 1000 // instructions of a compiled pattern
)

// Where each effect can stand.
var (
	effectPoints = map[string][]Point{
		"approve": {ToolCall, Spend},
		"redact":  {Input, ToolResult, Retrieval, Output},
		"route":   {ModelRoute},
		"limit":   {ModelRoute, ModelResponse, ToolResult, Retrieval, Output},
		"label":   {Input, ModelResponse, ToolResult, Retrieval},
	}
	limitPoints = map[string][]Point{
		"tokens": {ModelRoute}, "calls": {ModelResponse}, "bytes": {ToolResult, Retrieval, Output},
	}
)

// readObligation reads the block that belongs to the rule's effect, and refuses those that do not.
func (l *loader) readObligation(item *yaml.Node, m map[string]*yaml.Node, r *Rule) {
	if at := effectPoints[r.Effect]; at != nil && !slices.Contains(at, r.At) {
		why := ""
		switch {
		case r.Effect == "approve":
			why = "; the wallet approves calls"
		case r.Effect == "redact" && r.At == ProvenancePublish:
			why = "; what happened is recorded as it was: keep it back with a permit of mode commit-only"
		}
		l.Report(cmp.Or(m["effect"], item), "the effect %s stands at %s, not at %s%s", r.Effect, pointList(at), r.At, why)
	}
	for _, key := range []string{"redact", "route", "limit", "label"} {
		switch {
		case m[key] != nil && r.Effect != key:
			l.Report(m[key], "%s: belongs to a rule with effect: %s", key, key)
		case m[key] == nil && r.Effect == key:
			l.Report(item, "%s: is missing; it says what the rule does", key)
		}
	}
	if v := m["mode"]; v != nil {
		s, _ := l.Scalar(v, "mode")
		switch {
		case r.Effect != "permit" || r.At != ProvenancePublish:
			l.Report(v, "a mode belongs to a permit at %s", ProvenancePublish)
		case !slices.Contains(keys.Modes, s):
			l.ReportHint(v, wording.Nearest(s, keys.Modes), "mode must be public, sealed, commit-only or ephemeral")
		default:
			r.more = &obligation{mode: Mode(s)}
		}
	}
	if block := m[r.Effect]; block != nil {
		l.readEffect(block, r)
	}
}

// readEffect reads the block of an effect that has one.
func (l *loader) readEffect(block *yaml.Node, r *Rule) {
	o := &obligation{}
	switch r.Effect {
	case "redact":
		o.redact = l.readRedact(block)
	case "route":
		b := l.Mapping(block, "route", keys.Route)
		l.List(cmp.Or(b["use"], block), "use", func(n *yaml.Node) {
			if s, ok := l.Scalar(n, "a model"); ok {
				o.use = append(o.use, s)
			}
		})
		o.priority = l.Whole(b["priority"], 0, 1000)
		if len(o.use) == 0 {
			l.Report(block, "use: names no model")
		}
	case "limit":
		b := l.Mapping(block, "limit", keys.Limit)
		if len(b) == 0 {
			l.Report(block, "limit: bounds nothing; say tokens, calls or bytes")
		}
		for _, key := range slices.Sorted(maps.Keys(b)) {
			if !slices.Contains(limitPoints[key], r.At) {
				l.Report(b[key], "%s are bounded at %s, not at %s", key, pointList(limitPoints[key]), r.At)
			}
		}
		o.limit.Tokens = l.Whole(b["tokens"], 1, 1<<40)
		o.limit.Calls = l.Whole(b["calls"], 1, 1<<20)
		o.limit.Bytes = l.Whole(b["bytes"], 1, 1<<30)
	case "label":
		b := l.Mapping(block, "label", keys.Label)
		if len(b) == 0 {
			l.Report(block, "label: says nothing; say integrity or secrecy")
		}
		o.label = ReadLevels(&l.Reader, b)
	default:
		return
	}
	r.more = o
}

// ReadLevels reads the levels of a label out of the mapping b.
func ReadLevels(l *strict.Reader, b map[string]*yaml.Node) (out label.Label) {
	var err error
	if v := b["integrity"]; v != nil {
		s, _ := l.Scalar(v, "integrity")
		if out.Integrity, err = label.ParseIntegrity(s); err != nil {
			l.Report(v, "%v", err)
		}
	}
	if v := b["secrecy"]; v != nil {
		s, _ := l.Scalar(v, "secrecy")
		if out.Secrecy, err = label.ParseSecrecy(s); err != nil {
			l.Report(v, "%v", err)
		}
	}
	return out
}

func pointList(ps []Point) string {
	names := make([]string, len(ps))
	for i, p := range ps {
		names[i] = string(p)
	}
	return strings.Join(names, ", ")
}

func (l *loader) readRedact(n *yaml.Node) *Redaction {
	m := l.Mapping(n, "redact", keys.Redact)
	r := &Redaction{}
	l.List(m["fields"], "fields", func(x *yaml.Node) {
		s, ok := l.Scalar(x, "a field")
		if ok && (s == "" || !isPlainASCII(s)) {
			l.Report(x, "a field is the name of a JSON key, in printable ASCII")
		}
		r.fields = append(r.fields, s)
	})
	l.List(m["patterns"], "patterns", func(x *yaml.Node) {
		s, ok := l.Scalar(x, "a pattern")
		if !ok {
			return
		}
		p, err := compilePattern(s)
		if err != nil {
			l.Report(x, "%v", err)
			return
		}
		r.patterns = append(r.patterns, p)
	})
	switch {
	case len(r.fields)+len(r.patterns) == 0:
		l.Report(n, "redact: cuts nothing out; name fields or patterns")
	case len(r.fields) > maxFields || len(r.patterns) > maxPatterns:
		l.Report(n, "redact: has more than %d fields or %d patterns", maxFields, maxPatterns)
	}
	return r
}

// compilePattern reads an RE2 pattern. Its matching is linear in the text, and its program is bounded here, so that
// the factor is too.
func compilePattern(s string) (*regexp.Regexp, error) {
	if s == "" || len(s) > maxPattern {
		return nil, fmt.Errorf("a pattern has 1 to %d bytes", maxPattern)
	}
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("the pattern cannot be read: %w", err)
	}
	if patternSize(tree) > maxProgram {
		return nil, fmt.Errorf("the pattern repeats too much; its parts must be at most %d", maxProgram)
	}
	p, err := regexp.Compile(s)
	if err != nil {
		return nil, fmt.Errorf("the pattern cannot be read: %w", err)
	}
	if p.MatchString("") {
		return nil, fmt.Errorf("the pattern matches the empty text, so it is everywhere")
	}
	return p, nil
}

// patternSize is an upper bound of the parts that a pattern has once its repetitions are written out.
func patternSize(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += patternSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, 1<<20)
}

// refuseTie reports a route rule that can match together with an earlier one of the same priority and leads elsewhere.
func (l *loader) refuseTie(item *yaml.Node, r *Rule) {
	if r.Effect != "route" {
		return
	}
	for _, x := range l.set.rules {
		if x.Effect != "route" || x.more.priority != r.more.priority || slices.Equal(x.more.use, r.more.use) {
			continue
		}
		both, conds := false, []*expression{x.Condition(), r.Condition()}
		known := cond.NewSpace(conds).Each(cond.MaxLoad, func(g region) bool {
			both = g.Says(conds[0]) == cond.Yes && g.Says(conds[1]) == cond.Yes
			return !both
		})
		if both || !known {
			l.Report(item, "it can match together with %s, of the same priority, and leads elsewhere; "+
				"give one a higher priority", x.ID)
		}
	}
}
