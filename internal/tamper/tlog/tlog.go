// Package tlog is a transparency log of a few given entries with its witnesses, all of whose keys are known, for
// vectors and tests: it signs whatever it is told to.
package tlog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
)

// A Log is a transparency log whose entries are given.
type Log struct {
	Origin  string
	Key     ed25519.PrivateKey
	Entries []provenance.LogEntry
}

// OtherEntry is an entry that has nothing to do with the history.
func OtherEntry(text string) provenance.LogEntry {
	c := provenance.NewRaw([]byte(text)).CID
	return provenance.NewLogEntry(c, 0, c)
}

// HeadEntry is the entry of a head.
func HeadEntry(data []byte) provenance.LogEntry {
	var h provenance.Head
	if err := provenance.Decode(data, &h); err != nil {
		panic(err) // it was encoded here
	}
	return provenance.NewLogEntry(h.Run, h.Seq, provenance.Sum(cid.DagCBOR, data))
}

// KeyNote is a key of a name in the forms of package note.
func KeyNote(name string, k ed25519.PrivateKey) (signer note.Signer, vkey string) {
	vkey = must(note.NewEd25519VerifierKey(name, k.Public().(ed25519.PublicKey)))
	hash := strings.Split(vkey, "+")[1]
	seed := base64.StdEncoding.EncodeToString(append([]byte{1}, k.Seed()...))
	return must(note.NewSigner("PRIVATE+KEY+" + name + "+" + hash + "+" + seed)), vkey
}

// A Cosigner is a witness at a fixed time (c2sp.org/tlog-cosignature).
type Cosigner struct {
	Host string
	Key  ed25519.PrivateKey
	At   time.Time
}

func (c Cosigner) publicKey() []byte { return append([]byte{4}, c.Key.Public().(ed25519.PublicKey)...) }

// Name is how checkpoints name the witness.
func (c Cosigner) Name() string { return c.Host }

// KeyHash says which of the keys of that name it is.
func (c Cosigner) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(c.Host+"\n"), c.publicKey()...))
	return binary.BigEndian.Uint32(sum[:])
}

// VerifierKey returns the key as a policy names it.
func (c Cosigner) VerifierKey() string {
	return fmt.Sprintf("%s+%08x+%s", c.Host, c.KeyHash(), base64.StdEncoding.EncodeToString(c.publicKey()))
}

// Sign signs the text of a checkpoint at the witness's time.
func (c Cosigner) Sign(msg []byte) ([]byte, error) {
	at := uint64(c.At.Unix())
	sig := ed25519.Sign(c.Key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, msg))
	return append(binary.BigEndian.AppendUint64(nil, at), sig...), nil
}

func (l *Log) nodeHash(id compact.NodeID) []byte {
	if id.Level == 0 {
		return rfc6962.DefaultHasher.HashLeaf(l.Entries[id.Index][:])
	}
	left := compact.NewNodeID(id.Level-1, 2*id.Index)
	return rfc6962.DefaultHasher.HashChildren(l.nodeHash(left), l.nodeHash(left.Sibling()))
}

// SignCheckpoint signs the checkpoint over the first size entries, by the log and the witnesses.
func (l *Log) SignCheckpoint(size int, cosigners ...note.Signer) []byte {
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	r := f.NewEmptyRange(0)
	for i := range size {
		if err := r.Append(l.nodeHash(compact.NewNodeID(0, uint64(i))), nil); err != nil {
			panic(err) // entries are appended one after the other
		}
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", l.Origin, size, base64.StdEncoding.EncodeToString(must(r.GetRootHash(nil))))
	signer, _ := KeyNote(l.Origin, l.Key)
	return must(note.Sign(&note.Note{Text: text}, append([]note.Signer{signer}, cosigners...)...))
}

func (l *Log) proofHashes(n proof.Nodes, err error) (out [][32]byte) {
	if err != nil {
		panic(err) // sizes and indices are those of the entries
	}
	var all [][]byte
	for _, id := range n.IDs {
		all = append(all, l.nodeHash(id))
	}
	for _, h := range must(n.Rehash(all, rfc6962.DefaultHasher.HashChildren)) {
		out = append(out, [32]byte(h))
	}
	return out
}

// ProveInclusion proves an entry among the first size.
func (l *Log) ProveInclusion(index, size int, cosigners ...note.Signer) *logproof.Proof {
	return &logproof.Proof{
		Index: uint64(index), Hashes: l.proofHashes(proof.Inclusion(uint64(index), uint64(size))),
		Checkpoint: l.SignCheckpoint(size, cosigners...),
	}
}

// ProveConsistency proves that the first b entries begin with the first a.
func (l *Log) ProveConsistency(a, b int) [][32]byte {
	return l.proofHashes(proof.Consistency(uint64(a), uint64(b)))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // what is encoded here are the package's own keys and entries
	}
	return v
}
