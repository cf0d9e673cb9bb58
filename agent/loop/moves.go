package loop

import (
	"fmt"

	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// What a transaction moves. A call says an amount, and a contract does what it likes: it may take more, hand on less,
// pay somebody else. So a call of class chain is decided by what its simulation shows, and settled by what its block
// shows; the call's own amount is the least that counts. One rule holds whatever the policy sets say:
//
//	loop/moves  what would leave the account or arrive at the recipient is not what the call says: the wallet is asked,
//	            with both figures. What no amount measures, another asset or an allowance, is refused.
const ruleMoves = "loop/moves"

// isWallets says whether the user's own wallet sends the call.
func (c *call) isWallets() bool { return c.tool.spec.Class == tools.WalletTx }

// countedAmount is what a call counts as against caps and thresholds.
func (c *call) countedAmount() money.Amount {
	if c.changes == nil {
		return c.args.Amount
	}
	return c.moved.Counted(c.args)
}

// setForeseen tells a request at spend what is foreseen of a call. Before its simulation a transaction is taken at its
// word, since it is decided again.
func (c *call) setForeseen(req *policies.Request) {
	req.Amount, req.To, req.Thing = c.countedAmount(), c.args.To, c.args.Thing.String()
	req.Debit, req.Credit, req.Others, req.Simulated = c.args.Amount, c.args.Amount, 0, ""
	switch {
	case c.changes != nil:
		req.Debit, req.Credit, req.Others, req.Simulated = c.moved.Debit, c.moved.Credit, c.moved.Others, c.simulated
	case c.tool.spec.Class.Sends():
		req.Simulated = tools.SimulatedRead
	}
}

// decideMoves returns the decision of ruleMoves on a call; none if it has nothing to say.
func (c *call) decideMoves(approved bool) []policies.Decision {
	if c.changes == nil || !c.moved.Differs(c.args) {
		return nil
	}
	d := policies.Decision{
		Point: policies.Spend, Outcome: policies.Approve, Rules: []string{ruleMoves}, Message: c.moved.Describe(c.args),
		Change: "an approval by the wallet", TTL: policies.DefaultTTL,
	}
	switch {
	case c.moved.Foreign > 0:
		d.Outcome, d.TTL, d.Change = policies.Deny, 0, "a transaction that moves nothing else"
	case approved:
		d = policies.Decision{Point: policies.Spend, Outcome: policies.Permit, Rules: []string{ruleMoves}}
	}
	return []policies.Decision{d}
}

// takeMined settles a transaction that is in a block by what it moved there.
func (t transaction) takeMined(out []byte) error {
	w, c := t.w, t.c
	if mined, err := tools.ReadBlock(out); err == nil && c.isCancelledBy(mined.Hash) {
		return t.takeCancelled(&mined)
	}
	mined, moved, err := tools.ReadMined(out, c.args)
	if err == nil && c.phase == provenance.PhaseFinal {
		err = mined.CheckFinal(c.tool.def.Finality())
	}
	if err != nil {
		return t.takeUnclear(err)
	}
	if mined.Status != "ok" {
		w.settleCall(c, false)
		w.noteTrouble(provenance.CloseFailed, fault.ToolFailed)
		return w.finishWithResult(c, provenance.StatusOK, out)
	}
	reserved := c.countedAmount()
	c.moved = moved
	w.rememberCall(c, true)
	w.s.acted = true
	w.settleMoved(c, reserved, moved.Debit)
	if over, err := moved.Debit.Sub(reserved); err == nil && !over.IsZero() {
		w.s.addOver(over)
	}
	if t.noteMined(mined); moved.Differs(c.args) {
		w.s.notes = append(w.s.notes, c.describeMined(mined, reserved))
	}
	if err := w.finishWithResult(c, provenance.StatusOK, out); err != nil {
		return err
	}
	w.s.addSpent(moved.Debit)
	return nil
}

// describeMined says what a transaction has moved, for whoever reads the run's answer: a model may only repeat what it
// was asked for.
func (c *call) describeMined(mined tools.Mined, reserved money.Amount) string {
	s := fmt.Sprintf("Of %s to %s, asked for %s: %s left the account and %s arrived (block %s).",
		c.tool.spec.Name, c.args.To.Hex(), c.args.Amount, c.moved.Debit, c.moved.Credit, mined.Block)
	if c.moved.Others > 0 {
		s += fmt.Sprintf(" It moved something besides: %s.", wording.CountOf(c.moved.Others, "event"))
	}
	if more, err := c.moved.Debit.Cmp(reserved); err != nil || more > 0 {
		s += fmt.Sprintf(" That is more than the %s that were reserved for it; the budgets count what left.", reserved)
	}
	return s
}

// settleMoved ends the reservations of a transaction with what it really took, be it more than was reserved.
func (t *tally) settleMoved(c *call, reserved, debit money.Amount) {
	for _, r := range c.reserved {
		used := r.Amount
		switch more, err := debit.Cmp(reserved); {
		case r.Amount.Asset() != debit.Asset() || err != nil || isAsked(r.Budget):
		case r.Amount == reserved:
			used = debit
		case more > 0: // a rule reserves another amount than the call's
			over, _ := debit.Sub(reserved)
			used = r.Amount.AddCapped(over)
		}
		t.settleReserve(r, c.reservedBy, used)
	}
	c.reserved = nil
}

// Foreseen returns what the simulation of a call showed that has an open effect; nil if there is none.
func (s State) Foreseen(effect provenance.Ref) []byte {
	if c := s.findOpenCall(effect); c != nil {
		return c.changes
	}
	return nil
}
