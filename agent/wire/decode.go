package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/internal/wording"
)

// DecodeStrict reads the one JSON value in data into v, which points to a type of this package or one built like
// them: exported struct fields with json tags. Refused are more than [MaxFrame] bytes, more than [MaxDepth] nested
// values, trailing data, bad UTF-8, unpaired surrogates, null, keys that stand twice, are escaped, are unknown or
// differ in case from a field's, missing keys that are not omitempty, fractions and integers beyond 2^53 in integer
// fields, and texts that do not have the form of their field. The error is an [*Error] of [CodeParse] or
// [CodeParams], whose sentence names the place.
//
// What stands in a json.RawMessage is held to the same syntax, not to any type; numbers in it are as they are.
func DecodeStrict(data []byte, v any) error {
	if len(data) > MaxFrame {
		return Errorf(CodeParse, "The JSON has %d bytes; at most %d are read.", len(data), MaxFrame)
	}
	s := scanner{strictjson.Scanner{In: data}}
	err := s.scanValue(reflect.TypeOf(v), 0)
	if err == nil {
		if s.SkipSpace(); s.At < len(data) {
			err = s.syntaxError("more follows the value")
		}
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Errorf(CodeParams, "%s cannot be a %s.", fieldOrValue(te.Field), te.Value)
		}
		return Errorf(CodeParams, "A value does not fit its field: %v.", err)
	}
	return checkForm(reflect.ValueOf(v), "", "")
}

func fieldOrValue(field string) string {
	if field == "" {
		return "The value"
	}
	return field
}

// A scanner checks what encoding/json lets pass. It goes over the bytes once and stays beside the type that they
// are meant for; t is nil where there is none.
type scanner struct{ strictjson.Scanner }

func (s *scanner) syntaxError(format string, args ...any) *Error {
	return Errorf(CodeParse, "Bad JSON at byte %d: %s.", s.At, fmt.Sprintf(format, args...))
}

// syntaxErrorOf says what a Scanner's error says.
func syntaxErrorOf(err error) error {
	if e, ok := errors.AsType[*strictjson.SyntaxError](err); ok {
		return Errorf(CodeParse, "Bad JSON at byte %d: %s.", e.At, e.What)
	}
	return err
}

func (s *scanner) scanValue(t reflect.Type, depth int) error {
	if depth > MaxDepth {
		return s.syntaxError("more than %d values inside one another", MaxDepth)
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s.SkipSpace(); s.At == len(s.In) {
		return s.syntaxError("the value is cut off")
	}
	switch c := s.In[s.At]; {
	case c == '{':
		return s.scanObject(t, depth)
	case c == '[':
		return s.scanArray(t, depth)
	case c == '"':
		_, _, err := s.ReadText()
		return syntaxErrorOf(err)
	case c == '-' || c >= '0' && c <= '9':
		_, err := s.ReadNumber()
		return syntaxErrorOf(err)
	}
	for _, word := range []string{"true", "false"} {
		if s.SkipWord(word) {
			return nil
		}
	}
	if at := s.At; s.SkipWord("null") {
		s.At = at
		return s.syntaxError("null is not used; leave the key out")
	}
	return s.syntaxError("no value begins with this")
}

func (s *scanner) scanObject(t reflect.Type, depth int) error {
	shape := shapeOf(t)
	seen := map[string]bool{}
	s.At++
	for first := true; ; first = false {
		if s.SkipSpace(); s.At == len(s.In) {
			return s.syntaxError("the object is cut off")
		}
		if s.In[s.At] == '}' && first {
			s.At++
			break
		}
		if err := s.scanMember(shape, seen, depth); err != nil {
			return err
		}
		if s.SkipSpace(); s.At == len(s.In) {
			return s.syntaxError("the object is cut off")
		}
		s.At++
		if s.In[s.At-1] == '}' {
			break
		}
		if s.In[s.At-1] != ',' {
			s.At--
			return s.syntaxError("a comma or the object's end belongs here")
		}
	}
	for _, name := range shape.names {
		if !seen[name] && !shape.fields[name].optional {
			return Errorf(CodeParams, "The key %q is missing.", name)
		}
	}
	return nil
}

// scanMember passes over a key and its value.
func (s *scanner) scanMember(of *shape, seen map[string]bool, depth int) error {
	if s.In[s.At] != '"' {
		return s.syntaxError("a key in quotes belongs here")
	}
	key, escaped, err := s.ReadText()
	if err != nil {
		return syntaxErrorOf(err)
	}
	if escaped {
		return s.syntaxError("keys are written without escapes")
	}
	if seen[key] {
		return s.syntaxError("the key %q stands twice", wording.Clip(key, 40))
	}
	seen[key] = true
	var t reflect.Type
	if of.fields != nil {
		f, ok := of.fields[key]
		if !ok {
			return Errorf(CodeParams, "The key %q is unknown here; known are %s.",
				wording.Clip(key, 40), strings.Join(of.names, ", "))
		}
		t = f.Type
	}
	if s.SkipSpace(); s.At == len(s.In) || s.In[s.At] != ':' {
		return s.syntaxError("a colon belongs here")
	}
	s.At++
	return s.scanValue(t, depth+1)
}

func (s *scanner) scanArray(t reflect.Type, depth int) error {
	var et reflect.Type
	if t != nil && t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 {
		et = t.Elem()
	}
	s.At++
	for first := true; ; first = false {
		if s.SkipSpace(); s.At < len(s.In) && s.In[s.At] == ']' && first {
			s.At++
			return nil
		}
		if err := s.scanValue(et, depth+1); err != nil {
			return err
		}
		if s.SkipSpace(); s.At == len(s.In) {
			return s.syntaxError("the array is cut off")
		}
		s.At++
		if s.In[s.At-1] == ']' {
			return nil
		}
		if s.In[s.At-1] != ',' {
			s.At--
			return s.syntaxError("a comma or the array's end belongs here")
		}
	}
}

// A shape is what a struct's tags say of its keys.
type shape struct {
	fields map[string]field
	names  []string // in the order of the fields
}

type field struct {
	reflect.StructField
	optional bool
}

// shapes keeps the shape of each type that was met: each frame needs some, and a type does not change.
var shapes sync.Map // reflect.Type to *shape

// shapeOf returns the shape of a struct, or an empty one for anything else.
func shapeOf(t reflect.Type) *shape {
	if t == nil || t.Kind() != reflect.Struct {
		return &shape{}
	}
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{fields: map[string]field{}}
	for _, f := range reflect.VisibleFields(t) {
		if key, opts, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" && key != "-" {
			s.fields[key] = field{f, opts == "omitempty"}
			s.names = append(s.names, key)
		}
	}
	shapes.Store(t, s)
	return s
}
