package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/wording"
)

const (
	acceptedSchema = "writ/accepted-tools/1"
	maxAccepted    = 8 << 20 // bytes of a file
)

// An acceptedFile is what was accepted, for people too: it is kept beside the configuration, under version control.
type acceptedFile struct {
	Schema string          `json:"schema"`
	Server string          `json:"server"`
	Tools  []acceptedEntry `json:"tools"`
}

type acceptedEntry struct {
	CID        string          `json:"cid"`
	Definition json.RawMessage `json:"definition"`
}

// ReadAccepted reads the definitions of a server that were accepted. It is an error if one is not what its CID says.
func ReadAccepted(path, server string) ([]Definition, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxAccepted+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxAccepted {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxAccepted)
	}
	var file acceptedFile
	if err := json.Unmarshal(data, &file); err != nil || file.Schema != acceptedSchema {
		return nil, fmt.Errorf("%s is not a file of accepted tools; make it again with: writ tools accept %s", path, server)
	}
	if file.Server != server {
		return nil, fmt.Errorf("%s is of the server %s, not of %s", path, wording.Reveal(file.Server), server)
	}
	var out []Definition
	for _, e := range file.Tools {
		d, err := ParseDefinition(e.Definition)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if d.CID.String() != e.CID {
			return nil, fmt.Errorf("%s: the definition of %s is not the one that was accepted; "+
				"look at it with: writ tools diff %s", path, wording.Reveal(d.Name), server)
		}
		if slices.ContainsFunc(out, func(o Definition) bool { return o.Name == d.Name }) {
			return nil, fmt.Errorf("%s: the tool %s is there twice", path, wording.Reveal(d.Name))
		}
		out = append(out, d)
	}
	return out, nil
}

// WriteAccepted writes the definitions of a server that are accepted now, in the order of their names.
func WriteAccepted(path, server string, defs []Definition) error {
	file := acceptedFile{Schema: acceptedSchema, Server: server, Tools: []acceptedEntry{}}
	sorted := slices.SortedFunc(slices.Values(defs), func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
	for _, d := range sorted {
		file.Tools = append(file.Tools, acceptedEntry{d.CID.String(), d.JSON})
	}
	data, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(path), ".accepted-")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	_, err = part.Write(append(data, '\n'))
	err = errors.Join(err, part.Chmod(0o644), part.Sync(), part.Close())
	if err != nil {
		return err
	}
	return os.Rename(part.Name(), path)
}

// A Change is how a tool differs from what was accepted.
type Change struct {
	Tool   string   `json:"tool"`
	Kind   string   `json:"kind"` // same, new, changed, gone, unusable
	CID    string   `json:"cid,omitempty"`
	Was    string   `json:"was,omitempty"`
	Why    string   `json:"why,omitempty"`   // it is unusable
	Lines  []string `json:"lines,omitempty"` // of a change: what is gone, with "-", and what has come, with "+"
	Fresh  Definition
	Before Definition
}

// MarshalJSON leaves the definitions out: the CIDs name them.
func (c Change) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Tool  string   `json:"tool"`
		Kind  string   `json:"kind"`
		CID   string   `json:"cid,omitempty"`
		Was   string   `json:"was,omitempty"`
		Why   string   `json:"why,omitempty"`
		Lines []string `json:"lines,omitempty"`
	}{c.Tool, c.Kind, c.CID, c.Was, c.Why, c.Lines})
}

// Compare says how what a server lists now differs from what was accepted, by name. What cannot be a tool here is
// unusable.
func Compare(server string, accepted, now []Definition, faults map[string]string) []Change {
	var out []Change
	find := func(list []Definition, name string) *Definition {
		if i := slices.IndexFunc(list, func(d Definition) bool { return d.Name == name }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	for _, d := range now {
		c := Change{Tool: d.Name, Kind: "new", CID: d.CID.String(), Fresh: d}
		if was := find(accepted, d.Name); was != nil {
			c.Kind, c.Before = "same", *was
			if was.CID != d.CID {
				c.Kind, c.Was, c.Lines = "changed", was.CID.String(), DiffLines(was.JSON, d.JSON)
			}
		}
		if _, err := SpecOf(server, d, Use{}); err != nil {
			c.Kind, c.Why = "unusable", err.Error()
		}
		out = append(out, c)
	}
	for name, why := range faults {
		out = append(out, Change{Tool: name, Kind: "unusable", Why: why})
	}
	for _, d := range accepted {
		if find(now, d.Name) == nil && faults[d.Name] == "" {
			out = append(out, Change{Tool: d.Name, Kind: "gone", Was: d.CID.String(), Before: d})
		}
	}
	slices.SortStableFunc(out, func(a, b Change) int { return strings.Compare(a.Tool, b.Tool) })
	return out
}

// DiffLines lists the lines in which two definitions differ, as indented JSON.
func DiffLines(was, now []byte) []string {
	a, b := Lines(was), Lines(now)
	var out []string
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "+ "+l)
		}
	}
	return out
}

// Lines returns a definition's lines, for people: each shows what is in it and nothing that hides.
func Lines(definition []byte) []string {
	var v any
	if json.Unmarshal(definition, &v) != nil {
		return nil
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if e.Encode(v) != nil {
		return nil
	}
	var out []string
	for line := range strings.SplitSeq(strings.TrimSpace(b.String()), "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		out = append(out, line[:indent]+wording.Reveal(line[indent:]))
	}
	return out
}
