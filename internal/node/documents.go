package node

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools/retrieve"
)

// A SkippedDocument is a file of the settings' documents that cannot be searched. The others can: whoever may put a
// file into the folder must not be able to keep the server from starting.
type SkippedDocument struct{ Source, Name, Why string }

// ReadDocuments reads the documents of the settings, and says which it leaves out. An error is a [*Fault]: a source
// that is not there, or of which nothing is left.
func ReadDocuments(list []config.Documents) (docs []retrieve.Document, skipped []SkippedDocument, err error) {
	var r documentReader
	for _, d := range list {
		before := len(r.docs)
		if err := r.readSource(d); err != nil {
			return nil, nil, badSetting("documents: source %s: %s", d.Source, err)
		}
		if len(r.docs) > before {
			continue
		}
		if n := len(r.skipped); n > 0 && r.skipped[n-1].Source == d.Source {
			return nil, nil, badSetting("documents: source %s: no file in %s can be searched; the last is %s: %s", d.Source,
				d.Path, r.skipped[n-1].Name, r.skipped[n-1].Why)
		}
		return nil, nil, badSetting("documents: source %s: there is no .md or .txt file in %s", d.Source, d.Path)
	}
	return r.docs, r.skipped, nil
}

// A documentReader reads one source after the other.
type documentReader struct {
	docs    []retrieve.Document
	skipped []SkippedDocument
	total   int // bytes of docs
}

// readSource reads a file, or the .md and .txt files of a folder and those below, in the order of their names. Hidden
// files are passed over, links are left out and told, and nothing outside of the folder is reached, whatever changes in
// it meanwhile.
func (r *documentReader) readSource(d config.Documents) error {
	doc, err := labelDocuments(d)
	if err != nil {
		return err
	}
	info, err := os.Stat(d.Path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		doc.Name = filepath.Base(d.Path)
		r.take(doc, func() (*os.File, error) { return os.OpenFile(d.Path, readNow, 0) }, info)
		return nil
	}
	root, err := os.OpenRoot(d.Path)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		hidden := name != "." && strings.HasPrefix(e.Name(), ".")
		switch {
		case err != nil:
			return err
		case e.IsDir() && datadir.Is(root.FS(), name): // what a server keeps is for nobody to search
			if name == "." {
				return fmt.Errorf("%s is a data folder of writ; name a folder that is only of documents", d.Path)
			}
			return fs.SkipDir
		case hidden && e.IsDir():
			return fs.SkipDir
		case hidden, !isText(e) && !isLinkToFolder(d.Path, name, e):
			return nil
		}
		doc.Name = name
		info, err := e.Info()
		if err != nil { // it is gone
			return nil
		}
		r.take(doc, func() (*os.File, error) { return openDocument(root, name) }, info)
		return nil
	})
}

// readNow opens without waiting for whoever may write into a pipe.
const readNow = os.O_RDONLY | syscall.O_NONBLOCK

// openDocument opens a file of a folder. What has become a pipe meanwhile is not waited for.
func openDocument(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, readNow, 0)
}

// isText says whether a name is that of a document, whatever kind of file has it.
func isText(e fs.DirEntry) bool {
	return !e.IsDir() && slices.Contains([]string{".md", ".txt"}, filepath.Ext(e.Name()))
}

// isLinkToFolder says whether documents may be expected behind a link.
func isLinkToFolder(dir, name string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return false
	}
	to, err := os.Stat(filepath.Join(dir, name))
	return err == nil && to.IsDir()
}

// whyNotOrdinary says why a file of another kind is not read; empty for an ordinary one.
func whyNotOrdinary(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "it is a link, and links in a folder are not followed; put the file itself there, or name it as a source"
	case !mode.IsRegular():
		return "it is no ordinary file, but a pipe, a socket or a device; take it away"
	}
	return ""
}

// take reads a document, or notes why it is left out. was is the file that was looked at before it is opened.
func (r *documentReader) take(doc retrieve.Document, open func() (*os.File, error), was fs.FileInfo) {
	text, why := []byte(nil), whyNotOrdinary(was.Mode())
	if why == "" {
		text, why = readDocument(open, was)
	}
	switch {
	case why != "":
	case len(text) > retrieve.MaxDocument:
		why = fmt.Sprintf("it has more than %d bytes; split it", retrieve.MaxDocument)
	case !utf8.Valid(text):
		why = "it is not UTF-8 text; convert it, for instance with iconv"
	case len(r.docs) == retrieve.MaxDocuments:
		why = fmt.Sprintf("there are %d documents before it, and no more are searched", retrieve.MaxDocuments)
	case r.total+len(text) > retrieve.MaxTotal:
		why = fmt.Sprintf("with those before it there are more than %d bytes; keep them by writ docs and library.on",
			retrieve.MaxTotal)
	}
	if why != "" {
		r.skipped = append(r.skipped, SkippedDocument{doc.Source, doc.Name, why})
		return
	}
	doc.Text, r.total = string(text), r.total+len(text)
	r.docs = append(r.docs, doc)
}

func readDocument(open func() (*os.File, error), was fs.FileInfo) (text []byte, why string) {
	f, err := open()
	if err != nil {
		return nil, fmt.Sprintf("it cannot be read: %s", err)
	}
	defer f.Close()
	is, err := f.Stat()
	if err != nil || !os.SameFile(was, is) || !is.Mode().IsRegular() {
		return nil, "it was replaced while it was read; try again"
	}
	text, err = io.ReadAll(io.LimitReader(f, retrieve.MaxDocument+1))
	if err != nil {
		return nil, fmt.Sprintf("it cannot be read: %s", err)
	}
	return text, ""
}

// labelDocuments returns a document without text, with the labels that all of a source have.
func labelDocuments(d config.Documents) (doc retrieve.Document, err error) {
	doc = retrieve.Document{Source: d.Source, Integrity: label.Untrusted, Secrecy: label.Session}
	if d.Integrity != "" {
		if doc.Integrity, err = label.ParseIntegrity(d.Integrity); err != nil {
			return doc, err
		}
	}
	if d.Secrecy != "" {
		doc.Secrecy, err = label.ParseSecrecy(d.Secrecy)
	}
	return doc, err
}
