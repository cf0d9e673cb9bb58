package library

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/internal/sqlfile"
)

// indexChunk notes the terms of a chunk.
func indexChunk(c *sqlite.Conn, doc, chunk int64, x Chunk) error {
	terms, length := search.Index(x)
	if err := sqlfile.Exec(c, "INSERT INTO indexed VALUES (?, ?)", chunk, length); err != nil {
		return err
	}
	for t, n := range terms {
		if err := sqlfile.Exec(c, "INSERT OR IGNORE INTO terms (term) VALUES (?)", t); err != nil {
			return err
		}
		err := sqlfile.Exec(c, "INSERT INTO posted SELECT id, ?, ?, ?, ? FROM terms WHERE term = ?", doc, chunk, n, length, t)
		if err != nil {
			return err
		}
	}
	return nil
}

// indexAgain makes the index of chunks that have none: those that an older version took in.
func indexAgain(c *sqlite.Conn) error {
	for _, old := range []string{"words", "postings", "lengths"} {
		if err := sqlfile.Exec(c, "DROP TABLE IF EXISTS "+old); err != nil {
			return err
		}
	}
	return sqlfile.Each(c, "SELECT doc, id, heading, text FROM chunks WHERE id NOT IN (SELECT chunk FROM indexed)",
		func(s *sqlite.Stmt) error {
			x := Chunk{Heading: s.ColumnText(2), Text: s.ColumnText(3)}
			return indexChunk(c, s.ColumnInt64(0), s.ColumnInt64(1), x)
		})
}

// dropIndex deletes what the index says of a document's chunks, and words that no other has.
func dropIndex(c *sqlite.Conn, doc int64) error {
	words := map[string]bool{}
	err := sqlfile.Each(c, "SELECT id, heading, text FROM chunks WHERE doc = ?", func(s *sqlite.Stmt) error {
		id := s.ColumnInt64(0)
		terms, _ := search.Index(Chunk{Heading: s.ColumnText(1), Text: s.ColumnText(2)})
		for t := range terms {
			words[t] = true
			err := sqlfile.Exec(c, `DELETE FROM posted WHERE term = (SELECT id FROM terms WHERE term = ?) AND doc = ? AND
				chunk = ?`, t, doc, id)
			if err != nil {
				return err
			}
		}
		return sqlfile.Exec(c, "DELETE FROM indexed WHERE chunk = ?", id)
	}, doc)
	for t := range words {
		if err == nil {
			err = sqlfile.Exec(c, `DELETE FROM terms WHERE term = ? AND NOT EXISTS
				(SELECT 1 FROM posted WHERE posted.term = terms.id)`, t)
		}
	}
	return err
}

// A view is what one reader may read.
type view struct {
	cid   string
	shelf search.Shelf
	twin  map[int64]int64 // of chunks with the same bytes as one before, that one
}

// maxViews bounds the views that are kept: making one reads every chunk's CID.
const maxViews = 256

// views keeps those that were made since the last change.
type views struct {
	mu     sync.Mutex // guards what follows
	change int64
	of     map[string]view // by the documents that may be read
}

func (v *views) find(change int64, documents string) (view, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.change != change {
		return view{}, false
	}
	x, ok := v.of[documents]
	return x, ok
}

func (v *views) keep(change int64, documents string, x view) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.change != change || len(v.of) >= maxViews {
		v.change, v.of = change, map[string]view{}
	}
	v.of[documents] = x
}

