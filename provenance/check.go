package provenance

import (
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

// Codes of the codec: the bytes are not the one spelling of a dag-cbor item within our bounds. The rules are those
// of the DAG-CBOR specification, "Strictness", read strictly, without floats, undefined and null.
const (
	CodeCodecUnsorted   Code = dagcbor.CodeUnsorted   // a map key that should stand before the one it follows
	CodeCodecDuplicate  Code = dagcbor.CodeDuplicate  // a map key that is there twice
	CodeCodecKey        Code = dagcbor.CodeKey        // a map key that is not text
	CodeCodecMinimal    Code = dagcbor.CodeMinimal    // a number or length in a longer form than needed
	CodeCodecIndefinite Code = dagcbor.CodeIndefinite // an item of indefinite length
	CodeCodecReserved   Code = dagcbor.CodeReserved   // a head that CBOR leaves undefined
	CodeCodecFloat      Code = dagcbor.CodeFloat      // a floating point number of any width
	CodeCodecNull       Code = dagcbor.CodeNull       // null: what is absent is left out
	CodeCodecSimple     Code = dagcbor.CodeSimple     // undefined, or a simple value besides true and false
	CodeCodecTag        Code = dagcbor.CodeTag        // a tag other than 42, or 42 over something that is not bytes
	CodeCodecUTF8       Code = dagcbor.CodeUTF8       // a text that is not UTF-8
	CodeCodecInt        Code = dagcbor.CodeInt        // an integer that does not fit 63 bits and a sign
	CodeCodecTrailing   Code = dagcbor.CodeTrailing   // bytes after the item
	CodeCodecTruncated  Code = dagcbor.CodeTruncated  // the bytes end inside the item
	CodeCodecDepth      Code = dagcbor.CodeDepth      // more than 32 maps and lists inside each other
	CodeCodecSize       Code = dagcbor.CodeSize       // more than 256 KiB
)

// Codes of links: a CID other than CIDv1, dag-cbor or raw, sha2-256 of 32 bytes, in its one binary form.
const (
	CodeLinkPrefix   Code = dagcbor.CodeLinkPrefix   // the zero byte before the CID is missing
	CodeLinkV0       Code = dagcbor.CodeLinkV0       // a CIDv0
	CodeLinkVersion  Code = dagcbor.CodeLinkVersion  // a CID of an unknown version
	CodeLinkVarint   Code = dagcbor.CodeLinkVarint   // a number of the CID in a longer form than needed
	CodeLinkIdentity Code = dagcbor.CodeLinkIdentity // data in the place of a hash
	CodeLinkHash     Code = dagcbor.CodeLinkHash     // another hash function
	CodeLinkDigest   Code = dagcbor.CodeLinkDigest   // a digest of another length than 32 bytes
	CodeLinkCodec    Code = dagcbor.CodeLinkCodec    // neither dag-cbor nor raw
	CodeLinkTrailing Code = dagcbor.CodeLinkTrailing // bytes after the digest
	CodeLinkForm     Code = dagcbor.CodeLinkForm     // not a CID at all, or one that ends too soon
)

// Check says whether data is one dag-cbor item in its canonical spelling and within our bounds, whatever record it
// is. It makes one pass and allocates nothing. The error is a [*Fault] without a CID, with one of the codec and link
// codes; an error always names the first fault in the order of the bytes.
func Check(data []byte) error { return walkBlock(data, nil) }

// BlockLinks checks a block as [Check] does, whatever record it is, and returns what it links to, doubles too.
func BlockLinks(data []byte) (links []Link, err error) {
	if err := walkBlock(data, func(b []byte) { links = append(links, linkFromBytes(b)) }); err != nil {
		return nil, err
	}
	return links, nil
}

// walkBlock is [dagcbor.Walk] with a Fault.
func walkBlock(data []byte, link func(cid []byte)) error { return faultOf(dagcbor.Walk(data, link)) }

// IsLink says whether a CID is one of ours: CIDv1, dag-cbor or raw, sha2-256.
func IsLink(c cid.Cid) bool { return dagcbor.IsCID(c.KeyString()) }

// Faultf returns a Fault that names no block.
func Faultf(code Code, format string, args ...any) *Fault {
	return &Fault{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// faultOf turns what is wrong with bytes into a Fault; other errors, and nil, stay.
func faultOf(err error) error {
	if e, ok := err.(*dagcbor.Error); ok {
		return &Fault{Code: Code(e.Code), Detail: e.Detail}
	}
	return err
}

// cidFault says why b is not the binary form of a CID of ours.
func cidFault(b []byte) *Fault {
	e := dagcbor.CIDError(b)
	return &Fault{Code: Code(e.Code), Detail: e.Detail}
}

// linkFromBytes returns the Link of 36 bytes that dagcbor.IsCID holds for.
func linkFromBytes(b []byte) Link { return dagcbor.LinkFromString(string(b)) }

// codecOf returns the codec of a Link, without the cost of Prefix; 0 if it is not one of ours.
func codecOf(l Link) uint64 {
	if s := l.KeyString(); len(s) == cidLen {
		return uint64(s[1])
	}
	return 0
}
