package library

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/writ-run/writ/internal/sqlfile"
	"github.com/writ-run/writ/internal/wording"
)

// FileName is what a library is called in a data folder.
const FileName = "docs.db"

const schema = `
CREATE TABLE IF NOT EXISTS documents (
	id INTEGER PRIMARY KEY, cid TEXT NOT NULL, source TEXT NOT NULL, name TEXT NOT NULL, media TEXT NOT NULL,
	bytes INTEGER NOT NULL, integrity TEXT NOT NULL, secrecy TEXT NOT NULL, UNIQUE (source, name));
CREATE TABLE IF NOT EXISTS readers (
	doc INTEGER NOT NULL REFERENCES documents (id), wallet TEXT NOT NULL, session TEXT NOT NULL, agent TEXT NOT NULL,
	PRIMARY KEY (doc, wallet, session, agent)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS readers_who ON readers (wallet, session, agent);
CREATE TABLE IF NOT EXISTS chunks (
	id INTEGER PRIMARY KEY, doc INTEGER NOT NULL REFERENCES documents (id), cid TEXT NOT NULL, start INTEGER NOT NULL,
	heading TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS chunks_doc ON chunks (doc);
CREATE INDEX IF NOT EXISTS chunks_cid ON chunks (cid);
-- Which terms are in which chunk, how often, and how long the chunk is: see agent/search.
CREATE TABLE IF NOT EXISTS terms (id INTEGER PRIMARY KEY, term TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS posted (
	term INTEGER NOT NULL, doc INTEGER NOT NULL, chunk INTEGER NOT NULL, count INTEGER NOT NULL, length INTEGER NOT NULL,
	PRIMARY KEY (term, doc, chunk)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS indexed (chunk INTEGER PRIMARY KEY, length INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS vectors (
	cid TEXT NOT NULL, model TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (cid, model)) WITHOUT ROWID;
-- Of every chunk that ever was, from which revision on and until which: what it said is gone with its document.
CREATE TABLE IF NOT EXISTS history (cid TEXT NOT NULL, added INTEGER NOT NULL, removed INTEGER);
CREATE INDEX IF NOT EXISTS history_cid ON history (cid) WHERE removed IS NULL;
-- Where a collection was last made from, and what came of it.
CREATE TABLE IF NOT EXISTS places (
	source TEXT PRIMARY KEY, place TEXT NOT NULL, tried INTEGER NOT NULL, synced INTEGER NOT NULL, fault TEXT NOT NULL);
-- Which of them the server follows by its settings: times in ms UTC; it has ended if the settings name it no more.
CREATE TABLE IF NOT EXISTS followed (
	source TEXT PRIMARY KEY, place TEXT NOT NULL, every INTEGER NOT NULL, next INTEGER NOT NULL, failures INTEGER NOT NULL,
	ended INTEGER NOT NULL);
-- Of names of IPNS, the newest record that was seen.
CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY, newest TEXT NOT NULL, root TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS changes (n INTEGER NOT NULL);
INSERT INTO changes SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM changes);
-- How often vectors were made.
CREATE TABLE IF NOT EXISTS vectored (n INTEGER NOT NULL);
INSERT INTO vectored SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM vectored);
-- What an index elsewhere has to be told: see meaning.go. n tells two changes of one chunk apart.
CREATE TABLE IF NOT EXISTS pending (cid TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
-- The library's own name, which index elsewhere it was last told to, none if it is empty, and what rights are hashed
-- with for it.
CREATE TABLE IF NOT EXISTS elsewhere (name TEXT NOT NULL, told TEXT NOT NULL, secret TEXT NOT NULL);
INSERT INTO elsewhere SELECT lower(hex(randomblob(6))), '', lower(hex(randomblob(16)))
	WHERE NOT EXISTS (SELECT 1 FROM elsewhere);
CREATE TRIGGER IF NOT EXISTS chunk_came AFTER INSERT ON chunks WHEN (SELECT told FROM elsewhere) <> ''
	BEGIN INSERT OR REPLACE INTO pending VALUES (NEW.cid, random()); END;
CREATE TRIGGER IF NOT EXISTS chunk_went AFTER DELETE ON chunks WHEN (SELECT told FROM elsewhere) <> ''
	BEGIN INSERT OR REPLACE INTO pending VALUES (OLD.cid, random()); END;
CREATE TRIGGER IF NOT EXISTS vector_came AFTER INSERT ON vectors WHEN (SELECT told FROM elsewhere) <> ''
	BEGIN INSERT OR REPLACE INTO pending VALUES (NEW.cid, random()); END;
CREATE TRIGGER IF NOT EXISTS reader_came AFTER INSERT ON readers WHEN (SELECT told FROM elsewhere) <> ''
	BEGIN INSERT OR REPLACE INTO pending SELECT cid, random() FROM chunks WHERE doc = NEW.doc; END;
CREATE TRIGGER IF NOT EXISTS reader_went AFTER DELETE ON readers WHEN (SELECT told FROM elsewhere) <> ''
	BEGIN INSERT OR REPLACE INTO pending SELECT cid, random() FROM chunks WHERE doc = OLD.doc; END;
CREATE TABLE IF NOT EXISTS snapshots (revision INTEGER PRIMARY KEY, cid TEXT NOT NULL, at INTEGER NOT NULL);
`

