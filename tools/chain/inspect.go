package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
)

// Tools that look into what the operator has not described: any contract, any event, any call data. What they tell is
// anybody's words.

// Bounds of what they tell.
const (
	maxReturned  = 32 << 10 // bytes that a call returns
	maxLogs      = 50       // events
	maxLogText   = 48 << 10 // bytes of them
	maxLogBlocks = 10_000   // blocks that are searched at once
)

const contractArg = `"contract":{"type":"string","format":"address","description":"a name in the address book or a 0x address"}`

var callSpec = tools.Spec{
	Output: chainWords,
	Name:   "chain.call",
	About: "Calls a function of any contract without a transaction, at one block, and decodes what it returns. " +
		"Amounts are in smallest units.",
	Class: tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["contract","function"],"properties":{` +
		blockArg + `,` + contractArg + `,
		"function":{"type":"string","maxLength":256,"description":"its signature, e.g. balanceOf(address)"},
		"args":{"type":"array","maxItems":16,"items":{"type":"string","maxLength":2048},"description":"its arguments as texts, lists and tuples as JSON"},
		"returns":{"type":"string","maxLength":256,"description":"types of what it returns, e.g. uint256,address; bytes are told if absent"}}}`),
}

type callResult struct {
	Contract string `json:"contract"`
	Values   []any  `json:"values,omitempty"`
	Data     string `json:"data,omitempty"` // if its types were not said
	place
}

func (c views) callContract(ctx context.Context, args tools.Args) (any, error) {
	f, err := calldata.ParseSignature(args.Value("function").Text)
	if err != nil {
		return nil, errorf("bad_argument", "Argument %q: %v.", "function", err)
	}
	outputs, err := calldata.ParseTypes(args.Value("returns").Text)
	if err != nil {
		return nil, errorf("bad_argument", "Argument %q: %v.", "returns", err)
	}
	var texts struct{ Args []string }
	if err := json.Unmarshal(args.JSON, &texts); err != nil {
		return nil, errorf("bad_argument", "The arguments cannot be read.")
	}
	data, err := f.PackTexts(c.book, texts.Args)
	if err != nil {
		return nil, err
	}
	head, at, err := c.findBlock(ctx, args.Value("block"))
	if err != nil {
		return nil, err
	}
	to := args.Value("contract").Addr
	out, err := c.client.CallContractAtHash(ctx, ethereum.CallMsg{To: &to, Data: data}, head.Hash())
	if r, ok := errors.AsType[*refusal](explainRefusal(err)); ok {
		return nil, errorf("reverted", "The call is refused: %s.", strings.Replace(r.reason, "the token", "the contract", 1))
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("call: %w", err)
	case len(out) == 0 && len(outputs) > 0:
		return nil, errorf("no_contract", "There is no contract at %s that has this function.", to.Hex())
	case len(out) > maxReturned:
		return nil, errorf("too_large", "It returns %d bytes; at most %d are told.", len(out), maxReturned)
	}
	r := callResult{Contract: to.Hex(), place: at}
	if len(outputs) == 0 {
		r.Data = hexutil.Encode(out)
		return r, nil
	}
	values, err := outputs.Unpack(out)
	if err != nil {
		return nil, errorf("unreadable", "What it returns is not of the types %s.", args.Value("returns").Text)
	}
	for _, v := range values {
		r.Values = append(r.Values, calldata.Show(v))
	}
	return r, nil
}

var logsSpec = tools.Spec{
	Output: chainWords,
	Name:   "chain.logs",
	About: "Events of a contract in a range of at most 10000 blocks, the newest first, at most 50. Amounts are in " +
		"smallest units.",
	Class: tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["contract","event"],"properties":{` +
		contractArg + `,
		"event":{"type":"string","maxLength":256,"description":"its declaration, e.g. Transfer(address indexed from, address indexed to, uint256 value)"},
		"with":{"type":"string","format":"address","description":"only events of which an indexed address is this one"},
		"from_block":{"type":"string","format":"block","description":"first block; 10000 before the last if absent"},
		"to_block":{"type":"string","format":"block","description":"last block; latest if absent"}}}`),
}

type logResult struct {
	Contract string     `json:"contract"`
	Event    string     `json:"event"`
	Chain    uint64     `json:"chain"`
	From     string     `json:"from_block"`
	To       string     `json:"to_block"`
	ToHash   string     `json:"to_block_hash"`
	Found    int        `json:"found"`
	Told     int        `json:"told"`
	Events   []logEntry `json:"events"`
}

