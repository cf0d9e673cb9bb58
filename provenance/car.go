package provenance

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance/internal/blockindex"
	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

// Errors of whoever hands out blocks.
var (
	// ErrAbsent says that a block is not there.
	ErrAbsent = errors.New("block not found")
	// ErrWithheld says that a leaf is left out on purpose: it was erased, or is not for this reader.
	ErrWithheld = errors.New("leaf withheld")
)

// Codes of CAR files and of the blocks in them.
const (
	CodeCARHeader      Code = "car.header"       // not the header of a CAR v1 with one root
	CodeCARVersion     Code = "car.version"      // a CAR of another version
	CodeCARRoots       Code = "car.roots"        // no root, or more than one
	CodeCARRootMissing Code = "car.root_missing" // the root is not among the blocks
	CodeCARVarint      Code = "car.varint"       // a length that is too large, or in a longer form than needed
	CodeCARSection     Code = "car.section"      // a section that is too short for a CID
	CodeCARTruncated   Code = "car.truncated"    // the file ends inside a section
	CodeCARDuplicate   Code = "car.duplicate"    // a block that is there twice
	CodeCARJunk        Code = "car.junk"         // bytes that are no section
	CodeCARSize        Code = "car.size"         // more blocks than the index may hold
	CodeCARPadding     Code = "car.padding"      // nothing but zero bytes after the last section
	CodeCARJoined      Code = "car.joined"       // another CAR file follows the first one
	CodeCARPacked      Code = "car.packed"       // a compressed file
	CodeBlockHash      Code = "block.hash"       // bytes that do not hash to their CID
	CodeBlockSize      Code = "block.size"       // more than 256 KiB
)

const (
	cidLen     = dagcbor.CIDLen // bytes of a CID of ours
	maxSection = cidLen + MaxBlock
	// A header is this text with the root between its halves: {"roots": [root], "version": 1} in dag-cbor.
	carHeaderA = "\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00"
	carHeaderB = "\x67version\x01"
	carHeader  = len(carHeaderA) + cidLen + len(carHeaderB)
)

// MaxBlocks is how many blocks a CAR file may have to be opened. What its index and [Verify] keep in memory is then
// less than 64 MB. The size of the file does not matter.
const MaxBlocks = 1_500_000

// ExportStats counts what [Export] wrote.
type ExportStats struct {
	Blocks   int
	Bytes    int64 // of the file
	Withheld int   // leaves that get withheld
}

// Export writes everything that root leads to as a CAR v1 file: depth first, the root first, links in the order of
// their block, no block twice. The same blocks always give the same bytes, which are those of Kubo's "dag export".
//
// get returns a block's bytes. Their hash is checked, and records must pass [Check]. A raw leaf for which get returns
// [ErrWithheld] is left out and counted; any other error of get ends the export. Memory is about 100 bytes a block,
// and no depth of the chain costs stack.
func Export(w io.Writer, root Link, get func(Link) ([]byte, error)) (ExportStats, error) {
	var stats ExportStats
	if !dagcbor.IsCID(root.Bytes()) {
		return stats, fmt.Errorf("export %s: %w", root, cidFault(root.Bytes()))
	}
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteString(CARHeader(root))
	stats.Bytes = int64(carHeader)

	seen := map[string]struct{}{}
	stack := []Link{root}
	for len(stack) > 0 {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if _, again := seen[c.KeyString()]; again {
			continue
		}
		seen[c.KeyString()] = struct{}{}
		data, err := get(c)
		if errors.Is(err, ErrWithheld) && codecOf(c) == cid.Raw {
			stats.Withheld++
			continue
		}
		if err == nil {
			err = checkHash(c, data)
		}
		if err == nil && codecOf(c) == cid.DagCBOR {
			from := len(stack)
			err = walkBlock(data, func(b []byte) {
				if _, again := seen[string(b)]; !again {
					stack = append(stack, linkFromBytes(b))
				}
			})
			slices.Reverse(stack[from:]) // the first link is to be taken first
		}
		if err != nil {
			return stats, fmt.Errorf("export block %s: %w", c, err)
		}
		var head [binary.MaxVarintLen64]byte
		n := binary.PutUvarint(head[:], uint64(cidLen+len(data)))
		out.Write(head[:n])
		out.WriteString(c.KeyString())
		if _, err := out.Write(data); err != nil {
			return stats, fmt.Errorf("write the CAR file: %w", err)
		}
		stats.Blocks++
		stats.Bytes += int64(n + cidLen + len(data))
	}
	if err := out.Flush(); err != nil {
		return stats, fmt.Errorf("write the CAR file: %w", err)
	}
	return stats, nil
}

