package tamper

import (
	"bytes"
	"crypto/ed25519"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/provenance"
)

var update = flag.Bool("update", false, "write the golden file")

const claimsGolden = "testdata/claims.golden"

// A told is a kind of run in which lies are told.
type told struct {
	name string
	make func() *world
	from int // the step; what comes before is as in another run
}

func changed(make func() *world, change func(*world)) func() *world {
	return func() *world { w := make(); change(w); return w }
}

// toldRuns are honest runs that are verified as they are.
var toldRuns = []told{
	{"small", smallWorld, 0},
	{"fleet", fleetWorld, 0},
	{"whole", wholeWorld, 3},
	{"wire", wireWorld(nil), 0},
	{"page", pageWorld, 0},
	{"sub-agent", bossWorld, 0},
	{"overrun", overrunWorld, 6},
	{"fallback", changed(smallWorld, func(w *world) { w.fail = 1 }), 0},
	{"hedged", hedgedWorld, hedgeSlow},
	{"attached", attachedWorld(bothFiles...), 0},
	{"failed", changed(smallWorld, func(w *world) { w.fail = 100 }), 0},
	{"cancelled", changed(wholeWorld, func(w *world) { w.cancel = 2 }), 2},
	{"refused", changed(wholeWorld, func(w *world) { w.refuse = true }), 5},
	{"revoked", changed(wholeWorld, func(w *world) { w.revoke = 6 }), 6},
	{"in doubt", changed(wholeWorld, func(w *world) { w.lapse = true }), 6},
	{"open", changed(wholeWorld, func(w *world) { w.stop = 5 }), 4},
}

// byChance are fields that pass with some values only, which TestMutantsOfRecords finds and this file's test does not.
var byChance = []string{
	"Run.Opened",                          // earlier, by no more than clocks may differ from the wallet's
	"Step.Facts.Budgets without its last", // of a step in the middle, where another run has used it
	"Step.Facts.Fleet[].Breaker",          // of a model that lets single attempts through, where no route asks
	"Step.Event(Reply).After",             // of a failed model, where the wait is the same
	"Step.Event(Result).Output",           // of the last step, where nothing follows from it yet
}

// TestWhatAnOperatorCanInvent changes every value of every record, one at a time. The operator links and signs anew;
// the session key does not, and the wallet signs only what it would have been shown. What is verified all the same
// rests on the operator's word alone, and testdata/claims.golden lists it: the list must not grow unseen. Several
// values together can be invented that one alone cannot, such as a tool's result with all that follows from it; reports
// say so.
func TestWhatAnOperatorCanInvent(t *testing.T) {
	if testing.Short() {
		t.Skip("plays and verifies thousands of runs")
	}
	var mu sync.Mutex
	invented := map[string]bool{}
	n := 0
	var todo []lie
	for i, w := range toldRuns {
		few := 1
		if i < 3 {
			few = 3 // of values in one kind of place, such as the caps of ledgers
		}
		seen := map[string]int{}
		for k, path := range pathsOf(t, w) {
			if seen[path]++; seen[path] <= few {
				todo = append(todo, lie{w, k})
			}
		}
	}
	eachOf(len(todo), func(i int) {
		l := todo[i]
		path, car, keys, err := l.tell(nil)
		if err != nil {
			t.Error(err)
		}
		if car == nil {
			return
		}
		rep := auditOf(car, keys)
		mu.Lock()
		defer mu.Unlock()
		if n++; rep.Verdict != provenance.Failed {
			invented[path] = true
		}
	})
	t.Logf("%d changes, %d kinds of them stand on the operator's word", n, len(invented))
	for _, field := range byChance {
		if invented[field] {
			t.Errorf("%s is found with the smallest change too", field)
		}
		invented[field] = true
	}
	got := strings.Join(slices.Sorted(maps.Keys(invented)), "\n") + "\n"
	if *update {
		if err := os.WriteFile(claimsGolden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(claimsGolden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("what an operator can invent has changed; if that is meant: go test ./internal/tamper -update\n%s",
			differences(string(want), got))
	}
}

// eachOf calls f with each number below n, as many at once as there are processors.
func eachOf(n int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// auditOf is what an auditor says who knows the operator's key and has the keys of all leaves.
func auditOf(car []byte, keys map[provenance.Link]provenance.LeafKey) *provenance.Report {
	src, err := provenance.OpenCAR(bytes.NewReader(car), int64(len(car)))
	if err != nil {
		return provenance.FailedReport(err)
	}
	return audit.Verify(src, audit.Options{Keys: keys,
		OperatorKey: signingKey("operator").Public().(ed25519.PublicKey)})
}

// pathsOf lists the places of a run at which one value can be changed, in order.
func pathsOf(t *testing.T, w told) (paths []string) {
	t.Helper()
	h, err := playWorld(w.make())
	if err != nil {
		t.Fatalf("%s: %v", w.name, err)
	}
	for _, s := range sitesOf(h, w.from) {
		paths = append(paths, s.path)
	}
	return paths
}

// A lie is one change of a run.
type lie struct {
	told
	site int
}

// tell plays the run, changes it, and makes all anew that the operator can. A nil file means that there is no such
// record, or that it is as it was.
func (l lie) tell(r *choices) (path string, car []byte, keys map[provenance.Link]provenance.LeafKey, err error) {
	h, err := playWorld(l.make())
	if err != nil {
		return "", nil, nil, fmt.Errorf("%s: %w", l.name, err)
	}
	was := h.writeCAR()
	sites := sitesOf(h, l.from)
	s := sites[l.site]
	s.change(r)
	h.keepAsk = true
	h.keepVerdict = strings.Contains(s.path, "Verdict")
	if relinkSafely(h) != nil {
		h.keepVerdict = true // the wallet has nothing to sign
		if relinkSafely(h) != nil {
			return s.path, nil, nil, nil
		}
	}
	car = h.writeCAR()
	if bytes.Equal(car, was) {
		return s.path, nil, nil, nil
	}
	return s.path, car, h.keys, nil
}

// relinkSafely takes a record that cannot be written for none.
func relinkSafely(h *history) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("there is no such record: %v", x)
		}
	}()
	if len(h.steps) == 0 {
		return fmt.Errorf("a run without steps has no head")
	}
	return h.relinkAll()
}
