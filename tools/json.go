package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxJSON bounds the input of [CanonicalJSON], in bytes.
const MaxJSON = 1 << 20

const maxDepth = 32 // objects and lists inside each other

// CanonicalJSON returns the one spelling of a JSON value: keys sorted bytewise, no white space, the shortest escapes,
// integers digit for digit and other numbers as ECMAScript writes them. Duplicate keys, text that is not UTF-8, half
// surrogate pairs, more than [MaxJSON] bytes, more than 32 levels and anything after the value are errors, so two
// readers cannot see two things in what passes.
func CanonicalJSON(data []byte) ([]byte, error) {
	v, err := parseJSON(data, MaxJSON)
	if err != nil {
		return nil, err
	}
	return v.append(make([]byte, 0, len(data))), nil
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

// get returns the member of an object with that key, or nil.
func (v *value) get(key string) *value {
	i, ok := slices.BinarySearchFunc(v.members, key, func(m member, k string) int { return strings.Compare(m.key, k) })
	if !ok {
		return nil
	}
	return &v.members[i].value
}

// append appends the canonical spelling of v to b.
func (v *value) append(b []byte) []byte {
	switch v.kind {
	case null, boolFalse, boolTrue:
		return append(b, v.kind.String()...)
	case integer, fraction:
		return append(b, v.text...)
	case text:
		return appendText(b, v.text)
	case list:
		b = append(b, '[')
		for i := range v.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.list[i].append(b)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i := range v.members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, v.members[i].key), ':')
		b = v.members[i].append(b)
	}
	return append(b, '}')
}

func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			if c < 0x20 {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}

// A parser reads RFC 8259, strictly. encoding/json is not used because it takes duplicate keys, replaces bad UTF-8
// and matches keys without regard to case.
type parser struct {
	in  []byte
	pos int
}

func parseJSON(data []byte, limit int) (value, error) {
	if len(data) > limit {
		return value{}, fmt.Errorf("the JSON has %d bytes; at most %d are allowed", len(data), limit)
	}
	if !utf8.Valid(data) {
		return value{}, errors.New("the JSON is not UTF-8")
	}
	p := parser{in: data}
	v, err := p.value(0)
	if err != nil {
		return value{}, err
	}
	if p.space(); p.pos != len(data) {
		return value{}, p.errorf("something follows the value")
	}
	return v, nil
}

func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf("the JSON is wrong at byte %d: %s", p.pos, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	for p.pos < len(p.in) && strings.IndexByte(" \t\r\n", p.in[p.pos]) >= 0 {
		p.pos++
	}
}

// next returns the byte at the position, or 0 at the end. A 0 byte is never valid outside a text.
func (p *parser) next() byte {
	if p.pos == len(p.in) {
		return 0
	}
	return p.in[p.pos]
}

