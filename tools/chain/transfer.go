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
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
	"github.com/writ-run/writ/tools/calldata"
	"github.com/writ-run/writ/tools/mandate"
)

const maxGas = 1_000_000 // of one transfer; the usual ones take less than a tenth

const moveArgs = `{"type":"object","additionalProperties":false,"required":["token","to","amount"],"properties":{
	"token":{"type":"string","format":"token","description":"symbol of the ERC-20 token"},
	"to":{"type":"string","format":"address","description":"who gets it: a name in the address book or a 0x address"},
	"amount":{"type":"string","format":"amount","x-asset":"token","description":"how many whole tokens, e.g. 12.5"}}}`

var simulateSpec = tools.Spec{
	Output: chainWords,
	Name:   "tx.simulate",
	About: "What sending tokens from the agent's account would do now, without doing it: whether it would " +
		"succeed, and the balances before and after.",
	Class:  tools.Read,
	Schema: json.RawMessage(moveArgs),
	Utterances: []string{
		"simulate sending {amount} {token} to {to}", "simulate {amount} {token} to {to}",
		"what would happen if i sent {amount} {token} to {to}", "what if i send {amount} {token} to {to}",
		"simulate send {amount} {token} to {to}", "what would happen if i send {amount} {token} to {to}",
		"can i send {amount} {token} to {to}", "would it work to send {amount} {token} to {to}",
		"simulate a transfer of {amount} {token} to {to}", "simulate transfer of {amount} {token} to {to}",
		"test sending {amount} {token} to {to}", "what would happen if we send {amount} {token} to {to}",
		"what happens if i send {amount} {token} to {to}",
		"try a simulation of sending {amount} {token} to {to}", "simulate {to} {amount} {token}",
		"simulate send {to} {amount} {token}", "what would happen if i send {to} {amount} {token}",
		"what if i send {to} {amount} {token}", "can i send {to} {amount} {token}",
		"would it work to send {to} {amount} {token}", "simulate a transfer of {to} {amount} {token}",
		"simulate transfer of {to} {amount} {token}", "test sending {to} {amount} {token}",
		"what would happen if we send {to} {amount} {token}", "what happens if i send {to} {amount} {token}",
		"try a simulation of sending {to} {amount} {token}", "simulate {token} {amount} to {to}",
		"simulate send {token} {amount} to {to}", "what would happen if i send {token} {amount} to {to}",
		"what if i send {token} {amount} to {to}", "can i send {token} {amount} to {to}",
		"would it work to send {token} {amount} to {to}", "simulate a transfer of {token} {amount} to {to}",
		"simulate transfer of {token} {amount} to {to}", "test sending {token} {amount} to {to}",
		"what would happen if we send {token} {amount} to {to}",
		"what happens if i send {token} {amount} to {to}",
		"try a simulation of sending {token} {amount} to {to}", "would sending {amount} {token} to {to} work",
		"would a transfer of {amount} {token} to {to} work", "does sending {amount} {token} to {to} work",
		"would sending {amount} {token} to {to} succeed", "would a transfer of {amount} {token} to {to} succeed",
	},
}

var transferSpec = tools.Spec{
	Output: chainFacts,
	Name:   "erc20.transfer",
	About:  "Sends ERC-20 tokens from the agent's account. The effect is final.",
	Class:  tools.ChainTx,
	Schema: json.RawMessage(moveArgs),
	Spend:  &tools.Spend{Amount: "amount", Asset: "token", To: "to"},
	Utterances: []string{
		"send {amount} {token} to {to}", "pay {to} {amount} {token}", "pay {amount} {token} to {to}",
		"transfer {amount} {token} to {to}", "send {to} {amount} {token}", "give {to} {amount} {token}",
		"send {token} {amount} to {to}", "send {amount} {token} {to}", "send to {to} {amount} {token}",
		"send {token} {amount} {to}", "make a transfer of {amount} {token} to {to}",
		"transfer {to} {amount} {token}",
	},
}

type simulation struct {
	tools.Foreseen        // its changes are none if not ok; sender first
	Code           string `json:"code,omitempty"` // if not ok, as of a [tools.Error]
	// Method says who worked out the balances: "eth_simulateV1" (the node), or "eth_call" (this program).
	Method string `json:"method"`
	Gas    string `json:"gas,omitempty"`
	// Mandate is the delegation that the payment would redeem, if it would one: whose it is, is the account.
	Mandate *mandate.Mandate `json:"mandate,omitempty"`
	place
}

