package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"slices"
	"strings"

	ethcrypto "github.com/ethereum/go-ethereum/crypto"
)

// A Kind is the kind of a session key.
type Kind string

// The kinds.
const (
	Ed25519   Kind = "ed25519"   // programs and servers
	P256      Kind = "p256"      // browsers: WebCrypto keeps it where no script can read it
	Secp256k1 Kind = "secp256k1" // keys that must also sign on a chain
)

// A PublicKey is the public half of a session key. The zero PublicKey verifies nothing. Compared with ==.
type PublicKey struct {
	kind Kind
	raw  [65]byte // Ed25519: the first 32 bytes; the others: 4, x and y
}

// Multicodec prefixes of did:key.
var (
	prefixEd25519   = []byte{0xed, 0x01}
	prefixSecp256k1 = []byte{0xe7, 0x01}
	prefixP256      = []byte{0x80, 0x24}
)

const didPrefix = "did:key:z"

// ParsePublicKey reads a did:key: base58btc over the multicodec prefix and the key, points compressed. One key has
// one spelling. Ed25519 keys of small order, under which one signature fits many texts, are refused.
func ParsePublicKey(did string) (PublicKey, error) {
	bad := func(why string) (PublicKey, error) {
		return PublicKey{}, newFault(CodeKeyForm, "key", "%s", why)
	}
	text, ok := strings.CutPrefix(did, didPrefix)
	if !ok || len(text) > 64 {
		return bad("not a did:key in base58btc")
	}
	data, ok := fromBase58(text)
	if !ok || len(data) < 2 {
		return bad("not a did:key in base58btc")
	}
	var k PublicKey
	body := data[2:]
	switch prefix := string(data[:2]); {
	case prefix == string(prefixEd25519) && len(body) == ed25519.PublicKeySize:
		if isWeakPoint(body) {
			return bad("it is not a proper Ed25519 key")
		}
		k.kind = Ed25519
		copy(k.raw[:], body)
	case prefix == string(prefixP256) && len(body) == 33:
		x, y := elliptic.UnmarshalCompressed(elliptic.P256(), body)
		if x == nil {
			return bad("it is not a point of P-256")
		}
		k.setPoint(P256, x, y)
	case prefix == string(prefixSecp256k1) && len(body) == 33:
		pub, err := ethcrypto.DecompressPubkey(body)
		if err != nil {
			return bad("it is not a point of secp256k1")
		}
		k.kind = Secp256k1
		copy(k.raw[:], ethcrypto.FromECDSAPub(pub))
	case prefix == string(prefixEd25519) || prefix == string(prefixP256) || prefix == string(prefixSecp256k1):
		return bad("it has not the length of its kind of key")
	default:
		return PublicKey{}, newFault(CodeKeyCodec, "key", "only Ed25519, P-256 and secp256k1 keys are known")
	}
	if k.String() != did {
		return bad("it is not spelt canonically")
	}
	return k, nil
}

func (k *PublicKey) setPoint(kind Kind, x, y *big.Int) {
	k.kind, k.raw[0] = kind, 4
	x.FillBytes(k.raw[1:33])
	y.FillBytes(k.raw[33:])
}

// Kind returns the kind of the key; it is empty for the zero key.
func (k PublicKey) Kind() Kind { return k.kind }

// String returns the did:key; it is empty for the zero key.
func (k PublicKey) String() string {
	var data []byte
	switch k.kind {
	case Ed25519:
		data = append(append(data, prefixEd25519...), k.raw[:32]...)
	case P256:
		data = append(append(data, prefixP256...), 2|k.raw[64]&1)
		data = append(data, k.raw[1:33]...)
	case Secp256k1:
		data = append(append(data, prefixSecp256k1...), 2|k.raw[64]&1)
		data = append(data, k.raw[1:33]...)
	default:
		return ""
	}
	return didPrefix + toBase58(data)
}

// Fingerprint returns a short name of the key for people to compare: k- and 16 letters and digits in groups of four, of
// an alphabet without I, L, O and U; the first 80 bits of the SHA-256 of the did:key.
func (k PublicKey) Fingerprint() string {
	sum := sha256.Sum256([]byte(k.String()))
	s := base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").EncodeToString(sum[:10])
	return "k-" + s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}

// MarshalText returns the did:key, so that a key can stand in JSON.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is [ParsePublicKey].
func (k *PublicKey) UnmarshalText(text []byte) (err error) {
	*k, err = ParsePublicKey(string(text))
	return err
}

// verifySignature checks a signature of 64 bytes: Ed25519 over the message (RFC 8032), ECDSA as r and s over its
// SHA-256, as WebCrypto makes it.
func (k PublicKey) verifySignature(message, sig []byte) error {
	if len(sig) != 64 {
		return newFault(CodeSigSize, "signature", "it has %d bytes, not 64", len(sig))
	}
	var ok bool
	switch k.kind {
	case Ed25519:
		ok = ed25519.Verify(k.raw[:32], message, sig)
	case P256:
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.raw[:])
		digest := sha256.Sum256(message)
		ok = err == nil && ecdsa.Verify(pub, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	case Secp256k1:
		digest := sha256.Sum256(message)
		ok = ethcrypto.VerifySignature(k.raw[:], digest[:], sig)
	}
	if !ok {
		return newFault(CodeSigSigner, "signature", "it was not made by the session key over these bytes")
	}
	return nil
}

// A PrivateKey is a session key. It does not print: every way of formatting or logging one gives "[redacted]".
type PrivateKey struct {
	public PublicKey
	// Ed25519: the seed; the others: the scalar. Nil in the zero key. It is behind a function since fmt prints the
	// unexported fields of a struct without asking them, and follows pointers.
	seed func() []byte
}

