package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	db, err := store.Open(ctx, store.Config{Path: path})
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

func openKeys(path string) (map[provenance.Link]provenance.LeafKey, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	keys, err := provenance.ReadKeys(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}
