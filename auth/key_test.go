package auth

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
)

var kinds = []Kind{Ed25519, P256, Secp256k1}

// The keys are examples of the did:key method's specification, made by others.
func TestDIDKeysOfOthers(t *testing.T) {
	for did, kind := range map[string]Kind{
		"did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK":  Ed25519,
		"did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp":  Ed25519,
		"did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169": P256,
		"did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv": P256,
		"did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme": Secp256k1,
		"did:key:zQ3shtxV1FrJfhqE1dvxYRcCknWNjHc3c5X1y3ZSoPDi2aur2": Secp256k1,
	} {
		k, err := ParsePublicKey(did)
		if err != nil || k.Kind() != kind || k.String() != did {
			t.Errorf("%s: got %q of kind %q, %v", did, k, k.Kind(), err)
		}
	}
}

func TestKeysSignAndVerify(t *testing.T) {
	text := []byte("a text")
	for _, kind := range kinds {
		k := testKey(t, kind, 3)
		sig, err := k.Sign(text)
		if err != nil || len(sig) != 64 {
			t.Fatalf("%s: %d bytes, %v", kind, len(sig), err)
		}
		if again, _ := k.Sign(text); !bytes.Equal(again, sig) {
			t.Errorf("%s: one text has two signatures", kind)
		}
		back, err := ParsePublicKey(k.Public().String())
		if err != nil || back != k.Public() {
			t.Fatalf("%s: the public key does not come back: %v", kind, err)
		}
		if err := back.verifySignature(text, sig); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for _, other := range kinds {
			if other != kind && testKey(t, other, 3).Public().verifySignature(text, sig) == nil {
				t.Errorf("a signature of %s passes as %s", kind, other)
			}
		}
		for _, bad := range [][]byte{nil, sig[:63], append(bytes.Clone(sig), 0), make([]byte, 64), bytes.Repeat([]byte{255}, 64)} {
			if back.verifySignature(text, bad) == nil {
				t.Errorf("%s: %x is accepted", kind, bad)
			}
		}
		for i := range sig {
			bad := bytes.Clone(sig)
			bad[i] ^= 1 << (i % 8)
			if back.verifySignature(text, bad) == nil {
				t.Errorf("%s: byte %d changed is accepted", kind, i)
			}
		}
		secret, err := ParsePrivateKey(k.Secret())
		if err != nil || secret.Secret() != k.Secret() || secret.Public() != k.Public() {
			t.Errorf("%s: the private key does not come back: %v", kind, err)
		}
	}
	if (PublicKey{}).verifySignature(text, make([]byte, 64)) == nil {
		t.Error("the zero key verifies something")
	}
	if _, err := (PrivateKey{}).Sign(text); code(err) != CodeKeyForm {
		t.Errorf("the zero key signs: %v", err)
	}
}

func TestKeysOfNoUse(t *testing.T) {
	did := testKey(t, Ed25519, 3).Public().String()
	p256 := testKey(t, P256, 3).Public()
	x := append(append(bytes.Clone(prefixP256), 2), bytes.Repeat([]byte{255}, 32)...)
	for _, s := range []string{
		"", "did:key:", "did:key:z", did[:len(did)-1], did + "1", strings.ToUpper(did), "did:web:example.com", did[:9] + "0OIl" + did[13:],
		" " + did, did + "#" + did[8:], "did:key:z" + strings.Repeat("z", 1000), "did:key:z1" + did[9:],
		didPrefix + toBase58(x), // no such point
		didPrefix + toBase58(append(bytes.Clone(prefixP256), p256.raw[:33]...)),  // 4 is no compressed form
		didPrefix + toBase58(append(bytes.Clone(prefixEd25519), p256.raw[:]...)), // too long
	} {
		// A digit more or less of base58 is another number throughout, so that its first bytes name another codec.
		if k, err := ParsePublicKey(s); code(err) != CodeKeyForm && code(err) != CodeKeyCodec {
			t.Errorf("%q: got %v, %v", s, k, err)
		}
	}
	if k, err := ParsePublicKey(didPrefix + toBase58(append([]byte{0x85, 0x24}, make([]byte, 32)...))); code(err) != CodeKeyCodec { // RSA
		t.Errorf("an RSA key: got %v, %v", k, err)
	}
	for _, s := range []string{"", "ed25519", "ed25519:", "ed25519:00", "rsa:" + strings.Repeat("00", 32), "p256:" + strings.Repeat("00", 32),
		"secp256k1:" + strings.Repeat("ff", 32), "ed25519:" + strings.Repeat("0", 65), "ed25519:" + strings.Repeat("zz", 32), ":" + strings.Repeat("00", 32)} {
		if _, err := ParsePrivateKey(s); code(err) != CodeKeyForm {
			t.Errorf("private %q: got %v", s, err)
		}
	}
	if _, err := Generate("rsa", new(counter)); code(err) != CodeKeyForm {
		t.Errorf("a key of an unknown kind: %v", err)
	}
	if _, err := Generate(P256, bytes.NewReader(nil)); err == nil {
		t.Error("a key without chance")
	}
}

