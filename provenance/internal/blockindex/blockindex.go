// Package blockindex says where the blocks of a file stand, in some 18 bytes a block.
package blockindex

import (
	"hash/maphash"
	"slices"
)

// An Index keeps no CID, only 40 bits of a hash
// of each under a key of this process, so that nobody can make a file of which they collide often: what it finds is to
// be compared with the CID in the file.
type Index struct {
	seed    maphash.Seed
	buckets [256][]uint64 // by the hash's first byte; each entry is 40 bits of the hash, then the block's place in 24
	chunks  [][]Span      // of the blocks in the order of the file
	n       int
}

// A Span is where a block's data stands: the offset in the upper 44 bits, the length in the lower 20.
type Span uint64

// Offset is where it begins.
func (s Span) Offset() int64 { return int64(s >> 20) }

// Length is in bytes.
func (s Span) Length() int { return int(s & (1<<20 - 1)) }

const (
	placeBits = 24
	chunkBits = 15
)

// New returns an index of no block.
func New() *Index { return &Index{seed: maphash.MakeSeed()} }

func (x *Index) hashCID(cid string) (bucket uint8, key uint64) {
	h := maphash.String(x.seed, cid)
	return uint8(h >> 56), h << 8 >> placeBits << placeBits
}

// LooksAlike says whether two CIDs cannot be told apart here.
func (x *Index) LooksAlike(a, b string) bool {
	i, p := x.hashCID(a)
	k, q := x.hashCID(b)
	return i == k && p == q
}

// Add takes in the next block of the file. After the last one comes [Index.SortAndFindTwice].
func (x *Index) Add(cid string, s Span) {
	b, key := x.hashCID(cid)
	x.buckets[b] = append(x.buckets[b], key|uint64(x.n))
	if x.n&(1<<chunkBits-1) == 0 { // large lists are not copied when they grow
		x.chunks = append(x.chunks, nil)
	}
	last := &x.chunks[len(x.chunks)-1]
	*last = append(*last, s)
	x.n++
}

// SortAndFindTwice makes the index ready to be searched. Of the blocks that are there twice it returns the place of the
// first second one, or -1. same says whether two places have one CID.
func (x *Index) SortAndFindTwice(same func(i, k int) (bool, error)) (twice int, err error) {
	twice = -1
	for _, bucket := range x.buckets {
		slices.Sort(bucket)
		for from := 0; from < len(bucket); {
			to := from + 1
			for ; to < len(bucket) && bucket[to]>>placeBits == bucket[from]>>placeBits; to++ {
			}
			again, err := firstTwice(bucket[from:to], same)
			if err != nil {
				return -1, err
			}
			if again >= 0 && (twice < 0 || again < twice) {
				twice = again
			}
			from = to
		}
	}
	return twice, nil
}

// firstTwice looks at entries of one hash, of which two are hardly ever of different blocks.
func firstTwice(entries []uint64, same func(i, k int) (bool, error)) (int, error) {
	for i := 1; i < len(entries); i++ {
		for k := range i {
			if is, err := same(placeOf(entries[k]), placeOf(entries[i])); err != nil || is {
				return placeOf(entries[i]), err
			}
		}
	}
	return -1, nil
}

func placeOf(entry uint64) int { return int(entry & (1<<placeBits - 1)) }

// FindPlace returns the place at which is holds, of those at which the block could stand, or -1.
func (x *Index) FindPlace(cid string, is func(place int) bool) int {
	b, key := x.hashCID(cid)
	bucket := x.buckets[b]
	i, _ := slices.BinarySearch(bucket, key)
	for ; i < len(bucket) && bucket[i]>>placeBits == key>>placeBits; i++ {
		if at := placeOf(bucket[i]); is(at) {
			return at
		}
	}
	return -1
}

// SpanAt returns where the block at a place stands.
func (x *Index) SpanAt(place int) Span {
	return x.chunks[place>>chunkBits][place&(1<<chunkBits-1)]
}

// Len returns how many blocks there are.
func (x *Index) Len() int { return x.n }