func (p *parser) value(depth int) (value, error) {
	if depth > maxDepth {
		return value{}, p.errorf("nested deeper than %d", maxDepth)
	}
	p.space()
	switch c := p.next(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.text()
		return value{kind: text, text: s}, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for _, k := range []kind{null, boolFalse, boolTrue} {
		if strings.HasPrefix(string(p.in[p.pos:min(p.pos+5, len(p.in))]), k.String()) {
			p.pos += len(k.String())
			return value{kind: k}, nil
		}
	}
	return value{}, p.errorf("a value was expected")
}

func (p *parser) object(depth int) (value, error) {
	v := value{kind: object}
	for p.pos++; ; p.pos++ {
		p.space()
		if p.next() == '}' && len(v.members) == 0 {
			break
		}
		if p.next() != '"' {
			return v, p.errorf("a key was expected")
		}
		key, err := p.text()
		if err != nil {
			return v, err
		}
		if p.space(); p.next() != ':' {
			return v, p.errorf("a ':' was expected")
		}
		p.pos++
		e, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.members = append(v.members, member{key, e})
		if p.space(); p.next() == '}' {
			break
		} else if p.next() != ',' {
			return v, p.errorf("a ',' or '}' was expected")
		}
	}
	p.pos++
	slices.SortFunc(v.members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	for i := 1; i < len(v.members); i++ {
		if v.members[i].key == v.members[i-1].key {
			return v, p.errorf("key %q stands twice in the object that ends here", clip(v.members[i].key))
		}
	}
	return v, nil
}

func (p *parser) array(depth int) (value, error) {
	v := value{kind: list}
	for p.pos++; ; p.pos++ {
		p.space()
		if p.next() == ']' && len(v.list) == 0 {
			break
		}
		e, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.list = append(v.list, e)
		if p.space(); p.next() == ']' {
			break
		} else if p.next() != ',' {
			return v, p.errorf("a ',' or ']' was expected")
		}
	}
	p.pos++
	return v, nil
}

func (p *parser) number() (value, error) {
	start := p.pos
	digits := func() bool {
		from := p.pos
		for c := p.next(); c >= '0' && c <= '9'; c = p.next() {
			p.pos++
		}
		return p.pos > from
	}
	if p.next() == '-' {
		p.pos++
	}
	if p.next() == '0' {
		p.pos++
	} else if !digits() {
		return value{}, p.errorf("a digit was expected")
	}
	v := value{kind: integer}
	if p.next() == '.' {
		v.kind = fraction
		if p.pos++; !digits() {
			return v, p.errorf("a digit was expected")
		}
	}
	if c := p.next(); c == 'e' || c == 'E' {
		v.kind = fraction
		if p.pos++; p.next() == '+' || p.next() == '-' {
			p.pos++
		}
		if !digits() {
			return v, p.errorf("a digit was expected")
		}
	}
	if c := p.next(); c >= '0' && c <= '9' {
		return v, p.errorf("a number begins with 0")
	}
	v.text = string(p.in[start:p.pos])
	if v.kind == fraction {
		f, err := strconv.ParseFloat(v.text, 64)
		if err != nil {
			return v, p.errorf("a number is too large")
		}
		b, err := json.Marshal(f) // spells as ECMAScript does, but for minus zero
		if err != nil {
			return v, p.errorf("not a number")
		}
		if v.text = string(b); !strings.ContainsAny(v.text, ".e") {
			v.kind = integer // 1.0 and 1e2 have one spelling
		}
	}
	if v.text == "-0" {
		v.text = "0"
	}
	return v, nil
}

func (p *parser) text() (string, error) {
	p.pos++
	start := p.pos
	for p.pos < len(p.in) && p.in[p.pos] != '"' && p.in[p.pos] != '\\' && p.in[p.pos] >= 0x20 {
		p.pos++
	}
	if p.next() == '"' { // nearly always: no escapes
		p.pos++
		return string(p.in[start : p.pos-1]), nil
	}
	b := slices.Clone(p.in[start:p.pos])
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		p.pos++
		switch {
		case c == '"':
			return string(b), nil
		case c < 0x20:
			return "", p.errorf("a control character must be escaped")
		case c != '\\':
			b = append(b, c)
			continue
		}
		e := p.next()
		p.pos++
		switch i := strings.IndexByte(`"\/bfnrt`, e); {
		case e == 'u':
			r, err := p.unicode()
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
		case i >= 0 && e != 0:
			b = append(b, "\"\\/\b\f\n\r\t"[i])
		default:
			p.pos = min(p.pos, len(p.in))
			return "", p.errorf("an unknown escape")
		}
	}
	return "", p.errorf("a string has no end")
}

// unicode reads the digits of a \u escape, and the second half if it is a surrogate pair.
func (p *parser) unicode() (rune, error) {
	r, err := p.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if p.pos+2 <= len(p.in) && p.in[p.pos] == '\\' && p.in[p.pos+1] == 'u' {
		p.pos += 2
		low, err := p.hex4()
		if err != nil {
			return 0, err
		}
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, nil
		}
	}
	return 0, p.errorf("half a surrogate pair")
}

func (p *parser) hex4() (rune, error) {
	if p.pos+4 > len(p.in) {
		return 0, p.errorf("four hex digits were expected")
	}
	n, err := strconv.ParseUint(string(p.in[p.pos:p.pos+4]), 16, 16)
	if err != nil || p.in[p.pos] == '+' {
		return 0, p.errorf("four hex digits were expected")
	}
	p.pos += 4
	return rune(n), nil
}

// clip shortens what is quoted in a message.
func clip(s string) string {
	if len(s) <= 60 {
		return s
	}
	return strings.ToValidUTF8(s[:57], "") + "..."
}
