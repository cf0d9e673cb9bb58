package calldata

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
)

// MaxSignature bounds a signature, in bytes.
const MaxSignature = 256

// errSignature says what a signature looks like.
var errSignature = errors.New("it is not a signature, such as balanceOf(address)")

// ParseSignature reads a function by its signature, such as balanceOf(address). Its inputs have no names.
func ParseSignature(s string) (*Function, error) {
	s = strings.ReplaceAll(s, " ", "")
	name, rest, ok := strings.Cut(s, "(")
	if len(s) > MaxSignature || !ok || !arg.IsName(strings.Trim(name, "_$")) || !strings.HasSuffix(rest, ")") {
		return nil, errSignature
	}
	inputs, ok := readTypes(rest[:len(rest)-1], 0)
	if !ok {
		return nil, errSignature
	}
	b, err := json.Marshal(entry{"function", name, "nonpayable", inputs})
	if err != nil {
		return nil, err
	}
	f, err := Parse(b)
	if err != nil {
		return nil, errSignature
	}
	for _, in := range f.Method.Inputs {
		if _, err := schemaOf(in.Type, 1, true); err != nil {
			return nil, errSignature
		}
	}
	return f, nil
}

// readTypes reads a list of types, a tuple in parentheses. What a type's name is worth is for [Parse] to say.
func readTypes(s string, depth int) ([]input, bool) {
	out := []input{}
	for rest := s; s != ""; {
		part, more, ok := cutType(rest)
		if !ok || depth > maxDepth {
			return nil, false
		}
		if strings.HasPrefix(part, "tuple") { // which has no name of its own
			return nil, false
		}
		in := input{Name: fmt.Sprint("m", len(out)), Type: part}
		if strings.HasPrefix(part, "(") {
			end := strings.LastIndexByte(part, ')')
			if end < 0 {
				return nil, false
			}
			if in.Components, ok = readTypes(part[1:end], depth+1); !ok || len(in.Components) == 0 {
				return nil, false
			}
			in.Type = "tuple" + part[end+1:]
		}
		out = append(out, in)
		if more == "" {
			break
		}
		rest = more[1:]
	}
	return out, true
}

// cutType cuts the first type of a list off, at a comma outside of parentheses. ok is false if there is none.
func cutType(s string) (part, rest string, ok bool) {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				return s[:i], s[i:], i > 0
			}
		}
		if depth < 0 {
			return "", "", false
		}
	}
	return s, "", depth == 0 && s != ""
}

// ParseTypes reads a list of types, such as address,uint256.
func ParseTypes(s string) (abi.Arguments, error) {
	if s == "" {
		return nil, nil
	}
	f, err := ParseSignature("f(" + s + ")")
	if err != nil {
		return nil, errors.New("it is not a list of types, such as address,uint256")
	}
	return f.Method.Inputs, nil
}

// PackTexts encodes arguments that are written as texts: a list or a tuple as JSON.
func (f *Function) PackTexts(book *tools.Book, texts []string) ([]byte, error) {
	if len(texts) != len(f.Method.Inputs) {
		return nil, errorf("bad_argument", "%s takes %d arguments, not %d.", f.Method.Sig, len(f.Method.Inputs), len(texts))
	}
	values := make([]any, len(texts))
	for i, in := range f.Method.Inputs {
		raw := []byte(texts[i])
		switch in.Type.T {
		case abi.SliceTy, abi.ArrayTy, abi.TupleTy, abi.BoolTy:
		default:
			var err error
			if raw, err = json.Marshal(texts[i]); err != nil {
				return nil, err
			}
		}
		v := reflect.New(in.Type.GetType()).Elem()
		if err := fill(v, in.Type, raw, book); err != nil {
			return nil, errorf("bad_argument", "Argument %d %v.", i+1, err)
		}
		values[i] = v.Interface()
	}
	data, err := f.Method.Inputs.Pack(values...)
	if err != nil {
		return nil, errorf("bad_argument", "The arguments are not those of the function.")
	}
	return append(append([]byte{}, f.Method.ID...), data...), nil
}

// An Event is an event as its declaration says it.
type Event struct{ abi.Event }

// ParseEvent reads a declaration, such as Transfer(address indexed from, address indexed to, uint256 value). What has
// no name is called by its place.
func ParseEvent(s string) (*Event, error) {
	bad := errors.New("it is not an event, such as Transfer(address indexed from, address indexed to, uint256 value)")
	name, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s), "event "), "(")
	inside, after, closed := strings.Cut(rest, ")")
	if len(s) > MaxSignature || !ok || !closed || strings.Trim(after, " ;") != "" || strings.Contains(inside, "(") {
		return nil, bad
	}
	var inputs abi.Arguments
	for i, part := range strings.Split(inside, ",") {
		words := strings.Fields(part)
		if len(words) == 0 && inside == "" {
			break
		}
		if len(words) == 0 || len(words) > 3 {
			return nil, bad
		}
		types, err := ParseTypes(words[0])
		if err != nil || len(types) != 1 {
			return nil, bad
		}
		in := abi.Argument{Type: types[0].Type, Name: fmt.Sprint(i)}
		for _, w := range words[1:] {
			if w == "indexed" && !in.Indexed {
				in.Indexed = true
			} else {
				in.Name = w
			}
		}
		inputs = append(inputs, in)
	}
	if name = strings.TrimSpace(name); name == "" || strings.ContainsAny(name, " \t\n") {
		return nil, bad
	}
	return &Event{abi.NewEvent(name, name, false, inputs)}, nil
}

// Read decodes a log of the event. ok is false if it is none.
func (e *Event) Read(topics []common.Hash, data []byte) (values map[string]any, ok bool) {
	if len(topics) == 0 || topics[0] != e.ID {
		return nil, false
	}
	values = map[string]any{}
	var indexed abi.Arguments
	for _, in := range e.Inputs {
		if in.Indexed {
			indexed = append(indexed, in)
		}
	}
	if e.Inputs.UnpackIntoMap(values, data) != nil && len(e.Inputs.NonIndexed()) > 0 ||
		len(indexed) != len(topics)-1 || abi.ParseTopicsIntoMap(values, indexed, topics[1:]) != nil {
		return nil, false
	}
	return values, true
}
