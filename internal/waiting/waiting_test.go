package waiting

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance"
)

func link(s string) provenance.Link { return provenance.Sum(cid.DagCBOR, []byte(s)) }

func TestARunIsReadOnceForEachStep(t *testing.T) {
	var b Book[int]
	reads := 0
	ask := func(step string, want, wantReads int) {
		t.Helper()
		list, err := b.At(link("run"), link(step), func() ([]int, error) { reads++; return []int{reads}, nil })
		if err != nil || len(list) != 1 || list[0] != want || reads != wantReads {
			t.Errorf("at %s: got %v after %d reads, %v; want %d after %d", step, list, reads, err, want, wantReads)
		}
	}
	ask("one", 1, 1)
	ask("one", 1, 1)
	ask("two", 2, 2) // it has gone on
	ask("two", 2, 2)
	b.Forget(link("run"))
	ask("two", 3, 3)
	_, err := b.At(link("bad"), link("one"), func() ([]int, error) { return nil, errors.New("no") })
	if err == nil || b.of[link("bad")] != nil {
		t.Errorf("what could not be read is kept: %v", err)
	}
}

// What is forgotten while it is read is not kept: the run has gone on, or ended.
func TestWhatIsForgottenMeanwhileIsNotKept(t *testing.T) {
	var b Book[string]
	list, err := b.At(link("run"), link("one"), func() ([]string, error) {
		b.Forget(link("run"))
		return []string{"secret"}, nil
	})
	if err != nil || len(list) != 1 || len(b.of) != 0 {
		t.Errorf("got %v, %v, and %d runs are kept", list, err, len(b.of))
	}
}

func TestABookIsBounded(t *testing.T) {
	var b Book[int]
	for i := range 2 * maxRuns {
		if _, err := b.At(link(fmt.Sprint(i)), link("one"), func() ([]int, error) { return nil, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.of) != maxRuns {
		t.Errorf("%d runs are kept, want %d", len(b.of), maxRuns)
	}
}
