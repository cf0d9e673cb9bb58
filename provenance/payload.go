package provenance

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/bits"

	"github.com/ipfs/go-cid"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

// A LeafKey opens one sealed leaf. It is 32 random bytes, used for one leaf only. Giving it away discloses the
// leaf; deleting every copy erases the leaf, and no CID changes.
type LeafKey [32]byte

// Format keeps a key out of every log, whatever the verb.
func (LeafKey) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[redacted]")) }

// LogValue keeps a key out of every structured log.
func (LeafKey) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// A Leaf is a sealed leaf's key under the CID of its ciphertext.
type Leaf struct {
	CID  Link
	Key  LeafKey
	Ends bool // the key is deleted when the run closes that the leaf belongs to
	// the ciphertext, if it is kept beside the key instead of among the blocks, and ends with it; needs Ends
	Withheld []byte
}

// MaxPayload is the longest plaintext of one leaf, in bytes: what fits a block with padding and the AEAD's tag.
const MaxPayload = 224 << 10

// A Payload is a text, a set of arguments or a result: bytes that a record refers to and does not hold. It has a
// plaintext that may be known or not, and, once sealed or published, a leaf. One Payload may stand in several places
// of a step; it is then one leaf. The nil Payload is absent.
type Payload struct {
	plain []byte
	known bool

	leaf   Link     // of the ciphertext, or of the plaintext if public
	commit [32]byte // HMAC of the plaintext under a key derived from the leaf's; zero if public
	public bool
}

// NewPayload returns a payload of the plaintext b, which is kept. It has no leaf yet.
func NewPayload(b []byte) *Payload { return &Payload{plain: b, known: true} }

// Bytes returns the plaintext, or false if it is not known. The bytes must not be changed.
func (p *Payload) Bytes() ([]byte, bool) {
	if p == nil {
		return nil, false
	}
	return p.plain, p.known
}

// Leaf returns the CID of the leaf, or an undefined one before [Payload.Seal] or [Payload.Publish].
func (p *Payload) Leaf() Link {
	if p == nil {
		return Link{}
	}
	return p.leaf
}

// Public says whether the leaf is plaintext.
func (p *Payload) Public() bool { return p != nil && p.public }

// Publish makes the leaf the plaintext itself. The plaintext must be known, and fit a block.
func (p *Payload) Publish() (Block, error) {
	if !p.known || len(p.plain) > MaxBlock {
		return Block{}, fmt.Errorf("publish a payload of %d bytes: not known, or more than %d", len(p.plain), MaxBlock)
	}
	b := NewRaw(p.plain)
	p.leaf, p.commit, p.public = b.CID, [32]byte{}, true
	return b, nil
}

// Seal encrypts the plaintext under k and returns the leaf's block. The same plaintext and key give the same leaf,
// so that a replay that knows the key arrives at the same CID. k must be fresh chance otherwise.
//
// The leaf is XChaCha20-Poly1305 over the padded plaintext with a zero nonce (the key is used once); both keys come
// from k by one SHA-256 each, behind a label. Poly1305 does not bind the key, so a commitment to the plaintext stands
// beside the leaf: nobody can open one leaf to two texts.
func (p *Payload) Seal(k LeafKey) (Block, error) {
	if !p.known || len(p.plain) > MaxPayload {
		return Block{}, fmt.Errorf("seal a payload of %d bytes: not known, or more than %d", len(p.plain), MaxPayload)
	}
	aead, mac, err := deriveKeys(k)
	if err != nil {
		return Block{}, err
	}
	padded := make([]byte, paddedLen(len(p.plain)+1), paddedLen(len(p.plain)+1)+aead.Overhead())
	copy(padded, p.plain)
	padded[len(p.plain)] = 0x80
	b := NewRaw(aead.Seal(padded[:0], zeroNonce[:], padded, nil))
	p.leaf, p.commit, p.public = b.CID, commitTo(mac, p.plain), false
	return b, nil
}

// Codes of leaves.
const (
	CodeLeafOpen   Code = "leaf.open"   // the key does not open the leaf
	CodeLeafCommit Code = "leaf.commit" // the leaf opens to another text than the one committed to
	CodeLeafHash   Code = "leaf.hash"   // the bytes are not those of the leaf's CID
)