type logEntry struct {
	Block  string         `json:"block"`
	Hash   string         `json:"hash"` // of the transaction
	Index  uint           `json:"index"`
	Values map[string]any `json:"values"`
}

func (c views) readLogs(ctx context.Context, args tools.Args) (any, error) {
	node, ok := c.client.(logReader)
	if !ok {
		return nil, errorf("no_logs", "The endpoint does not tell events; tell the operator.")
	}
	e, err := calldata.ParseEvent(args.Value("event").Text)
	if err != nil {
		return nil, errorf("bad_argument", "Argument %q: %v.", "event", err)
	}
	head, at, err := c.findBlock(ctx, args.Value("to_block"))
	if err != nil {
		return nil, err
	}
	first := new(big.Int).Sub(head.Number, big.NewInt(maxLogBlocks-1))
	if first.Sign() < 0 {
		first.SetInt64(0)
	}
	if from := args.Value("from_block"); from.Set && from.Text != "latest" {
		n, _ := new(big.Int).SetString(from.Text, 10)
		if n.Cmp(first) < 0 || n.Cmp(head.Number) > 0 {
			return nil, errorf("bad_argument", "The blocks must be from %s to %s: at most %d, the first before the last.", first,
				head.Number, maxLogBlocks)
		}
		first = n
	} else if from.Set {
		first = head.Number
	}
	contract := args.Value("contract").Addr
	logs, err := node.FilterLogs(ctx, ethereum.FilterQuery{
		FromBlock: first, ToBlock: head.Number, Addresses: []common.Address{contract}, Topics: [][]common.Hash{{e.ID}},
	})
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	r := logResult{
		Contract: contract.Hex(), Event: e.Sig, Chain: at.Chain, From: first.String(), To: at.Block, ToHash: at.BlockHash,
		Events: []logEntry{},
	}
	r.addLogs(logs, e, args)
	return r, nil
}

// addLogs adds the events that were asked for, the newest first, as far as they have room.
func (r *logResult) addLogs(logs []types.Log, e *calldata.Event, args tools.Args) {
	with, size := args.Value("with"), 0
	for i := len(logs) - 1; i >= 0; i-- {
		l := &logs[i]
		if l.Removed || l.Address.Hex() != r.Contract || with.Set && !hasAddress(l, with.Addr) {
			continue
		}
		values, ok := e.Read(l.Topics, l.Data)
		if !ok {
			continue
		}
		r.Found++
		entry := logEntry{fmt.Sprint(l.BlockNumber), l.TxHash.Hex(), l.Index, map[string]any{}}
		for name, v := range values {
			entry.Values[calldata.Clean(name, 64)] = calldata.Show(v)
		}
		b, err := json.Marshal(entry)
		if size += len(b); err != nil || len(r.Events) == maxLogs || size > maxLogText {
			continue
		}
		r.Events = append(r.Events, entry)
	}
	r.Told = len(r.Events)
}

func hasAddress(l *types.Log, a common.Address) bool {
	for _, t := range l.Topics[1:] {
		if t == common.BytesToHash(a[:]) {
			return true
		}
	}
	return false
}

var decodeSpec = tools.Spec{
	Output: chainWords,
	Name:   "abi.decode",
	About:  "Decodes bytes by types, or call data by a function's signature. It asks nobody.",
	Class:  tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["data","types"],"properties":{
		"data":{"type":"string","maxLength":8194,"description":"0x and hex digits"},
		"types":{"type":"string","maxLength":256,"description":"a signature, e.g. transfer(address,uint256), of call data; else types, e.g. address,uint256"}}}`),
}

type decodeResult struct {
	Function string `json:"function,omitempty"`
	Values   []any  `json:"values"`
}

func (c views) decodeData(_ context.Context, args tools.Args) (any, error) {
	data, err := hexutil.Decode(args.Value("data").Text)
	if err != nil {
		return nil, errorf("bad_argument", "Argument %q must be 0x and hex digits, two a byte.", "data")
	}
	said := args.Value("types").Text
	types, err := calldata.ParseTypes(said)
	r := decodeResult{Values: []any{}}
	if f, sigErr := calldata.ParseSignature(said); sigErr == nil {
		r.Function, types, err = f.Method.Sig, f.Method.Inputs, nil
		if len(data) < 4 || [4]byte(data[:4]) != [4]byte(f.Method.ID) {
			return nil, errorf("another_function", "The data do not call %s.", f.Method.Sig)
		}
		data = data[4:]
	}
	if err != nil {
		return nil, errorf("bad_argument", "Argument %q: %v.", "types", err)
	}
	values, err := types.Unpack(data)
	if err != nil {
		return nil, errorf("unreadable", "The data are not of these types.")
	}
	for _, v := range values {
		r.Values = append(r.Values, calldata.Show(v))
	}
	return r, nil
}

var gasSpec = tools.Spec{
	Output:     chainFacts,
	Name:       "chain.gas",
	About:      "What gas costs now, and what a transfer of the native coin and of a token would cost at most.",
	Class:      tools.Read,
	Schema:     json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{}}`),
	Utterances: []string{"what does gas cost", "gas price", "how much is gas", "what does a transfer cost"},
}

