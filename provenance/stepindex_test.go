package provenance

import (
	"fmt"
	"testing"
)

// Whoever follows an index from its root finds every step, once and in order; and it is as small as said.
func TestAnIndexListsEveryStep(t *testing.T) {
	for _, n := range []int{1, 2, 255, 256, 257, 511, 512, 513, 65535, 65536, 65537, 65536 + 256 + 1} {
		steps := make([]Link, n)
		for i := range steps {
			steps[i] = Sum(0x71, fmt.Append(nil, i))
		}
		blocks := map[Link]*StepIndex{}
		var root Link
		size := 0
		err := IndexSteps(n, func(i int) Link { return steps[i] }, func(b Block) error {
			x := new(StepIndex)
			if err := Decode(b.Data, x); err != nil {
				return err
			}
			blocks[b.CID], root = x, b.CID
			size += len(b.Data)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []Link
		var walk func(l Link) uint64
		walk = func(l Link) (covers uint64) {
			x, ok := blocks[l]
			if !ok {
				got = append(got, l)
				return 1
			}
			for _, k := range x.Kids {
				covers += walk(k)
			}
			if covers != x.Steps {
				t.Errorf("%d steps: an index says that it covers %d, and covers %d", n, x.Steps, covers)
			}
			return covers
		}
		walk(root)
		if len(got) != n {
			t.Fatalf("%d steps: the index lists %d", n, len(got))
		}
		for i := range got {
			if got[i] != steps[i] {
				t.Fatalf("%d steps: the index has another one in place %d", n, i)
			}
		}
		if want := 42*n + 50*len(blocks); size > want {
			t.Errorf("%d steps: the index takes %d bytes, more than %d", n, size, want)
		}
	}
}

// A long run is verified with its index, and not with one that leaves a step out.
func TestAHeadsIndexIsThatOfItsSteps(t *testing.T) {
	for _, c := range []struct {
		name   string
		forget int // steps at the end
		code   Code
	}{{"all", 0, ""}, {"all but one", 1, CodeLinksIndex}} {
		h := longHistory(t, 300)
		h.link(t)
		n := len(h.steps) - c.forget
		if err := IndexSteps(n, func(i int) Link { return h.cids[i] }, func(b Block) error {
			h.blocks[b.CID], h.head.Index = b.Data, b.CID
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		r, _ := verifyCAR(h.car(t), Options{OperatorKey: operatorKey()})
		if r.Code != c.code {
			t.Errorf("%s: %q %s, want %q", c.name, r.Code, r.Detail, c.code)
		}
	}
}