// A Library is an open one. Many goroutines, and other processes, may use it at once.
type Library struct {
	file  *sqlfile.File
	embed Embedder // nil for none
	now   func() time.Time
	views views
	flat  flatIndex
	far   *farIndex // nil for none: vectors are then ranked here
}

// Open opens the library in a data folder, or makes an empty one. embed may be nil: then it is searched by words only.
func Open(dir string, embed Embedder) (*Library, error) {
	l := &Library{embed: embed, now: time.Now}
	pragmas := []string{"foreign_keys = 1", "secure_delete = 1", "synchronous = FULL"}
	file, err := sqlfile.Open(filepath.Join(dir, FileName), pragmas, func(c *sqlite.Conn) error {
		if err := sqlitex.ExecuteScript(c, schema, nil); err != nil {
			return err
		}
		if err := indexAgain(c); err != nil {
			return err
		}
		return l.takeSnapshot(c)
	})
	if err != nil {
		return nil, fmt.Errorf("open the library: %w", err)
	}
	l.file = file
	return l, nil
}

// Close closes it, once nobody uses it any more, and the index elsewhere.
func (l *Library) Close() error { return errors.Join(l.far.close(), l.file.Close()) }

// Put takes documents in, all or none. One that is there under the same source and name is replaced, its readers too.
func (l *Library) Put(ctx context.Context, list ...Document) ([]Entry, error) {
	chunks := make([][]Chunk, len(list))
	for i := range list {
		if err := list[i].check(); err != nil {
			return nil, err
		}
		text, err := Read(list[i].Media, list[i].Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list[i].Name, err)
		}
		// What a reader of the document does not see is not for a model either.
		chunks[i] = Split(CIDOf(list[i].Data), wording.Visible(text))
	}
	var out []Entry
	err := l.file.Write(ctx, func(c *sqlite.Conn) error {
		for i := range list {
			e, err := l.putDocument(c, &list[i], chunks[i])
			if err != nil {
				return fmt.Errorf("%s: %w", list[i].Name, err)
			}
			out = append(out, e)
		}
		if err := checkRoom(c); err != nil {
			return err
		}
		return l.takeSnapshot(c)
	})
	return out, err
}

func checkRoom(c *sqlite.Conn) error {
	n, err := sqlfile.Number(c, "SELECT count(*) FROM documents")
	if err != nil {
		return err
	}
	m, err := sqlfile.Number(c, "SELECT count(*) FROM chunks")
	if err == nil && (n > MaxDocuments || m > MaxChunks) {
		err = fmt.Errorf("the library would have %d documents of %d chunks; at most %d and %d are kept", n, m, MaxDocuments,
			MaxChunks)
	}
	return err
}

func (l *Library) putDocument(c *sqlite.Conn, d *Document, chunks []Chunk) (e Entry, err error) {
	revision, err := nextRevision(c)
	if err != nil {
		return e, err
	}
	old, err := sqlfile.Number(c, "SELECT id FROM documents WHERE source = ? AND name = ?", d.Source, d.Name)
	if err == nil && old > 0 {
		err = dropDocument(c, old, revision)
	}
	if err != nil {
		return e, err
	}
	id := CIDOf(d.Data)
	err = sqlfile.Exec(c, `INSERT INTO documents (cid, source, name, media, bytes, integrity, secrecy) VALUES (?,?,?,?,?,?,?)`,
		id, d.Source, d.Name, d.Media, len(d.Data), d.Integrity.String(), d.Secrecy.String())
	if err != nil {
		return e, err
	}
	doc := c.LastInsertRowID()
	for _, r := range d.Readers {
		if err := putReader(c, doc, r); err != nil {
			return e, err
		}
	}
	for _, x := range chunks {
		if err := putChunk(c, doc, revision, x); err != nil {
			return e, err
		}
	}
	return Entry{
		CID: id, Source: d.Source, Name: d.Name, Media: d.Media, Bytes: int64(len(d.Data)), Chunks: int64(len(chunks)),
		Integrity: d.Integrity.String(), Secrecy: d.Secrecy.String(), Readers: d.Readers,
	}, nil
}

