package tamper

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/tamper/carfile"
	"github.com/writ-run/writ/provenance"
)

// An evidence is an honest file that is verified, with the keys of its leaves.
type evidence struct {
	name   string
	car    []byte
	blocks []provenance.Block
	keys   map[provenance.Link]provenance.LeafKey
}

// An outsider changes a file without any key. Each change returns the new file.
var outsider = []struct {
	kind   string
	change func(*rand.Rand, *evidence, []*evidence) []byte
}{
	{"a bit", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		f := bytes.Clone(e.car)
		f[r.IntN(len(f))] ^= 1 << r.IntN(8)
		return f
	}},
	{"a byte", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		f := bytes.Clone(e.car)
		f[r.IntN(len(f))] = byte(r.Uint32())
		return f
	}},
	{"bytes left out", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		i := r.IntN(len(e.car))
		return slices.Delete(bytes.Clone(e.car), i, min(len(e.car), i+1+r.IntN(64)))
	}},
	{"bytes put in", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		more := make([]byte, 1+r.IntN(64))
		for i := range more {
			more[i] = byte(r.Uint32())
		}
		return slices.Insert(bytes.Clone(e.car), r.IntN(len(e.car)+1), more...)
	}},
	{"bytes exchanged", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		f := bytes.Clone(e.car)
		i, j := r.IntN(len(f)), r.IntN(len(f))
		f[i], f[j] = f[j], f[i]
		return f
	}},
	{"the end cut off", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		return bytes.Clone(e.car[:r.IntN(len(e.car))])
	}},
	{"a block left out", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		i := r.IntN(len(e.blocks))
		return carWithRoot(e.blocks[0].CID, slices.Delete(slices.Clone(e.blocks), i, i+1))
	}},
	{"a block twice", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		b := e.blocks[r.IntN(len(e.blocks))]
		return carfile.Write(slices.Insert(slices.Clone(e.blocks), 1+r.IntN(len(e.blocks)), b))
	}},
	{"another file's block", func(r *rand.Rand, e *evidence, all []*evidence) []byte {
		other := all[r.IntN(len(all))]
		b := other.blocks[r.IntN(len(other.blocks))]
		return carfile.Write(slices.Insert(slices.Clone(e.blocks), 1+r.IntN(len(e.blocks)), b))
	}},
	{"another file's block in place of one", func(r *rand.Rand, e *evidence, all []*evidence) []byte {
		other := all[r.IntN(len(all))]
		return relinked(e, r.IntN(len(e.blocks)), other.blocks[r.IntN(len(other.blocks))].Data)
	}},
	{"blocks exchanged", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		blocks := slices.Clone(e.blocks)
		i, j := r.IntN(len(blocks)), r.IntN(len(blocks))
		blocks[i].Data, blocks[j].Data = blocks[j].Data, blocks[i].Data
		return carfile.Write(blocks)
	}},
	{"another root", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		return carWithRoot(e.blocks[r.IntN(len(e.blocks))].CID, e.blocks)
	}},
	{"a value of a record", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		i := pickRecord(r, e)
		return withBlock(e, i, changeNode(r, e, e.blocks[i].Data))
	}},
	{"a value of a record, linked anew", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		i := pickRecord(r, e)
		return relinked(e, i, changeNode(r, e, e.blocks[i].Data))
	}},
	{"another spelling of a record", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		i := pickRecord(r, e)
		return relinked(e, i, respellNode(r, e.blocks[i].Data))
	}},
	{"a link moved", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		i := pickRecord(r, e)
		data := bytes.Clone(e.blocks[i].Data)
		links, _ := provenance.BlockLinks(data)
		if len(links) == 0 {
			return nil
		}
		to := e.blocks[r.IntN(len(e.blocks))].CID
		return relinked(e, i, bytes.Replace(data, links[r.IntN(len(links))].Bytes(), to.Bytes(), 1))
	}},
	{"a sealed leaf, linked anew", func(r *rand.Rand, e *evidence, _ []*evidence) []byte {
		i := pickBlock(r, e, cid.Raw)
		data := bytes.Clone(e.blocks[i].Data)
		if len(data) == 0 {
			return nil
		}
		data[r.IntN(len(data))] ^= 1 << r.IntN(8)
		return relinked(e, i, data)
	}},
}

func pickRecord(r *rand.Rand, e *evidence) int { return pickBlock(r, e, cid.DagCBOR) }

func pickBlock(r *rand.Rand, e *evidence, codec uint64) int {
	for {
		if i := r.IntN(len(e.blocks)); e.blocks[i].CID.Prefix().Codec == codec {
			return i
		}
	}
}

// withBlock puts another block in the place of one, and leaves the links to it.
func withBlock(e *evidence, i int, data []byte) []byte {
	blocks := slices.Clone(e.blocks)
	blocks[i] = provenance.Block{CID: provenance.Sum(blocks[i].CID.Prefix().Codec, data), Data: data}
	return carfile.Write(blocks)
}

// relinked does so, and makes every link to it anew, and to what links to it, up to the root; only signatures stay.
func relinked(e *evidence, i int, data []byte) []byte {
	blocks := slices.Clone(e.blocks)
	blocks[i].Data = data
	for todo, made := []int{i}, 0; len(todo) > 0; todo = todo[1:] {
		if made++; made > 1000 {
			return nil // the change has made a ring, which no hashes can
		}
		b := &blocks[todo[0]]
		was := b.CID
		if b.CID = provenance.Sum(was.Prefix().Codec, b.Data); b.CID == was {
			continue
		}
		for k := range blocks {
			if bytes.Contains(blocks[k].Data, was.Bytes()) {
				blocks[k].Data = bytes.ReplaceAll(blocks[k].Data, was.Bytes(), b.CID.Bytes())
				todo = append(todo, k)
			}
		}
	}
	return carfile.Write(blocks)
}

