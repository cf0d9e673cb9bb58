package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/writ-run/writ/tools/arg"
)

// Func makes a tool of a Go function. s says what the tool is; its Schema is made of In, whose exported fields are the
// arguments, so it must be empty.
//
//	type place struct {
//		City string `json:"city" about:"name of the city"`
//		Days int    `json:"days,omitempty"`
//	}
//	weather, err := tools.Func(tools.Spec{Name: "weather.now", About: "Weather of a city.", Class: tools.Read},
//		func(ctx context.Context, in place) (report, error) { ... })
//
// A field is named by its json tag, or by its own name in lower case. It is required unless it is a pointer or the tag
// says omitempty or omitzero, and it is described by its `about` tag. Its type may be
//
//	string, bool, integers, floats, json.Number   a `format` tag gives a string one of the formats of [Spec.Schema], an
//	                                              `asset` tag names the token of an amount, an `enum` tag lists, by
//	                                              commas, what else is refused
//	time.Time                                     a string as of RFC 3339
//	[]byte                                        a string in base64
//	what implements encoding.TextUnmarshaler      a string
//	a struct                                      an object, by the same rules
//	a slice or an array                           a list
//	json.RawMessage, any, maps, json.Unmarshaler  opaque JSON
//
// The function gets addresses as 0x and 40 hex digits, tokens as the Book spells them, and all else as it was written.
// Out is anything that encoding/json can write. fn must be safe for concurrent use. An [*Error] that it returns is told
// to the model. [InputOf] has the idempotency key, which a function of class [Keyed] must hand on.
//
// Class [ChainTx] is an error: what signs and broadcasts has more than one thing to do, which is for a [Chain].
func Func[In, Out any](s Spec, fn func(context.Context, In) (Out, error)) (Tool, error) {
	name := clipText(s.Name)
	switch {
	case s.Class.Sends():
		return nil, fmt.Errorf("tool %q: a function cannot be of class chain; implement tools.Chain", name)
	case fn == nil:
		return nil, fmt.Errorf("tool %q: the function is nil", name)
	case len(s.Schema) > 0:
		return nil, fmt.Errorf("tool %q: the schema is made of the function's argument; leave it empty", name)
	}
	t := reflect.TypeFor[In]()
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("tool %q: the arguments are a %s; they must be a struct", name, t)
	}
	schema, err := schemaOfStruct(t, "", nil)
	if err != nil {
		return nil, fmt.Errorf("tool %q: %w", name, err)
	}
	if s.Schema, err = json.Marshal(schema); err != nil {
		return nil, fmt.Errorf("tool %q: %w", name, err)
	}
	d, err := Compile(s)
	if err != nil {
		return nil, err
	}
	return &function[In, Out]{d.Spec(), fn}, nil
}

type function[In, Out any] struct {
	spec Spec
	fn   func(context.Context, In) (Out, error)
}

func (f *function[In, Out]) Spec() Spec { return f.spec }

func (f *function[In, Out]) Call(ctx context.Context, in Input) ([]byte, error) {
	written := in.Args.JSON
	if f.spec.Book != nil {
		var err error
		if written, err = resolveNames(in.Args); err != nil {
			return nil, fmt.Errorf("arguments of %s: %w", f.spec.Name, err)
		}
	}
	var args In
	if err := json.Unmarshal(written, &args); err != nil {
		return nil, explainUnreadable(err)
	}
	out, err := f.fn(context.WithValue(ctx, inputKey{}, in), args)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("result of %s: %w", f.spec.Name, err)
	}
	return CanonicalJSON(b)
}

type inputKey struct{}

// InputOf returns the whole input of the call that a function made by [Func] was called for, by the context that it
// got. It is zero for any other context.
func InputOf(ctx context.Context) Input {
	in, _ := ctx.Value(inputKey{}).(Input)
	return in
}

// explainUnreadable says that a value does not fit the field's Go type, which may allow less than the schema does.
// Nothing was done then, and the model may try again.
func explainUnreadable(err error) *Error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
		return errorf("bad_argument", "Argument %q cannot be read: it is %s.", e.Field, e.Value)
	}
	return errorf("bad_argument", "The arguments cannot be read: %s.", clipText(err.Error()))
}

// resolveNames writes addresses and tokens into the arguments' JSON in the place of the names that stand for them.
func resolveNames(args Args) ([]byte, error) {
	v, err := parseJSON(args.JSON, MaxArgs)
	if err != nil {
		return nil, err
	}
	for _, x := range args.Values {
		at := &v
		for name := range strings.SplitSeq(x.Name, ".") {
			if at != nil {
				at = at.member(name)
			}
		}
		switch {
		case at == nil:
		case x.Kind == arg.Address:
			at.text = x.Addr.Hex()
		case x.Kind == arg.String:
			at.text = x.Text
		}
	}
	return v.appendTo(nil), nil
}
