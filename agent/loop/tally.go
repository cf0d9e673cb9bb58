package loop

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/decision"
	"github.com/writ-run/writ/agent/layer"
	"github.com/writ-run/writ/agent/ledgerid"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/agent/subagent"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A tally counts what a step reserves, settles and releases.
type tally struct {
	moment
	budgets []policies.Budget // with what this step has reserved so far
	settles []Settle          // by this step, which its decisions do not see
	room    *room
}

// SeenLedgers returns the ledgers as the decisions of the next step see them, sorted by ID. It fails as [Machine.Step]
// does.
func (m *Machine) SeenLedgers(s State, at int64, ev provenance.Event, f provenance.Facts) ([]policies.Budget, error) {
	t := tally{moment: moment{m: m, s: s, at: at, facts: f}}
	err := t.readLedgers(ev)
	return t.budgets, err
}

// readLedgers puts together what decisions see of the ledgers: those that the facts show, the others as the last step
// left them.
func (t *tally) readLedgers(ev provenance.Event) error {
	ledgers, err := t.m.Ledgers(t.s, t.at, ev)
	if err != nil {
		return err
	}
	t.budgets = make([]policies.Budget, 0, len(ledgers))
	facts := t.facts.Budgets
	for _, l := range ledgers {
		i := slices.IndexFunc(t.s.lastShown, func(b policies.Budget) bool { return b.ID == l.ID })
		switch {
		case len(facts) > 0 && facts[0].ID == l.ID:
			b := policies.Budget(facts[0])
			if i >= 0 && t.s.lastShown[i] == b {
				return fmt.Errorf("budget %s is shown although it has not changed: %w", l.ID, ErrFacts)
			}
			t.budgets, facts = append(t.budgets, b), facts[1:]
		case i >= 0:
			t.budgets = append(t.budgets, t.s.lastShown[i])
		default:
			return fmt.Errorf("budget %s is not shown: %w", l.ID, ErrFacts)
		}
		if b := t.budgets[len(t.budgets)-1]; b.Cap != l.Cap {
			return fmt.Errorf("budget %s has the cap %s, not %s: %w", l.ID, b.Cap, l.Cap, ErrFacts)
		}
	}
	if len(facts) > 0 {
		return fmt.Errorf("budget %s is none of this step's: %w", facts[0].ID, ErrFacts)
	}
	return t.checkOwnUse()
}

// checkOwnUse compares the ledgers with what this run alone has used of them.
func (t *tally) checkOwnUse() error {
	for _, own := range t.s.own {
		for _, b := range t.budgets {
			if b.ID != own.ledger {
				continue
			}
			spent, err := b.Spent.Cmp(own.spent)
			held, err2 := b.Reserved.Cmp(own.reserved)
			if err != nil || err2 != nil || spent < 0 || held < 0 {
				return fmt.Errorf("budget %s: %w", own.ledger, ErrLedger)
			}
		}
	}
	return t.checkAsked()
}

// keepLedgers notes how the ledgers are after this step, if nobody else reserves in them.
func (t *tally) keepLedgers() {
	for _, x := range t.settles {
		for i := range t.budgets {
			if b := &t.budgets[i]; b.ID == x.Budget { // it was added before (checkOwnUse), so neither subtraction fails
				b.Reserved, _ = b.Reserved.Sub(x.reserved)
				b.Spent = b.Spent.AddCapped(x.Used)
			}
		}
	}
	t.s.lastShown = t.budgets
}

// budgetsFor returns the ledgers of this step as a decision about c reads them, under the names of their budgets. c is
// nil if the decision is about no call.
func (t *tally) budgetsFor(c *call) []policies.Budget {
	if t.m.plain != nil {
		return t.budgets
	}
	out := make([]policies.Budget, 0, len(t.m.budgets))
	for i := range t.m.budgets {
		b := &t.m.budgets[i]
		if b.asked {
			continue // no rule names this budget
		}
		ledgers, err := t.ledgersBehind(b, c)
		if err != nil {
			continue // of a budget whose state is not known nothing can be drawn
		}
		if all, ok := t.fullestLedger(ledgers); ok {
			all.ID = b.ID
			if b.def.UntilApproval {
				all.Spent = t.countSinceAsked(ledgers[0].ID, all.Spent)
			}
			out = append(out, all)
		}
	}
	return out
}

