// Package ownwallet knows which calls wait for users' own wallets to send them, and which transactions were found for
// them. What a wallet is said to have sent, and which transactions calls have got, is in the store: a call that waits
// anew after a restart waits for the same.
//
// Calls that ask for the same cannot be told apart on the chain. A transaction belongs to the call of which its hash
// was said; one of which nothing was said, to the call that has waited longest, whoever looks first.
package ownwallet

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

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

// A Call waits for its wallet. Accounts are CAIP-10.
type Call struct {
	Account string
	Opened  int64 // its run, ms UTC
	Payer   tools.Payer
	Input   tools.Input
}

// waiting is a call that waits.
type waiting struct {
	Key
	Call
}

// compare orders calls, the longest waiting first: the same way after a restart, too.
func (w waiting) compare(o waiting) int {
	return cmp.Or(cmp.Compare(w.Opened, o.Opened), cmp.Compare(w.Run.String(), o.Run.String()),
		cmp.Compare(w.Effect.Seq, o.Effect.Seq), cmp.Compare(w.Effect.Index, o.Effect.Index))
}

// A Book has the calls that wait. Its methods may be called by many goroutines at once.
type Book struct {
	store journal.OwnWallets

	mu    sync.Mutex // guards the rest
	calls map[Key]Call
	taken map[transaction]Key // whose commit is under way
	held  int
}

// A transaction is named by its account and nonce.
type transaction struct {
	account string
	nonce   uint64
}

// NewBook returns a Book in which no call waits.
func NewBook(s journal.OwnWallets) *Book {
	return &Book{store: s, calls: map[Key]Call{}, taken: map[transaction]Key{}}
}

// Hold says that calls are to come which may have waited longer than those that are here, until release is called.
// Until then no call gets what nobody has said.
func (b *Book) Hold() (release func()) {
	b.addHold(1)
	return sync.OnceFunc(func() { b.addHold(-1) })
}

func (b *Book) addHold(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held += n
}

// Begin says that a call waits. The error, for the agent's model, is that too many do.
func (b *Book) Begin(k Key, c Call) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := 0
	for _, o := range b.calls {
		if o.Account == c.Account {
			own++
		}
	}
	if own >= maxOfWallet || len(b.calls) >= maxCalls {
		return &tools.Error{Code: "too_many", Message: "Too many calls wait for this wallet now; send or cancel some."}
	}
	b.calls[k] = c
	return nil
}

// End says that a call waits no more.
func (b *Book) End(k Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.calls, k)
}

// call returns a call that waits.
func (b *Book) call(k Key) (w waiting, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.calls[k]
	return waiting{k, c}, ok
}

// others returns the other calls of a call's wallet, the longest waiting first, and whether more of them are to come.
func (b *Book) others(of waiting) (list []waiting, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, c := range b.calls {
		if k != of.Key && c.Account == of.Account {
			list = append(list, waiting{k, c})
		}
	}
	slices.SortFunc(list, waiting.compare)
	return list, b.held > 0
}

// maxPause is between two looks, at most.
const maxPause = 2 * time.Second

// lastTime is how long it may take to hear what was said since the last look.
const lastTime = 10 * time.Second

// Await looks until it finds the transaction of a call that has begun, hears that there never will be one, or ctx ends:
// then it returns what the last look said that was finished, and what has been said since if ctx's time was over. warn
// is told of looks that fail.
func (b *Book) Await(ctx context.Context, k Key, warn func(error)) (s tools.Signed, said string, err error) {
	said, err = "", context.Canceled
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, maxPause) {
		found, hash, failed := b.Look(ctx, k)
		if _, never := errors.AsType[*tools.Error](failed); failed == nil || never {
			return found, hash, failed
		}
		if ctx.Err() == nil {
			said, err = hash, failed
			if !errors.Is(err, tools.ErrUnsent) {
				warn(err)
			}
		}
		select {
		case <-ctx.Done():
			if said == "" && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				said, err = b.readLastWord(ctx, k, err)
			}
			return s, said, err
		case <-time.After(pause):
		}
	}
}

