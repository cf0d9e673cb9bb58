package main

import (
	"bytes"

	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/provenance"
)

func (a *app) discloseCommand() *cobra.Command {
	var server, data, run, out string
	var to []string
	c := &cobra.Command{
		Use: "disclose RUN | disclose LEAF... --run RUN", Short: "Give somebody the keys of a run's payloads",
		Long: `Writes the keys of a run's sealed payloads, or of single leaves of it, to a file that only the named readers can open:
--to takes age recipients (age1..., from age-keygen). They open it with --identity of writ verify, writ cat and writ
import, or with age -d.

Nothing is changed, and no CID. What was disclosed cannot be taken back; writ erase takes away only what nobody has.
The keys come from the server, which gives them to the run's own wallet alone, or with --data from a data folder.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, wanted, err := runAndLeaves(run, args)
			if err != nil {
				return err
			}
			if out == "" || len(to) == 0 {
				return usage("say to whom and where to: --to age1... --out run.keys.age")
			}
			readers := make([]age.Recipient, len(to))
			for i, name := range to {
				if readers[i], err = age.ParseX25519Recipient(name); err != nil {
					return usage("--to %q is no age recipient; it begins with age1, age-keygen makes one", name)
				}
			}
			var all []provenance.Leaf
			if data != "" {
				all, err = exportOffline(c.Context(), data, id, io.Discard, true)
			} else {
				all, err = a.exportOnline(c.Context(), server, id, io.Discard, true)
			}
			if err != nil {
				return err
			}
			leaves := all
			if len(wanted) > 0 {
				if leaves, err = selectLeaves(all, wanted); err != nil {
					return err
				}
			}
			if len(leaves) == 0 {
				return failf(exitIncomplete, "not_found", "this run has no sealed payload whose key is known; there is nothing to disclose")
			}
			var file bytes.Buffer
			w, err := age.Encrypt(&file, readers...)
			if err == nil {
				err = provenance.WriteKeys(w, leaves)
			}
			if err == nil {
				err = w.Close()
			}
			if err == nil {
				err = writeSecret(out, file.Bytes())
			}
			if err != nil {
				return err
			}
			r := struct {
				Run  string   `json:"run"`
				Keys int      `json:"keys"`
				To   []string `json:"to"`
				File string   `json:"file"`
			}{id.String(), len(leaves), to, out}
			return a.done(r, func(w io.Writer) {
				fmt.Fprintf(w, "%s: the keys of %d payloads, for %d readers\n", out, len(leaves), len(to))
			})
		},
	}
	f := c.Flags()
	f.StringSliceVar(&to, "to", nil, "age `recipient`; several with commas, or the flag again")
	f.StringVarP(&out, "out", "o", "", "`file` to write")
	f.StringVar(&run, "run", "", "the `run` that the leaves belong to")
	f.StringVar(&data, "data", "", "read from this data `folder`, without a server")
	f.StringVar(&server, "server", "", "`URL` of the server")
	return c
}

// runAndLeaves reads arguments that are one run, or leaves with the run in a flag.
func runAndLeaves(run string, args []string) (id cid.Cid, leaves []provenance.Link, err error) {
	for _, arg := range args {
		l, err := cid.Decode(arg)
		if err != nil {
			return id, nil, isCID(arg)
		}
		leaves = append(leaves, l)
	}
	if run == "" {
		if len(leaves) != 1 || leaves[0].Prefix().Codec != cid.DagCBOR {
			return id, nil, usage("say which run these leaves belong to: --run RUN")
		}
		return leaves[0], nil, nil
	}
	if id, err = cid.Decode(run); err != nil {
		return id, nil, isCID(run)
	}
	for _, l := range leaves {
		if l.Prefix().Codec != cid.Raw {
			return id, nil, usage("%s is a record and no leaf; writ cat shows which leaves a record has", l)
		}
	}
	return id, leaves, nil
}

func selectLeaves(all []provenance.Leaf, wanted []provenance.Link) ([]provenance.Leaf, error) {
	var some []provenance.Leaf
	for _, l := range wanted {
		n := len(some)
		for _, leaf := range all {
			if leaf.CID == l {
				some = append(some, leaf)
			}
		}
		if len(some) == n {
			return nil, noLeaf(fmt.Errorf("leaf %s: %w", l, agent.ErrNoLeaf))
		}
	}
	return some, nil
}

func noLeaf(err error) error {
	return failf(exitIncomplete, "not_found", "%s; writ cat RECORD shows a record's leaves", plain(err.Error()))
}

func (a *app) eraseCommand() *cobra.Command {
	var data, run, why string
	var yes, early bool
	c := &cobra.Command{
		Use: "erase RUN --data DIR | erase LEAF... --run RUN --data DIR", Short: "Delete the keys of a closed run's payloads",
		Long: `Deletes the keys of all payloads of a closed run, or of single leaves of it, so that nobody can read them any more who
has no key already. The ciphertext and every CID stay: the run still verifies, and says how many leaves are erased. The
erasure itself becomes a record, which the run's new head names; export the run again for a file that has it.

What ended less than 184 days ago is kept, unless --early says otherwise, with --why for the record. What is under a
legal hold (writ hold) is not erased.

It cannot be undone. Backups of the data folder, and keys that were disclosed, are not reached. The permission that the
wallet signed, its revocation, and what a chain said of a contract wallet are shared by the runs of its session: they are
erased only by name, and only while no other run that may need them is open or under a legal hold.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, leaves, err := runAndLeaves(run, args)
			if err != nil {
				return err
			}
			if data == "" {
				return usage("say where the run is: --data DIR; erasing is the operator's, on the machine itself")
			}
			if early && why == "" {
				return usage("say why this is erased early: --why 'asked for by the wallet', for instance")
			}
			db, err := openData(c.Context(), data)
			if err != nil {
				return err
			}
			defer db.Close()
			if _, err := os.Stat(filepath.Join(data, "operator.key")); err != nil {
				return usage("%s has no operator.key, which signs the erasure; this is a copy, erase at the server", data)
			}
			key, err := operatorKey(data)
			if err != nil {
				return err
			}
			if !yes {
				sure, err := a.ask(c.Context(), "This cannot be undone. Erase?")
				if err != nil {
					return err
				}
				if !sure {
					return failf(exitDenied, "refused", "nothing was erased")
				}
			}
			head, n, err := agent.Erase(c.Context(), db, key, agent.EraseRequest{
				Run: id, Leaves: leaves, Why: why, Now: time.Now, Early: early,
			})
			switch {
			case errors.Is(err, agent.ErrOnHold):
				return failf(exitDenied, "held", "the run is under a legal hold, and nothing was erased; writ hold list shows which, writ hold remove ends it")
			case errors.Is(err, agent.ErrShared):
				return failf(exitDenied, "shared", "another run needs this too, which is open or under a legal hold, and nothing was erased; writ hold list shows the holds")
			case errors.Is(err, agent.ErrRetained):
				return failf(exitDenied, "retained", "the run ended less than 184 days ago and is kept; to erase it all the same give --early and --why")
			case errors.Is(err, agent.ErrNotFound):
				return failf(exitIncomplete, "not_found", "the data folder %s has no run %s; writ runs ls shows yours", data, id)
			case errors.Is(err, agent.ErrNoLeaf):
				return noLeaf(err)
			case errors.Is(err, agent.ErrConflict):
				return failf(exitIncomplete, "open", "the run has not ended, and could not go on without its payloads; wait, or cancel it")
			case err != nil:
				return err
			}
			r := struct {
				Run    string `json:"run"`
				Erased int    `json:"erased"`
				Head   string `json:"head"`
			}{id.String(), n, head.String()}
			return a.done(r, func(w io.Writer) {
				fmt.Fprintf(w, "the keys of %d payloads are gone; the run's head is now %s\n", n, head)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "data `folder` of the server")
	f.StringVar(&run, "run", "", "the `run` that the leaves belong to")
	f.StringVar(&why, "why", "", "a few words for the record, in clear")
	f.BoolVar(&early, "early", false, "also before 184 days have passed since the run's end")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}
