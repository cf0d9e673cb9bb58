package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

func testLedger(t *testing.T, b *bench) {
	s := b.newSession(alice)
	c := b.openRun(s)
	top, err := money.FromUnits(eth, "115792089237316195423570985008687907853269984665640564039457584007913129639935")
	b.must(err)
	half, err := money.FromUnits(eth, "57896044618658097711785492504343953926634992332820282019728792003956564819968")
	b.must(err)
	rest, err := top.Sub(half)
	b.must(err)
	ref := func(i uint64) provenance.Ref { return provenance.Ref{Seq: 1, Index: i} }
	commit := func(reserve []journal.Reservation, settle []journal.Settlement) error {
		c.Reserve, c.Settle = reserve, settle
		err := b.Commit(b.ctx, c)
		if err == nil {
			c = b.nextCommit(c)
		}
		return err
	}
	none := money.Of(eth, 0)

	b.wantLedger("big", money.Amount{}, money.Amount{})
	b.must(commit([]journal.Reservation{{Ledger: "big", Ref: ref(0), Amount: half, Cap: top}}, nil))
	b.wantErr("half and half is one more than there is",
		commit([]journal.Reservation{{Ledger: "big", Ref: ref(1), Amount: half, Cap: top}}, nil), journal.ErrBudget)
	b.must(commit([]journal.Reservation{{Ledger: "big", Ref: ref(1), Amount: rest, Cap: top}}, nil))
	b.wantLedger("big", none, top)
	b.wantErr("one more", commit([]journal.Reservation{{Ledger: "big", Ref: ref(2), Amount: money.Of(eth, 1), Cap: top}},
		nil),
		journal.ErrBudget)
	b.must(commit([]journal.Reservation{{Ledger: "big", Ref: ref(2), Amount: none, Cap: top}}, nil))
	b.wantRefusal("a settlement of another effect",
		commit(nil, []journal.Settlement{{Ledger: "big", Ref: ref(7), Used: money.Of(eth, 1)}}))
	b.must(commit(nil, []journal.Settlement{{Ledger: "big", Ref: ref(0), Used: half}}))
	b.wantLedger("big", half, rest)
	b.must(commit(nil, []journal.Settlement{{Ledger: "big", Ref: ref(1), Used: money.Of(eth, 1)}}))
	spent, err := half.Add(money.Of(eth, 1))
	b.must(err)
	b.wantLedger("big", spent, none)
	b.wantRefusal("a second settlement", commit(nil, []journal.Settlement{{Ledger: "big", Ref: ref(1),
		Used: money.Of(eth, 1)}}))
	b.must(commit(nil, []journal.Settlement{{Ledger: "big", Ref: ref(1), Used: none}})) // nothing of nothing

	// Two reservations of one effect in one ledger end together; another run's effect of the same name does not.
	two := []journal.Reservation{
		{Ledger: "usd", Ref: ref(0), Amount: money.Of(usdc, 3), Cap: money.Of(usdc, 10)},
		{Ledger: "usd", Ref: ref(0), Amount: money.Of(usdc, 4), Cap: money.Of(usdc, 10)},
	}
	b.must(commit(two, nil))
	d := b.openRun(s)
	d.Reserve = []journal.Reservation{{Ledger: "usd", Ref: ref(0), Amount: money.Of(usdc, 3), Cap: money.Of(usdc, 10)}}
	b.must(b.Commit(b.ctx, d))
	b.wantLedger("usd", money.Of(usdc, 0), money.Of(usdc, 10))
	b.must(commit(nil, []journal.Settlement{{Ledger: "usd", Ref: ref(0), Used: money.Of(usdc, 5)}}))
	b.wantLedger("usd", money.Of(usdc, 5), money.Of(usdc, 3))

	// What left is counted, though it be more than was reserved, and more than the cap; then there is no room.
	over := []journal.Reservation{{Ledger: "over", Ref: ref(0), Amount: money.Of(usdc, 4), Cap: money.Of(usdc, 10)}}
	b.must(commit(over, nil))
	b.must(commit(nil, []journal.Settlement{{Ledger: "over", Ref: ref(0), Used: money.Of(usdc, 11)}}))
	b.wantLedger("over", money.Of(usdc, 11), money.Of(usdc, 0))
	over[0].Ref, over[0].Amount = ref(1), money.Of(usdc, 1)
	b.wantErr("a cap that is overrun", commit(over, nil), journal.ErrBudget)

	both, err := b.Ledgers(b.ctx, []string{"usd", "never", "big", "usd"})
	b.must(err)
	if len(both) != 4 || both[0].Key != "usd" || both[1].Key != "never" || both[2].Key != "big" || both[3] != both[0] ||
		both[2].Spent != spent || both[1] != (journal.Ledger{Key: "never"}) {
		t.Errorf("ledgers in the order of their keys: got %v", both)
	}
	if none, err := b.Ledgers(b.ctx, nil); err != nil || len(none) != 0 {
		t.Errorf("no ledgers: got %v, %v", none, err)
	}
}

func testSettleFirst(t *testing.T, b *bench) {
	c := b.openRun(b.newSession(alice))
	full := money.Of(usdc, 10)
	c.Reserve = []journal.Reservation{{Ledger: "l", Ref: provenance.Ref{Seq: 1}, Amount: full, Cap: full}}
	b.must(b.Commit(b.ctx, c))
	c = b.nextCommit(c)
	c.Settle = []journal.Settlement{{Ledger: "l", Ref: provenance.Ref{Seq: 1}, Used: money.Of(usdc, 4)}}
	c.Reserve = []journal.Reservation{{Ledger: "l", Ref: provenance.Ref{Seq: 2}, Amount: money.Of(usdc, 7), Cap: full}}
	b.wantErr("more than is free", b.Commit(b.ctx, c), journal.ErrBudget)
	c.Reserve[0].Amount = money.Of(usdc, 6)
	b.must(b.Commit(b.ctx, c))
	b.wantLedger("l", money.Of(usdc, 4), money.Of(usdc, 6))
}

