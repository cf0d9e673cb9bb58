// Package tamper makes the tampering vectors: files that a verifier must refuse, each with the reason code that it must
// give, and honest ones that it must not.
//
// Every run here is played by agent/loop with fixed keys, clock and chance, so the files come out the same each time.
// A vector tells one lie. Where the operator could have told it, everything that hangs on the lie is made anew with
// the operator's own key: links, CIDs, the head's signature. Where it also touches what the session key or the wallet
// signed, they sign again, unless that is the lie; so that each check must find its lie alone.
//
// The repository has no file of them, only the lists that say what each must come to and the SHA-256 of every file
// (provenance/testdata/tamper): a change of the record is a change of these texts, which can be reviewed. Tests make
// the files when they need them, "make vectors" writes them for other verifiers, and a release publishes them.
//
// [Decisions] makes the corpus of decisions of agent/audit/testdata: runs under every policy set of the repository,
// kept as evidence that an auditor of a later version must still find right.
package tamper

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/writ-run/writ/provenance"
)

//go:generate go run ./vectors -lists ../../provenance/testdata/tamper
//go:generate go run ./vectors -decisions ../../agent/audit/testdata/decisions.gz -sets ../..

// Sums is the name of the list of all other files with their SHA-256, as sha256sum --check reads it.
const Sums = "SHA256SUMS"

// Lists names the files that are kept in the repository: what each vector must come to, and the hashes.
func Lists() []string { return []string{"vectors.json", "log-vectors.json", Sums} }

// Files returns every file by its name. They are made once a process, and must not be changed.
var Files = sync.OnceValues(generateFiles)

// Write writes all files to a folder, which is made if it is not there.
func Write(folder string) error {
	files, err := Files()
	if err != nil {
		return err
	}
	return writeFiles(folder, files, slices.Sorted(maps.Keys(files)))
}

// WriteLists writes the files that are kept in the repository.
func WriteLists(folder string) error {
	files, err := Files()
	if err != nil {
		return err
	}
	return writeFiles(folder, files, Lists())
}

func writeFiles(folder string, files map[string][]byte, names []string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("write the tampering vectors: %w", err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(folder, name), files[name], 0o644); err != nil {
			return fmt.Errorf("write the tampering vectors: %w", err)
		}
	}
	return nil
}

// A list is what vectors.json holds.
type list struct {
	Schema      string   `json:"schema"`
	OperatorKey string   `json:"operator_key"`
	Vectors     []vector `json:"vectors"`
}

const commonKeys = "keys.json"

// generateFiles makes every file.
func generateFiles() (map[string][]byte, error) {
	b, err := newBench()
	if err != nil {
		return nil, err
	}
	for _, h := range []*history{b.small, b.whole} {
		for c, k := range h.keys {
			b.keys[c] = k
		}
	}
	files := map[string][]byte{}
	l := list{Schema: "writ/tamper/1", OperatorKey: hex.EncodeToString(b.small.operator.Public().(ed25519.PublicKey))}
	for _, v := range listVectors() {
		data, err := v.make(b)
		if err != nil {
			return nil, fmt.Errorf("vector %s: %w", v.Name, err)
		}
		v.File = v.Name + ".car"
		if v.Code != "" {
			v.Verdict = provenance.VerdictOf(v.Code)
		}
		for _, honest := range []struct {
			name string
			data []byte
		}{{"base", b.wholeFile}, {"small", b.smallFile}} {
			if bytes.Equal(data, honest.data) { // only the keys differ
				v.File = honest.name + ".car"
			}
		}
		switch {
		case v.keys != nil:
			v.Keys = v.Name + ".keys.json"
			files[v.Keys] = v.keys(b)
		case v.Keys == "":
			v.Keys = commonKeys
		default:
			v.Keys = ""
		}
		files[v.File] = data
		l.Vectors = append(l.Vectors, v)
	}
	files[commonKeys] = keyFile(b.keys)
	files["base.keys.json"] = keyFile(b.whole.keys)
	log, err := logVectors(files)
	if err != nil {
		return nil, err
	}
	for name, list := range map[string]any{"vectors.json": l, "log-vectors.json": log} {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(list); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		files[name] = text.Bytes()
	}
	files[Sums] = listSums(files)
	return files, nil
}

func keyFile(keys map[provenance.Link]provenance.LeafKey) []byte {
	var leaves []provenance.Leaf
	for c, k := range keys {
		leaves = append(leaves, provenance.Leaf{CID: c, Key: k})
	}
	var out bytes.Buffer
	if err := provenance.WriteKeys(&out, leaves); err != nil {
		panic(err) // they are keys of leaves that were just sealed
	}
	return out.Bytes()
}

func listSums(files map[string][]byte) []byte {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	return out.Bytes()
}
