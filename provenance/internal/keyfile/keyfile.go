// Package keyfile reads files of leaf keys, of which there is one spelling.
package keyfile

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

const (
	// Schema is what a file of leaf keys says that it is.
	Schema = "writ/keys/1"
	// KeySize is how many bytes a leaf key has.
	KeySize = 32
	maxSize = 16 << 20 // bytes of a key file
)

// A File is what a file of leaf keys says: the CIDs of the leaves, 36 bytes each, and the key of each.
type File struct {
	CIDs []byte
	Keys [][KeySize]byte
}

// A FormError says that a file is none of leaf keys, or is too large. It quotes nothing of the file.
type FormError struct {
	What     string
	TooLarge bool
}

func (e *FormError) Error() string { return e.What }

// Read reads a file, which is streamed; what is kept is 100 bytes an entry. The error is a [*FormError], or that of r.
func Read(r io.Reader) (File, error) {
	in := &reader{r: bufio.NewReaderSize(r, 16<<10)}
	in.readEntries()
	if in.err != nil {
		if rest, err := io.Copy(io.Discard, io.LimitReader(in.r, maxSize)); err == nil && int64(in.size)+rest > maxSize {
			in.err = &FormError{fmt.Sprintf("a key file of more than %d bytes", maxSize), true}
		}
		return File{}, in.err
	}
	return in.out, nil
}

// A reader reads a key file byte for byte as it must be. The first error sticks.
type reader struct {
	r    *bufio.Reader
	size int // bytes read
	err  error
	out  File
	last []byte // the name of the entry before
}

var (
	keysBegin = `{"schema":"` + Schema + `","keys":{`
	keysEnd   = "}}\n"
)

// Lengths of what stands in an entry: a CID in base32, a key in base64.
var (
	nameLen  = 59 // of 36 bytes, in base32
	key64Len = base64.StdEncoding.EncodedLen(KeySize)
)

func (in *reader) readEntries() {
	if string(in.readBytes(len(keysBegin))) != keysBegin {
		in.failForm("not a file of leaf keys (%s)", Schema)
	}
	for in.err == nil {
		b := in.readBytes(1)[0]
		if b == '}' {
			break
		}
		if b == ',' && len(in.out.Keys) > 0 {
			b = in.readBytes(1)[0]
		} else if len(in.out.Keys) > 0 {
			b = 0
		}
		if b != '"' {
			in.failForm("the key file is not in its one spelling")
		}
		in.readEntry()
	}
	if in.err == nil && string(in.readBytes(len(keysEnd)-1)) != keysEnd[1:] {
		in.failForm("the key file is not in its one spelling")
	}
	if in.err != nil {
		return
	}
	if _, err := in.r.ReadByte(); err == nil {
		in.size++
		in.failForm("the key file is not in its one spelling")
	} else if !errors.Is(err, io.EOF) {
		in.err = err
	}
}

// readEntry reads an entry behind its first quote: CID":"key".
func (in *reader) readEntry() {
	b := in.readBytes(nameLen + len(`":"`) + key64Len + len(`"`))
	if in.err != nil {
		return
	}
	name, key64 := b[:nameLen], b[nameLen+len(`":"`):len(b)-1]
	c, err := cid.Decode(string(name))
	if err != nil || c.String() != string(name) || !dagcbor.IsCID(c.KeyString()) || c.Prefix().Codec != cid.Raw {
		in.failForm("an entry is not named by the CID of a leaf")
		return
	}
	var key [KeySize + 1]byte // base64 could say one byte more
	n, err := base64.StdEncoding.Strict().Decode(key[:], key64)
	if err != nil || n != KeySize || string(b[nameLen:nameLen+3]) != `":"` || b[len(b)-1] != '"' {
		in.failForm("the key of leaf %s is not %d bytes in base64", c, KeySize)
		return
	}
	if len(in.out.Keys) > 0 && bytes.Compare(in.last, name) >= 0 {
		in.failForm("the key file is not in its one spelling")
		return
	}
	in.last = append(in.last[:0], name...)
	in.out.CIDs = append(in.out.CIDs, c.KeyString()...)
	in.out.Keys = append(in.out.Keys, [KeySize]byte(key[:KeySize]))
}

// readBytes returns the next n bytes, which are valid until the next call.
func (in *reader) readBytes(n int) []byte {
	if in.err != nil {
		return make([]byte, n)
	}
	b, err := in.r.Peek(n)
	if errors.Is(err, io.EOF) {
		in.failForm("not a file of leaf keys (%s), or one that was cut off", Schema)
	} else if err != nil {
		in.err = err
	} else if in.size += n; in.size > maxSize {
		in.failForm("too large")
	} else {
		_, _ = in.r.Discard(n) // they are there, and stay where they are
		return b
	}
	return make([]byte, n)
}

func (in *reader) failForm(format string, args ...any) {
	if in.err == nil {
		in.err = &FormError{What: fmt.Sprintf(format, args...)}
	}
}
