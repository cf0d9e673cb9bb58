// Package shelf has the commands with which an operator keeps the documents that agents search.
package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/collect"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/gather"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/internal/shelfdoor"
	"github.com/writ-run/writ/policies/label"
)

// A shelf is one run of writ docs.
type shelf struct {
	*cli.Shell
	data         string
	server, pass string // of a server elsewhere, in place of data
}

// A keeper keeps documents: a library in a data folder, or a server elsewhere.
type keeper interface {
	collect.Shelf
	Places(ctx context.Context, source string) ([]library.Place, error)
	SetReaders(ctx context.Context, source, name string, readers []library.Reader) (int, error)
	NotePlace(ctx context.Context, source, place, fault string) error
}

// Command returns writ docs.
func Command(s *cli.Shell) *cobra.Command {
	x := &shelf{Shell: s}
	g := cli.Group("docs", "Keep the documents that agents search, and say who may read them",
		x.add(), x.sync(), x.list(), x.allow(), x.remove(), x.snapshot(), x.givePass())
	f := g.PersistentFlags()
	f.StringVar(&x.data, "data", "writ-data", "data `folder` of the server")
	f.StringVar(&x.server, "server", "", "in place of --data: `URL` of a server, such as the end of a tunnel here")
	f.StringVar(&x.pass, "pass", "env:WRIT_DOCS_PASS",
		"with --server: what writ docs pass printed, as file:PATH or env:NAME")
	return g
}

// with calls do with what keeps the documents.
func (x *shelf) with(do func(keeper) error) error {
	if x.server == "" {
		return x.withLibrary(func(l *library.Library) error { return do(l) })
	}
	url, err := x.FindServer(x.server)
	if err != nil {
		return err
	}
	pass, err := x.RevealSecret(x.pass)
	if err != nil {
		return cli.Usage("%s; writ docs pass, on the server's machine, prints a pass", err)
	}
	err = do(&shelfdoor.Client{URL: url, Pass: pass, HTTP: cli.OwnClient("")})
	f, ok := errors.AsType[*shelfdoor.Fault](err)
	switch {
	case ok && f.IsNetwork():
		return cli.Failf(cli.ExitNetwork, "unreachable", "%s", cli.Plain(f.Says))
	case ok:
		return cli.Usage("%s", cli.Plain(f.Says))
	}
	return err
}

// withLibrary opens the library. A server may use it at the same time, and sees each change with its next search.
func (x *shelf) withLibrary(do func(*library.Library) error) (err error) {
	if x.server != "" {
		return cli.Usage("snapshots are written on the server's own machine, with --data")
	}
	if info, err := os.Stat(x.data); err != nil || !info.IsDir() {
		return cli.Usage("there is no data folder %s; name the server's with --data", x.data)
	}
	l, err := library.Open(x.data, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return do(l)
}

// A labelling is what the flags say of documents.
type labelling struct {
	source, integrity, secrecy string
	readers                    readers
	from                       gather.Getter
	every                      time.Duration // the place is followed; 0 if it is read once
}

func (b *labelling) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&b.source, "source", "", "what policies call the collection, e.g. handbook")
	f.StringVar(&b.integrity, "integrity", "untrusted", "who could have written them: operator, user, tool or untrusted")
	f.StringVar(&b.secrecy, "secrecy", "session", "who may see them: public, session, wallet or secret")
	b.readers.flags(c)
	f.StringVar(&b.from.Gateway, "gateway", "http://127.0.0.1:8080", "IPFS gateway by which a CID is got, a base `URL`")
	f.BoolVar(&b.from.Gate.Private, "private", false, "a web address may be http, or lead into a private network")
}

// readers are who may read.
type readers struct {
	everyone bool
	nobody   bool
	wallets  []string
	session  string
	agent    string
}

func (r *readers) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&r.everyone, "everyone", false, "every wallet may have agents read them")
	f.BoolVar(&r.nobody, "nobody", false, "nobody may, until writ docs allow says who")
	f.StringSliceVar(&r.wallets, "wallet", nil,
		"`address` that may; with its chain for a contract, eip155:1:0x...; repeatable")
	f.StringVar(&r.session, "session", "", "only in this `session`")
	f.StringVar(&r.agent, "agent", "", "only by this agent")
}

