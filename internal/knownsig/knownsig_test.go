package knownsig

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/auth"
)

func frameOf(params string) auth.Frame {
	return auth.Frame{Session: cid.Undef, Channel: [32]byte{7}, Seq: 1, Method: "run.start", Params: []byte(params)}
}

// TestOnlyWhatHoldsIsKnown: with a signature that is known nothing else holds, whatever of it is another.
func TestOnlyWhatHoldsIsKnown(t *testing.T) {
	for _, kind := range []auth.Kind{auth.Ed25519, auth.P256, auth.Secp256k1} {
		secret, err := auth.Generate(kind, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		other, err := auth.Generate(kind, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		f, key := frameOf("{}"), secret.Public()
		sig, err := Sign(f, secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Verify(key, sig); err != nil {
			t.Errorf("%s: what Sign made does not hold: %v", kind, err)
		}
		for range 2 {
			if err := Verify(f, key, sig); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if _, there := known[factOf(f, key, sig)]; !there {
			t.Errorf("%s: it is not remembered", kind)
		}
		wrong := bytes.Clone(sig)
		wrong[10] ^= 1
		seq, channel, method := f, f, f
		seq.Seq, channel.Channel[0], method.Method = 2, 8, "run.cancel"
		for range 2 { // the second time, too: what does not hold is not remembered
			for what, err := range map[string]error{
				"another key":       Verify(f, other.Public(), sig),
				"another signature": Verify(f, key, wrong),
				"a cut signature":   Verify(f, key, sig[:63]),
				"none":              Verify(f, key, nil),
				"other params":      Verify(frameOf("[]"), key, sig),
				"another number":    Verify(seq, key, sig),
				"another channel":   Verify(channel, key, sig),
				"another method":    Verify(method, key, sig),
				"no key":            Verify(f, auth.PublicKey{}, sig),
			} {
				if err == nil {
					t.Errorf("%s: %s holds", kind, what)
				}
			}
		}
	}
}

// TestMemoryIsBounded.
func TestMemoryIsBounded(t *testing.T) {
	for i := range most + 100 {
		remember(fact{sum: [32]byte{byte(i), byte(i >> 8), 1}})
	}
	mu.Lock()
	defer mu.Unlock()
	if len(known) > most {
		t.Errorf("%d are remembered", len(known))
	}
	if _, there := known[fact{sum: [32]byte{50, 0, 1}}]; there {
		t.Error("an old one is not forgotten")
	}
	if _, there := known[fact{sum: [32]byte{0, byte(most >> 8), 1}}]; !there {
		t.Error("a new one is forgotten")
	}
}
