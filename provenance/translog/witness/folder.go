package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/writ-run/writ/provenance/logproof"
)

// A Folder is a [Keeper] of files, one a log, named by the SHA-256 of its origin: NAME.checkpoint, and NAME.convicted
// once the log has signed something that contradicts it. The folder must be there, and one process's own.
type Folder string

func (f Folder) filePath(origin, what string) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(string(f), hex.EncodeToString(sum[:])+"."+what)
}

// Load implements [Keeper].
func (f Folder) Load(origin string) ([]byte, error) {
	info, err := os.Stat(f.filePath(origin, "checkpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > logproof.MaxProof || info.Size() == 0 {
		return nil, fmt.Errorf("%s is damaged: %d bytes", f.filePath(origin, "checkpoint"), info.Size())
	}
	return os.ReadFile(f.filePath(origin, "checkpoint"))
}

// Save implements [Keeper]: a new file, brought to disk, takes the old one's place, and the folder is brought to disk.
func (f Folder) Save(origin string, checkpoint []byte) error {
	return f.writeFile(f.filePath(origin, "checkpoint"), checkpoint)
}

// Convict implements [Keeper]. The first of a log stays.
func (f Folder) Convict(origin string, checkpoint []byte) error {
	path := f.filePath(origin, "convicted")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return f.writeFile(path, checkpoint)
}

func (f Folder) writeFile(path string, data []byte) error {
	t, err := os.CreateTemp(string(f), ".writing-*")
	if err != nil {
		return err
	}
	defer os.Remove(t.Name())
	_, err = t.Write(data)
	if err == nil {
		err = t.Sync()
	}
	if err := errors.Join(err, t.Close()); err != nil {
		return err
	}
	if err := os.Rename(t.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(string(f))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
