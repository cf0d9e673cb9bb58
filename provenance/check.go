package provenance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
)

// Codes of the codec: the bytes are not the one spelling of a dag-cbor item within our bounds. The rules are those
// of the DAG-CBOR specification, "Strictness", read strictly, without floats, undefined and null.
const (
	CodeCodecUnsorted   Code = "codec.unsorted"   // a map key that should stand before the one it follows
	CodeCodecDuplicate  Code = "codec.duplicate"  // a map key that is there twice
	CodeCodecKey        Code = "codec.key"        // a map key that is not text
	CodeCodecMinimal    Code = "codec.minimal"    // a number or length in a longer form than needed
	CodeCodecIndefinite Code = "codec.indefinite" // an item of indefinite length
	CodeCodecReserved   Code = "codec.reserved"   // a head that CBOR leaves undefined
	CodeCodecFloat      Code = "codec.float"      // a floating point number of any width
	CodeCodecNull       Code = "codec.null"       // null: what is absent is left out
	CodeCodecSimple     Code = "codec.simple"     // undefined, or a simple value besides true and false
	CodeCodecTag        Code = "codec.tag"        // a tag other than 42, or 42 over something that is not bytes
	CodeCodecUTF8       Code = "codec.utf8"       // a text that is not UTF-8
	CodeCodecInt        Code = "codec.int"        // an integer that does not fit 63 bits and a sign
	CodeCodecTrailing   Code = "codec.trailing"   // bytes after the item
	CodeCodecTruncated  Code = "codec.truncated"  // the bytes end inside the item
	CodeCodecDepth      Code = "codec.depth"      // more than 32 maps and lists inside each other
	CodeCodecSize       Code = "codec.size"       // more than 256 KiB
)

// Codes of links: a CID other than CIDv1, dag-cbor or raw, sha2-256 of 32 bytes, in its one binary form.
const (
	CodeLinkPrefix   Code = "link.prefix"   // the zero byte before the CID is missing
	CodeLinkV0       Code = "link.v0"       // a CIDv0
	CodeLinkVersion  Code = "link.version"  // a CID of an unknown version
	CodeLinkVarint   Code = "link.varint"   // a number of the CID in a longer form than needed
	CodeLinkIdentity Code = "link.identity" // data in the place of a hash
	CodeLinkHash     Code = "link.hash"     // another hash function
	CodeLinkDigest   Code = "link.digest"   // a digest of another length than 32 bytes
	CodeLinkCodec    Code = "link.codec"    // neither dag-cbor nor raw
	CodeLinkTrailing Code = "link.trailing" // bytes after the digest
	CodeLinkForm     Code = "link.form"     // not a CID at all, or one that ends too soon
)

// maxDepth bounds the maps and lists inside each other.
const maxDepth = 32

// Check says whether data is one dag-cbor item in its canonical spelling and within our bounds, whatever record it
// is. It makes one pass and allocates nothing. The error is a [*Fault] without a CID, with one of the codec and link
// codes; an error always names the first fault in the order of the bytes.
func Check(data []byte) error { return check(data, nil) }

// A level is an open map or list.
type level struct {
	left     uint64 // items to come; in a map, keys and values both count
	from, to int    // where the last key stands; to is 0 before the first
	isMap    bool
}

