package auth

import (
	"crypto/ecdsa"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// A Wallet is an account's own key, for programs that hold one: the demo, tests, a command line in automation. It
// does not print: every way of formatting or logging one gives "[redacted]".
type Wallet struct{ key *ecdsa.PrivateKey }

// NewWallet makes a wallet from 32 bytes of chance.
func NewWallet(rand io.Reader) (*Wallet, error) {
	k, err := Generate(Secp256k1, rand)
	if err != nil {
		return nil, err
	}
	return walletOf(k.seed())
}

// ParseWallet reads a private key: 64 hex digits, with or without 0x before them.
func ParseWallet(key string) (*Wallet, error) {
	b, err := hex.DecodeString(strings.TrimPrefix(key, "0x"))
	if err != nil || len(b) != 32 {
		return nil, newFault(CodeKeyForm, "key", "not 64 hex digits")
	}
	return walletOf(b)
}

func walletOf(scalar []byte) (*Wallet, error) {
	key, err := crypto.ToECDSA(scalar)
	if err != nil {
		return nil, newFault(CodeKeyForm, "key", "not a private key of secp256k1")
	}
	return &Wallet{key}, nil
}

// Address returns the account.
func (w *Wallet) Address() common.Address { return crypto.PubkeyToAddress(w.key.PublicKey) }

// SignText signs a text as personal_sign does (EIP-191). The signature is in its canonical form.
func (w *Wallet) SignText(text []byte) ([]byte, error) { return w.signDigest(textDigest(text)) }

// SignTyped signs an [Approval] or a [Revocation] as eth_signTypedData_v4 does.
func (w *Wallet) SignTyped(t interface{ Digest() ([32]byte, error) }) ([]byte, error) {
	digest, err := t.Digest()
	if err != nil {
		return nil, err
	}
	return w.signDigest(digest)
}

func (w *Wallet) signDigest(digest [32]byte) ([]byte, error) {
	sig, err := crypto.Sign(digest[:], w.key)
	if err != nil {
		return nil, fmt.Errorf("sign with the wallet: %w", err)
	}
	sig[64] += 27
	return sig, nil
}

// Secret returns the private key as 0x and 64 hex digits.
func (w *Wallet) Secret() string { return "0x" + hex.EncodeToString(crypto.FromECDSA(w.key)) }

// Format writes "[redacted]", whatever the verb.
func (w *Wallet) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue is "[redacted]".
func (w *Wallet) LogValue() slog.Value { return slog.StringValue(redacted) }
