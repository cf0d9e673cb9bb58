package library

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/internal/sqlfile"
)

// A Place is where a collection is made from: a folder, a CAR file, a CID or a web address.
type Place struct {
	Source string    `json:"source"`
	Place  string    `json:"place"`
	Tried  time.Time `json:"tried"`           // when it was last read, or not
	Synced time.Time `json:"synced,omitzero"` // when that last came out; never if zero
	Fault  string    `json:"fault,omitempty"` // why the last try did not; the collection is as it was before
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

// Places lists where collections are made from, of one source, or of all if it is empty.
func (l *Library) Places(ctx context.Context, source string) (list []Place, err error) {
	err = l.file.Read(ctx, func(c *sqlite.Conn) error {
		return sqlfile.Each(c, `SELECT source, place, tried, synced, fault FROM places WHERE ?1 = '' OR source = ?1
			ORDER BY source`, func(s *sqlite.Stmt) error {
			p := Place{
				Source: s.ColumnText(0), Place: s.ColumnText(1), Fault: s.ColumnText(4),
				Tried: time.UnixMilli(s.ColumnInt64(2)).UTC(),
			}
			if at := s.ColumnInt64(3); at > 0 {
				p.Synced = time.UnixMilli(at).UTC()
			}
			list = append(list, p)
			return nil
		}, source)
	})
	return list, err
}
