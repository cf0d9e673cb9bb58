package arg

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
)

// Bounds of a number.
const (
	maxDigits   = 80  // significant ones, and those of an integer that is written out; 256 bits need 78
	maxExponent = 307 // of ten, up and down; within what a float64 can hold
)

// A Decimal is an exact decimal number. Two of the same value are equal by ==. The zero Decimal is 0.
type Decimal struct {
	negative bool
	digits   string // without zeros at either end; empty for 0
	point    int    // the value is 0.digits times ten to this power
}

// ParseDecimal reads a number as JSON spells it. More than 80 significant digits, and a first digit that stands further
// than 307 places from the point, are errors.
func ParseDecimal(s string) (Decimal, error) {
	rest, negative := strings.CutPrefix(s, "-")
	mantissa, exponent, hasExponent := cutExponent(rest)
	whole, fraction, hasFraction := strings.Cut(mantissa, ".")
	if !isDigits(whole) || len(whole) > 1 && whole[0] == '0' || hasFraction && !isDigits(fraction) {
		return Decimal{}, errors.New("not a number")
	}
	power, far := 0, false
	if hasExponent {
		if !isDigits(strings.TrimLeft(exponent[:min(1, len(exponent))], "+-") + exponent[min(1, len(exponent)):]) {
			return Decimal{}, errors.New("not a number")
		}
		n, err := strconv.ParseInt(exponent, 10, 32)
		power, far = int(n), err != nil
	}
	d := Decimal{negative, strings.TrimLeft(whole, "0") + fraction, len(strings.TrimLeft(whole, "0"))}
	significant := strings.TrimLeft(d.digits, "0")
	d.point += power - (len(d.digits) - len(significant))
	if d.digits = strings.TrimRight(significant, "0"); d.digits == "" {
		return Decimal{}, nil
	}
	if far || d.point-1 > maxExponent || d.point-1 < -maxExponent {
		return Decimal{}, errors.New("a number is too large, or too near to zero")
	}
	if len(d.digits) > maxDigits {
		return Decimal{}, errors.New("a number has more than 80 digits")
	}
	return d, nil
}

func cutExponent(s string) (mantissa, exponent string, found bool) {
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// IsInteger says whether d is a whole number.
func (d Decimal) IsInteger() bool { return d.point >= len(d.digits) }

// String returns the one spelling of d, which JSON can read: written out if it is an integer of at most 80 digits, or
// begins with at most five zeros after the point, and otherwise with an exponent, as ECMAScript writes numbers.
func (d Decimal) String() string {
	sign := ""
	if d.negative {
		sign = "-"
	}
	n := len(d.digits)
	switch {
	case n == 0:
		return "0"
	case d.IsInteger() && d.point <= maxDigits:
		return sign + d.digits + strings.Repeat("0", d.point-n)
	case d.point > 0 && d.point < n:
		return sign + d.digits[:d.point] + "." + d.digits[d.point:]
	case d.point > -6 && d.point <= 0:
		return sign + "0." + strings.Repeat("0", -d.point) + d.digits
	}
	mantissa := d.digits[:1]
	if n > 1 {
		mantissa += "." + d.digits[1:]
	}
	exponent := strconv.Itoa(d.point - 1)
	if d.point > 0 {
		exponent = "+" + exponent
	}
	return sign + mantissa + "e" + exponent
}

// Compare returns -1, 0 or 1 as d is less than, equal to or greater than e.
func (d Decimal) Compare(e Decimal) int {
	if c := cmp.Compare(d.sign(), e.sign()); c != 0 {
		return c
	}
	c := cmp.Or(cmp.Compare(d.point, e.point), strings.Compare(d.digits, e.digits))
	return c * d.sign() // of two negative numbers the one with more digits is less
}

// sign returns -1, 0 or 1.
func (d Decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.negative:
		return -1
	}
	return 1
}
