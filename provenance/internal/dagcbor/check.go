// Package dagcbor writes, reads and checks dag-cbor in the one spelling in which records stand: for every value there
// is one row of bytes, and every other is refused by the name of what is wrong with it. It knows CIDs of two kinds, and
// no record.
package dagcbor

import (
	"bytes"
	"fmt"
	"math"
	"unicode/utf8"
)

// Codes of the codec: the bytes are not the one spelling of a dag-cbor item within our bounds. The rules are those
// of the DAG-CBOR specification, "Strictness", read strictly, without floats, undefined and null.
const (
	CodeUnsorted   = "codec.unsorted"   // a map key that should stand before the one it follows
	CodeDuplicate  = "codec.duplicate"  // a map key that is there twice
	CodeKey        = "codec.key"        // a map key that is not text
	CodeMinimal    = "codec.minimal"    // a number or length in a longer form than needed
	CodeIndefinite = "codec.indefinite" // an item of indefinite length
	CodeReserved   = "codec.reserved"   // a head that CBOR leaves undefined
	CodeFloat      = "codec.float"      // a floating point number of any width
	CodeNull       = "codec.null"       // null: what is absent is left out
	CodeSimple     = "codec.simple"     // undefined, or a simple value besides true and false
	CodeTag        = "codec.tag"        // a tag other than 42, or 42 over something that is not bytes
	CodeUTF8       = "codec.utf8"       // a text that is not UTF-8
	CodeInt        = "codec.int"        // an integer that does not fit 63 bits and a sign
	CodeTrailing   = "codec.trailing"   // bytes after the item
	CodeTruncated  = "codec.truncated"  // the bytes end inside the item
	CodeDepth      = "codec.depth"      // more than 32 maps and lists inside each other
	CodeSize       = "codec.size"       // more than 256 KiB
)

// Codes of links: a CID other than CIDv1, dag-cbor or raw, sha2-256 of 32 bytes, in its one binary form.
const (
	CodeLinkPrefix   = "link.prefix"   // the zero byte before the CID is missing
	CodeLinkV0       = "link.v0"       // a CIDv0
	CodeLinkVersion  = "link.version"  // a CID of an unknown version
	CodeLinkVarint   = "link.varint"   // a number of the CID in a longer form than needed
	CodeLinkIdentity = "link.identity" // data in the place of a hash
	CodeLinkHash     = "link.hash"     // another hash function
	CodeLinkDigest   = "link.digest"   // a digest of another length than 32 bytes
	CodeLinkCodec    = "link.codec"    // neither dag-cbor nor raw
	CodeLinkTrailing = "link.trailing" // bytes after the digest
	CodeLinkForm     = "link.form"     // not a CID at all, or one that ends too soon
)

// Codes of a value that is canonical, and not the one that was expected.
const (
	CodeType    = "schema.type"
	CodeRange   = "schema.range"
	CodeMissing = "schema.missing"
)

// MaxBlock is the largest block, in bytes.
const MaxBlock = 256 << 10

// An Error says what is wrong with bytes, or with a value that is to be written.
type Error struct {
	Code   string
	Detail string
}

func (e *Error) Error() string { return e.Code + ": " + e.Detail }

