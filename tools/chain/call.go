package chain

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
)

const maxCallGas = 3_000_000 // of one call of a contract

// Words tells what a contract says, by its ABI.
type Words interface {
	// Reason tells why it has reverted, as the end of a sentence.
	Reason(data []byte) string
	// Events tells what it has logged, as far as the ABI describes it, and how many other events there are.
	Events(logs []*types.Log) (told []any, others int)
}

// NewCall returns a tool of class chain that calls the function that s names by its schema: [tools.Contract]. What it
// would move is simulated by the node, and decided by that: a node that cannot simulate is no node for it.
func NewCall(c Config, s tools.Spec, w Words) (tools.Tool, error) {
	if c.Key == nil {
		return nil, errors.New("chain tools: a key is required to call a function that writes")
	}
	ch, err := newChain(c)
	if err != nil {
		return nil, err
	}
	return ch.newSender(s, c.Final, w)
}

// newSender makes a tool that sends transactions.
func (c *chain) newSender(s tools.Spec, final string, w Words) (*sender, error) {
	s = c.bindBook(s)
	s.Final = final
	def, err := tools.Compile(s)
	if err != nil {
		return nil, fmt.Errorf("chain tools: %w", err)
	}
	return &sender{c, def.Spec(), def, w, nil}, nil
}

// actOf makes the transaction of a call.
func (t *sender) actOf(ctx context.Context, args tools.Args, block common.Hash) (*act, error) {
	symbol := args.Amount.Asset().Symbol
	if t.def.Contract() == nil {
		token, err := t.contractOf(ctx, symbol, block)
		return &act{
			Call: calldata.Call{To: token, Value: new(uint256.Int), Data: packTransfer(args.To, args.Amount.Uint256())},
			args: args, transfers: true, gas: maxGas, verb: "transfer", payer: t.from,
		}, err
	}
	if args.Amount.Asset() != t.nativeAsset() { // its decimals must be the book's
		if _, err := t.contractOf(ctx, symbol, block); err != nil {
			return nil, err
		}
	}
	call, err := calldata.Of(t.def, args, t.from)
	return &act{Call: call, args: args, gas: maxCallGas, verb: "call", words: t.words, payer: t.from}, err
}

// isUnlimited says whether a call would let somebody move more of a token than there is, which is more than any amount
// that somebody means.
func (t *sender) isUnlimited(ctx context.Context, a *act, block common.Hash) bool {
	if !a.args.Allowance || a.args.Thing != nil { // a thing is one
		return false
	}
	supply, err := t.callUint(ctx, a.To, selTotalSupply, block)
	if err != nil { // the token does not say what its total supply is
		supply = new(big.Int).Lsh(big.NewInt(1), 128)
	}
	return a.args.Amount.Uint256().ToBig().Cmp(supply) > 0
}

// addEarlier adds to allowances that the account gives of the book's tokens what they were before. A token may tell of
// an allowance when a part of it is used: that lets nobody move more.
func (c *chain) addEarlier(ctx context.Context, m *tools.Movement, block common.Hash) error {
	for i := range m.Allowances {
		a := &m.Allowances[i]
		token, known := c.book.Tokens[a.Token]
		if !known || token.Things || a.Owner != m.Account || token.Address != common.HexToAddress(a.Contract) {
			continue
		}
		owner, spender := common.HexToAddress(a.Owner), common.HexToAddress(a.Spender)
		n, err := c.callUint(ctx, token.Address, packAllowance(owner, spender), block)
		if err != nil {
			return fmt.Errorf("allowance of %s: %w", a.Token, err)
		}
		a.Before = n.String()
	}
	return nil
}

// callOf reads a transaction as a call of the tool: how much of what goes to whom. It is false if it is none.
func (t *sender) callOf(tx *types.Transaction, from common.Address) (tools.Args, bool) {
	if tx.To() == nil {
		return tools.Args{}, false
	}
	if t.mandates != nil {
		return t.paymentOf(tx)
	}
	if t.def.Contract() == nil {
		return t.transferOf(tx)
	}
	value, over := uint256.FromBig(tx.Value())
	args, err := calldata.Read(t.def, calldata.Call{From: from, To: *tx.To(), Value: value, Data: tx.Data()})
	return args, err == nil && !over
}

// transferOf reads a transaction as a transfer of a token of the book.
func (c *chain) transferOf(tx *types.Transaction) (tools.Args, bool) {
	if tx.To() == nil {
		return tools.Args{}, false
	}
	to, n, ok := unpackTransfer(tx.Data())
	symbol, known := c.symbols[*tx.To()]
	if !ok || !known {
		return tools.Args{}, false
	}
	amount, err := amountOf(c.assetOf(symbol), n)
	return tools.Args{Amount: amount, To: to}, err == nil
}

// describeCall adds to the result of a contract's call what it has logged.
func (t *sender) describeCall(r *txResult, logs []*types.Log) {
	if t.words == nil || r.Status != statusOK {
		return
	}
	r.Events, r.OtherEvents = t.words.Events(logs)
}

// ethLogs is the address under which a simulation tells transfers of the native coin.
var ethLogs = common.HexToAddress("0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE")

var selAllowance = crypto.Keccak256([]byte("allowance(address,address)"))[:4]

func packAllowance(owner, spender common.Address) []byte {
	data := append([]byte{}, selAllowance...)
	return append(append(data, common.LeftPadBytes(owner[:], 32)...), common.LeftPadBytes(spender[:], 32)...)
}