// readView returns what a reader may read now.
func (l *Library) readView(c *sqlite.Conn, who Reader) (v view, err error) {
	change, err := sqlfile.Number(c, "SELECT n FROM changes")
	if err != nil {
		return v, err
	}
	var documents strings.Builder
	err = sqlfile.Each(c, "SELECT DISTINCT doc FROM readers WHERE"+isReader+"ORDER BY doc", func(s *sqlite.Stmt) error {
		fmt.Fprintf(&documents, "%x ", s.ColumnInt64(0))
		return nil
	}, who.Wallet, who.Session, who.Agent)
	if err != nil {
		return v, err
	}
	key := CIDOf([]byte(documents.String()))
	if v, there := l.views.find(change, key); there {
		return v, nil
	}
	v.twin = map[int64]int64{}
	first := int64(0)
	var ids []string
	err = sqlfile.Each(c, `SELECT chunks.id, chunks.cid, indexed.length FROM chunks JOIN indexed ON indexed.chunk = chunks.id
		WHERE`+mayRead+`ORDER BY chunks.cid, chunks.id`, func(s *sqlite.Stmt) error {
		id, name := s.ColumnInt64(0), s.ColumnText(1)
		if n := len(ids); n > 0 && ids[n-1] == name {
			v.twin[id] = first
			return nil
		}
		first = id
		ids = append(ids, name)
		v.shelf.Chunks++
		v.shelf.Length += s.ColumnInt64(2)
		return nil
	}, who.Wallet, who.Session, who.Agent)
	if err != nil {
		return v, err
	}
	v.cid = CIDOf(search.ListBytes(ids))
	l.views.keep(change, key, v)
	return v, nil
}

// View returns what a reader may read now, or with all set what there is, with the CID of its list.
func (l *Library) View(ctx context.Context, who Reader, all bool) (chunks map[string]Chunk, id string, err error) {
	who.Wallet = strings.ToLower(who.Wallet)
	chunks = map[string]Chunk{}
	var ids []string
	where := mayRead
	if all {
		where = " (?1 || ?2 || ?3) NOTNULL " // no condition, of the same parameters
	}
	err = l.file.Read(ctx, func(c *sqlite.Conn) error {
		return sqlfile.Each(c, `SELECT chunks.cid, documents.cid, chunks.start, chunks.heading, chunks.text FROM chunks
			JOIN documents ON documents.id = chunks.doc WHERE`+where, func(s *sqlite.Stmt) error {
			id := s.ColumnText(0)
			chunks[id] = Chunk{Document: s.ColumnText(1), From: s.ColumnInt(2), Heading: s.ColumnText(3), Text: s.ColumnText(4)}
			ids = append(ids, id)
			return nil
		}, who.Wallet, who.Session, who.Agent)
	})
	return chunks, CIDOf(search.ListBytes(ids)), err
}

// rankByWords ranks what the reader may read by BM25, headings counting twice. It says what each covers of the query.
func rankByWords(
	c *sqlite.Conn, who Reader, v view, query string,
) (ids []string, covers map[string]int, err error) {
	q := search.NewQuery(query)
	found := map[string][]search.Posting{}
	for _, t := range q.Terms() {
		list := []search.Posting{}
		// Of the postings of a term only those of the reader's documents are looked up.
		err := sqlfile.Each(c, `SELECT chunks.chunk, chunks.count, chunks.length FROM terms
			CROSS JOIN posted AS chunks ON chunks.term = terms.id WHERE terms.term = ?4 AND`+mayRead, func(s *sqlite.Stmt) error {
			if id := s.ColumnInt64(0); v.twin[id] == 0 {
				list = append(list, search.Posting{Key: id, Count: s.ColumnInt(1), Length: s.ColumnInt(2)})
			}
			return nil
		}, who.Wallet, who.Session, who.Agent, t)
		if err != nil {
			return nil, nil, err
		}
		found[t] = list
	}
	names := map[int64]string{}
	name := func(key int64) string {
		if _, there := names[key]; !there {
			e := sqlfile.Each(c, "SELECT cid FROM chunks WHERE id = ?", func(s *sqlite.Stmt) error {
				names[key] = s.ColumnText(0)
				return nil
			}, key)
			if err == nil {
				err = e
			}
		}
		return names[key]
	}
	covers = map[string]int{}
	for _, x := range q.Rank(v.shelf, found, name) {
		id := name(x.Key)
		ids = append(ids, id)
		covers[id] = x.Covers
	}
	return slices.Clip(ids), covers, err
}
