package chain

import (
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
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/writ-run/writ/tools"
)

var _ tools.Follower = (*sender)(nil)

// Follow looks once at how a payment stands. That none of its attempts ever will be included is said only once a final
// block has their nonce used by another transaction; until then any block may go.
func (t *sender) Follow(ctx context.Context, attempts []tools.Signed, rule tools.Finality) (tools.Standing, error) {
	p, err := t.parseAttempts(attempts)
	if err != nil {
		return tools.Standing{}, err
	}
	st, err := t.followPayment(ctx, p, rule)
	if err != nil {
		return st, fmt.Errorf("follow %s: %w", p.newest().Hash().Hex(), err)
	}
	return st, nil
}

// A payment is what was signed for one call: transactions of one account with one nonce, the newest last.
type payment struct {
	from common.Address
	txs  []*types.Transaction
}

func (p *payment) newest() *types.Transaction { return p.txs[len(p.txs)-1] }

func (p *payment) nonce() uint64 { return p.newest().Nonce() }

func (t *sender) parseAttempts(attempts []tools.Signed) (*payment, error) {
	p := &payment{}
	for i, s := range attempts {
		tx, from, err := t.parseSigned(s)
		if err != nil {
			return nil, err
		}
		if i > 0 && (from != p.from || tx.Nonce() != p.nonce()) {
			return nil, errorf("bad_transaction", "The transactions signed for this are not of one account and nonce.")
		}
		p.from, p.txs = from, append(p.txs, tx)
	}
	if len(p.txs) == 0 {
		return nil, errorf("bad_transaction", "No transaction was signed for this.")
	}
	return p, nil
}

func (t *sender) followPayment(ctx context.Context, p *payment, rule tools.Finality) (tools.Standing, error) {
	waits := tools.Standing{State: tools.StandsWaiting}
	if err := t.checkChain(ctx); err != nil {
		return waits, fmt.Errorf("%v", err) // never an *Error: this node cannot tell what others have included
	}
	// The final block is read before the receipt: a block that is final now is final then too.
	mark, err := t.readMark(ctx, rule)
	if err != nil {
		return waits, err
	}
	r, err := t.findOutcome(ctx, p)
	switch {
	case errors.Is(err, errTaken):
		if err := t.checkTaken(ctx, p, rule); err != nil {
			return waits, err
		}
		_, err = t.rebroadcast(ctx, p.newest()) // who says that the nonce is used may be wrong
		return waits, err
	case err != nil:
		return waits, err
	case r != nil:
		return standingOf(r, mark, rule)
	}
	if waits.Offer, err = t.readOffer(ctx, p); err != nil {
		return waits, err
	}
	waits.Offer.Refused, err = t.rebroadcast(ctx, p.newest())
	return waits, err
}

// findOutcome returns the result of the attempt that is in a block, nil if none is, and errTaken if it looks as if none
// ever will be.
func (t *sender) findOutcome(ctx context.Context, p *payment) (*txResult, error) {
	taken := 0
	for _, tx := range slices.Backward(p.txs) {
		r, err := t.readOutcome(ctx, tx, p.from)
		if r != nil {
			return r, nil
		}
		if errors.Is(err, errTaken) {
			taken++
		} else if err != nil {
			return nil, err
		}
	}
	if taken == len(p.txs) {
		return nil, errTaken
	}
	return nil, nil
}

// readOffer says what the newest attempt offers, beside what the chain asks.
func (t *sender) readOffer(ctx context.Context, p *payment) (*tools.Offer, error) {
	h, err := t.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("newest block: %w", err)
	}
	next, err := t.client.NonceAt(ctx, p.from, nil)
	if err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	o := &tools.Offer{
		Nonce: p.nonce(), Next: next, Cap: p.newest().GasFeeCap(), Base: new(big.Int), Block: h.Number.Uint64(),
	}
	if h.BaseFee != nil {
		o.Base.Set(h.BaseFee)
	}
	return o, nil
}

