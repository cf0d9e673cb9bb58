package tools

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
)

// Bounds of a Spec.
const (
	maxSchema     = 64 << 10 // bytes
	maxParams     = 64
	maxAbout      = 1024 // bytes of About, and of a property's description
	maxUtterances = 64
	maxUtterance  = 256 // bytes
)

// A Def is a compiled [Spec]. It is immutable and may be used by many goroutines at once.
type Def struct {
	spec   Spec
	params []Param
	props  []prop // by name, as params
	spend  [3]int // indexes of the Spend's amount, asset and to; only if spec.Spend is set
	url    int    // index of the property of format url, or -1
}

// A prop is one property of the schema.
type prop struct {
	name     string
	typ      string // string, integer, boolean
	format   string // "", address, token, amount, hash, block, url
	asset    int    // format amount: index of the token property
	required bool
	enum     []string
	min, max int64 // of an integer, or of a text's length in characters
}

// formats lists the formats of a string property with the kind that policies see.
var formats = map[string]Kind{
	"": KindString, "address": KindAddress, "token": KindString, "amount": KindAmount, "hash": KindString, "block": KindString, "url": KindString,
}

// Compile checks a Spec and makes it ready for [Def.Read]. Everything that the comment of [Spec] says is enforced: a
// keyword of JSON Schema outside the subset is an error, not ignored. The Def's Spec holds the schema in its
// canonical spelling and its own copy of the Book, so what was compiled cannot change.
func Compile(s Spec) (*Def, error) {
	d, err := compile(s)
	if err != nil {
		return nil, fmt.Errorf("tool %q: %w", clip(s.Name), err)
	}
	return d, nil
}

func compile(s Spec) (*Def, error) {
	if !validToolName(s.Name) {
		return nil, errors.New("the name must be parts of lower-case letters, digits and '_' joined by '.', each " +
			"beginning with a letter, at most 64 bytes in all")
	}
	switch s.Class {
	case Read, Keyed, ChainTx, Once:
	case "":
		return nil, errors.New("a class is missing: say read, keyed, chain or once")
	default:
		return nil, fmt.Errorf("class %q is unknown: say read, keyed, chain or once", s.Class)
	}
	if s.About == "" || len(s.About) > maxAbout {
		return nil, fmt.Errorf("about must say in 1 to %d bytes what the tool does", maxAbout)
	}
	schema, err := parseJSON(s.Schema, maxSchema)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	d := &Def{spec: s}
	if err := d.readSchema(&schema); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	d.spec.Schema = schema.append(nil)
	if s.Book != nil {
		if err := s.Book.Check(); err != nil {
			return nil, err
		}
		d.spec.Book = s.Book.clone()
	}
	d.url = -1
	for i, p := range d.props {
		if p.format == "url" {
			if d.url >= 0 {
				return nil, errors.New("two properties have the format url; a call reaches one host")
			}
			d.url = i
		}
		if s.Book == nil && (p.format == "address" || p.format == "token") {
			return nil, fmt.Errorf("property %q has format %s, so a Book is required", p.name, p.format)
		}
		d.params = append(d.params, Param{Name: p.name, Kind: p.kind(), Required: p.required})
	}
	if err := d.readSpend(s.Spend); err != nil {
		return nil, err
	}
	if err := d.checkUtterances(s.Utterances); err != nil {
		return nil, err
	}
	d.spec.Utterances = slices.Clone(s.Utterances)
	if s.Output != nil {
		out := *s.Output
		d.spec.Output = &out
		if out.Integrity > label.Untrusted || out.Secrecy > label.Secret {
			return nil, errors.New("the label of its output is unknown")
		}
	}
	if s.Clearance > label.Secret {
		return nil, errors.New("its clearance is unknown")
	}
	return d, nil
}

// Spec returns what was compiled, with the schema in canonical spelling. Its parts must not be changed.
func (d *Def) Spec() Spec { return d.spec }

// Params returns the properties of the schema, sorted by name. The list must not be changed.
func (d *Def) Params() []Param { return d.params }

func validToolName(s string) bool {
	if len(s) > 64 {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if !validIdent(part) {
			return false
		}
	}
	return true
}