func putReader(c *sqlite.Conn, doc int64, r Reader) error {
	return sqlfile.Exec(c, "INSERT OR IGNORE INTO readers VALUES (?, ?, ?, ?)",
		doc, strings.ToLower(r.Wallet), r.Session, r.Agent)
}

func putChunk(c *sqlite.Conn, doc, revision int64, x Chunk) error {
	id := CIDOf(x.Bytes())
	err := sqlfile.Exec(c, "INSERT INTO chunks (doc, cid, start, heading, text) VALUES (?, ?, ?, ?, ?)",
		doc, id, x.From, x.Heading, x.Text)
	if err != nil {
		return err
	}
	if err := indexChunk(c, doc, c.LastInsertRowID(), x); err != nil {
		return err
	}
	return sqlfile.Exec(c, "INSERT INTO history (cid, added) VALUES (?, ?)", id, revision)
}

// dropDocument deletes a document and all that was made of it, but for the CIDs of its chunks.
func dropDocument(c *sqlite.Conn, doc, revision int64) error {
	if err := dropIndex(c, doc); err != nil {
		return err
	}
	err := sqlfile.Exec(c, `DELETE FROM vectors WHERE cid IN (SELECT cid FROM chunks WHERE doc = ?1) AND
		cid NOT IN (SELECT cid FROM chunks WHERE doc <> ?1)`, doc)
	if err != nil {
		return err
	}
	err = sqlfile.Each(c, "SELECT cid FROM chunks WHERE doc = ?", func(s *sqlite.Stmt) error {
		return sqlfile.Exec(c, `UPDATE history SET removed = ? WHERE rowid =
			(SELECT rowid FROM history WHERE cid = ? AND removed IS NULL LIMIT 1)`, revision, s.ColumnText(0))
	}, doc)
	for _, query := range []string{
		"DELETE FROM chunks WHERE doc = ?", "DELETE FROM readers WHERE doc = ?", "DELETE FROM documents WHERE id = ?",
	} {
		if err == nil {
			err = sqlfile.Exec(c, query, doc)
		}
	}
	return err
}

// Remove deletes documents: all of a source, or the one of a name. It returns how many there were.
func (l *Library) Remove(ctx context.Context, source, name string) (removed int, err error) {
	err = l.file.Write(ctx, func(c *sqlite.Conn) error {
		ids, err := findDocuments(c, source, name)
		if err != nil {
			return err
		}
		revision, err := nextRevision(c)
		for _, id := range ids {
			if err == nil {
				err = dropDocument(c, id, revision)
			}
		}
		if err == nil && name == "" {
			err = forgetPlace(c, source)
		}
		if removed = len(ids); err != nil {
			return err
		}
		return l.takeSnapshot(c)
	})
	return removed, err
}

func findDocuments(c *sqlite.Conn, source, name string) (ids []int64, err error) {
	// A file that was got by its CID is called by it: then it alone is meant, and not others with the same bytes.
	err = sqlfile.Each(c, `SELECT id FROM documents WHERE source = ?1 AND (?2 = '' OR name = ?2 OR cid = ?2 AND NOT EXISTS
		(SELECT 1 FROM documents WHERE source = ?1 AND name = ?2))`,
		func(s *sqlite.Stmt) error { ids = append(ids, s.ColumnInt64(0)); return nil }, source, name)
	if err == nil && len(ids) == 0 {
		err = ErrNotFound
	}
	return ids, err
}

// SetReaders says anew who may read documents: all of a source, or the one of a name.
func (l *Library) SetReaders(ctx context.Context, source, name string, readers []Reader) (changed int, err error) {
	if len(readers) > maxReaders {
		return 0, fmt.Errorf("%d readers are more than %d", len(readers), maxReaders)
	}
	err = l.file.Write(ctx, func(c *sqlite.Conn) error {
		ids, err := findDocuments(c, source, name)
		for _, id := range ids {
			if err == nil {
				err = sqlfile.Exec(c, "DELETE FROM readers WHERE doc = ?", id)
			}
			for _, r := range readers {
				if err == nil {
					err = putReader(c, id, r)
				}
			}
		}
		if changed = len(ids); err == nil {
			err = countChange(c)
		}
		return err
	})
	return changed, err
}

