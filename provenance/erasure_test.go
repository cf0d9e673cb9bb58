package provenance

import (
	"slices"
	"strings"
	"testing"
)

// erase makes the history's head name an erasure, and signs it anew.
func (h *history) erase(t *testing.T, es ...*Erasure) Link {
	t.Helper()
	h.link(t)
	for _, e := range es {
		slices.SortFunc(e.Leaves, func(a, b Link) int { return strings.Compare(a.KeyString(), b.KeyString()) })
		h.head.Erased = append(h.head.Erased, h.put(t, e))
	}
	if err := h.head.Sign(operator()); err != nil {
		t.Fatal(err)
	}
	return h.put(t, h.head)
}

func TestLeavesAreToldApart(t *testing.T) {
	for _, tt := range []struct {
		rule   string
		erased []int // places of leaves
		keys   func(h *history) map[Link]LeafKey
		gone   []int // leaves whose ciphertext is not there
		want   LeafCounts
	}{
		{"without keys all are sealed", nil, none, nil, LeafCounts{Sealed: 14}},
		{"an erased one is no sealed one", []int{1, 2}, none, nil, LeafCounts{Sealed: 12, Erased: 2}},
		{"one whose ciphertext is gone too is erased and not missing", []int{1, 2}, none, []int{2, 3},
			LeafCounts{Sealed: 11, Erased: 2, Missing: 1}},
		{"who kept a key still opens it", []int{1}, (*history).keys, nil, LeafCounts{Disclosed: 14, Reopened: 1}},
		{"a key of what is gone opens nothing", []int{1}, (*history).keys, []int{1}, LeafCounts{Disclosed: 13, Erased: 1}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			h := newHistory()
			h.link(t)
			e := &Erasure{At: 8_000, Why: "asked for by the wallet"}
			for _, i := range tt.erased {
				e.Leaves = append(e.Leaves, h.leaves[i].CID)
			}
			var es []*Erasure
			if len(e.Leaves) > 0 {
				es = append(es, e)
			}
			root := h.erase(t, es...)
			for _, i := range tt.gone {
				delete(h.blocks, h.leaves[i].CID)
			}
			r, _ := Verify(source{root, h.Get}, Options{OperatorKey: operatorKey(), Keys: tt.keys(h)})
			if r.Verdict != Gaps || r.Code != "" || r.Leaves != tt.want {
				t.Errorf("%s %s: leaves %v, want %v", r.Verdict, r.Code, r.Leaves, tt.want)
			}
			// Never silently: that an erased leaf is open is said by a code of its own.
			if c := r.Status(CheckLeaves); (c.Code == CodeLeafReopened) != (tt.want.Reopened > 0) {
				t.Errorf("the check of leaves: %+v", c)
			}
		})
	}
}

func none(*history) map[Link]LeafKey { return nil }

func TestErasuresThatLie(t *testing.T) {
	for _, tt := range []struct {
		rule string
		make func(h *history) []*Erasure
		want Code
	}{
		{"a leaf that the history does not have", func(h *history) []*Erasure {
			return []*Erasure{{At: 8_000, Leaves: []Link{NewRaw([]byte("another's")).CID}}}
		}, CodeLeafErasure},
		{"a leaf twice", func(h *history) []*Erasure {
			return []*Erasure{{At: 8_000, Leaves: []Link{h.leaves[0].CID}},
				{At: 8_001, Leaves: []Link{h.leaves[0].CID}}}
		}, CodeLeafErasure},
		{"time running backwards", func(h *history) []*Erasure {
			return []*Erasure{{At: 8_000, Leaves: []Link{h.leaves[0].CID}},
				{At: 7_999, Leaves: []Link{h.leaves[1].CID}}}
		}, CodeHistoryClock},
		{"an erasure after the head that names it", func(h *history) []*Erasure {
			return []*Erasure{{At: 9_001, Leaves: []Link{h.leaves[0].CID}}}
		}, CodeHistoryClock},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			h := newHistory()
			h.link(t)
			root := h.erase(t, tt.make(h)...)
			if r, _ := Verify(source{root, h.Get}, Options{OperatorKey: operatorKey()}); r.Code != tt.want {
				t.Errorf("%s %s, want %s", r.Verdict, r.Code, tt.want)
			}
		})
	}
	for rule, e := range map[string]*Erasure{
		"of nothing":  {At: 1},
		"of a record": {At: 1, Leaves: []Link{Sum(0x71, nil)}},
		"not sorted":  {At: 1, Leaves: []Link{NewRaw([]byte("a")).CID, NewRaw([]byte("a")).CID}},
	} {
		if _, err := Encode(e); err == nil {
			t.Errorf("an erasure %s was encoded", rule)
		}
	}
}