// validIdent says whether s is a lower-case identifier: what a part of a tool's name and a property must be, the
// latter so that policies can say args.name.
func validIdent(s string) bool {
	ok := s != "" && len(s) <= 64 && s[0] >= 'a' && s[0] <= 'z'
	return ok && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func (d *Def) readSchema(v *value) error {
	if v.kind != object {
		return errors.New("it must be an object")
	}
	if err := v.allow("type", "properties", "required", "additionalProperties", "description"); err != nil {
		return err
	}
	if t := v.get("type"); t == nil || t.text != "object" {
		return errors.New(`"type" must be "object"`)
	}
	if a := v.get("additionalProperties"); a == nil || a.kind != boolFalse {
		return errors.New(`"additionalProperties" must be false`)
	}
	if _, err := v.str("description", maxAbout); err != nil {
		return err
	}
	if props := v.get("properties"); props != nil {
		if props.kind != object || len(props.members) > maxParams {
			return fmt.Errorf(`"properties" must be an object of at most %d properties`, maxParams)
		}
		for i := range props.members {
			m := &props.members[i]
			if !validIdent(m.key) {
				return fmt.Errorf("property %q: the name must be of lower-case letters, digits and '_'", clip(m.key))
			}
			p, err := readProp(m)
			if err != nil {
				return fmt.Errorf("property %q: %w", m.key, err)
			}
			d.props = append(d.props, p)
		}
		for i := range d.props {
			if err := d.linkAsset(i, &props.members[i].value); err != nil {
				return fmt.Errorf("property %q: %w", d.props[i].name, err)
			}
		}
	}
	required, err := v.strings("required")
	if err != nil {
		return err
	}
	for _, name := range required {
		i := d.find(name)
		if i < 0 {
			return fmt.Errorf("required names %q, which is no property", clip(name))
		}
		if d.props[i].required {
			return fmt.Errorf("required names %q twice", name)
		}
		d.props[i].required = true
	}
	return nil
}

func readProp(m *member) (p prop, err error) {
	v := &m.value
	if v.kind != object {
		return p, errors.New("it must be an object")
	}
	p.name = m.key
	if p.typ, err = v.str("type", 16); err != nil {
		return p, err
	}
	if _, err := v.str("description", maxAbout); err != nil {
		return p, err
	}
	switch p.typ {
	case "boolean":
		return p, v.allow("type", "description")
	case "integer":
		if err := v.allow("type", "description", "minimum", "maximum"); err != nil {
			return p, err
		}
		return p, v.bounds(&p, "minimum", "maximum", math.MinInt64)
	case "string":
	default:
		return p, fmt.Errorf(`"type" is %q; it must be "string", "integer" or "boolean"`, clip(p.typ))
	}
	if p.format, err = v.str("format", 16); err != nil {
		return p, err
	}
	if _, ok := formats[p.format]; !ok || v.get("format") != nil && p.format == "" {
		return p, fmt.Errorf("format %q is unknown: say address, token, amount, hash, block or url", p.format)
	}
	if err := v.allow("type", "description", "format", "x-asset", "enum", "minLength", "maxLength"); err != nil {
		return p, err
	}
	if p.enum, err = v.strings("enum"); err != nil {
		return p, err
	}
	if v.get("enum") != nil && len(p.enum) == 0 {
		return p, errors.New("enum is empty, so nothing would be allowed")
	}
	return p, v.bounds(&p, "minLength", "maxLength", 0)
}

// linkAsset finds the token that an amount counts.
func (d *Def) linkAsset(i int, v *value) error {
	p := &d.props[i]
	name, err := v.str("x-asset", 64)
	if err != nil {
		return err
	}
	if p.format != "amount" {
		if name != "" {
			return errors.New("x-asset belongs to format amount only")
		}
		return nil
	}
	if p.asset = d.find(name); p.asset < 0 || d.props[p.asset].format != "token" {
		return fmt.Errorf("x-asset must name a property of format token, not %q", name)
	}
	return nil
}

func (d *Def) readSpend(s *Spend) error {
	switch {
	case s == nil && d.spec.Class == ChainTx:
		return errors.New("class chain moves value, so Spend is required")
	case s == nil:
		return nil
	case d.spec.Class == Read:
		return errors.New("class read moves nothing, so it has no Spend")
	}
	for i, want := range []struct{ role, name, format string }{
		{"amount", s.Amount, "amount"}, {"asset", s.Asset, "token"}, {"recipient", s.To, "address"},
	} {
		at := d.find(want.name)
		if at < 0 || d.props[at].format != want.format || !d.props[at].required {
			return fmt.Errorf("Spend: the %s must name a required property of format %s, not %q", want.role, want.format, want.name)
		}
		d.spend[i] = at
	}
	if d.props[d.spend[0]].asset != d.spend[1] {
		return fmt.Errorf("Spend: the amount counts another token than %q", s.Asset)
	}
	spend := *s
	d.spec.Spend = &spend
	return nil
}

// checkUtterances checks that each slot of each pattern is a property, and none stands twice.
func (d *Def) checkUtterances(list []string) error {
	if len(list) > maxUtterances {
		return fmt.Errorf("more than %d utterances", maxUtterances)
	}
	for _, u := range list {
		if u == "" || len(u) > maxUtterance {
			return fmt.Errorf("utterance %q must have 1 to %d bytes", clip(u), maxUtterance)
		}
		seen := map[string]bool{}
		for rest := u; ; {
			before, after, open := strings.Cut(rest, "{")
			if strings.Contains(before, "}") {
				return fmt.Errorf("utterance %q has a '}' without its '{'", u)
			}
			if !open {
				break
			}
			slot, tail, closed := strings.Cut(after, "}")
			if !closed || d.find(slot) < 0 || seen[slot] {
				return fmt.Errorf("utterance %q: slot {%s} is not a property, or stands twice", u, clip(slot))
			}
			seen[slot], rest = true, tail
		}
	}
	return nil
}

// find returns the index of a property, or -1.
func (d *Def) find(name string) int {
	for i := range d.props {
		if d.props[i].name == name {
			return i
		}
	}
	return -1
}

func (p *prop) kind() Kind {
	switch p.typ {
	case "integer":
		return KindInt
	case "boolean":
		return KindBool
	}
	return formats[p.format]
}

// allow says which member of an object is none of keys.
func (v *value) allow(keys ...string) error {
	for i := range v.members {
		if k := v.members[i].key; !slices.Contains(keys, k) {
			return fmt.Errorf("keyword %q is not supported here%s; there are %s", clip(k), didYouMean(k, keys),
				strings.Join(keys, ", "))
		}
	}
	return nil
}

// str returns a member of an object that is a text, or "" if it is absent.
func (v *value) str(key string, limit int) (string, error) {
	e := v.get(key)
	if e == nil {
		return "", nil
	}
	if e.kind != text || len(e.text) > limit {
		return "", fmt.Errorf("%q must be a string of at most %d bytes", key, limit)
	}
	return e.text, nil
}

// strings returns a member of an object that is a list of texts without duplicates, or nil if it is absent.
func (v *value) strings(key string) ([]string, error) {
	e := v.get(key)
	if e == nil {
		return nil, nil
	}
	if e.kind != list {
		return nil, fmt.Errorf("%q must be a list", key)
	}
	var out []string
	for _, x := range e.list {
		if x.kind != text || slices.Contains(out, x.text) || len(out) == maxBook {
			return nil, fmt.Errorf("%q must be a list of at most %d different strings", key, maxBook)
		}
		out = append(out, x.text)
	}
	return out, nil
}

// bounds reads a lower and an upper bound, both optional.
func (v *value) bounds(p *prop, low, high string, least int64) error {
	p.min, p.max = least, math.MaxInt64
	for key, dst := range map[string]*int64{low: &p.min, high: &p.max} {
		e := v.get(key)
		if e == nil {
			continue
		}
		n, err := strconv.ParseInt(e.text, 10, 64)
		if e.kind != integer || err != nil || n < least {
			return fmt.Errorf("%q must be an integer of at least %d", key, least)
		}
		*dst = n
	}
	if p.min > p.max {
		return fmt.Errorf("%s is above %s", low, high)
	}
	return nil
}

// didYouMean returns a hint if one of the choices is close to s, and "" otherwise.
func didYouMean(s string, choices []string) string {
	best, at := "", 3
	for _, c := range choices {
		if n := distance(s, c, at); n < at && n < len(c) {
			best, at = c, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance returns the number of edits between a and b, or limit if there are at least as many.
func distance(a, b string, limit int) int {
	if len(a) > 64 || max(len(a), len(b))-min(len(a), len(b)) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return min(row[len(b)], limit)
}

// asset returns the money asset of a token.
func asset(symbol string, t Token) money.Asset {
	return money.Asset{Symbol: symbol, Decimals: t.Decimals}
}
