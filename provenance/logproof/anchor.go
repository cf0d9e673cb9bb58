package logproof

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/writ-run/writ/provenance"
)

// Codes of anchors.
const (
	CodeAnchorChain    provenance.Code = "anchor.chain"    // anchors of another chain than the one that was named
	CodeAnchorContract provenance.Code = "anchor.contract" // a contract that is not one of this log's anchors
	// another tree than the one that is anchored, or one that shrank
	CodeAnchorRoot provenance.Code = "anchor.root"
	CodeAnchorTime provenance.Code = "anchor.time" // a head whose time the anchors contradict
)

// AnchorSlack is how far the operator's clock and the chain's may be apart.
const AnchorSlack = time.Minute

//go:embed anchor.hex
var anchorHex string

// anchorCreation is the creation code of internal/chain/contracts/Anchor.yul, without the log's id.
var anchorCreation = func() []byte {
	b, err := hex.DecodeString(strings.TrimSpace(anchorHex))
	if err != nil {
		panic("anchor.hex: " + err.Error()) // a constant of this program
	}
	return b
}()

// AnchorTopic is the first topic of its event, Anchored(uint256 indexed size, bytes32 root, bytes32 closed, uint256
// made).
var AnchorTopic = [32]byte(mustDecode32("0a367f0e9bd8731f118dbd8d92ac35491cce34821489dfbc3274ef7ece4f5b58"))

func mustDecode32(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		panic("not 32 bytes: " + s) // a constant of this program
	}
	return b
}

// AnchorLog is the id of a log in anchors: the SHA-256 of its verifier key, "origin+hash+key".
func AnchorLog(vkey string) [32]byte { return sha256.Sum256([]byte(vkey)) }

// AnchorCreation is the data of the transaction that makes the anchors' contract of a log. Who sends it is who it
// obeys.
func AnchorCreation(vkey string) []byte {
	id := AnchorLog(vkey)
	return append(bytes.Clone(anchorCreation), id[:]...)
}

// AnchorRuntime is the code that such a contract has on its chain.
func AnchorRuntime(vkey string, operator [20]byte) []byte {
	// The runtime code follows the creation code's own instructions, which end with INVALID (0xfe).
	run := anchorCreation[bytes.IndexByte(anchorCreation, 0xfe)+1:]
	id := AnchorLog(vkey)
	code := append(bytes.Clone(run), make([]byte, 12)...)
	return append(append(code, operator[:]...), id[:]...)
}

// An Anchor is what the operator said of its log in one transaction.
type Anchor struct {
	Size   uint64   `json:"size"`
	Root   [32]byte `json:"root"`   // of the checkpoint of that size
	Closed [32]byte `json:"closed"` // root of the tree (RFC 6962) of the CIDs of the heads in it that close runs
	Made   int64    `json:"made"`   // s UTC: every head up to then is in the tree
	Block  uint64   `json:"block"`
	Time   int64    `json:"time"` // s UTC, of the block
}

// Call is the data of the transaction that makes the anchor.
func (a Anchor) Call() []byte {
	data := make([]byte, 128)
	binary.BigEndian.PutUint64(data[24:], a.Size)
	copy(data[32:], a.Root[:])
	copy(data[64:], a.Closed[:])
	binary.BigEndian.PutUint64(data[120:], uint64(a.Made))
	return data
}

// ReadAnchor reads an event's second topic and its data. Block and Time are the caller's to fill in. It is false if
// they are not such an event's.
func ReadAnchor(size [32]byte, data []byte) (a Anchor, ok bool) {
	if len(data) != 96 || !bytes.Equal(size[:24], make([]byte, 24)) || !bytes.Equal(data[64:88], make([]byte, 24)) {
		return a, false
	}
	a.Size, a.Made = binary.BigEndian.Uint64(size[24:]), int64(binary.BigEndian.Uint64(data[88:]))
	copy(a.Root[:], data)
	copy(a.Closed[:], data[32:])
	return a, a.Made >= 0
}

// Anchors are what a verifier found on a chain, and where it was told to look.
type Anchors struct {
	Want     uint64   // EIP-155 id that was named; 0 for whatever the endpoint serves
	Chain    uint64   // that the endpoint serves
	Code     []byte   // of the contract
	List     []Anchor // its events, in their order
	Contract [20]byte // that was named
}

// Check judges the anchors by themselves: they are of the chain and of the log that they should be, and no anchor takes
// back what an earlier one said. The error is a [*provenance.Fault] without a CID.
func (a *Anchors) Check(vkeys []string) error {
	if a.Want != 0 && a.Want != a.Chain {
		return provenance.Faultf(CodeAnchorChain,
			"the anchors are looked for on chain %d, and the endpoint serves chain %d",
			a.Want, a.Chain)
	}
	ours := false
	for _, vkey := range vkeys {
		like := AnchorRuntime(vkey, [20]byte{})
		// The operator's account is the contract's own: who is known is the log, by the key that is pinned.
		if len(a.Code) == len(like) {
			copy(like[len(like)-52:], a.Code[len(like)-52:len(like)-32])
			ours = ours || bytes.Equal(a.Code, like)
		}
	}
	if !ours {
		return provenance.Faultf(CodeAnchorContract, "the contract 0x%x on chain %d is not one of this log's anchors",
			a.Contract, a.Chain)
	}
	for i := 1; i < len(a.List); i++ {
		old, next := a.List[i-1], a.List[i]
		if next.Size < old.Size || next.Size == old.Size && next.Root != old.Root {
			return provenance.Faultf(CodeAnchorRoot, "the anchor in block %d takes back what the one in block %d says",
				next.Block, old.Block)
		}
	}
	return nil
}

// Cover returns the first anchor whose tree has the entry at index, or false if it is not anchored yet.
func (a *Anchors) Cover(index uint64) (Anchor, bool) {
	for _, x := range a.List {
		if x.Size > index {
			return x, true
		}
	}
	return Anchor{}, false
}

// Place checks the time that a head claims, in ms UTC, by the anchors before and after its entry: it is not made before
// a time up to which an anchor without it has every head, and not after the block of an anchor with it. The error is a
// [*provenance.Fault] without a CID.
func (a *Anchors) Place(index uint64, at int64) error {
	made := time.UnixMilli(at)
	for _, x := range a.List {
		if up, block := time.Unix(x.Made, 0), time.Unix(x.Time, 0); x.Size <= index &&
			made.Add(AnchorSlack).Before(up) {
			return provenance.Faultf(CodeAnchorTime,
				"the head says that it was made at %s, and the tree in block %d, which has every head up to %s, "+
					"does not have it",
				made.UTC().Format(time.RFC3339), x.Block, up.UTC().Format(time.RFC3339))
		} else if x.Size > index && made.Add(-AnchorSlack).After(block) {
			return provenance.Faultf(CodeAnchorTime,
				"the head says that it was made at %s, and it is in the tree that block %d of %s anchors",
				made.UTC().Format(time.RFC3339), x.Block, block.UTC().Format(time.RFC3339))
		}
	}
	return nil
}
