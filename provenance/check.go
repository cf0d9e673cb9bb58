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

// BlockLinks checks a block as [Check] does, whatever record it is, and returns what it links to, doubles too.
func BlockLinks(data []byte) (links []Link, err error) {
	if err := check(data, func(b []byte) { links = append(links, cidFrom(b)) }); err != nil {
		return nil, err
	}
	return links, nil
}

// IsLink says whether a CID is one of ours: CIDv1, dag-cbor or raw, sha2-256.
func IsLink(c cid.Cid) bool { return isCID(c.KeyString()) }

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
	var (
		stack [maxDepth]level // the levels around in
		in    level           // the innermost one
		depth int             // levels, in included
		at    int
	)
	for {
		if at == len(data) {
			return truncated()
		}
		isKey := in.isMap && in.left&1 == 0
		major, n := data[at]>>5, uint64(data[at]&31)
		if isKey && major != 3 {
			return fault(CodeCodecKey, "a map key is not text")
		}
		if at++; n >= 24 && major != 7 {
			var err error
			if _, n, at, err = longHead(data, at-1); err != nil {
				return err
			}
		}
		rest := uint64(len(data) - at)
		switch major {
		case 0, 1:
			if n > math.MaxInt64 {
				return fault(CodeCodecInt, "an integer does not fit 63 bits")
			}
		case 2, 3:
			if n > rest {
				return truncated()
			}
			from := at
			at += int(n)
			if major == 3 && !isUTF8(data[from:at]) {
				return fault(CodeCodecUTF8, "a text is not UTF-8")
			}
			if isKey {
				// Longer than the last one is the usual case, and in order.
				if in.to != 0 && in.to-in.from >= at-from {
					if err := inOrder(data[in.from:in.to], data[from:at]); err != nil {
						return err
					}
				}
				in.from, in.to = from, at
			}
		case 4, 5:
			if depth == maxDepth {
				return fault(CodeCodecDepth, "more than %d maps and lists inside each other", maxDepth)
			}
			// Each item takes a byte at least, so a claim beyond the rest needs no look at the items.
			if n > rest || n<<(major-4) > rest {
				return truncated()
			}
			if n > 0 {
				stack[depth] = in
				in = level{left: n << (major - 4), isMap: major == 5}
				depth++
				continue
			}
		case 6:
			end, err := checkLink(data, at, n)
			if err != nil {
				return err
			}
			if link != nil {
				link(data[end-cidLen : end])
			}
			at = end
		default:
			if n != 20 && n != 21 { // false, true
				return simpleFault(data[at-1])
			}
		}
		for depth > 0 {
			if in.left--; in.left > 0 {
				break
			}
			depth--
			in = stack[depth]
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

// isUTF8 is utf8.Valid, made quick for the short ASCII that most texts here are.
func isUTF8(b []byte) bool {
	if len(b) > 16 {
		return utf8.Valid(b)
	}
	var all byte
	for _, c := range b {
		all |= c
	}
	return all < utf8.RuneSelf || utf8.Valid(b)
}

// inOrder says whether a map key may follow the last one: shorter keys first, then bytewise.
func inOrder(last, key []byte) error {
	if len(last) == len(key) {
		switch bytes.Compare(last, key) {
		case -1:
			return nil
		case 0:
			return fault(CodeCodecDuplicate, "a map has one key twice")
		}
	}
	return fault(CodeCodecUnsorted, "the keys of a map are not in order")
}

// checkLink checks what follows the head of a tag at data[at:], and returns where it ends.
func checkLink(data []byte, at int, tag uint64) (end int, err error) {
	switch {
	case tag != 42:
		return 0, fault(CodeCodecTag, "tag %d is not a link", tag)
	case at == len(data):
		return 0, truncated()
	case data[at]>>5 != 2:
		return 0, fault(CodeCodecTag, "tag 42 over something that is not bytes")
	}
	_, n, at, err := longHead(data, at)
	switch {
	case err != nil:
		return 0, err
	case n > uint64(len(data)-at):
		return 0, truncated()
	}
	if b := data[at : at+int(n)]; !isLink(b) {
		return 0, linkFault(b)
	}
	return at + int(n), nil
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

// longHead reads the head of an item at data[at:], which is not empty: its major type, its argument, and where it
// ends. The longer spellings of an argument are refused.
func longHead[B []byte | string](data B, at int) (major byte, n uint64, end int, err error) {
	b := data[at:]
	major, info := b[0]>>5, b[0]&31
	if info < 24 {
		return major, uint64(info), at + 1, nil
	}
	if info == 31 {
		return 0, 0, 0, fault(CodeCodecIndefinite, "an item of indefinite length")
	}
	if info > 27 {
		return 0, 0, 0, fault(CodeCodecReserved, "a head that CBOR leaves undefined")
	}
	size := 1 << (info - 24)
	if len(b) < 1+size {
		return 0, 0, 0, truncated()
	}
	for i := 1; i <= size; i++ {
		n = n<<8 | uint64(b[i])
	}
	least := uint64(24) // that needs so many bytes
	if size > 1 {
		least = 1 << (4 * size) // 2, 4 and 8 bytes are for what does not fit half of them
	}
	if n < least {
		return 0, 0, 0, fault(CodeCodecMinimal, "a number in a longer form than needed")
	}
	return major, n, at + 1 + size, nil
}

// isLink says whether b, the content of a link's byte string, is a zero byte and a CID of ours.
func isLink(b []byte) bool { return len(b) == 37 && b[0] == 0 && isCID(b[1:]) }

// isCID says whether b is the binary form of a CIDv1 of dag-cbor or raw with sha2-256. There are two prefixes.
func isCID[B []byte | string](b B) bool {
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

// cidFrom returns the Link of 36 bytes that isCID holds for.
func cidFrom(b []byte) Link { return linkOf(string(b)) }

// codecOf returns the codec of a Link, without the cost of Prefix; 0 if it is not one of ours.
func codecOf(l Link) uint64 {
	if s := l.KeyString(); len(s) == cidLen {
		return uint64(s[1])
	}
	return 0
}