// fullestLedger returns the state of a budget with several ledgers, all of one cap: whoever reads it sees as much used
// as the fullest of them has. ok is false if one of them is not among the facts.
func (t *tally) fullestLedger(ledgers []Ledger) (all policies.Budget, ok bool) {
	for i, l := range ledgers {
		at := slices.IndexFunc(t.budgets, func(b policies.Budget) bool { return b.ID == l.ID })
		if at < 0 {
			return all, false
		}
		b := t.budgets[at]
		if i == 0 {
			all = b
			continue
		}
		used, err := b.Spent.Add(b.Reserved)
		before, err2 := all.Spent.Add(all.Reserved)
		if err != nil || err2 != nil {
			return all, false
		}
		spent := largerAmount(all.Spent, b.Spent)
		held, err := largerAmount(used, before).Sub(spent)
		if err != nil {
			return all, false
		}
		all.Spent, all.Reserved = spent, held
	}
	return all, len(ledgers) > 0
}

func largerAmount(a, b money.Amount) money.Amount {
	if n, err := a.Cmp(b); err == nil && n < 0 {
		return b
	}
	return a
}

// ledgersBehind returns the ledgers behind a budget in which a decision about c reserves, the run's own first.
func (t *tally) ledgersBehind(b *Budget, c *call) ([]Ledger, error) {
	label, err := b.def.Label(t.at)
	if err != nil {
		return nil, err
	}
	var to *common.Address
	if b.def.PerRecipient {
		if c == nil || c.tool == nil || c.tool.spec.Spend == nil {
			return nil, fmt.Errorf("budget %s counts by recipient, and there is none", b.ID)
		}
		to = &c.args.To
	}
	var out []Ledger
	for _, agent := range b.ledgerOwners() {
		out = append(out, ledgerOf(b, agent, label, to, t.s.salt))
	}
	return out, nil
}

// nameLedgers puts the names of the ledgers in the place of those of their budgets, in what decisions reserve, and
// notes by which names a store knows them. Of a budget with several ledgers, it is reserved in each.
func (t *tally) nameLedgers(ds []provenance.Decision, c *call) error {
	if t.m.plain != nil {
		return nil
	}
	for i := range ds {
		var named []provenance.Reserve
		for _, r := range ds[i].Reserve {
			at := slices.IndexFunc(t.m.budgets, func(b Budget) bool { return b.ID == r.Budget })
			if at < 0 {
				named = append(named, r) // reserve reports it
				continue
			}
			ledgers, err := t.ledgersBehind(&t.m.budgets[at], c)
			if err != nil {
				return err
			}
			for _, l := range ledgers {
				if l.Key != l.ID {
					t.s.keys = t.s.keys.withKey(l.ID, l.Key)
				}
				named = append(named, provenance.Reserve{Budget: l.ID, Amount: r.Amount})
			}
		}
		ds[i].Reserve = named
	}
	return nil
}

// ledgerKeys has the names of ledgers in a store that are not those in the record.
type ledgerKeys []struct{ id, key string }

func (k ledgerKeys) withKey(id, key string) ledgerKeys {
	for _, x := range k {
		if x.id == id {
			return k
		}
	}
	return append(slices.Clip(k), struct{ id, key string }{id, key})
}

func (s *State) storeKeyOf(id string) string {
	for _, x := range s.keys {
		if x.id == id {
			return x.key
		}
	}
	return id
}

