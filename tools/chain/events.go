package chain

import (
	"context"
	"slices"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/mined"
)

var topicTransfer = crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)"))

// addEvents adds to m what logs say was moved and allowed: see [mined.AddEvent].
func (c *chain) addEvents(m *tools.Movement, logs []*types.Log) {
	for _, l := range logs {
		moves, allows := len(m.Transfers), len(m.Allowances)
		mined.AddEvent(m, mined.Log{Contract: l.Address, Topics: l.Topics, Data: l.Data})
		for i := range m.Transfers[moves:] {
			m.Transfers[moves+i].Token = c.symbolOf(l.Address)
		}
		for i := range m.Allowances[allows:] {
			m.Allowances[allows+i].Token = c.symbolOf(l.Address)
		}
	}
}

// symbolOf returns the book's symbol of a contract, or nothing.
func (c *chain) symbolOf(contract common.Address) string {
	switch contract {
	case common.Address{}:
		return ""
	case ethLogs:
		return c.nativeAsset().Symbol
	}
	return c.symbols[contract]
}

// A logReader is a client that finds events. [*ethclient.Client] is one.
type logReader interface {
	FilterLogs(ctx context.Context, q ethereum.FilterQuery) ([]types.Log, error)
}

// readBesides lists the transfers of a token by other transactions of a block, as far as they are from or to one of
// who. Where the node does not tell them, all that the balances lose counts as this transaction's.
func (c *chain) readBesides(
	ctx context.Context, receipt *types.Receipt, token common.Address, who ...common.Address,
) []tools.Transfer {
	node, ok := c.client.(logReader)
	if !ok {
		return nil
	}
	logs, err := node.FilterLogs(ctx, ethereum.FilterQuery{
		BlockHash: &receipt.BlockHash, Addresses: []common.Address{token}, Topics: [][]common.Hash{{topicTransfer}},
	})
	if err != nil {
		return nil
	}
	topics := 3
	if c.book.Tokens[c.symbols[token]].Things {
		topics = 4
	}
	var out []tools.Transfer
	for i := range logs {
		l := &logs[i]
		if l.TxHash == receipt.TxHash || len(l.Topics) != topics || l.Address != token || l.Removed {
			continue
		}
		from, to := common.BytesToAddress(l.Topics[1][12:]), common.BytesToAddress(l.Topics[2][12:])
		if slices.Contains(who, from) || slices.Contains(who, to) {
			var m tools.Movement
			c.addEvents(&m, []*types.Log{l})
			for _, t := range m.Transfers {
				t.ID = "" // of other transactions their number does
				out = append(out, t)
			}
		}
	}
	return out
}

// addMovement adds to the result of a call what it moved, by its events and by the balances at its block.
func (c *chain) addMovement(
	ctx context.Context, r *txResult, args tools.Args, from common.Address, receipt *types.Receipt,
) (err error) {
	if r.Status != statusOK {
		return nil
	}
	asset := args.Amount.Asset()
	m := &tools.Movement{Account: from.Hex(), Changes: []tools.Change{}}
	c.addEvents(m, receipt.Logs)
	dropForeign(m, from, args.To)
	if asset == c.nativeAsset() {
		c.addNative(m, r, from)
	} else {
		m.Besides = c.readBesides(ctx, receipt, c.book.Tokens[asset.Symbol].Address, from, args.To)
	}
	for range looks {
		if m.Changes, err = c.readChanges(ctx, receipt, asset, from, args.To); err == nil {
			err = c.addEarlierAt(ctx, m, receipt)
		}
		if err == nil && args.Thing != nil {
			m.Owners, err = c.readOwnersAt(ctx, receipt, args.Thing)
		}
		if err == nil {
			break
		}
	}
	if err != nil { // a node may have forgotten the balances of an old block; the events are there
		m.Changes, m.Owners = []tools.Change{}, nil
	}
	moved, err := m.Weigh(args)
	if err != nil {
		return err
	}
	left, arrived := tools.SumOf(moved.Debit), tools.SumOf(moved.Credit)
	r.Movement, r.Left, r.Arrived = m, &left, &arrived
	return nil
}

// manyMoves is how many transfers are all kept. Of more, those between others are dropped: nothing follows from them.
const manyMoves = 64

func dropForeign(m *tools.Movement, who ...common.Address) {
	if len(m.Transfers)+len(m.Allowances) <= manyMoves {
		return
	}
	strange := func(hex string) bool { return !slices.Contains(who, common.HexToAddress(hex)) }
	m.Transfers = slices.DeleteFunc(m.Transfers, func(t tools.Transfer) bool { return strange(t.From) && strange(t.To) })
	m.Allowances = slices.DeleteFunc(m.Allowances, func(a tools.Allowance) bool { return strange(a.Owner) })
}

// addNative adds the native coin that a transaction sends along, and its fee, which no event tells.
func (c *chain) addNative(m *tools.Movement, r *txResult, from common.Address) {
	if r.Value.Units != "0" {
		m.Transfers = append(m.Transfers, tools.Transfer{
			Contract: common.Address{}.Hex(), Token: c.nativeAsset().Symbol, From: from.Hex(), To: r.To, Units: r.Value.Units,
		})
	}
	if r.Fee != nil {
		m.FeeUnits = r.Fee.Units
	}
}

// addEarlierAt adds to allowances what they were before a receipt's block.
func (c *chain) addEarlierAt(ctx context.Context, m *tools.Movement, receipt *types.Receipt) error {
	if len(m.Allowances) == 0 {
		return nil
	}
	h, err := c.client.HeaderByNumber(ctx, receipt.BlockNumber)
	if err != nil {
		return err
	}
	return c.addEarlier(ctx, m, h.ParentHash)
}

// looks is how often balances at a block are asked for before the events alone must do.
const looks = 4

// readChanges reads balances at the block before a receipt's, and at its own.
func (c *chain) readChanges(
	ctx context.Context, receipt *types.Receipt, asset money.Asset, who ...common.Address,
) ([]tools.Change, error) {
	h, err := c.client.HeaderByNumber(ctx, receipt.BlockNumber)
	if err != nil {
		return nil, err
	}
	out := []tools.Change{}
	for _, account := range slices.Compact(who) {
		before, err := c.readUnits(ctx, account, asset, h.ParentHash)
		if err != nil {
			return nil, err
		}
		after, err := c.readUnits(ctx, account, asset, receipt.BlockHash)
		if err != nil {
			return nil, err
		}
		out = append(out, c.changeOf(account, before, after))
	}
	return out, nil
}
