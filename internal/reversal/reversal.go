// Package reversal looks whether the chain still has the payments that were called final.
//
// A chain may take back more blocks than its finality rule says. The run is closed by then, and what it recorded stays;
// but the account's next nonce is again that of a payment which nobody sends any more, and all that is sent after it
// waits. A [Reader] finds an account's newest final payments in the journal, [Look] compares them with the chain, and
// a [Watch] does so all the time: it sends the recorded bytes again, which is the same transaction, so that nothing can
// be paid twice. What cannot come back, since another transaction has used its nonce, is only told.
package reversal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// Bounds of what is looked after: an account's newest payments.
const (
	MaxPayments = 64
	Window      = 30 * 24 * time.Hour // since they became final
	stepPage    = 100
)

// A Payment is a transaction that a run has on record as final.
type Payment struct {
	Run     provenance.Link
	Seq     uint64          // of the step that has its final receipt
	At      int64           // ms UTC, of that step
	Signed  tools.Signed    // that the block had
	Cancels bool            // it moves nothing
	Failed  bool            // it was reverted, and moved nothing
	Others  []tools.Attempt // the other transactions that were signed for the nonce
	Block   *big.Int        // that it was in
	Hash    common.Hash     // of that block
}

// A Store is what payments are read from. Every journal.Database is one.
type Store interface {
	archive.OpenedRecords
	Senders(ctx context.Context, account string, nonces int) ([]provenance.Link, error)
}

var _ Store = journal.Database(nil)

// A Reader reads payments. It keeps those of closed runs, which do not change any more. It is for one goroutine.
type Reader struct {
	store  Store
	closed map[provenance.Link][]Payment
}

// NewReader returns a Reader that has read nothing.
func NewReader(s Store) *Reader { return &Reader{s, map[provenance.Link][]Payment{}} }

// Read returns the final payments among the newest transactions of an account (CAIP-10), those of after since, the
// highest nonce first. One whose payloads are erased is left out: nobody knows any more what it was.
func (r *Reader) Read(ctx context.Context, account string, since time.Time) ([]Payment, error) {
	runs, err := r.store.Senders(ctx, account, MaxPayments)
	if err != nil {
		return nil, err
	}
	var all []Payment
	keep := map[provenance.Link][]Payment{}
	for _, run := range runs {
		list, known := r.closed[run]
		if !known {
			info, err := r.store.Run(ctx, run)
			if err != nil {
				return nil, err
			}
			if list, err = r.readRun(ctx, run); err != nil {
				return nil, err
			}
			known = !info.IsOpen()
		}
		if known {
			keep[run] = list
		}
		all = append(all, list...)
	}
	r.closed = keep
	all = slices.DeleteFunc(all, func(p Payment) bool {
		return p.Signed.Account != account || p.At < since.UnixMilli()
	})
	slices.SortFunc(all, func(a, b Payment) int { return cmp.Compare(b.Signed.Nonce, a.Signed.Nonce) })
	return all[:min(len(all), MaxPayments)], nil
}

// readRun returns a run's final payments.
func (r *Reader) readRun(ctx context.Context, run provenance.Link) ([]Payment, error) {
	now := reading{run: run, signed: map[provenance.Ref][]tools.Attempt{}, waits: map[provenance.Ref]*provenance.Call{}}
	for from := uint64(0); ; from += stepPage {
		page, err := archive.Steps(ctx, r.store, run, from, stepPage)
		if err != nil {
			return nil, err
		}
		for _, v := range page {
			now.take(v.Step)
		}
		if len(page) < stepPage {
			return now.found, nil
		}
	}
}

// A reading is of one run.
type reading struct {
	run    provenance.Link
	signed map[provenance.Ref][]tools.Attempt // by the model's call
	waits  map[provenance.Ref]*provenance.Call
	found  []Payment
}

func (r *reading) take(s *provenance.Step) {
	if ev, is := s.Event.(*provenance.Result); is {
		r.takeResult(s, ev)
	}
	for i, e := range s.Does {
		c, is := e.(*provenance.Call)
		if !is || c.Phase != provenance.PhaseSend && c.Phase != provenance.PhaseFinal {
			continue
		}
		r.waits[provenance.Ref{Seq: s.Seq, Index: uint64(i)}] = c
		raw, _ := c.Signed.Bytes()
		a, err := tools.ReadAttempt(raw)
		known := slices.ContainsFunc(r.signed[c.Of], func(x tools.Attempt) bool { return x.Hash == a.Hash })
		if err == nil && !known {
			r.signed[c.Of] = append(r.signed[c.Of], a)
		}
	}
}

// takeResult notes a payment whose receipt shows that its block is final.
func (r *reading) takeResult(s *provenance.Step, ev *provenance.Result) {
	c := r.waits[ev.Of]
	delete(r.waits, ev.Of)
	out, ok := ev.Output.Bytes()
	if c == nil || c.Phase != provenance.PhaseFinal || ev.Status != provenance.StatusOK || !ok {
		return
	}
	mined, err := tools.ReadBlock(out)
	if err != nil || mined.Final == nil {
		return
	}
	p := Payment{Run: r.run, Seq: s.Seq, At: s.At, Failed: mined.Status != "ok", Hash: common.HexToHash(mined.BlockHash)}
	p.Block, _ = new(big.Int).SetString(mined.Block, 10)
	for _, a := range r.signed[c.Of] {
		if a.Hash == mined.Hash {
			p.Signed, p.Cancels = a.Signed, a.Cancels
		} else {
			p.Others = append(p.Others, a)
		}
	}
	if p.Signed.Hash != "" && p.Block != nil {
		r.found = append(r.found, p)
	}
}

