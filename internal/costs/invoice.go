package costs

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/writ-run/writ/policies/money"
)

// A Charge is what a provider's invoice says of one response.
type Charge struct {
	ID   string // the provider's, of the response
	Cost int64  // nano-USD
}

// maxCharges bounds the lines of an invoice.
const maxCharges = 10_000_000

// ReadInvoice reads a provider's invoice: CSV with a header in which id is the response's id and cost_usd what it
// costs, in US dollars with at most nine digits behind the point; other columns are passed over. An id that is there
// twice is charged for twice.
func ReadInvoice(r io.Reader) ([]Charge, error) {
	in := csv.NewReader(r)
	in.ReuseRecord = true
	head, err := in.Read()
	if err != nil {
		return nil, errors.New("the invoice has no header; its first line names the columns id and cost_usd")
	}
	id, cost := slices.Index(head, "id"), slices.Index(head, "cost_usd")
	if id < 0 || cost < 0 {
		return nil, errors.New("the invoice has no columns id and cost_usd; name them so in its first line")
	}
	var out []Charge
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil || len(out) == maxCharges {
			return nil, fmt.Errorf("the invoice cannot be read behind line %d", len(out)+1)
		}
		line, _ := in.FieldPos(0)
		a, err := money.ParseDecimal(money.USD, row[cost])
		if n := a.Uint256(); err != nil || !n.IsUint64() || n.Uint64() > 1<<62 {
			return nil, fmt.Errorf("line %d of the invoice: cost_usd is no sum in USD, such as 0.000123", line)
		}
		out = append(out, Charge{ID: strings.Clone(row[id]), Cost: int64(a.Uint256().Uint64())})
	}
}

// A Mismatch is one response of which the record and the invoice say different things.
type Mismatch struct {
	ID       string `json:"id"`
	Run      string `json:"run,omitempty"` // empty if no run has such a response
	Model    string `json:"model,omitempty"`
	Recorded int64  `json:"recorded"` // nano-USD
	Charged  int64  `json:"charged"`  // nano-USD
}

// A Reconciliation is the record beside an invoice.
type Reconciliation struct {
	Matched  int   `json:"matched"`  // responses that cost the same on both sides
	Recorded int64 `json:"recorded"` // nano-USD in all
	Charged  int64 `json:"charged"`
	// Doubtful is what calls without an answer may have cost: of those no id is known, so charges that no run has may be
	// theirs.
	Doubtful   int64      `json:"doubtful"`
	Mismatches []Mismatch `json:"mismatches"` // sorted by id
}

// Reconcile puts the uses of one provider's models beside its invoice.
func Reconcile(uses []Use, charges []Charge) (*Reconciliation, error) {
	r := &Reconciliation{Mismatches: []Mismatch{}}
	at := map[string]*Mismatch{}
	find := func(id string) *Mismatch {
		if at[id] == nil {
			at[id] = &Mismatch{ID: id}
		}
		return at[id]
	}
	add := func(sums ...*int64) func(int64) error {
		return func(n int64) error {
			for _, s := range sums {
				if *s > 1<<62-n {
					return ErrRange
				}
				*s += n
			}
			return nil
		}
	}
	for i := range uses {
		u := &uses[i]
		if u.Failed {
			if err := add(&r.Doubtful)(u.Doubtful); err != nil {
				return nil, err
			}
			continue
		}
		if u.ID == "" && u.Cost == 0 {
			continue
		}
		m := find(u.ID)
		m.Run, m.Model = u.Run, u.Model
		if err := add(&m.Recorded, &r.Recorded)(u.Cost); err != nil {
			return nil, err
		}
	}
	for _, c := range charges {
		if err := add(&find(c.ID).Charged, &r.Charged)(c.Cost); err != nil {
			return nil, err
		}
	}
	for _, m := range at {
		if m.Recorded == m.Charged {
			r.Matched++
		} else {
			r.Mismatches = append(r.Mismatches, *m)
		}
	}
	slices.SortFunc(r.Mismatches, func(a, b Mismatch) int { return strings.Compare(a.ID, b.ID) })
	return r, nil
}
