// Package shelf has the commands with which an operator keeps the documents that agents search.
package shelf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/gather"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/policies/label"
)

// A shelf is one run of writ docs.
type shelf struct {
	*cli.Shell
	data string
}

// Command returns writ docs.
func Command(s *cli.Shell) *cobra.Command {
	x := &shelf{Shell: s}
	g := cli.Group("docs", "Keep the documents that agents search, and say who may read them",
		x.add(), x.sync(), x.list(), x.allow(), x.remove(), x.snapshot())
	g.PersistentFlags().StringVar(&x.data, "data", "writ-data", "data `folder` of the server")
	return g
}

// with opens the library. A server may use it at the same time, and sees each change with its next search.
func (x *shelf) with(do func(*library.Library) error) (err error) {
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
		Use: "add FILE|FOLDER|CAR|CID|URL... --source NAME", Short: "Take documents in, or new versions of them",
		Long: `Takes in Markdown, text, HTML, CSV and PDF files; of a folder those in it and below, hidden ones and links passed over.
A CAR file (.car) and a CID, also as ipfs://CID, are files and folders of UnixFS; a CID is got by --gateway, and every
block is held to its CID. A URL is an https address of a public host, unless --private is given.
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

// A taken is what add and sync did.
type taken struct {
	Added   []library.Entry `json:"added"`
	Removed []string        `json:"removed,omitempty"`

	same []library.Entry // that were there
}

// take takes in what places have. With only set the collection becomes what they have, and what is gone is removed.
func (x *shelf) take(ctx context.Context, paths []string, b labelling, only bool) error {
	done, err := x.takeIn(ctx, paths, b, only)
	if errors.Is(err, library.ErrFormat) {
		return cli.Usage("%s; nothing was taken in", err)
	}
	if err != nil {
		return err
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

func (x *shelf) takeIn(ctx context.Context, paths []string, b labelling, only bool) (done taken, err error) {
	labelled, err := b.document()
	if err != nil {
		return done, err
	}
	var list []library.Document
	for _, p := range paths {
		some, err := b.readPlace(ctx, p, labelled)
		if err != nil {
			return done, err
		}
		list = append(list, some...)
	}
	if len(list) == 0 && (!only || b.every > 0) {
		return done, cli.Usage("there is no Markdown, text, HTML, CSV or PDF file in %s", strings.Join(paths, ", "))
	}
	if name := twice(list); name != "" {
		return done, cli.Usage("two of the documents are called %s, and a collection has one of a name; nothing was taken in",
			cli.Plain(name))
	}
	err = x.with(func(l *library.Library) error {
		there, err := l.List(ctx, b.source)
		if err != nil {
			return err
		}
		if only { // what is as it was is left as it is
			list = slices.DeleteFunc(list, func(d library.Document) bool { return isThere(there, &d, &done) })
		}
		if done.Added, err = l.Put(ctx, list...); err != nil || !only {
			return err
		}
		done.Removed, err = removeOthers(ctx, l, b.source, there, append(done.Added, done.same...))
		return err
	})
	return done, err
}

// twice returns a name that two documents have, if there is one: the second would take the place of the first.
func twice(list []library.Document) string {
	seen := map[string]bool{}
	for _, d := range list {
		if seen[d.Name] {
			return d.Name
		}
		seen[d.Name] = true
	}
	return ""
}

// isThere says whether a document is already there with these labels and readers.
func isThere(there []library.Entry, d *library.Document, done *taken) bool {
	i := slices.IndexFunc(there, func(e library.Entry) bool { return e.Name == d.Name })
	if i < 0 {
		return false
	}
	e := there[i]
	byAll := func(a, b library.Reader) int {
		return cmp.Or(strings.Compare(a.Wallet, b.Wallet), strings.Compare(a.Session, b.Session),
			strings.Compare(a.Agent, b.Agent))
	}
	same := e.CID == library.CIDOf(d.Data) && e.Media == d.Media && e.Integrity == d.Integrity.String() &&
		e.Secrecy == d.Secrecy.String() &&
		slices.Equal(slices.SortedFunc(slices.Values(e.Readers), byAll), slices.SortedFunc(slices.Values(d.Readers), byAll))
	if same {
		done.same = append(done.same, e)
	}
	return same
}

func removeOthers(
	ctx context.Context, l *library.Library, source string, there, keep []library.Entry,
) (removed []string, err error) {
	kept := map[string]bool{}
	for _, e := range keep {
		kept[e.Name] = true
	}
	for _, e := range there {
		if !kept[e.Name] {
			if _, err := l.Remove(ctx, source, e.Name); err != nil {
				return removed, err
			}
			removed = append(removed, e.Name)
		}
	}
	return removed, nil
}

// readPlace reads what a name stands for: a web address, a CID unless a file is called so, a CAR file, a file or a
// folder.
func (b *labelling) readPlace(ctx context.Context, name string, d library.Document) ([]library.Document, error) {
	var files []gather.File
	var err error
	_, missing := os.Stat(name)
	root, isCID := gather.ParseCID(name)
	switch {
	case gather.IsURL(name):
		files = make([]gather.File, 1)
		files[0], err = b.from.URL(ctx, name)
	case isCID && missing != nil:
		files, err = b.from.CID(ctx, root)
	case strings.HasSuffix(name, ".car") && missing == nil:
		files, err = readCAR(name)
	default:
		return readFiles(name, d)
	}
	switch {
	case err != nil && strings.HasSuffix(name, ".car"):
		return nil, cli.Usage("%s; nothing was taken in", err)
	case err != nil:
		return nil, cli.Failf(cli.ExitNetwork, "unreachable", "%s; nothing was taken in", err)
	}
	var list []library.Document
	for _, f := range files {
		d.Name, d.Media, d.Data = f.Name, f.Media, f.Data
		list = append(list, d)
	}
	return list, nil
}

func readCAR(name string) ([]gather.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	files, err := gather.CAR(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return files, nil
}

// readFiles reads a file, or those of a folder and below, in the order of their names.
func readFiles(path string, d library.Document) (list []library.Document, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, cli.Usage("%s cannot be read: %s", path, err)
	}
	if !info.IsDir() {
		one, err := readFile(func() (*os.File, error) { return os.Open(path) }, info, filepath.Base(path), d)
		return []library.Document{one}, err
	}
	root, err := os.OpenRoot(path) // nothing outside of the folder is reached, whatever changes in it meanwhile
	if err != nil {
		return nil, cli.Usage("%s cannot be read: %s", path, err)
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		hidden := name != "." && strings.HasPrefix(e.Name(), ".")
		switch {
		case err != nil:
			return err
		case hidden && e.IsDir():
			return fs.SkipDir
		case hidden, !e.Type().IsRegular(), library.MediaOf(name) == "":
			return nil
		case len(list) >= library.MaxDocuments:
			return cli.Usage("%s has more than %d documents", path, library.MaxDocuments)
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		open := func() (*os.File, error) { return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) }
		one, err := readFile(open, info, name, d)
		list = append(list, one)
		return err
	})
	return list, err
}

// readFile reads a file that was looked at, and is still the same.
func readFile(
	open func() (*os.File, error), was fs.FileInfo, name string, d library.Document,
) (library.Document, error) {
	if d.Media = library.MediaOf(name); d.Media == "" {
		return d, cli.Usage("%s is no Markdown, text, HTML, CSV or PDF file by its name", name)
	}
	f, err := open()
	if err != nil {
		return d, cli.Usage("%s cannot be read: %s", name, err)
	}
	defer f.Close()
	if is, err := f.Stat(); err != nil || !os.SameFile(was, is) || !is.Mode().IsRegular() {
		return d, cli.Usage("%s was replaced while it was read, or is no file; try again", name)
	}
	d.Name = name
	d.Data, err = io.ReadAll(io.LimitReader(f, library.MaxDocument+1)) // a byte too much is refused later
	return d, err
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
			err := x.with(func(l *library.Library) (err error) {
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
			return x.change(args, "readers", func(l *library.Library, source, name string) (int, error) {
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
			return x.change(args, "removed", func(l *library.Library, source, name string) (int, error) {
				return l.Remove(c.Context(), source, name)
			})
		},
	}
}

func (x *shelf) change(
	args []string, what string, do func(l *library.Library, source, name string) (int, error),
) error {
	n := 0
	err := x.with(func(l *library.Library) (err error) {
		n, err = do(l, args[0], strings.Join(args[1:], ""))
		return err
	})
	if errors.Is(err, library.ErrNotFound) {
		return cli.Failf(cli.ExitIncomplete, "not_found", "there is no such document; writ docs ls lists them")
	}
	if err != nil {
		return err
	}
	return x.Done(map[string]any{what: n}, func(w io.Writer) { fmt.Fprintf(w, "%s: %d documents\n", what, n) })
}
