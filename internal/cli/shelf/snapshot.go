package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/library"
)

// A viewing is what writ docs snapshot is told to write, and of whose.
type viewing struct {
	out                    string
	wallet, session, agent string
	all                    bool
}

func (x *shelf) snapshot() *cobra.Command {
	var v viewing
	c := &cobra.Command{
		Use: "snapshot [CID]", Short: "Write the list of chunks of a snapshot, or the chunks that a reader may read",
		Long: `Writes the CIDs of all chunks that the library held when a search said this snapshot, a line each, in order. The CID of
these bytes is the snapshot's. An auditor who has the list sees that what a run found was in the library.

With --out it writes a CAR file of the chunks themselves, as many as the named reader may read now, and of nobody else's:
with it, writ verify --snapshot and writ-audit verify --snapshot make each search of a run again. CID is then the view
that a search names; if the reader may read something else by now, nothing is written. --all is for an operator's own
eyes: it writes what every reader may read.

  writ docs snapshot -o mine.car --wallet 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --agent researcher`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if v.out != "" || v.all || v.wallet != "" || v.session != "" || v.agent != "" {
				return x.writeView(c.Context(), v, strings.Join(args, ""))
			}
			return x.writeList(c.Context(), strings.Join(args, ""))
		},
	}
	f := c.Flags()
	f.StringVarP(&v.out, "out", "o", "", "CAR `file` to write the chunks to")
	f.StringVar(&v.wallet, "wallet", "", "`address` of the reader")
	f.StringVar(&v.session, "session", "", "the reader's `session`, where documents are for one")
	f.StringVar(&v.agent, "agent", "", "the agent by which it reads, where documents are for one")
	f.BoolVar(&v.all, "all", false, "all chunks, whoever may read them")
	return c
}

func (x *shelf) writeList(ctx context.Context, id string) error {
	var list []byte
	err := x.withLibrary(func(l *library.Library) (err error) { list, err = l.Snapshot(ctx, id); return err })
	if errors.Is(err, library.ErrNotFound) {
		return cli.Failf(cli.ExitIncomplete, "not_found", "the library never had that snapshot")
	}
	if err != nil {
		return err
	}
	return x.Done(map[string]any{"chunks": strings.Fields(string(list))}, func(w io.Writer) { w.Write(list) })
}

// writeView writes the chunks of a reader.
func (x *shelf) writeView(ctx context.Context, v viewing, want string) error {
	switch {
	case v.out == "":
		return cli.Usage("name the file to write: --out mine.car")
	case v.all == (v.wallet != "") || v.all && (v.session != "" || v.agent != ""):
		return cli.Usage("say whose it is: --wallet ADDRESS, with --agent and --session where documents are for one, " +
			"or --all")
	}
	if v.wallet != "" {
		one, err := (&readers{wallets: []string{v.wallet}, session: v.session, agent: v.agent}).list()
		if err != nil {
			return err
		}
		v.wallet = one[0].Wallet
	}
	var chunks map[string]library.Chunk
	var id string
	err := x.withLibrary(func(l *library.Library) (err error) {
		chunks, id, err = l.View(ctx, library.Reader{Wallet: v.wallet, Session: v.session, Agent: v.agent}, v.all)
		return err
	})
	if err != nil {
		return err
	}
	if want != "" && id != want {
		return cli.Failf(cli.ExitIncomplete, "changed", "the reader may now read the chunks of %s and not those of %s: "+
			"documents or rights have changed since, or another wallet, session or agent searched", id, want)
	}
	write := func(w io.Writer) error { _, err := search.WriteSnapshot(w, chunks); return err }
	if err := writeWhole(v.out, write); err != nil {
		return err
	}
	return x.Done(map[string]any{"view": id, "chunks": len(chunks), "car": v.out}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d chunks, root %s\n", v.out, len(chunks), id)
	})
}

// writeWhole writes a file that its owner alone may read, or none.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".snapshot-*")
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
