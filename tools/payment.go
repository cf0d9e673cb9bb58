package tools

import "errors"

// keyPayment is the keyword of a schema that says by which protocol a call pays.
const keyPayment = "x-payment"

// PaymentX402 says that a call pays its recipient for what its url answers, by a signed authorisation of EIP-3009 that
// the other side settles: the protocol x402, scheme exact. What the call returns has the payment, which auditors check
// against the call: see tools/x402.
const PaymentX402 = "x402"

// Payment returns by which protocol a call of the tool pays for what it asks for; "" if it does not.
func (d *Def) Payment() string { return d.payment }

// readPayment reads the keyword, which may be absent.
func (d *Def) readPayment(v *value) (string, error) {
	switch {
	case v == nil:
		return "", nil
	case v.kind != text || v.text != PaymentX402:
		return "", errors.New(`schema: x-payment is "x402"`)
	case d.spec.Class != Keyed || d.spec.Spend == nil || d.url < 0:
		return "", errors.New("schema: x-payment is for a tool of class keyed with a url and a Spend")
	}
	return v.text, nil
}
