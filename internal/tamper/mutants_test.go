package tamper

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ/provenance"
)

var (
	mutants    = flag.Int("mutants", 400, "changes of recorded files, half of them by an outsider, half by the operator")
	mutantSeed = flag.Uint64("mutant-seed", 1, "chooses them; the same number gives the same changes")
)

// all is so many changes by the operator that each published field is changed several times.
const all = 20_000

// mutantMemory bounds what the changes take together.
const mutantMemory = 256 << 20

// A tally counts what came of the changes.
type tally struct {
	sync.Mutex
	t        *testing.T
	kinds    map[string]map[string]int // by kind of change and verdict
	survived map[string]int            // by field
}

func (y *tally) count(kind, verdict string) {
	y.Lock()
	defer y.Unlock()
	if y.kinds[kind] == nil {
		y.kinds[kind] = map[string]int{}
	}
	y.kinds[kind][verdict]++
}

// TestMutantsOfRecords changes recorded files at random. What an outsider changes, who has no key, is never verified.
// What the operator changes, who links and signs all anew, passes only in the fields that docs/not-proven.md names;
// with many changes each of these fields is seen to pass. make mutants-record makes 80,000.
func TestMutantsOfRecords(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(mutantMemory))
	y := &tally{t: t, kinds: map[string]map[string]int{}, survived: map[string]int{}}
	files := evidences(t)
	runs := make([]map[string][]int, len(toldRuns)) // the places of each by their paths
	for i, w := range toldRuns {
		runs[i] = map[string][]int{}
		for k, path := range pathsOf(t, w) {
			runs[i][path] = append(runs[i][path], k)
		}
	}
	published := readClaims(t)
	eachOf(*mutants, func(i int) {
		r := rand.New(rand.NewPCG(*mutantSeed, uint64(i)))
		if i%2 == 0 {
			y.changeAsOutsider(i, r, files)
		} else {
			y.changeAsOperator(i, r, runs, published)
		}
	})
	for _, kind := range slices.Sorted(maps.Keys(y.kinds)) {
		t.Logf("%-45s %v", kind, y.kinds[kind])
	}
	t.Logf("%d fields of the operator's changes passed: %v", len(y.survived), y.survived)
	for _, field := range published {
		if y.survived[field] == 0 && *mutants >= 2*all {
			t.Errorf("%s is published as what an operator can invent, and no change of it has passed", field)
		}
	}
}

func readClaims(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(claimsGolden)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// evidences are the honest files of all kinds of runs.
func evidences(t *testing.T) (files []*evidence) {
	t.Helper()
	for _, w := range toldRuns {
		h, err := playWorld(w.make())
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		e := &evidence{w.name, h.writeCAR(), h.blocks, h.keys}
		if rep := auditOf(e.car, e.keys); rep.Verdict != provenance.Verified {
			t.Fatalf("%s as it was written: %s %s", w.name, rep.Verdict, rep.Detail)
		}
		files = append(files, e)
	}
	return files
}

// changeAsOutsider makes one change that is one: another is made until the file differs.
func (y *tally) changeAsOutsider(i int, r *rand.Rand, files []*evidence) {
	how, e := outsider[r.IntN(len(outsider))], files[r.IntN(len(files))]
	for {
		car := how.change(r, e, files)
		if car == nil || bytes.Equal(car, e.car) {
			continue
		}
		rep := auditOf(car, e.keys)
		y.count("outsider: "+how.kind, rep.Verdict)
		if rep.Verdict == provenance.Verified {
			y.t.Errorf("mutant %d of seed %d is verified: %s of the run %q", i, *mutantSeed, how.kind, e.name)
		}
		return
	}
}

func (y *tally) changeAsOperator(i int, r *rand.Rand, runs []map[string][]int, published []string) {
	for {
		k := r.IntN(len(toldRuns))
		paths := slices.Sorted(maps.Keys(runs[k]))
		sites := runs[k][paths[r.IntN(len(paths))]]
		path, car, keys, err := lie{toldRuns[k], sites[r.IntN(len(sites))]}.tell(&choices{r})
		if err != nil {
			y.t.Error(err)
			return
		}
		if car == nil {
			continue
		}
		rep := auditOf(car, keys)
		record, _, _ := strings.Cut(path, ".")
		y.count(fmt.Sprintf("operator: %s", record), rep.Verdict)
		if rep.Verdict == provenance.Failed {
			return
		}
		y.Lock()
		defer y.Unlock()
		if y.survived[path]++; !slices.Contains(published, path) {
			y.t.Errorf("mutant %d of seed %d is %s: %s of the run %q, which docs/not-proven.md does not name", i,
				*mutantSeed, rep.Verdict, path, toldRuns[k].name)
		}
		return
	}
}
