// Package disclosing has the commands that give away and delete the keys of a run's payloads.
package disclosing

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// Online is what is asked of a server for the wallet that is signed in: server is its URL, "" for the usual one.
type Online struct {
	// Find returns the run that a text names, by its CID or as lines show it.
	Find func(ctx context.Context, server, named string) (provenance.Link, error)
	// Export writes a run's CAR file to w, and returns the keys of its leaves if keys is set.
	Export func(ctx context.Context, server string, run cid.Cid, w io.Writer, keys bool) ([]provenance.Leaf, error)
}

// discloseOptions are the flags of writ disclose.
type discloseOptions struct {
	server, data, run, out string
	to                     []string
	online                 Online
}

// Disclose is writ disclose.
func Disclose(a *cli.Shell, online Online) *cobra.Command {
	o := discloseOptions{online: online}
	c := &cobra.Command{
		Use: "disclose RUN | disclose LEAF... --run RUN", Short: "Give somebody the keys of a run's payloads",
		Long: `Writes the keys of a run's sealed payloads, or of single leaves of it, to a file that only the named readers
can open: --to takes age recipients (age1..., from age-keygen). They open it with --identity of writ verify, writ cat
and writ import, or with age -d.

Nothing is changed, and no CID. What was disclosed cannot be taken back; writ erase takes away only what nobody has.
The keys come from the server, which gives them to the run's own wallet alone, or with --data from a data folder.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.disclose(c.Context(), a, args) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.to, "to", nil, "age `recipient`; several with commas, or the flag again")
	f.StringVarP(&o.out, "out", "o", "", "`file` to write")
	f.StringVar(&o.run, "run", "", "the `run` that the leaves belong to")
	f.StringVar(&o.data, "data", "", "read from this data `folder`, without a server")
	f.StringVar(&o.server, "server", "", "`URL` of the server")
	return c
}

func (o *discloseOptions) disclose(ctx context.Context, a *cli.Shell, args []string) error {
	named, wanted, err := runAndLeaves(o.run, args)
	if err != nil {
		return err
	}
	if o.out == "" || len(o.to) == 0 {
		return cli.Usage("say to whom and where to: --to age1... --out run.keys.age")
	}
	readers := make([]age.Recipient, len(o.to))
	for i, name := range o.to {
		if readers[i], err = age.ParseX25519Recipient(name); err != nil {
			return cli.Usage("--to %q is no age recipient; it begins with age1, age-keygen makes one", name)
		}
	}
	id, err := o.findRun(ctx, named)
	if err != nil {
		return err
	}
	leaves, err := o.readLeaves(ctx, id, wanted)
	if err != nil {
		return err
	}
	if err := writeKeysFor(readers, leaves, o.out); err != nil {
		return err
	}
	r := struct {
		Run  string   `json:"run"`
		Keys int      `json:"keys"`
		To   []string `json:"to"`
		File string   `json:"file"`
	}{id.String(), len(leaves), o.to, o.out}
	return a.Done(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s: the keys of %d payloads, for %d readers\n", o.out, len(leaves), len(o.to))
	})
}

// findRun returns the run that a text names.
func (o *discloseOptions) findRun(ctx context.Context, named string) (provenance.Link, error) {
	if o.data != "" {
		return evidence.FindRun(ctx, o.data, named)
	}
	return o.online.Find(ctx, o.server, named)
}

// readLeaves returns the leaves that are to be disclosed: those wanted, or all of the run.
func (o *discloseOptions) readLeaves(
	ctx context.Context, run provenance.Link, wanted []string,
) (leaves []provenance.Leaf, err error) {
	if o.data != "" {
		leaves, err = evidence.ExportFolder(ctx, o.data, run, io.Discard, true)
	} else {
		leaves, err = o.online.Export(ctx, o.server, run, io.Discard, true)
	}
	if err == nil && len(wanted) > 0 {
		var some []provenance.Link
		some, err = findLeaves(wanted, func(yield func(provenance.Link) bool) {
			for _, l := range leaves {
				if !yield(l.CID) {
					return
				}
			}
		})
		if err == nil {
			leaves, err = selectLeaves(leaves, some)
		}
	}
	if err == nil && len(leaves) == 0 {
		err = cli.Failf(cli.ExitIncomplete, "not_found",
			"this run has no sealed payload whose key is known; there is nothing to disclose")
	}
	return leaves, err
}

// writeKeysFor writes the keys of leaves to a file that only the readers can open.
func writeKeysFor(readers []age.Recipient, leaves []provenance.Leaf, to string) error {
	var file bytes.Buffer
	w, err := age.Encrypt(&file, readers...)
	if err == nil {
		err = provenance.WriteKeys(w, leaves)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = datadir.WriteSecret(to, file.Bytes())
	}
	return err
}

// runAndLeaves reads arguments that are one run, or leaves with the run in a flag; short ones too, as lines show them.
func runAndLeaves(run string, args []string) (id string, leaves []string, err error) {
	for _, arg := range append([]string{run}, args...) {
		if arg == "" {
			continue
		}
		if _, err := cid.Decode(arg); err == nil {
			continue
		}
		if _, err := cli.EndOfCID(arg); err != nil {
			return "", nil, cli.Usage("%q is not a CID; writ runs ls shows those of your runs", arg)
		}
	}
	if run != "" {
		for _, arg := range args {
			if l, err := cid.Decode(arg); err == nil && l.Prefix().Codec != cid.Raw {
				return "", nil, cli.Usage("%s is a record and no leaf; writ cat shows which leaves a record has", l)
			}
		}
		return run, args, nil
	}
	l, err := cid.Decode(args[0])
	if len(args) != 1 || err == nil && l.Prefix().Codec != cid.DagCBOR {
		return "", nil, cli.Usage("say which run these leaves belong to: --run RUN")
	}
	return args[0], nil, nil
}

// findLeaves returns the leaves of a run that texts name. One that is written whole is taken as it is.
func findLeaves(texts []string, all iter.Seq[provenance.Link]) (out []provenance.Link, err error) {
	for _, text := range texts {
		if l, err := cid.Decode(text); err == nil {
			out = append(out, l)
			continue
		}
		var found []string
		for l := range all {
			if s := l.String(); cli.IsShortOf(text, s) && !slices.Contains(found, s) {
				found = append(found, s)
			}
		}
		one, err := cli.OnlyOne(text, "leaf", found)
		if err != nil {
			return nil, err
		}
		l, err := cid.Decode(one)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
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
			return nil, noLeaf(fmt.Errorf("leaf %s: %w", l, archive.ErrNoLeaf))
		}
	}
	return some, nil
}

func noLeaf(err error) error {
	return cli.Failf(cli.ExitIncomplete, "not_found", "%s; writ cat RECORD shows a record's leaves",
		cli.Plain(err.Error()))
}

// eraseOptions are the flags of writ erase.
type eraseOptions struct {
	data, run, why string
	yes, early     bool
}

// Erase is writ erase.
func Erase(a *cli.Shell) *cobra.Command {
	var o eraseOptions
	c := &cobra.Command{
		Use: "erase RUN --data DIR | erase LEAF... --run RUN --data DIR", Short: "Delete the keys of a closed run's payloads",
		Long: `Deletes the keys of all payloads of a closed run, or of single leaves of it, so that nobody can read them any
more who has no key already. The ciphertext and every CID stay: the run still verifies, and says how many leaves are
erased. The erasure itself becomes a record, which the run's new head names; export the run again for a file that has
it.

What ended less than 184 days ago is kept, unless --early says otherwise, with --why for the record. What is under a
legal hold (writ hold) is not erased.

It cannot be undone. Backups of the data folder, and keys that were disclosed, are not reached. The permission that the
wallet signed, its revocation, and what a chain said of a contract wallet are shared by the runs of its session: they
are erased only by name, and only while no other run that may need them is open or under a legal hold.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.erase(c.Context(), a, args) },
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "data `folder` of the server")
	f.StringVar(&o.run, "run", "", "the `run` that the leaves belong to")
	f.StringVar(&o.why, "why", "", "a few words for the record, in clear")
	f.BoolVar(&o.early, "early", false, "also before 184 days have passed since the run's end")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return c
}

