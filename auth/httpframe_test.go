package auth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"strings"
	"testing"
	"time"

	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/auth/httpsig"
)

var someSession = cid.MustParse("bafyreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")

// signHTTP signs a request as a client of ERC-8128 does, with nothing of this package but the text's digest.
func signHTTP(t *testing.T, key PrivateKey, r httpsig.Request, c httpsig.Claims) *httpsig.Signed {
	t.Helper()
	digest, input, base := httpsig.Prepare(r, c)
	priv, err := ethcrypto.ToECDSA(key.seed())
	if err != nil {
		t.Fatal(err)
	}
	hash := textDigest([]byte(base))
	sig, err := ethcrypto.Sign(hash[:], priv)
	if err != nil {
		t.Fatal(err)
	}
	sig[64] += 27
	r.Header = maps.Clone(r.Header)
	r.Header["Content-Digest"], r.Header["Signature-Input"] = []string{digest}, []string{input}
	r.Header["Signature"] = []string{"eth=:" + base64.StdEncoding.EncodeToString(sig) + ":"}
	s, err := httpsig.Read(r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func accountOf(k PublicKey) string {
	a := k.Account()
	return "eip155:1:0x" + hex.EncodeToString(a[:])
}

// A request that the session's key signed as an Ethereum account is the frame of its session, method and body, and of
// no other; nobody else's signature makes it one.
func TestASignedHTTPRequestIsOneFrame(t *testing.T) {
	key, err := Generate(Secp256k1, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Generate(Secp256k1, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"agent":"treasurer","input":"hi","idempotency_key":"key-00001"}`)
	request := httpsig.Request{
		Method: "POST", Scheme: "https", Authority: "agents.example.com", Path: HTTPFramePath(someSession, "run.start"),
		Header: map[string][]string{"Content-Type": {"application/json"}}, Body: body,
	}
	claims := httpsig.Claims{Created: time.Now().Unix(), Expires: time.Now().Unix() + 60, Nonce: "0123456789abcdef", Account: accountOf(key.Public())}
	frame, sig := HTTPFrame(someSession, "run.start", body, signHTTP(t, key, request, claims))
	if err := frame.Verify(key.Public(), sig); err != nil {
		t.Fatalf("an honest one: %v", err)
	}
	changed := func(change func(*Frame)) Frame { f := frame; change(&f); return f }
	cut := func(change func([]byte) []byte) []byte { return change(append([]byte{}, sig...)) }
	ed, err := Generate(Ed25519, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		f   Frame
		key PublicKey
		sig []byte
	}{
		"another body":   {changed(func(f *Frame) { f.Params = []byte("{}") }), key.Public(), sig},
		"another method": {changed(func(f *Frame) { f.Method = "session.revoke" }), key.Public(), sig},
		"another session": {changed(func(f *Frame) {
			f.Session = cid.MustParse("bafyreick2yf647nfkkbb3g5o54wge7cbq3ms6toi4sfjxk7kesxcul5w54")
		}), key.Public(), sig},
		"another channel":  {changed(func(f *Frame) { f.Channel[0] ^= 1 }), key.Public(), sig},
		"another number":   {changed(func(f *Frame) { f.Seq = 2 }), key.Public(), sig},
		"another key":      {frame, other.Public(), sig},
		"a key of Ed25519": {frame, ed.Public(), sig},
		"another nonce": {frame, key.Public(), cut(func(b []byte) []byte {
			return []byte(strings.Replace(string(b), "0123456789abcdef", "0123456789abcdeg", 1))
		})},
		"v as 0 or 1": {frame, key.Public(), cut(func(b []byte) []byte { b[64] -= 27; return b })},
		"the other s": {frame, key.Public(), cut(func(b []byte) []byte { b[40] ^= 1; return b })},
		"no base":     {frame, key.Public(), sig[:66]},
		"a line cut":  {frame, key.Public(), sig[:len(sig)-1]},
	} {
		if err := tt.f.Verify(tt.key, tt.sig); err == nil {
			t.Errorf("%s: it holds", name)
		}
	}
	for name, change := range map[string]func(*httpsig.Request, *httpsig.Claims){
		"with a query":          func(r *httpsig.Request, _ *httpsig.Claims) { r.Query = "x=1" },
		"with another method":   func(r *httpsig.Request, _ *httpsig.Claims) { r.Method = "PUT" },
		"at another path":       func(r *httpsig.Request, _ *httpsig.Claims) { r.Path += "/" },
		"for another account":   func(_ *httpsig.Request, c *httpsig.Claims) { c.Account = accountOf(other.Public()) },
		"over another body too": func(r *httpsig.Request, _ *httpsig.Claims) { r.Body = []byte("{}") },
	} {
		r, c := request, claims
		change(&r, &c)
		f, sig := HTTPFrame(someSession, "run.start", body, signHTTP(t, key, r, c))
		if err := f.Verify(key.Public(), sig); err == nil {
			t.Errorf("%s: it holds", name)
		}
	}
}

// A body in the form of another API is signed with its session in a header; for another session, or at the path of
// another form, it is no frame.
func TestABodyOfAnotherAPIIsAFrameOfItsSession(t *testing.T) {
	key, err := Generate(Secp256k1, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const other = "bafyreick2yf647nfkkbb3g5o54wge7cbq3ms6toi4sfjxk7kesxcul5w54"
	body := []byte(`{"model":"treasurer","messages":[{"role":"user","content":"hi"}]}`)
	sign := func(change func(*httpsig.Request)) (Frame, []byte) {
		r := httpsig.Request{
			Method: "POST", Scheme: "https", Authority: "agents.example.com", Path: "/v1/chat/completions", Body: body,
			Header: map[string][]string{"Content-Type": {"application/json"}, "X-Writ-Session": {someSession.String()}},
		}
		change(&r)
		claims := httpsig.Claims{Created: 1700000000, Expires: 1700000060, Nonce: "0123456789abcdef", Account: accountOf(key.Public())}
		return HTTPFrame(someSession, "chat.completions", body, signHTTP(t, key, r, claims))
	}
	honest, sig := sign(func(*httpsig.Request) {})
	if err := honest.Verify(key.Public(), sig); err != nil {
		t.Fatalf("an honest one: %v", err)
	}
	if f, sig := sign(func(r *httpsig.Request) { r.Header["Idempotency-Key"] = []string{"one"} }); f.Verify(key.Public(), sig) != nil {
		t.Error("one with a key does not hold")
	}
	for name, change := range map[string]func(*httpsig.Request){
		"for another session": func(r *httpsig.Request) { r.Header["X-Writ-Session"] = []string{other} },
		"for no session":      func(r *httpsig.Request) { delete(r.Header, "X-Writ-Session") },
		"of another form":     func(r *httpsig.Request) { r.Path = "/v1/responses" },
		"with a query":        func(r *httpsig.Request) { r.Query = "beta=true" },
		"over another body":   func(r *httpsig.Request) { r.Body = []byte("{}") },
		"at a session's path": func(r *httpsig.Request) { r.Path = HTTPFramePath(someSession, "run.start") },
	} {
		if f, sig := sign(change); f.Verify(key.Public(), sig) == nil {
			t.Errorf("%s: it holds", name)
		}
	}
	as := honest
	if as.Method = "messages"; as.Verify(key.Public(), sig) == nil {
		t.Error("it holds as one of another form")
	}
	as = honest
	if as.Session = cid.MustParse(other); as.Verify(key.Public(), sig) == nil {
		t.Error("it holds for another session")
	}
	native, sig := sign(func(r *httpsig.Request) { r.Path = HTTPFramePath(someSession, "run.start") })
	if native.Method = "run.start"; native.Verify(key.Public(), sig) == nil {
		t.Error("a request of the protocol's own covers a header that says nothing there, and holds")
	}
}

// The request of ERC-8128's own test case: the same base, and by the account of the key 1 the same signature.
func TestTheSignatureIsThatOfERC8128(t *testing.T) {
	key, err := ParsePrivateKey("secp256k1:" + strings.Repeat("0", 63) + "1")
	if err != nil {
		t.Fatal(err)
	}
	s := signHTTP(t, key, httpsig.Request{
		Method: "POST", Scheme: "https", Authority: "api.example", Path: "/items", Query: "view=full",
		Header: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(`{"hello":"world"}`),
	}, httpsig.Claims{Created: 1700000000, Expires: 1700000060, Nonce: "EjRWeJCrze8BI0VniavN7w", Account: accountOf(key.Public())})
	hash := textDigest([]byte(s.Base))
	const wantHash = "a7a6074cd2ab23379c04a8839a3566e98689326367a0ad9cd8ef389a961f96de"
	const wantSig = "fc1a444e8b24c64309eb9b9199a3543e20706f0c20eb3dc2c440c9270118444231d47c27f396752fc5e546920b1b1e2af34c9e88dba0633694b153d688f701d01b"
	if hex.EncodeToString(hash[:]) != wantHash || hex.EncodeToString(s.Sig[:]) != wantSig {
		t.Errorf("got %x and %x", hash, s.Sig)
	}
}
