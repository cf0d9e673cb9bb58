package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/store"
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

func (a *app) importCommand() *cobra.Command {
	var data, keys string
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
			known, err := openKeys(keys)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(data, 0o700); err != nil {
				return err
			}
			db, err := store.Open(c.Context(), store.Config{Path: filepath.Join(data, "writ.db")})
			if err != nil {
				return failf(exitInternal, "store", "%s", err)
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

func (a *app) verifyCommand() *cobra.Command {
	var keys, operator string
	c := &cobra.Command{
		Use: "verify FILE.car", Short: "Check a run's record as a stranger, without any server",
		Long: `Judges the record in a CAR file and trusts nothing in it: hashes, spelling and links of every block, the wallet's and
the operator's signatures, that the permission covers every effect, and every policy decision computed again. The last
line is the verdict:

  VERIFIED               every check passed
  VERIFIED WITH GAPS     nothing is wrong, but not all could be checked; the lines above say what (exit code 4)
  FAILED code at CID     something is wrong (exit code 2, 3 or 4; see writ help exit-codes)

--operator-key is the key that you got from the operator by another way than this file; without it the head cannot be
checked. --keys opens sealed payloads, of which permission and decisions are made.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o := provenance.Options{}
			var err error
			if operator != "" {
				if b, err := os.ReadFile(operator); err == nil {
					operator = strings.TrimSpace(string(b))
				}
				if o.OperatorKey, err = audit.OperatorKey(operator); err != nil {
					return usage("--operator-key: %s", err)
				}
			}
			if o.Keys, err = openKeys(keys); err != nil {
				return err
			}
			var rep *provenance.Report
			src, f, err := openCAR(args[0])
			if _, bad := errors.AsType[*provenance.Fault](err); bad {
				rep = provenance.FailedReport(err)
			} else if err != nil {
				return err
			} else {
				defer f.Close()
				rep = audit.Verify(src, o)
			}
			exit := audit.Exit(rep)
			if exit == exitOK {
				return a.done(rep, func(w io.Writer) { audit.Text(w, rep, a.color(w)) })
			}
			if !a.json {
				if err := audit.Text(a.out, rep, a.color(a.out)); err != nil {
					return err
				}
				return &failure{exit: exit, code: "verdict"}
			}
			fail := failf(exit, string(rep.Code), "%s", rep.Detail)
			if rep.Verdict == provenance.Gaps {
				fail.code, fail.message = "gaps", "nothing is wrong with what could be checked, but not all could; see checks"
			}
			fail.result = rep
			return fail
		},
	}
	c.Flags().StringVar(&keys, "keys", "", "key `file` of the sealed payloads")
	c.Flags().StringVar(&operator, "operator-key", "", "the operator's public `key`: 64 hex digits, or a file that holds them")
	return c
}

func (a *app) catCommand() *cobra.Command {
	var data, file, keys string
	c := &cobra.Command{
		Use: "cat CID", Short: "Show one record",
		Long: `Shows a record as JSON with the names of its schema, links as {"/": cid}, bytes as hex, and each payload whose key is
known opened. The record comes from a CAR file, a data folder, or both in this order.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			link, err := cid.Decode(args[0])
			if err != nil {
				return usage("%q is not a CID", args[0])
			}
			if file == "" && data == "" {
				return usage("say where the record is: --file run.car, --data DIR, or both")
			}
			var sources []func(provenance.Link) ([]byte, error)
			known, err := openKeys(keys)
			if err != nil {
				return err
			}
			key := func(l provenance.Link) (provenance.LeafKey, bool) { k, ok := known[l]; return k, ok }
			if file != "" {
				src, f, err := openCAR(file)
				if err != nil {
					return err
				}
				defer f.Close()
				sources = append(sources, src.Get)
			}
			if data != "" {
				db, err := openData(c.Context(), data)
				if err != nil {
					return err
				}
				defer db.Close()
				sources = append(sources, func(l provenance.Link) ([]byte, error) { return db.Block(c.Context(), l) })
				given := key
				key = func(l provenance.Link) (provenance.LeafKey, bool) {
					if k, ok := given(l); ok {
						return k, true
					}
					k, err := db.LeafKey(c.Context(), l)
					return k, err == nil
				}
			}
			get := func(l provenance.Link) (b []byte, err error) {
				for _, s := range sources {
					if b, err = s(l); err == nil {
						return b, nil
					}
					if !errors.Is(err, provenance.ErrAbsent) && !errors.Is(err, agent.ErrNotFound) {
						return nil, err
					}
				}
				return nil, failf(exitIncomplete, "not_found", "there is no block %s there; it may be in another file or folder", l)
			}
			v, err := recordView(link, get, key)
			if err != nil {
				return err
			}
			if a.json {
				return a.done(map[string]any{"cid": link.String(), "record": v}, nil)
			}
			b, err := json.MarshalIndent(v, "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%s\n", b)
			return err
		},
	}
	c.Flags().StringVar(&data, "data", "", "data `folder` to look in")
	c.Flags().StringVar(&file, "file", "", "CAR `file` to look in")
	c.Flags().StringVar(&keys, "keys", "", "key `file` of the sealed payloads")
	return c
}

// hexOf shows bytes.
func hexOf(b []byte) string { return hex.EncodeToString(b) }
