package a2a

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"net/url"

	"github.com/writ-run/writ/tools"
)

// A wireSignature is a JWS over a card (RFC 7515, in the form of its section 7.2.2 without the payload).
type wireSignature struct {
	Protected string `json:"protected"`
	Signature string `json:"signature"`
}

type joseHeader struct {
	Algorithm string          `json:"alg"`
	Key       string          `json:"kid"`
	Keys      string          `json:"jku"`
	Critical  json.RawMessage `json:"crit"`
	Plain     *bool           `json:"b64"`
}

// A Key is a public key that signs cards, as hex: of Ed25519 the 32 bytes, as auditors pin operators' keys, and of
// P-256 the 65 bytes of the point, uncompressed.
type Key struct {
	ed    ed25519.PublicKey
	curve *ecdsa.PublicKey
}

// ParseKey reads a key.
func ParseKey(s string) (*Key, error) {
	raw, err := hex.DecodeString(s)
	switch {
	case err == nil && len(raw) == ed25519.PublicKeySize:
		return &Key{ed: raw}, nil
	case err == nil && len(raw) == 65:
		if p, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw); err == nil {
			return &Key{curve: p}, nil
		}
	}
	return nil, errors.New("the key is neither one of Ed25519, 64 hex digits, nor a point of P-256, 130 hex digits")
}

func (k *Key) algorithm() string {
	if k.ed != nil {
		return "EdDSA"
	}
	return "ES256"
}

// verifies says whether a signature is the key's.
func (k *Key) verifies(input, sig []byte) bool {
	if k.ed != nil {
		return ed25519.Verify(k.ed, input, sig)
	}
	sum := sha256.Sum256(input)
	return len(sig) == 64 &&
		ecdsa.Verify(k.curve, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
}

// Errors of a card's signature.
var (
	errUnsigned    = errors.New("its card is not signed, and the operator has named the key that signs it")
	errWrongSigner = errors.New("the signature of its card is not that of the key that the operator has named")
)

// verify checks that one of the card's signatures is the key's (section 8.4). What is signed is the card's canonical
// form; the protocol's SDKs leave members out of it that are empty.
func (c Card) verify(k *Key) error {
	if len(c.signatures) == 0 {
		return errUnsigned
	}
	forms := [][]byte{c.JSON}
	if short, err := withoutEmpty(c.JSON); err == nil {
		forms = append(forms, short)
	}
	for _, s := range c.signatures[:min(len(c.signatures), maxSignatures)] {
		h, err := s.header()
		sig, wrong := base64.RawURLEncoding.DecodeString(s.Signature)
		if err != nil || wrong != nil || h.Algorithm != k.algorithm() {
			continue
		}
		for _, payload := range forms {
			if k.verifies([]byte(s.Protected+"."+base64.RawURLEncoding.EncodeToString(payload)), sig) {
				return nil
			}
		}
	}
	return errWrongSigner
}

// header reads the protected header. What must be understood to read it right is not understood here.
func (s wireSignature) header() (h joseHeader, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(s.Protected)
	if err == nil {
		raw, err = tools.CanonicalJSON(raw)
	}
	if err == nil {
		err = json.Unmarshal(raw, &h)
	}
	if err == nil && (len(h.Critical) > 0 || h.Plain != nil) {
		err = errors.New("the header of a signature asks for what is not known")
	}
	return h, err
}

// withoutEmpty returns canonical JSON without the members that are empty.
func withoutEmpty(data []byte) ([]byte, error) {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	short, err := json.Marshal(dropEmpty(v))
	if err != nil {
		return nil, err
	}
	return tools.CanonicalJSON(short)
}

func dropEmpty(v any) any {
	switch x := v.(type) {
	case string:
		if x == "" {
			return nil
		}
	case []any:
		var out []any
		for _, e := range x {
			if e = dropEmpty(e); e != nil {
				out = append(out, e)
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name, e := range x {
			if e = dropEmpty(e); e != nil {
				out[name] = e
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	}
	return v
}

// Signer returns the key that has signed a card, as hex, by the set of keys that the card's signature names, if that is
// at the card's own host; "" if there is none. It is what the server says of itself: whoever accepts it compares the
// key with one that is known from elsewhere.
func (c *Client) Signer(ctx context.Context, card Card) string {
	for _, s := range card.signatures[:min(len(card.signatures), maxSignatures)] {
		h, err := s.header()
		if err != nil {
			continue
		}
		at, err := url.Parse(h.Keys)
		if err != nil || at.Host != c.card.Host || at.Scheme != c.card.Scheme || at.User != nil {
			continue
		}
		data, err := c.get(ctx, at)
		if err != nil {
			continue
		}
		var set struct {
			Keys []struct {
				ID    string `json:"kid"`
				Type  string `json:"kty"`
				Curve string `json:"crv"`
				X     string `json:"x"`
				Y     string `json:"y"`
			} `json:"keys"`
		}
		if json.Unmarshal(data, &set) != nil {
			continue
		}
		for _, k := range set.Keys {
			x, _ := base64.RawURLEncoding.DecodeString(k.X) // of one that is none no key is made
			y, _ := base64.RawURLEncoding.DecodeString(k.Y)
			text := hex.EncodeToString(x)
			if k.Type == "EC" {
				text = "04" + text + hex.EncodeToString(y)
			}
			key, err := ParseKey(text)
			if err == nil && (h.Key == "" || h.Key == k.ID) && card.verify(key) == nil {
				return text
			}
		}
	}
	return ""
}
