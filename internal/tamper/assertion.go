package tamper

import (
	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// An assertionLie says how an assertion of the operator's wallet is another one than it should be.
type assertionLie struct {
	before func(*provenance.Assertion) // the wallet signs it
	after  func(*provenance.Assertion)
	known  bool // it is of a call whose result is there
	twice  bool
	wallet string // that signs, if it is not the operator's
}

// doubtfulWorld has a transaction of which it is not known whether it was mined.
func doubtfulWorld() *world {
	w := wholeWorld()
	w.lapse = true
	return w
}

// assert has the head name what the operator's wallet says of the transaction in doubt.
func (h *history) assert(lie assertionLie) {
	secret := operatorKey
	if lie.wallet != "" {
		secret = lie.wallet
	}
	wallet := must(auth.ParseWallet(secret))
	h.behead = func(d *provenance.Head) {
		a := &provenance.Assertion{As: provenance.AssertedDone, Tx: [32]byte{1, 2, 3}, Why: "mined, by two explorers",
			At: d.At/1000*1000 + 5000, By: wallet.Address(), Run: h.runCID, Chain: 1, Method: auth.MethodEOA}
		for i, s := range h.steps {
			for j, e := range s.Does {
				if c, is := e.(*provenance.Call); is && (c.Phase == provenance.PhaseSend) != lie.known {
					a.Of, a.Step = provenance.Ref{Seq: s.Seq, Index: uint64(j)}, h.cids[i]
				}
			}
		}
		h.extra, d.Asserted = map[provenance.Link][]byte{}, nil
		say := func() {
			if lie.before != nil {
				lie.before(a)
			}
			a.Sig = must(wallet.SignTyped(audit.AssertedBy(a)))
			if lie.after != nil {
				lie.after(a)
			}
			b := must(provenance.Encode(a))
			h.extra[b.CID] = b.Data
			d.Asserted, d.At = append(d.Asserted, b.CID), a.At
		}
		say()
		if lie.twice {
			a.As, a.At = provenance.AssertedFailed, a.At+1000
			say()
		}
	}
}

func lieAboutDoubt(lie assertionLie) func(*bench) ([]byte, error) {
	return changeSafely(doubtfulWorld, func(h *history) { h.assert(lie) })
}

// falseAssertions are what an operator's wallet may not say.
var falseAssertions = []vector{
	{Name: "honest-asserted", Verdict: verified,
		What: "the operator's wallet says that the broadcast in doubt was mined",
		make: lieAboutDoubt(assertionLie{})},
	{Name: "asserted-edited", Code: audit.CodeHeadAssertion,
		What: "the wallet signed that the call was done, and the record says that it failed",
		make: lieAboutDoubt(assertionLie{after: func(a *provenance.Assertion) { a.As = provenance.AssertedFailed }})},
	{Name: "asserted-other-signer", Code: audit.CodeHeadAssertion,
		What: "another wallet signed than the one that is said to assert it",
		make: lieAboutDoubt(assertionLie{wallet: otherOperator, after: func(a *provenance.Assertion) {
			a.By = must(auth.ParseWallet(operatorKey)).Address()
		}})},
	{Name: "asserted-other-evidence", Code: audit.CodeHeadAssertion,
		What: "another transaction than the one that the wallet named as evidence",
		make: lieAboutDoubt(assertionLie{after: func(a *provenance.Assertion) { a.Tx[0]++ }})},
	{Name: "asserted-known", Code: audit.CodeHistoryAsserted,
		What: "the wallet says of a call whose result is there that it failed",
		make: lieAboutDoubt(assertionLie{known: true})},
	{Name: "asserted-other-step", Code: audit.CodeHistoryAsserted,
		What: "the wallet names another step than the one that has the call",
		make: lieAboutDoubt(assertionLie{before: func(a *provenance.Assertion) { a.Step = a.Run }})},
	{Name: "asserted-twice", Code: audit.CodeHistoryAssertedTwice,
		What: "the wallet says first that the call was done, and then that it failed",
		make: lieAboutDoubt(assertionLie{twice: true})},
}
