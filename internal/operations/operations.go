// Package operations adds up what an operator looks at every day: how runs ended, what models cost and how fast they
// answered, what rules denied, which calls wait for wallets and which transactions for blocks.
//
// [Desk.Look] reads the newest runs of a window from the journal and keeps nothing. No prompt, answer or argument is in
// its [Figures].
package operations

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/costs"
	"github.com/writ-run/writ/internal/digest"
	"github.com/writ-run/writ/provenance"
)

// Bounds of a look.
const (
	MaxRuns    = 2000 // the newest of a window are read
	maxWaiting = 200  // open runs of before the window whose calls may wait
	Buckets    = 48   // of a window
)

// A Store is what figures are read from. Every journal.Store is one.
type Store interface {
	costs.Store
	digest.Store
}

// A Desk answers an operator's look.
type Desk struct{ Store Store }

// A Question says what is looked at.
type Question struct {
	Since, Now int64 // ms UTC
	Tariff     costs.Tariff
}

// A Count is how often something was so.
type Count struct {
	Of string `json:"of"`
	N  int    `json:"n"`
}

// A Line is what some calls of models cost; money is nano-USD.
type Line struct {
	Of       string `json:"of"`
	Rules    bool   `json:"rules"` // rules answered, and no model
	Runs     int64  `json:"runs"`
	Calls    int64  `json:"calls"`
	Failed   int64  `json:"failed"`
	In       int64  `json:"in"`
	Out      int64  `json:"out"`
	Cost     int64  `json:"cost"`
	Doubtful int64  `json:"doubtful"`
	Saved    int64  `json:"saved"`
	Revenue  int64  `json:"revenue"`
	Margin   int64  `json:"margin"`
}

// A Model is what calls of one model came to; times are ms.
type Model struct {
	Line
	First    Times   `json:"first"`
	Whole    Times   `json:"whole"`
	Failures []Count `json:"failures"` // by their codes, the most frequent first
}

// Times are of calls that say theirs.
type Times struct {
	N   int   `json:"n"`
	P50 int64 `json:"p50"`
	P95 int64 `json:"p95"`
}

// A Bucket is a part of the window.
type Bucket struct {
	From int64 `json:"from"` // ms UTC
	Runs int   `json:"runs"`
	Cost int64 `json:"cost"` // nano-USD
}

// A Waiting is a call that waits for its wallet.
type Waiting struct {
	Run   string `json:"run"`
	Agent string `json:"agent"`
	Since int64  `json:"since"` // ms UTC
	Until int64  `json:"until"`
}

// Figures are what a look found.
type Figures struct {
	Since     int64         `json:"since"` // ms UTC
	At        int64         `json:"at"`
	Runs      int           `json:"runs"`
	More      bool          `json:"more"` // there are older runs in the window, which were not read
	Outcomes  []Count       `json:"outcomes"`
	Moved     []wire.Amount `json:"moved"`
	Denials   []Count       `json:"denials"` // of calls, by rule
	Total     Line          `json:"total"`
	Routes    []Line        `json:"routes"`
	Models    []Model       `json:"models"`
	Buckets   []Bucket      `json:"buckets"`
	Approvals []Waiting     `json:"approvals"` // the oldest first
}

// Look reads the figures.
func (d Desk) Look(ctx context.Context, q Question) (*Figures, error) {
	t := newTally()
	scope := costs.Scope{Since: q.Since, Runs: MaxRuns, Step: t.takeStep}
	more, err := costs.GatherOf(ctx, d.Store, scope, t.takeUse)
	if err != nil {
		return nil, err
	}
	f := &Figures{Since: q.Since, At: q.Now, Runs: len(t.runs), More: more, Denials: sortCounts(t.denials)}
	if err := d.readOutcomes(ctx, t, f); err != nil {
		return nil, err
	}
	if err := d.readOlderWaits(ctx, t); err != nil {
		return nil, err
	}
	f.Approvals = t.listWaiting()
	if err := t.addUp(q.Tariff, f); err != nil {
		return nil, err
	}
	f.Buckets = t.fillBuckets(q.Since, q.Now)
	return f, nil
}

// readOutcomes says how runs ended, and what they moved.
func (d Desk) readOutcomes(ctx context.Context, t *tally, f *Figures) error {
	ends := map[string]int{}
	var moved sums
	for _, info := range t.runs {
		run, err := d.Store.Run(ctx, info.ID) // as it is now: the run may have gone on since it was listed
		if err != nil {
			return fmt.Errorf("run %s: %w", info.ID, err)
		}
		came, err := digest.ReadRun(ctx, d.Store, run)
		if err != nil {
			return err
		}
		ends[came.Outcome]++
		if err := moved.add(came.Moved); err != nil {
			return fmt.Errorf("run %s: %w", info.ID, err)
		}
	}
	f.Outcomes, f.Moved = sortCounts(ends), moved.list()
	return nil
}

// readOlderWaits looks for calls that wait in open runs which began before the window.
func (d Desk) readOlderWaits(ctx context.Context, t *tally) error {
	open, err := d.Store.OpenRuns(ctx)
	if err != nil {
		return fmt.Errorf("list the open runs: %w", err)
	}
	read := 0
	for _, id := range open {
		if t.seen[id] || read == maxWaiting {
			continue
		}
		read++
		info, err := d.Store.Run(ctx, id)
		if err != nil {
			return fmt.Errorf("run %s: %w", id, err)
		}
		if info.Status != "parked" {
			continue
		}
		for from := uint64(0); from < info.Steps; from += stepPage {
			blocks, err := d.Store.Steps(ctx, id, from, stepPage)
			if err != nil {
				return fmt.Errorf("run %s: %w", id, err)
			}
			for _, b := range blocks {
				var s provenance.Step
				if err := provenance.Decode(b.Data, &s); err != nil {
					return fmt.Errorf("a step of run %s: %w", id, err)
				}
				t.takeWait(info, &s)
			}
		}
	}
	return nil
}

const stepPage = 256

func sortCounts(m map[string]int) []Count {
	list := make([]Count, 0, len(m))
	for of, n := range m {
		list = append(list, Count{of, n})
	}
	slices.SortFunc(list, func(a, b Count) int { return cmp.Or(b.N-a.N, cmp.Compare(a.Of, b.Of)) })
	return list
}

// Windows are the times that a page may choose.
var Windows = map[string]time.Duration{
	"hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour, "month": 30 * 24 * time.Hour,
}
