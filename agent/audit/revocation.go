package audit

import (
	"errors"
	"slices"
	"time"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/revocation"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// CodeGrantRevocation: the run was ended by a revocation that nobody who may has signed.
const CodeGrantRevocation provenance.Code = "grant.revocation"

// checkRevocations checks who ended the session, where the history says that somebody did. It returns false if one of
// them does not hold.
func (a *auditor) checkRevocations() (ok bool) {
	ok = true
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		l, is := s.Event.(*provenance.Lapse)
		if !is || l.Why != provenance.LapseRevoked || l.Of != nil {
			return nil
		}
		if !l.By.Defined() {
			a.rep.Unprove("who revoked the session: the history has no revocation")
			return nil
		}
		if !a.checkRevocation(l.By, s) {
			ok = false
		}
		return nil
	})
	if err != nil {
		a.rep.Fault(err)
		return false
	}
	return ok
}

// checkRevocation checks the revocation by which a step ended the run. What cannot be checked is no fault.
func (a *auditor) checkRevocation(by provenance.Link, s *provenance.Step) (ok bool) {
	rec := a.ev.Revocations[by]
	fail := func(why string) bool {
		a.failCheck(provenance.CheckGrant, CodeGrantRevocation, by, "step %d: %s", s.Seq, why)
		return false
	}
	switch {
	case rec.Grant != a.ev.Run.Grant:
		return fail("the revocation is of another session")
	case rec.Delegation.Defined() && !slices.Contains(a.ev.DelegationCIDs, rec.Delegation):
		return fail("the revocation is of a delegation that this run does not act under")
	case rec.At > s.At:
		return fail("the revocation was made after the run was ended by it")
	case rec.Method == provenance.RevokedOperator && len(a.operator) == 0:
		a.rep.Unprove("that the operator revoked the session: no operator key was given")
		return true
	}
	signer, known, err := a.revokingGrant(rec)
	if err != nil {
		return fail("the grant of the session that revoked it does not hold: " + err.Error())
	}
	if !known {
		return true
	}
	err = revocation.Check(rec, a.grant, signer, a.operator)
	switch {
	case errors.Is(err, loop.ErrSealed):
		a.rep.Unprove("who revoked the session: the revocation is sealed")
	case err != nil:
		return fail(err.Error())
	case rec.Verification.Defined(): // CheckRevocation asks the same question
		q, _ := revocation.Question(rec, a.grant)
		return a.checkVerification(provenance.CheckGrant, CodeGrantVerification, CodeGrantContract, by,
			rec.Verification, q.Method(), q, time.UnixMilli(rec.At))
	}
	return true
}

// revokingGrant returns the grant of the session whose key signed a revocation, or false if it is not known.
func (a *auditor) revokingGrant(rec *provenance.Revocation) (g *auth.Grant, known bool, err error) {
	if rec.Frame == nil || rec.Frame.From == rec.Grant {
		return a.grant, true, nil
	}
	other := a.ev.Grants[rec.Frame.From]
	message, open := other.Message.Bytes()
	sig, open2 := other.Sig.Bytes()
	if !open || !open2 || other.Method != auth.MethodEOA {
		a.rep.Unprove("that the wallet's other session revoked this one: its grant is sealed, " +
			"or signed in a way that was not checked")
		return nil, false, nil
	}
	g, err = auth.Reread(message, sig)
	return g, true, err
}