// list returns the rights that the flags name. To name none is an error: what is not said is not meant.
func (r *readers) list() ([]library.Reader, error) {
	some := len(r.wallets) > 0 || r.session != "" || r.agent != ""
	if n := count(r.everyone, r.nobody, some); n != 1 {
		return nil, cli.Usage("say who may read: --everyone, --nobody, or some of --wallet, --session and --agent")
	}
	if r.nobody {
		return nil, nil
	}
	if r.session != "" {
		if _, err := cid.Decode(r.session); err != nil {
			return nil, cli.Usage("%q is not a session; writ sessions ls lists them", r.session)
		}
	}
	one := library.Reader{Session: r.session, Agent: r.agent}
	if len(r.wallets) == 0 {
		return []library.Reader{one}, nil
	}
	var out []library.Reader
	for _, w := range r.wallets {
		address := w[strings.LastIndex(w, ":")+1:]
		if !common.IsHexAddress(address) || !strings.HasPrefix(address, "0x") ||
			len(w) > len(address) && !strings.HasPrefix(w, "eip155:") {
			return nil, cli.Usage("%q is not an address, 0x and 40 hex digits, nor eip155:CHAIN: before one", w)
		}
		one.Wallet = strings.ToLower(w)
		out = append(out, one)
	}
	return out, nil
}

func count(all ...bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

// document returns a document without its name and bytes.
func (b *labelling) document() (d library.Document, err error) {
	if b.source == "" {
		return d, cli.Usage("name the collection: --source handbook")
	}
	d.Source = b.source
	if d.Integrity, err = label.ParseIntegrity(b.integrity); err != nil {
		return d, cli.Usage("--integrity: %s", err)
	}
	if d.Secrecy, err = label.ParseSecrecy(b.secrecy); err != nil {
		return d, cli.Usage("--secrecy: %s", err)
	}
	d.Readers, err = b.readers.list()
	return d, err
}

func (x *shelf) add() *cobra.Command {
	var b labelling
	c := &cobra.Command{
		Use: "add FILE|FOLDER|CAR|CID|IPNS|URL... --source NAME", Short: "Take documents in, or new versions of them",
		Long: `Takes in Markdown, text, HTML, CSV and PDF files; of a folder those in it and below, hidden ones and links passed over.
A CAR file (.car) and a CID, also as ipfs://CID, are files and folders of UnixFS; a CID is got by --gateway, and every
block is held to its CID. Of ipns://NAME the signed record is got there too, and never an older one than before. A URL is an https address of a public host, unless --private is given.
Each is cut into chunks that agents find by their words, and by their meaning where the server has an endpoint for it.

Nobody may read a document but those who are named: wallets, a session, an agent, or --everyone. What a document says is
untrusted unless --integrity says otherwise; policies decide about every passage that is found, at the point retrieval.

  writ docs add handbook --source handbook --integrity operator --everyone
  writ docs add https://docs.example.com/terms.html --source terms --everyone
  writ docs add payroll.csv --source payroll --wallet 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --secrecy wallet`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return x.take(c.Context(), args, b, false) },
	}
	b.flags(c)
	return c
}

// take takes in what places have. With only set the collection becomes what they have, and what is gone is removed.
func (x *shelf) take(ctx context.Context, paths []string, b labelling, only bool) error {
	done, err := x.takeIn(ctx, paths, b, only)
	if err != nil {
		return err
	}
	if err := x.warnFollowed(ctx, b.source); err != nil {
		return err
	}
	if len(done.Added) > 0 && x.isUnsearched() {
		x.Note("no agent finds them yet: it takes library: {on: true} in %s, and docs.search under tools in an agent's file",
			config.DefaultFile)
	}
	return x.Done(done, func(w io.Writer) {
		for _, e := range done.Added {
			printEntry(w, e)
		}
		for _, name := range done.Removed {
			fmt.Fprintf(w, "removed %s\n", cli.Plain(name))
		}
	})
}

// isUnsearched says whether the settings here are of a server that lets no agent search in this library.
func (x *shelf) isUnsearched() bool {
	if _, err := os.Stat(config.DefaultFile); err != nil || x.server != "" {
		return false
	}
	cfg, err := config.Load(config.Sources{Env: os.LookupEnv}) // what is wrong with them others say
	return err == nil && filepath.Clean(cfg.Data) == filepath.Clean(x.data) && !cfg.Library.On
}

