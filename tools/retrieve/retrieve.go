// Package retrieve is a tool that finds passages in documents of the operator's.
//
// [New] splits the documents into passages and indexes their words; the tool "docs.search" ranks passages by BM25
// (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009, k1 1.2, b 0.75), which is exact, explains
// itself and needs no model: the same documents and the same query give the same passages anywhere. Each is returned
// with its document's CID and place, so that an answer can cite what it rests on. The policies decide about every
// passage at the point retrieval before a model reads it, and its label is the one that the operator gave the source.
package retrieve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
)

// Name is what the tool is called.
const Name = "docs.search"

// Bounds of an index and of an answer.
const (
	MaxDocuments = 4096
	MaxDocument  = 4 << 20  // bytes of one
	MaxTotal     = 64 << 20 // bytes of all
	passageBytes = 1200     // about that long, cut at a line or a word
	maxHits      = 8
	maxQuery     = 32  // words that are looked at
	maxName      = 300 // bytes of a document's name, as a model reads it
)

// A Document is a text to search.
type Document struct {
	Source    string // which collection it is from, as policies name it: lower-case letters, digits, '-', '_'
	Name      string // for people, e.g. its path
	Text      string // UTF-8
	Integrity label.Integrity
	Secrecy   label.Secrecy
}

// A passage is a part of a document.
type passage struct {
	doc   int
	from  int // byte offset in the document
	text  string
	words int
}

// A Tool is docs.search. It does not change and is safe for concurrent use.
type Tool struct {
	spec     tools.Spec
	docs     []Document
	cids     []string
	passages []passage
	index    index
	average  float64 // words of a passage
}

