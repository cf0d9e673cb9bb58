package logproof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-run/writ/provenance"
)

// A testLog is a log of a few entries, in memory, with a key and witnesses.
type testLog struct {
	signer  note.Signer
	vkey    string
	entries []provenance.LogEntry
}

func seeded(name string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte("writ log test: " + name))
	return ed25519.NewKeyFromSeed(sum[:])
}

// noteKeys returns a key in the forms of package note: secret and verifier.
func noteKeys(t testing.TB, name string) (skey, vkey string) {
	t.Helper()
	k := seeded(name)
	vkey, err := note.NewEd25519VerifierKey(name, k.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(vkey, "+")[1]
	return fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", name, hash,
		base64.StdEncoding.EncodeToString(append([]byte{1}, k.Seed()...))), vkey
}

func testEntry(text string) provenance.LogEntry {
	c := provenance.NewRaw([]byte(text)).CID
	return provenance.NewLogEntry(c, 0, c)
}

func newTestLog(t testing.TB, origin string, n int) *testLog {
	t.Helper()
	skey, vkey := noteKeys(t, origin)
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	l := &testLog{signer: s, vkey: vkey}
	for i := range n {
		l.entries = append(l.entries, testEntry(fmt.Sprintf("%s %d", origin, i)))
	}
	return l
}

func (l *testLog) hash(level uint, index uint64, size int) []byte {
	if level == 0 {
		return rfc6962.DefaultHasher.HashLeaf(l.entries[index][:])
	}
	return rfc6962.DefaultHasher.HashChildren(l.hash(level-1, 2*index, size), l.hash(level-1, 2*index+1, size))
}

func (l *testLog) root(t testing.TB, size int) []byte {
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	r := f.NewEmptyRange(0)
	for _, e := range l.entries[:size] {
		if err := r.Append(rfc6962.DefaultHasher.HashLeaf(e[:]), nil); err != nil {
			t.Fatal(err)
		}
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		t.Fatal(err)
	}
	if size == 0 {
		root = rfc6962.DefaultHasher.EmptyRoot()
	}
	return root
}

func (l *testLog) checkpoint(t testing.TB, size int, cosigners ...note.Signer) []byte {
	t.Helper()
	text := fmt.Sprintf("%s\n%d\n%s\n", l.signer.Name(), size, base64.StdEncoding.EncodeToString(l.root(t, size)))
	raw, err := note.Sign(&note.Note{Text: text}, append([]note.Signer{l.signer}, cosigners...)...)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (l *testLog) nodes(t testing.TB, n proof.Nodes, err error, size int) (out [][32]byte) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var hashes [][]byte
	for _, id := range n.IDs {
		hashes = append(hashes, l.hash(id.Level, id.Index, size))
	}
	hashes, err = n.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hashes {
		out = append(out, [32]byte(h))
	}
	return out
}

func (l *testLog) proof(t testing.TB, index, size int, cosigners ...note.Signer) *Proof {
	n, err := proof.Inclusion(uint64(index), uint64(size))
	return &Proof{Index: uint64(index), Hashes: l.nodes(t, n, err, size),
		Checkpoint: l.checkpoint(t, size, cosigners...)}
}

func policyOf(t testing.TB, l *testLog) Policy {
	k, err := ParseKey(l.vkey)
	if err != nil {
		t.Fatal(err)
	}
	return Policy{Logs: []Key{k}}
}

