package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// openData opens the store of a data folder that is there already.
func openData(ctx context.Context, dir string) (*store.DB, error) {
	path := filepath.Join(dir, "writ.db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, usage("%s is no data folder: it has no writ.db; give the --data of the server", dir)
	} else if err != nil {
		return nil, usage("the data folder cannot be read: %s", err)
	}
	return openBeside(ctx, dir)
}

// openBeside opens the store of a data folder that a server may be using. If none does, it has the folder to itself while
// it opens the store, which looks for damage; a server has done so at its start.
func openBeside(ctx context.Context, dir string) (*store.DB, error) {
	lock := dataLock(dir)
	alone, err := lock.TryLock()
	if err != nil {
		return nil, usage("the data folder %s cannot be used: %s", dir, err)
	}
	defer lock.Close()
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(dir, "writ.db"), Shared: !alone})
	if err != nil {
		return nil, failf(exitInternal, "store", "%s", err)
	}
	return db, nil
}

// openCAR opens and checks a CAR file. The caller closes the file.
func openCAR(path string) (*provenance.CAR, *os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	var src *provenance.CAR
	if err == nil && !info.Mode().IsRegular() {
		err = usage("%s is not a file", path)
	}
	if err == nil {
		src, err = provenance.OpenCAR(f, info.Size())
	}
	if err != nil {
		f.Close()
		if fault, ok := errors.AsType[*provenance.Fault](err); ok {
			return nil, nil, fmt.Errorf("%s: %w; fetch or export the file again", path, fault)
		}
		return nil, nil, err
	}
	return src, f, nil
}

func openKeys(path, identity string) (map[provenance.Link]provenance.LeafKey, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in, err := unlocked(f, identity)
	if err != nil {
		return nil, failf(exitUsage, "keys.locked", "%s: %s", path, err)
	}
	keys, err := provenance.ReadKeys(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// unlocked reads a key file that may be encrypted to a reader's age identity, by writ disclose.
func unlocked(f io.Reader, identity string) (io.Reader, error) {
	in := bufio.NewReader(f)
	if begin, _ := in.Peek(len(ageMagic)); string(begin) != ageMagic {
		return in, nil
	}
	if identity == "" {
		return nil, errors.New("it is encrypted; give --identity with the file that age-keygen made")
	}
	k, err := os.Open(identity)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	ids, err := age.ParseIdentities(k)
	if err != nil {
		return nil, errors.New("the identity file is none of age's") // what is in it is not shown
	}
	out, err := age.Decrypt(in, ids...)
	if _, other := errors.AsType[*age.NoIdentityMatchError](err); other {
		return nil, errors.New("it is encrypted to somebody else")
	}
	return out, err
}

// ageMagic is how every age file begins.
const ageMagic = "age-encryption.org/v1\n"
