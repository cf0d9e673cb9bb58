package cond

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// A Kind is the type of an expression. There are no others: no floats, lists, maps, nil or any.
type Kind uint8

// The kinds. The zero Kind is none of them.
const (
	Bool Kind = iota + 1
	Int
	String
	Address
	Amount
	Number // a decimal number; its value is the text that arg.Decimal spells, so equal numbers are equal texts
)

// String names the kind with its article, as sentences need it.
func (k Kind) String() string {
	return [...]string{"nothing", "a bool", "an int", "a string", "an address", "an amount", "a number"}[k]
}

// A Value is one evaluated expression. Its kind says which one of the other fields counts; the rest is zero, so that
// values are compared with ==.
type Value struct {
	Kind   Kind
	Bool   bool
	Int    int64
	Text   string
	Addr   common.Address
	Amount money.Amount
}

// String shows the value as people write it: "10 USDC", a quoted string, a checksummed address.
func (v Value) String() string {
	switch v.Kind {
	case Bool:
		return strconv.FormatBool(v.Bool)
	case Int:
		return strconv.FormatInt(v.Int, 10)
	case String:
		return strconv.Quote(v.Text)
	case Address:
		return v.Addr.Hex()
	case Amount:
		return v.Amount.String()
	case Number:
		return v.Text
	}
	return ""
}

// Next returns the value next to v that stands to it as op says: below for "<", above for ">", and v itself else. Only
// ints and amounts have neighbours.
func (v Value) Next(op string) (Value, error) {
	d := map[string]int64{"<": -1, ">": 1}[op]
	if d == 0 {
		return v, nil
	}
	var err error
	if v.Kind == Int {
		v.Int, err = AddInt(v.Int, d)
		return v, err
	}
	if v.Kind == Number {
		return v, errors.New("there is no number next to another")
	}
	one := money.Of(v.Amount.Asset(), 1)
	if d < 0 {
		v.Amount, err = v.Amount.Sub(one)
	} else {
		v.Amount, err = v.Amount.Add(one)
	}
	return v, err
}

// compare orders two values of one kind; values without an order are 0 if equal and else 1. It returns false for
// amounts of two assets.
func (v Value) compare(w Value) (int, bool) {
	switch v.Kind {
	case Int:
		return cmp.Compare(v.Int, w.Int), true
	case Amount:
		c, err := v.Amount.Cmp(w.Amount)
		return c, err == nil
	}
	if v == w {
		return 0, true
	}
	return 1, true
}

// CompareNumbers compares two decimal numbers exactly, digit for digit.
func CompareNumbers(a, b string) (int, error) {
	x, err := arg.ParseDecimal(a)
	if err != nil {
		return 0, fmt.Errorf("the left side: %w", err)
	}
	y, err := arg.ParseDecimal(b)
	if err != nil {
		return 0, fmt.Errorf("the right side: %w", err)
	}
	return x.Compare(y), nil
}

// errOverflow says that whole numbers left 64 bits.
var errOverflow = errors.New("whole numbers out of range")

// AddInt adds, or says that the sum is out of range.
func AddInt(a, b int64) (int64, error) {
	if c := a + b; (c > a) == (b > 0) {
		return c, nil
	}
	return 0, errOverflow
}

// SubInt subtracts, or says that the difference is out of range.
func SubInt(a, b int64) (int64, error) {
	if c := a - b; (c < a) == (b > 0) {
		return c, nil
	}
	return 0, errOverflow
}

// MulInt multiplies, or says that the product is out of range.
func MulInt(a, b int64) (int64, error) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	limit := uint64(1) << 63 // of a negative product; a positive one has one less
	if (a < 0) == (b < 0) {
		limit--
	}
	if hi != 0 || lo > limit {
		return 0, errOverflow
	}
	return a * b, nil
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// ParseAddress reads 0x and 40 hex digits: all of one case, or mixed with a valid checksum (EIP-55).
func ParseAddress(s string) (common.Address, error) {
	var a common.Address
	if len(s) == 42 && s[:2] == "0x" {
		if _, err := hex.Decode(a[:], []byte(s[2:])); err == nil {
			return a, checkCase(a, s)
		}
	}
	return common.Address{}, fmt.Errorf("%q is not an address: 0x and 40 hex digits", wording.Clip(s, 60))
}

// checkCase says whether the case of the digits of s is a checksum of a, where it is mixed.
func checkCase(a common.Address, s string) error {
	if h := s[2:]; h != strings.ToLower(h) && h != strings.ToUpper(h) && a.Hex() != s {
		return fmt.Errorf("the checksum of address %s is wrong", s)
	}
	return nil
}
