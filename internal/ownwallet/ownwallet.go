// Package ownwallet keeps which calls wait for users' own wallets to send them, and which transactions were found for
// them. All of it is in memory: after a restart the calls wait anew.
package ownwallet

import (
	"maps"
	"sync"

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
	mu    sync.Mutex // guards the rest
	calls map[Key]*waiting
	taken map[string]map[uint64]bool // nonces by account; those that no call is looked for at are forgotten
}

// A waiting is a call that waits.
type waiting struct {
	account string
	floor   uint64 // nonces below it are not looked at for the call
	hash    string // under which somebody says that it went out
}

// NewBook returns a Book in which no call waits.
func NewBook() *Book {
	return &Book{calls: map[Key]*waiting{}, taken: map[string]map[uint64]bool{}}
}

// Begin says that a call of an account waits, whose nonces below floor are used by calls that are on record; false if
// too many wait.
func (b *Book) Begin(k Key, account string, floor uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	own, lowest := 0, floor
	for _, w := range b.calls {
		if w.account == account {
			own, lowest = own+1, min(lowest, w.floor)
		}
	}
	if own >= maxOfWallet || len(b.calls) >= maxCalls {
		return false
	}
	b.calls[k] = &waiting{account: account, floor: floor}
	maps.DeleteFunc(b.taken[account], func(nonce uint64, _ bool) bool { return nonce < lowest })
	return true
}

// End says that a call waits no more.
func (b *Book) End(k Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.calls, k)
}

// Note keeps the hash that is said of a call; false if the call does not wait here.
func (b *Book) Note(k Key, hash string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.calls[k]
	if w != nil {
		w.hash = hash
	}
	return w != nil
}

// HashOf returns what was said of a call, or nothing.
func (b *Book) HashOf(k Key) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.calls[k]; w != nil {
		return w.hash
	}
	return ""
}

// Take gives a transaction to one call; false if it is another's.
func (b *Book) Take(s tools.Signed) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken[s.Account][s.Nonce] {
		return false
	}
	if b.taken[s.Account] == nil {
		b.taken[s.Account] = map[uint64]bool{}
	}
	b.taken[s.Account][s.Nonce] = true
	return true
}

// IsTaken says whether an account's nonce belongs to a call.
func (b *Book) IsTaken(account string, nonce uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken[account][nonce]
}
