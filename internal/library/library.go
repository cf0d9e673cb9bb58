// Package library keeps documents in which agents search: what they say, who may read them, and an index of their
// words.
//
// A [Library] is one SQLite file in a server's data folder. Each document is cut into chunks, each with the path of
// headings that it stands under and a CID of its own. An index holds which words are in which chunk; package search
// ranks them in whole numbers and, where there is an [Embedder], their vectors are ranked beside. [Library.Search]
// merges both by reciprocal rank (k = 60, ties by CID), and names the list of chunks that the reader could read, so
// that who has these chunks searches again and gets the same.
//
// Default is deny: a document that names no reader is read by nobody. Who asks is part of every query, inside each
// ranking and before its limit, so that what others may read neither shows nor takes up room. A change is one
// transaction, and the next query sees it, also in another process. Each change has a number and a snapshot: the CID of
// the list of all chunks that there then were, which [Library.Snapshot] can still write when they are gone.
package library

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/policies/label"
)

// Errors of a library.
var (
	ErrNotFound = errors.New("there is no such document")
	ErrFormat   = errors.New("it cannot be read as a document")
)

// Bounds of a library.
const (
	MaxDocument  = 16 << 20 // bytes of a file
	MaxText      = 4 << 20  // bytes of the text in it
	MaxChunks    = 1 << 20  // of all documents
	MaxDocuments = 1 << 16
	MaxHits      = search.MaxHits
	MaxQuery     = 400 // bytes
	maxReaders   = 64  // of one document
)

// A Reader is who may read, or who asks. In a right an empty field means anybody; who asks has all three.
type Reader struct {
	Wallet  string `json:"wallet,omitempty"` // "0x..." in lower case; see auth.Identity for contracts
	Session string `json:"session,omitempty"`
	Agent   string `json:"agent,omitempty"`
}

// A Document is what there is to read, and for whom.
type Document struct {
	Source    string // which collection it is from, as policies name it: lower-case letters, digits, '-' and '_'
	Name      string // for people, e.g. its path; one of a source has it
	Media     string // see [Read]
	Data      []byte
	Integrity label.Integrity
	Secrecy   label.Secrecy
	Readers   []Reader // who may read it: any of them; nobody if there are none
}

// An Entry is a document as it is listed.
type Entry struct {
	CID       string   `json:"cid"`
	Source    string   `json:"source"`
	Name      string   `json:"name"`
	Media     string   `json:"media"`
	Bytes     int64    `json:"bytes"`
	Chunks    int64    `json:"chunks"`
	Integrity string   `json:"integrity"`
	Secrecy   string   `json:"secrecy"`
	Readers   []Reader `json:"readers"`
}

// A Hit is a chunk that was found. CID is that of [Chunk.Bytes].
type Hit struct {
	CID string
	Chunk
	Source, Name       string
	Integrity, Secrecy string
	Words, Meaning     int // its rank by each, from 1; 0 if it was not among the first
	Covers             int // thousandths of the query's weight that its words have
}

// Found is what a search came to.
type Found struct {
	Snapshot string // CID of the library's list of chunks at the time
	View     string // CID of the list of those that who asked might read
	How      string // "keywords" or "keywords and vectors"
	Hits     []Hit  // best first
}

// An Embedder makes vectors of texts. Its model is part of what it makes.
type Embedder interface {
	Model() string
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// CIDOf returns the name of some bytes: CIDv1, raw, sha2-256.
func CIDOf(b []byte) string { return search.CIDOf(b) }

// check says what is wrong with a document.
func (d *Document) check() error {
	switch {
	case d.Source == "" || len(d.Source) > 64 || strings.Trim(d.Source, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
		return fmt.Errorf("the source %q is not a name of lower-case letters, digits, '-' and '_'", d.Source)
	case d.Name == "" || len(d.Name) > 300:
		return fmt.Errorf("a document's name has 1 to 300 bytes, not %d", len(d.Name))
	case len(d.Data) > MaxDocument:
		return fmt.Errorf("%s has %d bytes; at most %d are taken", d.Name, len(d.Data), MaxDocument)
	case len(d.Readers) > maxReaders:
		return fmt.Errorf("%s names %d readers; at most %d are taken", d.Name, len(d.Readers), maxReaders)
	}
	return nil
}