// Open reads the plaintext from the leaf's bytes, whose hash is checked. k is ignored for a public leaf, of which
// data is kept. The error is a [*Fault] at the leaf, and the payload is then as before.
func (p *Payload) Open(data []byte, k LeafKey) error {
	if NewRaw(data).CID != p.leaf {
		return &Fault{CodeLeafHash, p.leaf, "the bytes do not hash to the leaf's CID"}
	}
	if p.public {
		p.plain, p.known = data, true
		return nil
	}
	aead, mac, err := deriveKeys(k)
	if err != nil {
		return err
	}
	padded, err := aead.Open(nil, zeroNonce[:], data, nil)
	if err != nil {
		return &Fault{CodeLeafOpen, p.leaf, "the key does not open this leaf"}
	}
	end := bytes.LastIndexByte(padded, 0x80)
	if end < 0 || len(bytes.Trim(padded[end+1:], "\x00")) != 0 || paddedLen(end+1) != len(padded) {
		return &Fault{CodeLeafOpen, p.leaf, "the padding is malformed"}
	}
	plain := padded[:end]
	if c := commitTo(mac, plain); !hmac.Equal(c[:], p.commit[:]) {
		return &Fault{CodeLeafCommit, p.leaf, "the leaf opens to another text than the record commits to"}
	}
	p.plain, p.known = plain, true
	return nil
}

// Labels of a leaf's two keys. They have one length, so no label and key is another label and key.
const (
	labelSeal   = "writ/leaf/1 seal  \n"
	labelCommit = "writ/leaf/1 commit\n"
)

// zeroNonce is the nonce of every leaf: each has a key of its own.
var zeroNonce [chacha20poly1305.NonceSizeX]byte

// deriveKeys derives the two keys of a leaf: one to seal with, one to commit with. The leaf's key is uniform and used
// once, so a hash behind a label does what HKDF would.
func deriveKeys(k LeafKey) (aead cipher.AEAD, mac []byte, err error) {
	var in [len(labelSeal) + len(k)]byte
	copy(in[copy(in[:], labelSeal):], k[:])
	enc := sha256.Sum256(in[:])
	copy(in[:], labelCommit)
	sum := sha256.Sum256(in[:])
	if aead, err = chacha20poly1305.NewX(enc[:]); err != nil {
		return nil, nil, fmt.Errorf("derive the keys of a leaf: %w", err)
	}
	return aead, sum[:], nil
}

func commitTo(mac, plain []byte) (c [32]byte) {
	h := hmac.New(sha256.New, mac)
	h.Write(plain)
	h.Sum(c[:0])
	return c
}

// paddedLen returns the padded length of n bytes: at least 64, then the lengths of PADMÉ (Nikitin et al., "Reducing
// Metadata Leakage from Encrypted Files", section 4), which add at most 12 % and leave few sizes to tell apart.
func paddedLen(n int) int {
	if n <= 64 {
		return 64
	}
	e := bits.Len(uint(n)) - 1
	s := bits.Len(uint(e))
	mask := 1<<(e-s) - 1
	return (n + mask) &^ mask
}

// codePayload handles a payload as a value of a map: {"ct", "pc"} sealed, {"raw"} public. It returns the payload that
// was read, or p itself.
func (p *Payload) codePayload(c *coder, f *frame, name string, required bool) *Payload {
	if required && p == nil && c.Mode == dagcbor.Writing {
		c.failWith(CodeSchemaMissing, "%q is missing", name)
		return nil
	}
	if !c.codeKey(f, name, p != nil, required) {
		return p
	}
	switch c.Mode {
	case dagcbor.Walking:
		if c.payload != nil {
			c.payload(p)
		}
		if c.Link != nil && p.leaf.Defined() {
			c.Link(p.leaf)
		}
		return p
	case dagcbor.Reading:
		p = &Payload{}
	case dagcbor.Writing:
		if !p.leaf.Defined() {
			c.failWith(CodeSchemaMissing, "%q has no leaf yet", name)
			return p
		}
	}
	g := c.openMap()
	if c.codeKey(&g, "ct", !p.public, false) {
		c.CodeLink(&p.leaf)
		c.bytes32Field(&g, "pc", &p.commit)
	} else if c.codeKey(&g, "raw", p.public, true) {
		c.CodeLink(&p.leaf)
		p.public = true
	}
	c.closeMap(&g)
	if c.Err == nil && c.Mode == dagcbor.Reading && codecOf(p.leaf) != cid.Raw {
		c.failWith(CodeSchemaType, "%q is not a raw leaf", name)
	}
	if c.Err == nil && c.Mode == dagcbor.Reading && c.payload != nil {
		c.payload(p)
	}
	return p
}
