// Package money holds amounts of value exactly.
//
// An [Amount] is an unsigned 256-bit count of an [Asset]'s smallest unit: 5 USDC is 5000000 units of a 6-decimal
// asset. Amounts are immutable, compared and added only within one asset, and every overflow is an error, never a
// wrap. There is no floating point anywhere, and the text form names the asset, so "5" alone is not an amount.
//
// The package is a leaf: policies, auth, tools and the loop share it and it imports nothing of ours.
package money

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holiman/uint256"

	"github.com/writ-run/writ/internal/wording"
)

// MaxDecimals bounds an asset's decimals. ERC-20 has no bound; more than 36 has no honest use.
const MaxDecimals = 36

var (
	// ErrOverflow says that a sum or difference does not fit 256 unsigned bits.
	ErrOverflow = errors.New("amount out of range")
	// ErrAsset says that two amounts of different assets met.
	ErrAsset = errors.New("amounts of different assets")
	// ErrSyntax says that a text is not an amount.
	ErrSyntax = errors.New("not an amount")
)

// An Asset is what an amount counts. Two assets are the same if symbol and decimals are; which contract a symbol
// stands for on a chain is pinned elsewhere (the address book of a tool). Compared with ==.
type Asset struct {
	Symbol   string // 1 to 16 letters, digits, '.', '-' or '_'; e.g. "USDC", "ETH", "calls"
	Decimals uint8  // at most MaxDecimals
}

