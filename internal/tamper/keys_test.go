package tamper

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance"
)

// Who has not all the keys of an honest file, since some were kept back or erased, sees gaps, and never a fault.
func TestAKeyThatIsMissingIsNoFault(t *testing.T) {
	for _, e := range evidences(t) {
		leaves := slices.SortedFunc(maps.Keys(e.keys), func(a, b provenance.Link) int {
			return strings.Compare(a.KeyString(), b.KeyString())
		})
		judge := func(without ...cid.Cid) {
			keys := maps.Clone(e.keys)
			for _, leaf := range without {
				delete(keys, leaf)
			}
			if rep := auditOf(e.car, keys); rep.Verdict != provenance.Gaps {
				t.Errorf("%s without the keys of %s: %s, %s %s", e.name, without, rep.Verdict, rep.Code, rep.Detail)
			}
		}
		for _, leaf := range leaves {
			judge(leaf)
		}
		r := rand.New(rand.NewPCG(11, 13))
		for range 20 {
			r.Shuffle(len(leaves), func(i, j int) { leaves[i], leaves[j] = leaves[j], leaves[i] })
			judge(leaves[:2+r.IntN(len(leaves)-1)]...)
		}
	}
}
