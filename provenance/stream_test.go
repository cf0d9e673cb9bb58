package provenance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"testing"

	"github.com/ipfs/go-cid"
)

// A longFile is a CAR file of real records with many large leaves behind them, which exist only as far as they are
// read. It notes how much memory the heap takes at most while it is read.
type longFile struct {
	records []byte // header, and all sections but the leaves'
	n       int    // leaves
	pattern []byte
	cids    []Link

	reads int
	most  uint64
}

const longLeaf = 200_000

const longSection = 3 + cidLen + longLeaf // the section's length takes three bytes

// leaf returns the bytes of leaf i. They are valid until the next call.
func (f *longFile) leaf(i int) []byte {
	binary.BigEndian.PutUint64(f.pattern, uint64(i))
	return f.pattern
}

func (f *longFile) size() int64 { return int64(len(f.records)) + int64(f.n)*longSection }

func (f *longFile) ReadAt(b []byte, at int64) (n int, err error) {
	if f.reads++; f.reads%64 == 0 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		f.most = max(f.most, s[0].Value.Uint64())
	}
	var head [3 + cidLen]byte
	for n < len(b) {
		var part []byte
		if at < int64(len(f.records)) {
			part = f.records[at:]
		} else {
			i, in := (at-int64(len(f.records)))/longSection, (at-int64(len(f.records)))%longSection
			if i >= int64(f.n) {
				return n, io.EOF
			}
			if in < int64(len(head)) {
				binary.PutUvarint(head[:], cidLen+longLeaf)
				copy(head[3:], f.cids[i].KeyString())
				part = head[in:]
			} else {
				part = f.leaf(int(i))[in-int64(len(head)):]
			}
		}
		k := copy(b[n:], part)
		n, at = n+k, at+int64(k)
	}
	return n, nil
}

// TestAGigabyteStreams verifies a file of a gigabyte: 5,000 tool results in the open, of 200 kB each.
func TestAGigabyteStreams(t *testing.T) {
	f := &longFile{n: 5000, pattern: make([]byte, longLeaf)}
	if testing.Short() {
		f.n = 250
	}
	h := longHistory(t, f.n)
	leaves := map[Link]bool{}
	for i := range f.n {
		leaf := &Payload{leaf: Sum(cid.Raw, f.leaf(i)), public: true}
		h.steps[2+2*i].Event.(*Result).Output = leaf
		h.sealed[leaf] = true
		f.cids = append(f.cids, leaf.leaf)
		leaves[leaf.leaf] = true
	}
	root := h.link(t)
	var file bytes.Buffer
	stats, err := Export(&file, root, func(l Link) ([]byte, error) {
		if leaves[l] {
			return nil, fmt.Errorf("%s: %w", l, ErrWithheld)
		}
		return h.Get(l)
	})
	if err != nil || stats.Withheld != f.n {
		t.Fatalf("%+v, %v", stats, err)
	}
	f.records = file.Bytes()
	steps := len(h.steps)
	h = nil
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := OpenCAR(f, f.size())
	if err != nil {
		t.Fatal(err)
	}
	rep, ev := Verify(c, Options{OperatorKey: operatorKey()})
	if rep.Verdict != Gaps || rep.Status(CheckLeaves).Count != f.n {
		t.Errorf("%+v", rep)
	}
	n := 0
	if err := ev.Each(func(_ Link, s *Step) error { n++; return nil }); err != nil || n != steps {
		t.Errorf("%d of %d steps read again: %v", n, steps, err)
	}
	took := (max(f.most, before.HeapAlloc) - before.HeapAlloc) >> 20
	t.Logf("%d MB in %d blocks: at most %d MB of memory, garbage included", f.size()>>20, c.Len(), took)
	if took > 64 {
		t.Errorf("a file of %d MB takes %d MB of memory, want at most 64", f.size()>>20, took)
	}
}
