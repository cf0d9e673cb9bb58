package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools/mined"
)

// Codes of what a contract wallet signed.
const (
	// no record of what the wallet's chain said, or not one of this grant
	CodeGrantVerification provenance.Code = "grant.verification"
	// asked again, the wallet's chain says something else than recorded
	CodeGrantContract         provenance.Code = "grant.contract"
	CodeApprovalsVerification provenance.Code = "approvals.verification" // the same of an approval
	CodeApprovalsContract     provenance.Code = "approvals.contract"
)

// Chains asks chains of the auditor's own choice. internal/eth has what it takes.
type Chains interface {
	// AskAt returns what the account's contract says at the block of this hash. An error is no answer.
	AskAt(ctx context.Context, q auth.Question, block [32]byte) (auth.Answer, error)
	// Mined returns what a chain has of a transaction. An error is no answer; [mined.ErrNobody] that nobody can be asked.
	Mined(ctx context.Context, at mined.Place) (*mined.Receipt, error)
}

// VerifyOn judges as [Verify] does, and asks chains again what a record says that they said of a contract wallet's
// signatures, at the blocks where they were asked, and for each transaction that it says was mined. Without chains such
// a wallet's word is not checked, and the report says so.
func VerifyOn(ctx context.Context, src provenance.Source, o Options, chains Chains) *provenance.Report {
	ask := func(q auth.Question, block [32]byte) (auth.Answer, error) { return chains.AskAt(ctx, q, block) }
	look := func(at mined.Place) (*mined.Receipt, error) { return chains.Mined(ctx, at) }
	return judgeRun(src, o, &auditor{wallet: wallet{asking: asking{ask, look}}})
}

// A wallet is what is to be asked about a contract wallet, and why some of it was not.
type wallet struct {
	asking
	asked map[askedOf]bool
	why   string // why one was not checked
}

// asking is how chains are asked; nil where there is nobody to ask.
type asking struct {
	ask  func(q auth.Question, block [32]byte) (auth.Answer, error)
	look mined.Ask
}

// An askedOf is one question to the wallet's chain: what was signed, and the record of the answer.
type askedOf struct {
	hash [32]byte
	by   provenance.Link
}

// checkVerification judges what a chain said of a signature: that there is a record of it, that it belongs to the
// question, and, if there is somebody to ask, that the chain says so. at is what names the record, when is when it was
// asked at the latest. It returns false if a fault was found.
func (a *auditor) checkVerification(check string, missing, wrong provenance.Code, at, by provenance.Link, method string,
	q auth.Question, when time.Time) bool {
	x := a.ev.Verifications[by]
	switch {
	case x == nil:
		a.failCheck(check, missing, at, "there is no record of what the wallet's chain said")
		return false
	case x.Method != method || x.Chain != q.Chain:
		a.failCheck(check, missing, at, "the record of what a chain said is of another signature or chain")
		return false
	case time.UnixMilli(x.At).After(when):
		a.failCheck(check, missing, at, "the chain is said to have been asked later than its answer was used")
		return false
	case a.wallet.asked[askedOf{q.Hash, by}]:
		return true
	}
	return a.askChainAgain(check, wrong, at, by, method, q, x)
}

// askChainAgain asks the wallet's chain what it was asked then, if there is one to ask.
func (a *auditor) askChainAgain(check string, wrong provenance.Code, at, by provenance.Link, method string,
	q auth.Question, x *provenance.Verification) bool {
	note := func(format string, args ...any) {
		if a.wallet.why == "" {
			a.wallet.why = fmt.Sprintf(format, args...)
		}
	}
	state, open := x.State.Bytes()
	switch {
	case a.wallet.ask == nil:
		note("signed by a contract wallet (%s) and accepted by chain %d at block %d, as the operator says; "+
			"give an endpoint of that chain to ask it again", method, x.Chain, x.Number)
		return true
	case !open:
		note("what the wallet's chain said is sealed")
		return true
	}
	got, err := a.wallet.ask(q, x.Block)
	switch {
	case err != nil:
		note("the chain could not be asked again at block %d: %v", x.Number, err)
		return true
	case got.Verdict != auth.Accepted:
		a.failCheck(check, wrong, at, "asked again at block %d of chain %d, %s", x.Number, x.Chain, got.Verdict)
		return false
	case string(got.Standing) != x.Standing || string(got.State()) != string(state),
		x.Validator == auth.ValidatorHash && got.Gas != x.Gas:
		a.failCheck(check, wrong, at, "asked again at block %d of chain %d, the wallet is another one than recorded",
			x.Number, x.Chain)
		return false
	}
	a.wallet.asked[askedOf{q.Hash, by}] = true
	return true
}

// checkContractApproval judges an approval that a contract wallet signed.
func (a *auditor) checkContractApproval(at provenance.Link, got *provenance.Approval, want auth.Approval,
	when time.Time) {
	sig, _ := got.Sig.Bytes() // CheckApproval has opened it before
	q, err := want.Question(sig)
	if err != nil {
		a.failCheck(provenance.CheckApprovals, CodeApprovalSignature, at, "the approval does not hold: %v", err)
		return
	}
	a.checkVerification(provenance.CheckApprovals, CodeApprovalsVerification, CodeApprovalsContract, at,
		got.Verification, got.Method, q, when)
}

// checkWalletFacts checks what the steps say of a contract wallet's standing by its grant: each time that value was to
// be moved, its chain was asked, and said yes.
func (a *auditor) checkWalletFacts() {
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		f := s.Facts.Wallet
		switch x := a.verificationOf(f); {
		case f == nil:
		case a.grant.Method == auth.MethodEOA || x == nil || x.At != f.At || f.At > s.At:
			a.failCheck(provenance.CheckDecisions, CodeDecisionFacts, c,
				"step %d: what it says of the wallet is not what its chain said", s.Seq)
		default:
			a.checkVerification(provenance.CheckGrant, CodeGrantVerification, CodeGrantContract, c, f.By,
				a.grant.Method, a.grant.Question(), time.UnixMilli(s.At))
		}
		return nil
	})
	if err != nil {
		a.rep.Fault(err)
	}
}

func (a *auditor) verificationOf(f *provenance.WalletFact) *provenance.Verification {
	if f == nil {
		return nil
	}
	return a.ev.Verifications[f.By]
}

// concludeWallet says what is left open, once everything was looked at.
func (a *auditor) concludeWallet() {
	if a.wallet.why == "" {
		return
	}
	for _, check := range []string{provenance.CheckGrant, provenance.CheckApprovals} {
		if was := a.rep.Status(check); was.Status == provenance.Pass &&
			(check == provenance.CheckGrant || was.Count > 0) {
			a.rep.Skip(check, was.Count, "not checked: "+a.wallet.why)
		}
	}
	a.rep.Unprove("that the wallet's contract accepts what it signed: " + a.wallet.why)
}
