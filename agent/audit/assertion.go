package audit

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// Codes of assertions.
const (
	CodeHeadAssertion provenance.Code = "head.assertion" // the wallet did not sign the assertion
	CodeHeadAsserter  provenance.Code = "head.asserter"  // an assertion by another wallet than the operator's

	// an assertion about what is no call of this history, or one whose outcome the history has
	CodeHistoryAsserted provenance.Code = "history.asserted"
	// two assertions about one call
	CodeHistoryAssertedTwice provenance.Code = "history.asserted_twice"
)

// checkAssertions judges what the operator's wallet says of calls in doubt: that it did sign it, and that the outcome
// is not known. What it says stays its word: the report lists it among what is not shown.
func (a *auditor) checkAssertions(o Options) bool {
	operator := common.Address(o.Log.Wallet)
	if logged := a.ev.Logged; operator == (common.Address{}) && logged != nil && logged.Binding != nil {
		operator = common.Address(logged.Binding.Operator)
	}
	if !a.checkAsserted() {
		return false
	}
	for _, x := range a.ev.Assertions {
		if !a.checkAssertion(x, operator) {
			return false
		}
	}
	return true
}

// An asserted is what the steps say of a call that is asserted.
type asserted struct {
	call   *provenance.Call
	answer provenance.Event
	step   provenance.Link // that has the call
}

// checkAsserted judges that each assertion is about a call of this history, one about each, of which the history does
// not say what came.
func (a *auditor) checkAsserted() bool {
	if len(a.ev.Assertions) == 0 {
		return true
	}
	of := map[provenance.Ref]*asserted{}
	for _, x := range a.ev.Assertions {
		if of[x.Of] != nil {
			a.failCheck(provenance.CheckHistory, CodeHistoryAssertedTwice, x.CID,
				"what came of effect %d of step %d is asserted twice", x.Of.Index, x.Of.Seq)
			return false
		}
		of[x.Of] = &asserted{}
	}
	last := int64(0)
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		last = s.At
		if by, ok := provenance.AnsweredBy(s.Event); ok && of[by] != nil {
			of[by].answer = s.Event
		}
		for i, e := range s.Does {
			if x := of[provenance.Ref{Seq: s.Seq, Index: uint64(i)}]; x != nil {
				x.step = c
				x.call, _ = e.(*provenance.Call)
			}
		}
		return nil
	})
	if err != nil {
		a.rep.Fault(err)
		return false
	}
	for _, x := range a.ev.Assertions {
		if !a.judgeAsserted(x, of[x.Of], last) {
			return false
		}
	}
	return true
}

// judgeAsserted says whether an assertion is about a call in doubt. Of a transaction whose receipt came the steps do
// not show that it says nothing: the replay does.
func (a *auditor) judgeAsserted(x provenance.Asserted, is *asserted, last int64) bool {
	why := ""
	result, answered := is.answer.(*provenance.Result)
	receipt := answered && result.Status == provenance.StatusOK && is.call != nil && is.call.Class == "chain"
	switch {
	case x.Run != a.ev.RunCID:
		why = "the assertion is about another run"
	case is.call == nil || !provenance.MayAct(is.call) || is.step != x.Step:
		why = "there is no such call that may act in the step that is asserted"
	case !a.ev.Closed:
		why = "the run has not ended, and may still say what came of it"
	case !provenance.LeavesDoubt(is.call, is.answer) && !receipt,
		a.replayed.Closed && !slices.Contains(a.replayed.Doubts(), x.Of):
		why = "the history says what came of it"
	case x.At+999 < last:
		a.failCheck(provenance.CheckHistory, provenance.CodeHistoryClock, x.CID,
			"an assertion is older than the run's end")
		return false
	default:
		return true
	}
	a.failCheck(provenance.CheckHistory, CodeHistoryAsserted, x.CID, "effect %d of step %d: %s", x.Of.Index, x.Of.Seq,
		why)
	return false
}

func (a *auditor) checkAssertion(x provenance.Asserted, operator common.Address) bool {
	by := common.Address(x.By)
	if operator != (common.Address{}) && by != operator {
		a.failCheck(provenance.CheckHead, CodeHeadAsserter, x.CID,
			"the wallet %s asserts what came of a call, and the operator's is %s", by.Hex(), operator.Hex())
		return false
	}
	signed := AssertedBy(x.Assertion)
	why, err := a.checkOperatorSignature(signed, x.Method, x.Sig, x.Chain, x.Asked)
	if err != nil {
		a.failCheck(provenance.CheckHead, CodeHeadAssertion, x.CID, "the wallet %s did not sign this assertion (%v)",
			by.Hex(), err)
		return false
	}
	if why != "" {
		a.rep.Unprove("that the operator's wallet asserts what came of a call: " + why)
	}
	says := fmt.Sprintf("that effect %d of step %d was %s: the wallet %s asserts it", x.Of.Index, x.Of.Seq,
		map[string]string{provenance.AssertedDone: "done", provenance.AssertedFailed: "not done"}[x.As], by.Hex())
	if operator == (common.Address{}) {
		says += ", and nothing here says that it is the operator's"
	}
	a.rep.Unprove(says)
	return true
}

// AssertedBy returns what the operator's wallet has signed for an assertion.
func AssertedBy(x *provenance.Assertion) auth.Assertion {
	return auth.Assertion{
		Chain: x.Chain, Operator: common.Address(x.By), Run: x.Run.String(), Step: x.Step.String(), Call: x.Of.Index,
		Outcome: x.As, Tx: x.Tx, Reason: x.Why, At: time.UnixMilli(x.At).UTC(),
	}
}

// What an operator's wallet signs: a key binding, or an assertion.
type operatorsWord interface {
	Verify(sig []byte) error
	Question(sig []byte) (auth.Question, error)
}

// checkOperatorSignature says whether the operator's wallet signed something: err if it did not, why if that was not
// checked. A contract wallet's chain is asked again at the block that is said to have been asked.
func (a *auditor) checkOperatorSignature(signed operatorsWord, method string, sig []byte, chain uint64,
	asked *provenance.AskedAt) (why string, err error) {
	if method == auth.MethodEOA {
		return "", signed.Verify(sig)
	}
	q, err := signed.Question(sig)
	if err == nil {
		_, err = q.Call()
	}
	switch {
	case err != nil:
		return "", err
	case method != q.Method():
		return "", fmt.Errorf("the signature is not one of the method %.20q", method)
	case asked == nil:
		return "", errors.New("it does not say at which block its chain was asked")
	case a.wallet.ask == nil:
		return fmt.Sprintf("it is a contract (%s), and chain %d accepted its signature at block %d, as the operator says; "+
			"give an endpoint of that chain to ask it again", method, chain, asked.Number), nil
	}
	got, err := a.wallet.ask(q, asked.Block)
	if err != nil {
		return fmt.Sprintf("it is a contract, and its chain could not be asked again at block %d: %v", asked.Number,
			err), nil
	}
	if got.Verdict != auth.Accepted {
		return "", fmt.Errorf("asked again at block %d of chain %d, %s", asked.Number, chain, got.Verdict)
	}
	return "", nil
}
