package workshop

import (
	"testing"

	"github.com/writ-run/writ/policies"
)

func TestBuiltinSetsPassTheirOwnTests(t *testing.T) {
	for _, name := range policies.BuiltinNames() {
		src, ok := policies.Builtin(name)
		if !ok {
			t.Fatalf("Builtin(%q) is not there", name)
		}
		// A built-in names no tool, so it loads whatever the tools are, and for either profile.
		for _, o := range []policies.Options{{Layer: "operator"}, {Layer: "grant", Untrusted: true, Tools: transferTools}} {
			s, err := policies.Load(src, o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if s.Name() != name {
				t.Errorf("%s: its name is %q", name, s.Name())
			}
			for _, res := range Test(s, testsOf(t, s)) {
				if !res.OK || res.Skipped {
					t.Errorf("%s:%d: %s: %s", name, res.Line, res.Name, res.Detail)
				}
			}
			if r := Check(s, testsOf(t, s)); len(r.Findings)+len(r.Unjudged) > 0 {
				t.Errorf("%s: %v", name, r)
			}
		}
	}
	if _, ok := policies.Builtin("../sets/read-only"); ok {
		t.Error("Builtin reads outside of its folder")
	}
}

// Each comparison in a built-in set is seen both ways by the set's own tests, so that no change of it goes unnoticed.
func TestBuiltinSetsTestEveryAtomBothWays(t *testing.T) {
	for _, name := range policies.BuiltinNames() {
		src, _ := policies.Builtin(name)
		s := mustLoad(t, "operator", string(src))
		c := Cover(s, testsOf(t, s))
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