// standingOf says how a transaction stands that is in a block.
func standingOf(r *txResult, mark *types.Header, rule tools.Finality) (tools.Standing, error) {
	st := tools.Standing{State: tools.StandsIncluded, BlockHash: r.BlockHash}
	block, ok := new(big.Int).SetString(r.Block, 10)
	if ok && mark != nil && rule.Reaches(block, mark.Number) {
		st.State = tools.StandsFinal
		r.Final = &tools.Mark{Rule: rule.String(), Block: mark.Number.String(), BlockHash: mark.Hash().Hex()}
	}
	var err error
	st.Receipt, err = encodeResult(r)
	return st, err
}

// readMark returns the block by which others are final: that of the tag, or the newest one. A chain that has just begun
// has no final block: then it is nil.
func (t *chain) readMark(ctx context.Context, rule tools.Finality) (*types.Header, error) {
	h, err := t.client.HeaderByNumber(ctx, tagOf(rule))
	if errors.Is(err, ethereum.NotFound) && rule.Tag() != "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("final block: %w", err)
	}
	return h, nil
}

// tagOf returns the number by which go-ethereum's client asks for a tag.
func tagOf(rule tools.Finality) *big.Int {
	switch rule.Tag() {
	case "finalized":
		return big.NewInt(int64(rpc.FinalizedBlockNumber))
	case "safe":
		return big.NewInt(int64(rpc.SafeBlockNumber))
	}
	return nil
}

// checkTaken says for certain that another transaction took the nonce, if a final block has it so and no look finds one
// of the attempts. Two nodes may answer that are not alike, so there are several looks.
func (t *sender) checkTaken(ctx context.Context, p *payment, rule tools.Finality) error {
	for range looksToBeSure {
		used, err := t.finalNonce(ctx, p.from, rule)
		if err != nil {
			return err
		}
		if used <= p.nonce() {
			return nil // it may yet go, with its block
		}
		if _, err = t.findOutcome(ctx, p); !errors.Is(err, errTaken) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(firstWait):
		}
	}
	another, err := t.isTakenByAnother(ctx, p)
	if err != nil || !another {
		return err
	}
	return errorf("nonce_taken", "Another transaction of the agent's account took nonce %d; nothing was sent.", p.nonce())
}

// finalNonce returns an account's next nonce at the chain's newest final block.
func (t *sender) finalNonce(ctx context.Context, from common.Address, rule tools.Finality) (uint64, error) {
	mark, err := t.readMark(ctx, rule)
	if err != nil || mark == nil {
		return 0, err
	}
	number := rule.Newest(mark.Number)
	if number.Sign() < 0 {
		return 0, nil
	}
	used, err := t.client.NonceAt(ctx, from, number)
	if err != nil {
		return 0, fmt.Errorf("nonce at a final block: %w", err)
	}
	return used, nil
}

// rebroadcast sends the bytes if the chain's nodes do not know them, as at first, or after they were dropped. What a
// node says to it is not believed: the receipt and the nonce tell. refused says that the node has another transaction
// with this nonce, and that these bytes offer too little more to take its place.
func (t *sender) rebroadcast(ctx context.Context, tx *types.Transaction) (refused bool, err error) {
	_, _, err = t.client.TransactionByHash(ctx, tx.Hash())
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, ethereum.NotFound) {
		return false, fmt.Errorf("transaction: %w", err)
	}
	err = t.client.SendTransaction(ctx, tx)
	if _, answered := errors.AsType[rpc.Error](err); err != nil && !answered {
		return false, fmt.Errorf("send: %w", err)
	}
	return err != nil && isUnderbid(err), nil
}

// isUnderbid says whether a node keeps what it has, by the words of the nodes in use.
func isUnderbid(err error) bool {
	says := strings.ToLower(err.Error())
	return strings.Contains(says, "replac") || strings.Contains(says, "underpriced")
}
