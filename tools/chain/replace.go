package chain

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/tools"
)

// Replace makes a transaction with the nonce of attempts that outbids each of them by an eighth, or by as much as the
// chain asks now if that is more. One that cancels pays nothing to the account itself.
func (t *sender) Replace(ctx context.Context, attempts []tools.Signed, cancel bool) (tools.Signed, error) {
	tx, err := t.replacePayment(ctx, attempts, cancel)
	if err != nil {
		return tools.Signed{}, fmt.Errorf("replace a transaction: %w", explainFailure(ctx, err))
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return tools.Signed{}, fmt.Errorf("replace a transaction: %w", err)
	}
	return tools.Signed{Account: t.Account(), Nonce: tx.Nonce(), Hash: tx.Hash().Hex(), Raw: hexutil.Encode(raw)}, nil
}

func (t *sender) replacePayment(
	ctx context.Context, attempts []tools.Signed, cancel bool,
) (*types.Transaction, error) {
	p, err := t.parseAttempts(attempts)
	if err != nil {
		return nil, err
	}
	if p.from != t.from {
		return nil, errorf("other_key", "The transaction is of account %s, and this server has the key of %s.",
			p.from.Hex(), t.from.Hex())
	}
	if err := t.checkChain(ctx); err != nil {
		return nil, err
	}
	head, err := t.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("newest block: %w", err)
	}
	tip, feeCap, err := t.outbidAll(ctx, p, head)
	if err != nil {
		return nil, err
	}
	next := &types.DynamicFeeTx{
		ChainID: t.id, Nonce: p.nonce(), GasTipCap: tip, GasFeeCap: feeCap,
		To: p.newest().To(), Value: p.newest().Value(), Data: p.newest().Data(), Gas: p.newest().Gas(),
	}
	if cancel {
		next.To, next.Value, next.Data = &t.from, new(big.Int), nil
		if next.Gas, err = t.client.EstimateGas(ctx, ethereum.CallMsg{From: t.from, To: &t.from}); err != nil {
			return nil, fmt.Errorf("gas: %w", err)
		}
	}
	if err := t.canPay(ctx, head, new(big.Int).Mul(feeCap, new(big.Int).SetUint64(next.Gas))); err != nil {
		return nil, err
	}
	return types.SignNewTx(t.key, types.LatestSignerForChainID(t.id), next)
}

// outbidAll returns what outbids every attempt, and is enough for the blocks to come, if the operator allows it.
func (t *sender) outbidAll(ctx context.Context, p *payment, head *types.Header) (tip, feeCap *big.Int, err error) {
	least, leastTip := new(big.Int), new(big.Int)
	for _, tx := range p.txs {
		least, leastTip = larger(least, tools.Outbid(tx.GasFeeCap())), larger(leastTip, tools.Outbid(tx.GasTipCap()))
	}
	if tip, err = t.client.SuggestGasTipCap(ctx); err != nil {
		return nil, nil, fmt.Errorf("tip: %w", err)
	}
	base, most := new(big.Int), new(big.Int).SetUint64(t.maxFee)
	if head.BaseFee != nil {
		base = head.BaseFee
	}
	tip = larger(tip, leastTip)
	least = larger(least, new(big.Int).Add(base, leastTip)) // no block, or no node, accepts less
	if least.Cmp(most) > 0 {
		return nil, nil, errorf(tools.StuckCeiling, "It would take %s wei for a unit of gas; the operator allows %d.",
			least, t.maxFee)
	}
	feeCap = larger(least, new(big.Int).Add(tip, new(big.Int).Lsh(base, 1)))
	if feeCap.Cmp(most) > 0 {
		feeCap = most
	}
	if room := new(big.Int).Sub(feeCap, base); tip.Cmp(room) > 0 {
		tip = larger(room, leastTip)
	}
	return tip, feeCap, nil
}

func larger(a, b *big.Int) *big.Int {
	if a.Cmp(b) < 0 {
		return b
	}
	return a
}
