// Package search ranks the chunks of documents for a question, so that anybody who has the chunks gets the same list.
//
// A [Query] is the words of a question, each with others that mean much the same. [Query.Rank] orders chunks by BM25
// over the chunks that a reader may read, and over no others: what he may not read weighs nothing. [Fuse] merges that
// with a ranking by vectors. All of it is arithmetic of whole numbers, so that a server, an auditor and a page get the
// same bits on any machine. [Run] does it over chunks in memory; a library does it over its index.
package search

import (
	"cmp"
	"encoding/json"
	"math/bits"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// Ranking names how this package ranks. A change of any result is another name.
const Ranking = "bm25/1"

// Bounds.
const (
	PerBranch = 50 // chunks of each ranking that are looked at
	MaxHits   = 8  // that a search returns
	maxTerms  = 32 // words of a query
	maxTerm   = 64 // bytes of a word; a longer one is passed over
)

// A Chunk is a part of a document.
type Chunk struct {
	Document string `json:"document"` // CID of the document's bytes
	From     int    `json:"from"`     // byte of the document's text where it begins
	Heading  string `json:"heading"`  // the headings that it stands under, outermost first, with " > " between
	Text     string `json:"text"`
}

// Bytes returns what a chunk's CID is of: its fields as JSON, in this order, as package encoding/json writes them.
func (c Chunk) Bytes() []byte {
	b, err := json.Marshal(c)
	if err != nil { // texts and a number marshal
		panic("search: " + err.Error())
	}
	return b
}

// CIDOf returns the name of some bytes: CIDv1, raw, sha2-256.
func CIDOf(b []byte) string {
	h, err := multihash.Sum(b, multihash.SHA2_256, -1)
	if err != nil { // SHA-256 is there
		panic("search: " + err.Error())
	}
	return cid.NewCidV1(cid.Raw, h).String()
}

// ListBytes returns what the CID of a list of chunks is of: their CIDs in order, each once, a line each.
func ListBytes(ids []string) []byte {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(id + "\n")
	}
	return []byte(b.String())
}

// Index counts the terms of a chunk, those of its headings twice, and says how many there are.
func Index(c Chunk) (terms map[string]int, length int) {
	terms = map[string]int{}
	for _, t := range splitTerms(c.Heading, true) {
		terms[t] += 2
		length += 2
	}
	for _, t := range splitTerms(c.Text, true) {
		terms[t]++
		length++
	}
	return terms, length
}

// A Query is what is looked for.
type Query struct{ words []word }

// A word is one of a query: its term, and those of words that mean much the same.
type word struct {
	term string
	like []string
}

// NewQuery reads the words of a question.
func NewQuery(text string) Query {
	var q Query
	seen := map[string]bool{}
	for _, t := range splitTerms(text, false) {
		if !seen[t] && len(q.words) < maxTerms {
			seen[t] = true
			q.words = append(q.words, word{t, likes[t]})
		}
	}
	return q
}

