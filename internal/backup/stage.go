package backup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// A backup is put together in a folder beside it, which is held by a lock as long as its process lives. One that was
// killed leaves it behind, with a copy of the store: the next backup that is made there removes it.

const (
	stagePrefix = ".writ-backup-"
	stageLock   = "lock"
	staleStage  = 24 * time.Hour // after which one without a lock, as it was made once, is nobody's
)

// openStage makes a folder to put a backup together, and removes those that were left behind.
func openStage(dir string) (stage string, closing func() error, err error) {
	removeStages(dir)
	for range 3 {
		if stage, err = os.MkdirTemp(dir, stagePrefix+"*"); err != nil {
			return "", nil, err
		}
		lock := flock.New(filepath.Join(stage, stageLock), flock.SetPermissions(0o600))
		held, err := lock.TryLock()
		if err != nil {
			return "", nil, errors.Join(err, os.RemoveAll(stage))
		}
		if _, err := os.Lstat(lock.Path()); held && err == nil {
			return stage, func() error { return errors.Join(os.RemoveAll(stage), lock.Close()) }, nil
		}
		_ = lock.Close() // another backup took it for one that was left behind
	}
	return "", nil, errors.New("other backups are being made there; try again")
}

// removeStages removes what killed backups have left in a folder. What cannot be removed stays, and does no harm.
func removeStages(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // making the next one says why
	}
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), stagePrefix)
		if ours && e.IsDir() && number != "" && strings.Trim(number, "0123456789") == "" {
			removeStage(filepath.Join(dir, e.Name()))
		}
	}
}

// removeStage removes a folder of a backup unless a process holds it.
func removeStage(stage string) {
	path := filepath.Join(stage, stageLock)
	if _, err := os.Lstat(path); err != nil {
		if info, err := os.Stat(stage); err == nil && time.Since(info.ModTime()) > staleStage {
			_ = os.RemoveAll(stage)
		}
		return
	}
	lock := flock.New(path, flock.SetPermissions(0o600))
	defer lock.Close()
	if free, err := lock.TryLock(); err == nil && free {
		_ = os.RemoveAll(stage)
	}
}