func wantCode(t *testing.T, err error, want provenance.Code) {
	t.Helper()
	f, _ := errors.AsType[*provenance.Fault](err)
	if want == "" && err == nil {
		return
	}
	if f == nil || f.Code != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestEveryEntryIsProvenAtEverySize(t *testing.T) {
	l := newTestLog(t, "example.com/log", 40)
	p := policyOf(t, l)
	for size := 1; size <= len(l.entries); size++ {
		for i := range size {
			pr := l.proof(t, i, size)
			back, err := ParseProof(pr.Format())
			if err != nil || !bytes.Equal(back.Format(), pr.Format()) {
				t.Fatalf("proof of %d in %d does not read as written: %v", i, size, err)
			}
			if c, err := back.Verify(l.entries[i], p); err != nil || c.Size != uint64(size) {
				t.Fatalf("entry %d of %d: %v", i, size, err)
			}
			if _, err := back.Verify(l.entries[(i+1)%len(l.entries)], p); err == nil {
				t.Fatalf("entry %d of %d is proven for another one", i, size)
			}
			if back.Index++; size > 1 { // its index is part of what is proven
				if _, err := back.Verify(l.entries[i], p); err == nil {
					t.Fatalf("entry %d of %d is proven at the next index", i, size)
				}
			}
		}
	}
}

func TestCheckpointsOfOneLogAreConsistent(t *testing.T) {
	l, fork := newTestLog(t, "example.com/log", 20), newTestLog(t, "example.com/log", 20)
	fork.entries[3] = testEntry("another past")
	p := policyOf(t, l)
	open := func(raw []byte) Checkpoint {
		c, err := p.OpenCheckpoint(raw)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for a := 0; a <= 20; a++ {
		for b := a; b <= 20; b++ {
			var hashes, forked [][32]byte
			if a > 0 {
				n, err := proof.Consistency(uint64(a), uint64(b))
				hashes, forked = l.nodes(t, n, err, b), fork.nodes(t, n, err, b)
			}
			older, newer := open(l.checkpoint(t, a)), open(l.checkpoint(t, b))
			wantCode(t, older.Consistent(newer, hashes), "")
			if b > a {
				wantCode(t, newer.Consistent(older, hashes), CodeLogStale)
			}
			other := open(fork.checkpoint(t, b))
			if want := CodeLogConsistency; a > 3 {
				wantCode(t, older.Consistent(other, forked), want)
				wantCode(t, older.Consistent(other, hashes), want)
			}
		}
	}
}

func TestOnlyAPinnedLogsCheckpointCounts(t *testing.T) {
	l, other := newTestLog(t, "example.com/log", 8), newTestLog(t, "example.com/other", 8)
	p := policyOf(t, l)
	_, err := p.OpenCheckpoint(l.checkpoint(t, 8))
	wantCode(t, err, "")
	_, err = p.OpenCheckpoint(other.checkpoint(t, 8))
	wantCode(t, err, CodeLogOrigin)
	raw := l.checkpoint(t, 8)
	_, err = p.OpenCheckpoint(bytes.Replace(raw, []byte("\n8\n"), []byte("\n7\n"), 1))
	wantCode(t, err, CodeLogKey)
	_, err = Policy{}.OpenCheckpoint(raw)
	wantCode(t, err, CodeLogOrigin)
	for name, bad := range map[string]string{
		"nothing":            "",
		"no signature":       "example.com/log\n8\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		"a size with a zero": strings.Replace(string(raw), "\n8\n", "\n08\n", 1),
		"a negative size":    strings.Replace(string(raw), "\n8\n", "\n-8\n", 1),
		"a short root":       "example.com/log\n8\nAAAA\n\n— example.com/log AAAA\n",
		"no newline":         strings.TrimSuffix(string(raw), "\n"),
	} {
		if _, err := p.OpenCheckpoint([]byte(bad)); err == nil {
			t.Errorf("%s is a checkpoint", name)
		}
	}
}

func TestAQuorumIsCounted(t *testing.T) {
	l := newTestLog(t, "example.com/log", 5)
	var signers []note.Signer
	var lines strings.Builder
	fmt.Fprintf(&lines, "# who we trust\nlog %s\n", l.vkey)
	for i := range 4 {
		name := fmt.Sprintf("w%d.example", i)
		skey, vkey := noteKeys(t, name)
		s, err := fnote.NewSignerForCosignatureV1(skey) // the library's, so that our reading of the format is checked
		if err != nil {
			t.Fatal(err)
		}
		cosig, err := fnote.VKeyToCosignatureV1(vkey)
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, s)
		fmt.Fprintf(&lines, "witness W%d\t%s http://127.0.0.1:%d\n", i, cosig, i+1)
	}
	rules := lines.String() + "group pair all W0 W1\ngroup either any W2 W3\ngroup most 2 pair either\n"
	for _, c := range []struct {
		quorum string
		by     []int
		met    bool
	}{
		{"none", nil, true},
		{"W1", []int{1}, true},
		{"W1", []int{0, 2, 3}, false},
		{"pair", []int{0}, false},
		{"pair", []int{1, 0}, true},
		{"either", []int{3}, true},
		{"most", []int{0, 1}, false},
		{"most", []int{0, 1, 2}, true},
		{"most", []int{0, 2, 3}, false},
	} {
		p, err := ParsePolicy([]byte(rules + "quorum " + c.quorum + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		var by []note.Signer
		for _, i := range c.by {
			by = append(by, signers[i])
		}
		got, err := p.OpenCheckpoint(l.checkpoint(t, 5, by...))
		if c.met {
			wantCode(t, err, "")
		} else {
			wantCode(t, err, CodeLogWitness)
		}
		if len(got.Cosigned) != len(c.by) {
			t.Errorf("quorum %s: %v cosigned, want %d", c.quorum, got.Cosigned, len(c.by))
		}
	}
	// A cosignature is one of this checkpoint, by this key.
	p, err := ParsePolicy([]byte(rules + "quorum W0\n"))
	if err != nil {
		t.Fatal(err)
	}
	raw := l.checkpoint(t, 5, signers[0])
	i := bytes.LastIndexByte(raw[:len(raw)-1], '\n') + 1
	moved := append(l.checkpoint(t, 4), raw[i:]...)
	_, err = p.OpenCheckpoint(moved)
	wantCode(t, err, CodeLogWitness)
	if w := p.Quorum.Witnesses(); len(w) != 4 || w[1].Name != "W1" || w[1].URL != "http://127.0.0.1:2" {
		t.Errorf("witnesses: %+v", w)
	}
}

func TestPoliciesThatAreRefused(t *testing.T) {
	_, log := noteKeys(t, "example.com/log")
	_, plain := noteKeys(t, "w.example")
	w, err := fnote.VKeyToCosignatureV1(plain)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"no quorum":                     "witness W " + w + "\n",
		"two quorums":                   "quorum none\nquorum none\n",
		"an unknown word":               "trust everybody\nquorum none\n",
		"a witness with a log's key":    "witness W " + plain + "\nquorum W\n",
		"a witness with another's hash": "witness W x" + w + "\nquorum W\n",
		"one key twice":                 "witness A " + w + "\nwitness B " + w + "\nquorum A\n",
		"a name twice":                  "witness A " + w + "\ngroup A any A\nquorum A\n",
		"a member that comes later":     "group g any W\nwitness W " + w + "\nquorum g\n",
		"a member in two groups":        "witness W " + w + "\ngroup g any W\ngroup h any W\nquorum h\n",
		"more than there are":           "witness W " + w + "\ngroup g 2 W\nquorum g\n",
		"none of them":                  "witness W " + w + "\ngroup g 0 W\nquorum g\n",
		"a quorum that is nobody":       "quorum W\n",
		"a log without a key":           "log\nquorum none\n",
		"a log's key cut short":         "log " + log[:len(log)-4] + "\nquorum none\n",
		"a witness called none":         "witness none " + w + "\nquorum none\n",
	} {
		if _, err := ParsePolicy([]byte(text)); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}

// FuzzProof: what is read as a proof is written again as it was.
func FuzzProof(f *testing.F) {
	l := newTestLog(f, "example.com/log", 9)
	f.Add(l.proof(f, 3, 9).Format())
	p := l.proof(f, 0, 1)
	p.Extra = []byte("extra")
	f.Add(p.Format())
	f.Add([]byte(proofHeader + "index 0\n\nx\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ParseProof(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Format(), raw) {
			t.Errorf("two spellings of one proof: %q and %q", raw, p.Format())
		}
		_, _ = p.Verify(l.entries[0], policyOf(t, l))
	})
}

// FuzzLogPolicy: no text makes the reader fail but with an error, and what it reads can be asked.
func FuzzLogPolicy(f *testing.F) {
	_, plain := noteKeys(f, "w.example")
	w, err := fnote.VKeyToCosignatureV1(plain)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("witness W " + w + "\ngroup g any W\nquorum g\n"))
	l := newTestLog(f, "example.com/log", 2)
	raw := l.checkpoint(f, 2)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePolicy(text)
		if err != nil {
			return
		}
		if c, met := p.Quorum.countCosigned(raw); met != !p.Quorum.Wants() || len(c) > 0 {
			t.Errorf("a checkpoint without cosignatures: %v by %v", met, c)
		}
	})
}