type gasResult struct {
	BaseFee  string  `json:"base_fee,omitempty"` // wei per gas
	Tip      string  `json:"tip"`
	FeeCap   string  `json:"fee_cap"` // that would be offered
	Transfer holding `json:"transfer_costs_at_most"`
	Token    holding `json:"token_transfer_costs_at_most"`
	place
}

// Gas of usual transactions.
const (
	gasOfTransfer      = 21_000
	gasOfTokenTransfer = 65_000
)

func (c views) readGas(ctx context.Context, args tools.Args) (any, error) {
	head, at, err := c.findBlock(ctx, args.Value("block"))
	if err != nil {
		return nil, err
	}
	tip, err := c.client.SuggestGasTipCap(ctx)
	if err != nil {
		return nil, fmt.Errorf("tip: %w", err)
	}
	r, feeCap := gasResult{Tip: tip.String(), place: at}, new(big.Int).Set(tip)
	if head.BaseFee != nil {
		r.BaseFee = head.BaseFee.String()
		feeCap.Add(feeCap, new(big.Int).Lsh(head.BaseFee, 1))
	}
	r.FeeCap = feeCap.String()
	for gas, to := range map[int64]*holding{gasOfTransfer: &r.Transfer, gasOfTokenTransfer: &r.Token} {
		a, err := amountOf(c.nativeAsset(), new(big.Int).Mul(feeCap, big.NewInt(gas)))
		if err != nil {
			return nil, err
		}
		*to = showHolding(a)
	}
	return r, nil
}

var statusSpec = tools.Spec{
	Output: chainFacts,
	Name:   "tx.status",
	About: "How a transaction stands: unknown, waiting, included, final or reverted, and how many blocks stand on its " +
		"own.",
	Class: tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["hash"],"properties":{
		"hash":{"type":"string","format":"hash","description":"the transaction's hash"}}}`),
	Utterances: []string{"how does {hash} stand", "is {hash} final", "is tx {hash} final"},
}

type statusResult struct {
	Hash          string      `json:"hash"`
	State         string      `json:"state"`
	Block         string      `json:"block,omitempty"`
	BlockHash     string      `json:"block_hash,omitempty"`
	Confirmations string      `json:"confirmations,omitempty"`
	Final         *tools.Mark `json:"final,omitempty"`
	Chain         uint64      `json:"chain"`
}

func (c views) readStatus(ctx context.Context, args tools.Args) (any, error) {
	head, at, err := c.findBlock(ctx, args.Value("block"))
	if err != nil {
		return nil, err
	}
	rule, _ := tools.ParseFinality(c.final)
	mark, err := c.readMark(ctx, rule)
	if err != nil {
		return nil, err
	}
	hash := common.HexToHash(args.Value("hash").Text)
	r := statusResult{Hash: hash.Hex(), State: "unknown", Chain: at.Chain}
	_, _, err = c.client.TransactionByHash(ctx, hash)
	if errors.Is(err, ethereum.NotFound) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	r.State = tools.StandsWaiting
	receipt, err := c.client.TransactionReceipt(ctx, hash)
	if errors.Is(err, ethereum.NotFound) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if there, err := c.isInChain(ctx, receipt); !there {
		return r, err
	}
	r.Block, r.BlockHash, r.State = receipt.BlockNumber.String(), receipt.BlockHash.Hex(), tools.StandsIncluded
	if n := new(big.Int).Sub(head.Number, receipt.BlockNumber); n.Sign() >= 0 {
		r.Confirmations = n.String()
	}
	if mark != nil && rule.Reaches(receipt.BlockNumber, mark.Number) {
		r.State = tools.StandsFinal
		r.Final = &tools.Mark{Rule: rule.String(), Block: mark.Number.String(), BlockHash: mark.Hash().Hex()}
	}
	if receipt.Status != types.ReceiptStatusSuccessful {
		r.State = statusReverted
	}
	return r, nil
}
