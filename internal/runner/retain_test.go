package runner_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"

	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// kept opens a bench on the disk with three runs: of a boss with its sub-agent, which have ended; of a payer, which has
// ended; and of one that waits for its wallet.
func kept(t *testing.T) (b *bench, db *store.DB, boss, payer, parked provenance.Link) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(t.TempDir(), "writ.db")), Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b = openWith(t, cast{
		"boss":  replies{ask("agent.payer"), text("bob is paid")},
		"payer": replies{calls(call("1", "bank.pay", pay1)), text("I paid bob 1 USDC")},
		"Wait.": replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")},
	}, func(c *runner.Config) {
		c.Store = db
		withDelegates(c, "boss")
		waiter := c.Agents[1]
		waiter.Name, waiter.Instructions = "waiter", "Wait."
		c.Agents = append(c.Agents, waiter)
	})
	boss = b.startAs("boss", "pay bob")
	b.until(boss, provenance.CloseAnswered)
	b.childOf(boss)
	b.asUserOf("payer")
	payer = b.startAs("payer", "pay bob again")
	b.until(payer, provenance.CloseAnswered)
	b.asUserOf("waiter")
	parked = b.startAs("waiter", "pay bob five")
	b.until(parked, "parked")
	return b, db, boss, payer, parked
}

// asUserOf signs in for another agent.
func (b *bench) asUserOf(name string) {
	b.Helper()
	b.agent = name
	if err := b.signIn(b.Context(), b.r); err != nil {
		b.Fatal(err)
	}
}

func after(d time.Duration) int64 { return start.Add(d).UnixMilli() }

func clockAt(at int64) func() time.Time { return func() time.Time { return time.UnixMilli(at) } }

const days = 24 * time.Hour

// erasedOf returns how many leaves of a run are erased and how many are only sealed, as a stranger without keys sees it.
func (b *bench) erasedOf(run provenance.Link) (leaves provenance.LeafCounts, erasures int) {
	b.Helper()
	src, o := b.exported(run)
	o.Keys = nil
	rep, _ := provenance.Verify(src, provenance.Options{OperatorKey: o.OperatorKey, Keys: o.Keys})
	if rep.Verdict == provenance.Failed {
		b.Fatalf("run %s: %s at %s", run, rep.Code, rep.At)
	}
	info, err := b.store.Run(b.Context(), run)
	if err != nil {
		b.Fatal(err)
	}
	data, err := b.store.Block(b.Context(), info.Head)
	if err != nil {
		b.Fatal(err)
	}
	var head provenance.Head
	if err := provenance.Decode(data, &head); err != nil {
		b.Fatal(err)
	}
	return rep.Leaves, len(head.Erased)
}

func TestRetention(t *testing.T) {
	b, db, boss, payer, parked := kept(t)
	child := b.childOf(boss).ID
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	sweep := func(now int64) archive.Swept {
		t.Helper()
		sum, err := archive.Sweep(t.Context(), db, b.config.Key, archive.RetentionFloor, clockAt(now), log)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	if sum := sweep(after(183 * days)); sum != (archive.Swept{}) || out.Len() != 0 {
		t.Errorf("a day too early: %+v\n%s", sum, &out)
	}
	hold, err := db.AddHold(t.Context(), journal.Hold{Run: payer, By: "counsel", Why: "case 17"})
	if err != nil {
		t.Fatal(err)
	}
	sum := sweep(after(185 * days))
	if sum.Runs != 1 || sum.Keys == 0 {
		t.Errorf("the boss's run and its sub-agent's are one erasure: %+v", sum)
	}
	for _, run := range []provenance.Link{boss, child} {
		leaves, n := b.erasedOf(run)
		if n != 1 || leaves.Erased == 0 || leaves.Missing != 0 {
			t.Errorf("run %s: %v, %d erasures", run, leaves, n)
		}
	}
	// What is left of them is the permission, which other runs share.
	if keys, err := b.r.Keys(t.Context(), boss); err != nil || len(keys) != 2 {
		t.Errorf("%d keys of the run are left, %v; want those of the grant's text and signature", len(keys), err)
	}
	for _, run := range []provenance.Link{payer, parked} {
		if leaves, n := b.erasedOf(run); n != 0 || leaves.Erased != 0 {
			t.Errorf("run %s, which is open or held: %v", run, leaves)
		}
	}
	if strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), "run="+boss.String()) ||
		!strings.Contains(out.String(), `rule="retention: 184 days after the end of the run"`) {
		t.Errorf("the log says\n%s", &out)
	}
	if sum := sweep(after(186 * days)); sum != (archive.Swept{}) {
		t.Errorf("swept again: %+v", sum)
	}
	if err := db.RemoveHold(t.Context(), hold.ID, "counsel", "settled"); err != nil {
		t.Fatal(err)
	}
	if sum := sweep(after(186 * days)); sum.Runs != 1 {
		t.Errorf("after the hold: %+v", sum)
	}
	if leaves, n := b.erasedOf(payer); n != 1 || leaves.Erased == 0 {
		t.Errorf("after the hold: %v", leaves)
	}
	// The open run needed all of it, and goes on.
	pending, err := b.r.Approvals(t.Context(), b.session)
	if err != nil || len(pending) != 1 {
		t.Fatalf("approvals: %v, %v", pending, err)
	}
	if err := b.approve(t.Context(), b.r, pending[0]); err != nil {
		t.Fatal(err)
	}
	b.until(parked, provenance.CloseAnswered)
	b.verified(parked)
}