// New indexes the documents, or says what is wrong with them.
func New(docs []Document) (*Tool, error) {
	t := &Tool{docs: slices.Clone(docs)}
	if len(docs) == 0 {
		return nil, errors.New("retrieve: there is no document to search")
	}
	if len(docs) > MaxDocuments {
		return nil, fmt.Errorf("retrieve: %d documents are more than %d", len(docs), MaxDocuments)
	}
	total, sources := 0, []string{}
	var words indexer
	for i, d := range docs {
		total += len(d.Text)
		switch {
		case d.Source == "" || len(d.Source) > 64 || strings.Trim(d.Source, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
			return nil, fmt.Errorf("retrieve: document %q: the source %q is not a name of lower-case "+
				"letters, digits, '-' and '_'", d.Name, d.Source)
		case len(d.Text) > MaxDocument || total > MaxTotal:
			return nil, fmt.Errorf("retrieve: document %q is too much: one may have %d bytes, all together %d", d.Name,
				MaxDocument, MaxTotal)
		case !utf8.ValidString(d.Text):
			return nil, fmt.Errorf("retrieve: document %q is not UTF-8 text", d.Name)
		}
		c, err := CID(d.Text)
		if err != nil {
			return nil, fmt.Errorf("retrieve: document %q: %w", d.Name, err)
		}
		t.cids = append(t.cids, c)
		if !slices.Contains(sources, d.Source) {
			sources = append(sources, d.Source)
		}
		t.addPassages(i, d.Text, &words)
	}
	count := 0
	for _, p := range t.passages {
		count += p.words
	}
	t.average = max(float64(count)/float64(max(len(t.passages), 1)), 1)
	t.passages, t.index = slices.Clip(t.passages), words.finish()
	slices.Sort(sources)
	t.spec = specOf(sources)
	return t, nil
}

// specOf is the tool's spec, which names the sources if there is room for them.
func specOf(sources []string) tools.Spec {
	about := "Finds passages in the operator's documents (" + strings.Join(sources, ", ") +
		") by their words, each with the document's CID to cite."
	if len(about) > 900 {
		about = "Finds passages in the operator's documents by their words, each with the document's CID to cite."
	}
	return tools.Spec{
		Name: Name, About: about, Class: tools.Read,
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["query"],"properties":{` +
			`"query":{"type":"string","minLength":1,"maxLength":400,"description":"words to look for"},` +
			`"limit":{"type":"integer","minimum":1,"maximum":8,"description":"how many passages; 4 if absent"}}}`),
		Utterances: []string{"search the documents for {query}", "search documents for {query}",
			"what do the documents say about {query}", "look up {query} in the documents"},
		Output: &tools.Output{Integrity: label.Tool, Secrecy: label.Public, Documents: true},
	}
}

// CID returns the name of a document's bytes: CIDv1, raw, sha2-256.
func CID(text string) (string, error) {
	h, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	if err != nil {
		return "", err
	}
	return cid.NewCidV1(cid.Raw, h).String(), nil
}

// addPassages adds a document's passages, and their words to the index.
func (t *Tool) addPassages(doc int, text string, index *indexer) {
	for at := 0; at < len(text); {
		end := min(at+passageBytes, len(text))
		if end < len(text) {
			// At a paragraph, a line or a word, if one ends in the second half.
			for _, sep := range []string{"\n\n", "\n", ". ", " "} {
				if i := strings.LastIndex(text[at:end], sep); i > passageBytes/2 {
					end = at + i + len(sep)
					break
				}
			}
			for !utf8.RuneStart(text[end]) {
				end--
			}
		}
		p := passage{doc: doc, from: at, text: strings.TrimSpace(text[at:end])}
		if p.words = index.add(uint32(len(t.passages)), wordsOf(p.text)); p.words > 0 {
			t.passages = append(t.passages, p)
		}
		at = end
	}
}

// wordsOf returns the words of a text in lower case, without those that say nothing. A plural is its singular.
func wordsOf(s string) []string {
	var out []string
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) &&
			!unicode.IsDigit(r)
	}) {
		if len(w) > 64 || stop[w] {
			continue
		}
		if n := len(w); n > 3 && w[n-1] == 's' && w[n-2] != 's' {
			w = w[:n-1]
		}
		out = append(out, w)
	}
	return out
}

var stop = func() map[string]bool {
	words := map[string]bool{}
	for w := range strings.FieldsSeq("a an and are as at be by do does for from has have how i in is it of " +
		"on or that the this to was what when where which who why will with you your") {
		words[w] = true
	}
	return words
}()

// Spec describes the tool.
func (t *Tool) Spec() tools.Spec { return t.spec }

// A hit is one passage as the tool returns it.
type hit struct {
	CID       string `json:"cid"`
	Source    string `json:"source"`
	Name      string `json:"name"`
	From      int    `json:"from"` // bytes of the document before the passage
	Text      string `json:"text"`
	Score     int64  `json:"score"` // BM25 in thousandths
	Integrity string `json:"integrity"`
	Secrecy   string `json:"secrecy"`
}

// Call searches. It returns {"documents": [...]}, best first; an empty list if no passage has any of the words.
func (t *Tool) Call(_ context.Context, in tools.Input) ([]byte, error) {
	query, limit := "", int64(4)
	for _, v := range in.Args.Values {
		switch {
		case v.Name == "query":
			query = v.Text
		case v.Name == "limit" && v.Set:
			limit = v.Int
		}
	}
	return json.Marshal(map[string]any{"documents": t.searchPassages(query, int(min(max(limit, 1), maxHits)))})
}

func (t *Tool) searchPassages(query string, limit int) []hit {
	const k1, b = 1.2, 0.75
	words := wordsOf(query)
	slices.Sort(words)
	words = slices.Compact(words)
	words = words[:min(len(words), maxQuery)]
	scores := map[int]float64{}
	n := float64(len(t.passages))
	for _, w := range words {
		list := t.index.find(w)
		idf := math.Log(1 + (n-float64(len(list))+0.5)/(float64(len(list))+0.5))
		for _, x := range list {
			tf, p := float64(x.count), int(x.passage)
			scores[p] += idf * tf * (k1 + 1) / (tf + k1*(1-b+b*float64(t.passages[p].words)/t.average))
		}
	}
	found := make([]int, 0, len(scores))
	for p := range scores {
		found = append(found, p)
	}
	slices.SortFunc(found, func(p, q int) int {
		if c := cmp.Compare(scores[q], scores[p]); c != 0 {
			return c
		}
		return p - q // in the order of the documents
	})
	hits := make([]hit, 0, limit)
	for _, p := range found[:min(limit, len(found))] {
		x := t.passages[p]
		d := t.docs[x.doc]
		hits = append(hits, hit{
			CID: t.cids[x.doc], Source: d.Source, Name: wording.Clip(wording.Visible(d.Name), maxName), From: x.from,
			Text:      wording.Visible(x.text), // a passage is what a reader of the document sees
			Score:     int64(math.Round(scores[p] * 1000)),
			Integrity: d.Integrity.String(), Secrecy: d.Secrecy.String(),
		})
	}
	return hits
}
