// Package ledger keeps the budgets of the vectors' runs, as a store does.
package ledger

import (
	"strings"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A Book is what the store keeps of a run's budgets.
type Book struct {
	state    map[string]*provenance.Budget
	reserved map[reservation]money.Amount
}

type reservation struct {
	budget string
	ref    provenance.Ref
}

// New opens the ledgers that a run begins with.
func New(budgets []loop.Ledger) *Book {
	l := &Book{state: map[string]*provenance.Budget{}, reserved: map[reservation]money.Amount{}}
	for _, b := range budgets {
		zero := money.Of(b.Cap.Asset(), 0)
		l.state[b.ID] = &provenance.Budget{ID: b.ID, Cap: b.Cap, Spent: zero, Reserved: zero}
	}
	return l
}

// Facts are what a step is told of the ledgers that it asks about.
func (l *Book) Facts(ledgers []loop.Ledger) (f provenance.Facts) {
	for _, b := range ledgers {
		if l.state[b.ID] == nil {
			zero := money.Of(b.Cap.Asset(), 0)
			l.state[b.ID] = &provenance.Budget{ID: b.ID, Cap: b.Cap, Spent: zero, Reserved: zero}
		}
		f.Budgets = append(f.Budgets, *l.state[b.ID])
	}
	return f
}

// Apply reserves what a step's effects reserve, and settles what it settles.
func (l *Book) Apply(s *provenance.Step, settles []loop.Settle) (err error) {
	for i, e := range s.Does {
		var ds []provenance.Decision
		switch e := e.(type) {
		case *provenance.AskModel:
			ds = e.Decisions
		case *provenance.Call:
			ds = e.Decisions
		}
		for _, d := range ds {
			for _, r := range d.Reserve {
				b := l.state[r.Budget]
				l.reserved[reservation{r.Budget, provenance.Ref{Seq: s.Seq, Index: uint64(i)}}] = r.Amount
				if b.Reserved, err = b.Reserved.Add(r.Amount); err != nil {
					return err
				}
			}
		}
	}
	for _, x := range settles {
		b, at := l.state[x.Budget], reservation{x.Budget, x.Ref}
		if b.Reserved, err = b.Reserved.Sub(l.reserved[at]); err != nil {
			return err
		}
		delete(l.reserved, at)
		if b.Spent, err = b.Spent.Add(x.Used); err != nil {
			return err
		}
	}
	return nil
}

// ShareWith has a sub-agent reserve from its caller's ledgers of the grant.
func (l *Book) ShareWith(with *Book) {
	for id, b := range with.state {
		if _, ok := l.state[id]; ok && strings.HasPrefix(id, loop.LayerGrant+"/") {
			l.state[id] = b
		}
	}
}
