package money

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/holiman/uint256"
	"pgregory.net/rapid"
)

var (
	usdc  = Asset{"USDC", 6}
	eth   = Asset{"ETH", 18}
	calls = Asset{"calls", 0}
)

const maxUnits = "115792089237316195423570985008687907853269984665640564039457584007913129639935" // 2^256 - 1

func TestParseDecimal(t *testing.T) {
	for _, c := range []struct {
		name  string
		asset Asset
		in    string
		units string // "" if it is refused
		err   error
	}{
		{"whole units", usdc, "5", "5000000", nil},
		{"a fraction", usdc, "12.50", "12500000", nil},
		{"the smallest unit", usdc, "0.000001", "1", nil},
		{"zero", usdc, "0", "0", nil},
		{"zero with a fraction", usdc, "0.00", "0", nil},
		{"an asset without decimals", calls, "40", "40", nil},
		{"the largest", calls, maxUnits, maxUnits, nil},
		{"the largest of an asset with decimals", usdc, maxUnits[:72] + "." + maxUnits[72:], maxUnits, nil},
		{"one more than the largest", calls, maxUnits[:77] + "6", "", ErrOverflow},
		{"far more than the largest", eth, strings.Repeat("9", 70), "", ErrOverflow},
		{"more digits than the asset has", usdc, "0.0000001", "", ErrSyntax},
		{"a fraction of what has none", calls, "1.0", "", ErrSyntax},
		{"nothing", usdc, "", "", ErrSyntax},
		{"no digit before the point", usdc, ".5", "", ErrSyntax},
		{"no digit after the point", usdc, "5.", "", ErrSyntax},
		{"two points", usdc, "1.2.3", "", ErrSyntax},
		{"a sign", usdc, "-1", "", ErrSyntax},
		{"a plus", usdc, "+1", "", ErrSyntax},
		{"an exponent", usdc, "1e6", "", ErrSyntax},
		{"hex", usdc, "0x10", "", ErrSyntax},
		{"a leading zero", usdc, "01", "", ErrSyntax},
		{"a space", usdc, " 1", "", ErrSyntax},
		{"a separator", usdc, "1,000", "", ErrSyntax},
		{"an underscore", usdc, "1_000", "", ErrSyntax},
		{"the symbol", usdc, "1 USDC", "", ErrSyntax},
		{"digits of another script", usdc, "\u0661", "", ErrSyntax},
		{"a very long text", usdc, strings.Repeat("1", 1<<16), "", ErrSyntax},
	} {
		m, err := ParseDecimal(c.asset, c.in)
		if c.err != nil {
			if !errors.Is(err, c.err) || m != (Amount{}) {
				t.Errorf("%s: %.20q: got %v, %v; want %v", c.name, c.in, m, err, c.err)
			}
			if err != nil && len(err.Error()) > 200 {
				t.Errorf("%s: the error repeats %d bytes of the input", c.name, len(err.Error()))
			}
			continue
		}
		if err != nil || m.Units() != c.units || m.Asset() != c.asset {
			t.Errorf("%s: %q: got %s of %v, %v; want %s", c.name, c.in, m.Units(), m.Asset(), err, c.units)
		}
	}
}

func TestFromUnitsIsCanonical(t *testing.T) {
	for _, in := range []string{"", "00", "01", "-1", "+1", "1.0", " 1", "1 ", "0x1", "1e3", "1a1", strings.Repeat("1", 79)} {
		if m, err := FromUnits(usdc, in); !errors.Is(err, ErrSyntax) || m != (Amount{}) {
			t.Errorf("%q: got %v, %v; want ErrSyntax", in, m, err)
		}
	}
	if _, err := FromUnits(usdc, maxUnits[:77]+"6"); !errors.Is(err, ErrOverflow) {
		t.Errorf("2^256: got %v, want ErrOverflow", err)
	}
	for _, in := range []string{"0", "7", maxUnits} {
		if m, err := FromUnits(usdc, in); err != nil || m.Units() != in {
			t.Errorf("%s: got %v, %v", in, m, err)
		}
	}
}