// check is Check; it also calls link, if there is one, with the 36 bytes of each link in order.
func check(data []byte, link func([]byte)) error {
	if len(data) > MaxBlock {
		return fault(CodeCodecSize, "a block of %d bytes, at most %d are allowed", len(data), MaxBlock)
	}
	var stack [maxDepth]level
	depth, at := 0, 0
	for {
		isKey := depth > 0 && stack[depth-1].isMap && stack[depth-1].left%2 == 0
		if at == len(data) {
			return truncated()
		}
		if data[at]>>5 == 7 {
			if isKey {
				return fault(CodeCodecKey, "a map key is not text")
			}
			if data[at] != 0xf4 && data[at] != 0xf5 { // false, true
				return simpleFault(data[at])
			}
			at++
		} else {
			major, n, rest, err := readHead(data[at:])
			if err != nil {
				return err
			}
			if isKey && major != 3 {
				return fault(CodeCodecKey, "a map key is not text")
			}
			start := len(data) - len(rest)
			switch major {
			case 0, 1:
				if n > math.MaxInt64 {
					return fault(CodeCodecInt, "an integer does not fit 63 bits")
				}
				at = start
			case 2, 3:
				if n > uint64(len(rest)) {
					return truncated()
				}
				at = start + int(n)
				if major == 3 && !utf8.Valid(data[start:at]) {
					return fault(CodeCodecUTF8, "a text is not UTF-8")
				}
				if isKey {
					l := &stack[depth-1]
					if err := inOrder(l, data, start, at); err != nil {
						return err
					}
					l.from, l.to = start, at
				}
			case 4, 5:
				if depth == maxDepth {
					return fault(CodeCodecDepth, "more than %d maps and lists inside each other", maxDepth)
				}
				// Each item takes a byte at least, so a claim beyond the rest needs no look at the items.
				items := n
				if major == 5 {
					items *= 2
				}
				if n > uint64(len(rest)) || items > uint64(len(rest)) {
					return truncated()
				}
				at = start
				if n > 0 {
					stack[depth] = level{left: items, isMap: major == 5}
					depth++
					continue
				}
			default:
				end, err := checkLink(data, start, n)
				if err != nil {
					return err
				}
				if link != nil {
					link(data[end-36 : end])
				}
				at = end
			}
		}
		for depth > 0 {
			if stack[depth-1].left--; stack[depth-1].left > 0 {
				break
			}
			depth--
		}
		if depth == 0 {
			break
		}
	}
	if at != len(data) {
		return fault(CodeCodecTrailing, "%d bytes follow the item", len(data)-at)
	}
	return nil
}

// inOrder says whether the key data[from:to] may follow the last one of l: shorter keys first, then bytewise.
func inOrder(l *level, data []byte, from, to int) error {
	if l.to == 0 || l.to-l.from < to-from {
		return nil
	}
	if l.to-l.from == to-from {
		switch bytes.Compare(data[l.from:l.to], data[from:to]) {
		case -1:
			return nil
		case 0:
			return fault(CodeCodecDuplicate, "a map has one key twice")
		}
	}
	return fault(CodeCodecUnsorted, "the keys of a map are not in order")
}

// checkLink checks what follows the head of a tag at data[start:], and returns where it ends.
func checkLink(data []byte, start int, tag uint64) (end int, err error) {
	if tag != 42 {
		return 0, fault(CodeCodecTag, "tag %d is not a link", tag)
	}
	if start == len(data) {
		return 0, truncated()
	}
	if data[start]>>5 != 2 {
		return 0, fault(CodeCodecTag, "tag 42 over something that is not bytes")
	}
	_, n, rest, err := readHead(data[start:])
	if err != nil {
		return 0, err
	}
	if n > uint64(len(rest)) {
		return 0, truncated()
	}
	if !isLink(rest[:n]) {
		return 0, linkFault(rest[:n])
	}
	return len(data) - len(rest) + int(n), nil
}

func simpleFault(b byte) *Fault {
	switch b {
	case 0xf6:
		return fault(CodeCodecNull, "null: what is absent is left out")
	case 0xf9, 0xfa, 0xfb:
		return fault(CodeCodecFloat, "a floating point number")
	case 0xff:
		return fault(CodeCodecIndefinite, "an end where no item is open")
	case 0xfc, 0xfd, 0xfe:
		return fault(CodeCodecReserved, "a head that CBOR leaves undefined")
	}
	return fault(CodeCodecSimple, "a simple value besides true and false")
}

func fault(code Code, format string, args ...any) *Fault {
	return &Fault{Code: code, Detail: fmt.Sprintf(format, args...)}
}

func truncated() *Fault { return fault(CodeCodecTruncated, "the bytes end inside an item") }

