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
			if r := s.Check(); len(r.Findings)+len(r.Unjudged) > 0 {
				t.Errorf("%s: %v", name, r)
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
		c := mustLoad(t, "operator", string(src)).Coverage()
		for _, r := range c.Rules {
			for _, a := range r.Atoms {
				if a.True == 0 || a.False == 0 {
					t.Errorf("%s: %s: %s: seen %d times true, %d times false", name, r.Rule, a.Expr, a.True, a.False)
				}
			}
		}
		if c.Percent() != 100 {
			t.Errorf("%s: %d%% covered", name, c.Percent())
		}
	}
}
