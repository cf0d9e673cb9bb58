package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/writ-run/writ/internal/journal"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A budget with a window, one that counts by recipient and a dApp's are ledgers of their own, told apart by nothing but
// their names: a store must take every byte of a name for what it is.
func testWindows(t *testing.T, b *bench) {
	c := b.openRun(b.newSession(alice))
	full := money.Of(usdc, 10)
	names := []string{
		"wallet/0xA/operator/day", "wallet/0xA/operator/day@2026-11-25", "wallet/0xA/operator/day@2026-11-26",
		"wallet/0xA/operator/day@2026-11-25#0xB", "wallet/0xA/operator/day@2026-11-25#0xb", "wallet/0xA/operator/day#0xB",
		"wallet/0xA/operator/day@2026-W48", "wallet/0xA/operator/day@2026-11-25T13Z", "wallet/0xA/operator/day%",
		"wallet/0xA/dapp https://shop.example/day@2026-11-25", "wallet/0xA/dapp https://shop.example:8443/day@2026-11-25",
	}
	for i, name := range names {
		c.Reserve = append(c.Reserve, journal.Reservation{
			Ledger: name, Ref: provenance.Ref{Seq: 1}, Amount: money.Of(usdc, uint64(i+1)%10+1), Cap: full,
		})
	}
	b.must(b.Commit(b.ctx, c))
	for i, name := range names {
		b.wantLedger(name, money.Of(usdc, 0), money.Of(usdc, uint64(i+1)%10+1))
	}
	// A reservation in one window is settled in that window, whichever it is by then.
	c = b.nextCommit(c)
	c.Reserve = []journal.Reservation{{Ledger: names[2], Ref: provenance.Ref{Seq: 2}, Amount: money.Of(usdc, 1),
		Cap: full}}
	c.Settle = []journal.Settlement{{Ledger: names[1], Ref: provenance.Ref{Seq: 1}, Used: money.Of(usdc, 2)}}
	b.must(b.Commit(b.ctx, c))
	b.wantLedger(names[1], money.Of(usdc, 2), money.Of(usdc, 0))
	b.wantLedger(names[2], money.Of(usdc, 0), money.Of(usdc, 5))
}

// Each commit reserves in two ledgers at once, a day's and a recipient's, and half of those that get in give it back
// and try again: in the end each ledger is as full as it can be and no fuller, and none holds a reservation of a
// commit that was refused by the other.
func testWindowRace(t *testing.T, b *bench) {
	const dayRoom, eachRoom, recipients, tries = 20, 7, 4, 1000
	s := b.newSession(alice)
	var commits []journal.Commit
	for range 50 {
		commits = append(commits, b.openRun(s))
	}
	var held [recipients]atomic.Int64
	var wg sync.WaitGroup
	for w := range commits {
		wg.Go(func() {
			c := commits[w]
			for i := range tries / len(commits) {
				to := (w + i) % recipients
				day, each := "day@2026-11-25", fmt.Sprintf("each@2026-11-25#%d", to)
				c.Step = b.newBlock()
				ref := provenance.Ref{Seq: c.Seq}
				c.Settle = nil
				c.Reserve = []journal.Reservation{
					{Ledger: day, Ref: ref, Amount: money.Of(usdc, 1), Cap: money.Of(usdc, dayRoom)},
					{Ledger: each, Ref: ref, Amount: money.Of(usdc, 1), Cap: money.Of(usdc, eachRoom)},
				}
				err := b.Commit(b.ctx, c)
				if errors.Is(err, journal.ErrBudget) {
					continue
				} else if err != nil {
					t.Error(err)
					return
				}
				c = b.nextCommit(c)
				if i%2 == 0 && i < 10 { // given back: not used
					c.Reserve = nil
					c.Settle = []journal.Settlement{{Ledger: day, Ref: ref, Used: money.Of(usdc, 0)},
						{Ledger: each, Ref: ref, Used: money.Of(usdc, 0)}}
					if err := b.Commit(b.ctx, c); err != nil {
						t.Error(err)
						return
					}
					c = b.nextCommit(c)
					continue
				}
				held[to].Add(1)
			}
		})
	}
	wg.Wait()
	sum := uint64(0)
	for i := range held {
		n := uint64(held[i].Load())
		if sum += n; n > eachRoom {
			t.Errorf("%d reservations for one recipient, want at most %d", n, eachRoom)
		}
		if n > 0 {
			b.wantLedger(fmt.Sprintf("each@2026-11-25#%d", i), money.Of(usdc, 0), money.Of(usdc, n))
		}
	}
	if sum != dayRoom {
		t.Errorf("%d reservations, want %d", sum, dayRoom)
	}
	b.wantLedger("day@2026-11-25", money.Of(usdc, 0), money.Of(usdc, dayRoom))
}