// simulateTransfer is the tool tx.simulate, and what erc20.transfer shows before it is approved.
func (c *chain) simulateTransfer(ctx context.Context, args tools.Args) (any, error) {
	head, at, err := c.findBlock(ctx, arg.Value{})
	if err != nil {
		return nil, err
	}
	return c.foreseeTransfer(ctx, head, at, args.Value("to").Addr, args.Value("amount").Amount)
}

func (c *chain) foreseeTransfer(ctx context.Context, head *types.Header, at place, to common.Address,
	n money.Amount) (*simulation, error) {
	if c.book.Tokens[n.Asset().Symbol].Things {
		return nil, errorf("bad_thing", "%s is a collection of single things; use a tool that names one by its number.",
			n.Asset().Symbol)
	}
	token, err := c.contractOf(ctx, n.Asset().Symbol, head.Hash())
	if err != nil {
		return nil, err
	}
	return c.foresee(ctx, head, at, &act{
		Call: calldata.Call{To: token, Value: new(uint256.Int), Data: packTransfer(to, n.Uint256())},
		args: tools.Args{Amount: n, To: to}, transfers: true, gas: maxGas, verb: "transfer", payer: c.from,
	})
}

// An act is a transaction before it is signed.
type act struct {
	calldata.Call
	args      tools.Args       // what it moves, as far as it is judged
	transfers bool             // it is a token's transfer: what it returns is looked at, and a node need not simulate it
	gas       uint64           // the most that it may use
	verb      string           // what it is called in sentences
	words     Words            // of its contract; nil of a token
	payer     common.Address   // whose balance it moves
	mandate   *mandate.Mandate // by which it does; nil if the payer itself sends it
}

func (a *act) message(from common.Address) ethereum.CallMsg {
	to := a.To
	return ethereum.CallMsg{From: from, To: &to, Gas: a.gas, Data: a.Data, Value: a.Value.ToBig()}
}

// fails says why an act would fail, in words fit for the model.
func (a *act) fails(err error) (*refusal, bool) {
	if data, ok := ethclient.RevertErrorData(err); ok && a.words != nil {
		return &refusal{"the contract refuses it" + a.words.Reason(data)}, true
	}
	return errors.AsType[*refusal](explainRefusal(err))
}

// foresee says what an act would do now.
func (c *chain) foresee(ctx context.Context, head *types.Header, at place, a *act) (*simulation, error) {
	n, to := a.args.Amount, a.args.To
	asset, block := n.Asset(), head.Hash()
	s := &simulation{place: at, Method: "eth_call"}
	s.Changes = []tools.Change{}
	no := func(code, format string, args ...any) (*simulation, error) {
		s.Code, s.Reason = code, fmt.Sprintf(format, args...)
		return s, nil
	}
	before, err := c.readUnits(ctx, a.payer, asset, block)
	if err != nil {
		return nil, err
	}
	if less, err := before.Cmp(n); err != nil {
		return nil, err
	} else if less < 0 && !a.args.Allowance {
		return no("insufficient_funds", "The %s account holds %s, which is less than %s.", c.whose(a.payer), before, n)
	}
	if a.args.Thing != nil {
		whose, err := c.ownerOf(ctx, a.args.Thing, block)
		if err != nil {
			return nil, err
		}
		if whose != a.payer {
			return no("not_owner", "%s %s is of %s, not of the account that would send it.", asset.Symbol, a.args.Thing.ID,
				whose.Hex())
		}
	}
	toBefore, err := c.readUnits(ctx, to, asset, block)
	if err != nil {
		return nil, err
	}
	msg := a.message(c.from)
	seen, err := c.byNode(ctx, a, asset, block)
	s.Method, s.Simulated = "eth_simulateV1", tools.SimulatedRead
	if errors.Is(err, errNoSimulation) {
		if !a.transfers {
			return no("no_simulation", "The endpoint cannot simulate (eth_simulateV1), so it is not known what the contract "+
				"would do; tell the operator.")
		}
		s.Method, s.Simulated = "eth_call", tools.SimulatedComputed
		seen, err = c.byCall(ctx, msg, to, before, toBefore, n, block)
	}
	if r, ok := a.fails(err); ok {
		return no("reverted", "The %s would fail: %s.", a.verb, r.reason)
	}
	if err != nil {
		return nil, fmt.Errorf("simulation: %w", err)
	}
	if seen.gas > 0 {
		s.Gas = fmt.Sprint(seen.gas)
	}
	s.Account, s.Mandate = a.payer.Hex(), a.mandate
	s.Changes = append(s.Changes, c.changeOf(a.payer, before, seen.after))
	if to != a.payer {
		s.Changes = append(s.Changes, c.changeOf(to, toBefore, seen.toAfter))
	}
	if a.args.Thing != nil {
		s.Owners = ownersOf(a.args.Thing, a.payer, seen.owner)
	}
	c.addEvents(&s.Movement, seen.logs)
	dropForeign(&s.Movement, a.payer, to)
	if n := len(s.Transfers) + len(s.Allowances); n > maxMoves {
		s.Movement = tools.Movement{Changes: []tools.Change{}}
		return no("too_many_moves", "The contract would move tokens %d times in one call; at most %d are followed.", n,
			maxMoves)
	}
	s.OK = true
	return s, c.addEarlier(ctx, &s.Movement, block)
}

