package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
	"github.com/writ-run/writ/provenance/translog/reader"
)

var likeCID = regexp.MustCompile(`\b(baf[a-z2-7]{50,}|Qm[1-9A-HJ-NP-Za-km-z]{44}|f0155[0-9a-f]{64,}|f0171[0-9a-f]{64,})\b`)

// readEntries reads the log of a server as a stranger does, without any credential.
func readEntries(ts *testscript.TestScript, server string) (all [][]byte) {
	log, err := reader.Open(server + "/log")
	ts.Check(err)
	raw, err := log.Checkpoint(context.Background())
	ts.Check(err)
	c, err := logproof.ParseCheckpoint(raw)
	ts.Check(err)
	for e, err := range log.Entries(context.Background(), c, 0) {
		ts.Check(err)
		all = append(all, e.Data)
	}
	return all
}

// stranger SERVER FILE CIDS... walks the log of a server. Nothing that looks like a CID may be in it, nor the digest of
// one of these, and none of its 32 bytes in a row may name a block: those at which a field begins are tried at /ipfs,
// and all are written into FILE, a line each.
func stranger(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: stranger SERVER FILE CIDS...")
	}
	var digests []string
	for _, s := range args[2:] {
		c, err := cid.Decode(s)
		ts.Check(err)
		digests = append(digests, string(c.Hash()[2:]))
	}
	entries := readEntries(ts, args[0])
	if len(entries) < 4 {
		ts.Fatalf("only %d entries: two runs have two heads each", len(entries))
	}
	var tried []string
	for _, e := range entries {
		if likeCID.Match(e) {
			ts.Fatalf("an entry with a CID: %q", e)
		}
		for at := range max(len(e)-31, 0) {
			if digest := string(e[at : at+32]); slices.Contains(digests, digest) {
				ts.Fatalf("an entry with a digest: %x", e)
			}
			hash, err := multihash.Encode(e[at:at+32], multihash.SHA2_256)
			ts.Check(err)
			for _, codec := range []uint64{cid.DagCBOR, cid.Raw} {
				c := cid.NewCidV1(codec, hash).String()
				tried = append(tried, c)
				if at != 0 && at != 4 && at != 8 && at != 40 { // where an entry's fields, or a CID's digest, begin
					continue
				}
				r, err := http.Get(args[0] + "/ipfs/" + c + "?format=raw")
				ts.Check(err)
				_, _ = io.Copy(io.Discard, r.Body)
				r.Body.Close()
				if r.StatusCode != http.StatusNotFound {
					ts.Fatalf("/ipfs/%s: %s", c, r.Status)
				}
			}
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(tried, "\n")), 0o600))
}

// holderOfRun SERVER RUN RECEIPT finds the entries of a run, of which one is that of the receipt's head.
func holderOfRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: holder SERVER RUN RECEIPT")
	}
	run, err := cid.Decode(args[1])
	ts.Check(err)
	r, err := http.Get(args[0] + "/ipfs/" + args[2] + "?format=raw")
	ts.Check(err)
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	ts.Check(err)
	var receipt provenance.Receipt
	ts.Check(provenance.Decode(data, &receipt))
	all := readEntries(ts, args[0])
	var heads []string
	for _, raw := range all {
		e, _ := provenance.ParseLogEntry(raw)
		if c, ok := e.Open(run); ok {
			heads = append(heads, c.String())
		}
	}
	if !slices.Contains(heads, receipt.Head.String()) || len(heads) == len(all) {
		ts.Fatalf("the run's heads are %v of %d entries, want %s among them", heads, len(all), receipt.Head)
	}
}

// absent DATA FILE CID: the stopped server of a data folder has the block of CID and none of those in FILE.
func absent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: absent DATA FILE CID")
	}
	db, err := store.Open(context.Background(), store.Config{
		DSN: "sqlite:" + filepath.Join(ts.MkAbs(args[0]), "writ.db"),
	})
	ts.Check(err)
	defer db.Close()
	for _, s := range append(strings.Fields(ts.ReadFile(args[1])), args[2]) {
		c, err := cid.Decode(s)
		ts.Check(err)
		if _, err := db.Block(context.Background(), c); (err == nil) != (s == args[2]) {
			ts.Fatalf("the block %s: %v", s, err)
		}
	}
}
