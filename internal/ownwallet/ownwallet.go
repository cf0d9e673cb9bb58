// Package ownwallet knows which calls wait for users' own wallets to send them, and which transactions were found for
// them. What a wallet is said to have sent, and which transactions calls have got, is in the store: a call that waits
// anew after a restart waits for the same.
package ownwallet

import (
	"context"
	"sync"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// Calls that wait at a time, of one wallet and in all: one wallet must not take the room of all others.
const (
	maxOfWallet = 16
	maxCalls    = 4096
)

// A Key names a call.
type Key struct {
	Run    provenance.Link
	Effect provenance.Ref
}

// A Book has the calls that wait. Its methods may be called by many goroutines at once. Accounts are CAIP-10.
type Book struct {
	store journal.OwnWallets

	mu    sync.Mutex // guards the rest
	calls map[Key]string
	taken map[transaction]bool // whose commit is under way
}

// A transaction is named by its account and nonce.
type transaction struct {
	account string
	nonce   uint64
}

// NewBook returns a Book in which no call waits.
func NewBook(s journal.OwnWallets) *Book {
	return &Book{store: s, calls: map[Key]string{}, taken: map[transaction]bool{}}
}

// Begin says that a call of an account waits; false if too many wait.
func (b *Book) Begin(k Key, account string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := 0
	for _, a := range b.calls {
		if a == account {
			own++
		}
	}
	if own >= maxOfWallet || len(b.calls) >= maxCalls {
		return false
	}
	b.calls[k] = account
	return true
}

// End says that a call waits no more.
func (b *Book) End(k Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.calls, k)
}

// Look finds the transaction of a call, whatever was said of it, and gives it to the call until [Book.Release]. The
// error is that of [tools.Payer.Find]. said is the hash under which somebody says that it went out.
func (b *Book) Look(
	ctx context.Context, k Key, p tools.Payer, in tools.Input,
) (s tools.Signed, said string, err error) {
	if said, err = b.store.SentHash(ctx, k.Run, k.Effect); err != nil {
		return s, "", err
	}
	if s, err = p.Find(ctx, in, tools.Search{Hash: said, Taken: b.IsTaken}); err != nil {
		return s, said, err
	}
	// Between the search and now another call may have got it, and even have it on record.
	at := transaction{s.Account, s.Nonce}
	if !b.take(at) {
		return s, said, tools.ErrUnsent
	}
	used, err := b.store.IsNonceUsed(ctx, s.Account, s.Nonce)
	if err != nil || used {
		b.Release(s)
	}
	if used {
		err = tools.ErrUnsent
	}
	return s, said, err
}

func (b *Book) take(at transaction) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken[at] {
		return false
	}
	b.taken[at] = true
	return true
}

// Release says that a transaction is on record as a call's, or will not be.
func (b *Book) Release(s tools.Signed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.taken, transaction{s.Account, s.Nonce})
}

// IsTaken says whether an account's nonce belongs to a call.
func (b *Book) IsTaken(ctx context.Context, account string, nonce uint64) (bool, error) {
	b.mu.Lock()
	taken := b.taken[transaction{account, nonce}]
	b.mu.Unlock() // who was released since is on record
	if taken {
		return true, nil
	}
	return b.store.IsNonceUsed(ctx, account, nonce)
}
