// Package strictjson reads the tokens of RFC 8259 strictly, and writes texts in their one spelling. Whoever reads JSON
// that strangers sent, or that is signed, goes over it with a [Scanner]: encoding/json takes duplicate keys, replaces
// bad UTF-8 and matches keys without regard to case, so that two readers can see two things.
//
// A Scanner knows no structure: what may stand where, how deep, and which keys, is for who uses it to say.
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A SyntaxError says what is wrong with the bytes, and from which byte on.
type SyntaxError struct {
	At   int
	What string // part of a sentence: "a ':' was expected"
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("the JSON is wrong at byte %d: %s", e.At, e.What)
}

// A Scanner stands at a place in a JSON text.
type Scanner struct {
	In []byte
	At int
}

// Errorf returns an error at the place.
func (s *Scanner) Errorf(format string, args ...any) error {
	return &SyntaxError{s.At, fmt.Sprintf(format, args...)}
}

// SkipSpace goes on to the next token, or to the end.
func (s *Scanner) SkipSpace() {
	for s.At < len(s.In) && strings.IndexByte(" \t\r\n", s.In[s.At]) >= 0 {
		s.At++
	}
}

// Next returns the byte at the place, or 0 at the end. A 0 byte is valid nowhere.
func (s *Scanner) Next() byte {
	if s.At >= len(s.In) {
		return 0
	}
	return s.In[s.At]
}

// SkipWord goes past a literal such as true, if it is next.
func (s *Scanner) SkipWord(word string) bool {
	if !bytes.HasPrefix(s.In[min(s.At, len(s.In)):], []byte(word)) {
		return false
	}
	s.At += len(word)
	return true
}

// ReadText reads a text, whose opening quote is next, and returns what it says and whether an escape stands in it.
func (s *Scanner) ReadText() (text string, escaped bool, err error) {
	s.At++
	start := s.At
	for s.At < len(s.In) && s.In[s.At] != '"' && s.In[s.At] != '\\' && s.In[s.At] >= 0x20 {
		s.At++
	}
	b := s.In[start:s.At]
	if s.Next() != '"' { // hardly ever: an escape, or a fault
		escaped = true
		if b, err = s.readEscaped(bytes.Clone(b)); err != nil {
			return "", true, err
		}
	}
	if !utf8.Valid(b) {
		return "", escaped, s.Errorf("a text is not UTF-8")
	}
	s.At++
	return string(b), escaped, nil
}

// readEscaped goes on to the closing quote.
func (s *Scanner) readEscaped(b []byte) ([]byte, error) {
	for s.At < len(s.In) {
		c := s.In[s.At]
		switch {
		case c == '"':
			return b, nil
		case c < 0x20:
			return nil, s.Errorf("a control character must be escaped")
		case c != '\\':
			b = append(b, c)
			s.At++
			continue
		}
		s.At++
		e := s.Next()
		if e == 'u' {
			r, err := s.readUnicode()
			if err != nil {
				return nil, err
			}
			b = utf8.AppendRune(b, r)
			continue
		}
		i := strings.IndexByte(`"\/bfnrt`, e)
		if i < 0 {
			return nil, s.Errorf("an unknown escape")
		}
		b = append(b, "\"\\/\b\f\n\r\t"[i])
		s.At++
	}
	return nil, s.Errorf("a text has no end")
}

// readUnicode reads an escape from its u on, and the second half of a surrogate pair.
func (s *Scanner) readUnicode() (rune, error) {
	r, err := s.readHex()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if s.Next() == '\\' && s.At+1 < len(s.In) && s.In[s.At+1] == 'u' {
		s.At++
		low, err := s.readHex()
		if err != nil {
			return 0, err
		}
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, nil
		}
	}
	return 0, s.Errorf("half a surrogate pair")
}

// readHex reads a u and four hex digits.
func (s *Scanner) readHex() (rune, error) {
	s.At++
	digits := s.In[min(s.At, len(s.In)):min(s.At+4, len(s.In))]
	for _, c := range digits { // ParseUint takes more than digits
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return 0, s.Errorf("four hex digits were expected")
		}
	}
	n, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil || len(digits) != 4 {
		return 0, s.Errorf("four hex digits were expected")
	}
	s.At += 4
	return rune(n), nil
}

// MaxNumber bounds the characters of a number.
const MaxNumber = 400

// ReadNumber reads a number and returns it as it is written.
func (s *Scanner) ReadNumber() (string, error) {
	start := s.At
	if s.Next() == '-' {
		s.At++
	}
	zero, from := s.Next() == '0', s.At
	ok := s.skipDigits()
	if ok && zero && s.At-from > 1 {
		return "", s.Errorf("a number begins with 0")
	}
	if ok && s.Next() == '.' {
		s.At++
		ok = s.skipDigits()
	}
	if c := s.Next(); ok && (c == 'e' || c == 'E') {
		if s.At++; s.Next() == '+' || s.Next() == '-' {
			s.At++
		}
		ok = s.skipDigits()
	}
	if !ok {
		return "", s.Errorf("a digit was expected")
	}
	if s.At-start > MaxNumber {
		return "", s.Errorf("a number of more than %d characters", MaxNumber)
	}
	return string(s.In[start:s.At]), nil
}

func (s *Scanner) skipDigits() bool {
	from := s.At
	for c := s.Next(); c >= '0' && c <= '9'; c = s.Next() {
		s.At++
	}
	return s.At > from
}

// AppendText appends a text in its one spelling: only what must be escaped is, in the shortest way.
func AppendText(b []byte, s string) []byte {
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

// Marshal is [json.Marshal] without its escapes for HTML, so that JSON within v ([json.RawMessage]) keeps its bytes:
// what is signed is a hash of them.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
