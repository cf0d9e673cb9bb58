package policies

import (
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/policies/money"
)

// Layers are the sets that judge a request, the operator's first. All of them are asked and the strictest answer
// wins, so a set can only narrow what those before it allow.
type Layers []*Set

// Decide answers r. It never fails: what goes wrong is a deny that says so. The decision is a function of the sets
// and of r alone.
//
// Within a layer: a rule that cannot be evaluated denies; else a forbid that matches denies; else, if no permit
// matches, it denies; else an approve that matches asks for the wallet, unless r.Approved; else it permits. A
// reservation for which a budget has no room denies.
func (l Layers) Decide(r *Request) Decision {
	d := Decision{Point: r.Point, Outcome: Permit}
	if len(l) == 0 {
		d.Outcome, d.Message = Deny, "no policy set is loaded, so nothing is permitted"
		return d
	}
	for i, s := range l {
		if !s.addDecision(r, &d) {
			return l.explain(r)
		}
		if i == 0 && len(l) > 1 && r.Point == ProvenancePublish && d.Mode == "" {
			d.Mode = Sealed // what the first layer has not made public no other layer does
		}
	}
	if d.Outcome != Permit || roomFor(r, l, d.Reserve) != nil {
		return l.explain(r)
	}
	d.Reserve = l.reservesWithLedger(d.Reserve)
	return d
}

// addDecision adds the set's answer to d, or returns false if it denies. It allocates nothing but the answer.
func (s *Set) addDecision(r *Request, d *Decision) bool {
	f := s.takeFrame(r)
	defer s.returnFrame(f)
	permitted := s.IsOpenAt(r.Point)
	for _, x := range s.points[r.Point] {
		if !x.IsAbout(r) {
			continue
		}
		holds, err := x.matches(f)
		if err != nil || holds && (x.Effect == "forbid" || x.Effect == "route" && !s.routesTo(x, r, f)) {
			return false
		}
		if !holds {
			continue
		}
		switch x.Effect {
		case "permit":
			permitted = true
		case "approve":
			if !r.Approved {
				d.Outcome = Approve
			}
		}
		if x.more != nil {
			x.more.addTo(d)
		}
		if d.Rules == nil {
			d.Rules = make([]string, 0, 4)
		}
		d.Rules = append(d.Rules, x.FullID)
		for i := range x.Reserves {
			m, err := x.Reserves[i].Amount.Amount(f)
			if err != nil || !addReserve(&d.Reserve, x.Reserves[i].Budget.ID, *m) {
				return false
			}
		}
	}
	return permitted
}

func (s *Set) takeFrame(r *Request) *frame {
	f := s.frames.Get().(*frame)
	f.Request = r
	return f
}

func (s *Set) returnFrame(f *frame) {
	f.Request = nil
	clear(f.Vars)
	s.frames.Put(f)
}

// IsAbout says whether the rule is for the request's tool.
func (x *Rule) IsAbout(r *Request) bool {
	return x.Tools == nil || slices.Contains(x.Tools, r.Tool)
}

var errUnknownTool = errors.New("the set was loaded without the type of this tool")

// matches says whether the rule matches. If its when is false, its unless is not evaluated.
func (x *Rule) matches(f *frame) (bool, error) {
	if x.Unknown {
		return false, errUnknownTool
	}
	if ok, err := x.When.Bool(f); err != nil || !ok || x.Unless == nil {
		return ok, err
	}
	ok, err := x.Unless.Bool(f)
	return !ok && err == nil, err
}

// addReserve notes that a step reserves m in a budget. Where several rules reserve in the same budget each says
// what the step needs at least, so the largest stands. It returns false if the assets differ.
func addReserve(list *[]Reserve, budget string, m money.Amount) bool {
	for i := range *list {
		if x := &(*list)[i]; x.Budget == budget {
			c, err := m.Cmp(x.Amount)
			if c > 0 {
				x.Amount = m
			}
			return err == nil
		}
	}
	*list = append(*list, Reserve{Budget: budget, Amount: m})
	return true
}

// A shortage is a reservation that does not fit.
type shortage struct {
	def                         BudgetDef
	spent, reserved, asked, has money.Amount
	err                         error // why the budget could not be read; the amounts are then unset
}

// roomFor returns the first reservation that its budget has no room for, or nil.
func roomFor(r *Request, l Layers, reserves []Reserve) *shortage {
	for _, x := range reserves {
		def := l.findBudget(x.Budget)
		limit, used, err := budgetUse(r, def)
		if err != nil {
			return &shortage{def: def, asked: x.Amount, err: err}
		}
		c, err := x.Amount.Cmp(limit)
		if err != nil {
			return &shortage{def: def, asked: x.Amount, err: err}
		}
		if c <= 0 { // so the sum below can only fail by its size
			if sum, err := used.Add(x.Amount); err == nil {
				c, _ = sum.Cmp(limit)
			} else {
				c = 1
			}
		}
		if c > 0 {
			if !def.Kept() {
				return &shortage{def: def, asked: x.Amount, has: limit}
			}
			b := r.Ledger(def.ID)
			return &shortage{def: def, spent: b.Spent, reserved: b.Reserved, asked: x.Amount, has: amountLeft(limit, used)}
		}
	}
	return nil
}

func (l Layers) findBudget(id string) BudgetDef {
	for _, s := range l {
		for _, def := range s.budgets {
			if def.ID == id {
				return def
			}
		}
	}
	return BudgetDef{}
}

// Ledger returns the state of a budget, or nil if the request does not list it.
func (r *Request) Ledger(id string) *Budget {
	for i := range r.Budgets {
		if r.Budgets[i].ID == id {
			return &r.Budgets[i]
		}
	}
	return nil
}

// budgetUse returns the cap of a budget and what is used of it, reservations included. The smaller of the set's cap and
// the ledger's stands. A budget that the request does not list is an error.
func budgetUse(r *Request, def BudgetDef) (limit, used money.Amount, err error) {
	if !def.Kept() {
		return def.Cap, money.Of(def.Cap.Asset(), 0), nil
	}
	b := r.Ledger(def.ID)
	if b == nil {
		return limit, used, fmt.Errorf("the state of budget %s is not known", def.ID)
	}
	limit = def.Cap
	c, err := b.Cap.Cmp(limit)
	if err != nil {
		return limit, used, fmt.Errorf("cap of budget %s: %w", def.ID, err)
	}
	if c < 0 {
		limit = b.Cap
	}
	if used, err = b.Spent.Add(b.Reserved); err == nil {
		_, err = used.Cmp(limit)
	}
	if err != nil {
		err = fmt.Errorf("use of budget %s: %w", def.ID, err)
	}
	return limit, used, err
}

// amountLeft is what is left of limit, at least nothing. Both count the same asset.
func amountLeft(limit, used money.Amount) money.Amount {
	left, err := limit.Sub(used)
	if err != nil {
		return money.Of(limit.Asset(), 0)
	}
	return left
}

// measureBudget is what left and spent say of a budget in a condition. Reservations in flight count as spent, so that
// two calls at once cannot both see the same room.
func measureBudget(fn string, r *Request, def BudgetDef) (money.Amount, error) {
	limit, used, err := budgetUse(r, def)
	if err != nil || fn == "spent" {
		return used, err
	}
	return amountLeft(limit, used), nil
}
