package eth

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/tools/mined"
)

// Mined asks for a transaction, and whether the block that a record puts it into is the chain's. An error is about the
// endpoint, and no answer: mined.ErrNobody that it is of another chain.
func (c *Client) Mined(ctx context.Context, at mined.Place) (*mined.Receipt, error) {
	id, err := c.ChainID(ctx)
	if err != nil {
		return nil, err
	}
	if id != at.Chain {
		return nil, fmt.Errorf("%s: %w", c.host, mined.ErrNobody)
	}
	var got *struct {
		Tx     common.Hash `json:"transactionHash"`
		Block  common.Hash `json:"blockHash"`
		Status *quantity   `json:"status"`
		Logs   *[]struct {
			Address common.Address `json:"address"`
			Topics  []common.Hash  `json:"topics"`
			Data    data           `json:"data"`
		} `json:"logs"`
	}
	if err := c.Call(ctx, maxBlock, &got, "eth_getTransactionReceipt", at.Tx); err != nil {
		return nil, err
	}
	if got != nil && (got.Tx != at.Tx || got.Block == common.Hash{}) {
		return nil, fmt.Errorf("%s: it was asked for transaction %s and gave another", c.host, at.Tx.Hex())
	}
	if got != nil && (got.Status == nil || *got.Status > 1 || got.Logs == nil) { // what is left out is no revert
		return nil, fmt.Errorf("%s: it does not say what became of the transaction", c.host)
	}
	r := &mined.Receipt{}
	if got != nil {
		r.Block, r.OK = got.Block, *got.Status == 1
		for _, l := range *got.Logs {
			r.Logs = append(r.Logs, mined.Log{Contract: l.Address, Topics: l.Topics, Data: l.Data})
		}
		if r.Stands = got.Block == at.Block; r.Stands {
			return r, nil
		}
	}
	return r, c.lookAtBlock(ctx, at, r)
}

// lookAtBlock says whether a block is the chain's. A node may have dropped what leads from a transaction to its block;
// then the block itself still names it, and there is no answer.
func (c *Client) lookAtBlock(ctx context.Context, at mined.Place, r *mined.Receipt) error {
	var b *struct {
		Number       *quantity     `json:"number"`
		Hash         common.Hash   `json:"hash"`
		Transactions []common.Hash `json:"transactions"`
	}
	if err := c.Call(ctx, maxBlock, &b, "eth_getBlockByNumber", fmt.Sprintf("0x%x", at.Number), false); err != nil {
		return err
	}
	known := r.Block != common.Hash{}
	switch {
	case b == nil && !known:
		return fmt.Errorf("%s: it does not have block %d", c.host, at.Number)
	case b == nil:
		return nil
	case b.Number != nil && uint64(*b.Number) != at.Number, b.Hash == common.Hash{}, b.Transactions == nil:
		return fmt.Errorf("%s: it was asked for block %d and gave another, or not all of it", c.host, at.Number)
	case !known && slices.Contains(b.Transactions, at.Tx):
		return fmt.Errorf("%s: it has the transaction, and no longer what became of it", c.host)
	}
	r.Stands = b.Hash == at.Block
	return nil
}

// Mined asks all endpoints for a transaction. Those of its chain that answer must agree. The error says why there is no
// answer; it is mined.ErrNobody if all of them are of other chains.
func (e Endpoints) Mined(ctx context.Context, at mined.Place) (*mined.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*Timeout)
	defer cancel()
	answers := askAll(ctx, e, isEveryone, 0, func(ctx context.Context, c *Client) (*mined.Receipt, error) {
		return c.Mined(ctx, at)
	})
	var found *mined.Receipt
	elsewhere := 0
	for _, a := range answers {
		switch {
		case errors.Is(a.err, mined.ErrNobody):
			elsewhere++
		case a.err != nil:
		case found != nil && !reflect.DeepEqual(found, a.v):
			return nil, errors.New("the endpoints contradict each other")
		default:
			found = a.v
		}
	}
	switch {
	case found != nil:
		return found, nil
	case elsewhere == len(e):
		return nil, mined.ErrNobody
	}
	return nil, fmt.Errorf("no endpoint of chain %d says what became of it (%s)", at.Chain, joinReasons(answers))
}
