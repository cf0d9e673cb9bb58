package arg_test

import (
	"math/big"
	"testing"

	"github.com/writ-run/writ/tools/arg"
)

func TestDecimal(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"0", "0"}, {"-0", "0"}, {"-0.000", "0"}, {"0e999999999999", "0"},
		{"1.0", "1"}, {"1e2", "100"}, {"1.50", "1.5"}, {"-12.5E+1", "-125"}, {"125e-1", "12.5"},
		{"0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"},
		{"0.000001", "0.000001"}, {"0.0000001", "1e-7"}, {"12.5e-9", "1.25e-8"},
		{"1e79", "1" + zeros(79)}, {"1e80", "1e+80"}, {"1" + zeros(80), "1e+80"}, {"12e80", "1.2e+81"},
		{"1e307", "1e+307"}, {"1e-307", "1e-307"}, {"1e308", ""}, {"1e-308", ""}, {"1e400", ""}, {"1e99999999999", ""},
		{"1." + zeros(100), "1"}, {"1." + zeros(100) + "1", ""}, {"1" + zeros(78) + "1", "1" + zeros(78) + "1"}, {"1" + zeros(79) + "1", ""},
		{"", ""}, {"-", ""}, {"+1", ""}, {"01", ""}, {"1.", ""}, {".5", ""}, {"1e", ""}, {"1e+", ""}, {"1e+-1", ""}, {"0x1", ""}, {"1_0", ""}, {" 1", ""},
	} {
		d, err := arg.ParseDecimal(tt.in)
		if err != nil && tt.want == "" {
			continue
		}
		if err != nil || d.String() != tt.want {
			t.Errorf("%q reads as %s, %v, want %q", tt.in, d, err, tt.want)
		}
	}
}

func zeros(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0'
	}
	return string(b)
}

// FuzzDecimal holds the reading, the spelling and the order of numbers against math/big.
func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"0", "-1.5", "12e3", "0.00001", "1e-9", "-99999999999999999999.5", "1e300"} {
		f.Add(s, "1")
		f.Add("-2.5", s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, err := arg.ParseDecimal(a)
		if err != nil {
			return
		}
		again, err := arg.ParseDecimal(x.String())
		if err != nil || again != x {
			t.Errorf("%q is written %q, and reads as %v, %v", a, x, again, err)
		}
		p, ok := new(big.Rat).SetString(a)
		if !ok && x == (arg.Decimal{}) {
			return // 0 with an exponent beyond what big.Rat reads
		}
		if q, _ := new(big.Rat).SetString(x.String()); !ok || p.Cmp(q) != 0 || p.IsInt() != x.IsInteger() {
			t.Errorf("%q is %v, and %q is %v (an integer: %v)", a, p, x, q, x.IsInteger())
		}
		y, err := arg.ParseDecimal(b)
		if err != nil {
			return
		}
		q, ok := new(big.Rat).SetString(b)
		if !ok && y == (arg.Decimal{}) {
			return
		}
		if got, want := x.Compare(y), p.Cmp(q); got != want || (got == 0) != (x == y) {
			t.Errorf("%q against %q: %d, want %d", a, b, got, want)
		}
	})
}
