// Command tamper makes the tampering vectors of provenance/testdata/tamper: files that a verifier must refuse, each
// with the reason code that it must give, and honest ones that it must not.
//
// Every run here is played by agent/loop with fixed keys, clock and chance, so the files come out the same each time.
// A vector tells one lie. Where the operator could have told it, everything that hangs on the lie is made anew with
// the operator's own key: links, CIDs, the head's signature. Where it also touches what the session key or the wallet
// signed, they sign again, unless that is the lie; so that each check must find its lie alone.
//
//	go run ./internal/tamper -out provenance/testdata/tamper
//
// With -decisions it makes the corpus of decisions of agent/audit/testdata: runs under every policy set of the repository,
// kept as evidence that an auditor of a later version must still find right.
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/writ-run/writ/provenance"
)

//go:generate go run . -out ../../provenance/testdata/tamper
//go:generate go run . -decisions ../../agent/audit/testdata/decisions.gz -sets ../..

func main() {
	out := flag.String("out", "provenance/testdata/tamper", "`folder` to write to")
	corpus := flag.String("decisions", "", "write the corpus of decisions to this `file` instead")
	root := flag.String("sets", ".", "the repository's `folder`, whose policy sets the corpus is made with")
	flag.Parse()
	if *corpus != "" {
		data, err := decisions(*root)
		if err == nil {
			err = os.WriteFile(*corpus, data, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "tamper:", err)
			os.Exit(1)
		}
		return
	}
	files, err := generate()
	for name, data := range files {
		if err == nil {
			err = os.WriteFile(filepath.Join(*out, name), data, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tamper:", err)
		os.Exit(1)
	}
}

// A list is what vectors.json holds.
type list struct {
	Schema      string   `json:"schema"`
	OperatorKey string   `json:"operator_key"`
	Vectors     []vector `json:"vectors"`
}

const commonKeys = "keys.json"

// generate returns every file of the folder but its README.
func generate() (map[string][]byte, error) {
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
	for _, v := range vectors() {
		data, err := v.make(b)
		if err != nil {
			return nil, fmt.Errorf("vector %s: %w", v.Name, err)
		}
		v.File = v.Name + ".car"
		if v.Code != "" {
			v.Verdict = provenance.Failed
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
