package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "writ")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	db, err := store.Open(ctx, store.Config{DSN: store.SQLite(filepath.Join(dir, "writ.db"))})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	block := provenance.NewRaw([]byte("hello"))
	if err := db.PutBlocks(ctx, []provenance.Block{block}, nil); err != nil {
		fmt.Println(err)
		return
	}
	data, err := db.Block(ctx, block.CID)
	fmt.Println(string(data), err)
	_, err = db.Block(ctx, provenance.NewRaw([]byte("something else")).CID)
	fmt.Println(errors.Is(err, journal.ErrNotFound))
	// Output:
	// hello <nil>
	// true
}
