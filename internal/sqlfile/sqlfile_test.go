package sqlfile_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/writ-run/writ/internal/sqlfile"
)

func prepareList(c *sqlite.Conn) error {
	return sqlitex.ExecuteScript(c, "CREATE TABLE IF NOT EXISTS list (n INTEGER NOT NULL)", nil)
}

func TestAFileIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.db")
	f, err := sqlfile.Open(path, nil, prepareList)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v: others may read it", info.Mode(), err)
	}
}

func TestAWriteThatFailsLeavesNothing(t *testing.T) {
	f, err := sqlfile.Open(filepath.Join(t.TempDir(), "list.db"), []string{"foreign_keys = 1"}, prepareList)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	broken := errors.New("broken")
	add := func(then error) error {
		return f.Write(context.Background(), func(c *sqlite.Conn) error {
			if err := sqlfile.Exec(c, "INSERT INTO list VALUES (?)", 7); err != nil {
				return err
			}
			return then
		})
	}
	if err := add(broken); !errors.Is(err, broken) {
		t.Fatalf("%v is not what failed", err)
	}
	if err := add(nil); err != nil {
		t.Fatal(err)
	}
	var rows, sum int64
	err = f.Read(context.Background(), func(c *sqlite.Conn) (err error) {
		if rows, err = sqlfile.Number(c, "SELECT count(*) FROM list"); err != nil {
			return err
		}
		return sqlfile.Each(c, "SELECT n FROM list", func(s *sqlite.Stmt) error { sum += s.ColumnInt64(0); return nil })
	})
	if err != nil || rows != 1 || sum != 7 {
		t.Fatalf("%d rows with the sum %d, %v; want one of 7", rows, sum, err)
	}
}

func TestAFileThatCannotBePreparedIsNotOpen(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("broken")
	_, err := sqlfile.Open(filepath.Join(dir, "list.db"), nil, func(*sqlite.Conn) error { return broken })
	if !errors.Is(err, broken) {
		t.Fatalf("%v is not what failed", err)
	}
	if _, err := sqlfile.Open(filepath.Join(dir, "none", "list.db"), nil, prepareList); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v: a folder that is not there is not made", err)
	}
}
