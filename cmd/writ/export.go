package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"
)

func (a *app) exportCommand() *cobra.Command {
	var server, data, out, keys string
	c := &cobra.Command{
		Use: "export RUN", Short: "Write a run's record to a CAR file",
		Long: `Writes everything that a run's record leads to as one CAR file, and with --keys the keys of its sealed payloads as a
file of their own: who has both can read it all, who has the CAR alone can check it without reading it. The record
comes from the server, or with --data from a data folder, for which no server need run.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			run, err := cid.Decode(args[0])
			if err != nil {
				return isCID(args[0])
			}
			if out == "" {
				return usage("say where to: --out run.car")
			}
			var car bytes.Buffer
			var leaves []provenance.Leaf
			if data != "" {
				leaves, err = exportOffline(c.Context(), data, run, &car, keys != "")
			} else {
				leaves, err = a.exportOnline(c.Context(), server, run, &car, keys != "")
			}
			if err != nil {
				return err
			}
			// What a server gave is looked at before it is written: it must be this run's, and whole.
			src, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
			if err != nil {
				return fmt.Errorf("the record of %s: %w", run, err)
			}
			if err := os.WriteFile(out, car.Bytes(), 0o644); err != nil {
				return err
			}
			r := struct {
				Run    string `json:"run"`
				Head   string `json:"head"`
				Car    string `json:"car"`
				Blocks int    `json:"blocks"`
				Bytes  int    `json:"bytes"`
				Keys   string `json:"keys,omitempty"`
			}{run.String(), src.Root().String(), out, src.Len(), car.Len(), keys}
			if keys != "" {
				var b bytes.Buffer
				if err := provenance.WriteKeys(&b, leaves); err != nil {
					return err
				}
				if err := writeSecret(keys, b.Bytes()); err != nil {
					return err
				}
			}
			return a.done(r, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %d blocks, %d bytes, root %s\n", out, r.Blocks, r.Bytes, r.Head)
				if keys != "" {
					fmt.Fprintf(w, "%s: the keys of %d payloads; give it only to who may read them\n", keys, len(leaves))
				}
			})
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "CAR `file` to write")
	c.Flags().StringVar(&keys, "keys", "", "key `file` to write")
	c.Flags().StringVar(&data, "data", "", "read from this data `folder`, without a server")
	c.Flags().StringVar(&server, "server", "", "`URL` of the server")
	return c
}

func (a *app) exportOnline(ctx context.Context, server string, run cid.Cid, w io.Writer, keys bool) ([]provenance.Leaf, error) {
	cl, _, err := a.connect(ctx, server)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	p, err := cl.Provenance(ctx, run.String(), keys)
	if err != nil {
		return nil, err
	}
	if err := cl.CAR(ctx, p, w); err != nil {
		return nil, failf(exitNetwork, "fetch", "%s; try again", err)
	}
	return leavesOf(p)
}

func leavesOf(p wire.Provenance) ([]provenance.Leaf, error) {
	var leaves []provenance.Leaf
	for name, key := range p.Keys {
		link, err := cid.Decode(name)
		var k []byte
		if err == nil {
			k, err = base64.StdEncoding.Strict().DecodeString(key)
		}
		if err != nil || len(k) != len(provenance.LeafKey{}) {
			return nil, failf(exitIntegrity, "keys.form", "the server sent keys that are none; export without --keys, or tell the operator")
		}
		leaves = append(leaves, provenance.Leaf{CID: link, Key: provenance.LeafKey(k)})
	}
	return leaves, nil
}

func exportOffline(ctx context.Context, data string, run cid.Cid, w io.Writer, keys bool) ([]provenance.Leaf, error) {
	db, err := openData(ctx, data)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if _, err := agent.Export(ctx, db, w, run); errors.Is(err, agent.ErrNotFound) {
		return nil, failf(exitIncomplete, "not_found", "the data folder %s has no run %s; writ runs ls shows yours", data, run)
	} else if err != nil {
		return nil, err
	}
	if !keys {
		return nil, nil
	}
	all, err := agent.Keys(ctx, db, run)
	if err != nil {
		return nil, err
	}
	var leaves []provenance.Leaf
	for link, k := range all {
		leaves = append(leaves, provenance.Leaf{CID: link, Key: k})
	}
	return leaves, nil
}