// maxMoves bounds the events of one simulation that are judged.
const maxMoves = 256

// A foresight is what a transfer would leave behind.
type foresight struct {
	after, toAfter money.Amount   // balances of the account and of the recipient
	owner          common.Address // of the act's thing, if it names one
	logs           []*types.Log
	gas            uint64
}

func (c *chain) changeOf(account common.Address, before, after money.Amount) tools.Change {
	a, display := before.Asset(), ""
	if more, err := after.Sub(before); err == nil {
		display = "+" + more.String()
	} else if less, err := before.Sub(after); err == nil {
		display = "-" + less.String()
	}
	return tools.Change{
		Account: account.Hex(), Name: c.people[account], Token: a.Symbol, Before: before.Units(), After: after.Units(),
		Decimals: a.Decimals, Display: display,
	}
}

var errNoSimulation = errors.New("the node does not simulate")

// The helper answers a call with the native balance of the account that it is given, for [chain.byNode]: a node runs it
// behind a transaction, where it cannot be asked for a balance otherwise.
var (
	helper     = common.HexToAddress("0x5724f8d9e0a1c35b6e0a77a4f1f0e21c9b3d6a42")
	helperCode = common.FromHex("0x600035316000526020" + "6000f3")
)

// byNode lets the node run the act and read both balances behind it, as one block on top of the given one.
func (c *chain) byNode(ctx context.Context, a *act, asset money.Asset, block common.Hash) (seen foresight, err error) {
	node, ok := c.client.(interface {
		SimulateV1(context.Context, ethclient.SimulateOptions, *rpc.BlockNumberOrHash) ([]ethclient.SimulateBlockResult,
			error)
	})
	if !ok {
		return seen, errNoSimulation
	}
	sim := ethclient.SimulateBlock{}
	balance := func(of common.Address) ethereum.CallMsg {
		token := c.book.Tokens[asset.Symbol].Address
		return ethereum.CallMsg{From: c.from, To: &token, Gas: maxGas, Data: packBalanceOf(of)}
	}
	if asset == c.nativeAsset() {
		code := hexutil.Bytes(helperCode)
		sim.StateOverrides = map[common.Address]ethereum.OverrideAccount{helper: {Code: code}}
		balance = func(of common.Address) ethereum.CallMsg {
			return ethereum.CallMsg{From: c.from, To: &helper, Gas: maxGas, Data: common.LeftPadBytes(of[:], 32)}
		}
	}
	sim.Calls = []ethereum.CallMsg{a.message(c.from), balance(a.payer), balance(a.args.To)}
	if thing := a.args.Thing; thing != nil {
		sim.Calls = append(sim.Calls, ethereum.CallMsg{From: c.from, To: &thing.Collection, Gas: maxGas,
			Data: packOwnerOf(thing)})
	}
	where := rpc.BlockNumberOrHashWithHash(block, false)
	out, err := node.SimulateV1(ctx, ethclient.SimulateOptions{
		BlockStateCalls: []ethclient.SimulateBlock{sim}, TraceTransfers: true,
	}, &where)
	if e, ok := errors.AsType[rpc.Error](err); ok && e.ErrorCode() == -32601 { // no such method
		return seen, errNoSimulation
	}
	if err != nil {
		return seen, err
	}
	if len(out) != 1 || len(out[0].Calls) != len(sim.Calls) {
		return seen, errors.New("the node answered another number of calls than it was asked")
	}
	calls := out[0].Calls
	if e := calls[0].Error; e != nil {
		data, _ := hexutil.Decode(e.Data) // if there is none, there is no reason to show
		if a.words != nil {
			return seen, &refusal{"the contract refuses it" + a.words.Reason(data)}
		}
		return seen, &refusal{reasonOf(data)}
	}
	if a.transfers {
		if err := checkAnswer(calls[0].ReturnValue); err != nil {
			return seen, err
		}
	}
	for i, into := range []*money.Amount{&seen.after, &seen.toAfter} {
		n, err := decodeWord(calls[i+1].ReturnValue)
		if err != nil {
			return seen, err
		}
		if *into, err = amountOf(asset, n); err != nil {
			return seen, err
		}
	}
	if thing := a.args.Thing; thing != nil {
		n, err := decodeWord(calls[3].ReturnValue)
		if err != nil || n.BitLen() > 8*common.AddressLength {
			return seen, notERC721(thing.Collection)
		}
		seen.owner = common.BigToAddress(n)
	}
	seen.logs, seen.gas = calls[0].Logs, calls[0].GasUsed
	return seen, nil
}

