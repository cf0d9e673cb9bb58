package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/writ-run/writ/internal/journal"
)

// sqliteFiles are the files of an open database, as they were found under their names. A file that is deleted, or
// replaced, lives on for those who have it open: they would go on writing what nobody finds again.
type sqliteFiles struct {
	mu   sync.Mutex
	path string
	seen map[string]os.FileInfo // by what is behind path in their names
}

// The suffixes of a database's files. The last two are SQLite's, which makes them when it first needs them.
var fileSuffixes = []string{"", "-mark", "-wal", "-shm"}

// check notes the files that it sees for the first time, and returns ErrMoved if another one stands in their place.
func (f *sqliteFiles) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, suffix := range fileSuffixes {
		now, err := os.Lstat(f.path + suffix)
		was := f.seen[suffix]
		switch {
		case was == nil && errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%s is gone: %w", f.path+suffix, journal.ErrMoved)
		case err != nil:
			return err
		case was == nil:
			f.seen[suffix] = now
		case !os.SameFile(was, now):
			return fmt.Errorf("%s is another file: %w", f.path+suffix, journal.ErrMoved)
		}
	}
	return nil
}
