package door

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/auth"
)

// A Key is what a program shows as its API key: a session, and the session key that signs for it. A wallet has signed
// that session like any other, with limits of its own, so the key is worth no more than they are, is listed and
// revoked with the sessions, and needs no place in the server: nothing of it is kept there.
type Key struct {
	Session cid.Cid
	Secret  auth.PrivateKey // Ed25519
}

// ErrKey says that a text is no key, or that one was cut or mistyped.
var ErrKey = errors.New("this is not a key of this kind: it starts with writ_ and was shown once by writ key new")

const (
	keyPrefix   = "writ_"
	keySession  = 36 // bytes of a session's CID
	keySeed     = 32
	keyChecksum = 4 // so that a key that was cut is told from one that is over
	keyKind     = "ed25519:"
)

// Text returns the key as it is shown once: writ_ and base64url of the session, the seed and a checksum.
func (k Key) Text() (string, error) {
	seed, err := hex.DecodeString(strings.TrimPrefix(k.Secret.Secret(), keyKind))
	if err != nil || len(seed) != keySeed || k.Session.ByteLen() != keySession {
		return "", fmt.Errorf("write an API key: %w", ErrKey)
	}
	b := append(k.Session.Bytes(), seed...)
	sum := sha256.Sum256(b)
	return keyPrefix + base64.RawURLEncoding.EncodeToString(append(b, sum[:keyChecksum]...)), nil
}

// ParseKey reads what [Key.Text] wrote. The error is [ErrKey] and says nothing of the text.
func ParseKey(text string) (Key, error) {
	rest, ok := strings.CutPrefix(text, keyPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(b) != keySession+keySeed+keyChecksum {
		return Key{}, ErrKey
	}
	if strings.ContainsAny(rest, "\r\n") { // which the decoder skips
		return Key{}, ErrKey
	}
	body := b[:keySession+keySeed]
	if sum := sha256.Sum256(body); string(sum[:keyChecksum]) != string(b[len(body):]) {
		return Key{}, ErrKey
	}
	n, session, err := cid.CidFromBytes(body)
	if err != nil || n != keySession {
		return Key{}, ErrKey
	}
	secret, err := auth.ParsePrivateKey(keyKind + hex.EncodeToString(body[keySession:]))
	if err != nil {
		return Key{}, ErrKey
	}
	return Key{session, secret}, nil
}
