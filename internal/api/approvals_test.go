package api

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// Whoever follows the pages gets each approval once, those of one run together, also if what a page ended with is
// answered before the next is asked for.
func TestPagesOfApprovalsHaveEachOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var all []runner.PendingApproval
	for i := range 150 {
		run := provenance.Sum(cid.DagCBOR, fmt.Append(nil, i))
		for j := range 1 + r.IntN(3) {
			all = append(all, runner.PendingApproval{Run: run, Opened: int64(i / 4), Effect: provenance.Ref{Seq: uint64(j)}})
		}
	}
	for _, n := range []int{1, 7, 100, len(all), 1000} {
		seen := map[provenance.Ref]map[provenance.Link]int{}
		left, total := slices.Clone(all), 0
		for pages := 0; ; pages++ {
			page, next := cutApprovals(slices.Clone(left), n)
			for _, a := range page {
				if seen[a.Effect] == nil {
					seen[a.Effect] = map[provenance.Link]int{}
				}
				seen[a.Effect][a.Run]++
				total++
			}
			if len(page) < min(n, len(left)) || len(page) > n+2 || pages > len(all) {
				t.Fatalf("a page of %d has %d", n, len(page))
			}
			if next == "" {
				break
			}
			last := page[len(page)-1]
			if next != last.Run.String() {
				t.Fatalf("the next page is to begin behind %s, and this one ends with %s", next, last.Run)
			}
			left = slices.DeleteFunc(slices.Clone(all), func(a runner.PendingApproval) bool {
				return a.Run == last.Run || compareRuns(a, last) <= 0 // the last is answered
			})
		}
		if total != len(all) {
			t.Errorf("pages of %d have %d of %d", n, total, len(all))
		}
		for _, runs := range seen {
			for run, times := range runs {
				if times != 1 {
					t.Errorf("pages of %d have one of run %s %d times", n, run, times)
				}
			}
		}
	}
}
