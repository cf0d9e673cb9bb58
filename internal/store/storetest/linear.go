package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"

	"github.com/anishathalye/porcupine"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// An operation on one ledger with a cap of ledgerCap, or on one nonce.
type operation struct {
	kind     string // reserve, settle, read, put, take
	amount   uint64 // reserved or used
	reserved uint64 // settle: what was reserved
}

// An outcome of an operation.
type outcome struct {
	ok              bool
	spent, reserved uint64 // read
}

const ledgerCap = 20

// A ledgerState is what the model knows of the ledger and the nonce.
type ledgerState struct {
	spent, reserved uint64
	nonce           bool // there
}

// model says which outcomes one caller at a time could see.
var model = porcupine.Model{
	Init: func() any { return ledgerState{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(ledgerState), input.(operation), output.(outcome)
		switch in.kind {
		case "reserve":
			fits := s.spent+s.reserved+in.amount <= ledgerCap
			if fits {
				s.reserved += in.amount
			}
			return out.ok == fits, s
		case "settle":
			s.reserved -= in.reserved
			s.spent += in.amount
			return out.ok, s
		case "read":
			return out.spent == s.spent && out.reserved == s.reserved, s
		case "put":
			fresh := !s.nonce
			s.nonce = true
			return out.ok == fresh, s
		default: // take
			there := s.nonce
			s.nonce = false
			return out.ok == there, s
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}

// testLinear records what many callers see and asks porcupine whether some order of single callers explains it.
// The ledger and the nonce are recorded in one history, so that their order against each other counts too.
func testLinear(t *testing.T, b *bench) {
	const callers, each = 6, 40
	s := b.newSession(alice)
	began := time.Now()
	histories := make([][]porcupine.Operation, callers)
	var wg sync.WaitGroup
	for i := range callers {
		commit := b.openRun(s)
		wg.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(i), 7))
			var open []journal.Reservation // reserved by this caller
			for range each {
				in := operation{kind: []string{"reserve", "reserve", "settle", "read", "put", "take"}[chance.IntN(6)]}
				if in.kind == "settle" && len(open) == 0 {
					in.kind = "reserve"
				}
				var r journal.Reservation
				switch in.kind {
				case "reserve":
					in.amount = 1 + chance.Uint64N(6)
					r = journal.Reservation{Ledger: "linear", Ref: provenance.Ref{Seq: commit.Seq},
						Amount: money.Of(usdc, in.amount), Cap: money.Of(usdc, ledgerCap)}
				case "settle":
					r, open = open[0], open[1:]
					in.reserved = r.Amount.Uint256().Uint64()
					in.amount = chance.Uint64N(2) // little, so that the cap is not used up at once
				}
				call := time.Since(began)
				out, err := b.performOperation(in, r, &commit)
				end := time.Since(began)
				if err != nil {
					t.Error(err)
					return
				}
				if in.kind == "reserve" && out.ok {
					open = append(open, r)
				}
				histories[i] = append(histories[i], porcupine.Operation{ClientId: i, Input: in, Output: out,
					Call: int64(call), Return: int64(end)})
			}
		})
	}
	wg.Wait()
	var all []porcupine.Operation
	for _, h := range histories {
		all = append(all, h...)
	}
	if len(all) != callers*each && !t.Failed() {
		t.Fatalf("the history has %d operations, want %d", len(all), callers*each)
	}
	if got := porcupine.CheckOperationsTimeout(model, all, 20*time.Second); got == porcupine.Illegal {
		t.Errorf("no order of single callers explains %d operations", len(all))
	} else if got == porcupine.Unknown {
		t.Logf("porcupine found no answer in time")
	}
}

func (b *bench) performOperation(in operation, r journal.Reservation, c *journal.Commit) (outcome, error) {
	switch in.kind {
	case "reserve", "settle":
		step := *c
		if in.kind == "reserve" {
			step.Reserve = []journal.Reservation{r}
		} else {
			step.Settle = []journal.Settlement{{Ledger: r.Ledger, Ref: r.Ref, Used: money.Of(usdc, in.amount)}}
		}
		err := b.Commit(b.ctx, step)
		if err == nil {
			*c = b.nextCommit(step)
			return outcome{ok: true}, nil
		}
		if errors.Is(err, journal.ErrBudget) {
			err = nil
		}
		return outcome{}, err
	case "read":
		l, err := b.Ledgers(b.ctx, []string{"linear"})
		if err != nil {
			return outcome{}, err
		}
		return outcome{spent: l[0].Spent.Uint256().Uint64(), reserved: l[0].Reserved.Uint256().Uint64()}, nil
	case "put":
		err := b.PutNonce(b.ctx, "linear", nil, b.clock().Add(time.Minute))
		return outcome{ok: err == nil}, nil
	default:
		_, err := b.TakeNonce(b.ctx, "linear", b.clock())
		if err != nil && !errors.Is(err, auth.ErrNonce) {
			return outcome{}, err
		}
		return outcome{ok: err == nil}, nil
	}
}
