package calldata

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
)

// maxElements bounds the elements of all fixed lists of a type: room is made for them before anything is read.
const maxElements = 4096

// isTooLarge says whether a type has more elements than are read.
func isTooLarge(t abi.Type) bool {
	var weigh func(t abi.Type, depth int) int
	weigh = func(t abi.Type, depth int) int {
		n := 1
		switch {
		case depth > 2*maxDepth:
			return maxElements + 1
		case t.T == abi.ArrayTy:
			n = min(max(t.Size, 0), maxElements+1) * weigh(*t.Elem, depth+1)
		case t.T == abi.SliceTy:
			n = weigh(*t.Elem, depth+1)
		case t.T == abi.TupleTy:
			for _, e := range t.TupleElems {
				n += weigh(*e, depth+1)
			}
		}
		return min(n, maxElements+1)
	}
	return weigh(t, 0) > maxElements
}

// Properties returns the schemas of the function's arguments by name.
func (f *Function) Properties() (map[string]any, error) {
	props := map[string]any{}
	for i, in := range f.Method.Inputs {
		s, err := schemaOf(in.Type, 1, false)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", f.Names[i], err)
		}
		props[f.Names[i]] = s
	}
	return props, nil
}

// schemaOf returns the schema of one type. What is in a list has no format: policies do not see it.
func schemaOf(t abi.Type, depth int, inList bool) (map[string]any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("lists and tuples are nested deeper than %d", maxDepth)
	}
	if isTooLarge(t) {
		return nil, fmt.Errorf("it has more than %d elements", maxElements)
	}
	text := func(about string) map[string]any { return map[string]any{"type": "string", "description": about} }
	switch t.T {
	case abi.AddressTy:
		s := text("a name in the address book or a 0x address")
		if !inList {
			s["format"] = "address"
		}
		return s, nil
	case abi.BoolTy:
		return map[string]any{"type": "boolean"}, nil
	case abi.StringTy:
		return map[string]any{"type": "string"}, nil
	case abi.BytesTy:
		return text("bytes as 0x and hex digits"), nil
	case abi.FixedBytesTy:
		return text(fmt.Sprintf("%d bytes as 0x and hex digits", t.Size)), nil
	case abi.IntTy, abi.UintTy:
		if t.Size > 32 {
			return text("a whole number in decimal digits, in the smallest units of the contract"), nil
		}
		low, high := bounds(t)
		return map[string]any{"type": "integer", "minimum": low.Int64(), "maximum": high.Int64()}, nil
	case abi.SliceTy, abi.ArrayTy:
		items, err := schemaOf(*t.Elem, depth+1, true)
		s := map[string]any{"type": "array", "items": items, "maxItems": 64}
		if t.T == abi.ArrayTy {
			s["minItems"], s["maxItems"] = t.Size, t.Size
		}
		return s, err
	case abi.TupleTy:
		props, required := map[string]any{}, []string{}
		for i, name := range t.TupleRawNames {
			if !arg.IsName(name) {
				return nil, errors.New("a member of a tuple has no name that can be said")
			}
			s, err := schemaOf(*t.TupleElems[i], depth+1, inList)
			if err != nil {
				return nil, err
			}
			props[name], required = s, append(required, name)
		}
		return map[string]any{
			"type": "object", "additionalProperties": false, "properties": props, "required": required,
		}, nil
	}
	return nil, fmt.Errorf("the type %s is not supported", t.String())
}

// bounds returns the least and the largest value of an integer type.
func bounds(t abi.Type) (low, high *big.Int) {
	one := big.NewInt(1)
	if t.T == abi.UintTy {
		return new(big.Int), new(big.Int).Sub(new(big.Int).Lsh(one, uint(t.Size)), one)
	}
	half := new(big.Int).Lsh(one, uint(t.Size-1))
	return new(big.Int).Neg(half), new(big.Int).Sub(half, one)
}

// Pack encodes the arguments of a call. Its errors are [*tools.Error]. book is what names stand for.
func (f *Function) Pack(book *tools.Book, args tools.Args) ([]byte, error) {
	return f.packFrom(book, args, "", common.Address{})
}