func (o *eraseOptions) erase(ctx context.Context, a *cli.Shell, args []string) error {
	named, texts, err := runAndLeaves(o.run, args)
	if err != nil {
		return err
	}
	if o.data == "" {
		return cli.Usage("say where the run is: --data DIR; erasing is the operator's, on the machine itself")
	}
	if o.early && o.why == "" {
		return cli.Usage("say why this is erased early: --why 'asked for by the wallet', for instance")
	}
	id, err := evidence.FindRun(ctx, o.data, named)
	if err != nil {
		return err
	}
	db, err := evidence.OpenData(ctx, o.data)
	if err != nil {
		return err
	}
	defer db.Close()
	var leaves []provenance.Link
	if len(texts) > 0 {
		all, err := archive.Keys(ctx, db, id)
		if err != nil {
			return o.failureOf(err, id)
		}
		if leaves, err = findLeaves(texts, maps.Keys(all)); err != nil {
			return err
		}
	}
	key, err := o.operatorKey()
	if err != nil {
		return err
	}
	if !o.yes {
		sure, err := a.Ask(ctx, "This cannot be undone. Erase?")
		if err != nil {
			return err
		}
		if !sure {
			return cli.Failf(cli.ExitDenied, "refused", "nothing was erased")
		}
	}
	head, n, err := archive.Erase(ctx, db, key, archive.EraseRequest{
		Run: id, Leaves: leaves, Why: o.why, Now: time.Now, Early: o.early,
	})
	if err != nil {
		return o.failureOf(err, id)
	}
	r := struct {
		Run    string `json:"run"`
		Erased int    `json:"erased"`
		Head   string `json:"head"`
	}{id.String(), n, head.String()}
	return a.Done(r, func(w io.Writer) {
		fmt.Fprintf(w, "the keys of %d payloads are gone; the run's head is now %s\n", n, head)
	})
}

