package provenance

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/ipfs/go-cid"
	car "github.com/ipld/go-car/v2"
	carstorage "github.com/ipld/go-car/v2/storage"
)

func openCAR(file []byte) (*CAR, error) { return OpenCAR(bytes.NewReader(file), int64(len(file))) }

// sections takes a CAR file apart: its header, and each section with its length.
func sections(t testing.TB, file []byte) (header []byte, parts [][]byte) {
	t.Helper()
	for rest := file; len(rest) > 0; {
		n, size := binary.Uvarint(rest)
		end := size + int(n)
		parts, rest = append(parts, rest[:end]), rest[end:]
	}
	return parts[0], parts[1:]
}

// section makes one section of a CID and data, whatever they are.
func section(c, data []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(len(c)+len(data)))
	return append(append(b, c...), data...)
}

func TestExportIsDepthFirstWithoutDoubles(t *testing.T) {
	// top -> (a -> shared, b -> (shared, leaf)): each once, in the order in which one meets it.
	blocks := map[Link][]byte{}
	put := func(b Block) Link { blocks[b.CID] = b.Data; return b.CID }
	list := func(links ...Link) Link {
		data := []byte{0x80 | byte(len(links))}
		for _, l := range links {
			data = append(append(data, "\xd8\x2a\x58\x25\x00"...), l.Bytes()...)
		}
		return put(Block{Sum(cid.DagCBOR, data), data})
	}
	leaf := put(NewRaw([]byte("leaf")))
	shared := list()
	a, b := list(shared), list(shared, leaf)
	top := list(a, b, a)

	var file bytes.Buffer
	stats, err := Export(&file, top, func(c Link) ([]byte, error) { return blocks[c], nil })
	if err != nil {
		t.Fatal(err)
	}
	if want := (ExportStats{Blocks: 5, Bytes: int64(file.Len())}); stats != want {
		t.Errorf("stats = %+v, want %+v", stats, want)
	}
	var got []Link
	_, parts := sections(t, file.Bytes())
	for _, p := range parts {
		_, size := binary.Uvarint(p)
		got = append(got, linkFromBytes(p[size:size+cidLen]))
	}
	if want := []Link{top, a, shared, b, leaf}; !reflect.DeepEqual(got, want) {
		t.Errorf("order = %v, want %v", got, want)
	}
}

func TestGoCARReadsOurs(t *testing.T) {
	h := newHistory()
	file := h.car(t)
	r, err := car.NewBlockReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; ; n++ {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.RawData(), h.blocks[b.Cid()]) {
			t.Errorf("block %s differs", b.Cid())
		}
	}
	if n != len(h.blocks) {
		t.Errorf("go-car reads %d blocks, want %d", n, len(h.blocks))
	}
}

// memory is an io.WriterAt, as go-car wants one.
type memory struct{ b []byte }

func (m *memory) Write(p []byte) (int, error) { m.b = append(m.b, p...); return len(p), nil }