// A Chain is what a look asks.
type Chain interface {
	HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error)
	TransactionReceipt(ctx context.Context, hash common.Hash) (*types.Receipt, error)
	NonceAt(ctx context.Context, account common.Address, number *big.Int) (uint64, error)
}

// What has become of a payment whose block is gone.
const (
	// Returned: it is in no block, and its nonce is free. Its bytes are sent again.
	Returned = "returned"
	// Held: as Returned, but on record it was reverted. It is not sent again, since it might not be reverted now.
	Held = "held"
	// Reversed: another transaction has used its nonce, or it is in another block and was reverted there. It never can
	// be in one as it was.
	Reversed = "reversed"
)

// A Finding is a payment that the chain does not have as it was recorded.
type Finding struct {
	Payment
	State string
}

// Says is one sentence about it, for the operator.
func (f Finding) Says() string {
	what := fmt.Sprintf("the payment of run %s (nonce %d, %s) was final in block %s, and the chain has taken that block "+
		"back", f.Run, f.Signed.Nonce, f.Signed.Hash, f.Block)
	switch f.State {
	case Returned:
		return what + ": it is not paid now, its bytes are sent again, and what the account sends after it waits for it"
	case Held:
		return what + ": it had failed there, so it is not sent again, and what the account sends after it waits"
	}
	return what + ": it is not paid and never will be, since another transaction has its nonce or it fails now"
}

// Next is what the operator does about it.
func (f Finding) Next() string {
	switch f.State {
	case Returned:
		return "keep the server running, which sends it; ask another endpoint whether the chain really has no such " +
			"transaction; its recipient may believe to be paid"
	case Held:
		return fmt.Sprintf("send a transaction with nonce %d from the account, to itself and of 0 coin", f.Signed.Nonce)
	}
	return "look on the chain what has its nonce, and settle it with who was to be paid; the record stays as it was, " +
		"and writ-audit nonces --rpc lists it as replaced"
}

// Look returns those of an account's payments that the chain does not have any more, the lowest nonce first. payments
// are as [Reader.Read] returns them. A block that is there has all its ancestors, so that in the usual case one
// question is enough. A chain that is not as long as it was says nothing yet.
func Look(ctx context.Context, c Chain, payments []Payment) ([]Finding, error) {
	var found []Finding
	for _, p := range payments {
		there, err := hasBlock(ctx, c, p.Block, p.Hash)
		if errors.Is(err, ethereum.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if there {
			break
		}
		state, err := find(ctx, c, p)
		if err != nil {
			return nil, fmt.Errorf("payment %s: %w", p.Signed.Hash, err)
		}
		if state != "" {
			found = append(found, Finding{p, state})
		}
	}
	slices.Reverse(found)
	return found, nil
}

// hasBlock says whether the chain has a block; [ethereum.NotFound] if it has none so high.
func hasBlock(ctx context.Context, c Chain, number *big.Int, hash common.Hash) (bool, error) {
	h, err := c.HeaderByNumber(ctx, number)
	if errors.Is(err, ethereum.NotFound) {
		return false, err
	}
	if err != nil {
		return false, fmt.Errorf("block %s: %w", number, err)
	}
	return h.Hash() == hash, nil
}

// find says what has become of a payment whose block is gone; "" if it is in another and did there what was recorded.
func find(ctx context.Context, c Chain, p Payment) (state string, err error) {
	// The nonce is read before the receipts: if it was used by then and there is none, another transaction took it.
	used, err := c.NonceAt(ctx, accountOf(p.Signed), nil)
	if err != nil {
		return "", fmt.Errorf("nonce: %w", err)
	}
	for _, a := range append([]tools.Attempt{{Signed: p.Signed, Cancels: p.Cancels}}, p.Others...) {
		r, err := c.TransactionReceipt(ctx, common.HexToHash(a.Hash))
		if errors.Is(err, ethereum.NotFound) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("receipt: %w", err)
		}
		there, err := hasBlock(ctx, c, r.BlockNumber, r.BlockHash)
		if err != nil && !errors.Is(err, ethereum.NotFound) {
			return "", err
		}
		if !there {
			continue
		}
		if failed := r.Status != types.ReceiptStatusSuccessful; failed == p.Failed && a.Cancels == p.Cancels {
			return "", nil
		}
		return Reversed, nil
	}
	switch {
	case used > p.Signed.Nonce:
		return Reversed, nil
	case p.Failed:
		return Held, nil
	}
	return Returned, nil
}

func accountOf(s tools.Signed) common.Address {
	return common.HexToAddress(s.Account[strings.LastIndexByte(s.Account, ':')+1:])
}
