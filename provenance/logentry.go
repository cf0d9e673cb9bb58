package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"github.com/ipfs/go-cid"
)

// A LogEntry is what a transparency log holds of a head or of a key binding, 72 bytes: a tag, a number, and the digest
// of a CID under a pad. Tag and pad are made with a salt that follows from the run's CID, which 32 random bytes of the
// run's record make impossible to guess. Who holds the run's file or a receipt of it finds all its entries by the tag,
// and opens them; to everybody else an entry names nothing, and shows only that it belongs together with the others of
// its tag, and its number.
type LogEntry [logTagSize + 8 + sha256.Size]byte

const logTagSize = 32

// Contexts keep the hashes of log entries apart from each other and from all others.
const (
	logSaltContext = "writ/log/salt/1\n"
	logTagContext  = "writ/log/tag/1\n"
	logPadContext  = "writ/log/pad/1\n"
)

// NewLogEntry returns the entry of a head: of its run, with the number of its step. A key binding's is one of itself,
// with the number 0.
func NewLogEntry(of Link, seq uint64, c Link) (e LogEntry) {
	salt := logSaltOf(of)
	tag := sha256.Sum256(append([]byte(logTagContext), salt[:]...))
	copy(e[:], tag[:])
	binary.BigEndian.PutUint64(e[logTagSize:], seq)
	pad := logPadOf(salt, seq)
	digest := digestOf(c)
	for i := range pad {
		e[logTagSize+8+i] = digest[i] ^ pad[i]
	}
	return e
}

// ParseLogEntry reads an entry as the log serves it.
func ParseLogEntry(b []byte) (e LogEntry, ok bool) {
	if len(b) != len(e) {
		return e, false
	}
	return LogEntry(b), true
}

// Tag is what all entries of a run have in common, and those of no other.
func (e LogEntry) Tag() [logTagSize]byte { return [logTagSize]byte(e[:logTagSize]) }

// Seq is the number of the step that the head names.
func (e LogEntry) Seq() uint64 { return binary.BigEndian.Uint64(e[logTagSize:]) }

// Open returns the CID of which this is the entry, if it is one of this run or binding.
func (e LogEntry) Open(of Link) (c Link, ok bool) {
	salt := logSaltOf(of)
	tag := sha256.Sum256(append([]byte(logTagContext), salt[:]...))
	if !bytes.Equal(tag[:], e[:logTagSize]) {
		return Link{}, false
	}
	digest := logPadOf(salt, e.Seq())
	for i := range digest {
		digest[i] ^= e[logTagSize+8+i]
	}
	return cid.NewCidV1(cid.DagCBOR, append([]byte{0x12, sha256.Size}, digest[:]...)), true
}

func logSaltOf(of Link) [32]byte { return sha256.Sum256(append([]byte(logSaltContext), of.Bytes()...)) }

func logPadOf(salt [32]byte, seq uint64) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte(logPadContext), salt[:]...), seq))
}

// digestOf returns the SHA-256 in a CID of ours.
func digestOf(c Link) (d [sha256.Size]byte) {
	if b := c.Bytes(); len(b) >= len(d) {
		copy(d[:], b[len(b)-len(d):])
	}
	return d
}
