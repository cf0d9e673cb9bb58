package library

import (
	"context"
	"errors"
	"fmt"
	"os"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/writ-run/writ/internal/sqlfile"
)

// Copy writes the library in a file as it is at one moment to another one, which must not be there, while servers and
// commands use the first.
func Copy(ctx context.Context, from, to string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // SQLite would let others read it
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	err = withFile(ctx, from, func(c *sqlite.Conn) error { return sqlfile.Exec(c, "VACUUM INTO ?", to) })
	if err != nil {
		return fmt.Errorf("copy the documents: %w", err)
	}
	return nil
}

// Check says whether a file is a library whose parts fit together, and how many documents it has.
func Check(ctx context.Context, path string) (documents int64, err error) {
	err = withFile(ctx, path, func(c *sqlite.Conn) error {
		err := sqlfile.Each(c, "PRAGMA integrity_check(1)", func(s *sqlite.Stmt) error {
			if found := s.ColumnText(0); found != "ok" {
				return errors.New(found)
			}
			return nil
		})
		if err == nil {
			err = sqlfile.Each(c, "PRAGMA foreign_key_check", func(s *sqlite.Stmt) error {
				return fmt.Errorf("a row of %s belongs to nothing", s.ColumnText(0))
			})
		}
		if err == nil {
			documents, err = sqlfile.Number(c, "SELECT count(*) FROM documents")
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("check the documents: %w", err)
	}
	return documents, nil
}

// withFile calls do with a library's file, which is there and is not changed.
func withFile(ctx context.Context, path string, do func(*sqlite.Conn) error) (err error) {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	c.SetInterrupt(ctx.Done())
	if err := sqlitex.ExecuteTransient(c, "PRAGMA trusted_schema = 0", nil); err != nil {
		return err
	}
	return do(c)
}
