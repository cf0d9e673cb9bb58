package loop

import (
	"slices"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A moment is what a step knows when it decides: the machine, the run so far, the time and the facts.
type moment struct {
	m     *Machine
	s     State
	at    int64
	facts provenance.Facts
}

// WalletAge is how old the last question to a contract wallet's chain may be when value is moved, in ms.
const WalletAge = 10_000

// isSessionOver says whether the session is over, by its own time or by revocation.
func (mo *moment) isSessionOver() bool { return mo.facts.Revoked || mo.at >= mo.m.expiry() }

// isStillPermitted says whether the wallet's permission is known to hold now: a key's always does, a contract's chain
// has just said so.
func (mo *moment) isStillPermitted() bool {
	f := mo.facts.Wallet
	return !mo.m.IsContractWallet() || f != nil && f.At <= mo.at && mo.at-f.At <= WalletAge
}

// bringPastToNow brings the past to the time of this step.
func (mo *moment) bringPastToNow() {
	if mo.s.Seq == 0 {
		mo.s.past = mo.m.newPast()
	}
	mo.s.past = mo.s.past.At(mo.at)
}

// isUnderWay says whether a call is being made. One that is simulated or waits for the wallet is not yet.
func isUnderWay(phase string) bool {
	return phase == provenance.PhaseAct || phase == provenance.PhaseSign || phase == provenance.PhaseSend ||
		phase == provenance.PhaseFinal || phase == provenance.PhaseAsk
}

// callsUnderWay lists the calls under way, if any rule asks.
func (mo *moment) callsUnderWay() (acts []policies.Act) {
	if !mo.s.past.Asked() {
		return nil
	}
	for i := range mo.s.calls {
		if c := &mo.s.calls[i]; isUnderWay(c.phase) {
			acts = append(acts, mo.actOf(c))
		}
	}
	return acts
}

// rememberCall adds a call to the past that has ended; ok is false if it is only not known that it did nothing.
func (mo *moment) rememberCall(c *call, ok bool) {
	if !isUnderWay(c.phase) || !mo.s.past.Asked() {
		return
	}
	a := mo.actOf(c)
	a.At, a.OK = mo.at, ok
	mo.s.past = mo.s.past.With(a)
}

func (mo *moment) actOf(c *call) policies.Act {
	a := policies.Act{Tool: c.tool.spec.Name, Class: string(c.tool.spec.Class), Args: c.args.Values}
	if c.tool.spec.Spend != nil {
		a.Amount, a.To = c.countedAmount(), c.args.To
	}
	return a
}

// MayMoveValue says whether a step that takes in ev could begin something that is more than reading. The runtime asks a
// contract wallet's chain before it; calls without the answer are denied.
func (m *Machine) MayMoveValue(s State, ev provenance.Event) bool {
	acts := func(t *tool) bool { return t != nil && t.spec.Class != tools.Read }
	switch ev := ev.(type) {
	case *provenance.Reply:
		return ev.Model != nil && slices.ContainsFunc(ev.Model.Calls, func(ask provenance.ToolAsk) bool {
			return acts(m.tools[ask.Tool])
		})
	case *provenance.Result:
		c := s.findOpenCall(ev.Of)
		return c != nil && acts(c.tool) && ev.Status == provenance.StatusOK &&
			(c.phase == provenance.PhaseSimulate || c.phase == provenance.PhaseSign)
	case *provenance.Verdict:
		c := s.findOpenCall(ev.Of)
		return c != nil && acts(c.tool) && ev.Approval != nil
	case *provenance.Ask:
		if ev.Of != nil {
			c := s.findOpenCall(*ev.Of)
			return c != nil && acts(c.tool)
		}
	}
	return false
}