// Valid says whether the symbol and the decimals are within their bounds.
func (a Asset) Valid() bool {
	if a.Symbol == "" || len(a.Symbol) > 16 || a.Decimals > MaxDecimals {
		return false
	}
	for i := range len(a.Symbol) {
		c := a.Symbol[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_'
		if !ok {
			return false
		}
	}
	return true
}

// An Amount is a count of an asset's smallest units. The zero Amount is zero of no asset; it equals only itself.
type Amount struct {
	asset Asset
	n     uint256.Int
}

// Of returns n smallest units of a.
func Of(a Asset, n uint64) Amount {
	return Amount{asset: a, n: *uint256.NewInt(n)}
}

// FromUint256 returns n smallest units of a. n is copied.
func FromUint256(a Asset, n *uint256.Int) Amount {
	return Amount{asset: a, n: *n}
}

// FromUnits reads a canonical decimal count of smallest units: digits only, no sign, no leading zero. Any other
// text is [ErrSyntax]; more than 256 bits is [ErrOverflow].
func FromUnits(a Asset, units string) (Amount, error) {
	if units == "" || len(units) > 78 || len(units) > 1 && units[0] == '0' || strings.Trim(units, "0123456789") != "" {
		return Amount{}, fmt.Errorf("%q units of %s: %w", wording.Clip(units, 40), a.Symbol, ErrSyntax)
	}
	var n uint256.Int
	if err := n.SetFromDecimal(units); err != nil {
		return Amount{}, fmt.Errorf("%s units of %s: %w", units, a.Symbol, ErrOverflow)
	}
	return Amount{asset: a, n: n}, nil
}

// ParseDecimal reads a plain decimal number of whole units, such as "12.50" for an asset of two or more decimals.
// Digits, at most one point, and at least one digit on each side of it; more fraction digits than the asset has is
// [ErrSyntax], since rounding money is never right.
func ParseDecimal(a Asset, s string) (Amount, error) {
	whole, frac, point := strings.Cut(s, ".")
	bad := whole == "" || len(s) > 120 || strings.Trim(whole+frac, "0123456789") != "" ||
		point && frac == "" || len(frac) > int(a.Decimals) || len(whole) > 1 && whole[0] == '0'
	if bad {
		return Amount{}, fmt.Errorf("%q as %s with %d decimals: %w", wording.Clip(s, 40), a.Symbol, a.Decimals, ErrSyntax)
	}
	digits := strings.TrimLeft(whole+frac+strings.Repeat("0", int(a.Decimals)-len(frac)), "0")
	if digits == "" {
		digits = "0"
	}
	if len(digits) > 78 {
		return Amount{}, fmt.Errorf("%q as %s: %w", wording.Clip(s, 40), a.Symbol, ErrOverflow)
	}
	return FromUnits(a, digits)
}

// Asset returns what the amount counts.
func (a Amount) Asset() Asset { return a.asset }

// Units returns the count of smallest units in decimal, as [FromUnits] reads it.
func (a Amount) Units() string { return a.n.Dec() }

// Uint256 returns a copy of the count of smallest units.
func (a Amount) Uint256() *uint256.Int { n := a.n; return &n }

// IsZero says whether the count is zero.
func (a Amount) IsZero() bool { return a.n.IsZero() }

// Add returns a + b, or [ErrAsset], or [ErrOverflow].
func (a Amount) Add(b Amount) (Amount, error) {
	if a.asset != b.asset {
		return Amount{}, differ(a, b, "+")
	}
	var n uint256.Int
	if _, over := n.AddOverflow(&a.n, &b.n); over {
		return Amount{}, fmt.Errorf("%s + %s: %w", a, b, ErrOverflow)
	}
	return Amount{asset: a.asset, n: n}, nil
}

// AddCapped returns a + b, or the largest amount there is if the sum is larger. Both count the same asset, or it is a.
func (a Amount) AddCapped(b Amount) Amount {
	sum, err := a.Add(b)
	if errors.Is(err, ErrOverflow) {
		return FromUint256(a.asset, new(uint256.Int).SetAllOne())
	}
	if err != nil {
		return a
	}
	return sum
}

// Sub returns a - b, or [ErrAsset], or [ErrOverflow] if b is the larger.
func (a Amount) Sub(b Amount) (Amount, error) {
	if a.asset != b.asset {
		return Amount{}, differ(a, b, "-")
	}
	var n uint256.Int
	if _, under := n.SubOverflow(&a.n, &b.n); under {
		return Amount{}, fmt.Errorf("%s - %s: %w", a, b, ErrOverflow)
	}
	return Amount{asset: a.asset, n: n}, nil
}

// Cmp returns -1, 0 or 1 as a is less than, equal to or more than b, or [ErrAsset].
func (a Amount) Cmp(b Amount) (int, error) { return Compare(&a, &b) }

// Compare is [Amount.Cmp] of amounts that stand somewhere: nothing is copied.
func Compare(a, b *Amount) (int, error) {
	if a.asset.Decimals != b.asset.Decimals || a.asset.Symbol != b.asset.Symbol {
		return 0, differ(*a, *b, "and")
	}
	return a.n.Cmp(&b.n), nil
}

// differ is the [ErrAsset] of two amounts. Those of one symbol look the same and are not, so it names what differs.
func differ(a, b Amount, between string) error {
	if a.asset.Symbol != b.asset.Symbol {
		return fmt.Errorf("%s %s %s: %w", a, between, b, ErrAsset)
	}
	return &decimalsError{fmt.Sprintf("%s %s %s: %s has %d decimals in the one and %d in the other; give the token the "+
		"decimals of its contract", a, between, b, a.asset.Symbol, a.asset.Decimals, b.asset.Decimals)}
}

// A decimalsError is an [ErrAsset] of one symbol.
type decimalsError struct{ says string }

func (e *decimalsError) Error() string { return e.says }
func (e *decimalsError) Unwrap() error { return ErrAsset }

// Decimal returns whole units without the symbol: "12.5" for 12500000 units of a 6-decimal asset. It is exact, and
// trailing zeros of the fraction are dropped, so that one amount has one spelling.
func (a Amount) Decimal() string {
	s := a.n.Dec()
	d := int(a.asset.Decimals)
	if d == 0 {
		return s
	}
	if len(s) <= d {
		s = strings.Repeat("0", d-len(s)+1) + s
	}
	frac := strings.TrimRight(s[len(s)-d:], "0")
	if frac == "" {
		return s[:len(s)-d]
	}
	return s[:len(s)-d] + "." + frac
}

// String returns the exact amount with its symbol: "12.5 USDC".
func (a Amount) String() string {
	if a.asset.Symbol == "" {
		return a.Decimal()
	}
	return a.Decimal() + " " + a.asset.Symbol
}

// AddTo adds an amount to sums, one an asset, sorted by symbol.
func AddTo(sums []Amount, a Amount) []Amount {
	for i, t := range sums {
		if t.Asset() == a.Asset() {
			sums[i] = t.AddCapped(a)
			return sums
		}
	}
	sums = append(sums, a)
	slices.SortFunc(sums, func(a, b Amount) int { return strings.Compare(a.Asset().Symbol, b.Asset().Symbol) })
	return sums
}