func (x *shelf) takeIn(ctx context.Context, paths []string, b labelling, only bool) (done collect.Taken, err error) {
	as, err := b.document()
	if err != nil {
		return done, err
	}
	var all collect.Gathered
	for _, p := range paths {
		if err := (collect.Place{Name: p, From: b.from, As: as}).Read(ctx, &all); err != nil {
			return done, tellFault(err)
		}
	}
	if len(all.Documents) == 0 && (!only || b.every > 0) {
		return done, cli.Usage("there is no Markdown, text, HTML, CSV or PDF file in %s", strings.Join(paths, ", "))
	}
	err = x.with(func(l keeper) error {
		done, err = all.Put(ctx, l, b.source, only)
		return err
	})
	return done, tellFault(err)
}

// tellFault says why a place was not taken in, as a command does.
func tellFault(err error) error {
	f, ok := errors.AsType[*collect.Fault](err)
	switch {
	case !ok:
		return err
	case f.Network:
		return cli.Failf(cli.ExitNetwork, "unreachable", "%s", cli.Plain(f.Says))
	}
	return cli.Usage("%s", cli.Plain(f.Says))
}

func printEntry(w io.Writer, e library.Entry) {
	fmt.Fprintf(w, "%s/%s  %s  %d bytes, %d chunks  read by %s\n", e.Source, cli.Plain(e.Name), e.CID, e.Bytes, e.Chunks,
		describeReaders(e.Readers))
}

func describeReaders(list []library.Reader) string {
	var out []string
	for _, r := range list {
		var parts []string
		for _, p := range []struct{ what, who string }{{"", r.Wallet}, {"session ", r.Session}, {"agent ", r.Agent}} {
			if p.who != "" {
				parts = append(parts, p.what+p.who)
			}
		}
		if len(parts) == 0 {
			parts = []string{"everyone"}
		}
		out = append(out, strings.Join(parts, " with "))
	}
	if len(out) == 0 {
		return "nobody"
	}
	return strings.Join(out, ", ")
}

func (x *shelf) list() *cobra.Command {
	return &cobra.Command{
		Use: "ls [SOURCE]", Short: "List documents and who may read them", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			source := strings.Join(args, "")
			var all []library.Entry
			var places []library.Place
			err := x.with(func(l keeper) (err error) {
				if all, err = l.List(c.Context(), source); err == nil {
					places, err = l.Places(c.Context(), source)
				}
				return err
			})
			if err != nil {
				return err
			}
			return x.Done(map[string]any{"documents": all, "places": places}, func(w io.Writer) {
				if len(all) == 0 {
					fmt.Fprintln(w, "no documents; writ docs add takes them in")
				}
				for _, e := range all {
					printEntry(w, e)
				}
				for _, p := range places {
					printPlace(w, p)
				}
			})
		},
	}
}

func (x *shelf) allow() *cobra.Command {
	var r readers
	c := &cobra.Command{
		Use: "allow SOURCE [NAME|CID]", Short: "Say anew who may read a collection, or a document of it",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			list, err := r.list()
			if err != nil {
				return err
			}
			return x.change(c.Context(), args, "readers", func(l keeper, source, name string) (int, error) {
				return l.SetReaders(c.Context(), source, name, list)
			})
		},
	}
	r.flags(c)
	return c
}

func (x *shelf) remove() *cobra.Command {
	return &cobra.Command{
		Use: "rm SOURCE [NAME|CID]", Short: "Remove a collection, or a document of it; the next search does not find it",
		Long: `Removes documents with their chunks, words and vectors. The CIDs of the chunks stay in the library's history, so that
snapshots of before can still be written; steps of runs keep what they found, sealed, until writ erase.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return x.change(c.Context(), args, "removed", func(l keeper, source, name string) (int, error) {
				return l.Remove(c.Context(), source, name)
			})
		},
	}
}

func (x *shelf) change(
	ctx context.Context, args []string, what string, do func(l keeper, source, name string) (int, error),
) error {
	n := 0
	err := x.with(func(l keeper) (err error) {
		n, err = do(l, args[0], strings.Join(args[1:], ""))
		return err
	})
	if errors.Is(err, library.ErrNotFound) {
		return cli.Failf(cli.ExitIncomplete, "not_found", "there is no such document; writ docs ls lists them")
	}
	if err != nil {
		return err
	}
	if err := x.warnFollowed(ctx, args[0]); err != nil {
		return err
	}
	return x.Done(map[string]any{what: n}, func(w io.Writer) { fmt.Fprintf(w, "%s: %d documents\n", what, n) })
}
