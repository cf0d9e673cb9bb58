package costs

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"

	"github.com/writ-run/writ/policies/money"
)

// Prices are what users pay, as an operator writes it, in USD; nothing is 0.
type Prices struct {
	Run    string // for a run
	Tokens string // for 1,000,000 tokens
	Plans  string // by plans, for all that is looked at
}

// ParseTariff reads what users pay.
func ParseTariff(p Prices) (t Tariff, err error) {
	for _, x := range []struct {
		text, says string
		to         *int64
	}{
		{p.Run, "for a run, %q, is no sum in USD, such as 0.01", &t.Run},
		{p.Tokens, "for 1,000,000 tokens, %q, is no sum in USD, such as 5", &t.Tokens},
		{p.Plans, "by plans, %q, is no sum in USD, such as 200", &t.Plans},
	} {
		if x.text == "" {
			continue
		}
		a, err := money.ParseDecimal(money.USD, x.text)
		if n := a.Uint256(); err != nil || !n.IsUint64() || n.Uint64() > 1<<62 {
			return t, fmt.Errorf("what users pay "+x.says, x.text)
		}
		*x.to = int64(a.Uint256().Uint64())
	}
	return t, nil
}

// maxPaid bounds the lines of a file of what was paid.
const maxPaid = 1_000_000

// Paid is what a biller says was paid, by run or by wallet, in nano-USD.
type Paid map[string]int64

// ReadPaid reads what a biller of the operator's own says was paid: CSV with the columns of, a run or a wallet, and
// usd, with at most nine digits behind the point. What is there twice was paid twice.
func ReadPaid(r io.Reader) (Paid, error) {
	in := csv.NewReader(r)
	head, err := in.Read()
	of, usd := slices.Index(head, "of"), slices.Index(head, "usd")
	if err != nil || of < 0 || usd < 0 {
		return nil, errors.New("its first line must name the columns of (a run or a wallet) and usd")
	}
	paid := Paid{}
	for line := 2; ; line++ {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return paid, nil
		}
		if err != nil || line > maxPaid {
			return nil, fmt.Errorf("it cannot be read from line %d on", line)
		}
		a, err := money.ParseDecimal(money.USD, row[usd])
		n := a.Uint256()
		if err != nil || !n.IsUint64() || n.Uint64() > 1<<61 || paid[row[of]] > 1<<61 {
			return nil, fmt.Errorf("line %d: usd is no sum in USD, such as 0.01", line)
		}
		paid[strings.ToLower(row[of])] += int64(n.Uint64())
	}
}

// share gives each run what was paid for it: what is its own, and of what its wallet paid as much as each other run of
// that wallet, to the nano-USD.
func (p Paid) share(uses []Use) map[string]int64 {
	runs := map[string][]string{} // by wallet, each once
	seen := map[string]bool{}
	for i := range uses {
		if u := &uses[i]; !seen[u.Run] {
			seen[u.Run] = true
			wallet := strings.ToLower(u.Wallet)
			runs[wallet] = append(runs[wallet], u.Run)
		}
	}
	out := map[string]int64{}
	for wallet, list := range runs {
		given, n := int64(0), big.NewInt(int64(len(list)))
		for i, run := range list {
			upTo := new(big.Int).Mul(big.NewInt(p[wallet]), big.NewInt(int64(i+1)))
			part := upTo.Div(upTo, n).Int64() - given
			given += part
			out[run] = part + p[strings.ToLower(run)]
		}
	}
	return out
}
