package ownwallet

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

const account = "eip155:1:0xa"

func keyOf(seq int) Key { return Key{Effect: provenance.Ref{Seq: uint64(seq)}} }

// A finder finds the first of an account's nonces that is free.
type finder struct {
	tools.Payer
	sent  uint64 // nonces below it are used on the chain
	found func() // called when one is found
}

func (f *finder) Find(ctx context.Context, _ tools.Input, s tools.Search) (tools.Signed, error) {
	for n := range f.sent {
		if taken, err := s.Taken(ctx, account, n); err != nil || taken {
			continue
		}
		if f.found != nil {
			f.found()
		}
		return tools.Signed{Account: account, Nonce: n}, nil
	}
	return tools.Signed{}, tools.ErrUnsent
}

// A record has the nonces that commits have used.
type record struct {
	journal.OwnWallets
	used map[uint64]bool
}

func (r *record) IsNonceUsed(_ context.Context, of string, nonce uint64) (bool, error) {
	return of == account && r.used[nonce], nil
}

func TestATransactionIsOneCalls(t *testing.T) {
	r := &record{storetest.Memory(t), map[uint64]bool{}}
	b, f := NewBook(r), &finder{}
	look := func(want int) (s tools.Signed) {
		t.Helper()
		s, _, err := b.Look(t.Context(), keyOf(1), f, tools.Input{})
		if want < 0 && !errors.Is(err, tools.ErrUnsent) || want >= 0 && (err != nil || s.Nonce != uint64(want)) {
			t.Errorf("got nonce %d, %v; want %d", s.Nonce, err, want)
		}
		return s
	}
	look(-1)
	f.sent = 2
	look(0)
	second := look(1)
	look(-1)
	b.Release(second) // its commit has failed
	second = look(1)
	// The second call's is on record before the first's, which is still to be found after a restart.
	r.used[1] = true
	b.Release(second)
	b = NewBook(r)
	look(0)
	b = NewBook(r)
	r.used[0] = true
	look(-1)
	f.sent = 3
	look(2)
	b.Release(tools.Signed{Account: account, Nonce: 2})
	f.found = func() { r.used[2] = true } // by a call that was quicker
	if look(-1); len(b.taken) != 0 {
		t.Error("what nobody got is kept")
	}
}

func TestWhatWasSaidIsLookedFor(t *testing.T) {
	s := storetest.Memory(t)
	b := NewBook(said{s, "0x1"})
	if _, hash, err := b.Look(t.Context(), keyOf(1), &finder{}, tools.Input{}); hash != "0x1" || !errors.Is(err, tools.ErrUnsent) {
		t.Errorf("got %q, %v", hash, err)
	}
}

// said is a store in which one hash was said.
type said struct {
	journal.OwnWallets
	hash string
}

func (s said) SentHash(context.Context, provenance.Link, provenance.Ref) (string, error) {
	return s.hash, nil
}

// One wallet that lets all its calls wait leaves room for the others.
func TestNoWalletTakesTheRoomOfOthers(t *testing.T) {
	b := NewBook(nil)
	for i := range maxOfWallet {
		if !b.Begin(keyOf(i), "a") {
			t.Fatalf("the %d. call does not wait", i)
		}
	}
	if b.Begin(keyOf(maxOfWallet), "a") || !b.Begin(keyOf(maxOfWallet), "b") {
		t.Error("a wallet has more than its room, or another has none")
	}
	for i := maxOfWallet + 1; i < maxCalls; i++ {
		if !b.Begin(keyOf(i), fmt.Sprint(i)) {
			t.Fatalf("the %d. call does not wait", i)
		}
	}
	if b.Begin(keyOf(maxCalls), "c") {
		t.Error("more calls wait than are allowed")
	}
	if b.End(keyOf(0)); !b.Begin(keyOf(maxCalls), "a") {
		t.Error("a call that has ended waits still")
	}
}
