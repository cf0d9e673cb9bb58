// Package collect makes collections of documents of places: folders, files, CAR files, CIDs, names of IPNS and web
// addresses.
//
// [Place.Read] reads what there is at a place, and [Gathered.Put] takes it into a library, as a whole or not at all.
// [Follow] does both again and again: a place that cannot be read, or is empty, keeps what was made of it.
package collect

import (
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

	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/gather"
	"github.com/writ-run/writ/internal/library"
)

// maxFiles bounds the bytes of the documents of one folder.
const maxFiles = 512 << 20

// A Place is where documents are.
type Place struct {
	Name string // a folder, a file, a CAR file, a CID, ipns://NAME or a web address
	From gather.Getter
	As   library.Document // the labels and readers that they get, and their collection
}

// A Fault says why a place was not read, fit for the operator's eyes.
type Fault struct {
	Says    string
	Network bool // something else did not answer as it should; otherwise what is there is not as it should be
}

// Error implements error.
func (f *Fault) Error() string { return f.Says }

func faultf(format string, args ...any) error { return &Fault{Says: fmt.Sprintf(format, args...)} }

// Gathered is what there is at places.
type Gathered struct {
	Documents []library.Document
	pointers  []gather.Pointer
}

// IsURI says whether a name is a place that is not in the file system.
func IsURI(name string) bool {
	_, isCID := gather.ParseCID(name)
	return gather.IsURL(name) || gather.IsIPNS(name) || isCID
}

// Read adds what a place has: a web address, a name of IPNS, a CID unless a file is called so, a CAR file, a file or a
// folder. An error is a [*Fault], or that of ctx.
func (p Place) Read(ctx context.Context, to *Gathered) error {
	var files []gather.File
	var err error
	_, missing := os.Stat(p.Name)
	root, isCID := gather.ParseCID(p.Name)
	switch {
	case gather.IsURL(p.Name):
		files = make([]gather.File, 1)
		files[0], err = p.From.URL(ctx, p.Name)
	case gather.IsIPNS(p.Name):
		var at gather.Pointer
		if at, err = p.From.IPNS(ctx, p.Name); err == nil {
			to.pointers = append(to.pointers, at)
			files, err = p.From.CID(ctx, at.Root)
		}
	case isCID && missing != nil:
		files, err = p.From.CID(ctx, root)
	case strings.HasSuffix(p.Name, ".car") && missing == nil:
		files, err = readCAR(p.Name)
	default:
		list, err := readFiles(ctx, p.Name, p.As)
		to.Documents = append(to.Documents, list...)
		return err
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &Fault{fmt.Sprintf("%s; nothing was taken in", err), !strings.HasSuffix(p.Name, ".car")}
	}
	for _, f := range files {
		d := p.As
		d.Name, d.Media, d.Data = f.Name, f.Media, f.Data
		to.Documents = append(to.Documents, d)
	}
	return nil
}

// Taken is what became of a collection.
type Taken struct {
	Added   []library.Entry `json:"added"`
	Removed []string        `json:"removed,omitempty"`
}

// A Shelf keeps documents: a [*library.Library], or that of a server elsewhere.
type Shelf interface {
	List(ctx context.Context, source string) ([]library.Entry, error)
	Put(ctx context.Context, list ...library.Document) ([]library.Entry, error)
	Remove(ctx context.Context, source, name string) (int, error)
	NoteName(ctx context.Context, name string, sequence uint64, until time.Time, root string) error
}

// Put takes documents of one collection in. With only set, the collection becomes what they are: what is there as it
// was is left alone, and what is not among them is removed.
func (g *Gathered) Put(ctx context.Context, l Shelf, source string, only bool) (done Taken, err error) {
	list := g.Documents
	if name := twice(list); name != "" {
		return done, faultf("two of the documents are called %s, and a collection has one of a name; nothing was taken in",
			name)
	}
	for _, p := range g.pointers {
		if err := l.NoteName(ctx, p.Name, p.Sequence, p.Until, p.Root.String()); err != nil {
			return done, &Fault{fmt.Sprintf("%s; nothing was taken in", err), true}
		}
	}
	there, err := l.List(ctx, source)
	if err != nil {
		return done, err
	}
	kept := map[string]bool{}
	if only { // what is as it was is left as it is
		for _, d := range list {
			kept[d.Name] = true
		}
		list = slices.DeleteFunc(list, func(d library.Document) bool { return d.IsIn(there) })
	}
	if len(list) > 0 {
		done.Added, err = l.Put(ctx, list...)
	}
	if err != nil || !only {
		if errors.Is(err, library.ErrFormat) {
			err = faultf("%s; nothing was taken in", err)
		}
		return done, err
	}
	for _, e := range there {
		if !kept[e.Name] {
			if _, err := l.Remove(ctx, source, e.Name); err != nil && !errors.Is(err, library.ErrNotFound) {
				return done, err
			}
			done.Removed = append(done.Removed, e.Name)
		}
	}
	return done, nil
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
func readFiles(ctx context.Context, path string, d library.Document) (list []library.Document, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, faultf("%s cannot be read: %s", path, err)
	}
	if !info.IsDir() {
		one, err := readFile(func() (*os.File, error) { return os.Open(path) }, info, filepath.Base(path), d)
		return []library.Document{one}, err
	}
	root, err := os.OpenRoot(path) // nothing outside of the folder is reached, whatever changes in it meanwhile
	if err != nil {
		return nil, faultf("%s cannot be read: %s", path, err)
	}
	defer root.Close()
	size := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		hidden := name != "." && strings.HasPrefix(e.Name(), ".")
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return faultf("%s cannot be read whole: %s", path, err)
		case e.IsDir() && datadir.Is(root.FS(), name): // what a server keeps is for nobody to search
			if name == "." {
				return faultf("%s is a data folder of writ, and what a server keeps is not read as documents; name a folder "+
					"that is only of documents", path)
			}
			return fs.SkipDir
		case hidden && e.IsDir():
			return fs.SkipDir
		case hidden, !e.Type().IsRegular(), library.MediaOf(name) == "":
			return nil
		case len(list) >= library.MaxDocuments:
			return faultf("%s has more than %d documents", path, library.MaxDocuments)
		}
		info, err := e.Info()
		if err != nil {
			return faultf("%s was replaced while it was read; try again", name)
		}
		open := func() (*os.File, error) { return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) }
		one, err := readFile(open, info, name, d)
		list = append(list, one)
		if size += len(one.Data); size > maxFiles {
			return faultf("%s has more than %d bytes of documents; take them in by its parts", path, maxFiles)
		}
		return err
	})
	return list, err
}

// readFile reads a file that was looked at, and is still the same.
func readFile(
	open func() (*os.File, error), was fs.FileInfo, name string, d library.Document,
) (library.Document, error) {
	if d.Media = library.MediaOf(name); d.Media == "" {
		return d, faultf("%s is no Markdown, text, HTML, CSV or PDF file by its name", name)
	}
	f, err := open()
	if err != nil {
		return d, faultf("%s cannot be read: %s", name, err)
	}
	defer f.Close()
	if is, err := f.Stat(); err != nil || !os.SameFile(was, is) || !is.Mode().IsRegular() {
		return d, faultf("%s was replaced while it was read, or is no file; try again", name)
	}
	d.Name = name
	if d.Data, err = io.ReadAll(io.LimitReader(f, library.MaxDocument+1)); err != nil { // a byte too much is refused later
		return d, faultf("%s cannot be read: %s", name, err)
	}
	return d, nil
}