func TestString(t *testing.T) {
	for _, c := range []struct {
		m    Amount
		want string
	}{
		{Of(usdc, 0), "0 USDC"}, {Of(usdc, 1), "0.000001 USDC"}, {Of(usdc, 500_000_000), "500 USDC"}, {Of(usdc, 12_500_000), "12.5 USDC"},
		{Of(eth, 1), "0.000000000000000001 ETH"}, {Of(calls, 40), "40 calls"}, {Amount{}, "0"},
	} {
		if got := c.m.String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestAssetsDoNotMix(t *testing.T) {
	a, b := Of(usdc, 5), Of(Asset{"USDC", 18}, 5) // the same symbol is not enough
	if _, err := a.Add(b); !errors.Is(err, ErrAsset) {
		t.Errorf("Add: %v", err)
	}
	if _, err := a.Sub(b); !errors.Is(err, ErrAsset) {
		t.Errorf("Sub: %v", err)
	}
	if _, err := a.Cmp(Amount{}); !errors.Is(err, ErrAsset) {
		t.Errorf("Cmp: %v", err)
	}
}

// Amounts that differ in their decimals alone look the same, so the fault names both.
func TestDecimalsThatDifferAreNamed(t *testing.T) {
	_, err := Of(Asset{"USDC", 0}, 1).Cmp(Of(usdc, 50_000_000))
	if err == nil || !strings.Contains(err.Error(), "1 USDC and 50 USDC") ||
		!strings.Contains(err.Error(), "USDC has 0 decimals in the one and 6 in the other") || !errors.Is(err, ErrAsset) {
		t.Errorf("of one symbol: %v", err)
	}
	if _, err = Of(eth, 1).Cmp(Of(usdc, 1)); err == nil || strings.Contains(err.Error(), "decimals") {
		t.Errorf("of two symbols: %v", err)
	}
}

func TestAssetValid(t *testing.T) {
	for _, a := range []Asset{usdc, eth, calls, {"USDC.e", 6}, {"a-b_c", MaxDecimals}, {strings.Repeat("A", 16), 0}} {
		if !a.Valid() {
			t.Errorf("%v is refused", a)
		}
	}
	for _, a := range []Asset{{}, {"US DC", 6}, {"USD\u0421", 6}, {strings.Repeat("A", 17), 0}, {"A", MaxDecimals + 1}, {"$", 2}} {
		if a.Valid() {
			t.Errorf("%v is accepted", a)
		}
	}
}

func TestAmountsDoNotChange(t *testing.T) {
	n := uint256.NewInt(5)
	m := FromUint256(usdc, n)
	n.SetUint64(6)
	m.Uint256().SetUint64(7)
	if m.Units() != "5" {
		t.Errorf("the amount became %s", m)
	}
}

// Every sum, difference and comparison is that of big.Int, or an error exactly where the result does not fit.
func TestArithmeticEqualsBigInt(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 256)
	draw := func(t *rapid.T, name string) (*big.Int, Amount) {
		n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, name))
		if rapid.Bool().Draw(t, "near the edge") {
			n.Sub(limit, new(big.Int).Add(new(big.Int).Rsh(n, 250), big.NewInt(1)))
		}
		m, err := FromUnits(usdc, n.String())
		if err != nil {
			t.Fatal(err)
		}
		return n, m
	}
	rapid.Check(t, func(t *rapid.T) {
		x, a := draw(t, "x")
		y, b := draw(t, "y")
		check := func(op string, got Amount, err error, want *big.Int) {
			fits := want.Sign() >= 0 && want.Cmp(limit) < 0
			if fits != (err == nil) || fits && (got.Units() != want.String() || got.Asset() != usdc) {
				t.Fatalf("%s %s %s = %s, %v; want %s", x, op, y, got.Units(), err, want)
			}
			if !fits && (!errors.Is(err, ErrOverflow) || got != (Amount{})) {
				t.Fatalf("%s %s %s = %s, %v; want ErrOverflow", x, op, y, got, err)
			}
		}
		sum, err := a.Add(b)
		check("+", sum, err, new(big.Int).Add(x, y))
		diff, err := a.Sub(b)
		check("-", diff, err, new(big.Int).Sub(x, y))
		if c, err := a.Cmp(b); err != nil || c != x.Cmp(y) {
			t.Fatalf("Cmp(%s, %s) = %d, %v", x, y, c, err)
		}
		if a.IsZero() != (x.Sign() == 0) || (a == b) != (x.Cmp(y) == 0) {
			t.Fatalf("IsZero or == of %s and %s", x, y)
		}
	})
}

// FuzzDecimal: one amount has one spelling. What is parsed comes back as itself, for any number of decimals.
func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"0", "12.50", "0.000001", maxUnits, "1e9", "007", "."} {
		f.Add(s, uint8(6))
	}
	f.Fuzz(func(t *testing.T, s string, decimals uint8) {
		a := Asset{"X", decimals % (MaxDecimals + 1)}
		m, err := ParseDecimal(a, s)
		if err != nil {
			if m != (Amount{}) || !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrOverflow) {
				t.Fatalf("%q: %v with %v", s, err, m)
			}
			return
		}
		again, err := ParseDecimal(a, m.Decimal())
		if err != nil || again != m {
			t.Fatalf("%q is %s, which reads as %v, %v", s, m.Decimal(), again, err)
		}
		units, err := FromUnits(a, m.Units())
		if err != nil || units != m {
			t.Fatalf("%q has %s units, which read as %v, %v", s, m.Units(), units, err)
		}
		want, ok := new(big.Rat).SetString(s)
		got, _ := new(big.Rat).SetString(m.Decimal())
		if !ok || want.Cmp(got) != 0 {
			t.Fatalf("%q became %s", s, m.Decimal())
		}
	})
}
