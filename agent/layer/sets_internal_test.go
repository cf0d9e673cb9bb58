package layer

import (
	"testing"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/tools/arg"
)

// A kept set is given out only for just what it was loaded from, and what does not load is not kept.
func TestLoadedSetsAreTheirOptions(t *testing.T) {
	source := []byte("schema: writ/policies/1\nname: x\nrules:\n  - {id: a, at: output, effect: permit}\n")
	tools := []policies.ToolType{{Name: "a", Params: []arg.Param{{Name: "b", Kind: arg.Int}}}}
	parts := map[string][]byte{"set/a": []byte("b")}
	seen, sets := map[[32]byte]int{}, new(Sets)
	for i, o := range []policies.Options{
		{Layer: "operator"}, {Layer: "dapp"}, {Layer: "dapp", Untrusted: true}, {Layer: "dapp", Partial: true},
		{Layer: "dapp", Parts: map[string][]byte{}}, {Layer: "dapp", Parts: parts},
		{Layer: "dapp", Parts: map[string][]byte{"set/ab": nil}}, {Layer: "dapp",
			Parts: map[string][]byte{"set/a": []byte("c")}},
		{Layer: "dapp", Tools: tools}, {Layer: "dapp", Tools: []policies.ToolType{{Name: "a"}, {Name: "b"}}},
		{Layer: "dapp", Tools: []policies.ToolType{{Name: "a", Params: []arg.Param{{Name: "b", Kind: arg.String}}}}},
		{Layer: "dapp",
			Tools: []policies.ToolType{{Name: "a", Params: []arg.Param{{Name: "b", Kind: arg.Int, Required: true}}}}},
	} {
		key := keyOfSet(source, o)
		if was, twice := seen[key]; twice {
			t.Errorf("options %d and %d have one key", was, i)
		}
		seen[key] = i
		one, err := sets.Load(source, o)
		if err != nil {
			t.Fatalf("options %d: %v", i, err)
		}
		if again, err := sets.Load(source, o); err != nil || again != one || one.Layer() != o.Layer {
			t.Errorf("options %d: another set the second time, or of layer %s", i, one.Layer())
		}
	}
	for range 2 {
		if s, err := sets.Load([]byte("no set"), policies.Options{Layer: "operator"}); err == nil || s != nil {
			t.Errorf("no set: %v, %v", s, err)
		}
	}
	for i := range 2 * maxSets { // the sets that are kept are bounded
		if _, err := sets.Load(append(source, byte('#'), byte('0'+i%10), byte('0'+i/10), '\n'),
			policies.Options{Layer: "operator"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(sets.loaded); n > maxSets {
		t.Errorf("%d sets are kept, want at most %d", n, maxSets)
	}
}