// Terms lists what an index is asked for.
func (q Query) Terms() (list []string) {
	for _, w := range q.words {
		list = append(append(list, w.term), w.like...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// A Posting says how often a term is in a chunk, and how long that is. Keys are the index's own.
type Posting struct {
	Key           int64
	Count, Length int
}

// A Scored is a chunk that has words of a query.
type Scored struct {
	Key    int64
	Score  int64
	Covers int // thousandths of the query's weight that it has; a rare word weighs more
}

// A Shelf is what a reader may read: how many chunks, and how long they are together.
type Shelf struct{ Chunks, Length int64 }

// Shares of a word that a chunk has, in thousandths.
const (
	whole   = 1000
	alike   = 850 // by a word that means much the same
	perWord = 4   // of a word itself in a count; of one that means much the same, 3
)

// Rank orders the chunks that have words of the query, best first, at most [PerBranch]: by BM25 (k1 = 1.2, b = 0.75),
// ties by name. postings are those of the shelf, by term.
func (q Query) Rank(s Shelf, postings map[string][]Posting, name func(key int64) string) []Scored {
	all := map[int64]*Scored{}
	var most int64
	for _, w := range q.words {
		type tally struct{ count, length, share int64 }
		has := map[int64]tally{}
		for _, p := range postings[w.term] {
			has[p.Key] = tally{perWord * int64(p.Count), int64(p.Length), whole}
		}
		for _, other := range w.like {
			for _, p := range postings[other] {
				t := has[p.Key]
				has[p.Key] = tally{t.count + (perWord-1)*int64(p.Count), int64(p.Length), max(t.share, alike)}
			}
		}
		weight := weigh(s.Chunks, int64(len(has)))
		most += weight
		for key, t := range has {
			x := all[key]
			if x == nil {
				x = &Scored{Key: key}
				all[key] = x
			}
			// Of the count against the count with 1.2 (0.25 + 0.75 length / mean), in thousandths.
			x.Score += weight * t.count * 2200 / (1000*t.count + perWord*(300+900*t.length*s.Chunks/max(s.Length, 1)))
			x.Covers += int(weight * t.share / whole)
		}
	}
	list := make([]Scored, 0, len(all))
	for _, x := range all {
		x.Covers = int(int64(x.Covers) * whole / max(most, 1))
		list = append(list, *x)
	}
	slices.SortFunc(list, func(a, b Scored) int {
		if c := cmp.Compare(b.Score, a.Score); c != 0 {
			return c
		}
		return strings.Compare(name(a.Key), name(b.Key))
	})
	return list[:min(len(list), PerBranch)]
}

// weigh returns the weight of a word that so many of the chunks have: log2((2n + 2) / (2 has + 1)), times 1024.
func weigh(n, has int64) int64 { return log2(uint64(2*max(n, has)+2), uint64(2*has+1)) }

// log2 returns 1024 times the logarithm of a/b, which is at least 1, without a floating point: processors differ there.
func log2(a, b uint64) int64 {
	const one = 1 << 32
	m := a << 32 / b // a is below 2^32
	k := bits.Len64(m) - 33
	m >>= k
	for range 10 {
		hi, lo := bits.Mul64(m, m)
		m = hi<<32 | lo>>32
		k <<= 1
		if m >= 2*one {
			m >>= 1
			k |= 1
		}
	}
	return int64(k)
}

// Fusion.
const (
	rrfK    = 60
	rrfUnit = 1_000_000 // so that ranks add up in whole numbers
)

// A Fused is a chunk with its ranks, from 1; 0 where it is not ranked.
type Fused struct {
	CID            string
	Words, Meaning int
}

// Fuse merges two rankings by reciprocal rank: the sum of a millionth parts of 1/(60 + rank), ties by CID.
func Fuse(byWords, byMeaning []string) []Fused {
	at := map[string]int{}
	var all []Fused
	add := func(id string) *Fused {
		if _, there := at[id]; !there {
			at[id] = len(all)
			all = append(all, Fused{CID: id})
		}
		return &all[at[id]]
	}
	for i, id := range byWords {
		add(id).Words = i + 1
	}
	for i, id := range byMeaning {
		add(id).Meaning = i + 1
	}
	slices.SortFunc(all, CompareFused)
	return all
}

// CompareFused orders by score, best first, ties by CID.
func CompareFused(a, b Fused) int {
	return cmp.Or(cmp.Compare(b.Score(), a.Score()), strings.Compare(a.CID, b.CID))
}

// Score returns what a chunk is ordered by.
func (f Fused) Score() (sum int) {
	for _, rank := range []int{f.Words, f.Meaning} {
		if rank > 0 {
			sum += rrfUnit / (rrfK + rank)
		}
	}
	return sum
}

// A Shelved is all that a reader may read, in memory.
type Shelved struct {
	shelf    Shelf
	names    []string
	postings map[string][]Posting
}

// Shelve indexes chunks by their CIDs.
func Shelve(chunks map[string]Chunk) *Shelved {
	s := &Shelved{postings: map[string][]Posting{}}
	for i, id := range slices.Sorted(keysOf(chunks)) {
		s.names = append(s.names, id)
		terms, length := Index(chunks[id])
		s.shelf.Chunks++
		s.shelf.Length += int64(length)
		for t, n := range terms {
			s.postings[t] = append(s.postings[t], Posting{int64(i), n, length})
		}
	}
	return s
}

func keysOf(m map[string]Chunk) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// Search ranks them by words for a query. It returns CIDs, best first, and what each covers.
func (s *Shelved) Search(query string) (ids []string, covers map[string]int) {
	covers = map[string]int{}
	name := func(key int64) string { return s.names[key] }
	for _, x := range NewQuery(query).Rank(s.shelf, s.postings, name) {
		id := name(x.Key)
		ids = append(ids, id)
		covers[id] = x.Covers
	}
	return ids, covers
}
