package runner_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/digest"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// What one wallet asks for costs the same however many runs others have open: each of n wallets waits with one here.
func openRunsOfOthers(b testing.TB, s journal.Store, n int) {
	b.Helper()
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	var wg sync.WaitGroup
	for range 64 { // commits at once are one write
		wg.Go(func() {
			for i := range work {
				if err := openRunOfOther(b.Context(), s, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func openRunOfOther(ctx context.Context, s journal.Store, i int) error {
	block := func(kind string) provenance.Block {
		data := fmt.Appendf(nil, "%s %d", kind, i)
		return provenance.Block{CID: provenance.Sum(0x71, data), Data: data}
	}
	session := journal.Session{
		ID: block("session").CID, Account: common.BigToAddress(common.Big256), Chain: 1337, Method: auth.MethodEOA,
		Key: "did:key:z6Mk", Agent: "payer", Opened: start.UnixMilli(), Expires: start.Add(time.Hour).UnixMilli(),
		Message: []byte("m"), Sig: []byte("s"),
	}
	binary.BigEndian.PutUint64(session.Account[:], uint64(i))
	if err := s.PutSession(ctx, session); err != nil {
		return err
	}
	run := block("run")
	return s.Commit(ctx, journal.Commit{
		Run: run.CID, At: start.UnixMilli(), Step: block("step"), Blocks: []provenance.Block{run}, Status: "parked",
		Open: &journal.Opening{
			Session: session.ID, Account: session.Account, Agent: "payer", Key: "k", Owner: "local",
			Until: start.Add(time.Hour).UnixMilli(),
		},
	})
}

// A listless store tells nobody of all the runs that are open.
type listless struct{ journal.Store }

func (listless) OpenRuns(context.Context) ([]provenance.Link, error) {
	return nil, errors.New("all open runs were asked for")
}

func TestOneOwnersQuestionsReadNoRunsOfOthers(t *testing.T) {
	b := open(t, replies{calls(pay("1", "bob", "5")), text("done")})
	run := b.start("pay 5")
	b.until(run, "parked")
	openRunsOfOthers(t, b.store, 10)
	b.config.Store = listless{b.store}
	r, err := runner.New(t.Context(), b.config)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	list, err := r.Approvals(t.Context(), b.session)
	if err != nil || len(list) != 1 || list[0].Run != run {
		t.Errorf("approvals %v, %v; want that of %s", list, err, run)
	}
	if err := r.RevokeAsOperator(t.Context(), b.session.ID, "lost key"); err != nil {
		t.Fatal(err)
	}
	info, err := r.Run(t.Context(), run)
	if err != nil || info.Status != provenance.CloseRevoked {
		t.Errorf("after the revocation the run is %q, %v; want revoked", info.Status, err)
	}
}

// A stepCounter counts how often steps are read.
type stepCounter struct {
	journal.Store
	reads atomic.Int64
}

func (c *stepCounter) Steps(ctx context.Context, run provenance.Link, from uint64, n int) ([]provenance.Block, error) {
	c.reads.Add(1)
	return c.Store.Steps(ctx, run, from, n)
}

// What a run waits for is read once for each of its steps, and what was answered is no longer there.
func TestWaitingRunsAreReadOnce(t *testing.T) {
	var kept *stepCounter
	b := openWith(t, replies{calls(pay("1", "bob", "5")), text("done")}, func(c *runner.Config) {
		kept = &stepCounter{Store: c.Store}
		c.Store = kept
	})
	for i := range 5 {
		b.until(b.start(fmt.Sprint("pay 5 for the ", i)), "parked")
	}
	ask := func(want int, reads int64) {
		t.Helper()
		before := kept.reads.Load()
		list, err := b.r.Approvals(t.Context(), b.session)
		if err != nil || len(list) != want {
			t.Fatalf("%d approvals, %v; want %d", len(list), err, want)
		}
		if got := kept.reads.Load() - before; got != reads {
			t.Errorf("steps were read %d times, want %d", got, reads)
		}
	}
	ask(5, 5)
	ask(5, 0)
	list, err := b.r.Approvals(t.Context(), b.session)
	if err != nil {
		t.Fatal(err)
	}
	refuse := runner.ApprovalDecision{Run: list[2].Run, Effect: list[2].Effect}
	if err := b.r.Decide(t.Context(), refuse); err != nil {
		t.Fatal(err)
	}
	b.ended(list[2].Run)
	ask(4, 0)
}

// approval.list and a revocation of one wallet, with 10,000 runs of others open, on disk.
func BenchmarkOneOwnerAmongMany(b *testing.B) {
	db, err := store.Open(b.Context(), store.Config{
		DSN: store.SQLite(filepath.Join(b.TempDir(), "writ.db")), Now: func() time.Time { return start },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	bench := openWith(b, replies{calls(pay("1", "bob", "5")), text("done")}, func(c *runner.Config) { c.Store = db })
	run := bench.start("pay 5")
	bench.until(run, "parked")
	openRunsOfOthers(b, db, 10_000)
	b.Run("Approvals", func(b *testing.B) {
		for b.Loop() {
			if list, err := bench.r.Approvals(b.Context(), bench.session); err != nil || len(list) != 1 {
				b.Fatal(list, err)
			}
		}
	})
	b.Run("Revoke", func(b *testing.B) { // the first ends the run; each stores its record on the disk
		for i := 0; b.Loop(); i++ {
			if err := bench.r.RevokeAsOperator(b.Context(), bench.session.ID, fmt.Sprint("lost key ", i)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// approval.list of a wallet of whose runs 200 wait for it, and what is read beside it of each: who called it, and whom
// the wallet has paid before.
func BenchmarkOwnApprovals(b *testing.B) {
	db, err := store.Open(b.Context(), store.Config{
		DSN: store.SQLite(filepath.Join(b.TempDir(), "writ.db")), Now: func() time.Time { return start },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	bench := openWith(b, replies{calls(pay("1", "bob", "5")), text("done")}, func(c *runner.Config) { c.Store = db })
	for i := range 200 {
		run := bench.start(fmt.Sprint("pay 5 for the ", i))
		bench.until(run, "parked")
	}
	b.Run("Approvals", func(b *testing.B) {
		for b.Loop() {
			if list, err := bench.r.Approvals(b.Context(), bench.session); err != nil || len(list) != 200 {
				b.Fatal(len(list), err)
			}
		}
	})
	b.Run("Callers", func(b *testing.B) {
		list, err := bench.r.Approvals(b.Context(), bench.session)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			for _, a := range list {
				if _, err := bench.r.Lineage(b.Context(), a.Run); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("Payees", func(b *testing.B) {
		for b.Loop() {
			if _, err := (digest.Desk{Store: db}).Payees(b.Context(), bench.session); err != nil {
				b.Fatal(err)
			}
		}
	})
}