// readLastWord returns the hash that somebody has said of a call whose time is over, if it is not another call's for
// certain. The error is why it is not known, or else that of the last look.
func (b *Book) readLastWord(ctx context.Context, k Key, last error) (said string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancel()
	if said, err = b.store.SentHash(ctx, k.Run, k.Effect); err != nil || said == "" {
		return "", cmp.Or(err, last)
	}
	if w, ok := b.call(k); ok {
		if counted, err := b.isCounted(ctx, k, w.Call, said); err == nil && counted {
			said = ""
		}
	}
	return said, last
}

// Look finds the transaction of a call that has begun, whatever was said of it, and gives it to the call until
// [Book.Release]. The error is that of [tools.Payer.Find]. said is the hash under which somebody says that it went out;
// one that belongs to another call says nothing.
func (b *Book) Look(ctx context.Context, k Key) (s tools.Signed, said string, err error) {
	w, ok := b.call(k)
	if !ok {
		return s, "", tools.ErrUnsent
	}
	if said, err = b.store.SentHash(ctx, k.Run, k.Effect); err != nil {
		return s, "", err
	}
	if s, err = b.find(ctx, w, said); err == nil {
		err = b.take(ctx, w, s)
	}
	if said != "" && errors.Is(err, tools.ErrUnsent) {
		counted, err := b.isCounted(ctx, k, w.Call, said)
		if err != nil {
			return s, said, err
		}
		if counted {
			said = ""
		}
	}
	return s, said, err
}

// take gives a transaction to a call. Between the search and now another may have got it, and even have it on record.
func (b *Book) take(ctx context.Context, w waiting, s tools.Signed) error {
	at := transaction{s.Account, s.Nonce}
	b.mu.Lock()
	_, taken := b.taken[at]
	if !taken {
		b.taken[at] = w.Key
	}
	b.mu.Unlock()
	if taken {
		return tools.ErrUnsent
	}
	used, err := b.store.IsNonceUsed(ctx, s.Account, s.Nonce)
	if err != nil || used {
		b.Release(s)
	}
	if used {
		err = tools.ErrUnsent
	}
	return err
}

// find finds a call's transaction among those that are no other call's.
func (b *Book) find(ctx context.Context, w waiting, said string) (tools.Signed, error) {
	s, err := w.Payer.Find(ctx, w.Input, tools.Search{Hash: said, Taken: b.isTaken})
	if err != nil || strings.EqualFold(s.Hash, said) {
		return s, err
	}
	if said != "" {
		if own, err := b.findSaid(ctx, w.Call, said, b.isTaken); !errors.Is(err, tools.ErrUnsent) {
			return own, err
		}
	}
	others, more := b.others(w)
	if more {
		return tools.Signed{}, tools.ErrUnsent
	}
	theirs, err := b.findOthers(ctx, w, s.Hash, others)
	if err != nil || len(theirs) == 0 {
		return s, err
	}
	return w.Payer.Find(ctx, w.Input, tools.Search{Hash: said, Taken: takenFunc(b.isTaken).besides(theirs)})
}

// findOthers returns the nonces of the transactions that others get which could have one that w could have, too.
func (b *Book) findOthers(
	ctx context.Context, w waiting, hash string, others []waiting,
) (theirs map[uint64]bool, err error) {
	theirs = map[uint64]bool{}
	var silent []waiting // and older, and alike
	for _, o := range others {
		said, err := b.store.SentHash(ctx, o.Run, o.Effect)
		if err != nil {
			return nil, err
		}
		s, err := b.findSaid(ctx, o.Call, said, b.isTaken)
		switch {
		case err == nil:
			theirs[s.Nonce] = true
		case !isUnfound(err):
			return nil, err
		case o.compare(w) < 0 && o.Payer.CheckSent(ctx, o.Input, hash) == nil:
			silent = append(silent, o)
		}
	}
	for _, o := range silent {
		s, err := o.Payer.Find(ctx, o.Input, tools.Search{Taken: takenFunc(b.isTaken).besides(theirs)})
		if err == nil {
			theirs[s.Nonce] = true
		} else if !isUnfound(err) {
			return nil, err
		}
	}
	return theirs, nil
}

