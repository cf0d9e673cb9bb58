// Package calldata turns the arguments of a tool into the call data of a contract's function, and back, as the
// function's ABI says. All of it is pure: an auditor makes the same bytes of the same arguments again.
package calldata

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
)

// maxDepth bounds the lists and tuples that are inside each other.
const maxDepth = 3

// A Function is one function of an ABI.
type Function struct {
	Method abi.Method
	Names  []string // of the inputs as arguments
}

// New names the inputs of a function.
func New(m abi.Method) *Function {
	f := &Function{Method: m}
	seen := map[string]bool{}
	for i, in := range m.Inputs {
		name := strings.TrimLeft(in.Name, "_")
		if !arg.IsName(name) || seen[strings.ToLower(name)] {
			name = fmt.Sprint("arg", i)
		}
		seen[strings.ToLower(name)] = true
		f.Names = append(f.Names, name)
	}
	return f
}

// Parse reads an entry of an ABI.
func Parse(entry []byte) (*Function, error) {
	parsed, err := abi.JSON(bytes.NewReader([]byte("[" + string(entry) + "]")))
	if err != nil || len(parsed.Methods) != 1 {
		return nil, errors.New("the function is no entry of an ABI")
	}
	var f *Function
	for _, m := range parsed.Methods {
		f = New(m)
	}
	for _, in := range append(slices.Clone(f.Method.Inputs), f.Method.Outputs...) {
		if isTooLarge(in.Type) {
			return nil, fmt.Errorf("the function has more than %d elements", maxElements)
		}
	}
	return f, nil
}

// An entry is a function as it stands in a record: what is needed to make call data, and no more.
type entry struct {
	Type            string  `json:"type"`
	Name            string  `json:"name"`
	StateMutability string  `json:"stateMutability"`
	Inputs          []input `json:"inputs"`
}

type input struct {
	Name       string  `json:"name"`
	Type       string  `json:"type"`
	Components []input `json:"components,omitempty"`
}

// Entry writes a function as it stands in a record. It says nothing of what the function returns.
func (f *Function) Entry() ([]byte, error) {
	mutability := "nonpayable"
	if f.IsPayable() {
		mutability = "payable"
	}
	e := entry{"function", f.Method.RawName, mutability, []input{}}
	for _, in := range f.Method.Inputs {
		e.Inputs = append(e.Inputs, inputOf(in.Name, in.Type))
	}
	return json.Marshal(e)
}

func inputOf(name string, t abi.Type) input {
	in := input{Name: name, Type: t.String()}
	inner, brackets := t, ""
	for inner.T == abi.SliceTy || inner.T == abi.ArrayTy {
		b := "[]"
		if inner.T == abi.ArrayTy {
			b = fmt.Sprintf("[%d]", inner.Size)
		}
		brackets, inner = b+brackets, *inner.Elem
	}
	if inner.T == abi.TupleTy {
		in.Type = "tuple" + brackets
		for i, n := range inner.TupleRawNames {
			in.Components = append(in.Components, inputOf(n, *inner.TupleElems[i]))
		}
	}
	return in
}

// IsPayable says whether a call may send native coin along.
func (f *Function) IsPayable() bool { return f.Method.IsPayable() }

// Value is the name of the argument that says how much native coin a call sends along, if it is no input.
const Value = "value"

// A Call is what a transaction does: an account sends it to a contract with call data, and with native coin.
type Call struct {
	From  common.Address
	To    common.Address
	Value *uint256.Int
	Data  []byte
}

// Of makes the call of a tool that is a function of a contract, as an account sends it.
func Of(d *tools.Def, args tools.Args, from common.Address) (Call, error) {
	f, err := functionOf(d)
	if err != nil {
		return Call{}, err
	}
	c := Call{From: from, Value: new(uint256.Int)}
	if c.To, err = d.ContractOf(args); err != nil {
		return c, err
	}
	if c.Data, err = f.packFrom(d.Spec().Book, args, d.Contract().Sender, from); err != nil {
		return c, err
	}
	if s := d.Spec().Spend; f.paysAlong(s) && isNative(d, args.Amount.Asset()) {
		c.Value = args.Amount.Uint256()
	}
	if d.Contract().Lets {
		return PackBatch(from, letTake(d, args, c.To), c)
	}
	return c, nil
}

// letTake makes the call by which a contract is let take the amount of a call.
func letTake(d *tools.Def, args tools.Args, contract common.Address) Call {
	amount := args.Amount.Uint256().Bytes32()
	data := append(bytes.Clone(approveID), common.LeftPadBytes(contract[:], 32)...)
	token := d.Spec().Book.Tokens[args.Amount.Asset().Symbol]
	return Call{To: token.Address, Value: new(uint256.Int), Data: append(data, amount[:]...)}
}

