package audit

import (
	"errors"
	"slices"
	"time"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// CodeGrantRevocation: the run was ended by a revocation that nobody who may has signed.
const CodeGrantRevocation provenance.Code = "grant.revocation"

// revocations checks who ended the session, where the history says that somebody did. It returns false if one of them
// does not hold.
func (a *auditor) revocations() (ok bool) {
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
		rec := a.ev.Revocations[l.By]
		fail := func(why string) {
			ok = false
			a.fail(provenance.CheckGrant, CodeGrantRevocation, l.By, "step %d: %s", s.Seq, why)
		}
		if rec.Grant != a.ev.Run.Grant {
			fail("the revocation is of another session")
			return nil
		}
		if rec.Delegation.Defined() && !slices.Contains(a.ev.DelegationCIDs, rec.Delegation) {
			fail("the revocation is of a delegation that this run does not act under")
			return nil
		}
		if rec.At > s.At {
			fail("the revocation was made after the run was ended by it")
			return nil
		}
		if rec.Method == provenance.RevokedOperator && len(a.operator) == 0 {
			a.rep.Unprove("that the operator revoked the session: no operator key was given")
			return nil
		}
		signer := a.grant
		if rec.Frame != nil && rec.Frame.From != rec.Grant {
			g := a.ev.Grants[rec.Frame.From]
			message, open := g.Message.Bytes()
			sig, open2 := g.Sig.Bytes()
			if !open || !open2 || g.Method != auth.MethodEOA {
				a.rep.Unprove("that the wallet's other session revoked this one: its grant is sealed, or signed in a way that was not checked")
				return nil
			}
			var err error
			if signer, err = auth.Reread(message, sig); err != nil {
				fail("the grant of the session that revoked it does not hold: " + err.Error())
				return nil
			}
		}
		err := loop.CheckRevocation(rec, a.grant, signer, a.operator)
		switch {
		case errors.Is(err, loop.ErrSealed):
			a.rep.Unprove("who revoked the session: the revocation is sealed")
		case err != nil:
			fail(err.Error())
		case rec.Verification.Defined(): // CheckRevocation has put the question too
			q, _ := loop.RevocationQuestion(rec, a.grant)
			if !a.verified(provenance.CheckGrant, CodeGrantVerification, CodeGrantContract, l.By, rec.Verification, q.Method(), q, time.UnixMilli(rec.At)) {
				ok = false
			}
		}
		return nil
	})
	if err != nil {
		a.rep.Fault(err)
		return false
	}
	return ok
}
