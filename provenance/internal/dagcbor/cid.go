package dagcbor

import (
	"crypto/sha256"
	"encoding/binary"
	"unsafe"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
)

// CIDLen is the length of each CID here, in bytes.
const CIDLen = 36

// PutCID writes the 36 bytes of the CID of data. Both codecs are below 128, so every number of it is one byte.
func PutCID(b []byte, codec uint64, data []byte) {
	sum := sha256.Sum256(data)
	b[0], b[1], b[2], b[3] = 1, byte(codec), mh.SHA2_256, 32
	copy(b[4:], sum[:])
}

// LinkFromString returns the CID of 36 bytes that IsCID holds for, without a copy. A cid.Cid is a struct of one
// string, and go-cid has no function that makes one of a string; a test says if that ever changes.
func LinkFromString(s string) cid.Cid {
	_ = [1]struct{}{}[unsafe.Sizeof(cid.Cid{})-unsafe.Sizeof("")]
	return *(*cid.Cid)(unsafe.Pointer(&s))
}

// LinkFromConstant is [LinkFromString] of bytes that never change.
func LinkFromConstant(b []byte) cid.Cid {
	return LinkFromString(unsafe.String(unsafe.SliceData(b), len(b)))
}

// isLink says whether b, the content of a link's byte string, is a zero byte and a CID of ours.
func isLink(b []byte) bool { return len(b) == 37 && b[0] == 0 && IsCID(b[1:]) }

// IsCID says whether b is the binary form of a CIDv1 of dag-cbor or raw with sha2-256. There are two prefixes.
func IsCID[B []byte | string](b B) bool {
	return len(b) == 36 && b[0] == 1 && (b[1] == cid.DagCBOR || b[1] == cid.Raw) && b[2] == mh.SHA2_256 && b[3] == 32
}

// linkError says why b is not a link; isLink has found that it is none.
func linkError(b []byte) *Error {
	if len(b) == 0 || b[0] != 0 {
		return fail(CodeLinkPrefix, "a link without its zero byte")
	}
	return CIDError(b[1:])
}

// CIDError says why b is not the binary form of a CID of ours.
func CIDError(b []byte) *Error {
	if len(b) >= 2 && b[0] == mh.SHA2_256 && b[1] == 32 {
		return fail(CodeLinkV0, "a link is a CIDv0")
	}
	var part [4]uint64 // version, codec, hash, length of the digest
	for i := range part {
		n, size := binary.Uvarint(b)
		switch {
		case size <= 0:
			return fail(CodeLinkForm, "a link is not a CID")
		case size > 1 && b[size-1] == 0:
			return fail(CodeLinkVarint, "a link has a number in a longer form than needed")
		case i == 0 && n != 1:
			return fail(CodeLinkVersion, "a link is a CID of version %d", n)
		}
		part[i], b = n, b[size:]
	}
	switch {
	case part[2] == mh.IDENTITY:
		return fail(CodeLinkIdentity, "a link holds data in the place of a hash")
	case part[2] != mh.SHA2_256:
		return fail(CodeLinkHash, "a link uses hash function 0x%x instead of sha2-256", part[2])
	case part[3] != 32:
		return fail(CodeLinkDigest, "a link has a digest of %d bytes instead of 32", part[3])
	case part[1] != cid.DagCBOR && part[1] != cid.Raw:
		return fail(CodeLinkCodec, "a link has codec 0x%x, neither dag-cbor nor raw", part[1])
	case len(b) > 32:
		return fail(CodeLinkTrailing, "%d bytes follow a link's digest", len(b)-32)
	}
	return fail(CodeLinkForm, "a link ends inside its digest")
}
