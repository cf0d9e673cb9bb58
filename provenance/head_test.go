package provenance

import (
	"bytes"
	"crypto/ed25519"
	"testing"
)

func TestAHeadIsVerifiedByTheTrustedKeyOnly(t *testing.T) {
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	for _, tt := range []struct {
		rule   string
		change func(*Head)
		key    ed25519.PublicKey
		want   Code
	}{
		{"the operator's head", func(*Head) {}, operatorKey(), ""},
		{"a head signed again by a stranger", func(h *Head) { _ = h.Sign(stranger) }, operatorKey(), CodeHeadKey},
		{"a stranger's signature under the operator's key", func(h *Head) {
			_ = h.Sign(stranger)
			h.Key = operatorKey()
		}, operatorKey(), CodeHeadSignature},
		{"no signature", func(h *Head) { h.Sig = nil }, operatorKey(), CodeHeadUnsigned},
		{"another place", func(h *Head) { h.Seq++ }, operatorKey(), CodeHeadSignature},
		{"another time", func(h *Head) { h.At++ }, operatorKey(), CodeHeadSignature},
		{"another step", func(h *Head) { h.Step = Sum(0x71, nil) }, operatorKey(), CodeHeadSignature},
		{"another run", func(h *Head) { h.Run = Sum(0x71, nil) }, operatorKey(), CodeHeadSignature},
		{"one bit of the signature", func(h *Head) { h.Sig[0] ^= 1 }, operatorKey(), CodeHeadSignature},
		{"no trusted key", func(*Head) {}, nil, CodeHeadKey},
		{"a trusted key of another length", func(*Head) {}, operatorKey()[:31], CodeHeadKey},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			h := newHistory()
			h.link(t)
			tt.change(h.head)
			if got := codeOf(h.head.Verify(tt.key)); got != tt.want {
				t.Errorf("Verify = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSignNeedsAKey(t *testing.T) {
	h := newHistory()
	h.link(t)
	if err := h.head.Sign(nil); err == nil {
		t.Error("signed without a key")
	}
	if err := new(Head).Sign(operator()); codeOf(err) != CodeSchemaMissing {
		t.Errorf("an empty head: %v, want %s", err, CodeSchemaMissing)
	}
}