// Under a point of small order, a signature of R = the point's negative multiple and S = 0 holds for many texts. The
// library would accept it, so such keys are refused when they are read.
func TestWeakKeysAreRefused(t *testing.T) {
	order1 := append([]byte{1}, make([]byte, 31)...)
	sig := append(append([]byte{1}, make([]byte, 31)...), make([]byte, 32)...)
	if !ed25519.Verify(order1, []byte("any text"), sig) {
		t.Error("the library refuses it by itself")
	}
	n := 0
	for y := range smallOrder {
		for _, sign := range []byte{0, 0x80} {
			key := bytes.Clone(y[:])
			key[31] |= sign
			if _, err := ParsePublicKey(didPrefix + toBase58(append(bytes.Clone(prefixEd25519), key...))); code(err) != CodeKeyForm {
				t.Errorf("%x: got %v", key, err)
			}
			n++
		}
	}
	for low := 0xed; low <= 0xff; low++ { // y of p and more
		key := append([]byte{byte(low)}, bytes.Repeat([]byte{255}, 31)...)
		key[31] = 0x7f
		if _, err := ParsePublicKey(didPrefix + toBase58(append(bytes.Clone(prefixEd25519), key...))); code(err) != CodeKeyForm {
			t.Errorf("%x: got %v", key, err)
		}
	}
	if n != 10 {
		t.Errorf("%d weak keys, want 10", n)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	k, w := testKey(t, Ed25519, 0xab), testWallet(t, 0xab)
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&b, verb+verb+verb+verb, k, &k, w, struct{ K PrivateKey }{k})
		fmt.Fprintf(&b, verb, struct {
			k PrivateKey
			w *Wallet
		}{k, w})
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("keys", "key", k, "wallet", w, "in", struct{ K PrivateKey }{k})
	slog.New(slog.NewJSONHandler(&b, nil)).Info("keys", "key", k, "wallet", w, "in", struct{ W *Wallet }{w})
	if err := json.NewEncoder(&b).Encode(map[string]any{"key": k, "wallet": w}); err != nil {
		t.Fatal(err)
	}
	out := strings.ToLower(b.String())
	for _, leak := range []string{"ababab", "171 171", "171,171"} {
		if strings.Contains(out, leak) {
			t.Errorf("a key is printed: %s", out)
		}
	}
	if w2, err := ParseWallet(w.Secret()); err != nil || w2.Address() != w.Address() {
		t.Errorf("a wallet does not come back: %v", err)
	}
}

func TestWalletKeysOfNoUse(t *testing.T) {
	for _, s := range []string{"", "0x", "0x00", strings.Repeat("00", 32), strings.Repeat("ff", 32), strings.Repeat("g", 64), strings.Repeat("11", 33)} {
		if _, err := ParseWallet(s); code(err) != CodeKeyForm {
			t.Errorf("%q: got %v", s, err)
		} else if len(s) > 8 && strings.Contains(err.Error(), s) {
			t.Errorf("the error repeats the key")
		}
	}
	// The first account of the well-known development mnemonic.
	w, err := ParseWallet("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
	if err != nil || w.Address().Hex() != "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266" {
		t.Errorf("got %v, %v", w, err)
	}
}

// golden compares got with a file of testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\ngot  %s\nwant %s", path, got, want)
	}
}

func testFrame() Frame {
	return Frame{Session: testLink("session"), Channel: [32]byte{1, 2, 3}, Seq: 7, Method: "run.start", Params: []byte(`{"input":"hello"}`)}
}

// The file lets clients in other languages check their own frames.
func TestFrameGolden(t *testing.T) {
	type line struct {
		Key, Session, Channel, Method, Params, Bytes, Sig string
		Seq                                               uint64
	}
	var lines []line
	for _, f := range []Frame{testFrame(), {Method: "session.open", Params: []byte("{}")}} {
		for _, kind := range kinds {
			k := testKey(t, kind, 3)
			sig, err := k.SignFrame(f)
			if err != nil {
				t.Fatal(err)
			}
			l := line{
				Key: k.Public().String(), Channel: hex.EncodeToString(f.Channel[:]), Seq: f.Seq, Method: f.Method,
				Params: string(f.Params), Bytes: hex.EncodeToString(f.Bytes()), Sig: hex.EncodeToString(sig),
			}
			if f.Session.Defined() {
				l.Session = f.Session.String()
			}
			lines = append(lines, l)
			if err := f.Verify(k.Public(), sig); err != nil {
				t.Error(err)
			}
		}
	}
	out, err := json.MarshalIndent(lines, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "frames.json", append(out, '\n'))
}

func TestAnyChangeVoidsAFrame(t *testing.T) {
	for _, kind := range kinds {
		k := testKey(t, kind, 3)
		sig, err := k.SignFrame(testFrame())
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(*Frame){
			"session": func(f *Frame) { f.Session = testLink("other") }, "no session": func(f *Frame) { f.Session = cid.Undef },
			"channel": func(f *Frame) { f.Channel[31] ^= 1 }, "a lower seq": func(f *Frame) { f.Seq-- }, "a higher seq": func(f *Frame) { f.Seq++ },
			"method": func(f *Frame) { f.Method = "run.send" }, "params": func(f *Frame) { f.Params = []byte(`{"input":"hellp"}`) },
			"white space": func(f *Frame) { f.Params = []byte(`{"input": "hello"}`) },
		} {
			f := testFrame()
			change(&f)
			if err := f.Verify(k.Public(), sig); code(err) != CodeSigSigner {
				t.Errorf("%s, %s: got %v", kind, name, err)
			}
		}
		if err := testFrame().Verify(testKey(t, kind, 4).Public(), sig); code(err) != CodeSigSigner {
			t.Errorf("%s, another key: got %v", kind, err)
		}
	}
}

var errNone = errors.New("none")

func TestFaultsAreSentences(t *testing.T) {
	f := &Fault{Code: CodeNonceUsed, Field: "Nonce", Line: 9, Detail: "it is used", cause: errNone}
	if got, want := f.Error(), "line 9, Nonce: it is used"; got != want || !errors.Is(f, errNone) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := newFault(CodeSize, "", "too long").Error(), "too long"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