func TestWeReadGoCARs(t *testing.T) {
	ours := newHistory().car(t)
	c, err := openCAR(ours)
	if err != nil {
		t.Fatal(err)
	}
	var theirs memory
	w, err := carstorage.NewWritable(&theirs, []cid.Cid{c.Root()}, car.WriteAsCarV1(true))
	if err != nil {
		t.Fatal(err)
	}
	_, parts := sections(t, ours)
	for _, p := range parts {
		_, size := binary.Uvarint(p)
		l := linkFromBytes(p[size : size+cidLen])
		if err := w.Put(context.Background(), l.KeyString(), p[size+cidLen:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finalize(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(theirs.b, ours) {
		t.Error("go-car writes other bytes for the same blocks in the same order")
	}
	if _, err := openCAR(theirs.b); err != nil {
		t.Errorf("we refuse go-car's file: %v", err)
	}
}

func TestExportRefuses(t *testing.T) {
	h := newHistory()
	root := h.link(t)
	leaf := h.leaves[0].CID
	for _, tt := range []struct {
		rule string
		get  func(Link) ([]byte, error)
		code Code
		err  error
	}{
		{"a record that is not there", func(c Link) ([]byte, error) {
			if c == h.cids[2] {
				return nil, ErrAbsent
			}
			return h.Get(c)
		}, "?", ErrAbsent},
		{"a record that is withheld", func(c Link) ([]byte, error) {
			if c == h.cids[2] {
				return nil, ErrWithheld
			}
			return h.Get(c)
		}, "?", ErrWithheld},
		{"a leaf that is not there", func(c Link) ([]byte, error) {
			if c == leaf {
				return nil, ErrAbsent
			}
			return h.Get(c)
		}, "?", ErrAbsent},
		{"other bytes", func(c Link) ([]byte, error) {
			if c == leaf {
				return []byte("other"), nil
			}
			return h.Get(c)
		}, CodeBlockHash, nil},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := Export(io.Discard, root, tt.get)
			if codeOf(err) != tt.code || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("Export: %v, want %s, %v", err, tt.code, tt.err)
			}
		})
	}
	bad := Block{Data: []byte{0xf6}}
	bad.CID = Sum(cid.DagCBOR, bad.Data)
	if _, err := Export(io.Discard, bad.CID, func(Link) ([]byte, error) {
		return bad.Data, nil
	}); codeOf(err) != CodeCodecNull {
		t.Errorf("a record that is not canonical: %v, want %s", err, CodeCodecNull)
	}
	if _, err := Export(io.Discard, Link{}, h.Get); codeOf(err) != CodeLinkForm {
		t.Errorf("no root: %v, want %s", err, CodeLinkForm)
	}
	if _, err := Export(failing{}, root, h.Get); err == nil {
		t.Error("a disk that fails is not noticed")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestExportLeavesOutWhatIsWithheld(t *testing.T) {
	h := newHistory()
	root := h.link(t)
	var file bytes.Buffer
	stats, err := Export(&file, root, func(c Link) ([]byte, error) {
		if c == h.leaves[1].CID {
			return nil, ErrWithheld
		}
		return h.Get(c)
	})
	if err != nil || stats.Withheld != 1 || stats.Blocks != len(h.blocks)-1 {
		t.Errorf("stats = %+v, %v", stats, err)
	}
}

// A chain of 300,000 records is exported, opened and walked without a stack that grows with it.
func TestALongChain(t *testing.T) {
	const n = 300_000
	blocks := make(map[Link][]byte, n)
	var top Link
	for i := range n {
		data := []byte{0x82, 0x1a, byte(i>>24) | 1, byte(i >> 16), byte(i >> 8), byte(i)}
		if data = append(data, 0x80); i > 0 {
			data = append(append(data[:6], "\xd8\x2a\x58\x25\x00"...), top.KeyString()...)
		}
		top = Sum(cid.DagCBOR, data)
		blocks[top] = data
	}
	var file bytes.Buffer
	stats, err := Export(&file, top, func(c Link) ([]byte, error) { return blocks[c], nil })
	if err != nil || stats.Blocks != n {
		t.Fatalf("%+v, %v", stats, err)
	}
	if c, err := openCAR(file.Bytes()); err != nil || c.Len() != n || c.Root() != top {
		t.Errorf("opened: %v", err)
	}
}

func TestOpenCARNamesEachFault(t *testing.T) {
	h := newHistory()
	file := h.car(t)
	header, parts := sections(t, file)
	join := func(head []byte, parts ...[]byte) []byte { return append(bytes.Clone(head), bytes.Join(parts, nil)...) }
	raw := func(prefix string, data string) []byte { return section([]byte(prefix), []byte(data)) }
	with := func(more []byte) []byte { return join(file, more) }
	patch := func(b []byte, at int, to byte) []byte { b = bytes.Clone(b); b[at] = to; return b }
	zeros := string(make([]byte, 32))

	for _, tt := range []struct {
		rule string
		file []byte
		want Code
	}{
		{"the whole file", file, ""},
		{"the blocks in another order", join(header,
			append([][]byte{parts[len(parts)-1]}, parts[:len(parts)-1]...)...), ""},

		{"no bytes", nil, CodeCARHeader},
		{"text", []byte("this is not an archive, but it is long enough to be one of those"), CodeCARHeader},
		{"half a header", header[:20], CodeCARHeader},
		{"a header's length in two bytes", join([]byte{0xba, 0x00}, header[1:], bytes.Join(parts, nil)), CodeCARHeader},
		{"a CAR of version 2", join([]byte("\x0a\xa1\x67version\x02"), make([]byte, 60)), CodeCARVersion},
		{"a header of version 3", patch(file, len(header)-1, 3), CodeCARVersion},
		{"no root", join([]byte("\x11\xa2\x65roots\x80\x67version\x01"), parts...), CodeCARRoots},
		{"two roots", twoRoots(header, parts), CodeCARRoots},
		{"a root that is an identity CID", patch(file, 16, 0x00), CodeLinkIdentity},
		{"a root that is a SHA-1", patch(file, 16, 0x11), CodeLinkHash},
		{"the root is not among the blocks", join(header, parts[1:]...), CodeCARRootMissing},
		{"a header and nothing else", header, CodeCARRootMissing},

		{"a bit of a record", flip(file, len(header)+60), CodeBlockHash},
		{"a bit of the last leaf", flip(file, len(file)-1), CodeBlockHash},
		{"a bit of a digest", flip(file, len(header)+10), CodeBlockHash},
		{"raw for dag-cbor", patch(file, len(header)+3, 0x55), CodeCARRootMissing},
		{"a block twice", join(file, parts[3]), CodeCARDuplicate},
		{"a block twice with other bytes", join(file, flip(parts[3], len(parts[3])-1)), CodeBlockHash},
		{"a CIDv0", with(raw("\x12\x20"+zeros, "xxxx")), CodeLinkV0},
		{"an identity CID", with(raw("\x01\x55\x00\x20"+zeros, "")), CodeLinkIdentity},
		{"a CID with SHA-512", with(raw("\x01\x55\x13\x20"+zeros, "")), CodeLinkHash},
		{"a CID with a cut digest", with(raw("\x01\x55\x12\x14"+zeros, "")), CodeLinkDigest},
		{"a CID of dag-pb", with(raw("\x01\x70\x12\x20"+zeros, "")), CodeLinkCodec},
		{"a CID with a number too long", with(raw("\x01\xd5\x00\x12\x20"+zeros, "")), CodeLinkVarint},

		{"cut inside a section", file[:len(file)-5], CodeCARTruncated},
		{"cut inside a length", join(file, []byte{0x80}), CodeCARTruncated},
		{"cut after a length", join(file, []byte{0x40}), CodeCARTruncated},
		{"cut between two sections", file[:len(file)-len(parts[len(parts)-1])], ""}, // a leaf is away: Verify sees it
		{"a length in a longer form", join(header,
			append([][]byte{append([]byte{parts[0][0] | 0x80, parts[0][1] | 0x80, 0}, parts[0][2:]...)},
				parts[1:]...)...), CodeCARVarint},
		{"a length of six bytes", with([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0x01}), CodeCARVarint},
		{"a section of 4 GB", with(join([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, []byte("\x01\x55\x12\x20"+zeros))),
			CodeBlockSize},
		{"a block over the limit", with(raw("\x01\x55\x12\x20"+zeros, string(make([]byte, MaxBlock+1)))),
			CodeBlockSize},
		{"a section too short for a CID", with(raw("\x01\x55\x12", "")), CodeCARSection},
		{"zero bytes at the end", with(make([]byte, 9)), CodeCARPadding},
		{"zero bytes and then text", with(append(make([]byte, 9), "end"...)), CodeCARJunk},
		{"another file behind it", with(file), CodeCARJoined},
		{"a gzip file", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), CodeCARPacked},
		{"text at the end", with([]byte("end of file")), CodeCARJunk},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := openCAR(tt.file)
			if got := codeOf(err); got != tt.want {
				t.Errorf("OpenCAR: %v, want %q", err, tt.want)
			}
			if r := FailedReport(err); err != nil && (r.Verdict != VerdictOf(tt.want) || !r.Refused() || r.Code != tt.want) {
				t.Errorf("report: %s %s", r.Verdict, r.Code)
			}
		})
	}
}

func flip(b []byte, at int) []byte { b = bytes.Clone(b); b[at] ^= 1; return b }

func twoRoots(header []byte, parts [][]byte) []byte {
	link := header[9:50]
	b := append([]byte("\x63\xa2\x65roots\x82"), link...)
	b = append(append(b, link...), carHeaderB...)
	return append(b, bytes.Join(parts, nil)...)
}

func TestGetChecksAgain(t *testing.T) {
	h := newHistory()
	file := h.car(t)
	c, err := openCAR(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(NewRaw([]byte("another")).CID); !errors.Is(err, ErrAbsent) {
		t.Errorf("a block that is not there: %v", err)
	}
	if _, err := c.Get(cid.NewCidV0(Sum(cid.Raw, nil).Hash())); !errors.Is(err, ErrAbsent) {
		t.Errorf("a CIDv0: %v", err)
	}
	last := h.leaves[len(h.leaves)-1].CID
	for i := range file {
		file[i] ^= 1 // the file changes after it was opened
	}
	if _, err := c.Get(last); codeOf(err) != CodeBlockHash {
		t.Errorf("changed bytes: %v, want %s", err, CodeBlockHash)
	}
}

func TestUnreadableFile(t *testing.T) {
	_, err := OpenCAR(bytes.NewReader(nil), 100)
	if err == nil {
		t.Fatal("a file shorter than it claims was opened")
	}
	if r := FailedReport(err); r.Code != CodeUnreadable || r.Status(CheckFrame).Status != Fail {
		t.Errorf("report: %+v", r)
	}
}

// A smallFile is a CAR file of n blocks with eight bytes each, which exists only as far as it is read. Block i holds i.
type smallFile struct{ n int }

const smallSection = 1 + cidLen + 8

func (f smallFile) size() int64 { return int64(carHeader) + int64(f.n)*smallSection }

func (f smallFile) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		var part []byte
		if at < int64(carHeader) {
			part = []byte(carHeaderA + NewRaw(make([]byte, 8)).CID.KeyString() + carHeaderB)[at:]
		} else {
			i := (at - int64(carHeader)) / smallSection
			if i >= int64(f.n) {
				return n, io.EOF
			}
			x := NewRaw(binary.BigEndian.AppendUint64(nil, uint64(i)))
			part = section(x.CID.Bytes(), x.Data)[(at-int64(carHeader))%smallSection:]
		}
		k := copy(b[n:], part)
		n, at = n+k, at+int64(k)
	}
	return n, nil
}

func TestTheIndexIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("hashes some two million blocks")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f := smallFile{MaxBlocks}
	c, err := OpenCAR(f, f.size())
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := after.HeapAlloc - before.HeapAlloc; n > 32<<20 {
		t.Errorf("the index of %d blocks takes %d MB, want at most 32", c.Len(), n>>20)
	} else {
		t.Logf("the index of %d blocks takes %d MB, %d bytes each", c.Len(), n>>20, int(n)/c.Len())
	}
	for i := 0; i < MaxBlocks; i += 9973 {
		b := NewRaw(binary.BigEndian.AppendUint64(nil, uint64(i)))
		if data, err := c.Get(b.CID); err != nil || !bytes.Equal(data, b.Data) {
			t.Fatalf("block %d: %x, %v", i, data, err)
		}
	}
	if _, err := c.Get(NewRaw([]byte("another")).CID); !errors.Is(err, ErrAbsent) {
		t.Errorf("a block that is not there: %v", err)
	}
	f.n++
	if _, err := OpenCAR(f, f.size()); codeOf(err) != CodeCARSize {
		t.Errorf("one block more: %v, want %s", err, CodeCARSize)
	}
	runtime.KeepAlive(c)
}

func FuzzCAR(f *testing.F) {
	file := newHistory().car(f)
	f.Add(file)
	f.Add(file[:200])
	r := rand.New(rand.NewPCG(1, 2))
	for range 4 {
		f.Add(flip(file, r.IntN(len(file))))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := openCAR(file)
		if err != nil {
			return
		}
		for i := range c.Len() {
			l, err := c.cidAt(i)
			if err != nil {
				t.Fatal(err)
			}
			data, err := c.Get(l)
			if err != nil || Sum(l.Prefix().Codec, data) != l {
				t.Errorf("block %d: %v", i, err)
			}
		}
		if !c.Has(c.Root()) {
			t.Error("the root is not there")
		}
		if r, e := Verify(c, Options{OperatorKey: operatorKey()}); e == nil && r.Code == "" {
			t.Errorf("no evidence and no code: %+v", r)
		}
	})
}
