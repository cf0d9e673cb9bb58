package audit

import (
	"encoding/json"
	"strings"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/mined"
	"github.com/writ-run/writ/tools/x402"
)

// A purchase is a call that pays by x402. What it is, is in the call alone; its key and its time are its step's, so the
// authorisation that it signed can be computed of the record, whatever the result says.
type purchase struct {
	call *provenance.Call
	key  [32]byte
	at   int64
}

// noteBuying notes a call whose result must show a payment.
func (t *transfers) noteBuying(c provenance.Link, s *provenance.Step, ref provenance.Ref, call *provenance.Call) {
	if def := t.ev.Tools[call.Tool]; call.Class != string(tools.Keyed) || def == nil ||
		!strings.Contains(def.Schema, `"x-payment"`) {
		return
	}
	t.buying[ref] = purchase{call, provenance.EffectKey(c, ref.Index), s.At}
}

// checkPurchase checks that what a call has paid is what it says: offer, authorisation, signature and settlement.
func (t *transfers) checkPurchase(at mined.At, e *provenance.Result) *provenance.Fault {
	p, waits := t.buying[e.Of]
	if !waits {
		return nil
	}
	args, ok := p.call.Args.Bytes()
	out, open := e.Output.Bytes()
	if !ok || !open && e.Output != nil {
		t.closed++
		return nil
	}
	read, tool, err := readCall(t.ev, p.call, args)
	if err != nil {
		return faultf(CodeTxPayment, "%v", err)
	}
	if tool.Payment() != tools.PaymentX402 {
		return nil
	}
	if e.Output == nil {
		return faultf(CodeTxPayment, "the call is said to be done, and what it paid is not here")
	}
	if isTooLarge(out) {
		t.unclear++
		return nil
	}
	in := x402.Intent{Args: read, Key: p.key, At: p.at, Book: tool.Spec().Book}
	paid, err := in.Check(out)
	if err != nil {
		return faultf(CodeTxPayment, "%v", err)
	}
	t.n++
	t.survey.addMoved(paid.Amount)
	t.claims.Note(at, e.Of, mined.OfPaid(paid), true)
	return nil
}

// isTooLarge says whether a result is that of a call which returned more than can be recorded: it was done all the
// same.
func isTooLarge(out []byte) bool {
	var r struct {
		Code string `json:"code"`
	}
	return json.Unmarshal(out, &r) == nil && r.Code == "too_large"
}
