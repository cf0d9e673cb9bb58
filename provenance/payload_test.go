package provenance

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAPayloadOpensOnlyToItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "plain")
		key := LeafKey(sha256.Sum256(rapid.SliceOf(rapid.Byte()).Draw(t, "key")))
		sealed := NewPayload(plain)
		b, err := sealed.Seal(key)
		if err != nil {
			t.Fatal(err)
		}
		if over := float64(len(b.Data)-16) / float64(max(len(plain)+1, 64)); over > 1.13 {
			t.Errorf("%d bytes are sealed as %d", len(plain), len(b.Data))
		}
		again := NewPayload(bytes.Clone(plain))
		if b2, _ := again.Seal(key); b2.CID != b.CID || again.commit != sealed.commit {
			t.Error("the same plaintext and key give another leaf")
		}

		read := &Payload{leaf: b.CID, commit: sealed.commit}
		if err := read.Open(b.Data, key); err != nil {
			t.Fatalf("open: %v", err)
		}
		if got, known := read.Bytes(); !known || !bytes.Equal(got, plain) {
			t.Errorf("opened to %x, want %x", got, plain)
		}

		other := key
		other[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
		fresh := &Payload{leaf: b.CID, commit: sealed.commit}
		if got := codeOf(fresh.Open(b.Data, other)); got != CodeLeafOpen {
			t.Errorf("another key: %q, want %s", got, CodeLeafOpen)
		}
		if _, known := fresh.Bytes(); known {
			t.Error("a failed Open left a plaintext")
		}
		fresh.commit[0] ^= 1
		if got := codeOf(fresh.Open(b.Data, key)); got != CodeLeafCommit {
			t.Errorf("another commitment: %q, want %s", got, CodeLeafCommit)
		}
		changed := bytes.Clone(b.Data)
		changed[rapid.IntRange(0, len(changed)-1).Draw(t, "bit")] ^= 1
		if got := codeOf(read.Open(changed, key)); got != CodeLeafHash {
			t.Errorf("changed bytes: %q, want %s", got, CodeLeafHash)
		}
	})
}

func TestMalformedPaddingIsRefused(t *testing.T) {
	key := LeafKey{1}
	aead, mac, err := deriveKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, padded := range map[string][]byte{
		"no end mark":            make([]byte, 64),
		"nothing at all":         {},
		"junk after the mark":    append([]byte{'a', 0x80, 1}, make([]byte, 61)...),
		"more than the rule":     append([]byte{'a', 0x80}, make([]byte, 70)...),
		"less than the rule":     {'a', 0x80},
		"a mark at the very end": append(make([]byte, 64), 0x80), // 65 bytes is no padded length
	} {
		data := aead.Seal(nil, make([]byte, aead.NonceSize()), padded, nil)
		p := &Payload{leaf: NewRaw(data).CID, commit: commitTo(mac, []byte("a"))}
		if got := codeOf(p.Open(data, key)); got != CodeLeafOpen {
			t.Errorf("%s: %q, want %s", name, got, CodeLeafOpen)
		}
	}
}

func TestPayloadBounds(t *testing.T) {
	p := NewPayload(make([]byte, MaxPayload))
	b, err := p.Seal(LeafKey{1})
	if err != nil || len(b.Data) > MaxBlock {
		t.Errorf("the longest payload: %d bytes, %v", len(b.Data), err)
	}
	if _, err := NewPayload(make([]byte, MaxPayload+1)).Seal(LeafKey{1}); err == nil {
		t.Error("a longer payload was sealed")
	}
	if _, err := NewPayload(make([]byte, MaxBlock+1)).Publish(); err == nil {
		t.Error("a payload longer than a block was published")
	}
	if _, err := new(Payload).Seal(LeafKey{1}); err == nil {
		t.Error("a payload that is not known was sealed")
	}
}

func TestAPublicLeafIsItsText(t *testing.T) {
	p := text("hello")
	b, err := p.Publish()
	if err != nil || string(b.Data) != "hello" || p.Leaf() != b.CID || !p.Public() {
		t.Fatalf("Publish = %q, %v", b.Data, err)
	}
	r := &Step{Run: Sum(0x71, nil), Event: &Result{Status: StatusOK, Output: p}}
	blk, err := Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Step
	if err := Decode(blk.Data, &back); err != nil {
		t.Fatal(err)
	}
	out := back.Event.(*Result).Output
	if _, known := out.Bytes(); known || !out.Public() {
		t.Error("a payload that was read is public and not yet known")
	}
	if err := out.Open(b.Data, LeafKey{}); err != nil {
		t.Fatal(err)
	}
	if got, _ := out.Bytes(); string(got) != "hello" {
		t.Errorf("opened to %q", got)
	}
}

func TestAbsentPayloads(t *testing.T) {
	var p *Payload
	if b, known := p.Bytes(); b != nil || known || p.Public() || p.Leaf().Defined() {
		t.Error("the nil Payload is not absent")
	}
}

func TestKeysStayOutOfLogs(t *testing.T) {
	key := LeafKey(bytes.Repeat([]byte{0xab}, 32))
	var log bytes.Buffer
	untimed := func(_ []string, a slog.Attr) slog.Attr { // whose digits may be any
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: untimed})).Info("key", "k", key)
	for _, s := range []string{
		fmt.Sprint(key), fmt.Sprintf("%v %+v %#v %x %X %s %q %d", key, key, key, key, key, key, key, key),
		fmt.Sprintf("%v %x", Leaf{Key: key}, []LeafKey{key}), log.String(),
	} {
		if strings.Contains(strings.ToLower(s), "abab") || strings.Contains(s, "171") {
			t.Errorf("a key shows in %q", s)
		}
	}
}

func FuzzOpen(f *testing.F) {
	p := text("hello")
	b, _ := p.Seal(LeafKey{1})
	f.Add(b.Data, []byte{1}, p.commit[:])
	f.Fuzz(func(t *testing.T, data, k, commit []byte) {
		var key LeafKey
		copy(key[:], k)
		p := &Payload{leaf: NewRaw(data).CID}
		copy(p.commit[:], commit)
		if p.Open(data, key) != nil {
			return
		}
		plain, _ := p.Bytes()
		again := NewPayload(plain)
		if b, err := again.Seal(key); err != nil || !bytes.Equal(b.Data, data) {
			t.Errorf("%x opens to %x, which is sealed as %x, %v", data, plain, b.Data, err)
		}
	})
}

// The vector in docs/record.md.
func TestTheSealIsTheDocumentedOne(t *testing.T) {
	var key LeafKey
	for i := range key {
		key[i] = byte(i)
	}
	p := text("hello")
	b, err := p.Seal(key)
	if err != nil {
		t.Fatal(err)
	}
	const wantLeaf, wantCommit = "bafkreicn6smdollbi33xxrpwhse3c2byanmsr3tnuvm3r5kuri4fbz2tui",
		"c9544f89653b9dde6ebd87daddca984f658d42c29ff41ccbecb79cf1562e1412"
	if got := b.CID.String(); got != wantLeaf {
		t.Errorf("leaf = %s, want %s", got, wantLeaf)
	}
	if got := fmt.Sprintf("%x", p.commit); got != wantCommit {
		t.Errorf("pc = %s, want %s", got, wantCommit)
	}
	doc, err := os.ReadFile(filepath.Join("..", "docs", "record.md"))
	if err != nil || !bytes.Contains(doc, []byte(wantLeaf)) || !bytes.Contains(doc, []byte(wantCommit)) {
		t.Errorf("docs/record.md has another vector (%v)", err)
	}
}
