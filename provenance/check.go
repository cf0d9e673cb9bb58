package provenance

import (
	"encoding/binary"
)

// Codes of the codec: the bytes are not canonical dag-cbor of ours.
const (
	CodeCodecMinimal    Code = "codec.minimal"    // a number or length in a longer form than needed
	CodeCodecIndefinite Code = "codec.indefinite" // an item of indefinite length
	CodeCodecTruncated  Code = "codec.truncated"  // the bytes end inside an item
	CodeLinkForm        Code = "link.form"        // a link that is not a CID at all
)

// Check says whether data is one canonical dag-cbor item within our bounds.
func Check(data []byte) error { return nil }

// readHead reads the head of an item.
func readHead(b []byte) (major byte, n uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, nil, &Fault{Code: CodeCodecTruncated, Detail: "the bytes end inside an item"}
	}
	major, info := b[0]>>5, b[0]&31
	if info < 24 {
		return major, uint64(info), b[1:], nil
	}
	if info > 27 {
		return 0, 0, nil, &Fault{Code: CodeCodecIndefinite, Detail: "an item of indefinite length"}
	}
	size := 1 << (info - 24)
	if len(b) < 1+size {
		return 0, 0, nil, &Fault{Code: CodeCodecTruncated, Detail: "the bytes end inside an item"}
	}
	var w [8]byte
	copy(w[8-size:], b[1:1+size])
	n = binary.BigEndian.Uint64(w[:])
	if size == 1 && n < 24 || size > 1 && n>>(8*size/2) == 0 {
		return 0, 0, nil, &Fault{Code: CodeCodecMinimal, Detail: "a number in a longer form than needed"}
	}
	return major, n, b[1+size:], nil
}

func linkCode(b []byte) Code { return CodeLinkForm }
