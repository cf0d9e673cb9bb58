package retrieve

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// An index says in which passages words are. It has no word itself, only 64 bits of its hash, and no list of its own
// for each: of texts as large as they may be, whose words are all different, it takes some three times their size.
type index struct {
	words []uint64  // the hashes, sorted
	from  []uint32  // where in list the postings of each begin
	list  []posting // of all words, one after the other
}

// A posting says how often a word is in a passage.
type posting struct{ passage, count uint32 }

// find returns where a word is, in the order of the passages.
func (x *index) find(word string) []posting {
	i, ok := slices.BinarySearch(x.words, hashOf(word))
	if !ok {
		return nil
	}
	end := len(x.list)
	if i+1 < len(x.from) {
		end = int(x.from[i+1])
	}
	return x.list[x.from[i]:end]
}

// hashOf is the same in every process, so that a search is too.
func hashOf(word string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(word))
	return h.Sum64()
}

// An indexer gathers what an index is made of.
type indexer struct {
	all  []entry
	some []uint64 // hashes of one passage's words
}

type entry struct {
	word uint64
	posting
}

// add takes in the words of a passage, and returns how many there are.
func (x *indexer) add(passage uint32, words []string) int {
	x.some = x.some[:0]
	for _, w := range words {
		x.some = append(x.some, hashOf(w))
	}
	slices.Sort(x.some)
	for i, w := range x.some {
		if i > 0 && w == x.some[i-1] {
			x.all[len(x.all)-1].count++
			continue
		}
		x.all = append(x.all, entry{w, posting{passage, 1}})
	}
	return len(words)
}

// finish returns the index of what was added.
func (x *indexer) finish() index {
	slices.SortFunc(x.all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.word, b.word), cmp.Compare(a.passage, b.passage))
	})
	different := 0
	for i, e := range x.all {
		if i == 0 || e.word != x.all[i-1].word {
			different++
		}
	}
	out := index{
		words: make([]uint64, 0, different), from: make([]uint32, 0, different), list: make([]posting, len(x.all)),
	}
	for i, e := range x.all {
		if i == 0 || e.word != x.all[i-1].word {
			out.words, out.from = append(out.words, e.word), append(out.from, uint32(i))
		}
		out.list[i] = e.posting
	}
	return out
}