// ownUseOf returns what this run has used of a ledger; nil if no set declares its budget. like gives the asset.
func (t *tally) ownUseOf(ledger string, like money.Amount) *ownUse {
	for i := range t.s.own {
		if t.s.own[i].ledger == ledger {
			return &t.s.own[i]
		}
	}
	budget := ledgerid.Budget(ledger)
	if !slices.ContainsFunc(t.m.budgets, func(b Budget) bool { return b.ID == budget }) {
		return nil
	}
	nothing := money.Of(like.Asset(), 0)
	t.s.own = append(t.s.own, ownUse{ledger, nothing, nothing})
	return &t.s.own[len(t.s.own)-1]
}

// reserve counts reservations of this step, so that the next call of the same step sees them, and adds them to list.
func (t *tally) reserve(list *[]provenance.Reserve, rs []provenance.Reserve) error {
	for _, r := range rs {
		reserveIn(t.budgets, r.Budget, r.Amount)
		own := t.ownUseOf(r.Budget, r.Amount)
		if own == nil {
			return fmt.Errorf("a decision reserves in the budget %s, which no set declares", r.Budget)
		}
		sum, err := own.reserved.Add(r.Amount)
		if err != nil {
			return fmt.Errorf("budget %s: %w", r.Budget, err)
		}
		own.reserved = sum
	}
	var err error
	*list, err = decision.JoinReserves(*list, rs)
	return err
}

// settleReserve ends a reservation: used of it becomes spent.
func (t *tally) settleReserve(r provenance.Reserve, ref provenance.Ref, used money.Amount) {
	if t.settles == nil {
		t.settles = t.room.settles[:0]
	}
	t.settles = append(t.settles, Settle{
		Budget: r.Budget, Key: t.s.storeKeyOf(r.Budget), Ref: ref, Used: used, reserved: r.Amount,
	})
	if own := t.ownUseOf(r.Budget, r.Amount); own != nil { // reserve has put in what is taken out: neither can fail
		own.reserved, _ = own.reserved.Sub(r.Amount)
		own.spent = own.spent.AddCapped(used)
	}
}

func reserveIn(budgets []policies.Budget, id string, a money.Amount) {
	for i := range budgets {
		if budgets[i].ID == id {
			// An overflow cannot be: the engine has just found room below the cap.
			if sum, err := budgets[i].Reserved.Add(a); err == nil {
				budgets[i].Reserved = sum
			}
		}
	}
}

// settleModelCall ends a model call's reservations with what it really used, which is never counted above what was
// reserved.
func (t *tally) settleModelCall(a *modelcall.Open, u model.Usage, cost int64) {
	for _, r := range a.Reserved {
		t.settleReserve(r, a.Ref, modelcall.UsedOf(r, u, cost))
	}
}

// releaseModelCall ends the reservations of a model call that has used nothing.
func (t *tally) releaseModelCall(a *modelcall.Open) {
	for _, r := range a.Reserved {
		t.settleReserve(r, a.Ref, money.Of(r.Amount.Asset(), 0))
	}
}

// settleInFull ends the reservations of a model call whose end is not known: the provider may charge for all of it.
func (t *tally) settleInFull(a *modelcall.Open) {
	for _, r := range a.Reserved {
		t.settleReserve(r, a.Ref, r.Amount)
	}
}

// dropAsks ends the open model calls, as the run ends.
func (t *tally) dropAsks() {
	for _, a := range t.s.asks.List() {
		t.settleInFull(a)
	}
	t.s.asks = modelcall.Asks{}
}

// settleCall ends a call's reservations: settled in full if it was used, if not, only the count of calls is.
func (t *tally) settleCall(c *call, used bool) {
	for _, r := range c.reserved {
		n := r.Amount
		if !used && countsOnlyIfDone(r) {
			n = money.Of(n.Asset(), 0)
		}
		t.settleReserve(r, c.reservedBy, n)
	}
	c.reserved = nil
}

// countsOnlyIfDone says whether a reservation is for what a call moves, and not for its being made or asked for.
func countsOnlyIfDone(r provenance.Reserve) bool {
	return r.Amount.Asset() != money.Calls && !isAsked(r.Budget)
}

