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
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

// MaxBlock is the largest block that is written or accepted, in bytes.
const MaxBlock = dagcbor.MaxBlock

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
	dagcbor.PutCID(b[:], codec, data)
	return dagcbor.LinkFromString(string(b[:]))
}

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