// A sweep that is cut short anywhere is finished by the next, and nothing is erased twice.
func TestASweepThatIsCutShort(t *testing.T) {
	for _, done := range []bool{false, true} {
		b, db, boss, payer, _ := kept(t)
		broken := errors.New("the power is out")
		cuts := 0
		for err := broken; err != nil; cuts++ {
			k := &powerless{DB: db, at: cuts, done: done, err: broken}
			_, err = archive.Sweep(t.Context(), k, b.config.Key, archive.RetentionFloor, clockAt(after(185*days)), slog.New(slog.DiscardHandler))
			if err != nil && !errors.Is(err, broken) {
				t.Fatalf("write %d: %v", cuts, err)
			}
		}
		if cuts < 3 {
			t.Errorf("cut short %d times; that proves little", cuts)
		}
		for _, run := range []provenance.Link{boss, b.childOf(boss).ID, payer} {
			if leaves, n := b.erasedOf(run); n != 1 || leaves.Erased == 0 || leaves.Missing != 0 {
				t.Errorf("run %s: %v, %d erasures", run, leaves, n)
			}
		}
	}
}

// A powerless keeper fails its write number at, before or after it is done.
type powerless struct {
	*store.DB
	at, n int
	done  bool
	err   error
}

func (f *powerless) write(do func() error) error {
	n := f.n
	f.n++
	if n == f.at && !f.done {
		return f.err
	}
	err := do()
	if n == f.at {
		return f.err
	}
	return err
}

func (f *powerless) Erase(ctx context.Context, all ...journal.Erasure) error {
	return f.write(func() error { return f.DB.Erase(ctx, all...) })
}

func (f *powerless) NoteSwept(ctx context.Context, run provenance.Link, at int64) error {
	return f.write(func() error { return f.DB.NoteSwept(ctx, run, at) })
}

func TestEraseKeepsToTheFloorAndToHolds(t *testing.T) {
	b, db, boss, _, parked := kept(t)
	child := b.childOf(boss).ID
	erase := func(run provenance.Link, at time.Duration, early bool) error {
		_, _, err := archive.Erase(t.Context(), db, b.config.Key, archive.EraseRequest{Run: run, Now: clockAt(after(at)), Early: early, Why: "asked for"})
		return err
	}
	if err := erase(boss, 183*days, false); !errors.Is(err, archive.ErrRetained) {
		t.Errorf("a day too early: %v", err)
	}
	if err := erase(parked, 300*days, true); !errors.Is(err, journal.ErrConflict) {
		t.Errorf("an open run: %v", err)
	}
	for _, h := range []journal.Hold{{Run: boss}, {Run: child}, {Wallet: b.wallet.Address()}} {
		h.By, h.Why = "counsel", "case 17"
		h, err := db.AddHold(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range []provenance.Link{boss, child} { // a hold on one is on what it shares with the other
			if err := erase(run, 300*days, true); !errors.Is(err, journal.ErrOnHold) {
				t.Errorf("hold on %v %v, erase %s: %v", h.Run, h.Wallet, run, err)
			}
		}
		if err := db.RemoveHold(t.Context(), h.ID, "counsel", "settled"); err != nil {
			t.Fatal(err)
		}
	}
	if leaves, n := b.erasedOf(boss); n != 0 || leaves.Erased != 0 {
		t.Errorf("a refusal has erased: %v", leaves)
	}
	// Of a sub-agent's run only what is its own is erased: its caller's request stays.
	if err := erase(child, 0, true); err != nil {
		t.Fatal(err)
	}
	if leaves, n := b.erasedOf(boss); n != 0 {
		t.Errorf("the caller: %v, %d erasures", leaves, n)
	}
	if keys, err := b.r.Keys(t.Context(), boss); err != nil || len(keys) < 5 {
		t.Errorf("the caller has %d keys left, %v", len(keys), err)
	}
	if err := erase(boss, 184*days, false); err != nil {
		t.Errorf("at the floor: %v", err)
	}
	all, err := db.Holds(t.Context(), true)
	if err != nil || len(all) != 3 || all[0].Removed == 0 || all[0].RemovedWhy != "settled" || all[0].RemovedBy != "counsel" {
		t.Errorf("holds that were: %+v, %v", all, err)
	}
	if _, err := db.AddHold(t.Context(), journal.Hold{Run: provenance.Sum(0x71, []byte("nothing")), By: "x", Why: "y"}); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a hold on a run that is not there: %v", err)
	}
	if _, err := db.AddHold(t.Context(), journal.Hold{Run: boss, By: "x"}); err == nil {
		t.Error("a hold without a reason")
	}
	if err := db.RemoveHold(t.Context(), all[0].ID, "x", "y"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// A counting keeper has nothing to sweep, fails once, and notes when it was asked.
type counting struct {
	archive.RetentionStore
	asked []int64
}

func (c *counting) EndedRuns(_ context.Context, before, _ int64, _ int) ([]journal.EndedRun, error) {
	if c.asked = append(c.asked, before); len(c.asked) == 3 {
		return nil, errors.New("smoke")
	}
	return nil, nil
}

func TestRetainSweepsEveryHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var c counting
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			archive.Retain(ctx, &c, nil, 200*days, slog.New(slog.DiscardHandler), func() { t.Error("nothing was erased") })
		}()
		time.Sleep(24*time.Hour + time.Minute) // by the bubble's clock
		cancel()
		<-done
		if len(c.asked) != 25 || c.asked[0] != begun.Add(-200*days).UnixMilli() || c.asked[24] != begun.Add(24*time.Hour-200*days).UnixMilli() {
			t.Errorf("asked %d times in a day, for what ended before %v", len(c.asked), c.asked)
		}
	})
}