// endUnknown ends an open call of which nothing more is heard. One that may act is in doubt, and counts as if it had
// happened; any other is settled in full if used is set, and released if not.
func (t *tally) endUnknown(c *call, used bool) {
	before, reserved, acts := len(t.settles), c.reserved, c.mayAct()
	if t.settleCall(c, used || acts); !acts {
		return
	}
	ref := c.wait
	t.s.doubts = append(t.s.doubts, ref)
	for i, r := range reserved {
		// What counts until an approval stays: an approval may have ended its count already, and nothing ends it twice.
		if countsOnlyIfDone(r) && !t.m.CountsUnasked(r.Budget) {
			t.settles[before+i].Doubt = &ref
		}
	}
}

// addSubAgentUse counts what a sub-agent's run has used as the caller's own: in its sums, and in what it has used of
// each ledger of money above the sub-agent. The facts of the next step must show at least that much.
func (t *tally) addSubAgentUse(c *call, out []byte) error {
	var o subagent.Outcome
	if err := json.Unmarshal(out, &o); err != nil {
		return fmt.Errorf("%w: its outcome is malformed", ErrSubAgent)
	}
	sums, used := &t.s.totals, o.Used
	if left := c.handed.Limits; used.Calls > left.Calls || used.Turns > left.Turns {
		return fmt.Errorf("%w: %d calls in %d turns, of %d and %d", ErrSubAgent, used.Calls, used.Turns, left.Calls,
			left.Turns)
	}
	if used.Cost < 0 || max(used.Calls, used.In, used.Out) > modelcall.MaxUsage || sums.Cost+used.Cost < 0 ||
		max(sums.Calls, sums.In, sums.Out) > 1<<62 {
		return fmt.Errorf("%w: its sums are out of range", ErrSubAgent)
	}
	sums.Calls, sums.Cost = sums.Calls+used.Calls, sums.Cost+used.Cost
	sums.In, sums.Out = sums.In+used.In, sums.Out+used.Out
	sums.Turns, t.s.subTurns = sums.Turns+used.Turns, t.s.subTurns+used.Turns
	for _, s := range used.Over {
		a, err := money.FromUnits(money.Asset{Symbol: s.Asset, Decimals: s.Decimals}, s.Units)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSubAgent, err)
		}
		t.s.addOver(a)
	}
	for _, s := range used.Spent {
		a, err := money.FromUnits(money.Asset{Symbol: s.Asset, Decimals: s.Decimals}, s.Units)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSubAgent, err)
		}
		names := []string{LayerGrant}
		for i := range t.m.authority.Chain {
			names = append(names, authority.LayerName(i))
		}
		for _, name := range names {
			if err := t.countSubAgentSpend(name+"/max_total_"+layer.AssetWord(a.Asset()), a); err != nil {
				return err
			}
		}
		t.s.addSpent(a)
	}
	return nil
}

// countSubAgentSpend counts a as spent from a ledger, whose cap it must be within but for what is known to be over it.
func (t *tally) countSubAgentSpend(ledger string, a money.Amount) error {
	own := t.ownUseOf(ledger, a)
	i := slices.IndexFunc(t.m.budgets, func(b Budget) bool { return b.ID == ledger && b.Cap.Asset() == a.Asset() })
	if own == nil || i < 0 {
		return fmt.Errorf("%w: %s, of which its caller may spend nothing", ErrSubAgent, a)
	}
	own.spent = own.spent.AddCapped(a)
	most := t.m.budgets[i].Cap
	for _, over := range t.s.totals.Over { // money that left although a cap forbade it
		most = most.AddCapped(over)
	}
	if n, err := own.spent.Cmp(most); err != nil || n > 0 {
		return fmt.Errorf("%w: %s in all, above the cap of %s", ErrSubAgent, own.spent, t.m.budgets[i].Cap)
	}
	return nil
}

// ErrSubAgent says that a sub-agent's sums cannot be: they are more than what its caller was given, or no sums at all.
var ErrSubAgent = errors.New("the sub-agent's run has used what its caller did not have")
