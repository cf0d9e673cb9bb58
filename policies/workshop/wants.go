package workshop

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/internal/keys"
)

// wantsOf are the keys of a test's want that are about obligations, with the effect that asks for each.
var wantsOf = map[string]string{"redact": "redact", "limit": "limit", "label": "label", "route": "route",
	"mode": "permit"}

// readObligationsWanted reads what a test wants to be asked for besides the outcome. An empty block wants nothing of
// its kind.
func (l *caseReader) readObligationsWanted(want map[string]*yaml.Node, t *Case) {
	for _, key := range slices.Sorted(maps.Keys(wantsOf)) {
		n := want[key]
		if n == nil {
			continue
		}
		at := policies.EffectPoints(wantsOf[key])
		if key == "mode" {
			at = []policies.Point{policies.ProvenancePublish}
		}
		if !slices.Contains(at, t.request.Point) {
			l.Report(n, "%s: stands at %s, not at %s", key, pointList(at), t.request.Point)
		} else if t.outcome != policies.Permit {
			l.Report(n, "%s: only a permit asks for something besides", key)
		}
		l.readObligation(key, n, t)
	}
}

// readTexts reads a list of texts.
func (l *caseReader) readTexts(n *yaml.Node, what string) []string {
	out := []string{}
	l.List(n, what, func(x *yaml.Node) {
		if s, ok := l.Scalar(x, "an entry of "+what); ok {
			out = append(out, s)
		}
	})
	return out
}

func (l *caseReader) readObligation(key string, n *yaml.Node, t *Case) {
	switch key {
	case "redact":
		m := l.Mapping(n, key, keys.Redact)
		t.asks.Redact = &policies.Redacts{Fields: l.readTexts(m["fields"], "fields"),
			Patterns: l.readTexts(m["patterns"], "patterns")}
		t.asks.Redact.Sort()
	case "limit":
		m := l.Mapping(n, key, keys.Limit)
		t.asks.Limit = &policies.Limits{Tokens: l.Whole(m["tokens"], 1, 1<<40),
			Calls: l.Whole(m["calls"], 1, 1<<20), Bytes: l.Whole(m["bytes"], 1, 1<<30)}
	case "label":
		t.asks.Label = policies.LabelsOf(policies.ReadLevels(&l.Reader, l.Mapping(n, key, keys.Label)))
	case "mode":
		s, _ := l.Scalar(n, "mode")
		if t.asks.Mode = policies.Mode(s); !slices.Contains(keys.Modes, s) {
			l.ReportHint(n, wording.Nearest(s, keys.Modes), "mode must be public, sealed, commit-only or ephemeral")
		}
	case "route":
		t.asks.Route = l.readTexts(n, "route")
		slices.Sort(t.asks.Route)
	}
}

// tellDifference says how got is not what is wanted, or "". Of what o does not have, anything may be got.
func tellDifference(o, got policies.Obligations) string {
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
	if o.Mode != "" && got.Mode != o.Mode && (got.Mode != "" || o.Mode != policies.Sealed) {
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