// readHead reads the head of an item: its major type and argument. The longer spellings of an argument are refused.
func readHead(b []byte) (major byte, n uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, nil, truncated()
	}
	major, info := b[0]>>5, b[0]&31
	if info < 24 {
		return major, uint64(info), b[1:], nil
	}
	if info > 27 {
		if info == 31 {
			return 0, 0, nil, fault(CodeCodecIndefinite, "an item of indefinite length")
		}
		return 0, 0, nil, fault(CodeCodecReserved, "a head that CBOR leaves undefined")
	}
	size := 1 << (info - 24)
	if len(b) < 1+size {
		return 0, 0, nil, truncated()
	}
	var least uint64 // that needs this many bytes
	switch size {
	case 1:
		n, least = uint64(b[1]), 24
	case 2:
		n, least = uint64(binary.BigEndian.Uint16(b[1:])), 1<<8
	case 4:
		n, least = uint64(binary.BigEndian.Uint32(b[1:])), 1<<16
	default:
		n, least = binary.BigEndian.Uint64(b[1:]), 1<<32
	}
	if n < least {
		return 0, 0, nil, fault(CodeCodecMinimal, "a number in a longer form than needed")
	}
	return major, n, b[1+size:], nil
}

// isLink says whether b, the content of a link's byte string, is a zero byte and a CID of ours.
func isLink(b []byte) bool { return len(b) == 37 && b[0] == 0 && isCID(b[1:]) }

// isCID says whether b is the binary form of a CIDv1 of dag-cbor or raw with sha2-256. There are two prefixes.
func isCID(b []byte) bool {
	return len(b) == 36 && b[0] == 1 && (b[1] == cid.DagCBOR || b[1] == cid.Raw) && b[2] == mh.SHA2_256 && b[3] == 32
}

// linkFault says why b is not a link; isLink has found that it is none.
func linkFault(b []byte) *Fault {
	if len(b) == 0 || b[0] != 0 {
		return fault(CodeLinkPrefix, "a link without its zero byte")
	}
	return cidFault(b[1:])
}

// cidFault says why b is not the binary form of a CID of ours.
func cidFault(b []byte) *Fault {
	if len(b) >= 2 && b[0] == mh.SHA2_256 && b[1] == 32 {
		return fault(CodeLinkV0, "a link is a CIDv0")
	}
	var part [4]uint64 // version, codec, hash, length of the digest
	for i := range part {
		n, size := binary.Uvarint(b)
		switch {
		case size <= 0:
			return fault(CodeLinkForm, "a link is not a CID")
		case size > 1 && b[size-1] == 0:
			return fault(CodeLinkVarint, "a link has a number in a longer form than needed")
		case i == 0 && n != 1:
			return fault(CodeLinkVersion, "a link is a CID of version %d", n)
		}
		part[i], b = n, b[size:]
	}
	switch {
	case part[2] == mh.IDENTITY:
		return fault(CodeLinkIdentity, "a link holds data in the place of a hash")
	case part[2] != mh.SHA2_256:
		return fault(CodeLinkHash, "a link uses hash function 0x%x instead of sha2-256", part[2])
	case part[3] != 32:
		return fault(CodeLinkDigest, "a link has a digest of %d bytes instead of 32", part[3])
	case part[1] != cid.DagCBOR && part[1] != cid.Raw:
		return fault(CodeLinkCodec, "a link has codec 0x%x, neither dag-cbor nor raw", part[1])
	case len(b) > 32:
		return fault(CodeLinkTrailing, "%d bytes follow a link's digest", len(b)-32)
	}
	return fault(CodeLinkForm, "a link ends inside its digest")
}

// linkFrom reads the content of a link's byte string.
func linkFrom(b []byte) (Link, error) {
	if !isLink(b) {
		return cid.Undef, linkFault(b)
	}
	return cidFrom(b[1:]), nil
}

// cidFrom returns the Link of 36 bytes that isCID holds for.
func cidFrom(b []byte) Link { return cid.NewCidV1(uint64(b[1]), mh.Multihash(b[2:])) }
