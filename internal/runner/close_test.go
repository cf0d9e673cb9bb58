package runner_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A slowClaimer takes a while to give up a claim whose caller stops.
type slowClaimer struct {
	journal.Store
	begun chan struct{} // of one place
	over  atomic.Bool
}

func (s *slowClaimer) Claim(ctx context.Context, _ provenance.Link, _ string, _ int64) (uint64, error) {
	s.begun <- struct{}{}
	<-ctx.Done()
	time.Sleep(20 * time.Millisecond)
	s.over.Store(true)
	return 0, ctx.Err()
}

// A parked run whose time has come is being woken when the Runner closes: nothing of it goes on after Close, when the
// store may be closed too.
func TestCloseWaitsForARunThatIsBeingWoken(t *testing.T) {
	s := &slowClaimer{begun: make(chan struct{}, 1)}
	b := openWith(t, replies{calls(pay("1", "bob", "5")), text("done")}, func(c *runner.Config) {
		s.Store = c.Store
		c.Store = s
		c.Agents[0].Limits.Wall = 20 * time.Millisecond
	})
	b.start("pay 5") // it parks; the bench's clock stands still, the timer's does not
	<-s.begun
	b.r.Close()
	if !s.over.Load() {
		t.Error("Close has returned, and the store is still being asked for a claim")
	}
}
