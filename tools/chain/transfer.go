package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
)

const maxGas = 1_000_000 // of one transfer; the usual ones take less than a tenth

const moveArgs = `{"type":"object","additionalProperties":false,"required":["token","to","amount"],"properties":{
	"token":{"type":"string","format":"token","description":"symbol of the ERC-20 token"},
	"to":{"type":"string","format":"address","description":"who gets it: a name in the address book or a 0x address"},
	"amount":{"type":"string","format":"amount","x-asset":"token","description":"how many whole tokens, e.g. 12.5"}}}`

var simulateSpec = tools.Spec{
	Output: chainWords,
	Name:   "tx.simulate",
	About:  "What sending tokens from the agent's account would do now, without doing it: whether it would succeed, and the balances before and after.",
	Class:  tools.Read,
	Schema: json.RawMessage(moveArgs),
	Utterances: []string{
		"simulate sending {amount} {token} to {to}", "simulate {amount} {token} to {to}",
		"what would happen if i sent {amount} {token} to {to}", "what if i send {amount} {token} to {to}",
	},
}

var transferSpec = tools.Spec{
	Output: chainFacts,
	Name:   "erc20.transfer",
	About:  "Sends ERC-20 tokens from the agent's account. The effect is final.",
	Class:  tools.ChainTx,
	Schema: json.RawMessage(moveArgs),
	Spend:  &tools.Spend{Amount: "amount", Asset: "token", To: "to"},
	Utterances: []string{"send {amount} {token} to {to}", "pay {to} {amount} {token}", "pay {amount} {token} to {to}",
		"transfer {amount} {token} to {to}", "send {to} {amount} {token}", "give {to} {amount} {token}"},
}

// A change is one account's balance before and after; before and after are decimal counts of smallest units.
type change struct {
	Account  string `json:"account"`
	Name     string `json:"name,omitempty"`
	Token    string `json:"token"`
	Before   string `json:"before"`
	After    string `json:"after"`
	Decimals uint8  `json:"decimals"`
	Display  string `json:"display"` // the difference, e.g. "-5 USDC"
}

type simulation struct {
	OK      bool     `json:"ok"`
	Changes []change `json:"changes"`        // none if not ok; sender first
	Code    string   `json:"code,omitempty"` // if not ok, as of a [tools.Error]
	Reason  string   `json:"reason,omitempty"`
	Method  string   `json:"method"` // who worked out the balances: "eth_simulateV1" (the node), or "eth_call" (this program)
	Gas     string   `json:"gas,omitempty"`
	place
}

// simulate is the tool tx.simulate, and what erc20.transfer shows before it is approved.
func (c *chain) simulate(ctx context.Context, args tools.Args) (any, error) {
	head, at, err := c.at(ctx, tools.Value{})
	if err != nil {
		return nil, err
	}
	return c.foresee(ctx, head, at, arg(args, "to").Addr, arg(args, "amount").Amount)
}

func (c *chain) foresee(ctx context.Context, head *types.Header, at place, to common.Address, n money.Amount) (*simulation, error) {
	asset, block := n.Asset(), head.Hash()
	token, err := c.contract(ctx, asset.Symbol, block)
	if err != nil {
		return nil, err
	}
	s := &simulation{Changes: []change{}, place: at, Method: "eth_call"}
	no := func(code, format string, args ...any) (*simulation, error) {
		s.Code, s.Reason = code, fmt.Sprintf(format, args...)
		return s, nil
	}
	before, err := c.units(ctx, c.from, asset, block)
	if err != nil {
		return nil, err
	}
	if less, err := before.Cmp(n); err != nil {
		return nil, err
	} else if less < 0 {
		return no("insufficient_funds", "The agent's account holds %s, which is less than %s.", before, n)
	}
	toBefore, err := c.units(ctx, to, asset, block)
	if err != nil {
		return nil, err
	}
	msg := ethereum.CallMsg{From: c.from, To: &token, Gas: maxGas, Data: packTransfer(to, n.Uint256())}
	after, toAfter, gas, err := c.byNode(ctx, msg, to, asset, block)
	s.Method = "eth_simulateV1"
	if errors.Is(err, errNoSimulation) {
		s.Method = "eth_call"
		after, toAfter, err = c.byCall(ctx, msg, to, before, toBefore, n, block)
	}
	if r, ok := errors.AsType[*refusal](refused(err)); ok {
		return no("reverted", "The transfer would fail: %s.", r.reason)
	}
	if err != nil {
		return nil, fmt.Errorf("simulation: %w", err)
	}
	if gas > 0 {
		s.Gas = fmt.Sprint(gas)
	}
	s.OK = true
	s.Changes = append(s.Changes, c.change(c.from, before, after))
	if to != c.from {
		s.Changes = append(s.Changes, c.change(to, toBefore, toAfter))
	}
	return s, nil
}