func testTxNonce(t *testing.T, b *bench) {
	c := b.openRun(b.newSession(alice))
	next := func(account string, want uint64) {
		t.Helper()
		if n, err := b.NextNonce(b.ctx, account); err != nil || n != want {
			t.Errorf("next nonce: got %d, %v, want %d", n, err, want)
		}
	}
	next("a", 0)
	for _, n := range []uint64{0, 1, 5} {
		c.Nonce = &journal.TxNonce{Account: "a", Nonce: n}
		b.must(b.Commit(b.ctx, c))
		c = b.nextCommit(c)
		next("a", n+1) // a gap was used by someone else, and is never handed out
	}
	c.Nonce = &journal.TxNonce{Account: "a", Nonce: 1}
	b.wantErr("a nonce that was used", b.Commit(b.ctx, c), journal.ErrNonceUsed)
	c.Nonce.Account = "b"
	b.must(b.Commit(b.ctx, c))
	next("a", 6)
	next("b", 2)
	other := b.openRun(b.newSession(alice))
	other.Nonce = &journal.TxNonce{Account: "a", Nonce: 6}
	b.must(b.Commit(b.ctx, other))
	for _, w := range []struct {
		nonces int
		runs   []provenance.Link
	}{{0, nil}, {1, []provenance.Link{other.Run}}, {9, []provenance.Link{other.Run, c.Run}}} {
		if got, err := b.Senders(b.ctx, "a", w.nonces); err != nil || !slices.Equal(got, w.runs) {
			t.Errorf("the runs of the %d newest nonces: got %v, %v, want %v", w.nonces, got, err, w.runs)
		}
	}
}

func testCapRace(t *testing.T, b *bench) {
	s := b.newSession(alice)
	var commits []journal.Commit
	for range 50 {
		commits = append(commits, b.openRun(s))
	}
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			// Each a step of its own; those of one run compete for their seq too.
			c := commits[i%len(commits)]
			c.Step = b.newBlock()
			c.Reserve = []journal.Reservation{{Ledger: "cap", Ref: provenance.Ref{Seq: 1}, Amount: money.Of(usdc, 100),
				Cap: money.Of(usdc, 1000)}}
			switch err := b.Commit(b.ctx, c); {
			case err == nil:
				admitted.Add(1)
			case !errors.Is(err, journal.ErrBudget) && !errors.Is(err, journal.ErrSeq):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if admitted.Load() != 10 {
		t.Errorf("%d reservations were admitted, want 10", admitted.Load())
	}
	b.wantLedger("cap", money.Of(usdc, 0), money.Of(usdc, 1000))
}

// testRevokeRace lets a spender and a revocation meet 10,000 times, many at once so that they share a writer's groups,
// each in a session and a ledger of its own.
func testRevokeRace(t *testing.T, b *bench) { testRaces(t, b, false) }

// testRevokeDelegationRace is the same with a delegation: the one that the run acts under, or one above it.
func testRevokeDelegationRace(t *testing.T, b *bench) { testRaces(t, b, true) }

func testRaces(t *testing.T, b *bench, delegated bool) {
	races := 10_000
	if testing.Short() {
		races = 500
	}
	todo := make(chan int)
	var spent, none atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for n := range todo {
				switch before := b.raceRevocation(t, n, delegated); before {
				case 0:
					none.Add(1)
				default:
					spent.Add(before)
				}
			}
		})
	}
	for n := range races {
		todo <- n
	}
	close(todo)
	wg.Wait()
	t.Logf("%d races: %d spends before the revocation, in %d races none", races, spent.Load(), none.Load())
}

// raceRevocation revokes a session, or a delegation of it, while one of its runs spends, and returns how often it has
// spent.
func (b *bench) raceRevocation(t *testing.T, n int, delegated bool) (spends int64) {
	s := b.newSession(alice)
	c := b.openRun(s)
	ends, revoke := s.ID, b.RevokeSession
	if delegated {
		c.Under = []provenance.Link{b.newBlock().CID, b.newBlock().CID}
		ends, revoke = c.Under[n%2], b.RevokeDelegation
	}
	ledger := fmt.Sprint("race ", n)
	var revoked atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			for spends >= 8 && !revoked.Load() { // enough for one race
				runtime.Gosched()
			}
			late := revoked.Load()
			c.Reserve = []journal.Reservation{{Ledger: ledger, Ref: provenance.Ref{Seq: c.Seq}, Amount: money.Of(usdc, 1),
				Cap: money.Of(usdc, 1<<40)}}
			err := b.Commit(b.ctx, c)
			if errors.Is(err, journal.ErrStale) {
				return
			}
			if err != nil || late {
				t.Errorf("race %d: after the revocation: %v; a commit before it: %v", n, late, err)
				return
			}
			spends++
			c = b.nextCommit(c)
		}
	}()
	for range n % 4 { // sooner or later
		runtime.Gosched()
	}
	by := b.newBlock().CID
	if err := revoke(b.ctx, ends, start+1, by); err != nil {
		t.Errorf("race %d: %v", n, err)
	}
	revoked.Store(true)
	at, err := b.Ledgers(b.ctx, []string{ledger}) // what was spent when the revocation was there
	<-done
	after, err2 := b.Ledgers(b.ctx, []string{ledger})
	if err != nil || err2 != nil || at[0].Reserved != after[0].Reserved {
		t.Errorf("race %d: %v held at the revocation, %v after it (%v, %v)", n, at[0].Reserved, after[0].Reserved, err, err2)
	}
	return spends
}
