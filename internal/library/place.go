package library

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/internal/sqlfile"
)

// A Place is where a collection is made from: a folder, a CAR file, a CID or a web address.
type Place struct {
	Source string    `json:"source"`
	Place  string    `json:"place"`
	Tried  time.Time `json:"tried,omitzero"`  // when it was last read, or not; never if zero
	Synced time.Time `json:"synced,omitzero"` // when that last came out; never if zero
	Fault  string    `json:"fault,omitempty"` // why the last try did not; the collection is as it was before

	// Every is how often the server reads it, by its settings; 0 if it does not.
	Every    time.Duration `json:"every,omitempty"`    // ns
	Next     time.Time     `json:"next,omitzero"`      // when it reads it again, or has meant to while it does not run
	Failures int64         `json:"failures,omitempty"` // tries in a row that did not come out
	Ended    time.Time     `json:"ended,omitzero"`     // when it was first started without it, if it once followed it
}

// IsIn says whether a document is among those of its source that are there, as it is, with its labels and readers.
func (d *Document) IsIn(there []Entry) bool {
	i := slices.IndexFunc(there, func(e Entry) bool { return e.Source == d.Source && e.Name == d.Name })
	if i < 0 {
		return false
	}
	e := there[i]
	byAll := func(a, b Reader) int {
		return cmp.Or(strings.Compare(a.Wallet, b.Wallet), strings.Compare(a.Session, b.Session),
			strings.Compare(a.Agent, b.Agent))
	}
	return e.CID == CIDOf(d.Data) && e.Media == d.Media && e.Integrity == d.Integrity.String() &&
		e.Secrecy == d.Secrecy.String() &&
		slices.Equal(slices.SortedFunc(slices.Values(e.Readers), byAll), slices.SortedFunc(slices.Values(d.Readers), byAll))
}

// maxFault bounds what is kept of why a place could not be read.
const maxFault = 500

// NotePlace notes that a collection was made what a place has, or, with a fault, that it was not.
func (l *Library) NotePlace(ctx context.Context, source, place, fault string) error {
	return l.file.Write(ctx, func(c *sqlite.Conn) error {
		return sqlfile.Exec(c, `INSERT INTO places VALUES (?1, ?2, ?3, iif(?4 = '', ?3, 0), ?4) ON CONFLICT DO UPDATE SET
			place = ?2, tried = ?3, synced = iif(?4 = '', ?3, synced), fault = ?4`,
			source, place, l.now().UnixMilli(), fault[:min(len(fault), maxFault)])
	})
}

// A Followed is a place that the server's settings have it follow.
type Followed struct {
	Source, Place string
	Every         time.Duration
}

// SetFollowed says which places a server follows from now on. Those that it followed before have ended; what was
// made of them stays.
func (l *Library) SetFollowed(ctx context.Context, list []Followed) error {
	now := l.now().UnixMilli()
	return l.file.Write(ctx, func(c *sqlite.Conn) error {
		err := sqlfile.Exec(c, "UPDATE followed SET ended = ? WHERE ended = 0", now)
		for _, f := range list {
			if err == nil {
				err = sqlfile.Exec(c, `INSERT INTO followed VALUES (?, ?, ?, ?, 0, 0) ON CONFLICT DO UPDATE SET
					place = excluded.place, every = excluded.every, next = excluded.next, failures = 0, ended = 0`,
					f.Source, f.Place, int64(f.Every), now)
			}
		}
		return err
	})
}

// NoteNext notes when a followed place is read again, after so many tries in a row that did not come out.
func (l *Library) NoteNext(ctx context.Context, source string, next time.Time, failures int64) error {
	return l.file.Write(ctx, func(c *sqlite.Conn) error {
		return sqlfile.Exec(c, "UPDATE followed SET next = ?, failures = ? WHERE source = ?",
			next.UnixMilli(), failures, source)
	})
}

// forgetPlace forgets where a collection was made from, unless the server follows it.
func forgetPlace(c *sqlite.Conn, source string) error {
	err := sqlfile.Exec(c, "DELETE FROM places WHERE source = ?", source)
	if err == nil {
		err = sqlfile.Exec(c, "DELETE FROM followed WHERE source = ? AND ended > 0", source)
	}
	return err
}

// NoteName notes the newest record that was seen of a name of IPNS: its sequence, when it ends, and what it points
// to. An older one is an error, and so is another one that is as new: a gateway cannot have a collection go back.
func (l *Library) NoteName(ctx context.Context, name string, sequence uint64, until time.Time, root string) error {
	newest := fmt.Sprintf("%020d %s", sequence, until.UTC().Format("2006-01-02T15:04:05.000000000"))
	return l.file.Write(ctx, func(c *sqlite.Conn) error {
		var seen, at string
		err := sqlfile.Each(c, "SELECT newest, root FROM names WHERE name = ?", func(s *sqlite.Stmt) error {
			seen, at = s.ColumnText(0), s.ColumnText(1)
			return nil
		}, name)
		switch {
		case err != nil:
			return err
		case newest < seen:
			return fmt.Errorf("ipns://%s: the gateway's record, number %d, is older than one that was followed before; "+
				"ask a gateway that has the newest", name, sequence)
		case newest == seen && root != at:
			return fmt.Errorf("ipns://%s: there are two records of number %d, to %s and %s; publish a newer one", name, sequence,
				at, root)
		}
		return sqlfile.Exec(c, `INSERT INTO names VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET newest = ?2, root = ?3`,
			name, newest, root)
	})
}

// Places lists where collections are made from, of one source, or of all if it is empty.
func (l *Library) Places(ctx context.Context, source string) (list []Place, err error) {
	err = l.file.Read(ctx, func(c *sqlite.Conn) error {
		return sqlfile.Each(c, `SELECT s.source, coalesce(p.place, f.place), coalesce(p.fault, ''), coalesce(p.tried, 0),
			coalesce(p.synced, 0), coalesce(f.next, 0), coalesce(f.ended, 0), coalesce(f.every, 0), coalesce(f.failures, 0)
			FROM (SELECT source FROM places UNION SELECT source FROM followed) s
			LEFT JOIN places p USING (source) LEFT JOIN followed f USING (source)
			WHERE ?1 = '' OR s.source = ?1 ORDER BY s.source`, func(s *sqlite.Stmt) error {
			at := func(i int) (t time.Time) {
				if ms := s.ColumnInt64(i); ms > 0 {
					t = time.UnixMilli(ms).UTC()
				}
				return t
			}
			p := Place{
				Source: s.ColumnText(0), Place: s.ColumnText(1), Fault: s.ColumnText(2), Tried: at(3), Synced: at(4),
				Next: at(5), Ended: at(6), Every: time.Duration(s.ColumnInt64(7)), Failures: s.ColumnInt64(8),
			}
			if !p.Ended.IsZero() {
				p.Every, p.Next, p.Failures = 0, time.Time{}, 0
			}
			list = append(list, p)
			return nil
		}, source)
	})
	return list, err
}