// byCall calls the transfer without a transaction and computes the balances as ERC-20 defines them.
func (c *chain) byCall(
	ctx context.Context, msg ethereum.CallMsg, to common.Address, before, toBefore, n money.Amount, block common.Hash,
) (seen foresight, err error) {
	out, err := c.client.CallContractAtHash(ctx, msg, block)
	if err != nil {
		return seen, err
	}
	if err := checkAnswer(out); err != nil {
		return seen, err
	}
	if to == c.from {
		seen.after, seen.toAfter = before, before
		return seen, nil
	}
	if seen.after, err = before.Sub(n); err == nil {
		seen.toAfter, err = toBefore.Add(n)
	}
	return seen, err
}

// A sender is a tool that sends transactions: erc20.transfer, and the functions of contracts that write.
type sender struct {
	*chain
	about tools.Spec
	def   *tools.Def
	words Words // of the contract; nil of a token's functions
	// mandates are those by which others' accounts pay; nil if the account itself pays.
	mandates Mandates
}

var _ tools.Chain = (*sender)(nil)

func (t *sender) Spec() tools.Spec { return t.about }

// Call is never called on a tool of its class.
func (t *sender) Call(context.Context, tools.Input) ([]byte, error) {
	return nil, fmt.Errorf("%s is signed and sent, not called", t.about.Name)
}

// Account returns the sending account as CAIP-10.
func (t *sender) Account() string { return t.caip10(t.from) }

func (c *chain) caip10(a common.Address) string { return fmt.Sprintf("eip155:%s:%s", c.id, a.Hex()) }

// Simulate says what the transaction would do now, as [tx.simulate] does of a transfer.
func (t *sender) Simulate(ctx context.Context, in tools.Input) ([]byte, error) {
	_, _, v, err := t.prepare(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("simulate %s: %w", t.about.Name, explainFailure(ctx, err))
	}
	return encodeResult(v)
}

