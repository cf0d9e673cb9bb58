package chainindex

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/ethereum/go-ethereum/common"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/writ-run/writ/internal/sqlfile"
)

// FileName is what an index is called in a data folder.
const FileName = "events.db"

// A mark is a block up to which a source was read; the newest one says how far it is.
const schema = `
CREATE TABLE IF NOT EXISTS sources (
	name TEXT PRIMARY KEY, id TEXT NOT NULL, span INTEGER NOT NULL, refused INTEGER NOT NULL, kept INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS marks (
	source TEXT NOT NULL REFERENCES sources (name), number INTEGER NOT NULL, hash BLOB NOT NULL, time INTEGER NOT NULL,
	PRIMARY KEY (source, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
	source TEXT NOT NULL REFERENCES sources (name), number INTEGER NOT NULL, place INTEGER NOT NULL, time INTEGER NOT NULL,
	said TEXT NOT NULL, PRIMARY KEY (source, number, place)) WITHOUT ROWID;
`

// Open returns the index with its file in a data folder, on a chain. A source that is configured otherwise than before
// begins anew, and one that is not any more is deleted.
func (x *Index) Open(dir string, client Client, log *slog.Logger) (*Index, error) {
	on := *x
	on.client, on.log = client, log
	file, err := sqlfile.Open(filepath.Join(dir, FileName), nil, func(c *sqlite.Conn) error {
		if err := sqlitex.ExecuteScript(c, schema, nil); err != nil {
			return err
		}
		return on.prepareSources(c)
	})
	if err != nil {
		return nil, fmt.Errorf("open the index of events: %w", err)
	}
	on.file = file
	return &on, nil
}

// Close closes the file, once nobody uses it any more.
func (x *Index) Close() error { return x.file.Close() }

// prepareSources makes the rows of the sources, and deletes what is of others.
func (x *Index) prepareSources(c *sqlite.Conn) error {
	known := map[string]string{}
	err := sqlfile.Each(c, "SELECT name, id FROM sources", func(s *sqlite.Stmt) error {
		known[s.ColumnText(0)] = s.ColumnText(1)
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range x.sources {
		id, there := known[s.name]
		if delete(known, s.name); there && id == s.id {
			continue
		}
		if err := dropSource(c, s.name); err != nil {
			return err
		}
		if err := sqlfile.Exec(c, "INSERT INTO sources VALUES (?, ?, ?, 0, 0)", s.name, s.id, firstSpan); err != nil {
			return err
		}
	}
	for name := range known {
		if err := dropSource(c, name); err != nil {
			return err
		}
	}
	return nil
}

func dropSource(c *sqlite.Conn, name string) error {
	for _, query := range []string{
		"DELETE FROM events WHERE source = ?", "DELETE FROM marks WHERE source = ?", "DELETE FROM sources WHERE name = ?",
	} {
		if err := sqlfile.Exec(c, query, name); err != nil {
			return err
		}
	}
	return nil
}

// A mark is a block up to which a source was read.
type mark struct {
	number uint64
	hash   common.Hash
	time   int64
}

// readMark returns the newest mark of a source that is at most at a block. ok is false if there is none.
func readMark(c *sqlite.Conn, source string, most int64) (m mark, ok bool, err error) {
	err = sqlfile.Each(c, `SELECT number, hash, time FROM marks WHERE source = ? AND number <= ?
		ORDER BY number DESC LIMIT 1`, func(s *sqlite.Stmt) error {
		m.number, ok, m.time = uint64(s.ColumnInt64(0)), true, s.ColumnInt64(2)
		s.ColumnBytes(1, m.hash[:])
		return nil
	}, source, most)
	return m, ok, err
}

// An event is a row that is to be kept.
type event struct {
	number, place uint64
	time          int64
	said          string
}

// addEvents keeps what a source was read to say, up to a mark.
func addEvents(c *sqlite.Conn, source string, list []event, upTo mark) error {
	for _, e := range list {
		err := sqlfile.Exec(c, "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
			source, int64(e.number), int64(e.place), e.time, e.said)
		if err != nil {
			return err
		}
	}
	err := sqlfile.Exec(c, "UPDATE sources SET kept = kept + ? WHERE name = ?", len(list), source)
	if err == nil {
		err = sqlfile.Exec(c, "INSERT INTO marks VALUES (?, ?, ?, ?)", source, int64(upTo.number), upTo.hash[:], upTo.time)
	}
	if err != nil {
		return err
	}
	return sqlfile.Exec(c, `DELETE FROM marks WHERE source = ?1 AND number <
		(SELECT number FROM marks WHERE source = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)`, source, maxMarks-1)
}

// undo deletes what a source was read to say after a block.
func undo(c *sqlite.Conn, source string, after int64) error {
	if err := sqlfile.Exec(c, "DELETE FROM events WHERE source = ? AND number > ?", source, after); err != nil {
		return err
	}
	if err := sqlfile.Exec(c, "DELETE FROM marks WHERE source = ? AND number > ?", source, after); err != nil {
		return err
	}
	return sqlfile.Exec(c, "UPDATE sources SET kept = (SELECT count(*) FROM events WHERE source = ?1) WHERE name = ?1",
		source)
}
