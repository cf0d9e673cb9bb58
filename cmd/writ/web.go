package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
	webtool "github.com/writ-run/writ/tools/fetch"
	"github.com/writ-run/writ/tools/retrieve"
)

// toolsOf makes the tools that read what others have written. Each is there only if the configuration names what it
// may read.
func toolsOf(c *config.Config) ([]tools.Tool, error) {
	var out []tools.Tool
	if len(c.Fetch.Hosts) > 0 {
		t, err := webtool.New(webtool.Config{
			Hosts: c.Fetch.Hosts, Private: c.Fetch.Private, MaxBytes: c.Fetch.MaxBytes, Timeout: c.Fetch.Timeout,
		})
		if err != nil {
			return nil, failf(exitUsage, "config", "fetch.hosts: %s", strings.TrimPrefix(err.Error(), "fetch: "))
		}
		out = append(out, t)
	}
	if len(c.Documents) == 0 {
		return out, nil
	}
	var docs []retrieve.Document
	for _, d := range c.Documents {
		list, err := readDocuments(d)
		if err != nil {
			return nil, failf(exitUsage, "config", "documents: source %s: %s", d.Source, err)
		}
		if len(list) == 0 {
			return nil, failf(exitUsage, "config", "documents: source %s: there is no .md or .txt file in %s", d.Source, d.Path)
		}
		docs = append(docs, list...)
	}
	t, err := retrieve.New(docs)
	if err != nil {
		return nil, failf(exitUsage, "config", "documents: %s", strings.TrimPrefix(err.Error(), "retrieve: "))
	}
	return append(out, t), nil
}

// readDocuments reads one source: a file, or the .md and .txt files of a folder and those below, in the order of
// their names. Hidden files and links are passed over.
func readDocuments(d config.Documents) ([]retrieve.Document, error) {
	doc := retrieve.Document{Source: d.Source, Integrity: label.Untrusted, Secrecy: label.Session}
	var err error
	if d.Integrity != "" {
		if doc.Integrity, err = label.ParseIntegrity(d.Integrity); err != nil {
			return nil, err
		}
	}
	if d.Secrecy != "" {
		if doc.Secrecy, err = label.ParseSecrecy(d.Secrecy); err != nil {
			return nil, err
		}
	}
	read := func(path, name string) (retrieve.Document, error) {
		out := doc
		f, err := os.Open(path)
		if err != nil {
			return out, err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, retrieve.MaxDocument+1)) // one byte more is refused
		out.Name, out.Text = name, string(b)
		return out, err
	}
	info, err := os.Stat(d.Path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		one, err := read(d.Path, filepath.Base(d.Path))
		return []retrieve.Document{one}, err
	}
	var out []retrieve.Document
	err = filepath.WalkDir(d.Path, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != d.Path && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !e.Type().IsRegular() || !slices.Contains([]string{".md", ".txt"}, filepath.Ext(path)) || len(out) > retrieve.MaxDocuments:
			return nil
		}
		name, err := filepath.Rel(d.Path, path)
		if err != nil {
			return err
		}
		one, err := read(path, filepath.ToSlash(name))
		out = append(out, one)
		return err
	})
	return out, err
}
