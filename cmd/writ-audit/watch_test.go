package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/writ-run/writ/provenance"
)

// writeLog writes the files of a log, as c2sp.org/tlog-tiles lays them out, and returns its root.
func writeLog(t testing.TB, dir string, entries [][]byte) tlog.Hash {
	t.Helper()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		for _, i := range at {
			out = append(out, stored[i])
		}
		return out, nil
	})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range entries {
		more, err := tlog.StoredHashes(int64(i), e, reader)
		must(err)
		stored = append(stored, more...)
	}
	write := func(path string, data []byte) {
		path = filepath.Join(dir, path)
		must(os.MkdirAll(filepath.Dir(path), 0o755))
		must(os.WriteFile(path, data, 0o644))
	}
	for _, tile := range tlog.NewTiles(8, 0, int64(len(entries))) {
		data, err := tlog.ReadTileData(tile, reader)
		must(err)
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		write(path, data)
		if tile.L > 0 {
			continue
		}
		var bundle []byte
		for _, e := range entries[tile.N*256 : tile.N*256+int64(tile.W)] {
			bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(e))), e...)
		}
		write(strings.Replace(path, "tile/0/", "tile/entries/", 1), bundle)
	}
	root, err := tlog.TreeHash(int64(len(entries)), reader)
	must(err)
	return root
}

func seeded(name string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte("writ-audit test: " + name))
	return ed25519.NewKeyFromSeed(sum[:])
}

// A loggingKey signs checkpoints.
type loggingKey struct {
	vkey   string
	signer note.Signer
}

func newLoggingKey(t testing.TB, origin, name string) loggingKey {
	t.Helper()
	k := seeded(name)
	vkey, err := note.NewEd25519VerifierKey(origin, k.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return loggingKey{vkey, ed25519Signer{origin, vkey, k}}
}

type ed25519Signer struct {
	name, vkey string
	key        ed25519.PrivateKey
}

func (s ed25519Signer) Name() string { return s.name }

func (s ed25519Signer) KeyHash() uint32 {
	var h uint32
	fmt.Sscanf(strings.Split(s.vkey, "+")[1], "%x", &h)
	return h
}

func (s ed25519Signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// log writes a log's files with its signed checkpoint.
func (k loggingKey) log(t testing.TB, dir string, entries [][]byte) {
	t.Helper()
	root := writeLog(t, dir, entries)
	text := fmt.Sprintf("%s\n%d\n%s\n", k.signer.Name(), len(entries), root)
	raw, err := note.Sign(&note.Note{Text: text}, k.signer)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "checkpoint"), raw, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func numbered(n int) (out [][]byte) {
	for i := range n {
		c := provenance.NewRaw(fmt.Appendf(nil, "entry %d", i)).CID
		e := provenance.NewLogEntry(c, 0, c)
		out = append(out, e[:])
	}
	return out
}

// audit runs writ-audit and returns what it prints with --json, object by object.
func auditJSON(t *testing.T, ctx context.Context, args ...string) (exit int, all []map[string]any) {
	t.Helper()
	var out, errs bytes.Buffer
	exit = run(ctx, append(args, "--json"), &out, &errs)
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("not an object: %q (%s)", line, errs.String())
		}
		all = append(all, v)
	}
	return exit, all
}