// packFrom is Pack of a function of which the input sender is the account that sends the call.
func (f *Function) packFrom(book *tools.Book, args tools.Args, sender string, from common.Address) ([]byte, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(args.JSON, &raw); err != nil {
		return nil, errorf("bad_argument", "The arguments cannot be read.")
	}
	var values []any
	for i, in := range f.Method.Inputs {
		if sender != "" && f.Names[i] == sender {
			values = append(values, from)
			continue
		}
		v := reflect.New(in.Type.GetType()).Elem()
		if err := f.fillArgument(v, in.Type, args.Value(f.Names[i]), raw[f.Names[i]], book); err != nil {
			return nil, errorf("bad_argument", "Argument %q %v.", f.Names[i], err)
		}
		values = append(values, v.Interface())
	}
	data, err := f.Method.Inputs.Pack(values...)
	if err != nil {
		return nil, errorf("bad_argument", "The arguments are not those of the function.")
	}
	return append(bytes.Clone(f.Method.ID), data...), nil
}

// fillArgument reads an argument: an amount and an account by what they stand for, all else as it was written.
func (f *Function) fillArgument(
	to reflect.Value, t abi.Type, x arg.Value, raw json.RawMessage, book *tools.Book,
) error {
	switch {
	case x.Kind == arg.Amount && x.Set:
		raw = json.RawMessage(strconv.Quote(x.Amount.Units()))
		if t.T == abi.UintTy || t.T == abi.IntTy {
			if t.Size <= 32 {
				raw = json.RawMessage(x.Amount.Units())
			}
		}
	case x.Kind == arg.Address && x.Set && t.T == abi.AddressTy:
		to.Set(reflect.ValueOf(x.Addr))
		return nil
	}
	return fill(to, t, raw, book)
}

// fill reads one value into what go-ethereum encodes. The error says what the value must be.
func fill(to reflect.Value, t abi.Type, raw json.RawMessage, book *tools.Book) error {
	var text string
	isText := json.Unmarshal(raw, &text) == nil
	switch t.T {
	case abi.AddressTy:
		a, err := book.Address(text)
		if err != nil {
			return errors.New("must be a name in the address book or a 0x address")
		}
		to.Set(reflect.ValueOf(a))
	case abi.BoolTy, abi.StringTy:
		if err := json.Unmarshal(raw, to.Addr().Interface()); err != nil {
			return fmt.Errorf("must be a %s", t.String())
		}
	case abi.BytesTy, abi.FixedBytesTy:
		b, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
		if err != nil || !strings.HasPrefix(text, "0x") || t.T == abi.FixedBytesTy && len(b) != t.Size {
			return fmt.Errorf("must be %s as 0x and hex digits", t.String())
		}
		if t.T == abi.BytesTy {
			to.SetBytes(b)
		} else {
			reflect.Copy(to, reflect.ValueOf(b))
		}
	case abi.IntTy, abi.UintTy:
		if !isText {
			text = string(raw)
		}
		n, ok := new(big.Int).SetString(text, 10)
		low, high := bounds(t)
		if !ok || n.String() != text || n.Cmp(low) < 0 || n.Cmp(high) > 0 {
			return fmt.Errorf("must be a whole number of type %s in decimal digits", t.String())
		}
		switch {
		case to.Kind() == reflect.Pointer:
			to.Set(reflect.ValueOf(n))
		case to.CanUint():
			to.SetUint(n.Uint64())
		default:
			to.SetInt(n.Int64())
		}
	case abi.SliceTy, abi.ArrayTy:
		return fillList(to, t, raw, book)
	case abi.TupleTy:
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			return errors.New("must be an object")
		}
		for i, name := range t.TupleRawNames {
			if err := fill(to.Field(i), *t.TupleElems[i], members[name], book); err != nil {
				return fmt.Errorf("(%s) %w", name, err)
			}
		}
	}
	return nil
}

func fillList(to reflect.Value, t abi.Type, raw json.RawMessage, book *tools.Book) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || t.T == abi.ArrayTy && len(list) != t.Size {
		return fmt.Errorf("must be a list of type %s", t.String())
	}
	if t.T == abi.SliceTy {
		to.Set(reflect.MakeSlice(to.Type(), len(list), len(list)))
	}
	for i := range list {
		if err := fill(to.Index(i), *t.Elem, list[i], book); err != nil {
			return fmt.Errorf("(element %d) %w", i, err)
		}
	}
	return nil
}
