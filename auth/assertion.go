package auth

import (
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// Codes of assertions.
const (
	CodeAssertionForm Code = "assertion.form" // a part is missing or out of its bounds
)

// What an [Assertion] can say.
const (
	AssertedDone   = "done"
	AssertedFailed = "failed"
)

// An Assertion is what an operator's wallet signs to say what came of a call whose outcome nobody has recorded
// (EIP-712, type Assertion). Its domain is that of key bindings. It proves who says so, and nothing of what was done.
type Assertion struct {
	Chain    uint64 // EIP-155 id that the wallet signs for
	Operator common.Address
	Run      string    // CID of the run
	Step     string    // CID of the step that the call is an effect of
	Call     uint64    // its place among the step's effects
	Outcome  string    // AssertedDone or AssertedFailed
	Tx       [32]byte  // hash of a transaction, as evidence; zero for none
	Reason   string    // why the operator says so; may be empty
	At       time.Time // a whole second, UTC
}

// Digest returns what the wallet signs. It fails if the assertion is not complete.
func (a Assertion) Digest() ([32]byte, error) {
	if err := a.validate(); err != nil {
		return [32]byte{}, err
	}
	t := a.typedData()
	return t.signedDigest(), nil
}

// TypedData returns the argument of eth_signTypedData_v4, as JSON.
func (a Assertion) TypedData() ([]byte, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	t := a.typedData()
	return t.encodeJSON()
}

// Verify checks that the operator's wallet, an account with a key of its own, signed the assertion. The error is a
// [*Fault].
func (a Assertion) Verify(sig []byte) error {
	digest, err := a.Digest()
	if err != nil {
		return err
	}
	_, err = signedBy(a.Operator, digest, sig)
	return err
}

// Question returns what the chain of an operator's contract wallet is asked about its signature over the assertion.
func (a Assertion) Question(sig []byte) (Question, error) {
	digest, err := a.Digest()
	return Question{Chain: a.Chain, Account: a.Operator, Hash: digest, Sig: sig, Spends: true}, err
}

func (a *Assertion) validate() error {
	switch {
	case a.Chain == 0 || a.Chain > maxChain:
		return newFault(CodeAssertionForm, "chain", "out of range")
	case a.Operator == (common.Address{}):
		return newFault(CodeAssertionForm, "operator", "missing")
	case a.Run == "" || !isPrintable(a.Run, maxBinding) || a.Step == "" || !isPrintable(a.Step, maxBinding):
		return newFault(CodeAssertionForm, "run", "run and step are CIDs")
	case a.Outcome != AssertedDone && a.Outcome != AssertedFailed:
		return newFault(CodeAssertionForm, "outcome", "neither done nor failed")
	case !isPrintable(a.Reason, maxReason):
		return newFault(CodeAssertionForm, "reason", "not up to %d printable ASCII characters", maxReason)
	case !isWholeSecond(a.At):
		return newFault(CodeAssertionForm, "at", "not a whole second after 1970")
	}
	return nil
}

func (a *Assertion) typedData() typed {
	return typed{name: "Assertion", chain: a.Chain, fields: []member{
		addressOf("operator", a.Operator),
		stringOf("run", a.Run),
		stringOf("step", a.Step),
		uint64Of("call", a.Call),
		stringOf("outcome", a.Outcome),
		bytes32Of("transaction", a.Tx),
		stringOf("reason", a.Reason),
		uint64Of("assertedAt", uint64(a.At.Unix())),
	}}
}
