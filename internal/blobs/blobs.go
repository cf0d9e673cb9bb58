// Package blobs keeps files that were put on the server until a request attaches them.
//
// A [Shelf] is one SQLite file in a data folder. A file is its owner's alone and goes by the CID of its bytes: it comes
// in pieces, each behind the one before, and with the last the whole is held to its CID and size. Until then it cannot
// be taken. What is not whole is forgotten [KeepPieces] after its newest piece, what is whole [KeepWhole] after it was
// last put or taken: the records of the runs that attached it have copies of their own, under their own keys. A
// shelf's file may be deleted while no server runs: whoever still needs what was in it puts it again.
package blobs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/internal/sqlfile"
)

// FileName is the name of a shelf in a data folder.
const FileName = "attached.sqlite"

// Bounds of a shelf. A piece has at most MaxPiece bytes.
const (
	MaxPiece   = 96 << 10
	MaxFiles   = 64        // of one owner
	MaxOwner   = 32 << 20  // bytes of one owner's
	MaxShelf   = 512 << 20 // bytes of all
	KeepPieces = 15 * time.Minute
	KeepWhole  = time.Hour
)

// Errors of a shelf.
var (
	ErrAbsent = errors.New("the file is not here")
	ErrPiece  = errors.New("the piece does not follow what is there")
	ErrOther  = errors.New("the bytes are not those of the CID")
	ErrFull   = errors.New("there is no room for the file")
)

// A Shelf keeps files. Many goroutines may use it at once.
type Shelf struct {
	file *sqlfile.File
	now  func() time.Time
}