// CARHeader returns how a CAR v1 file with this root begins. Each block follows as a section: the length of the rest as
// a varint, the 36 bytes of its CID, its data.
func CARHeader(root Link) string { return carHeaderA + root.KeyString() + carHeaderB }

// checkHash says whether data is the block that c names.
func checkHash(c Link, data []byte) error {
	if len(data) > MaxBlock {
		return &Fault{CodeBlockSize, c, fmt.Sprintf("a block of %d bytes, at most %d are allowed", len(data), MaxBlock)}
	}
	var sum [cidLen]byte
	if dagcbor.PutCID(sum[:], codecOf(c), data); string(sum[:]) != c.KeyString() {
		return &Fault{CodeBlockHash, c, "the bytes do not hash to the CID"}
	}
	return nil
}

// A CAR is an opened CAR file: a set of blocks with a root. It keeps an index in memory and reads blocks from the
// file when they are asked for. It may be used by many goroutines at once.
type CAR struct {
	r     io.ReaderAt
	root  Link
	bytes int64
	index *blockindex.Index
}

// OpenCAR reads a CAR v1 file of size bytes from beginning to end. Nothing in it is trusted: exactly one root that
// is there, strict framing, CIDs of our two kinds, every block's hash checked, no block twice, nothing else in the
// file. The blocks may come in any order. What they say is not looked at. The file is streamed: memory is some 18 bytes
// a block, bounded by [MaxBlocks], whatever the file's size. The error is a [*Fault], or that of r.
func OpenCAR(r io.ReaderAt, size int64) (*CAR, error) {
	if size < 0 || size >= 1<<44 {
		return nil, Faultf(CodeCARSize, "a file of %d bytes", size)
	}
	// The buffer holds a whole section, which is looked at in place.
	in := &carReader{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), int(min(size, 4*maxSection))), left: size}
	root, err := in.readHeader()
	if err != nil {
		return nil, err
	}
	c := &CAR{r: r, root: root, index: blockindex.New()}
	var sum [cidLen]byte
	for in.left > 0 {
		section, err := in.readSection()
		if err != nil {
			return nil, err
		}
		link, data := section[:cidLen], section[cidLen:]
		if dagcbor.PutCID(sum[:], uint64(link[1]), data); !bytes.Equal(sum[:], link) {
			return nil, &Fault{CodeBlockHash, linkFromBytes(link), "the bytes do not hash to the CID"}
		}
		if c.index.Len() == MaxBlocks {
			return nil, Faultf(CodeCARSize, "more than %d blocks", MaxBlocks)
		}
		c.index.Add(string(link), blockindex.Span(size-in.left-int64(len(data)))<<20|blockindex.Span(len(data)))
		c.bytes += int64(len(data))
	}
	twice, err := c.index.SortAndFindTwice(func(i, k int) (bool, error) {
		a, err := c.cidAt(i)
		if err != nil {
			return false, err
		}
		b, err := c.cidAt(k)
		return a == b, err
	})
	if err != nil {
		return nil, err
	}
	if twice >= 0 {
		l, err := c.cidAt(twice)
		if err != nil {
			return nil, err
		}
		return nil, &Fault{CodeCARDuplicate, l, "the file has this block twice; " + wayOut}
	}
	if !c.Has(root) {
		return nil, &Fault{CodeCARRootMissing, root, "the root is not among the blocks"}
	}
	return c, nil
}

// Root returns the root that the file names.
func (c *CAR) Root() Link { return c.root }

// Len returns the number of blocks.
func (c *CAR) Len() int { return c.index.Len() }

