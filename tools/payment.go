package tools

import (
	"errors"
	"strings"
)

// keyPayment is the keyword of a schema that says by which protocol a call pays.
const keyPayment = "x-payment"

// PaymentX402 says that a call pays its recipient for what its url answers, by a signed authorisation of EIP-3009 that
// the other side settles: the protocol x402, scheme exact. What the call returns has the payment, which auditors check
// against the call: see tools/x402.
const PaymentX402 = "x402"

// PaymentMandate says that a call pays from the account that has given the agent's account a delegation of ERC-7710,
// and not from the agent's: its transaction redeems the delegation for one transfer. See tools/mandate.
const PaymentMandate = "erc7710"

// Payment returns by which protocol a call of the tool pays for what it asks for; "" if it does not.
func (d *Def) Payment() string { return d.payment }

// readPayment reads the keyword, which may be absent.
func (d *Def) readPayment(v *value) (string, error) {
	switch {
	case v == nil:
		return "", nil
	case v.kind != text || v.text != PaymentX402 && v.text != PaymentMandate:
		return "", errors.New(`schema: x-payment is "x402" or "erc7710"`)
	case v.text == PaymentMandate &&
		(d.spec.Class != ChainTx || d.of != nil || !strings.HasPrefix(d.spec.Name, "mandate.")):
		return "", errors.New("schema: x-payment erc7710 is for a tool of class chain that is no function of a contract, " +
			"and whose name begins with mandate.")
	case v.text == PaymentX402 && (d.spec.Class != Keyed || d.spec.Spend == nil || d.url < 0):
		return "", errors.New("schema: x-payment x402 is for a tool of class keyed with a url and a Spend")
	}
	return v.text, nil
}