// Open opens the shelf of a data folder, or makes it.
func Open(folder string, now func() time.Time) (*Shelf, error) {
	f, err := sqlfile.Open(filepath.Join(folder, FileName), []string{"foreign_keys = 1", "secure_delete = 1"},
		func(c *sqlite.Conn) error {
			err := sqlfile.Exec(c, `CREATE TABLE IF NOT EXISTS files (
				id INTEGER PRIMARY KEY, owner TEXT NOT NULL, cid TEXT NOT NULL, size INTEGER NOT NULL,
				have INTEGER NOT NULL, until INTEGER NOT NULL, UNIQUE (owner, cid)) STRICT`)
			if err == nil {
				err = sqlfile.Exec(c, `CREATE TABLE IF NOT EXISTS pieces (
				file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, at INTEGER NOT NULL, data BLOB NOT NULL,
				PRIMARY KEY (file, at)) STRICT`)
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("open the files that wait to be attached: %w", err)
	}
	return &Shelf{f, now}, nil
}

// Close closes the shelf.
func (s *Shelf) Close() error { return s.file.Close() }

// A State is how much of a file is there.
type State struct {
	Have  uint64
	Whole bool
	Type  string // what an image is; empty of a text, and before it is whole
	Until int64  // ms UTC after which it is forgotten
}

// Put adds a piece of an owner's file, and returns what is there then. What is there already is not looked at again; a
// piece that would leave a gap is ErrPiece, beside a State that says where to go on. If the whole has another CID, it
// is forgotten with ErrOther. An empty piece only asks.
func (s *Shelf) Put(ctx context.Context, owner, cid string, size, offset uint64, piece []byte) (st State, err error) {
	other := false
	err = s.file.Write(ctx, func(c *sqlite.Conn) error {
		if err := s.sweep(c); err != nil {
			return err
		}
		id, err := s.find(c, owner, cid, size, &st)
		if err != nil {
			return err
		}
		if id == 0 && len(piece) > 0 {
			if id, err = s.add(c, owner, cid, size); err != nil {
				return err
			}
		}
		switch end := offset + uint64(len(piece)); {
		case len(piece) == 0:
			return nil
		case offset > st.Have || end > size:
			return ErrPiece
		case end <= st.Have:
			piece = nil
		default:
			piece = piece[st.Have-offset:]
		}
		if len(piece) > 0 {
			if err := sqlfile.Exec(c, "INSERT INTO pieces VALUES (?, ?, ?)", id, int64(st.Have), piece); err != nil {
				return err
			}
			st.Have += uint64(len(piece))
		}
		if st.Whole = st.Have == size; st.Whole {
			data, err := read(c, id, size)
			if err != nil {
				return err
			}
			if other = attach.CIDOf(data) != cid; other {
				st = State{}
				return sqlfile.Exec(c, "DELETE FROM files WHERE id = ?", id)
			}
			st.Type = attach.ImageType(data)
		}
		return s.keep(c, id, &st)
	})
	if err == nil && other {
		err = ErrOther
	}
	return st, err
}

// Take returns an owner's file that is whole, and keeps it as long again.
func (s *Shelf) Take(ctx context.Context, owner, cid string, size uint64) (data []byte, err error) {
	err = s.file.Write(ctx, func(c *sqlite.Conn) error {
		if err := s.sweep(c); err != nil {
			return err
		}
		var st State
		id, err := s.find(c, owner, cid, size, &st)
		if err != nil {
			return err
		}
		if id == 0 || !st.Whole {
			return ErrAbsent
		}
		if data, err = read(c, id, size); err != nil {
			return err
		}
		return s.keep(c, id, &st)
	})
	return data, err
}

// sweep forgets what nobody has asked for in its time.
func (s *Shelf) sweep(c *sqlite.Conn) error {
	return sqlfile.Exec(c, "DELETE FROM files WHERE until < ?", s.now().UnixMilli())
}

// find returns an owner's file, 0 if it is not there.
func (s *Shelf) find(c *sqlite.Conn, owner, cid string, size uint64, st *State) (id int64, err error) {
	const query = "SELECT id, size, have, until FROM files WHERE owner = ? AND cid = ?"
	err = sqlfile.Each(c, query, func(r *sqlite.Stmt) error {
		if uint64(r.ColumnInt64(1)) != size {
			return ErrOther
		}
		id, st.Have, st.Until = r.ColumnInt64(0), uint64(r.ColumnInt64(2)), r.ColumnInt64(3)
		st.Whole = st.Have == size
		return nil
	}, owner, cid)
	if err == nil && st.Whole {
		var data []byte
		data, err = read(c, id, size)
		st.Type = attach.ImageType(data)
	}
	return id, err
}

// add begins a file, if there is room for all of it.
func (s *Shelf) add(c *sqlite.Conn, owner, cid string, size uint64) (id int64, err error) {
	files, err := sqlfile.Number(c, "SELECT count(*) FROM files WHERE owner = ?", owner)
	if err != nil {
		return 0, err
	}
	own, err := sqlfile.Number(c, "SELECT coalesce(sum(size), 0) FROM files WHERE owner = ?", owner)
	if err != nil {
		return 0, err
	}
	if files >= MaxFiles || uint64(own)+size > MaxOwner {
		return 0, ErrFull
	}
	if err := makeRoom(c, uint64(own), size); err != nil {
		return 0, err
	}
	const insert = "INSERT INTO files (owner, cid, size, have, until) VALUES (?, ?, ?, 0, 0)"
	err = sqlfile.Exec(c, insert, owner, cid, int64(size))
	return c.LastInsertRowID(), err
}

// makeRoom forgets files of whoever has most on the shelf, those that go soonest first, until there is room for one of
// an owner who has own bytes. So nobody can fill the shelf for the others. It fails with ErrFull if nobody would have
// more than that owner then.
func makeRoom(c *sqlite.Conn, own, size uint64) error {
	for {
		all, err := sqlfile.Number(c, "SELECT coalesce(sum(size), 0) FROM files")
		if err != nil || uint64(all)+size <= MaxShelf {
			return err
		}
		const largest = "SELECT owner, sum(size) AS n FROM files GROUP BY owner ORDER BY n DESC, owner LIMIT 1"
		var owner string
		var most uint64
		err = sqlfile.Each(c, largest, func(r *sqlite.Stmt) error {
			owner, most = r.ColumnText(0), uint64(r.ColumnInt64(1))
			return nil
		})
		if err != nil {
			return err
		}
		if most <= own+size {
			return ErrFull
		}
		const soonest = `DELETE FROM files WHERE id =
			(SELECT id FROM files WHERE owner = ? ORDER BY until, id LIMIT 1)`
		if err := sqlfile.Exec(c, soonest, owner); err != nil {
			return err
		}
	}
}

// keep has a file kept for its time from now on.
func (s *Shelf) keep(c *sqlite.Conn, id int64, st *State) error {
	life := KeepPieces
	if st.Whole {
		life = KeepWhole
	}
	st.Until = s.now().Add(life).UnixMilli()
	return sqlfile.Exec(c, "UPDATE files SET have = ?, until = ? WHERE id = ?", int64(st.Have), st.Until, id)
}

func read(c *sqlite.Conn, id int64, size uint64) ([]byte, error) {
	data := make([]byte, 0, size)
	err := sqlfile.Each(c, "SELECT data FROM pieces WHERE file = ? ORDER BY at", func(r *sqlite.Stmt) error {
		piece := make([]byte, r.ColumnLen(0))
		r.ColumnBytes(0, piece)
		data = append(data, piece...)
		return nil
	}, id)
	return data, err
}