// prepare makes the act of a call, and says what it would do at the newest block.
func (t *sender) prepare(ctx context.Context, in tools.Input) (*types.Header, *act, *simulation, error) {
	head, at, err := t.findBlock(ctx, arg.Value{})
	if err != nil {
		return nil, nil, nil, err
	}
	a, err := t.actOf(ctx, in.Args, head.Hash())
	if err == nil && t.mandates != nil {
		err = t.redeem(ctx, in, a, head)
	}
	if no, ok := errors.AsType[*tools.Error](err); ok && t.mandates != nil {
		s := &simulation{place: at, Method: "none"}
		s.Changes, s.Code, s.Reason = []tools.Change{}, no.Code, no.Message
		return head, a, s, nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if t.isUnlimited(ctx, a, head.Hash()) {
		s := &simulation{place: at, Method: "none"}
		s.Changes, s.Code = []tools.Change{}, "unlimited"
		s.Reason = fmt.Sprintf("An allowance of %s is more than there is; name the amount that is needed.", in.Args.Amount)
		return head, a, s, nil
	}
	s, err := t.foresee(ctx, head, at, a)
	return head, a, s, err
}

// Sign makes an EIP-1559 transaction with the lowest nonce that neither floor nor the node's pending transactions
// forbid. A transfer that would fail now is not signed: the error is an [*tools.Error] that says why.
func (t *sender) Sign(ctx context.Context, in tools.Input, floor uint64) (tools.Signed, error) {
	tx, err := t.signCall(ctx, in, floor)
	if err != nil {
		return tools.Signed{}, fmt.Errorf("sign %s: %w", t.about.Name, explainFailure(ctx, err))
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return tools.Signed{}, fmt.Errorf("sign %s: %w", t.about.Name, err)
	}
	return tools.Signed{Account: t.Account(), Nonce: tx.Nonce(), Hash: tx.Hash().Hex(), Raw: hexutil.Encode(raw)}, nil
}

func (t *sender) signCall(ctx context.Context, in tools.Input, floor uint64) (*types.Transaction, error) {
	head, a, s, err := t.prepare(ctx, in)
	if err != nil {
		return nil, err
	}
	if !s.OK {
		return nil, errorf(s.Code, "%s", s.Reason)
	}
	if err := checkForeseen(in, s); err != nil {
		return nil, err
	}
	if err := checkMandate(in, a); err != nil {
		return nil, err
	}
	msg := a.message(t.from)
	msg.Gas = 0
	gas, err := t.client.EstimateGas(ctx, msg)
	if err != nil {
		if r, ok := a.fails(err); ok {
			return nil, errorf("reverted", "The %s would fail: %s.", a.verb, r.reason)
		}
		return nil, fmt.Errorf("gas: %w", err)
	}
	if gas += gas / 5; gas > a.gas { // a balance that changes meanwhile may cost a little more
		return nil, errorf("fee_too_high", "The %s would need %d gas; at most %d are allowed.", a.verb, gas, a.gas)
	}
	tip, feeCap, err := t.priceGas(ctx, head)
	if err != nil {
		return nil, err
	}
	most := new(big.Int).Mul(feeCap, new(big.Int).SetUint64(gas))
	if err := t.canPay(ctx, head, most.Add(most, msg.Value)); err != nil {
		return nil, err
	}
	nonce, err := t.client.PendingNonceAt(ctx, t.from)
	if err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	return types.SignNewTx(t.key, types.LatestSignerForChainID(t.id), &types.DynamicFeeTx{
		ChainID: t.id, Nonce: max(nonce, floor), To: msg.To, Value: msg.Value, Data: a.Data, Gas: gas, GasTipCap: tip,
		GasFeeCap: feeCap,
	})
}

// priceGas returns what is offered for gas, if the operator allows it.
func (t *sender) priceGas(ctx context.Context, head *types.Header) (tip, feeCap *big.Int, err error) {
	if tip, err = t.client.SuggestGasTipCap(ctx); err != nil {
		return nil, nil, fmt.Errorf("tip: %w", err)
	}
	feeCap = new(big.Int).Set(tip)
	if head.BaseFee != nil {
		feeCap.Add(feeCap, new(big.Int).Lsh(head.BaseFee, 1)) // stays good through six full blocks
	}
	if feeCap.Cmp(new(big.Int).SetUint64(t.maxFee)) > 0 {
		return nil, nil, errorf("fee_too_high", "Gas costs up to %s wei now; the operator allows %d. Try again later.",
			feeCap, t.maxFee)
	}
	return tip, feeCap, nil
}

// checkForeseen refuses a transaction that would now move anything else than it was decided with. Between the two lies
// an approval, and so any time.
func checkForeseen(in tools.Input, now *simulation) error {
	if in.Foreseen == nil {
		return nil
	}
	_, then, err := tools.ReadForeseen(in.Foreseen, in.Args)
	if err != nil {
		return err
	}
	moved, err := now.Weigh(in.Args)
	if err != nil {
		return err
	}
	if more, err := moved.Debit.Cmp(then.Debit); err != nil || more > 0 || moved.Credit != then.Credit ||
		moved.Others > then.Others || moved.Foreign > then.Foreign {
		return errorf("changed", "%s would leave the account now and %s would arrive; it was decided with %s and %s. "+
			"Nothing was sent; ask again.", moved.Debit, moved.Credit, then.Debit, then.Credit)
	}
	return nil
}

// canPay says whether the account can pay a fee of at most so many wei.
func (t *sender) canPay(ctx context.Context, head *types.Header, wei *big.Int) error {
	fee, err := amountOf(t.nativeAsset(), wei)
	if err != nil {
		return err
	}
	has, err := t.readUnits(ctx, t.from, t.nativeAsset(), head.Hash())
	if err != nil {
		return err
	}
	if less, err := has.Cmp(fee); err != nil || less < 0 {
		return errorf("insufficient_funds", "The agent's account %s holds %s, too little for a fee of up to %s; "+
			"its operator has to send it some.", t.from.Hex(), has, fee)
	}
	return nil
}

// Send broadcasts s and waits until it is in a block. It may be called any number of times, also after a restart: the
// transaction counts once. An [*tools.Error] means for certain that s has no effect and never will (another
// transaction took its nonce, or s is not what it says). Any other error, the end of ctx too, leaves it open: s may yet
// be included, and Send must be called again. s need not be of the present key's account: what was signed before the
// operator changed the key is still sent.
func (t *sender) Send(ctx context.Context, s tools.Signed) ([]byte, error) {
	tx, from, err := t.parseSigned(s)
	if err != nil {
		return nil, err
	}
	r, err := t.deliverSigned(ctx, tx, from)
	if err != nil {
		return nil, fmt.Errorf("send %s: %w", s.Hash, err)
	}
	return encodeResult(r)
}

// parseSigned reads a signed transaction back, with its sender, and refuses one that is not what it says.
func (t *sender) parseSigned(s tools.Signed) (*types.Transaction, common.Address, error) {
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
	firstWait     = 20 * time.Millisecond // then twice as long each time
	longWait      = time.Second
	resend        = 16 // waits after which the bytes are broadcast again, in case they were dropped
	looksToBeSure = 4  // looks in a row that must find the nonce taken, since two nodes may answer that are not alike
)

var errTaken = errors.New("the nonce was used by another transaction")

func (t *sender) deliverSigned(ctx context.Context, tx *types.Transaction, from common.Address) (*txResult, error) {
	if err := t.checkChain(ctx); err != nil {
		return nil, fmt.Errorf("%v", err) // never an *Error: this node cannot tell what others have included
	}
	var last error // of the newest broadcast, to be told if nothing comes of it
	wait, taken, asks, due := firstWait, 0, looksToBeSure, 0
	for i := 0; ; i++ {
		r, err := t.readOutcome(ctx, tx, from)
		if r != nil {
			return r, nil
		}
		if errors.Is(err, errTaken) {
			if taken++; taken == asks {
				another, err := t.isTakenByAnother(ctx, &payment{from, []*types.Transaction{tx}})
				if another {
					return nil, errorf("nonce_taken", "Another transaction of the agent's account took nonce %d; nothing was sent.",
						tx.Nonce())
				}
				if err == nil {
					taken, asks = 0, 2*asks
				}
			}
		} else {
			taken = 0
		}
		if i >= due { // also if the nonce is said to be used: who says so may be wrong
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

// readOutcome returns the result of a transaction that is in a block, nil if it is not yet, and errTaken if it looks as
// if it never will be.
func (t *sender) readOutcome(ctx context.Context, tx *types.Transaction, from common.Address) (*txResult, error) {
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
	if there, err := t.isInChain(ctx, receipt); !there {
		return nil, err
	}
	r, err := t.describeTransaction(tx)
	if err != nil {
		return nil, err
	}
	if err := t.addReceipt(r, receipt); err != nil {
		return nil, err
	}
	t.describeCall(r, receipt.Logs)
	args, ok := t.callOf(tx, from)
	if !ok {
		return r, nil
	}
	return r, t.addMovement(ctx, r, args, t.payerOf(tx, from), receipt)
}
