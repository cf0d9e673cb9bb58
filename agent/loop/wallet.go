package loop

import (
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// WalletAge is how old the last question to a contract wallet's chain may be when value is moved, in ms.
const WalletAge = 10_000

// ruleWallet: a contract wallet's permission holds as long as its contract says so.
const ruleWallet = "loop/wallet"

// ByContract says whether the run's permission was signed by a contract, so that its chain can take it back.
func (m *Machine) ByContract() bool { return m.grant.Method != auth.MethodEOA }

// Moves says whether a step that takes in ev could begin something that is more than reading. The runtime asks a
// contract wallet's chain before it; calls without the answer are denied.
func (m *Machine) Moves(s State, ev provenance.Event) bool {
	acts := func(c *call) bool { return c.tool != nil && c.tool.spec.Class != tools.Read }
	switch ev := ev.(type) {
	case *provenance.Reply:
		if ev.Model == nil {
			return false
		}
		for _, ask := range ev.Model.Calls {
			if t := m.tools[ask.Tool]; t != nil && t.spec.Class != tools.Read {
				return true
			}
		}
	case *provenance.Result:
		if c := (&work{s: s}).waiting(ev.Of); c != nil && acts(c) && ev.Status == provenance.StatusOK {
			return c.phase == provenance.PhaseSimulate || c.phase == provenance.PhaseSign
		}
	case *provenance.Verdict:
		c := (&work{s: s}).waiting(ev.Of)
		return c != nil && acts(c) && ev.Approval != nil
	}
	return false
}

// holds says whether the wallet's permission is known to hold now: a key's always does, a contract's chain has just
// said so.
func (w *work) holds() bool {
	f := w.facts.Wallet
	return !w.m.ByContract() || f != nil && f.At <= w.at && w.at-f.At <= WalletAge
}

func (w *work) denyUnasked(c *call) error {
	return w.deny(c, policies.ToolCall, ruleWallet,
		"The wallet is a contract, and its chain could not be asked whether it still stands by this permission.",
		"try again when the chain answers")
}
