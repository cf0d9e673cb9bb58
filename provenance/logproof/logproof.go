// Package logproof judges what transparency logs say: checkpoints and their cosignatures by a [Policy], the [Proof]
// that an entry stands in a log, that one checkpoint follows another, and the [Anchor]s that a chain keeps of them.
//
// The formats are those of C2SP: signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy and tlog-proof. Nothing is
// read from a log here; provenance/translog/reader does that.
package logproof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-run/writ/provenance"
)

// Codes of transparency logs.
const (
	CodeLogForm    provenance.Code = "log.form"    // a proof or a checkpoint that is not in its form
	CodeLogOrigin  provenance.Code = "log.origin"  // a checkpoint of another log
	CodeLogKey     provenance.Code = "log.key"     // a checkpoint that the log's key did not sign
	CodeLogWitness provenance.Code = "log.witness" // too few cosignatures of the witnesses that count
	// a proof that does not lead from this head to the checkpoint
	CodeLogProof       provenance.Code = "log.proof"
	CodeLogStale       provenance.Code = "log.stale"       // an older checkpoint than one that is known
	CodeLogConsistency provenance.Code = "log.consistency" // two checkpoints that no one log can have
	// tiles or entries that are not those of the log's checkpoint
	CodeLogTile    provenance.Code = "log.tile"
	CodeLogMissing provenance.Code = "log.missing" // tiles or entries that the log signed for and does not have
	CodeLogCut     provenance.Code = "log.cut"     // a receipt for a later step than the history has
	CodeLogBranch  provenance.Code = "log.branch"  // two heads of one run for one place
	// a receipt from outside that does not hold, or is another run's
	CodeLogReceipt provenance.Code = "log.receipt"
	CodeLogBinding provenance.Code = "log.binding" // a key binding that was not logged before the head
)

// Bounds on what is read.
const (
	MaxProof      = 64 << 10 // bytes of a tlog-proof, and of a checkpoint
	maxProofLines = 63       // hashes of an inclusion or consistency proof
)

// A Key is a log's name and public key, as they are written in a verifier key: "origin+hash+key", with an Ed25519
// key (c2sp.org/signed-note, "Verifier keys").
type Key struct {
	verifier note.Verifier
	vkey     string
}

// ParseKey reads a verifier key of a log.
func ParseKey(vkey string) (Key, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return Key{}, fmt.Errorf("a log's key is name+hash+key as the server serves it at /log/: %w", err)
	}
	return Key{v, vkey}, nil
}

// VKey returns the key as it is written: "origin+hash+key".
func (k Key) VKey() string { return k.vkey }

// Origin returns the log's name, the first line of its checkpoints.
func (k Key) Origin() string {
	if k.verifier == nil {
		return ""
	}
	return k.verifier.Name()
}

// A Policy is what a verifier trusts of logs. Nothing of it comes from the evidence. The zero policy trusts none.
type Policy struct {
	Logs   []Key
	Quorum *Quorum // which witnesses must have cosigned; nil for none
}

// A Checkpoint is a log's signed statement of its size and root (c2sp.org/tlog-checkpoint).
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   [32]byte
	// Cosigned names the policy's witnesses that cosigned it, in the order of their lines.
	Cosigned []string
}

// OpenCheckpoint reads a checkpoint and checks it: it is of a log of the policy, that log's key signed it, and the
// quorum's witnesses cosigned it. The error is a [*provenance.Fault] without a CID.
func (p Policy) OpenCheckpoint(raw []byte) (Checkpoint, error) {
	c, err := ParseCheckpoint(raw)
	if err != nil {
		return c, err
	}
	var keys []note.Verifier
	for _, k := range p.Logs {
		if k.Origin() == c.Origin {
			keys = append(keys, k.verifier)
		}
	}
	if len(keys) == 0 {
		return c, provenance.Faultf(CodeLogOrigin, "a checkpoint of the log %.100q, which is not one that counts",
			c.Origin)
	}
	if _, err := note.Open(raw, note.VerifierList(keys...)); err != nil {
		return c, provenance.Faultf(CodeLogKey, "the checkpoint is not signed by the key of %.100q", c.Origin)
	}
	if p.Quorum == nil {
		return c, nil
	}
	var met bool
	if c.Cosigned, met = p.Quorum.countCosigned(raw); !met {
		return c, provenance.Faultf(CodeLogWitness,
			"%d witnesses cosigned the checkpoint, which does not meet the policy",
			len(c.Cosigned))
	}
	return c, nil
}

// ParseCheckpoint reads a checkpoint without looking at who signed it. The error is a [*provenance.Fault] of
// [CodeLogForm].
func ParseCheckpoint(raw []byte) (c Checkpoint, err error) {
	bad := func(what string) (Checkpoint, error) {
		return Checkpoint{}, provenance.Faultf(CodeLogForm, "not a checkpoint: %s", what)
	}
	text, _, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok || len(raw) > MaxProof || raw[len(raw)-1] != '\n' {
		return bad("no signatures follow its text")
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 3 || lines[0] == "" {
		return bad("origin, size and root are its first three lines")
	}
	c.Origin = lines[0]
	if c.Size, ok = parseDecimal(lines[1]); !ok {
		return bad("its size is not a number")
	}
	root, ok := parseHash(lines[2])
	if !ok {
		return bad("its root is not a hash")
	}
	c.Root = root
	return c, nil
}

// parseDecimal reads a number without sign or leading zeros.
func parseDecimal(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return n, err == nil && strconv.FormatUint(n, 10) == s
}

func parseHash(s string) (h [32]byte, ok bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, false
	}
	return [32]byte(b), true
}