// operatorKey returns the key that signs the erasure.
func (o *eraseOptions) operatorKey() (ed25519.PrivateKey, error) {
	if _, err := os.Stat(filepath.Join(o.data, "operator.key")); err != nil {
		return nil, cli.Usage("%s has no operator.key, which signs the erasure; this is a copy, erase at the server", o.data)
	}
	return datadir.OperatorKey(o.data)
}

// failureOf says why nothing was erased, and what can be done.
func (o *eraseOptions) failureOf(err error, run provenance.Link) error {
	switch {
	case errors.Is(err, journal.ErrOnHold):
		return cli.Failf(cli.ExitDenied, "held",
			"the run is under a legal hold, and nothing was erased; writ hold list shows which, writ hold remove ends it")
	case errors.Is(err, journal.ErrShared):
		return cli.Failf(cli.ExitDenied, "shared",
			"another run needs this too, which is open or under a legal hold, and nothing was erased; writ hold list shows "+
				"the holds")
	case errors.Is(err, archive.ErrRetained):
		return cli.Failf(cli.ExitDenied, "retained",
			"the run ended less than 184 days ago and is kept; to erase it all the same give --early and --why")
	case errors.Is(err, journal.ErrNotFound):
		return cli.Failf(cli.ExitIncomplete, "not_found", "the data folder %s has no run %s; writ runs ls shows yours",
			o.data, run)
	case errors.Is(err, archive.ErrNoLeaf):
		return noLeaf(err)
	case errors.Is(err, journal.ErrConflict):
		return cli.Failf(cli.ExitIncomplete, "open",
			"the run has not ended, and could not go on without its payloads; wait, or cancel it")
	}
	return err
}
