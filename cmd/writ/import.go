package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// importOptions are the flags of writ import.
type importOptions struct {
	data, keys, identity string
}

func importCommand(a *app) *cobra.Command {
	var o importOptions
	c := &cobra.Command{
		Use: "import FILE.car", Short: "Store a CAR file's blocks in a data folder",
		Long: "Checks every block of a CAR file against its CID and stores what its root leads to, so that cat and the " +
			"server's\ngateway have it. Importing proves nothing about what the records say: verify does.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.importFile(c.Context(), a, args) },
	}
	c.Flags().StringVar(&o.data, "data", "", "data `folder` to store in; it is made if need be")
	c.Flags().StringVar(&o.keys, "keys", "", "key `file` of the sealed payloads")
	c.Flags().StringVar(&o.identity, "identity", "", "age identity `file`, if the key file is encrypted to it")
	return c
}

func (o *importOptions) importFile(ctx context.Context, a *app, args []string) error {
	if o.data == "" {
		return cli.Usage("say where to: --data DIR")
	}
	src, f, err := evidence.OpenCAR(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	known, err := evidence.OpenKeys(o.keys, o.identity)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return err
	}
	db, err := evidence.OpenBeside(ctx, o.data)
	if err != nil {
		return err
	}
	defer db.Close()
	in := importer{db: db, src: src, keys: known}
	if err := in.importBlocks(ctx); err != nil {
		return err
	}
	r := struct {
		Root   string `json:"root"`
		Blocks int    `json:"blocks"`
		Bytes  int64  `json:"bytes"`
		Keys   int    `json:"keys"`
		// Of keys that were given: those of leaves that are erased, and those that open nothing of the file.
		Erased int `json:"keys_erased"`
		Wrong  int `json:"keys_wrong"`
	}{src.Root().String(), in.stored, src.Size(), in.kept, in.erased, len(known) - in.kept - in.erased}
	return a.Done(r, func(w io.Writer) {
		fmt.Fprintf(w, "%d blocks stored, root %s\n", r.Blocks, r.Root)
		if len(known) > 0 {
			fmt.Fprintf(w, "%d keys stored; not stored: %d of leaves that were erased, %d that open no leaf of the file\n",
				r.Keys, r.Erased, r.Wrong)
		}
	})
}

// An importer stores what a CAR file's root leads to, and the keys that open leaves of it to what the records commit
// to.
type importer struct {
	db   journal.Blocks
	src  *provenance.CAR
	keys map[provenance.Link]provenance.LeafKey

	blocks []provenance.Block // to be stored with the next portion
	leaves []provenance.Leaf
	gone   map[provenance.Link]bool // leaves that the file's own records call erased
	right  map[provenance.Link]bool // leaves that their keys open

	stored, kept, erased int // blocks, keys, and keys of erased leaves
}

// importBlocks stores every block that the root leads to, in portions, and then the keys: which leaves are erased is
// known when all records are read.
func (in *importer) importBlocks(ctx context.Context) error {
	in.gone, in.right = map[provenance.Link]bool{}, map[provenance.Link]bool{}
	seen := map[provenance.Link]bool{}
	todo := []provenance.Link{in.src.Root()}
	for len(todo) > 0 {
		l := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[l] || !l.Defined() {
			continue
		}
		seen[l] = true
		data, err := in.src.Get(l)
		if errors.Is(err, provenance.ErrAbsent) && l.Prefix().Codec == cid.Raw {
			continue // withheld or erased
		} else if err != nil {
			return err
		}
		in.blocks = append(in.blocks, provenance.Block{CID: l, Data: data})
		if l.Prefix().Codec == cid.DagCBOR {
			rec, err := provenance.DecodeAny(data)
			if err != nil {
				return fmt.Errorf("block %s: %w", l, err)
			}
			todo = append(todo, provenance.Links(rec)...)
			in.tryKeys(rec)
		}
		if len(in.blocks) == 256 {
			if err := in.store(ctx); err != nil {
				return err
			}
		}
	}
	return errors.Join(in.store(ctx), in.storeKeys(ctx))
}

// store stores a portion.
func (in *importer) store(ctx context.Context) error {
	if err := in.db.PutBlocks(ctx, in.blocks, in.leaves); err != nil {
		return fmt.Errorf("store the blocks: %w", err)
	}
	in.stored += len(in.blocks)
	in.blocks, in.leaves = nil, nil
	return nil
}

// tryKeys opens the payloads of a record with the keys that were given, and notes the leaves that it calls erased.
func (in *importer) tryKeys(rec provenance.Record) {
	if e, ok := rec.(*provenance.Erasure); ok {
		for _, l := range e.Leaves {
			in.gone[l] = true
		}
	}
	for _, p := range provenance.Payloads(rec) {
		k, given := in.keys[p.Leaf()]
		if !given || p.Public() || in.right[p.Leaf()] {
			continue
		}
		if data, err := in.src.Get(p.Leaf()); err == nil && p.Open(data, k) == nil {
			in.right[p.Leaf()] = true
		}
	}
}

// storeKeys stores the keys that are right, but for leaves that were erased, here or by the file's own word.
func (in *importer) storeKeys(ctx context.Context) error {
	var asked []provenance.Link
	for l := range in.right {
		if in.gone[l] {
			in.erased++
			continue
		}
		asked = append(asked, l)
		in.leaves = append(in.leaves, provenance.Leaf{CID: l, Key: in.keys[l]})
		if len(in.leaves) == 256 {
			if err := in.store(ctx); err != nil {
				return err
			}
		}
	}
	if err := in.store(ctx); err != nil {
		return err
	}
	for _, l := range asked {
		_, err := in.db.LeafKey(ctx, l)
		switch {
		case errors.Is(err, journal.ErrNotFound): // it was erased here
			in.erased++
		case err != nil:
			return err
		default:
			in.kept++
		}
	}
	return nil
}