// Generate makes a key from 32 bytes of chance.
func Generate(kind Kind, rand io.Reader) (PrivateKey, error) {
	for range 100 { // a scalar out of range has a chance of 2^-32 at most
		var seed [32]byte
		if _, err := io.ReadFull(rand, seed[:]); err != nil {
			return PrivateKey{}, fmt.Errorf("make a session key: %w", err)
		}
		if k, err := fromSeed(kind, seed); err == nil || kind != P256 && kind != Secp256k1 {
			return k, err
		}
	}
	return PrivateKey{}, newFault(CodeKeyForm, "key", "the source of chance gives no usable bytes")
}

// ParsePrivateKey reads what [PrivateKey.Secret] wrote.
func ParsePrivateKey(secret string) (PrivateKey, error) {
	kind, digits, _ := strings.Cut(secret, ":")
	var seed [32]byte
	if n, err := hex.Decode(seed[:], []byte(digits[:min(len(digits), 64)])); err != nil || n != 32 || len(digits) != 64 {
		return PrivateKey{}, newFault(CodeKeyForm, "key", "not a kind, a colon and 64 hex digits")
	}
	return fromSeed(Kind(kind), seed)
}

func fromSeed(kind Kind, seed [32]byte) (PrivateKey, error) {
	k := PrivateKey{seed: func() []byte { return seed[:] }}
	switch kind {
	case Ed25519:
		k.public.kind = Ed25519
		copy(k.public.raw[:], ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
		return k, nil
	case P256:
		if priv, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:]); err == nil {
			k.public.setPoint(P256, priv.X, priv.Y)
			return k, nil
		}
	case Secp256k1:
		if priv, err := ethcrypto.ToECDSA(seed[:]); err == nil {
			k.public.setPoint(Secp256k1, priv.X, priv.Y)
			return k, nil
		}
	}
	return PrivateKey{}, newFault(CodeKeyForm, "key", "not a session key of a kind that is known here")
}

// Public returns the public half.
func (k PrivateKey) Public() PublicKey { return k.public }

// Secret returns the key itself as text: its kind, a colon and the seed in hex. It belongs into a file that only its
// owner can read, and nowhere else. It is empty for the zero key.
func (k PrivateKey) Secret() string {
	return string(k.public.kind) + ":" + hex.EncodeToString(k.seed())
}

// Sign signs a message in the form that its public key verifies. It uses no chance: one message, one signature.
func (k PrivateKey) Sign(message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	switch k.public.kind {
	case Ed25519:
		// The private key of package ed25519 is the seed and the public key, which is known here.
		return ed25519.Sign(slices.Concat(k.seed(), k.public.raw[:ed25519.PublicKeySize]), message), nil
	case P256:
		priv, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), k.seed())
		if err != nil {
			break
		}
		der, err := priv.Sign(nil, digest[:], crypto.SHA256) // without chance: RFC 6979
		if err != nil {
			return nil, fmt.Errorf("sign with the session key: %w", err)
		}
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &rs); err != nil {
			return nil, fmt.Errorf("sign with the session key: %w", err)
		}
		sig := make([]byte, 64)
		rs.R.FillBytes(sig[:32])
		rs.S.FillBytes(sig[32:])
		return sig, nil
	case Secp256k1:
		priv, err := ethcrypto.ToECDSA(k.seed())
		if err != nil {
			break
		}
		sig, err := ethcrypto.Sign(digest[:], priv)
		if err != nil {
			return nil, fmt.Errorf("sign with the session key: %w", err)
		}
		return sig[:64], nil
	}
	return nil, newFault(CodeKeyForm, "key", "there is no session key to sign with")
}

const redacted = "[redacted]"

// Format writes "[redacted]", whatever the verb.
func (k PrivateKey) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// String returns "[redacted]".
func (k PrivateKey) String() string { return redacted }

// LogValue is "[redacted]".
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]", so that no JSON holds the key by accident.
func (k PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// isWeakPoint says whether an Ed25519 key is one of the points of small order, or not in its shortest form.
func isWeakPoint(key []byte) bool {
	k := [32]byte(key)
	k[31] &= 0x7f // the sign of x
	// y is 2^255 - 19 or more
	large := k[0] >= 0xed && k[31] == 0x7f
	for _, b := range k[1:31] {
		large = large && b == 0xff
	}
	return large || smallOrder[k]
}

// smallOrder holds the y of all points whose order divides 8, of which there are five.
var smallOrder = func() map[[32]byte]bool {
	m := make(map[[32]byte]bool)
	for _, s := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000", // order 4
		"0100000000000000000000000000000000000000000000000000000000000000", // order 1
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			panic(err)
		}
		m[[32]byte(b)] = true
	}
	return m
}()

// math/big writes base 58 with its own digits; base58btc has others in the same order of value.
const (
	bigDigits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV"
	btcDigits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
)

// toBase58 writes data, whose first byte must not be zero.
func toBase58(data []byte) string {
	s := []byte(new(big.Int).SetBytes(data).Text(58))
	for i, c := range s {
		s[i] = btcDigits[strings.IndexByte(bigDigits, c)]
	}
	return string(s)
}

func fromBase58(s string) ([]byte, bool) {
	b := []byte(s)
	for i, c := range b {
		d := strings.IndexByte(btcDigits, c)
		if d < 0 {
			return nil, false
		}
		b[i] = bigDigits[d]
	}
	n, ok := new(big.Int).SetString(string(b), 58)
	if !ok {
		return nil, false
	}
	return n.Bytes(), true
}