func (c *chain) change(account common.Address, before, after money.Amount) change {
	a, display := before.Asset(), ""
	if more, err := after.Sub(before); err == nil {
		display = "+" + more.String()
	} else if less, err := before.Sub(after); err == nil {
		display = "-" + less.String()
	}
	return change{account.Hex(), c.people[account], a.Symbol, before.Units(), after.Units(), a.Decimals, display}
}

var errNoSimulation = errors.New("the node does not simulate")

// byNode lets the node run the transfer and read both balances behind it, as one block on top of the given one.
func (c *chain) byNode(ctx context.Context, msg ethereum.CallMsg, to common.Address, asset money.Asset, block common.Hash) (
	after, toAfter money.Amount, gas uint64, err error) {
	node, ok := c.client.(interface {
		SimulateV1(context.Context, ethclient.SimulateOptions, *rpc.BlockNumberOrHash) ([]ethclient.SimulateBlockResult, error)
	})
	if !ok {
		return after, toAfter, 0, errNoSimulation
	}
	balance := func(a common.Address) ethereum.CallMsg {
		return ethereum.CallMsg{From: c.from, To: msg.To, Gas: maxGas, Data: packBalanceOf(a)}
	}
	where := rpc.BlockNumberOrHashWithHash(block, false)
	out, err := node.SimulateV1(ctx, ethclient.SimulateOptions{BlockStateCalls: []ethclient.SimulateBlock{
		{Calls: []ethereum.CallMsg{msg, balance(c.from), balance(to)}},
	}}, &where)
	if e, ok := errors.AsType[rpc.Error](err); ok && e.ErrorCode() == -32601 { // no such method
		return after, toAfter, 0, errNoSimulation
	}
	if err != nil {
		return after, toAfter, 0, err
	}
	if len(out) != 1 || len(out[0].Calls) != 3 {
		return after, toAfter, 0, errors.New("the node answered another number of calls than it was asked")
	}
	calls := out[0].Calls
	if e := calls[0].Error; e != nil {
		data, _ := hexutil.Decode(e.Data) // none is fine: then there is no reason
		return after, toAfter, 0, &refusal{reasonOf(data)}
	}
	if !accepted(calls[0].ReturnValue) {
		return after, toAfter, 0, &refusal{"the token answered false"}
	}
	var both [2]money.Amount
	for i := range both {
		n, err := word(calls[i+1].ReturnValue)
		if err != nil {
			return after, toAfter, 0, err
		}
		if both[i], err = amount(asset, n); err != nil {
			return after, toAfter, 0, err
		}
	}
	return both[0], both[1], calls[0].GasUsed, nil
}

// byCall calls the transfer without a transaction and computes the balances as ERC-20 defines them.
func (c *chain) byCall(ctx context.Context, msg ethereum.CallMsg, to common.Address, before, toBefore, n money.Amount, block common.Hash) (
	after, toAfter money.Amount, err error) {
	out, err := c.client.CallContractAtHash(ctx, msg, block)
	if err != nil {
		return after, toAfter, err
	}
	if !accepted(out) {
		return after, toAfter, &refusal{"the token answered false"}
	}
	if to == c.from {
		return before, before, nil
	}
	if after, err = before.Sub(n); err == nil {
		toAfter, err = toBefore.Add(n)
	}
	return after, toAfter, err
}

// A transfer is the tool erc20.transfer.
type transfer struct {
	*chain
	about tools.Spec
}

var _ tools.Chain = (*transfer)(nil)

func (t *transfer) Spec() tools.Spec { return t.about }

