package runner_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A bareStore keeps no steps, only what runs ask for meanwhile: what is measured over it is the runner by itself.
type bareStore struct {
	journal.Store
	mu       sync.Mutex // guards the rest
	sessions map[provenance.Link]journal.Session
	status   map[provenance.Link]string
	ledgers  map[string]journal.Ledger
	reserved map[reservation]money.Amount
}

type reservation struct {
	run    provenance.Link
	ref    provenance.Ref
	ledger string
}

func (s *bareStore) Session(ctx context.Context, id provenance.Link) (journal.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.sessions[id]; ok {
		return have, nil
	}
	have, err := s.Store.Session(ctx, id)
	s.sessions[id] = have
	return have, err
}

func (s *bareStore) RunByKey(context.Context, provenance.Link, string, [32]byte) (provenance.Link, error) {
	return provenance.Link{}, journal.ErrNotFound
}

func (s *bareStore) Ledgers(_ context.Context, keys []string) ([]journal.Ledger, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]journal.Ledger, len(keys))
	for i, k := range keys {
		list[i] = s.ledgers[k]
	}
	return list, nil
}

func (s *bareStore) Commit(_ context.Context, c journal.Commit) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status[c.Run] = c.Status
	for _, r := range c.Reserve {
		s.reserved[reservation{c.Run, r.Ref, r.Ledger}] = r.Amount
		err = errors.Join(err, s.change(r.Ledger, money.Of(r.Amount.Asset(), 0), money.Amount.Add, r.Amount))
	}
	for _, x := range c.Settle {
		id := reservation{c.Run, x.Ref, x.Ledger}
		err = errors.Join(err, s.change(x.Ledger, x.Used, money.Amount.Sub, s.reserved[id]))
		delete(s.reserved, id)
	}
	return err
}

// change adds to what is spent of a ledger, and does to what is reserved.
func (s *bareStore) change(
	key string, spent money.Amount, do func(money.Amount, money.Amount) (money.Amount, error), reserved money.Amount,
) error {
	l := s.ledgers[key]
	if l.Spent.Asset() != spent.Asset() {
		l.Spent, l.Reserved = money.Of(spent.Asset(), 0), money.Of(spent.Asset(), 0)
	}
	var failed, failedToo error
	l.Spent, failed = l.Spent.Add(spent)
	l.Reserved, failedToo = do(l.Reserved, reserved)
	s.ledgers[key] = l
	return errors.Join(failed, failedToo)
}

func (s *bareStore) Run(_ context.Context, run provenance.Link) (journal.RunInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return journal.RunInfo{ID: run, Status: s.status[run]}, nil
}

// A run as in BenchmarkRun, with a store that costs nothing: the machine, the policies, sealed leaves, records, CIDs,
// signed heads, and the runner's own goroutines, timers and keys.
func BenchmarkRunWithoutStore(b *testing.B) {
	answers := replies{calls(call("1", "echo.say", `{"text":"hi"}`)), text("it said hi")}
	bench := openWith(b, answers, func(c *runner.Config) {
		c.Agents[0].Grant.MaxCalls = 100_000
		c.LeafKey = nil // chance, as in earnest
		c.Store = &bareStore{
			Store: c.Store, sessions: map[provenance.Link]journal.Session{}, status: map[provenance.Link]string{},
			ledgers: map[string]journal.Ledger{}, reserved: map[reservation]money.Amount{},
		}
	})
	var reqs []runner.StartRequest
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i == len(reqs) {
			b.StopTimer()
			req, err := bench.request("echo hi", fmt.Sprintf("bench-%08d", i))
			if err != nil {
				b.Fatal(err)
			}
			reqs = append(reqs, req)
			b.StartTimer()
		}
		info, err := bench.r.Start(b.Context(), reqs[i])
		if err != nil {
			b.Fatal(err)
		}
		bench.ended(info.ID)
	}
}
