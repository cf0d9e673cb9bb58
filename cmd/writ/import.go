package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

func (a *app) importCommand() *cobra.Command {
	var data, keys, identity string
	c := &cobra.Command{
		Use: "import FILE.car", Short: "Store a CAR file's blocks in a data folder",
		Long: "Checks every block of a CAR file against its CID and stores what its root leads to, so that cat and the server's\ngateway have it. Importing proves nothing about what the records say: verify does.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if data == "" {
				return usage("say where to: --data DIR")
			}
			src, f, err := openCAR(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			known, err := openKeys(keys, identity)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(data, 0o700); err != nil {
				return err
			}
			db, err := openBeside(c.Context(), data)
			if err != nil {
				return err
			}
			defer db.Close()
			stored, err := importBlocks(c.Context(), db, src, known)
			if err != nil {
				return err
			}
			r := struct {
				Root   string `json:"root"`
				Blocks int    `json:"blocks"`
				Bytes  int64  `json:"bytes"`
			}{src.Root().String(), stored, src.Size()}
			return a.done(r, func(w io.Writer) { fmt.Fprintf(w, "%d blocks stored, root %s\n", r.Blocks, r.Root) })
		},
	}
	c.Flags().StringVar(&data, "data", "", "data `folder` to store in; it is made if need be")
	c.Flags().StringVar(&keys, "keys", "", "key `file` of the sealed payloads")
	c.Flags().StringVar(&identity, "identity", "", "age identity `file`, if the key file is encrypted to it")
	return c
}

// importBlocks stores every block that the root leads to, in portions.
func importBlocks(ctx context.Context, db *store.DB, src *provenance.CAR, keys map[provenance.Link]provenance.LeafKey) (int, error) {
	var blocks []provenance.Block
	var leaves []provenance.Leaf
	n := 0
	flush := func() error {
		if err := db.PutBlocks(ctx, blocks, leaves); err != nil {
			return fmt.Errorf("store the blocks: %w", err)
		}
		n += len(blocks)
		blocks, leaves = nil, nil
		return nil
	}
	seen := map[provenance.Link]bool{}
	todo := []provenance.Link{src.Root()}
	for len(todo) > 0 {
		l := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[l] || !l.Defined() {
			continue
		}
		seen[l] = true
		data, err := src.Get(l)
		if errors.Is(err, provenance.ErrAbsent) && l.Prefix().Codec == cid.Raw {
			continue // withheld or erased
		} else if err != nil {
			return n, err
		}
		blocks = append(blocks, provenance.Block{CID: l, Data: data})
		if k, ok := keys[l]; ok {
			leaves = append(leaves, provenance.Leaf{CID: l, Key: k})
		}
		if l.Prefix().Codec == cid.DagCBOR {
			rec, err := provenance.DecodeAny(data)
			if err != nil {
				return n, fmt.Errorf("block %s: %w", l, err)
			}
			todo = append(todo, provenance.Links(rec)...)
		}
		if len(blocks) == 256 {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
	return n, flush()
}