var approveID = []byte{0x09, 0x5e, 0xa7, 0xb3} // approve(address,uint256)

func functionOf(d *tools.Def) (*Function, error) {
	c := d.Contract()
	if c == nil || d.Spec().Spend == nil || d.Spec().Book == nil {
		return nil, errors.New("the tool is no function of a contract")
	}
	return Parse(c.Function)
}

// paysAlong says whether the amount of a call is the native coin that goes along with it.
func (f *Function) paysAlong(s *tools.Spend) bool {
	return f.IsPayable() && !slices.Contains(f.Names, s.Amount)
}

func isNative(d *tools.Def, a money.Asset) bool {
	t, ok := d.Spec().Book.Tokens[a.Symbol]
	return ok && t.Address == common.Address{}
}

// Read reads a call back: the arguments of which it was made, in another spelling perhaps. What [Of] would not make of
// them again is an error.
func Read(d *tools.Def, c Call) (tools.Args, error) {
	f, err := functionOf(d)
	if err != nil {
		return tools.Args{}, err
	}
	whole := c
	if d.Contract().Lets {
		calls, ok := ReadBatch(c)
		if !ok || len(calls) != 2 {
			return tools.Args{}, errors.New("the call is no batch of two")
		}
		c = calls[1]
	}
	if len(c.Data) < 4 || !bytes.Equal(c.Data[:4], f.Method.ID) {
		return tools.Args{}, errors.New("the call is of another function")
	}
	values, err := f.Method.Inputs.Unpack(c.Data[4:])
	if err != nil {
		return tools.Args{}, fmt.Errorf("the call data: %w", err)
	}
	said := map[string]any{}
	for i, v := range values {
		said[f.Names[i]] = write(reflect.ValueOf(v), f.Method.Inputs[i].Type)
	}
	delete(said, d.Contract().Sender)
	if err := f.sayAmount(d, c, said); err != nil {
		return tools.Args{}, err
	}
	raw, err := json.Marshal(said)
	if err != nil {
		return tools.Args{}, fmt.Errorf("the call data: %w", err)
	}
	args, err := d.Read(raw)
	if err != nil {
		return tools.Args{}, fmt.Errorf("the call data: %w", err)
	}
	again, err := Of(d, args, c.From)
	if err != nil || again.To != whole.To || !again.Value.Eq(whole.Value) || !bytes.Equal(again.Data, whole.Data) {
		return tools.Args{}, errors.New("the call is no call of the tool in its one spelling")
	}
	return args, nil
}

// sayAmount puts the amount that is in the call, or goes along with it, into the arguments in whole tokens.
func (f *Function) sayAmount(d *tools.Def, c Call, said map[string]any) error {
	spend, book := d.Spec().Spend, d.Spec().Book
	symbol, fixed := d.Const(spend.Asset)
	if !fixed {
		for s, t := range book.Tokens {
			if t.Address == c.To {
				symbol = s
			}
		}
		said[spend.Asset] = symbol
	}
	token, ok := book.Tokens[symbol]
	if !ok {
		return errors.New("the call is to a contract that is no token of the address book")
	}
	if _, fixed := d.Const(spend.Amount); fixed {
		if slices.Contains(f.Names, spend.Amount) {
			delete(said, spend.Amount)
		}
		return nil
	}
	units := c.Value
	if text, is := said[spend.Amount].(string); is {
		n, err := uint256.FromDecimal(text)
		if err != nil {
			return fmt.Errorf("the call's amount: %w", err)
		}
		units = n
	} else if !f.paysAlong(spend) {
		return errors.New("the call says no amount")
	}
	said[spend.Amount] = money.FromUint256(money.Asset{Symbol: symbol, Decimals: token.Decimals}, units).Decimal()
	return nil
}

// write makes the JSON of a decoded value that [Function.Pack] reads.
func write(v reflect.Value, t abi.Type) any {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch t.T {
	case abi.IntTy, abi.UintTy:
		if t.Size <= 32 {
			return v.Interface()
		}
		return fmt.Sprint(v.Interface())
	case abi.AddressTy:
		return v.Interface().(common.Address).Hex()
	case abi.BytesTy, abi.FixedBytesTy:
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		return "0x" + hex.EncodeToString(b)
	case abi.SliceTy, abi.ArrayTy:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = write(v.Index(i), *t.Elem)
		}
		return out
	case abi.TupleTy:
		out := map[string]any{}
		for i, name := range t.TupleRawNames {
			out[name] = write(v.Field(i), *t.TupleElems[i])
		}
		return out
	}
	return v.Interface() // a text or a truth
}

func errorf(code, format string, args ...any) *tools.Error {
	return &tools.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
