package provenance

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
)

// Codes of heads.
const (
	CodeHeadKey       Code = "head.key"       // signed by another key than the one that was expected
	CodeHeadUnsigned  Code = "head.unsigned"  // no signature
	CodeHeadSignature Code = "head.signature" // a signature that is not one of this head by this key
)

// headContext separates a head's signature from every other use of the key.
const headContext = "writ/head/1\n"

// Sign fills Key and Sig: an Ed25519 signature over headContext and the head's block without "sig".
func (h *Head) Sign(k ed25519.PrivateKey) error {
	if len(k) != ed25519.PrivateKeySize {
		return fmt.Errorf("sign a head: a key of %d bytes, want %d", len(k), ed25519.PrivateKeySize)
	}
	h.Key = bytes.Clone(k.Public().(ed25519.PublicKey))
	b, err := h.signedBytes()
	if err != nil {
		return fmt.Errorf("sign a head: %w", err)
	}
	h.Sig = ed25519.Sign(k, b)
	return nil
}

// Verify says whether the holder of pub signed this head. pub is the key that the verifier trusts; the head's own
// Key must be the same, and is never trusted by itself. The error is a [*Fault] without a CID.
func (h *Head) Verify(pub ed25519.PublicKey) error {
	if len(pub) != ed25519.PublicKeySize {
		return Faultf(CodeHeadKey, "the expected key has %d bytes, want %d", len(pub), ed25519.PublicKeySize)
	}
	if !bytes.Equal(pub, h.Key) {
		return Faultf(CodeHeadKey, "the head names another key than the operator's")
	}
	if len(h.Sig) == 0 {
		return Faultf(CodeHeadUnsigned, "the head has no signature")
	}
	b, err := h.signedBytes()
	if err != nil {
		return err
	}
	if !ed25519.Verify(pub, b, h.Sig) {
		return Faultf(CodeHeadSignature, "the signature is not one of this head by this key")
	}
	return nil
}

// signedBytes returns the bytes that are signed.
func (h *Head) signedBytes() ([]byte, error) {
	bare := *h
	bare.Sig = nil
	b, err := Encode(&bare)
	if err != nil {
		return nil, err
	}
	return append([]byte(headContext), b.Data...), nil
}
