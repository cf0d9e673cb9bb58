// Package carfile writes CAR files block by block, so that a vector can have them wrong at any place.
package carfile

import (
	"bytes"
	"encoding/binary"

	"github.com/writ-run/writ/provenance"
)

// Write writes blocks as a CAR file whose root is the first.
func Write(blocks []provenance.Block) []byte {
	b := Header(blocks[0].CID)
	for _, x := range blocks {
		b = append(b, Section(x)...)
	}
	return b
}

// Header is how a file with a root begins.
func Header(root provenance.Link) []byte {
	b := []byte("\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00")
	b = append(b, root.Bytes()...)
	return append(b, "\x67version\x01"...)
}

// Section is a block in a file.
func Section(b provenance.Block) []byte {
	out := Prefix(len(b.CID.Bytes()) + len(b.Data))
	return append(append(out, b.CID.Bytes()...), b.Data...)
}

// Prefix is the length that stands before n bytes.
func Prefix(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// Find returns where the section of a block begins and ends.
func Find(file []byte, c provenance.Link) (from, to int) {
	for n := 0; ; n++ {
		from, to = SectionAt(file, n)
		if _, k := binary.Uvarint(file[from:]); bytes.HasPrefix(file[from+k:], c.Bytes()) {
			return from, to
		}
	}
}

// Flip changes the last bit of a block.
func Flip(file []byte, c provenance.Link) []byte {
	_, to := Find(file, c)
	file[to-1] ^= 1
	return file
}

// SectionAt returns where the section of the n-th block begins and ends.
func SectionAt(file []byte, n int) (from, to int) {
	at := len(Header(provenance.NewRaw(nil).CID))
	for ; ; n-- {
		size, k := binary.Uvarint(file[at:])
		if n == 0 {
			return at, at + k + int(size)
		}
		at += k + int(size)
	}
}