// Call is never called on a tool of its class.
func (t *transfer) Call(context.Context, tools.Input) ([]byte, error) {
	return nil, errors.New("erc20.transfer is signed and sent, not called")
}

// Account returns the sending account as CAIP-10.
func (t *transfer) Account() string { return t.caip10(t.from) }

func (c *chain) caip10(a common.Address) string { return fmt.Sprintf("eip155:%s:%s", c.id, a.Hex()) }

// Simulate returns what [tx.simulate] does.
func (t *transfer) Simulate(ctx context.Context, in tools.Input) ([]byte, error) {
	v, err := t.simulate(ctx, in.Args)
	if err != nil {
		return nil, fmt.Errorf("simulate erc20.transfer: %w", told(ctx, err))
	}
	return result(v)
}

// Sign makes an EIP-1559 transaction with the lowest nonce that neither floor nor the node's pending transactions
// forbid. A transfer that would fail now is not signed: the error is an [*tools.Error] that says why.
func (t *transfer) Sign(ctx context.Context, in tools.Input, floor uint64) (tools.Signed, error) {
	tx, err := t.sign(ctx, in.Args, floor)
	if err != nil {
		return tools.Signed{}, fmt.Errorf("sign erc20.transfer: %w", told(ctx, err))
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return tools.Signed{}, fmt.Errorf("sign erc20.transfer: %w", err)
	}
	return tools.Signed{Account: t.Account(), Nonce: tx.Nonce(), Hash: tx.Hash().Hex(), Raw: hexutil.Encode(raw)}, nil
}

func (t *transfer) sign(ctx context.Context, args tools.Args, floor uint64) (*types.Transaction, error) {
	head, at, err := t.at(ctx, tools.Value{})
	if err != nil {
		return nil, err
	}
	s, err := t.foresee(ctx, head, at, args.To, args.Amount)
	if err != nil {
		return nil, err
	}
	if !s.OK {
		return nil, errorf(s.Code, "%s", s.Reason)
	}
	token := t.book.Tokens[args.Amount.Asset().Symbol].Address
	data := packTransfer(args.To, args.Amount.Uint256())
	gas, err := t.client.EstimateGas(ctx, ethereum.CallMsg{From: t.from, To: &token, Data: data})
	if err != nil {
		if r, ok := errors.AsType[*refusal](refused(err)); ok {
			return nil, errorf("reverted", "The transfer would fail: %s.", r.reason)
		}
		return nil, fmt.Errorf("gas: %w", err)
	}
	if gas += gas / 5; gas > maxGas { // a balance that changes meanwhile may cost a little more
		return nil, errorf("fee_too_high", "The transfer would need %d gas; at most %d are allowed.", gas, maxGas)
	}
	tip, err := t.client.SuggestGasTipCap(ctx)
	if err != nil {
		return nil, fmt.Errorf("tip: %w", err)
	}
	feeCap := new(big.Int).Set(tip)
	if head.BaseFee != nil {
		feeCap.Add(feeCap, new(big.Int).Lsh(head.BaseFee, 1)) // stays good through six full blocks
	}
	if feeCap.Cmp(new(big.Int).SetUint64(t.maxFee)) > 0 {
		return nil, errorf("fee_too_high", "Gas costs up to %s wei now; the operator allows %d. Try again later.", feeCap, t.maxFee)
	}
	if err := t.canPay(ctx, head, new(big.Int).Mul(feeCap, new(big.Int).SetUint64(gas))); err != nil {
		return nil, err
	}
	nonce, err := t.client.PendingNonceAt(ctx, t.from)
	if err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	return types.SignNewTx(t.key, types.LatestSignerForChainID(t.id), &types.DynamicFeeTx{
		ChainID: t.id, Nonce: max(nonce, floor), To: &token, Data: data, Gas: gas, GasTipCap: tip, GasFeeCap: feeCap,
	})
}

// canPay says whether the account can pay a fee of at most so many wei.
func (t *transfer) canPay(ctx context.Context, head *types.Header, wei *big.Int) error {
	fee, err := amount(t.native(), wei)
	if err != nil {
		return err
	}
	has, err := t.units(ctx, t.from, t.native(), head.Hash())
	if err != nil {
		return err
	}
	if less, err := has.Cmp(fee); err != nil || less < 0 {
		return errorf("insufficient_funds", "The agent's account holds %s, too little for a fee of up to %s.", has, fee)
	}
	return nil
}

