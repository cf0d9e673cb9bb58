package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
	"github.com/writ-run/writ/tools/calldata"
	"github.com/writ-run/writ/tools/chain"
)

// Sender returns the tool on a chain, of a function that writes. It works on the chain of c, with the account of its
// key.
func (f *Function) Sender(c chain.Config) (tools.Tool, error) {
	if f.spec.Class == tools.WalletTx {
		return chain.NewWalletCall(c, f.spec, f)
	}
	return chain.NewCall(c, f.spec, f)
}

// schema makes the schema of the arguments.
func (f *Function) schema(m Move, lets bool) ([]byte, error) {
	props, err := f.fn.Properties()
	if err != nil {
		return nil, err
	}
	required := slices.AppendSeq([]string{}, maps.Keys(props))
	whole := map[string]any{"type": "object", "additionalProperties": false, "properties": props}
	if f.spec.Class.Sends() {
		more, err := f.addSpend(props, m)
		if err != nil {
			return nil, err
		}
		required = append(required, more...)
		entry, err := f.fn.Entry()
		if err != nil {
			return nil, err
		}
		called := map[string]any{"address": f.address.Hex(), "function": json.RawMessage(entry)}
		if lets {
			called["lets"] = true
		}
		whole["x-contract"] = called
	}
	slices.Sort(required)
	whole["required"] = required
	return json.Marshal(whole)
}

// addSpend adds to the arguments of a function that writes what says how much of what goes to whom. What is the same in
// every call is a constant. It returns the names of further arguments that are required.
func (f *Function) addSpend(props map[string]any, m Move) (required []string, err error) {
	book := f.spec.Book
	if m.Amount == "" || m.Asset == "" {
		if m != (Move{}) {
			return nil, errors.New("spend needs amount and asset")
		}
		return nil, f.addNothing(props)
	}
	symbol, token, err := book.Token(m.Asset)
	if err != nil {
		return nil, fmt.Errorf("spend: asset: %w", err)
	}
	asset, native := freeName(props, "asset"), token.Address == (common.Address{})
	amount := map[string]any{
		"type": "string", "format": "amount", "x-asset": asset, "description": "how many whole " + symbol + ", e.g. 12.5",
	}
	i := slices.Index(f.fn.Names, m.Amount)
	switch {
	case !arg.IsName(m.Amount):
		return nil, fmt.Errorf("spend: the amount %q is not a name", wording.Reveal(m.Amount))
	case i >= 0 && f.fn.Method.Inputs[i].Type.T != abi.UintTy:
		return nil, fmt.Errorf("spend: the input %s is not a whole number without sign", m.Amount)
	case i < 0 && (!f.fn.IsPayable() || !native):
		return nil, fmt.Errorf("spend: there is no input %q; only the native coin that a payable function is sent along "+
			"needs none", wording.Reveal(m.Amount))
	case i < 0:
		required = append(required, m.Amount)
	}
	props[m.Amount] = amount
	props[asset] = map[string]any{"type": "string", "format": "token", "const": symbol}
	to := m.To
	if to == "" {
		to = freeName(props, "to")
		props[to] = map[string]any{"type": "string", "format": "address", "const": f.address.Hex()}
	} else if i := slices.Index(f.fn.Names, to); i < 0 || f.fn.Method.Inputs[i].Type.T != abi.AddressTy {
		return nil, fmt.Errorf("spend: there is no input %q that is an address", wording.Reveal(to))
	}
	f.spec.Spend = &tools.Spend{Amount: m.Amount, Asset: asset, To: to}
	return required, nil
}

// addNothing says of a call that it moves nothing: none of the native coin goes to the contract.
func (f *Function) addNothing(props map[string]any) error {
	native := ""
	for symbol, t := range f.spec.Book.Tokens {
		if t.Address == (common.Address{}) {
			native = symbol
		}
	}
	if native == "" {
		return errors.New("it needs a spend, since the address book does not have the native coin")
	}
	asset, to, amount := freeName(props, "asset"), freeName(props, "to"), freeName(props, "amount")
	props[asset] = map[string]any{"type": "string", "format": "token", "const": native}
	props[to] = map[string]any{"type": "string", "format": "address", "const": f.address.Hex()}
	props[amount] = map[string]any{"type": "string", "format": "amount", "x-asset": asset, "const": "0"}
	f.spec.Spend = &tools.Spend{Amount: amount, Asset: asset, To: to}
	return nil
}

// freeName returns a name that no argument has.
func freeName(props map[string]any, name string) string {
	for props[name] != nil {
		name += "_"
	}
	return name
}

// Bounds of the events that a result tells.
const (
	maxEvents    = 16
	maxEventText = 600 // bytes of one event's values
)

// An event is what a contract has logged, by the ABI's names.
type event struct {
	Contract string         `json:"contract"`
	Event    string         `json:"event"`
	Values   map[string]any `json:"values"`
}

// Events tells the events of the contract itself, as its ABI describes them, and how many others there were.
func (f *Function) Events(logs []*types.Log) (told []any, others int) {
	for _, l := range logs {
		e, ok := f.readEvent(l)
		if !ok || len(told) == maxEvents {
			others++
			continue
		}
		told = append(told, e)
	}
	return told, others
}

func (f *Function) readEvent(l *types.Log) (event, bool) {
	if l.Address != f.address || len(l.Topics) == 0 || len(l.Data) > maxReturn {
		return event{}, false
	}
	described, err := f.abi.EventByID(l.Topics[0])
	if err != nil {
		return event{}, false
	}
	values, ok := (&calldata.Event{Event: *described}).Read(l.Topics, l.Data)
	if !ok {
		return event{}, false
	}
	e := event{l.Address.Hex(), calldata.Clean(described.RawName, 64), map[string]any{}}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(values)) {
		shown := calldata.Show(values[name])
		b, err := json.Marshal(shown)
		if size += len(b); err != nil || size > maxEventText {
			return event{}, false
		}
		e.Values[calldata.Clean(name, 64)] = shown
	}
	return e, true
}

var _ chain.Words = (*Function)(nil)
