package main

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/translog"
)

// A headLogPlan says how the transparency log is kept.
type headLogPlan struct {
	Origin    string        // made of the operator's key if empty
	Interval  time.Duration // between checkpoints; 1 s if 0
	Witnesses []byte        // a policy of c2sp.org/tlog-policy; none are asked if empty
	Timeout   time.Duration // of asking them; 2 s if 0
	Optional  bool          // publish without their quorum
}

// logFolder and bindingFile are what a data folder has of the log besides the store.
const (
	logFolder   = "log"
	bindingFile = "operator.binding"
)

// logKey is the key that signs checkpoints. It is derived from the operator's, so that there is one secret to keep, and
// is another one, so that no signature can be taken for one of the other kind.
func logKey(operator ed25519.PrivateKey) (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, operator.Seed(), nil, "writ/log/1", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive the log's key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// logOrigin is the name of a log that was given none: one that stays the same wherever the server is found.
func logOrigin(operator ed25519.PrivateKey) string {
	return "writ/log/" + hex.EncodeToString(operator.Public().(ed25519.PublicKey)[:8])
}

// openHeadLog opens the log of a data folder, which proves that the journal and the log say the same, and binds the
// operator's key if the folder has a binding.
func openHeadLog(ctx context.Context, p headLogPlan, dir string, db *store.DB, operator ed25519.PrivateKey, log *slog.Logger) (*translog.Log, error) {
	key, err := logKey(operator)
	if err != nil {
		return nil, err
	}
	if p.Origin == "" {
		p.Origin = logOrigin(operator)
	}
	l, err := translog.Open(ctx, translog.Config{
		Dir: filepath.Join(dir, logFolder), Store: db, Key: key, Origin: p.Origin, Interval: p.Interval,
		Witnesses: p.Witnesses, Timeout: p.Timeout, Optional: p.Optional, Log: log,
	})
	switch {
	case errors.Is(err, translog.ErrBehind), errors.Is(err, translog.ErrForked):
		return nil, failf(exitIntegrity, "log", "%s", err)
	case errors.Is(err, translog.ErrOrigin):
		return nil, usage("%s; set transparency.origin back, or restore operator.key", err)
	case err != nil:
		return nil, failf(exitInternal, "log", "%s", err)
	}
	if err := bindKey(ctx, l, db, filepath.Join(dir, bindingFile)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// bindKey logs the key binding of a file, if there is one, before any head is made under it.
func bindKey(ctx context.Context, l *translog.Log, db *store.DB, path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return usage("the key binding cannot be read: %s", err)
	}
	rec := new(provenance.KeyBinding)
	if err := provenance.Decode(data, rec); err != nil {
		return failf(exitIntegrity, "binding", "%s is not a key binding (%s); make it anew with: writ key bind", path, err)
	}
	block, err := provenance.Encode(rec)
	if err != nil {
		return err
	}
	if _, err := db.AddEntry(ctx, block); err != nil {
		return err
	}
	if err := l.Bind(ctx, block.CID); err != nil {
		return usage("%s", err)
	}
	return nil
}