// isUnfound says whether a call has no transaction now, for all that the chain shows.
func isUnfound(err error) bool {
	_, never := errors.AsType[*tools.Error](err)
	return never || errors.Is(err, tools.ErrUnsent)
}

// findSaid finds the transaction of a hash among those that could be a call's and are not taken; ErrUnsent if there is
// none.
func (b *Book) findSaid(ctx context.Context, c Call, hash string, taken takenFunc) (tools.Signed, error) {
	passed := map[uint64]bool{}
	for hash != "" && len(passed) <= maxOfWallet {
		s, err := c.Payer.Find(ctx, c.Input, tools.Search{Taken: taken.besides(passed)})
		if err != nil || strings.EqualFold(s.Hash, hash) {
			return s, err
		}
		passed[s.Nonce] = true
	}
	return tools.Signed{}, tools.ErrUnsent
}

// CheckSaid says, for the wallet's owner, that a transaction which is said to be a call's was counted for another one,
// and that there is none in exchange.
func (b *Book) CheckSaid(ctx context.Context, k Key, c Call, hash string) error {
	counted, err := b.isCounted(ctx, k, c, hash)
	if err != nil || !counted {
		return err
	}
	w, waits := b.call(k)
	if !waits {
		return nil
	}
	if _, err = b.find(ctx, w, ""); errors.Is(err, tools.ErrUnsent) {
		err = &tools.Error{Code: Counted, Message: "This transaction was counted for another call that asks for the same " +
			"and has waited longer; send one for this call, too."}
	}
	return err
}

// Counted is the code of what CheckSaid says.
const Counted = "wallet.counted"

// isCounted says whether a transaction that is said to be a call's is what was asked for, and is another call's by now.
func (b *Book) isCounted(ctx context.Context, k Key, c Call, hash string) (bool, error) {
	s, err := b.findSaid(ctx, c, hash, noneTaken)
	if err != nil {
		if isUnfound(err) {
			err = nil
		}
		return false, err
	}
	b.mu.Lock()
	of, taken := b.taken[transaction{s.Account, s.Nonce}]
	b.mu.Unlock()
	if taken {
		return of != k, nil
	}
	used, err := b.store.IsNonceUsed(ctx, s.Account, s.Nonce)
	_, waits := b.call(k) // else it may be on record as this call's
	return used && waits, err
}

// Found returns the calls whose transactions were found and are not on record yet.
func (b *Book) Found() map[Key]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := map[Key]bool{}
	for _, k := range b.taken {
		found[k] = true
	}
	return found
}

// Release says that a transaction is on record as a call's, or will not be.
func (b *Book) Release(s tools.Signed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.taken, transaction{s.Account, s.Nonce})
}

// A takenFunc says whether an account's nonce belongs to a call.
type takenFunc func(ctx context.Context, account string, nonce uint64) (bool, error)

// besides has further nonces taken, of the one account that is looked at.
func (f takenFunc) besides(nonces map[uint64]bool) takenFunc {
	return func(ctx context.Context, account string, nonce uint64) (bool, error) {
		if nonces[nonce] {
			return true, nil
		}
		return f(ctx, account, nonce)
	}
}

func noneTaken(context.Context, string, uint64) (bool, error) { return false, nil }

func (b *Book) isTaken(ctx context.Context, account string, nonce uint64) (bool, error) {
	b.mu.Lock()
	_, taken := b.taken[transaction{account, nonce}]
	b.mu.Unlock() // who was released since is on record
	if taken {
		return true, nil
	}
	return b.store.IsNonceUsed(ctx, account, nonce)
}
