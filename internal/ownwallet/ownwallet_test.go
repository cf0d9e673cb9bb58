package ownwallet

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

const account = "eip155:1:0xa"

func keyOf(seq int) Key { return Key{Effect: provenance.Ref{Seq: uint64(seq)}} }

func hashOf(nonce uint64) string { return fmt.Sprintf("0x%064x", nonce) }

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
		return tools.Signed{Account: account, Nonce: n, Hash: hashOf(n)}, nil
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

func (f *finder) CheckSent(context.Context, tools.Input, string) error { return nil }

// A teller has a wallet's word for some calls.
type teller struct {
	*record
	said map[Key]string
}

func (s teller) SentHash(_ context.Context, run provenance.Link, of provenance.Ref) (string, error) {
	return s.said[Key{run, of}], nil
}

// Of calls that ask for the same, one of which nothing was said waits behind older ones, whoever looks first; a word
// that comes in time says more than age, and one that comes late is told so.
func TestOfCallsThatAskForTheSameTheOldestIsPaidFirst(t *testing.T) {
	f := &finder{sent: 1}
	s := teller{&record{storetest.Memory(t), map[uint64]bool{}}, map[Key]string{}}
	b := NewBook(s)
	begin := func(seq, opened int) {
		t.Helper()
		if err := b.Begin(keyOf(seq), Call{Account: account, Opened: int64(opened), Payer: f}); err != nil {
			t.Fatal(err)
		}
	}
	look := func(seq, want int) {
		t.Helper()
		got, _, err := b.Look(t.Context(), keyOf(seq))
		if want < 0 && !errors.Is(err, tools.ErrUnsent) || want >= 0 && (err != nil || got.Nonce != uint64(want)) {
			t.Errorf("call %d got nonce %d, %v; want %d", seq, got.Nonce, err, want)
		}
		if err == nil { // and it is on record
			s.used[got.Nonce] = true
			b.Release(got)
			b.End(keyOf(seq))
		}
	}
	release := b.Hold() // an older one may come
	begin(12, 1)
	look(12, -1)
	begin(11, 1)
	begin(3, 2) // of a younger run
	release()
	look(3, -1)
	look(12, -1)
	look(11, 0)
	if e, ok := errors.AsType[*tools.Error](b.CheckSaid(t.Context(), keyOf(12), Call{Account: account, Payer: f}, hashOf(0))); !ok ||
		e.Code != Counted {
		t.Errorf("a word that comes late: %v", e)
	}
	if err := b.CheckSaid(t.Context(), keyOf(11), Call{Account: account, Payer: f}, hashOf(0)); err != nil {
		t.Errorf("a word for a call's own, which is on record: %v", err)
	}
	f.sent = 3 // two more at once: the younger has the wallet's word for the first
	s.said[keyOf(3)] = hashOf(1)
	if err := b.CheckSaid(t.Context(), keyOf(3), Call{Account: account, Payer: f}, hashOf(1)); err != nil {
		t.Errorf("a word in time: %v", err)
	}
	s.used[1] = true // as if another had got it: the one that is left is in exchange for it
	if err := b.CheckSaid(t.Context(), keyOf(12), Call{Account: account, Payer: f}, hashOf(1)); err != nil {
		t.Errorf("a word too late, with one in exchange: %v", err)
	}
	delete(s.used, 1)
	look(12, 2)
	look(3, 1)
	begin(20, 3) // its word was kept just when another got it: it says nothing
	s.said[keyOf(20)] = hashOf(1)
	if _, said, err := b.Look(t.Context(), keyOf(20)); said != "" || !errors.Is(err, tools.ErrUnsent) {
		t.Errorf("a word for what is another's: %q, %v", said, err)
	}
}

func TestATransactionIsOneCalls(t *testing.T) {
	r := &record{storetest.Memory(t), map[uint64]bool{}}
	f := &finder{}
	begin := func() *Book {
		b := NewBook(r)
		if err := b.Begin(keyOf(1), Call{Account: account, Payer: f}); err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := begin()
	look := func(want int) (s tools.Signed) {
		t.Helper()
		s, _, err := b.Look(t.Context(), keyOf(1))
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
	b = begin()
	look(0)
	b = begin()
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
	if err := b.Begin(keyOf(1), Call{Payer: &finder{}}); err != nil {
		t.Fatal(err)
	}
	if _, hash, err := b.Look(t.Context(), keyOf(1)); hash != "0x1" || !errors.Is(err, tools.ErrUnsent) {
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

// A lateTeller has what the test decides.
type lateTeller struct {
	*record
	said func() (string, error)
}

func (s lateTeller) SentHash(context.Context, provenance.Link, provenance.Ref) (string, error) {
	return s.said()
}

// What is said behind the last look, and is accepted, is heard: else a call would count as not sent whose wallet has
// just said that it has.
func TestAWordBehindTheLastLookIsHeard(t *testing.T) {
	down := errors.New("disk on fire")
	for _, tt := range []struct {
		rule   string
		hash   string // said when no look is left
		failed error
		used   bool // it is another call's
		said   string
		unsent bool
	}{
		{"a hash", hashOf(7), nil, false, hashOf(7), true},
		{"what another call has got", hashOf(0), nil, true, "", true},
		{"nothing", "", nil, false, "", true},
		{"nobody knows what", "", down, false, "", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			end, _ := ctx.Deadline()
			r := &record{used: map[uint64]bool{}}
			f := &finder{}
			b := NewBook(lateTeller{r, func() (string, error) {
				if time.Now().Before(end) {
					return "", nil
				}
				if tt.used {
					f.sent, r.used[0] = 1, true
				}
				return tt.hash, tt.failed
			}})
			if err := b.Begin(keyOf(1), Call{Account: account, Payer: f}); err != nil {
				t.Fatal(err)
			}
			_, said, err := b.Await(ctx, keyOf(1), func(error) {})
			if said != tt.said || errors.Is(err, tools.ErrUnsent) != tt.unsent || err == nil {
				t.Errorf("%s: %q, %v, want %q", tt.rule, said, err, tt.said)
			}
		})
	}
}

// One wallet that lets all its calls wait leaves room for the others.
func TestNoWalletTakesTheRoomOfOthers(t *testing.T) {
	b := NewBook(nil)
	begin := func(i int, of string) bool { return b.Begin(keyOf(i), Call{Account: of}) == nil }
	for i := range maxOfWallet {
		if !begin(i, "a") {
			t.Fatalf("the %d. call does not wait", i)
		}
	}
	if begin(maxOfWallet, "a") || !begin(maxOfWallet, "b") {
		t.Error("a wallet has more than its room, or another has none")
	}
	for i := maxOfWallet + 1; i < maxCalls; i++ {
		if !begin(i, fmt.Sprint(i)) {
			t.Fatalf("the %d. call does not wait", i)
		}
	}
	if begin(maxCalls, "c") {
		t.Error("more calls wait than are allowed")
	}
	if b.End(keyOf(0)); !begin(maxCalls, "a") {
		t.Error("a call that has ended waits still")
	}
}