// Send broadcasts s and waits until it is in a block. It may be called any number of times, also after a restart: the
// transaction counts once. An [*tools.Error] means for certain that s has no effect and never will (another
// transaction took its nonce, or s is not what it says). Any other error, the end of ctx too, leaves it open: s may yet
// be included, and Send must be called again. s need not be of the present key's account: what was signed before the
// operator changed the key is still sent.
func (t *transfer) Send(ctx context.Context, s tools.Signed) ([]byte, error) {
	tx, from, err := t.parse(s)
	if err != nil {
		return nil, err
	}
	r, err := t.deliver(ctx, tx, from)
	if err != nil {
		return nil, fmt.Errorf("send %s: %w", s.Hash, err)
	}
	return result(r)
}

// parse reads a signed transaction back, with its sender, and refuses one that is not what it says.
func (t *transfer) parse(s tools.Signed) (*types.Transaction, common.Address, error) {
	bad := func(why string) (*types.Transaction, common.Address, error) {
		return nil, common.Address{}, errorf("bad_transaction", "The signed transaction %s; it was not sent.", why)
	}
	raw, err := hexutil.Decode(s.Raw)
	if err != nil {
		return bad("is not hexadecimal")
	}
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		return bad("cannot be read")
	}
	from, err := types.Sender(types.LatestSignerForChainID(t.id), tx)
	switch {
	case err != nil || s.Account != t.caip10(from):
		return bad("is of another account or chain than its record")
	case tx.Hash().Hex() != s.Hash || tx.Nonce() != s.Nonce:
		return bad("has another hash or nonce than its record")
	}
	return tx, from, nil
}

const (
	firstWait = 20 * time.Millisecond // then twice as long each time
	longWait  = time.Second
	resend    = 16 // waits after which the bytes are broadcast again, in case they were dropped
	sure      = 4  // looks in a row that must find the nonce taken, since two nodes may answer that are not alike
)

var errTaken = errors.New("the nonce was used by another transaction")

func (t *transfer) deliver(ctx context.Context, tx *types.Transaction, from common.Address) (*txResult, error) {
	if err := t.check(ctx); err != nil {
		return nil, fmt.Errorf("%v", err) // never an *Error: this node cannot tell what others have included
	}
	var last error // of the newest broadcast, to be told if nothing comes of it
	wait, taken, due := firstWait, 0, 0
	for i := 0; ; i++ {
		r, err := t.outcome(ctx, tx, from)
		if r != nil {
			return r, nil
		}
		if errors.Is(err, errTaken) {
			if taken++; taken == sure {
				return nil, errorf("nonce_taken", "Another transaction of the agent's account took nonce %d; nothing was sent.", tx.Nonce())
			}
		} else {
			taken = 0
		}
		if !errors.Is(err, errTaken) && i >= due {
			// What the node says is not believed: "already known", "nonce too low" and "underpriced" may all be about
			// these very bytes. The receipt and the nonce tell.
			last = t.client.SendTransaction(ctx, tx)
			if _, answered := errors.AsType[rpc.Error](last); last == nil || answered {
				due = i + resend
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(fmt.Errorf("not in a block yet: %w", ctx.Err()), err, last)
		case <-timer.C:
		}
		wait = min(2*wait, longWait)
	}
}

// outcome returns the result of a transaction that is in a block, nil if it is not yet, and errTaken if it looks as if
// it never will be.
func (t *transfer) outcome(ctx context.Context, tx *types.Transaction, from common.Address) (*txResult, error) {
	// The nonce is read before the receipt: if it was used by then and there is still no receipt, another took it.
	used, err := t.client.NonceAt(ctx, from, nil)
	if err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	receipt, err := t.client.TransactionReceipt(ctx, tx.Hash())
	if errors.Is(err, ethereum.NotFound) {
		if used > tx.Nonce() {
			return nil, errTaken
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	r, err := t.describe(tx)
	if err != nil {
		return nil, err
	}
	return r, t.settle(r, receipt)
}
