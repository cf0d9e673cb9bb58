package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/cli/runs"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/provenance"
)

// An exported says what was written.
type exported struct {
	Run    string `json:"run"`
	Head   string `json:"head"`
	Car    string `json:"car"`
	Blocks int    `json:"blocks"`
	Bytes  int    `json:"bytes"`
	Keys   string `json:"keys,omitempty"`
	// Receipt is the file with the proof that the head stands in the server's log, and Verify how to check all of it.
	Receipt string `json:"receipt,omitempty"`
	Verify  string `json:"verify"`
}

// exportOptions are the flags of writ export.
type exportOptions struct {
	server, data, out, keys, receipt string

	leaves []provenance.Leaf // whose keys are wanted
	proof  string            // the receipt, if the server has a log
	log    string            // its key
}

func exportCommand(a *app) *cobra.Command {
	var o exportOptions
	c := &cobra.Command{
		Use: "export RUN", Short: "Write a run's record, its keys and its receipt, and how to check them",
		Long: `Writes three files: everything that a run's record leads to as one CAR file, the keys of its sealed payloads, and
the receipt that its head stands in the server's log; then it prints the line that checks them. Who has CAR and keys can
read it all, who has the CAR alone can check it without reading it.

They are named after the run: run-hylphi.car, run-hylphi.keys.json, run-hylphi.tlog-proof. With --out the CAR alone is
written, to that file, and with --keys and --receipt what these name. The record comes from the server, or with --data
from a data folder, for which no server need run; there is no receipt in it then.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.export(c.Context(), a, args) },
	}
	c.Flags().StringVarP(&o.out, "out", "o", "", "CAR `file` to write")
	c.Flags().StringVar(&o.keys, "keys", "", "key `file` to write")
	c.Flags().StringVar(&o.receipt, "receipt", "", "`file` to write the receipt to")
	c.Flags().StringVar(&o.data, "data", "", "read from this data `folder`, without a server")
	c.Flags().StringVar(&o.server, "server", "", "`URL` of the server")
	return c
}

func (o *exportOptions) export(ctx context.Context, a *app, args []string) error {
	if err := runs.IsNamed(args[0]); err != nil {
		return err
	}
	asked := *o // before files have names of their own
	var car bytes.Buffer
	run, err := o.readRun(ctx, a, args[0], &car)
	if err != nil {
		return err
	}
	// What a server gave is looked at before it is written: it must be this run's, and whole.
	src, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
	if err != nil {
		return fmt.Errorf("the record of %s: %w", run, err)
	}
	if err := os.WriteFile(o.out, car.Bytes(), 0o644); err != nil {
		return err
	}
	r := exported{
		Run: run.String(), Head: src.Root().String(), Car: o.out, Blocks: src.Len(), Bytes: car.Len(), Keys: o.keys,
	}
	if o.keys != "" {
		if err := writeKeys(o.keys, o.leaves); err != nil {
			return err
		}
	}
	switch {
	case o.receipt != "" && o.proof != "":
		r.Receipt = o.receipt
		if err := datadir.WriteSecret(o.receipt, []byte(o.proof)); err != nil {
			return err
		}
	case asked.receipt != "":
		return cli.Failf(cli.ExitIncomplete, "receipt",
			"there is no receipt: a server with a log gives one, a folder does not")
	}
	r.Verify = o.verifyLine(r)
	return a.Done(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d blocks, %d bytes, root %s\n", o.out, r.Blocks, r.Bytes, r.Head)
		if o.keys != "" {
			fmt.Fprintf(w, "%s: the keys of %d payloads; give it only to who may read them\n", o.keys, len(o.leaves))
		}
		if r.Receipt != "" {
			fmt.Fprintf(w, "%s: the proof that the log has it; keep it\n", r.Receipt)
		}
		fmt.Fprintf(w, "check it: %s\n", r.Verify)
	})
}

// verifyLine is how the files are checked. The operator's key must come by another way than they did.
func (o *exportOptions) verifyLine(r exported) string {
	line := "writ verify " + r.Car
	if r.Keys != "" {
		line += " --keys " + r.Keys
	}
	if r.Receipt != "" {
		line += " --receipt " + r.Receipt + " --log-key " + o.log
	}
	return line + " --operator-key KEY"
}

// nameFiles names the files after the run, unless one was named.
func (o *exportOptions) nameFiles(run cid.Cid) {
	if o.out != "" {
		return
	}
	name := run.String()
	name = "run-" + name[len(name)-6:]
	o.out = name + ".car"
	if o.keys == "" {
		o.keys = name + ".keys.json"
	}
	if o.receipt == "" && o.data == "" {
		o.receipt = name + ".tlog-proof"
	}
}

// readRun writes the record of the run that is named to w, and notes the leaves whose keys are wanted and the receipt.
func (o *exportOptions) readRun(ctx context.Context, a *app, named string, w io.Writer) (run cid.Cid, err error) {
	if o.data != "" {
		if run, err = evidence.FindRun(ctx, o.data, named); err != nil {
			return run, err
		}
		o.nameFiles(run)
		o.leaves, err = evidence.ExportFolder(ctx, o.data, run, w, o.keys != "")
		return run, err
	}
	cl, _, err := a.connectSaved(ctx, o.server)
	if err != nil {
		return run, err
	}
	defer cl.Close()
	whole, err := runs.Find(ctx, cl, named)
	if err != nil {
		return run, err
	}
	if run, err = cid.Decode(whole); err != nil {
		return run, err
	}
	o.nameFiles(run)
	if o.receipt != "" { // first, so that the record that follows has the head that it is of
		if o.proof, err = cl.Receipt(ctx, whole, evidence.ReceiptWait); err != nil {
			return run, err
		}
	}
	p, leaves, err := fetchRun(ctx, cl, run, w, o.keys != "")
	o.leaves, o.log = leaves, p.Log
	return run, err
}

// writeKeys writes the keys of leaves to a file that only its owner can read.
func writeKeys(file string, leaves []provenance.Leaf) error {
	var b bytes.Buffer
	if err := provenance.WriteKeys(&b, leaves); err != nil {
		return err
	}
	return datadir.WriteSecret(file, b.Bytes())
}

func (a *app) exportOnline(
	ctx context.Context, server string, run cid.Cid, w io.Writer, keys bool,
) ([]provenance.Leaf, error) {
	cl, _, err := a.connectSaved(ctx, server)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	_, leaves, err := fetchRun(ctx, cl, run, w, keys)
	return leaves, err
}

// fetchRun writes a run's record from a server to w, and returns its leaves' keys if they are wanted.
func fetchRun(
	ctx context.Context, cl *client.Client, run cid.Cid, w io.Writer, keys bool,
) (wire.Provenance, []provenance.Leaf, error) {
	p, err := cl.Provenance(ctx, run.String(), keys)
	if err != nil {
		return p, nil, err
	}
	if err := cl.CAR(ctx, p, w); err != nil {
		return p, nil, cli.Failf(cli.ExitNetwork, "fetch", "%s; try again", err)
	}
	leaves, err := evidence.LeavesOf(p)
	return p, leaves, err
}