// A Proof says that an entry stands in a log at an index: the hashes from the entry up to the root of a checkpoint
// (c2sp.org/tlog-proof). Extra is not proven by it; a receipt has the head's block there.
type Proof struct {
	Extra      []byte
	Index      uint64
	Hashes     [][32]byte
	Checkpoint []byte
}

const proofHeader = "c2sp.org/tlog-proof@v1\n"

// Format writes the proof as text, in its one form.
func (p *Proof) Format() []byte {
	var b bytes.Buffer
	b.WriteString(proofHeader)
	if len(p.Extra) > 0 {
		fmt.Fprintf(&b, "extra %s\n", base64.StdEncoding.EncodeToString(p.Extra))
	}
	fmt.Fprintf(&b, "index %d\n", p.Index)
	for _, h := range p.Hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// ParseProof reads a tlog-proof. Only the form that [Proof.Format] writes is read. The error is a [*provenance.Fault]
// of [CodeLogForm].
func ParseProof(raw []byte) (*Proof, error) {
	bad := func(what string) (*Proof, error) {
		return nil, provenance.Faultf(CodeLogForm, "not a proof of logging: %s", what)
	}
	rest, ok := bytes.CutPrefix(raw, []byte(proofHeader))
	if !ok || len(raw) > MaxProof {
		return bad("it does not begin with " + strings.TrimSpace(proofHeader) + ", or is too long")
	}
	head, checkpoint, ok := bytes.Cut(rest, []byte("\n\n"))
	if !ok || len(checkpoint) == 0 {
		return bad("it has no checkpoint")
	}
	p := &Proof{Checkpoint: checkpoint}
	lines := strings.Split(string(head), "\n")
	if extra, is := strings.CutPrefix(lines[0], "extra "); is {
		var err error
		if p.Extra, err = base64.StdEncoding.Strict().DecodeString(extra); err != nil || len(p.Extra) == 0 {
			return bad("its extra line is not base64")
		}
		lines = lines[1:]
	}
	if len(lines) == 0 {
		return bad("it has no index")
	}
	index, named := strings.CutPrefix(lines[0], "index ")
	if p.Index, ok = parseDecimal(index); !ok || !named {
		return bad("its index is not a number")
	}
	if len(lines)-1 > maxProofLines {
		return bad("it has too many hashes")
	}
	for _, l := range lines[1:] {
		h, ok := parseHash(l)
		if !ok {
			return bad("a line is not a hash")
		}
		p.Hashes = append(p.Hashes, h)
	}
	return p, nil
}

// Verify checks that the entry stands in the log at p.Index, by a checkpoint that the policy accepts. The error is a
// [*provenance.Fault] without a CID.
func (p *Proof) Verify(entry provenance.LogEntry, policy Policy) (Checkpoint, error) {
	c, err := policy.OpenCheckpoint(p.Checkpoint)
	if err != nil {
		return c, err
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(entry[:])
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, leaf, asSlices(p.Hashes),
		c.Root[:]); err != nil {
		return c, provenance.Faultf(CodeLogProof,
			"the proof does not lead from this entry at index %d to the checkpoint of size %d", p.Index, c.Size)
	}
	return c, nil
}

// Consistent checks that the log which was as c is later as next: nothing of it was changed or taken away. hashes is a
// consistency proof of RFC 6962, section 2.1.2; it is empty if the sizes are equal or c's is zero. The error is a
// [*provenance.Fault] without a CID.
func (c Checkpoint) Consistent(next Checkpoint, hashes [][32]byte) error {
	switch {
	case c.Origin != next.Origin:
		return provenance.Faultf(CodeLogOrigin, "checkpoints of two logs, %.100q and %.100q", c.Origin, next.Origin)
	case next.Size < c.Size:
		return provenance.Faultf(CodeLogStale,
			"a checkpoint of size %d is offered as the newest, and one of size %d is known",
			next.Size, c.Size)
	case c.Size == 0:
		return nil
	}
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, c.Size, next.Size, asSlices(hashes), c.Root[:], next.Root[:])
	if err != nil {
		return provenance.Faultf(CodeLogConsistency, "the checkpoints of sizes %d and %d are not of one log", c.Size,
			next.Size)
	}
	return nil
}

func asSlices(hashes [][32]byte) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

// A witness verifies cosignature/v1 of one key (c2sp.org/tlog-cosignature).
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.hash }

func (w *witness) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	signed := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg)
	return ed25519.Verify(w.key, signed, sig[8:])
}

// Signature types of verifier keys (c2sp.org/signed-note).
const cosignatureV1 = 4

func parseWitness(vkey string) (*witness, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, key64, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.Strict().DecodeString(key64)
	h, hashErr := strconv.ParseUint(hash, 16, 32)
	if name == "" || err != nil || hashErr != nil || len(hash) != 8 || len(key) != 1+ed25519.PublicKeySize ||
		key[0] != cosignatureV1 {
		return nil, errors.New("a witness's key is name+hash+key with an Ed25519 key for cosignatures, type 4")
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	if uint32(h) != binary.BigEndian.Uint32(sum[:]) {
		return nil, errors.New("a witness's key whose hash is another one's; copy it again")
	}
	return &witness{name, uint32(h), key[1:]}, nil
}
