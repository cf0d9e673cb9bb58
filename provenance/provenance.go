// Package provenance is the record of what agents did, and the check of it by strangers.
//
// A [Run] is opened under a wallet's [Grant]; each thing that then happens is a [Step]: one event, the facts that
// were known, and the effects that the loop decided on. A step links to the one before it, and a signed [Head]
// points to the newest, so one CID names a whole history. Everything is dag-cbor with CIDv1 and sha2-256, in one
// canonical spelling: for every record there is exactly one block, and [Check] refuses every other.
//
// Texts, arguments and results are [Payload]s: leaves of their own, sealed by default, of which one can be disclosed
// or erased without changing any CID.
//
// [Export] writes a history as a CAR file. [Verify] reads one that nobody vouches for, and names what is wrong with
// it by a [Code]. What needs rules or signatures of wallets to be judged is judged by agent/audit, on the [Evidence]
// that Verify returns.
//
// Nothing here reads a clock, a file or the network, and nothing is random: keys and times come in.
package provenance

import (
	"crypto/sha256"
	"fmt"
	"unsafe"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
)

// MaxBlock is the largest block that is written or accepted, in bytes.
const MaxBlock = 256 << 10

// A Link is the CID of a block: CIDv1, dag-cbor or raw, sha2-256. The zero Link is no link.
type Link = cid.Cid

// A Block is bytes under their CID.
type Block struct {
	CID  Link
	Data []byte
}

// Sum returns the CID of data under the codec cid.DagCBOR or cid.Raw.
func Sum(codec uint64, data []byte) Link {
	var b [cidLen]byte
	putCID(b[:], codec, data)
	return linkOf(string(b[:]))
}

// putCID writes the 36 bytes of the CID of data. Both codecs are below 128, so every number of it is one byte.
func putCID(b []byte, codec uint64, data []byte) {
	sum := sha256.Sum256(data)
	b[0], b[1], b[2], b[3] = 1, byte(codec), mh.SHA2_256, 32
	copy(b[4:], sum[:])
}

// linkOf returns the Link of 36 bytes that isCID holds for, without a copy. A cid.Cid is a struct of one string, and
// go-cid has no function that makes one of a string; a test says if that ever changes.
func linkOf(s string) Link {
	_ = [1]struct{}{}[unsafe.Sizeof(Link{})-unsafe.Sizeof("")]
	return *(*Link)(unsafe.Pointer(&s))
}

// linkIn is linkOf for bytes that never change.
func linkIn(b []byte) Link { return linkOf(unsafe.String(unsafe.SliceData(b), len(b))) }

// NewRaw returns data as a raw block. data is kept, not copied.
func NewRaw(data []byte) Block { return Block{Sum(cid.Raw, data), data} }

// A Code names a way in which evidence can be wrong. Codes are stable; docs and test vectors use them.
type Code string

// A Fault says that a block, or the history that it belongs to, is not what it claims to be.
type Fault struct {
	Code   Code
	At     Link   // the block at which it was found; undefined if there is none to name
	Detail string // one sentence, fit for a person's eyes: no payload, no secret
}

func (f *Fault) Error() string {
	if f.At.Defined() {
		return fmt.Sprintf("%s at %s: %s", f.Code, f.At, f.Detail)
	}
	return fmt.Sprintf("%s: %s", f.Code, f.Detail)
}
