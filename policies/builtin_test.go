package policies

import (
	"testing"
)

// transferTools are the tools that tests name.
var transferTools = []ToolType{
	{Name: "chain.balance", Params: []Param{{"account", ArgAddress}, {"block", ArgString}}},
	{Name: "erc20.balance", Params: []Param{{"token", ArgString}, {"account", ArgAddress}, {"block", ArgString}}},
	{Name: "erc20.transfer", Params: []Param{
		{"token", ArgString}, {"to", ArgAddress}, {"amount", ArgAmount}, {"memo", ArgString}, {"tries", ArgInt}, {"fast", ArgBool}}},
}

func mustLoad(t testing.TB, layer, src string) *Set {
	t.Helper()
	s, err := Load([]byte(src), Options{Layer: layer, Tools: transferTools})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return s
}

func TestBuiltinSetsPassTheirOwnTests(t *testing.T) {
	for _, name := range BuiltinNames() {
		src, ok := Builtin(name)
		if !ok {
			t.Fatalf("Builtin(%q) is not there", name)
		}
		// A built-in names no tool, so it loads whatever the tools are, and for either profile.
		for _, o := range []Options{{Layer: "operator"}, {Layer: "grant", Untrusted: true, Tools: transferTools}} {
			s, err := Load(src, o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if s.Name() != name {
				t.Errorf("%s: its name is %q", name, s.Name())
			}
			for _, res := range s.Test() {
				if !res.OK || res.Skipped {
					t.Errorf("%s:%d: %s: %s", name, res.Line, res.Name, res.Detail)
				}
			}
			for _, w := range s.Check() {
				if name != "deny-all" && w.Text != "no rule permits anything at spend, so all of it is denied" {
					t.Errorf("%s: unexpected warning: %+v", name, w)
				}
			}
		}
	}
	if _, ok := Builtin("../sets/read-only"); ok {
		t.Error("Builtin reads outside of its folder")
	}
}

// Each comparison in a built-in set is seen both ways by the set's own tests, so that no change of it goes unnoticed.
func TestBuiltinSetsTestEveryAtomBothWays(t *testing.T) {
	for _, name := range BuiltinNames() {
		src, _ := Builtin(name)
		s := mustLoad(t, "operator", string(src))
		seen := map[string]map[bool]bool{}
		for _, r := range s.rules {
			eachAtom(r.matches(), func(e *expression) { seen[r.id+": "+e.source()] = map[bool]bool{} })
			for i := range s.tests {
				if s.tests[i].request.Point != r.at {
					continue
				}
				for _, a := range r.atoms(&frame{r: &s.tests[i].request, vars: make([]slot, s.slots)}) {
					seen[r.id+": "+a.Expr][a.Holds] = true
				}
			}
		}
		for atom, ways := range seen {
			if !ways[true] || !ways[false] {
				t.Errorf("%s: %s: seen only %v", name, atom, ways)
			}
		}
	}
}