// carWithRoot writes blocks under a root that need not be the first.
func carWithRoot(root provenance.Link, blocks []provenance.Block) []byte {
	f := carfile.Header(root)
	for _, b := range blocks {
		f = append(f, carfile.Section(b)...)
	}
	return f
}

// A node is an item of DAG-CBOR: its head, and for a list, map or tag the items in it.
type node struct {
	major byte
	arg   uint64
	long  bool   // the head takes eight bytes, which is not its spelling
	text  []byte // of a string, or the bytes of a simple value
	kids  []*node
}

// readNode reads an item of a block that is well-formed.
func readNode(b []byte) (*node, []byte) {
	n := &node{major: b[0] >> 5}
	size := 1
	switch low := b[0] & 31; {
	case n.major == 7:
		if low >= 24 {
			size += 1 << (low - 24)
		}
		n.text = b[:size]
		return n, b[size:]
	case low < 24:
		n.arg = uint64(low)
	default:
		var wide [8]byte
		k := 1 << (low - 24)
		copy(wide[8-k:], b[1:1+k])
		n.arg, size = binary.BigEndian.Uint64(wide[:]), size+k
	}
	b = b[size:]
	kids := uint64(0)
	switch n.major {
	case 2, 3:
		n.text, b = b[:n.arg], b[n.arg:]
	case 4:
		kids = n.arg
	case 5:
		kids = 2 * n.arg
	case 6:
		kids = 1
	}
	for range kids {
		var kid *node
		kid, b = readNode(b)
		n.kids = append(n.kids, kid)
	}
	return n, b
}

func (n *node) write(out []byte) []byte {
	if n.major == 7 {
		return append(out, n.text...)
	}
	switch n.major {
	case 2, 3:
		n.arg = uint64(len(n.text))
	case 4:
		n.arg = uint64(len(n.kids))
	case 5:
		n.arg = uint64(len(n.kids) / 2)
	}
	switch m := n.major << 5; {
	case n.long || n.arg > 0xffffffff:
		out = binary.BigEndian.AppendUint64(append(out, m|27), n.arg)
	case n.arg < 24:
		out = append(out, m|byte(n.arg))
	case n.arg < 256:
		out = append(out, m|24, byte(n.arg))
	case n.arg < 65536:
		out = binary.BigEndian.AppendUint16(append(out, m|25), uint16(n.arg))
	default:
		out = binary.BigEndian.AppendUint32(append(out, m|26), uint32(n.arg))
	}
	out = append(out, n.text...)
	for _, k := range n.kids {
		out = k.write(out)
	}
	return out
}

func (n *node) each(f func(*node)) {
	f(n)
	for _, k := range n.kids {
		k.each(f)
	}
}

func pickNode(r *rand.Rand, root *node) (picked *node) {
	seen := 0
	root.each(func(n *node) {
		if seen++; r.IntN(seen) == 0 {
			picked = n
		}
	})
	return picked
}

// changeNode changes one value of a record; the rest is spelt as it must be.
func changeNode(r *rand.Rand, e *evidence, data []byte) []byte {
	root, rest := readNode(data)
	if len(rest) > 0 {
		panic(fmt.Sprintf("%d bytes after a record", len(rest)))
	}
	switch n := pickNode(r, root); n.major {
	case 0, 1:
		n.arg = []uint64{n.arg + 1, n.arg - 1, 0, n.arg ^ 1<<r.IntN(40)}[r.IntN(4)]
	case 2, 3:
		changeString(r, n)
	case 4, 5:
		changeItems(r, n)
	case 6:
		n.kids[0].text = append([]byte{0}, e.blocks[r.IntN(len(e.blocks))].CID.Bytes()...)
	default:
		n.text = []byte{[]byte{0xf4, 0xf5, 0xf6}[r.IntN(3)]}
	}
	return root.write(nil)
}

func changeString(r *rand.Rand, n *node) {
	s := bytes.Clone(n.text)
	switch k := r.IntN(4); {
	case k == 0 || len(s) == 0:
		s = append(s, 'x')
	case k == 1:
		s = s[:len(s)-1]
	default:
		s[r.IntN(len(s))] ^= 1 << r.IntN(7)
	}
	n.text = s
}

// changeItems leaves an item of a list or map out, doubles it, or exchanges two.
func changeItems(r *rand.Rand, n *node) {
	width := 1
	if n.major == 5 {
		width = 2
	}
	count := len(n.kids) / width
	if count == 0 {
		n.kids = append(n.kids, &node{major: 3, text: []byte("x")}, &node{major: 0})[:width]
		return
	}
	i := r.IntN(count) * width
	switch item := slices.Clone(n.kids[i : i+width]); r.IntN(3) {
	case 0:
		n.kids = slices.Delete(n.kids, i, i+width)
	case 1:
		n.kids = slices.Insert(n.kids, i, item...)
	default:
		j := r.IntN(count) * width
		for k := range width {
			n.kids[i+k], n.kids[j+k] = n.kids[j+k], n.kids[i+k]
		}
	}
}

// respellNode writes one value of a record in another spelling.
func respellNode(r *rand.Rand, data []byte) []byte {
	root, _ := readNode(data)
	n := pickNode(r, root)
	if n.major == 5 && len(n.kids) > 2 && r.IntN(2) == 0 { // its keys in another order
		n.kids = append(n.kids[2:], n.kids[:2]...)
	} else {
		n.long = true
	}
	return root.write(nil)
}
