package logproof

import (
	"bytes"
	"crypto/ed25519"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func epochKeys(t testing.TB, name string) (Key, ed25519.PrivateKey) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	vkey, err := note.NewEd25519VerifierKey(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return k, key
}

// A statement of an epoch is what its log's key has signed, in one spelling, and nothing else.
func TestEpochs(t *testing.T) {
	old, key := epochKeys(t, "example.com/log")
	next, _ := epochKeys(t, EpochOrigin("example.com/log", 2, [4]byte{1}))
	e := Epoch{N: 2, Log: old.Origin(), Next: next.VKey(), Size: 12, Root: [32]byte{1},
		Seen: []Checkpoint{{Origin: old.Origin(), Size: 16, Root: [32]byte{2}}}, At: "2026-11-28T18:00:00Z", Why: "restored"}
	raw, err := e.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenEpoch(raw, old); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := OpenEpoch(raw, next); err == nil {
		t.Error("another log's key opened it")
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		if got, err := OpenEpoch(changed, old); err == nil && !reflect.DeepEqual(got, e) {
			t.Fatalf("byte %d changed: %+v", i, got)
		}
	}
	for _, bad := range []func(*Epoch){
		func(e *Epoch) { e.N = 1 }, func(e *Epoch) { e.Why = "" }, func(e *Epoch) { e.Why = "a\nlog: b" },
		func(e *Epoch) { e.Next = "nobody" }, func(e *Epoch) { e.Why = strings.Repeat("a", maxWhy+1) },
		func(e *Epoch) { e.Seen = make([]Checkpoint, maxSeen+1) },
	} {
		b := e
		bad(&b)
		if _, err := b.Sign(key); err == nil {
			t.Errorf("%+v is signed", b)
		}
	}
}

// Who trusts a log trusts those that go on from it by statements in any order, and no others.
func TestFollowEpochs(t *testing.T) {
	const base = "example.com/log"
	first, key := epochKeys(t, base)
	second, _ := epochKeys(t, EpochOrigin(base, 2, [4]byte{2}))
	third, _ := epochKeys(t, EpochOrigin(base, 3, [4]byte{3}))
	sign := func(n int, from, to Key, size uint64) []byte {
		raw, err := Epoch{N: n, Log: from.Origin(), Next: to.VKey(), Size: size, At: "a", Why: "b"}.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	two, three := sign(2, first, second, 5), sign(3, second, third, 4)
	trusted, epochs, err := FollowEpochs([]Key{first}, [][]byte{three, two})
	if err != nil || len(trusted) != 3 || trusted[2].VKey() != third.VKey() {
		t.Fatalf("%v, %v", trusted, err)
	}
	if way, ok := FindWay(epochs, base, third.Origin()); !ok || len(way) != 2 || way.Kept() != 4 {
		t.Errorf("from the first to the third: %+v, %v", way, ok)
	}
	if _, ok := FindWay(epochs, third.Origin(), base); ok {
		t.Error("a way back")
	}
	if _, _, err := FollowEpochs([]Key{first}, [][]byte{three}); err == nil {
		t.Error("a statement of a log that nobody trusts is followed")
	}
	if _, err := (Epoch{N: 3, Log: base, Next: third.VKey(), At: "a", Why: "b"}).Sign(key); err == nil {
		t.Error("the third epoch follows the first")
	}
	other, _ := epochKeys(t, EpochOrigin("example.com/other", 2, [4]byte{2}))
	if _, err := (Epoch{N: 2, Log: base, Next: other.VKey(), At: "a", Why: "b"}).Sign(key); err == nil {
		t.Error("another log goes on")
	}
}

func FuzzEpoch(f *testing.F) {
	f.Add(epochMagic + "\nepoch: 2\nlog: a\nnext: b\ngood: 1 AAAA\nat: c\nwhy: d\n")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseEpoch(text)
		if err != nil {
			return
		}
		if again, err := parseEpoch(e.text()); err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("%+v is read again as %+v, %v", e, again, err)
		}
	})
}
