package auth

import (
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// Codes of key bindings.
const (
	CodeBindingForm Code = "binding.form" // a part is missing or out of its bounds
)

// A KeyBinding is what an operator's wallet signs to say that an Ed25519 key signs heads for it (EIP-712, type
// KeyBinding). Its domain is that of approvals with a salt of zero: it belongs to no web origin.
type KeyBinding struct {
	Chain    uint64 // EIP-155 id that the wallet signs for
	Operator common.Address
	Key      [32]byte  // Ed25519 public key
	From     time.Time // the first moment at which the key signs; a whole second, UTC
	Until    time.Time // from here on it does not; a whole second, UTC
	Build    string    // of the program that may sign with it
	Log      string    // verifier key of the log that heads go to
}

// maxBinding bounds a binding's texts, in bytes.
const maxBinding = 1000

// Digest returns what the wallet signs. It fails if the binding is not complete.
func (b KeyBinding) Digest() ([32]byte, error) {
	if err := b.validate(); err != nil {
		return [32]byte{}, err
	}
	t := b.typedData()
	return t.signedDigest(), nil
}

// TypedData returns the argument of eth_signTypedData_v4, as JSON.
func (b KeyBinding) TypedData() ([]byte, error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	t := b.typedData()
	return t.encodeJSON()
}

// Verify checks that the operator's wallet, an account with a key of its own, signed the binding. The error is a
// [*Fault].
func (b KeyBinding) Verify(sig []byte) error {
	digest, err := b.Digest()
	if err != nil {
		return err
	}
	_, err = signedBy(b.Operator, digest, sig)
	return err
}

// Question returns what the chain of an operator's contract wallet is asked about its signature over the binding.
func (b KeyBinding) Question(sig []byte) (Question, error) {
	digest, err := b.Digest()
	return Question{Chain: b.Chain, Account: b.Operator, Hash: digest, Sig: sig, Spends: true}, err
}

func (b *KeyBinding) validate() error {
	switch {
	case b.Chain == 0 || b.Chain > maxChain:
		return newFault(CodeBindingForm, "chain", "out of range")
	case b.Operator == (common.Address{}) || b.Key == [32]byte{}:
		return newFault(CodeBindingForm, "binding", "operator or key is missing")
	case !isWholeSecond(b.From) || !isWholeSecond(b.Until) || !b.From.Before(b.Until):
		return newFault(CodeBindingForm, "until", "not two whole seconds after 1970, in order")
	case b.Build == "" || !isPrintable(b.Build, maxBinding) || b.Log == "" || !isPrintable(b.Log, maxBinding):
		return newFault(CodeBindingForm, "build", "build and log are 1 to %d printable ASCII characters", maxBinding)
	}
	return nil
}

func (b *KeyBinding) typedData() typed {
	return typed{name: "KeyBinding", chain: b.Chain, fields: []member{
		addressOf("operator", b.Operator),
		bytes32Of("key", b.Key),
		uint64Of("notBefore", uint64(b.From.Unix())),
		uint64Of("notAfter", uint64(b.Until.Unix())),
		stringOf("build", b.Build),
		stringOf("log", b.Log),
	}}
}
