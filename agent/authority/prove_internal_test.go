package authority

import (
	"errors"
	"testing"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
)

// Whatever the set permits, the known-bad actions are denied below a grant; an engine that says yes is found out.
func TestAStartProvesThatKnownBadActionsAreDenied(t *testing.T) {
	generous := `schema: writ/policies/1
name: generous
rules:
  - {id: tools, at: tool.call, effect: permit}
  - {id: spends, at: spend, effect: permit}
`
	for _, src := range append([]string{generous}, builtins(t)...) {
		set, err := policies.Load([]byte(src), policies.Options{Layer: "operator", Partial: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := Prove(set); err != nil {
			t.Errorf("%s: %v", set.Name(), err)
		}
	}
	asked := 0
	for _, says := range []policies.Outcome{policies.Permit, policies.Approve} {
		err := proveBy(func(*policies.Request) policies.Outcome { asked++; return says }, money.Asset{Symbol: "PROBE"})
		if !errors.Is(err, ErrUnsafe) {
			t.Errorf("an engine that always says %s: got %v", says, err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want to stop at the first", asked)
	}
}

func builtins(t *testing.T) (list []string) {
	for _, name := range policies.BuiltinNames() {
		src, ok := policies.Builtin(name)
		if !ok {
			t.Fatal(name)
		}
		list = append(list, string(src))
	}
	return list
}
