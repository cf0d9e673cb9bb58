package runner

import (
	"context"
	"fmt"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/talks"
	"github.com/writ-run/writ/provenance"
)

// A Reader feeds the runs of a store to their loops again and writes nothing. It is for one goroutine.
type Reader struct {
	runs *runs
}

// NewReader returns a Reader that tells choice what was known each time that a model was chosen.
func NewReader(store journal.Store, choice func(route.Need)) *Reader {
	r := &records{store: store}
	ms := newMachines(r)
	ms.choice = choice
	return &Reader{runs: &runs{parts: &parts{
		cfg: Config{Store: store}, records: r, machines: ms, said: talks.NewMemory(),
	}}}
}

// Run feeds a run's steps to its loop, and hands each on with the models that the run's runtime had, after what was
// known of the choices in it has been told. A run of which a part was erased ends with [loop.ErrSealed].
func (r *Reader) Run(ctx context.Context, run provenance.Link, each func(*loop.Machine, *provenance.Step)) error {
	h, err := r.runs.loadOpening(ctx, run)
	for from := uint64(0); err == nil; from += page {
		var views []StepView
		views, err = r.runs.records.readSteps(ctx, run, from, page)
		if from == 0 && err == nil && len(views) > 0 {
			err = past{r.runs}.recallThread(ctx, h, views[0].Step)
		}
		for i := 0; err == nil && i < len(views); i++ {
			if err = h.replayStep(views[i]); err == nil {
				each(h.machine, views[i].Step)
			}
		}
		if err == nil && len(views) < page {
			return nil
		}
	}
	return fmt.Errorf("run %s: %w", run, err)
}
