package chain

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// That a nonce is used and no receipt is there does not prove that another transaction used it: nodes answer for what
// they have indexed, which lags behind their blocks, and one of several may lag behind the others. It is said for
// certain only of a transaction that was seen, in the block that used the nonce.

// isTakenByAnother says whether the chain shows another transaction with the nonce of a payment than its attempts.
// Where a node does not say so, as one that has forgotten the state of that block, it is false, and not an error.
func (t *sender) isTakenByAnother(ctx context.Context, p *payment) (bool, error) {
	taker, err := t.findTaker(ctx, p.from, p.nonce())
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil || taker == nil {
		return false, nil
	}
	for _, tx := range p.txs {
		if tx.Hash() == taker.Hash() {
			return false, nil
		}
	}
	return true, nil
}

// findTaker returns the transaction of an account with a nonce, from the block that it is in; nil if there is none.
func (t *sender) findTaker(ctx context.Context, from common.Address, nonce uint64) (*types.Transaction, error) {
	number, err := t.findUse(ctx, from, nonce)
	if number == nil || err != nil {
		return nil, err
	}
	head, err := t.client.HeaderByNumber(ctx, number)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", number, err)
	}
	n, err := t.client.TransactionCount(ctx, head.Hash())
	if err != nil {
		return nil, fmt.Errorf("transactions of block %s: %w", number, err)
	}
	for i := range n {
		tx, err := t.client.TransactionInBlock(ctx, head.Hash(), i)
		if err != nil {
			return nil, fmt.Errorf("transaction %d of block %s: %w", i, number, err)
		}
		if tx.Nonce() != nonce {
			continue
		}
		if who, err := types.Sender(types.LatestSignerForChainID(t.id), tx); err == nil && who == from {
			return tx, nil
		}
	}
	return nil, nil
}

// findUse returns the number of the block in which an account used a nonce, nil if none of the newest state has it: it
// looks back in longer and longer steps, and then between the last two.
func (t *sender) findUse(ctx context.Context, from common.Address, nonce uint64) (*big.Int, error) {
	head, err := t.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("newest block: %w", err)
	}
	isUsedAt := func(n uint64) (bool, error) {
		next, err := t.client.NonceAt(ctx, from, new(big.Int).SetUint64(n))
		return next > nonce, err
	}
	used, free := head.Number.Uint64(), uint64(0)
	if there, err := isUsedAt(used); !there || err != nil {
		return nil, err
	}
	for step := uint64(1); used > 0; step *= 2 {
		free = used - min(step, used)
		there, err := isUsedAt(free)
		if err != nil {
			return nil, fmt.Errorf("nonce at block %d: %w", free, err)
		}
		if !there {
			break
		}
		used = free
	}
	for used > free+1 {
		mid := free + (used-free)/2
		there, err := isUsedAt(mid)
		if err != nil {
			return nil, fmt.Errorf("nonce at block %d: %w", mid, err)
		}
		if there {
			used = mid
		} else {
			free = mid
		}
	}
	return new(big.Int).SetUint64(used), nil
}
