package tools

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/tools/arg"
)

// MaxJSON bounds the input of [CanonicalJSON], in bytes.
const MaxJSON = 1 << 20

const maxDepth = 32 // objects and lists inside each other

// CanonicalJSON returns the one spelling of a JSON value: keys sorted bytewise, no white space, the shortest escapes,
// numbers exactly, as [arg.Decimal] spells them. Duplicate keys, text that is not UTF-8, half surrogate pairs, numbers
// that are too large, more than [MaxJSON] bytes, more than 32 levels and anything after the value are errors, so two
// readers cannot see two things in what passes.
func CanonicalJSON(data []byte) ([]byte, error) {
	v, err := parseJSON(data, MaxJSON)
	if err != nil {
		return nil, err
	}
	return v.appendTo(make([]byte, 0, len(data))), nil
}

// A value is a parsed JSON value.
type value struct {
	kind    kind
	text    string // of a text; of a number, its canonical spelling
	list    []value
	members []member // of an object, sorted by key
}

type member struct {
	key string
	value
}

type kind byte

const (
	null kind = iota
	boolFalse
	boolTrue
	integer
	fraction
	text
	list
	object
)

func (k kind) String() string {
	return [...]string{"null", "false", "true", "an integer", "a number", "a string", "a list", "an object"}[k]
}

// member returns the member of an object with that key, or nil.
func (v *value) member(key string) *value {
	i, ok := slices.BinarySearchFunc(v.members, key, compareKey)
	if !ok {
		return nil
	}
	return &v.members[i].value
}

func compareKey(m member, key string) int { return strings.Compare(m.key, key) }

// appendTo appends the canonical spelling of v to b.
func (v *value) appendTo(b []byte) []byte {
	switch v.kind {
	case null, boolFalse, boolTrue:
		return append(b, v.kind.String()...)
	case integer, fraction:
		return append(b, v.text...)
	case text:
		return strictjson.AppendText(b, v.text)
	case list:
		b = append(b, '[')
		for i := range v.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.list[i].appendTo(b)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i := range v.members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strictjson.AppendText(b, v.members[i].key), ':')
		b = v.members[i].appendTo(b)
	}
	return append(b, '}')
}

// A parser reads a value, strictly.
type parser struct{ strictjson.Scanner }

func parseJSON(data []byte, limit int) (value, error) {
	if len(data) > limit {
		return value{}, fmt.Errorf("the JSON has %d bytes; at most %d are allowed", len(data), limit)
	}
	p := parser{strictjson.Scanner{In: data}}
	v, err := p.readValue(0)
	if err != nil {
		return value{}, err
	}
	if p.SkipSpace(); p.At != len(data) {
		return value{}, p.Errorf("something follows the value")
	}
	return v, nil
}

func (p *parser) readValue(depth int) (value, error) {
	if depth > maxDepth {
		return value{}, p.Errorf("nested deeper than %d", maxDepth)
	}
	p.SkipSpace()
	switch c := p.Next(); {
	case c == '{':
		return p.readObject(depth)
	case c == '[':
		return p.readArray(depth)
	case c == '"':
		s, _, err := p.ReadText()
		return value{kind: text, text: s}, err
	case c == '-' || c >= '0' && c <= '9':
		return p.readNumber()
	}
	for _, k := range []kind{null, boolFalse, boolTrue} {
		if p.SkipWord(k.String()) {
			return value{kind: k}, nil
		}
	}
	return value{}, p.Errorf("a value was expected")
}

func (p *parser) readObject(depth int) (value, error) {
	v := value{kind: object}
	for p.At++; ; p.At++ {
		p.SkipSpace()
		if p.Next() == '}' && len(v.members) == 0 {
			break
		}
		if p.Next() != '"' {
			return v, p.Errorf("a key was expected")
		}
		key, _, err := p.ReadText()
		if err != nil {
			return v, err
		}
		if p.SkipSpace(); p.Next() != ':' {
			return v, p.Errorf("a ':' was expected")
		}
		p.At++
		e, err := p.readValue(depth + 1)
		if err != nil {
			return v, err
		}
		v.members = append(v.members, member{key, e})
		if p.SkipSpace(); p.Next() == '}' {
			break
		} else if p.Next() != ',' {
			return v, p.Errorf("a ',' or '}' was expected")
		}
	}
	p.At++
	slices.SortFunc(v.members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	for i := 1; i < len(v.members); i++ {
		if v.members[i].key == v.members[i-1].key {
			return v, p.Errorf("a key stands twice in the object that ends here") // it may be a model's own words
		}
	}
	return v, nil
}

func (p *parser) readArray(depth int) (value, error) {
	v := value{kind: list}
	for p.At++; ; p.At++ {
		p.SkipSpace()
		if p.Next() == ']' && len(v.list) == 0 {
			break
		}
		e, err := p.readValue(depth + 1)
		if err != nil {
			return v, err
		}
		v.list = append(v.list, e)
		if p.SkipSpace(); p.Next() == ']' {
			break
		} else if p.Next() != ',' {
			return v, p.Errorf("a ',' or ']' was expected")
		}
	}
	p.At++
	return v, nil
}

func (p *parser) readNumber() (value, error) {
	written, err := p.ReadNumber()
	if err != nil {
		return value{}, err
	}
	d, err := arg.ParseDecimal(written)
	if err != nil {
		return value{}, p.Errorf("%v", err)
	}
	v := value{kind: fraction, text: d.String()}
	if d.IsInteger() { // 1.0 and 1e2 have one spelling
		v.kind = integer
	}
	return v, nil
}

// clipText shortens what is quoted in a message.
func clipText(s string) string {
	if len(s) <= 60 {
		return s
	}
	return strings.ToValidUTF8(s[:57], "") + "..."
}
