package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
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
	s := scanner{b: data}
	err := s.value(reflect.TypeOf(v), 0)
	if err == nil {
		if s.space(); s.i < len(data) {
			err = s.bad("more follows the value")
		}
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Errorf(CodeParams, "%s cannot be a %s.", orValue(te.Field), te.Value)
		}
		return Errorf(CodeParams, "A value does not fit its field: %v.", err)
	}
	return checkForm(reflect.ValueOf(v), "", "")
}

func orValue(field string) string {
	if field == "" {
		return "The value"
	}
	return field
}

// A scanner checks what encoding/json lets pass. It goes over the bytes once and stays beside the type that they
// are meant for; t is nil where there is none.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) bad(format string, args ...any) *Error {
	return Errorf(CodeParse, "Bad JSON at byte %d: %s.", s.i, fmt.Sprintf(format, args...))
}

func (s *scanner) space() {
	for s.i < len(s.b) && strings.IndexByte(" \t\r\n", s.b[s.i]) >= 0 {
		s.i++
	}
}

func (s *scanner) value(t reflect.Type, depth int) error {
	if depth > MaxDepth {
		return s.bad("more than %d values inside one another", MaxDepth)
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s.space(); s.i == len(s.b) {
		return s.bad("the value is cut off")
	}
	switch c := s.b[s.i]; {
	case c == '{':
		return s.object(t, depth)
	case c == '[':
		return s.array(t, depth)
	case c == '"':
		_, err := s.text()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range []string{"true", "false"} {
		if strings.HasPrefix(string(s.b[s.i:min(len(s.b), s.i+5)]), word) {
			s.i += len(word)
			return nil
		}
	}
	if strings.HasPrefix(string(s.b[s.i:min(len(s.b), s.i+4)]), "null") {
		return s.bad("null is not used; leave the key out")
	}
	return s.bad("no value begins with this")
}

func (s *scanner) object(t reflect.Type, depth int) error {
	shape := shapeOf(t)
	seen := map[string]bool{}
	s.i++
	for first := true; ; first = false {
		if s.space(); s.i == len(s.b) {
			return s.bad("the object is cut off")
		}
		if s.b[s.i] == '}' && first {
			s.i++
			break
		}
		if s.b[s.i] != '"' {
			return s.bad("a key in quotes belongs here")
		}
		key, err := s.text()
		if err != nil {
			return err
		}
		if strings.IndexByte(key, '\\') >= 0 {
			return s.bad("keys are written without escapes")
		}
		if seen[key] {
			return s.bad("the key %q stands twice", clip(key))
		}
		seen[key] = true
		var ft reflect.Type
		if shape.fields != nil {
			f, ok := shape.fields[key]
			if !ok {
				return Errorf(CodeParams, "The key %q is unknown here; known are %s.", clip(key), strings.Join(shape.names, ", "))
			}
			ft = f.Type
		}
		if s.space(); s.i == len(s.b) || s.b[s.i] != ':' {
			return s.bad("a colon belongs here")
		}
		s.i++
		if err := s.value(ft, depth+1); err != nil {
			return err
		}
		if s.space(); s.i == len(s.b) {
			return s.bad("the object is cut off")
		}
		s.i++
		if s.b[s.i-1] == '}' {
			break
		}
		if s.b[s.i-1] != ',' {
			s.i--
			return s.bad("a comma or the object's end belongs here")
		}
	}
	for _, name := range shape.names {
		if !seen[name] && !shape.fields[name].optional {
			return Errorf(CodeParams, "The key %q is missing.", name)
		}
	}
	return nil
}

func (s *scanner) array(t reflect.Type, depth int) error {
	var et reflect.Type
	if t != nil && t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 {
		et = t.Elem()
	}
	s.i++
	for first := true; ; first = false {
		if s.space(); s.i < len(s.b) && s.b[s.i] == ']' && first {
			s.i++
			return nil
		}
		if err := s.value(et, depth+1); err != nil {
			return err
		}
		if s.space(); s.i == len(s.b) {
			return s.bad("the array is cut off")
		}
		s.i++
		if s.b[s.i-1] == ']' {
			return nil
		}
		if s.b[s.i-1] != ',' {
			s.i--
			return s.bad("a comma or the array's end belongs here")
		}
	}
}

// text passes over a text and returns what stands between its quotes, escapes as written.
func (s *scanner) text() (string, error) {
	s.i++
	for start := s.i; s.i < len(s.b); {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return string(s.b[start : s.i-1]), nil
		case c < 0x20:
			return "", s.bad("a control character must be escaped")
		case c == '\\':
			if err := s.escape(); err != nil {
				return "", err
			}
		case c < utf8.RuneSelf:
			s.i++
		default:
			r, n := utf8.DecodeRune(s.b[s.i:])
			if r == utf8.RuneError && n == 1 {
				return "", s.bad("the text is not UTF-8")
			}
			s.i += n
		}
	}
	return "", s.bad("the text is cut off")
}

func (s *scanner) escape() error {
	if s.i+1 < len(s.b) && strings.IndexByte(`"\/bfnrt`, s.b[s.i+1]) >= 0 {
		s.i += 2
		return nil
	}
	u, ok := s.hex4(s.i)
	if !ok {
		return s.bad("an unknown escape")
	}
	switch {
	case u >= 0xdc00 && u < 0xe000:
		return s.bad("a surrogate without its pair")
	case u >= 0xd800 && u < 0xdc00:
		if low, ok := s.hex4(s.i + 6); !ok || low < 0xdc00 || low >= 0xe000 {
			return s.bad("a surrogate without its pair")
		}
		s.i += 6
	}
	s.i += 6
	return nil
}

// hex4 reads \uXXXX at i.
func (s *scanner) hex4(i int) (uint64, bool) {
	if i+6 > len(s.b) || s.b[i] != '\\' || s.b[i+1] != 'u' {
		return 0, false
	}
	for _, c := range s.b[i+2 : i+6] { // ParseUint would take "_" and "+"
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return 0, false
		}
	}
	u, err := strconv.ParseUint(string(s.b[i+2:i+6]), 16, 16)
	return u, err == nil
}

func (s *scanner) number() error {
	start := s.i
	digits := func() bool {
		from := s.i
		for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
			s.i++
		}
		return s.i > from
	}
	at := func(set string) bool { return s.i < len(s.b) && strings.IndexByte(set, s.b[s.i]) >= 0 }
	if at("-") {
		s.i++
	}
	zero := at("0")
	from := s.i
	ok := digits() && !(zero && s.i-from > 1)
	if ok && at(".") {
		s.i++
		ok = digits()
	}
	if ok && at("eE") {
		s.i++
		if at("+-") {
			s.i++
		}
		ok = digits()
	}
	if !ok || s.i-start > 400 {
		return s.bad("not a number as JSON writes it")
	}
	return nil
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

func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "..."
	}
	return s
}
