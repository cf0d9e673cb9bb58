package provenance

import (
	"hash/maphash"
	"slices"
)

// A blockIndex says where the blocks of a file stand, in some 18 bytes a block. It keeps no CID, only 40 bits of a hash
// of each under a key of this process, so that nobody can make a file of which they collide often: what it finds is to be
// compared with the CID in the file.
type blockIndex struct {
	seed    maphash.Seed
	buckets [256][]uint64 // by the hash's first byte; each entry is 40 bits of the hash, then the block's place in 24
	chunks  [][]carSpan   // of the blocks in the order of the file
	n       int
}

// A carSpan is where a block's data stands: the offset in the upper 44 bits, the length in the lower 20.
type carSpan uint64

func (s carSpan) offset() int64 { return int64(s >> 20) }
func (s carSpan) length() int   { return int(s & (1<<20 - 1)) }

const (
	placeBits = 24
	chunkBits = 15
)

func newBlockIndex() *blockIndex { return &blockIndex{seed: maphash.MakeSeed()} }

func (x *blockIndex) hash(cid string) (bucket uint8, key uint64) {
	h := maphash.String(x.seed, cid)
	return uint8(h >> 56), h << 8 >> placeBits << placeBits
}

// alike says whether two CIDs cannot be told apart here.
func (x *blockIndex) alike(a, b string) bool {
	i, p := x.hash(a)
	k, q := x.hash(b)
	return i == k && p == q
}

// add takes in the next block of the file. After the last one comes seal.
func (x *blockIndex) add(cid string, s carSpan) {
	b, key := x.hash(cid)
	x.buckets[b] = append(x.buckets[b], key|uint64(x.n))
	if x.n&(1<<chunkBits-1) == 0 { // large lists are not copied when they grow
		x.chunks = append(x.chunks, nil)
	}
	last := &x.chunks[len(x.chunks)-1]
	*last = append(*last, s)
	x.n++
}

// seal makes the index ready to be searched. Of the blocks that are there twice it returns the place of the first second
// one, or -1. same says whether two places have one CID.
func (x *blockIndex) seal(same func(i, k int) (bool, error)) (twice int, err error) {
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
			if is, err := same(place(entries[k]), place(entries[i])); err != nil || is {
				return place(entries[i]), err
			}
		}
	}
	return -1, nil
}

func place(entry uint64) int { return int(entry & (1<<placeBits - 1)) }

// find returns the place at which is holds, of those at which the block could stand, or -1.
func (x *blockIndex) find(cid string, is func(place int) bool) int {
	b, key := x.hash(cid)
	bucket := x.buckets[b]
	i, _ := slices.BinarySearch(bucket, key)
	for ; i < len(bucket) && bucket[i]>>placeBits == key>>placeBits; i++ {
		if at := place(bucket[i]); is(at) {
			return at
		}
	}
	return -1
}

func (x *blockIndex) span(place int) carSpan {
	return x.chunks[place>>chunkBits][place&(1<<chunkBits-1)]
}
