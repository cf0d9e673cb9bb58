// Package datadir is the folder in which one server keeps what must outlive it: who uses it, and the keys in it.
//
//	writ.db                 the store
//	writ.lock               taken by the process that uses the folder; see [Lock]
//	operator.key, .pub      signs heads; see [OperatorKey]
//	operator.binding        the wallet's word for that key, made by writ key bind
//	ipfs.key, witness.key   identities of other parts; see [Key]
//	log/                    the transparency log's tiles
//
// Secrets are written by [WriteSecret]: whole or not at all, and readable by their owner only.
package datadir

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Names of what is in a data folder.
const (
	StoreFile   = "writ.db"
	LogFolder   = "log"
	BindingFile = "operator.binding"

	lockFile = "writ.lock"
)

// Is says whether a folder of a file system is a server's: it has its store and the key that signs for it.
func Is(files fs.FS, name string) bool {
	for _, has := range []string{StoreFile, "operator.key"} {
		if _, err := fs.Lstat(files, path.Join(name, has)); err != nil {
			return false
		}
	}
	return true
}

// lockWait is how long [Lock] waits: a command that opens the store has the folder for moments.
const lockWait = time.Second

// A UseError says why a folder, or a key in it, cannot be used as it is, and what helps. It is for the operator's eyes.
type UseError struct {
	Says    string
	Damaged bool // what was in the folder is lost
}

func (e *UseError) Error() string { return e.Says }

func unusable(format string, args ...any) error { return &UseError{Says: fmt.Sprintf(format, args...)} }

func lost(format string, args ...any) error {
	return &UseError{Says: fmt.Sprintf(format, args...), Damaged: true}
}

// Lock makes a data folder this process's own, and makes the folder if there is none. The lock goes with the process,
// however it ends. The caller unlocks it.
func Lock(dir string) (*flock.Flock, error) {
	if dir == "" {
		return nil, unusable("say where the data shall be: --data DIR")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable("the data folder cannot be made: %s", err)
	}
	if err := CheckTrust(dir); err != nil {
		return nil, err
	}
	lock := lockOf(dir)
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	ok, err := lock.TryLockContext(ctx, 50*time.Millisecond)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, unusable("the data folder %s cannot be used: %s", dir, err)
	}
	if !ok {
		return nil, unusable("another writ uses the data folder %s; stop it, or give another --data", dir)
	}
	return lock, nil
}

// TryLock takes the lock of a data folder if it is free, and says whether it was. The caller closes it in both cases.
func TryLock(dir string) (lock *flock.Flock, alone bool, err error) {
	if err := CheckTrust(dir); err != nil {
		return nil, false, err
	}
	lock = lockOf(dir)
	if alone, err = lock.TryLock(); err != nil {
		return nil, false, unusable("the data folder %s cannot be used: %s", dir, err)
	}
	return lock, alone, nil
}

func lockOf(dir string) *flock.Flock {
	return flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
}

// OperatorKey reads the key that signs heads, or makes it at the first start. operator.pub beside it holds the public
// half, for auditors.
func OperatorKey(dir string) (ed25519.PrivateKey, error) { return Key(dir, "operator") }

// Key reads an Ed25519 key from NAME.key, or makes it, with its public half in NAME.pub.
func Key(dir, name string) (ed25519.PrivateKey, error) {
	if err := CheckTrust(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name+".key")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(dir, name)
	}
	if err != nil {
		return nil, unusable("the %s key cannot be read: %s", name, err)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, unusable("%s does not hold the %s key (64 hex digits); restore it from a backup", path, name)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func makeKey(dir, name string) (ed25519.PrivateKey, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the %s key: %w", name, err)
	}
	if err := WriteSecret(filepath.Join(dir, name+".key"), []byte(hex.EncodeToString(key.Seed())+"\n")); err != nil {
		return nil, err
	}
	return key, WriteSecret(filepath.Join(dir, name+".pub"), []byte(hex.EncodeToString(public)+"\n"))
}

// LogKey returns the key that signs checkpoints. It is derived from the operator's, so that there is one secret to
// keep, and is another one, so that no signature can be taken for one of the other kind.
func LogKey(operator ed25519.PrivateKey) (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, operator.Seed(), nil, "writ/log/1", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive the log's key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// LogOrigin returns the name of a log that was given none: one that stays the same wherever the server is found.
func LogOrigin(operator ed25519.PrivateKey) string {
	return "writ/log/" + hex.EncodeToString(operator.Public().(ed25519.PublicKey)[:8])
}

// WriteSecret writes a file that only its owner may read, all of it or nothing.
func WriteSecret(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".writ-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
