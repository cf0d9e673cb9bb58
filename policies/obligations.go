package policies

import (
	"encoding/json"
	"slices"
	"strings"

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
		o.Redact.Sort()
	}
	if d.Limit != (Limit{}) {
		l := Limits(d.Limit)
		o.Limit = &l
	}
	if i, s := d.Label.Integrity, d.Label.Secrecy; i != label.Operator || s != label.Public {
		o.Label = LabelsOf(d.Label)
	}
	o.Mode = d.Mode
	return o
}

// LabelsOf is what a label changes, as data.
func LabelsOf(l label.Label) *Labels {
	out := &Labels{}
	if l.Integrity != label.Operator {
		out.Integrity = l.Integrity.String()
	}
	if l.Secrecy != label.Public {
		out.Secrecy = l.Secrecy.String()
	}
	return out
}

// Sort orders what is cut out, each once.
func (r *Redacts) Sort() {
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
