package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Func makes a tool of a Go function. In must be a struct whose exported fields are strings, booleans or integers;
// each is a property, named by its json tag (or by its own name in lower case), required unless the tag says
// omitempty or omitzero, and described by its `about` tag. Out is anything that encoding/json can write.
//
//	type place struct {
//		City string `json:"city" about:"name of the city"`
//	}
//	weather, err := tools.Func("weather.now", "Current weather of a city.", tools.Read,
//		func(ctx context.Context, in place) (report, error) { ... })
//
// class is [Read] or [Once]; a function gets no idempotency key and signs nothing, so the other two need a [Tool] of
// its own. fn must be safe for concurrent use. An [*Error] that it returns is told to the model.
func Func[In, Out any](name, about string, class Class, fn func(context.Context, In) (Out, error)) (Tool, error) {
	if class != Read && class != Once {
		return nil, fmt.Errorf("tool %q: a function can be of class read or once, not %q", clip(name), class)
	}
	if fn == nil {
		return nil, fmt.Errorf("tool %q: the function is nil", clip(name))
	}
	schema, err := schemaOf(reflect.TypeFor[In]())
	if err != nil {
		return nil, fmt.Errorf("tool %q: %w", clip(name), err)
	}
	d, err := Compile(Spec{Name: name, About: about, Class: class, Schema: schema})
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
	var args In
	if err := json.Unmarshal(in.Args.JSON, &args); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", f.spec.Name, err)
	}
	out, err := f.fn(ctx, args)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("result of %s: %w", f.spec.Name, err)
	}
	return CanonicalJSON(b)
}

// schemaOf returns the JSON Schema of a struct.
func schemaOf(t reflect.Type) ([]byte, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("the arguments are a %s; they must be a struct", t)
	}
	type property map[string]any
	props, required := map[string]property{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || tag == "-" && options == "" {
			continue
		}
		if tag == "" {
			tag = strings.ToLower(f.Name)
		}
		p := property{}
		switch k := f.Type.Kind(); {
		case f.Anonymous:
			return nil, fmt.Errorf("field %s is embedded; name it", f.Name)
		case k == reflect.String:
			p["type"] = "string"
		case k == reflect.Bool:
			p["type"] = "boolean"
		case k >= reflect.Int && k <= reflect.Int64:
			bits := f.Type.Bits()
			p["type"], p["minimum"], p["maximum"] = "integer", int64(-1)<<(bits-1), int64(1)<<(bits-1)-1
		case k >= reflect.Uint && k <= reflect.Uint64:
			bits := min(f.Type.Bits(), 63)
			p["type"], p["minimum"], p["maximum"] = "integer", 0, int64(uint64(1)<<bits-1)
		default:
			return nil, fmt.Errorf("field %s is a %s; arguments are strings, booleans and integers", f.Name, f.Type)
		}
		if about := f.Tag.Get("about"); about != "" {
			p["description"] = about
		}
		if props[tag] != nil {
			return nil, fmt.Errorf("two fields are called %q", tag)
		}
		props[tag] = p
		switch options {
		case "":
			required = append(required, tag)
		case "omitempty", "omitzero":
		default:
			return nil, fmt.Errorf("field %s has the json option %q; only omitempty and omitzero are known", f.Name, options)
		}
	}
	b, err := json.Marshal(map[string]any{
		"type": "object", "properties": props, "required": required, "additionalProperties": false,
	})
	if err != nil {
		return nil, errors.New("the schema cannot be written")
	}
	return b, nil
}
