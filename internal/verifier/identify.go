package verifier

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/writ-run/writ/provenance"
)

// identify completes a report with who made it, when, and from which bytes. file is what was judged; if it could not
// be opened as a history it is nil, and the file at path is what was given.
func (v *Verifier) identify(rep *provenance.Report, path string, file io.Closer) (*provenance.Report, error) {
	rep.Verifier = thisProgram()
	rep.CheckedAt = time.Now().UTC().Format(time.RFC3339)
	history, err := readHistory(path, file)
	if err != nil {
		return nil, err
	}
	rep.Inputs = append(rep.Inputs, history...)
	if v.keys != nil {
		rep.Inputs = append(rep.Inputs, v.keys.input("keys"))
	}
	if b, err := ReadText("--operator-key", v.operator); err == nil { // else it is the key's digits
		rep.Inputs = append(rep.Inputs, inputOf("--operator-key", b))
	}
	rep.Inputs = append(rep.Inputs, v.Log.inputs...)
	return rep, nil
}

// readHistory describes the bytes that were judged: of what was fetched from gateways those that were put together.
func readHistory(path string, file io.Closer) ([]provenance.Input, error) {
	all, ok := file.(io.ReaderAt)
	if !ok {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil // a CID that no gateway has
		} else if err != nil {
			return nil, Usagef("%w", err)
		}
		defer f.Close()
		all = f
	}
	in := newNoted(io.NewSectionReader(all, 0, math.MaxInt64))
	if _, err := io.Copy(io.Discard, in); err != nil {
		return nil, fmt.Errorf("read the file again for its digest: %w", err)
	}
	return []provenance.Input{in.input("history")}, nil
}

// A noted reader keeps the digest of what is read.
type noted struct {
	io.Reader
	sum  hash.Hash
	size int64
}

func newNoted(r io.Reader) *noted { return &noted{Reader: r, sum: sha256.New()} }

func (n *noted) Read(p []byte) (int, error) {
	k, err := n.Reader.Read(p)
	n.sum.Write(p[:k])
	n.size += int64(k)
	return k, err
}

func (n *noted) input(use string) provenance.Input {
	return provenance.NewInput(use, n.sum.Sum(nil), n.size)
}

// NoteKeys returns a reader of the file of keys as it was given, of which the report names the digest.
func (v *Verifier) NoteKeys(r io.Reader) io.Reader {
	v.keys = newNoted(r)
	return v.keys
}

// inputOf describes a file that a flag names.
func inputOf(flag string, b []byte) provenance.Input {
	n := newNoted(bytes.NewReader(b))
	_, _ = io.Copy(io.Discard, n) // of bytes in memory
	return n.input(strings.ReplaceAll(strings.TrimPrefix(flag, "--"), "-", "_"))
}

// thisProgram names the code that judges, which is one whichever program calls it, by the version of this build.
func thisProgram() *provenance.Program {
	p := &provenance.Program{Name: "writ/agent/audit", Version: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return p
	}
	if info.Main.Version != "" {
		p.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			p.Version += " " + s.Value
		}
	}
	return p
}
