package policies

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies/label"
)

// Obligations are what a permit asks for besides, as data: in the form that a set has for them, what all rules that
// matched ask for together. What is nil or empty is not asked for.
type Obligations struct {
	Redact *Redacts `json:"redact,omitempty"`
	Limit  *Limits  `json:"limit,omitempty"`
	Label  *Labels  `json:"label,omitempty"`
	Mode   Mode     `json:"mode,omitempty"`
	Route  []string `json:"route,omitempty"` // the models that may answer; see [Set.Models]
}

// Redacts names what is cut out: JSON keys and RE2 patterns, each sorted.
type Redacts struct {
	Fields   []string `json:"fields,omitempty"`
	Patterns []string `json:"patterns,omitempty"`
}

// Limits are a [Limit] as data.
type Limits struct {
	Tokens int64 `json:"tokens,omitempty"`
	Calls  int64 `json:"calls,omitempty"`
	Bytes  int64 `json:"bytes,omitempty"`
}

// Labels are levels that are joined to what is decided about; "" for one that changes nothing.
type Labels struct {
	Integrity string `json:"integrity,omitempty"`
	Secrecy   string `json:"secrecy,omitempty"`
}

// Obligations returns what d asks for besides its outcome. Where models are left to choose from, [Set.Models] has them.
func (d Decision) Obligations() (o Obligations) {
	if d.Outcome != Permit {
		return o
	}
	if len(d.Redact) > 0 {
		o.Redact = &Redacts{}
		for _, r := range d.Redact {
			o.Redact.Fields = append(o.Redact.Fields, r.fields...)
			for _, p := range r.patterns {
				o.Redact.Patterns = append(o.Redact.Patterns, p.String())
			}
		}
		o.Redact.sort()
	}
	if d.Limit != (Limit{}) {
		l := Limits(d.Limit)
		o.Limit = &l
	}
	if i, s := d.Label.Integrity, d.Label.Secrecy; i != label.Operator || s != label.Public {
		o.Label = labelsOf(d.Label)
	}
	o.Mode = d.Mode
	return o
}

func labelsOf(l label.Label) *Labels {
	out := &Labels{}
	if l.Integrity != label.Operator {
		out.Integrity = l.Integrity.String()
	}
	if l.Secrecy != label.Public {
		out.Secrecy = l.Secrecy.String()
	}
	return out
}

func (r *Redacts) sort() {
	for _, list := range []*[]string{&r.Fields, &r.Patterns} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// Lines tells each obligation in a line, by the words of a set.
func (o Obligations) Lines() (out []string) {
	for _, x := range []struct {
		name string
		v    any
		set  bool
	}{{"redact", o.Redact, o.Redact != nil}, {"limit", o.Limit, o.Limit != nil}, {"label", o.Label, o.Label != nil},
		{"mode", o.Mode, o.Mode != ""}, {"route", o.Route, len(o.Route) > 0}} {
		if !x.set {
			continue
		}
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(x.v) // of strings and numbers
		out = append(out, x.name+" "+strings.TrimSuffix(b.String(), "\n"))
	}
	return out
}

// Models returns the models to which the route rules of the set leave the request, sorted, or nil for any: those of the
// rule of the highest priority that matches.
func (s *Set) Models(r *Request) []string {
	f := &frame{r: r, vars: make([]slot, s.slots)}
	var best *rule
	for _, x := range s.points[r.Point] {
		if x.effect != "route" || best != nil && best.more.priority >= x.more.priority {
			continue
		}
		if holds, err := x.holds(f); err == nil && holds {
			best = x
		}
	}
	if best == nil {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(best.more.use)))
}

// wantsOf are the keys of a test's want that are about obligations, with the effect that asks for each.
var wantsOf = map[string]string{"redact": "redact", "limit": "limit", "label": "label", "route": "route", "mode": "permit"}

// readObligationsWanted reads what a test wants to be asked for besides the outcome. An empty block wants nothing of
// its kind.
func (l *loader) readObligationsWanted(want map[string]*yaml.Node, t *Case) {
	for _, key := range slices.Sorted(maps.Keys(wantsOf)) {
		n := want[key]
		if n == nil {
			continue
		}
		at := effectPoints[wantsOf[key]]
		if key == "mode" {
			at = []Point{ProvenancePublish}
		}
		if !slices.Contains(at, t.request.Point) {
			l.problem(n, "%s: stands at %s, not at %s", key, pointList(at), t.request.Point)
		} else if t.outcome != Permit {
			l.problem(n, "%s: only a permit asks for something besides", key)
		}
		texts := func(n *yaml.Node, what string) []string {
			out := []string{}
			l.list(n, what, func(x *yaml.Node) {
				if s, ok := l.scalar(x, "an entry of "+what); ok {
					out = append(out, s)
				}
			})
			return out
		}
		switch key {
		case "redact":
			m := l.mapping(n, key, keysRedact)
			t.asks.Redact = &Redacts{Fields: texts(m["fields"], "fields"), Patterns: texts(m["patterns"], "patterns")}
			t.asks.Redact.sort()
		case "limit":
			m := l.mapping(n, key, keysLimit)
			t.asks.Limit = &Limits{l.whole(m["tokens"], 1, 1<<40), l.whole(m["calls"], 1, 1<<20), l.whole(m["bytes"], 1, 1<<30)}
		case "label":
			t.asks.Label = labelsOf(l.levels(l.mapping(n, key, keysLabel)))
		case "mode":
			s, _ := l.scalar(n, "mode")
			if t.asks.Mode = Mode(s); !slices.Contains(modes, s) {
				l.hinted(n, nearest(s, modes), "mode must be public, sealed, commit-only or ephemeral")
			}
		case "route":
			t.asks.Route = texts(n, "route")
			slices.Sort(t.asks.Route)
		}
	}
}

// differ says how got is not what is wanted, or "". Of what o does not have, anything may be got.
func (o Obligations) differ(got Obligations) string {
	tell := func(what string, got, want any) string {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		return fmt.Sprintf("%s: got %s, want %s", what, g, w)
	}
	some := func(x, y []string) bool { return !slices.Equal(x, y) }
	if w := o.Redact; w != nil {
		g := orZero(got.Redact)
		if some(g.Fields, w.Fields) || some(g.Patterns, w.Patterns) {
			return tell("redact", g, w)
		}
	}
	if w := o.Limit; w != nil && orZero(got.Limit) != *w {
		return tell("limit", orZero(got.Limit), w)
	}
	if w := o.Label; w != nil && orZero(got.Label) != *w {
		return tell("label", orZero(got.Label), w)
	}
	if o.Mode != "" && got.Mode != o.Mode && (got.Mode != "" || o.Mode != Sealed) {
		return tell("mode", got.Mode, o.Mode)
	}
	if o.Route != nil && some(got.Route, o.Route) {
		return tell("route", got.Route, o.Route)
	}
	return ""
}

// orZero is what p points at, or the zero value.
func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