// Size returns the bytes of all blocks together, without framing.
func (c *CAR) Size() int64 { return c.bytes }

// Has says whether the file has the block.
func (c *CAR) Has(l Link) bool { _, ok := c.ordinalOf(l); return ok }

// Get returns a block, or [ErrAbsent]. Its hash is checked on every read, since the file may change after it was
// opened.
func (c *CAR) Get(l Link) ([]byte, error) {
	data, _, err := c.readBlock(l)
	return data, err
}

// readBlock is Get; it also returns the block's place in the file.
func (c *CAR) readBlock(l Link) (data []byte, place int, err error) {
	changed := false
	if s := l.KeyString(); dagcbor.IsCID(s) {
		place = c.index.FindPlace(s, func(i int) bool {
			at := c.index.SpanAt(i)
			b := make([]byte, cidLen+at.Length())
			if err = c.readFull(b, at.Offset()-cidLen); err != nil {
				return true
			}
			data = b[cidLen:]
			found := string(b[:cidLen])
			changed = changed || !c.index.LooksAlike(found, s)
			return found == s
		})
	} else {
		place = -1
	}
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("read block %s: %w", l, err)
	case place < 0 && changed:
		return nil, 0, &Fault{CodeBlockHash, l, "the file changed after it was opened"}
	case place < 0:
		return nil, 0, fmt.Errorf("block %s: %w", l, ErrAbsent)
	}
	return data, place, checkHash(l, data)
}