// List lists the documents of a source, or of all if it is empty, by source and name.
func (l *Library) List(ctx context.Context, source string) (out []Entry, err error) {
	err = l.file.Read(ctx, func(c *sqlite.Conn) error {
		ids := []int64{}
		err := sqlfile.Each(c, `SELECT id, cid, source, name, media, bytes, integrity, secrecy,
			(SELECT count(*) FROM chunks WHERE doc = documents.id) FROM documents WHERE ?1 = '' OR source = ?1
			ORDER BY source, name`, func(s *sqlite.Stmt) error {
			ids = append(ids, s.ColumnInt64(0))
			out = append(out, Entry{
				CID: s.ColumnText(1), Source: s.ColumnText(2), Name: s.ColumnText(3), Media: s.ColumnText(4),
				Bytes: s.ColumnInt64(5), Integrity: s.ColumnText(6), Secrecy: s.ColumnText(7), Chunks: s.ColumnInt64(8),
			})
			return nil
		}, source)
		for i, id := range ids {
			if err == nil {
				err = sqlfile.Each(c, "SELECT wallet, session, agent FROM readers WHERE doc = ?", func(s *sqlite.Stmt) error {
					out[i].Readers = append(out[i].Readers, Reader{s.ColumnText(0), s.ColumnText(1), s.ColumnText(2)})
					return nil
				}, id)
			}
		}
		return err
	})
	return out, err
}

func nextRevision(c *sqlite.Conn) (int64, error) {
	return sqlfile.Number(c, "SELECT coalesce(max(revision), 0) + 1 FROM snapshots")
}

// countChange tells those who keep a view that it may be another one now.
func countChange(c *sqlite.Conn) error { return sqlfile.Exec(c, "UPDATE changes SET n = n + 1") }

// takeSnapshot gives the list of chunks that there are now its CID and number, if it is another than before.
func (l *Library) takeSnapshot(c *sqlite.Conn) error {
	if err := countChange(c); err != nil {
		return err
	}
	last := ""
	err := sqlfile.Each(c, "SELECT cid FROM snapshots ORDER BY revision DESC LIMIT 1",
		func(s *sqlite.Stmt) error { last = s.ColumnText(0); return nil })
	if err != nil {
		return err
	}
	list, err := listChunks(c, "SELECT DISTINCT cid FROM chunks ORDER BY cid")
	if err != nil {
		return err
	}
	if id := CIDOf(list); id != last {
		return sqlfile.Exec(c, `INSERT INTO snapshots SELECT coalesce(max(revision), 0) + 1, ?, ? FROM snapshots`,
			id, l.now().UnixMilli())
	}
	return nil
}

// listChunks writes the CIDs that a query gives, a line each: what the CID of a snapshot is of.
func listChunks(c *sqlite.Conn, query string, args ...any) ([]byte, error) {
	var b strings.Builder
	err := sqlfile.Each(c, query, func(s *sqlite.Stmt) error {
		b.WriteString(s.ColumnText(0) + "\n")
		return nil
	}, args...)
	return []byte(b.String()), err
}

// Snapshot returns the list of chunks that a snapshot's CID is of, also when they are gone: their CIDs in order, a line
// each. An empty id is the newest.
func (l *Library) Snapshot(ctx context.Context, id string) (list []byte, err error) {
	err = l.file.Read(ctx, func(c *sqlite.Conn) error {
		if id == "" {
			if id, err = currentSnapshot(c); err != nil {
				return err
			}
		}
		revision, err := sqlfile.Number(c, "SELECT coalesce(max(revision), 0) FROM snapshots WHERE cid = ?", id)
		if err != nil {
			return err
		}
		if revision == 0 {
			return fmt.Errorf("snapshot %s: %w", id, ErrNotFound)
		}
		list, err = listChunks(c, `SELECT DISTINCT cid FROM history WHERE added <= ?1 AND
			(removed IS NULL OR removed > ?1) ORDER BY cid`, revision)
		return err
	})
	if err == nil && CIDOf(list) != id {
		err = fmt.Errorf("snapshot %s: the library's history says another list: it was changed by hand", id)
	}
	return list, err
}