func fail(code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// MaxDepth bounds the maps and lists inside each other.
const MaxDepth = 32

// A level is an open map or list.
type level struct {
	left     uint64 // items to come; in a map, keys and values both count
	from, to int    // where the last key stands; to is 0 before the first
	isMap    bool
}

// Walk says whether data is one item in its canonical spelling and within the bounds. It makes one pass and allocates
// nothing. It calls link, if there is one, with the 36 bytes of each link in order. The error is an [*Error] and names
// the first fault in the order of the bytes.
func Walk(data []byte, link func(cid []byte)) error {
	if len(data) > MaxBlock {
		return fail(CodeSize, "a block of %d bytes, at most %d are allowed", len(data), MaxBlock)
	}
	var (
		stack [MaxDepth]level // the levels around in
		in    level           // the innermost one
		depth int             // levels, in included
		at    int
	)
	for {
		if at == len(data) {
			return truncatedError()
		}
		isKey := in.isMap && in.left&1 == 0
		major, n := data[at]>>5, uint64(data[at]&31)
		if isKey && major != 3 {
			return fail(CodeKey, "a map key is not text")
		}
		if at++; n >= 24 && major != 7 {
			var err error
			if _, n, at, err = ReadLongHead(data, at-1); err != nil {
				return err
			}
		}
		rest := uint64(len(data) - at)
		switch major {
		case 0, 1:
			if n > math.MaxInt64 {
				return fail(CodeInt, "an integer does not fit 63 bits")
			}
		case 2, 3:
			if n > rest {
				return truncatedError()
			}
			from := at
			at += int(n)
			if major == 3 && !isUTF8(data[from:at]) {
				return fail(CodeUTF8, "a text is not UTF-8")
			}
			if isKey {
				// Longer than the last one is the usual case, and in order.
				if in.to != 0 && in.to-in.from >= at-from {
					if err := checkKeyOrder(data[in.from:in.to], data[from:at]); err != nil {
						return err
					}
				}
				in.from, in.to = from, at
			}
		case 4, 5:
			if depth == MaxDepth {
				return fail(CodeDepth, "more than %d maps and lists inside each other", MaxDepth)
			}
			// Each item takes a byte at least, so a claim beyond the rest needs no look at the items.
			if n > rest || n<<(major-4) > rest {
				return truncatedError()
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
				link(data[end-CIDLen : end])
			}
			at = end
		default:
			if n != 20 && n != 21 { // false, true
				return simpleError(data[at-1])
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
		return fail(CodeTrailing, "%d bytes follow the item", len(data)-at)
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

// checkKeyOrder says whether a map key may follow the last one: shorter keys first, then bytewise.
func checkKeyOrder(last, key []byte) error {
	if len(last) == len(key) {
		switch bytes.Compare(last, key) {
		case -1:
			return nil
		case 0:
			return fail(CodeDuplicate, "a map has one key twice")
		}
	}
	return fail(CodeUnsorted, "the keys of a map are not in order")
}

// checkLink checks what follows the head of a tag at data[at:], and returns where it ends.
func checkLink(data []byte, at int, tag uint64) (end int, err error) {
	switch {
	case tag != 42:
		return 0, fail(CodeTag, "tag %d is not a link", tag)
	case at == len(data):
		return 0, truncatedError()
	case data[at]>>5 != 2:
		return 0, fail(CodeTag, "tag 42 over something that is not bytes")
	}
	_, n, at, err := ReadLongHead(data, at)
	switch {
	case err != nil:
		return 0, err
	case n > uint64(len(data)-at):
		return 0, truncatedError()
	}
	if b := data[at : at+int(n)]; !isLink(b) {
		return 0, linkError(b)
	}
	return at + int(n), nil
}

func simpleError(b byte) *Error {
	switch b {
	case 0xf6:
		return fail(CodeNull, "null: what is absent is left out")
	case 0xf9, 0xfa, 0xfb:
		return fail(CodeFloat, "a floating point number")
	case 0xff:
		return fail(CodeIndefinite, "an end where no item is open")
	case 0xfc, 0xfd, 0xfe:
		return fail(CodeReserved, "a head that CBOR leaves undefined")
	}
	return fail(CodeSimple, "a simple value besides true and false")
}

func truncatedError() *Error { return fail(CodeTruncated, "the bytes end inside an item") }

// ReadLongHead reads the head of an item at data[at:], which is not empty: its major type, its argument, and where it
// ends. The longer spellings of an argument are refused.
func ReadLongHead[B []byte | string](data B, at int) (major byte, n uint64, end int, err error) {
	b := data[at:]
	major, info := b[0]>>5, b[0]&31
	if info < 24 {
		return major, uint64(info), at + 1, nil
	}
	if info == 31 {
		return 0, 0, 0, fail(CodeIndefinite, "an item of indefinite length")
	}
	if info > 27 {
		return 0, 0, 0, fail(CodeReserved, "a head that CBOR leaves undefined")
	}
	size := 1 << (info - 24)
	if len(b) < 1+size {
		return 0, 0, 0, truncatedError()
	}
	for i := 1; i <= size; i++ {
		n = n<<8 | uint64(b[i])
	}
	least := uint64(24) // that needs so many bytes
	if size > 1 {
		least = 1 << (4 * size) // 2, 4 and 8 bytes are for what does not fit half of them
	}
	if n < least {
		return 0, 0, 0, fail(CodeMinimal, "a number in a longer form than needed")
	}
	return major, n, at + 1 + size, nil
}