// readFull fills b from the file.
func (c *CAR) readFull(b []byte, at int64) error {
	if _, err := c.r.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// ordinalOf returns the place of a block in the file.
func (c *CAR) ordinalOf(l Link) (int, bool) { return c.ordinalBy(l, new(cidKey)) }

// ordinalBy is ordinalOf with room for a CID.
func (c *CAR) ordinalBy(l Link, b *cidKey) (int, bool) {
	s := l.KeyString()
	if !dagcbor.IsCID(s) {
		return 0, false
	}
	i := c.index.FindPlace(s, func(i int) bool {
		return c.readFull(b[:], c.index.SpanAt(i).Offset()-cidLen) == nil && string(b[:]) == s
	})
	return max(i, 0), i >= 0
}

// cidAt returns the CID of the block at a place in the file.
func (c *CAR) cidAt(i int) (Link, error) {
	var b [cidLen]byte
	if err := c.readFull(b[:], c.index.SpanAt(i).Offset()-cidLen); err != nil {
		return cid.Undef, fmt.Errorf("read the CAR file: %w", err)
	}
	if !dagcbor.IsCID(b[:]) {
		return cid.Undef, Faultf(CodeBlockHash, "the file changed while it was read")
	}
	return linkFromBytes(b[:]), nil
}

// A carReader reads the frames of a file.
type carReader struct {
	r    *bufio.Reader
	left int64
}

// readHeader reads the header. There is one spelling for each root.
func (in *carReader) readHeader() (Link, error) {
	b := make([]byte, min(in.left, int64(carHeader)))
	if _, err := io.ReadFull(in.r, b); err != nil {
		return cid.Undef, fmt.Errorf("read the CAR file: %w", err)
	}
	in.left -= int64(len(b))
	switch rest, isA := bytes.CutPrefix(b, []byte(carHeaderA)); {
	case isA && len(b) == carHeader && string(rest[cidLen:]) == carHeaderB:
		if !dagcbor.IsCID(rest[:cidLen]) {
			return cid.Undef, cidFault(rest[:cidLen])
		}
		return linkFromBytes(rest[:cidLen]), nil
	case bytes.HasPrefix(b, []byte("\x0a\xa1\x67version\x02")):
		return cid.Undef, Faultf(CodeCARVersion, "a CAR of version 2, of which an index is no part of the evidence; "+wayOut)
	case isA && len(b) == carHeader && string(rest[cidLen:len(rest)-1]) == carHeaderB[:len(carHeaderB)-1]:
		return cid.Undef, Faultf(CodeCARVersion, "a CAR of version %d; %s", rest[len(rest)-1], wayOut)
	case len(b) > 8 && string(b[1:8]) == carHeaderA[1:8] && b[8] != 0x81:
		return cid.Undef, Faultf(CodeCARRoots,
			"a CAR without a root, or with more than one, so that it does not say which history is meant; "+wayOut)
	case isPacked(b):
		return cid.Undef, Faultf(CodeCARPacked, "a compressed file; unpack it first")
	}
	return cid.Undef, Faultf(CodeCARHeader, "the file does not begin as a CAR of version 1 with one root")
}

// wayOut says what whoever holds a file in another form can do.
const wayOut = "write its one history as a CAR of version 1: ipfs dag export ROOT, or fetch or export it again"

// isPacked says whether b begins as a gzip, zstd, xz, bzip2 or zip file does.
func isPacked(b []byte) bool {
	for _, magic := range []string{"\x1f\x8b", "\x28\xb5\x2f\xfd", "\xfd7zXZ\x00", "BZh", "PK\x03\x04"} {
		if bytes.HasPrefix(b, []byte(magic)) {
			return true
		}
	}
	return false
}

// zeroFault says what the zero byte is that stands where a section should: padding up to the end of the file, or junk.
func (in *carReader) zeroFault() error {
	for ; in.left > 0; in.left-- {
		b, err := in.r.ReadByte()
		if err != nil {
			return fmt.Errorf("read the CAR file: %w", err)
		}
		if b != 0 {
			return Faultf(CodeCARJunk, "zero bytes stand where a section should")
		}
	}
	return Faultf(CodeCARPadding, "zero bytes follow the last block, as a CAR that was made to a fixed size has them; %s",
		wayOut)
}

// readSection returns the next section: a CID of ours, and the bytes under it. It is valid until the next call.
func (in *carReader) readSection() ([]byte, error) {
	n, err := in.readLength()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, in.zeroFault()
	}
	peek, err := in.r.Peek(int(min(n, uint64(in.left), cidLen)))
	if err != nil {
		return nil, fmt.Errorf("read the CAR file: %w", err)
	}
	switch {
	case n == uint64(carHeaderA[0]) && bytes.HasPrefix(peek, []byte(carHeaderA[1:])):
		return nil, Faultf(CodeCARJoined, "another CAR file follows the first one; judge each by itself")
	case uint64(in.left) < n && !looksLikeCID(peek):
		return nil, Faultf(CodeCARJunk, "%d bytes that are no section follow the last block", in.left)
	case uint64(in.left) < n && n <= maxSection:
		return nil, Faultf(CodeCARTruncated, "the file ends %d bytes before the end of a section", n-uint64(in.left))
	case n < cidLen:
		return nil, Faultf(CodeCARSection, "a section of %d bytes is too short for a CID", n)
	case !dagcbor.IsCID(peek):
		return nil, cidFault(peek)
	case n > maxSection:
		return nil, &Fault{CodeBlockSize, linkFromBytes(peek), fmt.Sprintf("a block of more than %d bytes", MaxBlock)}
	}
	section, err := in.r.Peek(int(n))
	if err == nil {
		_, err = in.r.Discard(int(n)) // leaves the bytes where they are
	}
	if err != nil {
		return nil, fmt.Errorf("read the CAR file: %w", err)
	}
	in.left -= int64(n)
	return section, nil
}

// looksLikeCID says whether b could be the beginning of a CID, to tell a cut section from junk.
func looksLikeCID(b []byte) bool { return len(b) == 0 || b[0] == 1 || b[0] == 0x12 }

// readLength reads a section's length.
func (in *carReader) readLength() (n uint64, err error) {
	for shift := 0; ; shift += 7 {
		if in.left == 0 {
			return 0, Faultf(CodeCARTruncated, "the file ends inside the length of a section")
		}
		b, err := in.r.ReadByte()
		if err != nil {
			return 0, fmt.Errorf("read the CAR file: %w", err)
		}
		in.left--
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if b == 0 && shift > 0 {
				return 0, Faultf(CodeCARVarint, "a length in a longer form than needed")
			}
			return n, nil
		}
		if shift == 28 {
			return 0, Faultf(CodeCARVarint, "a length of more than five bytes")
		}
	}
}