// TestALogIsOneOrIsFoundOut: a log of more than one tile grows, forks, shrinks, changes its past, and serves other tiles
// or entries than it signed.
func TestALogIsOneOrIsFoundOut(t *testing.T) {
	k := newLoggingKey(t, "example.com/log", "log")
	other := newLoggingKey(t, "example.com/log", "forger")
	forked := numbered(700)
	forked[3] = []byte("another past")
	dir := t.TempDir()
	logs := map[string]string{}
	for name, entries := range map[string][][]byte{"of 300": numbered(300), "of 700": numbered(700), "of 700, forked": forked, "of 300, forked": forked[:300], "of 256": numbered(256)} {
		logs[name] = filepath.Join(dir, name)
		k.log(t, logs[name], entries)
	}
	spoil := func(name, of string, change func(dir string)) {
		logs[name] = filepath.Join(dir, name)
		if err := os.CopyFS(logs[name], os.DirFS(logs[of])); err != nil {
			t.Fatal(err)
		}
		change(logs[name])
	}
	flip := func(path string) func(string) {
		return func(dir string) {
			b, err := os.ReadFile(filepath.Join(dir, path))
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			if err := os.WriteFile(filepath.Join(dir, path), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	spoil("signed by another", "of 700", func(dir string) { other.log(t, dir, numbered(700)) })
	spoil("with a changed tile", "of 700", flip("tile/0/001"))
	spoil("with a changed entry", "of 700", flip("tile/entries/001"))
	spoil("without a tile", "of 700", func(dir string) { os.Remove(filepath.Join(dir, "tile/0/001")) })
	spoil("without partial tiles", "of 300", func(dir string) {
		// once a tile is full, logs need not keep its parts
		for _, kind := range []string{"tile/0", "tile/entries"} {
			if err := os.RemoveAll(filepath.Join(dir, kind, "001.p")); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(logs["of 700"], kind, "001"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, kind, "001"), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	spoil("without a checkpoint", "of 300", func(dir string) { os.Remove(filepath.Join(dir, "checkpoint")) })
	for _, tc := range []struct {
		old, now, more string
		exit           int
		code           string
	}{
		{"of 300", "of 700", "", 0, ""},
		{"of 256", "of 300", "", 0, ""},
		{"of 300", "of 300", "", 0, ""},
		{"", "of 700", "--heads", 0, ""},
		{"of 256", "without partial tiles", "--heads", 0, ""},
		{"of 300", "of 700, forked", "", 2, "log.consistency"},
		{"of 300", "of 300, forked", "", 2, "log.consistency"},
		{"of 700", "of 300", "", 2, "log.stale"},
		{"of 300", "without a checkpoint", "", 2, "log.stale"},
		{"", "without a checkpoint", "", 6, ""},
		{"of 300", "signed by another", "", 2, "log.key"},
		{"of 300", "with a changed tile", "", 2, "log.tile"},
		{"of 300", "with a changed entry", "", 0, ""}, // which the proof does not need
		{"of 300", "with a changed entry", "--heads", 2, "log.tile"},
		{"of 300", "without a tile", "", 4, "log.missing"},
	} {
		t.Run(tc.old+" to "+tc.now+tc.more, func(t *testing.T) {
			srv := httptest.NewServer(http.FileServer(http.Dir(logs[tc.now])))
			defer srv.Close()
			for _, where := range []string{logs[tc.now], srv.URL} {
				args := []string{"log", where, "--log-key", k.vkey}
				if tc.old != "" {
					args = append(args, filepath.Join(logs[tc.old], "checkpoint"))
					args[1], args[4] = args[4], args[1]
				}
				if tc.more != "" {
					args = append(args, tc.more)
				}
				exit, out := auditJSON(t, t.Context(), args...)
				code, _ := out[0]["code"].(string)
				if exit != tc.exit || code != tc.code {
					t.Errorf("%s: got exit %d %q, want %d %q: %v", where, exit, code, tc.exit, tc.code, out)
				}
				if tc.more == "--heads" && tc.exit == 0 && len(out[0]["entries"].([]any)) != int(out[0]["now"].(map[string]any)["size"].(float64)) {
					t.Errorf("%d entries", len(out[0]["entries"].([]any)))
				}
			}
		})
	}
	exit, out := auditJSON(t, t.Context(), "log", "http://127.0.0.1:1/log", "--log-key", k.vkey)
	if exit != exitNetwork || out[0]["error"].(map[string]any)["code"] != "network" {
		t.Errorf("a log that is away: exit %d %v", exit, out)
	}
}

// TestALogIsFollowed: each checkpoint that fits is remembered; one that does not ends it, and both are kept.
func TestALogIsFollowed(t *testing.T) {
	k := newLoggingKey(t, "example.com/log", "log")
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	forked := numbered(30)
	forked[3] = []byte("another past")
	var stages []string
	for i, entries := range [][][]byte{numbered(5), numbered(10), numbered(20), forked} {
		stages = append(stages, filepath.Join(dir, fmt.Sprint(i)))
		k.log(t, stages[i], entries)
	}
	var mu sync.Mutex
	at := 0
	// The log grows each time that its checkpoint is asked for twice; in between, it is away once.
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/checkpoint" {
			if asked++; asked == 3 {
				http.Error(w, "away", http.StatusBadGateway)
				return
			}
			if asked%2 == 0 && at < len(stages)-1 {
				at++
			}
		}
		http.FileServer(http.Dir(stages[at])).ServeHTTP(w, r)
	}))
	defer srv.Close()
	exit, out := auditJSON(t, t.Context(), "log", srv.URL, "--log-key", k.vkey, "--state", state, "--follow", "--interval", "100ms")
	last := out[len(out)-1]
	if exit != 2 || last["code"] != "log.consistency" || last["refused"] != state+".refused" {
		t.Fatalf("exit %d: %v", exit, out)
	}
	var sizes []float64
	away := 0
	for _, v := range out {
		if v["unanswered"] != nil {
			away++
			continue
		}
		sizes = append(sizes, v["now"].(map[string]any)["size"].(float64))
	}
	if fmt.Sprint(sizes) != "[5 10 20 30]" || away != 1 || out[0]["first"] != true {
		t.Errorf("sizes %v, away %d", sizes, away)
	}
	// What is remembered is the last that fitted, and the two files convict the log.
	exit, out = auditJSON(t, t.Context(), "log", state, state+".refused", "--log", stages[3], "--log-key", k.vkey)
	if exit != 2 || out[0]["code"] != "log.consistency" {
		t.Errorf("the two checkpoints that were kept: exit %d %v", exit, out)
	}
	exit, _ = auditJSON(t, t.Context(), "log", stages[2], "--log-key", k.vkey, "--state", state)
	if exit != 0 {
		t.Errorf("the log as it was remembered: exit %d", exit)
	}

	// An interrupt ends it; so does a log that stays away.
	ctx, stop := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer stop()
	if exit, _ := auditJSON(t, ctx, "log", stages[2], "--log-key", k.vkey, "--state", state, "--follow", "--interval", "100ms"); exit != exitStopped {
		t.Errorf("interrupted: exit %d", exit)
	}
	srv.Close()
	if exit, _ := auditJSON(t, t.Context(), "log", srv.URL, "--log-key", k.vkey, "--state", state, "--follow", "--interval", "100ms", "--patience", "0s"); exit != exitNetwork {
		t.Errorf("away: exit %d", exit)
	}
}

// TestHeadsOfALogAreListed: what an entry is comes from a gateway; two heads of one run for one step are a finding.
func TestHeadsOfALogAreListed(t *testing.T) {
	k := newLoggingKey(t, "example.com/log", "log")
	blocks := map[string][]byte{}
	head := func(run, step string, seq uint64) []byte {
		h := &provenance.Head{Run: link(run), Seq: seq, Step: link(step), At: 1_750_000_000_000}
		if err := h.Sign(seeded("operator")); err != nil {
			t.Fatal(err)
		}
		b, err := provenance.Encode(h)
		if err != nil {
			t.Fatal(err)
		}
		blocks["/ipfs/"+b.CID.String()] = b.Data
		e := provenance.NewLogEntry(h.Run, h.Seq, b.CID)
		return e[:]
	}
	entries := [][]byte{head("one", "one 0", 0), head("two", "two 0", 0), head("one", "one 4", 4), numbered(1)[0], []byte("no entry")}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if data, ok := blocks[r.URL.Path]; ok {
			w.Write(data)
			return
		}
		http.NotFound(w, r)
	}))
	defer gateway.Close()
	dir := t.TempDir()
	k.log(t, dir, entries)
	operator := fmt.Sprintf("%x", seeded("operator").Public())
	args := []string{"log", dir, "--log-key", k.vkey, "--gateway", gateway.URL, "--operator-key", operator}
	exit, out := auditJSON(t, t.Context(), append(args[:4:4], "--heads")...)
	var kinds []string
	var tags []any
	for _, e := range out[0]["entries"].([]any) {
		kinds = append(kinds, e.(map[string]any)["kind"].(string))
		tags = append(tags, e.(map[string]any)["tag"])
		if e.(map[string]any)["cid"] != nil {
			t.Errorf("a stranger is told a CID: %v", e)
		}
	}
	if want := "sealed sealed sealed sealed other"; exit != 0 || strings.Join(kinds, " ") != want {
		t.Errorf("exit %d, %v, want %s", exit, kinds, want)
	}
	if tags[0] != tags[2] || tags[0] == tags[1] {
		t.Errorf("tags: %v", tags)
	}
	exit, out = auditJSON(t, t.Context(), append(args[:4:4], "--run", link("one").String())...)
	if list := out[0]["entries"].([]any); exit != 0 || len(list) != 2 || list[1].(map[string]any)["kind"] != "unfetched" ||
		blocks["/ipfs/"+list[1].(map[string]any)["cid"].(string)] == nil {
		t.Errorf("the heads of a run, without a gateway: exit %d %v", exit, out)
	}
	exit, out = auditJSON(t, t.Context(), append(args, "--run", link("one").String())...)
	if list := out[0]["entries"].([]any); exit != 0 || len(list) != 2 || list[1].(map[string]any)["seq"] != 4.0 || list[1].(map[string]any)["signed"] != true {
		t.Errorf("the heads of a run: exit %d %v", exit, out)
	}
	k.log(t, dir, append(entries, head("one", "another 4", 4)))
	exit, out = auditJSON(t, t.Context(), append(args, "--run", link("one").String())...)
	if exit != 2 || out[0]["code"] != "log.branch" {
		t.Errorf("two heads for one step: exit %d %v", exit, out)
	}
	args[len(args)-1] = fmt.Sprintf("%x", seeded("stranger").Public())
	if exit, out := auditJSON(t, t.Context(), append(args, "--run", link("one").String())...); exit != 3 || out[0]["code"] != "head.key" {
		t.Errorf("heads of another operator: exit %d %v", exit, out)
	}
}

func link(text string) provenance.Link {
	b, err := provenance.Encode(&provenance.PolicySet{Name: text, Source: text})
	if err != nil {
		panic(err)
	}
	return b.CID
}
