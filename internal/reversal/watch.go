package reversal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// A Sender is a [Chain] that takes transactions.
type Sender interface {
	Chain
	SendTransaction(ctx context.Context, tx *types.Transaction) error
}

// Config says what a [Watch] is made of. All of it is required.
type Config struct {
	Store   Store
	Chain   Sender
	Account string // CAIP-10
	Now     func() time.Time
	Log     *slog.Logger
}

// A Watch looks after an account's payments all the time. Its methods may be called by many goroutines at once.
type Watch struct {
	cfg    Config
	reader *Reader // of the goroutine of Run

	mu    sync.Mutex // guards the rest
	found []Finding  // by the newest look
	seen  map[string]int
}

const (
	pause    = 10 * time.Second // between two looks
	again    = time.Second      // after one that has found something
	lookTime = 20 * time.Second // one look at most
	sure     = 3                // looks in a row that must miss a payment, since an endpoint may be behind the others
)

// NewWatch returns a Watch that has not looked yet.
func NewWatch(c Config) *Watch {
	return &Watch{cfg: c, reader: NewReader(c.Store), seen: map[string]int{}}
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		one, cancel := context.WithTimeout(ctx, lookTime)
		err := w.look(one)
		cancel()
		wait := pause
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.cfg.Log.DebugContext(ctx, "final payments not looked at; it is tried again", "err", err)
		case w.isUnsure():
			wait = again
		}
		timer.Reset(wait)
	}
}

// look looks once, and sends again what has to be.
func (w *Watch) look(ctx context.Context) error {
	payments, err := w.reader.Read(ctx, w.cfg.Account, w.cfg.Now().Add(-Window))
	if err != nil {
		return err
	}
	found, err := Look(ctx, w.cfg.Chain, payments)
	if err != nil {
		return err
	}
	for _, f := range w.note(ctx, found) {
		if err := w.send(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// note keeps what was found, tells what is new of it, and returns what is to be sent again.
func (w *Watch) note(ctx context.Context, found []Finding) (again []Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found = nil
	seen := map[string]int{}
	for _, f := range found {
		key := f.State + " " + f.Signed.Hash
		seen[key] = w.seen[key] + 1
		if seen[key] == sure {
			w.cfg.Log.ErrorContext(ctx, "a payment that was final is not on the chain any more", "run", f.Run,
				"hash", f.Signed.Hash, "nonce", f.Signed.Nonce, "state", f.State, "says", f.Says())
		}
		if seen[key] < sure {
			continue
		}
		if w.found = append(w.found, f); f.State == Returned {
			again = append(again, f)
		}
	}
	for key, n := range w.seen {
		if n >= sure && seen[key] == 0 {
			w.cfg.Log.WarnContext(ctx, "a payment that was final stands otherwise than at the last look", "was", key)
		}
	}
	w.seen = seen
	return again
}

// isUnsure says whether something was found that must be seen again before it counts.
func (w *Watch) isUnsure() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.seen {
		if n < sure {
			return true
		}
	}
	return false
}

// send sends a payment's recorded bytes. What a node says to it is not believed: the next look tells.
func (w *Watch) send(ctx context.Context, f Finding) error {
	raw, err := hexutil.Decode(f.Signed.Raw)
	tx := new(types.Transaction)
	if err == nil {
		err = tx.UnmarshalBinary(raw)
	}
	if err == nil && tx.Hash().Hex() != f.Signed.Hash {
		err = errors.New("they have another hash")
	}
	if err != nil {
		return fmt.Errorf("the bytes of %s: %w", f.Signed.Hash, err)
	}
	err = w.cfg.Chain.SendTransaction(ctx, tx)
	if _, answered := errors.AsType[rpc.Error](err); err != nil && !answered {
		return fmt.Errorf("send %s: %w", f.Signed.Hash, err)
	}
	return nil
}

// Count returns how many payments are in a state, by the newest looks.
func (w *Watch) Count(state string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.found {
		if f.State == state {
			n++
		}
	}
	return n
}
