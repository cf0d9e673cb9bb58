package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/store"
)

// A keptStore is an open store with the keys that belong to it.
type keptStore struct {
	store    closingStore
	operator ed25519.PrivateKey
	wallet   *auth.Wallet // for who brings none
}

// A keyFile is what stands beside the database, so that heads and approvals of before a restart are of the same keys.
type keyFile struct {
	Operator string `json:"operator"` // seed of the Ed25519 key that signs heads, 64 hex digits
	Wallet   string `json:"wallet"`   // private key of the wallet that was made, 0x and 64 hex digits
}

// openStore opens the store that dsn names, for owner alone if it is in a file. Its keys are then in a file beside it.
func openStore(ctx context.Context, dsn, owner string) (keptStore, error) {
	var keys keyFile
	var err error
	if dsn == "" {
		dsn = store.Memory
	}
	if path, inFile := strings.CutPrefix(dsn, "sqlite:"); inFile {
		keys, err = loadKeys(path)
	} else {
		owner = "" // nobody else can open one in memory
		keys, err = newKeys()
	}
	if err != nil {
		return keptStore{}, err
	}
	db, err := store.Open(ctx, store.Config{DSN: dsn, Owner: owner})
	if err != nil {
		return keptStore{}, err
	}
	return keys.attach(db)
}

func newKeys() (keyFile, error) {
	_, operator, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyFile{}, err
	}
	wallet, err := auth.NewWallet(rand.Reader)
	if err != nil {
		return keyFile{}, err
	}
	return keyFile{hex.EncodeToString(operator.Seed()), wallet.Secret()}, nil
}

// loadKeys reads the keys of the database at path, or makes them if neither they nor the database are there.
func loadKeys(path string) (keys keyFile, err error) {
	name := path + ".keys.json"
	raw, err := os.ReadFile(name)
	if err == nil {
		if err := json.Unmarshal(raw, &keys); err != nil {
			return keys, fmt.Errorf("%s is not a file of keys; restore it from a backup", name)
		}
		return keys, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	if _, err := os.Stat(path); err == nil {
		return keys, fmt.Errorf("%s is missing, whose keys signed what is in %s; restore it from a backup", name, path)
	}
	if keys, err = newKeys(); err != nil {
		return keys, err
	}
	if raw, err = json.Marshal(keys); err != nil {
		return keys, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return keys, err
	}
	_, err = f.Write(raw)
	return keys, errors.Join(err, f.Sync(), f.Close())
}

// attach joins a store and its keys. If they are not keys, the store is closed.
func (k keyFile) attach(s closingStore) (keptStore, error) {
	seed, err := hex.DecodeString(k.Operator)
	if err == nil && len(seed) != ed25519.SeedSize {
		err = errors.New("the operator's key has a wrong length")
	}
	wallet, werr := auth.ParseWallet(k.Wallet)
	if err = errors.Join(err, werr); err != nil {
		return keptStore{}, errors.Join(fmt.Errorf("read the file of keys: %w", err), s.Close())
	}
	return keptStore{s, ed25519.NewKeyFromSeed(seed), wallet}, nil
}
