package auth

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
)

// A clock is the time that a test says it is.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) set(t time.Time)         { c.at.Store(t.UnixNano()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

type testDesk struct {
	*Desk
	clock  *clock
	nonces *memory
	s      *signin
}

func newDesk(t testing.TB) *testDesk {
	t.Helper()
	d := &testDesk{clock: new(clock), nonces: newMemory(), s: newSignin(t)}
	d.clock.set(noon)
	var err error
	d.Desk, err = NewDesk(Config{
		Scheme: "https", Domain: "app.example.com", Nonces: d.nonces, Now: d.clock.now, Rand: new(counter),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var channel = [32]byte{1, 2, 3}

func (d *testDesk) request() Request {
	o := d.s.offer
	return Request{
		Account: o.Account, Chain: o.Chain, Key: o.Key, Agent: o.Agent, AgentCID: o.AgentCID, RulesCID: o.RulesCID,
		Tools: o.Tools, Caveats: o.Caveats, Channel: channel,
	}
}

func (d *testDesk) challenge(t testing.TB) (Challenge, []byte) {
	t.Helper()
	c, err := d.Challenge(context.Background(), d.request())
	if err != nil {
		t.Fatal(err)
	}
	return c, d.s.sign(t, c.Message)
}

func TestSignIn(t *testing.T) {
	d := newDesk(t)
	c, sig := d.challenge(t)
	g, err := d.Open(context.Background(), c.Message, sig, channel)
	if err != nil {
		t.Fatal(err)
	}
	o := d.s.offer
	switch {
	case g.Account != o.Account, g.Chain != o.Chain, g.Key != o.Key, g.Agent != o.Agent, !g.AgentCID.Equals(o.AgentCID),
		!g.RulesCID.Equals(o.RulesCID), g.Scheme != "https", g.Domain != "app.example.com", g.Method != MethodEOA,
		g.Nonce != c.Nonce, g.RequestID != c.RequestID, !g.Issued.Equal(noon), !g.NotBefore.Equal(noon),
		!g.Expires.Equal(noon.Add(DefaultLife)), !g.Has("erc20.transfer"), g.Has("erc20.approve"), len(g.Tools) != 3:
		t.Errorf("the grant is not what was asked for: %+v", g)
	}
	if again, err := Reread(g.Message, g.Sig); err != nil || again.Nonce != g.Nonce {
		t.Errorf("an auditor reads something else: %v", err)
	}
	if want := noon.Add(NonceLife); !c.Expires.Equal(want) {
		t.Errorf("the challenge ends at %s, want %s", c.Expires, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		code Code
		do   func(t *testing.T, d *testDesk, c Challenge, sig []byte) (raw, sig2 []byte, channel2 [32]byte)
	}{
		{"a challenge that has expired", CodeNonceUsed, func(_ *testing.T, d *testDesk, c Challenge, sig []byte) ([]byte, []byte, [32]byte) {
			d.clock.advance(NonceLife)
			return c.Message, sig, channel
		}},
		{"another connection", CodeNonceUsed, func(_ *testing.T, _ *testDesk, c Challenge, sig []byte) ([]byte, []byte, [32]byte) {
			return c.Message, sig, [32]byte{9}
		}},
		{"a message that was never issued", CodeNonceUsed, func(t *testing.T, d *testDesk, _ Challenge, _ []byte) ([]byte, []byte, [32]byte) {
			return d.s.raw, d.s.sig, channel
		}},
		{"a bad signature", CodeSigSigner, func(t *testing.T, _ *testDesk, c Challenge, sig []byte) ([]byte, []byte, [32]byte) {
			other, err := testWallet(t, 9).SignText(c.Message)
			if err != nil {
				t.Fatal(err)
			}
			return c.Message, other, channel
		}},
		{"a signature of no bytes", CodeSigSize, func(_ *testing.T, _ *testDesk, c Challenge, _ []byte) ([]byte, []byte, [32]byte) {
			return c.Message, nil, channel
		}},
		{"a message whose session key was changed", CodeURI, func(t *testing.T, d *testDesk, c Challenge, _ []byte) ([]byte, []byte, [32]byte) {
			raw := bytes.Replace(c.Message, []byte(d.s.offer.Key.String()), []byte(testKey(t, Ed25519, 7).Public().String()), 1)
			return raw, d.s.sign(t, raw), channel
		}},
		{"a message with a longer life", CodeStatement, func(t *testing.T, d *testDesk, c Challenge, _ []byte) ([]byte, []byte, [32]byte) {
			raw := bytes.Replace(c.Message, []byte("Expiration Time: 2026-11-23T13"), []byte("Expiration Time: 2026-11-23T14"), 1)
			return raw, d.s.sign(t, raw), channel
		}},
		{"a whole other grant under the same nonce", CodeAltered, func(t *testing.T, d *testDesk, c Challenge, _ []byte) ([]byte, []byte, [32]byte) {
			o := d.s.offer
			o.Nonce, o.RequestID = c.Nonce, c.RequestID
			o.Caveats.MaxCalls *= 2
			raw, err := Build(o)
			if err != nil {
				t.Fatal(err)
			}
			return raw, d.s.sign(t, raw), channel
		}},
		{"a message cut short", CodeLine, func(_ *testing.T, _ *testDesk, c Challenge, sig []byte) ([]byte, []byte, [32]byte) {
			return c.Message[:200], sig, channel
		}},
	} {
		d := newDesk(t)
		c, sig := d.challenge(t)
		raw, sig, ch := tt.do(t, d, c, sig)
		_, err := d.Open(context.Background(), raw, sig, ch)
		if code(err) != tt.code {
			t.Errorf("%s: got %q (%v), want %q", tt.name, code(err), err, tt.code)
		}
		if want := tt.code == CodeNonceUsed; errors.Is(err, ErrNonce) != want {
			t.Errorf("%s: errors.Is(err, ErrNonce) is not %t", tt.name, want)
		}
	}
}

// What a desk read when it wrote a message is what it reads in it when it is gone, and it keeps only so much.
func TestAKeptMessageIsReadAlike(t *testing.T) {
	d := newDesk(t)
	c, sig := d.challenge(t)
	fast, err := d.Open(context.Background(), c.Message, sig, channel)
	if err != nil {
		t.Fatal(err)
	}
	if d.takeWritten(c.Message) != nil {
		t.Error("a message is kept after it was opened")
	}
	at := nonceSlot(c.Nonce, channel)
	d.nonces.data[at], d.nonces.ends[at] = bytes.Clone(c.Message), c.Expires
	slow, err := d.Open(context.Background(), c.Message, sig, channel)
	if err != nil || !reflect.DeepEqual(fast, slow) {
		t.Errorf("got %+v, %v\nwant %+v", slow, err, fast)
	}
	for range 2*maxWritten + 3 {
		d.rememberWritten([]byte(d.mustText()), new(written))
	}
	if len(d.wrote) != maxWritten {
		t.Errorf("%d messages are kept, want %d", len(d.wrote), maxWritten)
	}
}

func (d *testDesk) mustText() string {
	s, err := d.randomText()
	if err != nil {
		panic(err)
	}
	return s
}

func TestABadSignatureUsesUpTheNonce(t *testing.T) {
	d := newDesk(t)
	c, sig := d.challenge(t)
	bad := bytes.Clone(sig)
	bad[10] ^= 1
	if _, err := d.Open(context.Background(), c.Message, bad, channel); err == nil {
		t.Fatal("a bad signature was accepted")
	}
	if _, err := d.Open(context.Background(), c.Message, sig, channel); !errors.Is(err, ErrNonce) {
		t.Errorf("got %v, want ErrNonce", err)
	}
}

func TestAThousandReplaysOpenOneSession(t *testing.T) {
	d := newDesk(t)
	c, sig := d.challenge(t)
	var opened, refused atomic.Int64
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			switch _, err := d.Open(context.Background(), c.Message, sig, channel); {
			case err == nil:
				opened.Add(1)
			case errors.Is(err, ErrNonce):
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if opened.Load() != 1 || refused.Load() != 999 {
		t.Errorf("%d opened and %d refused, want 1 and 999", opened.Load(), refused.Load())
	}
}

// An attacker fetches a challenge with its own session key cannot be stopped from showing it to a victim; the victim's
// wallet then names the attacker's origin. What it can do is relay a challenge that the victim's own page fetched, or
// steal message and signature on the way. All it holds then is worthless without the victim's session key.
func TestAStolenSignatureIsWorthless(t *testing.T) {
	d := newDesk(t)
	c, sig := d.challenge(t)
	thief := testKey(t, Ed25519, 66)

	// The thief cannot open the session on its own connection, nor after the victim did.
	if _, err := d.Open(context.Background(), c.Message, sig, [32]byte{66}); code(err) != CodeNonceUsed {
		t.Errorf("on the thief's connection: got %v, want %s", err, CodeNonceUsed)
	}
	// Nor spoil the victim's own sign-in by trying.
	if _, err := d.Open(context.Background(), c.Message, sig, channel); err != nil {
		t.Errorf("the victim after that: %v", err)
	}
	if _, err := d.Open(context.Background(), c.Message, sig, channel); !errors.Is(err, ErrNonce) {
		t.Errorf("a second time: got %v, want ErrNonce", err)
	}
	// Nor put its own key in: the wallet signed another text then.
	c, sig = d.challenge(t)
	swapped := bytes.Replace(c.Message, []byte(d.s.key.Public().String()), []byte(thief.Public().String()), 1)
	if _, err := d.Open(context.Background(), swapped, sig, channel); code(err) != CodeURI {
		t.Errorf("with the thief's key: got %v, want %s", err, CodeURI)
	}
	// Nor act in a session that the victim opened: each request needs the session key.
	c, sig = d.challenge(t)
	g, err := d.Open(context.Background(), c.Message, sig, channel)
	if err != nil {
		t.Fatal(err)
	}
	f := Frame{Session: testLink("session"), Channel: [32]byte{66}, Seq: 1, Method: "run.start", Params: []byte("{}")}
	forged, err := thief.SignFrame(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(g.Key, forged); code(err) != CodeSigSigner {
		t.Errorf("a frame by the thief: got %v, want %s", err, CodeSigSigner)
	}
	if err := f.Verify(g.Key, sig[:64]); code(err) != CodeSigSigner {
		t.Errorf("a frame with the wallet's signature: got %v, want %s", err, CodeSigSigner)
	}
}

func TestChallengeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Request)
		want   Code
	}{
		{"no account", func(r *Request) { r.Account = [20]byte{} }, CodeAddressReserved},
		{"no chain", func(r *Request) { r.Chain = 0 }, CodeChainRange},
		{"a chain outside the caveats", func(r *Request) { r.Chain = 1 }, CodeChain},
		{"no session key", func(r *Request) { r.Key = PublicKey{} }, CodeURIForm},
		{"no agent", func(r *Request) { r.Agent = "" }, CodeAgent},
		{"an agent name with a quote", func(r *Request) { r.Agent = "a'b" }, CodeAgent},
		{"no version of the agent", func(r *Request) { r.AgentCID = cid.Undef }, CodeResources},
		{"a tool with a line break", func(r *Request) { r.Tools = []string{"a\nb"} }, CodeCaveats},
		{"a tool twice", func(r *Request) { r.Tools = []string{"a", "a"} }, CodeCaveats},
		{"too many tools", func(r *Request) { r.Tools = strings.Split(strings.Repeat("a ", 65), " ") }, CodeCaveats},
		{"no limits", func(r *Request) { r.Caveats = Caveats{} }, CodeCaveats},
		{"a life of more than a day", func(r *Request) { r.Life = MaxLife + time.Second }, CodeTimeLife},
		{"a negative life", func(r *Request) { r.Life = -time.Hour }, CodeTimeLife},
	} {
		d := newDesk(t)
		r := d.request()
		tt.change(&r)
		if _, err := d.Challenge(context.Background(), r); code(err) != tt.want {
			t.Errorf("%s: got %q (%v), want %q", tt.name, code(err), err, tt.want)
		}
		if len(d.nonces.data) != 0 {
			t.Errorf("%s: a nonce was stored", tt.name)
		}
	}
}

// Who may not use a chain is told which ones the permission is for.
func TestAChainThatIsNotAllowedIsNamedBesideThoseThatAre(t *testing.T) {
	d := newDesk(t)
	r := d.request()
	r.Chain, r.Caveats.Chains = 1, []uint64{10, 8453}
	_, err := d.Challenge(context.Background(), r)
	if code(err) != CodeChain || !strings.Contains(err.Error(), "1 is not among the chains of the limits, [10 8453]") {
		t.Errorf("got %v, want the chains", err)
	}
}

func TestAStoreThatIsDownOpensNothing(t *testing.T) {
	d := newDesk(t)
	c, sig := d.challenge(t)
	d.nonces.down = errors.New("disk on fire")
	if _, err := d.Open(context.Background(), c.Message, sig, channel); !errors.Is(err, d.nonces.down) || errors.Is(err, ErrNonce) {
		t.Errorf("open: got %v, want the store's error", err)
	}
	if _, err := d.Challenge(context.Background(), d.request()); !errors.Is(err, d.nonces.down) {
		t.Errorf("challenge: got %v, want the store's error", err)
	}
}

func TestNewDeskNamesWhatIsMissing(t *testing.T) {
	good := Config{Scheme: "http", Domain: "127.0.0.1:8080", Nonces: newMemory(), Now: time.Now, Rand: new(counter)}
	if _, err := NewDesk(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Config){
		"Nonces": func(c *Config) { c.Nonces = nil }, "Now": func(c *Config) { c.Now = nil }, "Rand": func(c *Config) { c.Rand = nil },
		"ftp://127.0.0.1:8080":         func(c *Config) { c.Scheme = "ftp" },
		"http://App.example.com":       func(c *Config) { c.Domain = "App.example.com" },
		"http://a.example/":            func(c *Config) { c.Domain = "a.example/" },
		"http://a.example:80":          func(c *Config) { c.Domain = "a.example:80" },
		"http://a.example:99999":       func(c *Config) { c.Domain = "a.example:99999" },
		"http://u@a.example":           func(c *Config) { c.Domain = "u@a.example" },
		"http://a.example.":            func(c *Config) { c.Domain = "a.example." },
		"http://":                      func(c *Config) { c.Domain = "" },
		"https://a.example:0443":       func(c *Config) { c.Scheme, c.Domain = "https", "a.example:0443" },
		"http://[2001:DB8::1]":         func(c *Config) { c.Domain = "[2001:DB8::1]" },
		"http://[::1]:":                func(c *Config) { c.Domain = "[::1]:" },
		"http://*.example.com":         func(c *Config) { c.Domain = "*.example.com" },
		"http://a.example:8080:8080":   func(c *Config) { c.Domain = "a.example:8080:8080" },
		"http://a.example evil.com":    func(c *Config) { c.Domain = "a.example evil.com" },
		"http://a.example%2eevil.com":  func(c *Config) { c.Domain = "a.example%2eevil.com" },
		"http://-a.example":            func(c *Config) { c.Domain = "-a.example" },
		"http://a..example":            func(c *Config) { c.Domain = "a..example" },
		"http://b\u00fccher.example":   func(c *Config) { c.Domain = "b\u00fccher.example" },
		"http://app.example.com\nURI:": func(c *Config) { c.Domain = "app.example.com\nURI:" },
	} {
		c := good
		change(&c)
		if _, err := NewDesk(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestExpectationsCannotBeLeftOut(t *testing.T) {
	s := newSignin(t)
	for name, clear := range map[string]func(*Expect){
		"Scheme": func(e *Expect) { e.Scheme = "" }, "Domain": func(e *Expect) { e.Domain = "" }, "URI": func(e *Expect) { e.URI = "" },
		"Key":   func(e *Expect) { e.Key = PublicKey{} },
		"Chain": func(e *Expect) { e.Chain = 0 }, "Nonce": func(e *Expect) { e.Nonce = "" }, "RequestID": func(e *Expect) { e.RequestID = "" },
		"Account": func(e *Expect) { e.Account = [20]byte{} }, "Agent": func(e *Expect) { e.Agent = "" },
		"AgentCID": func(e *Expect) { e.AgentCID = cid.Undef }, "RulesCID": func(e *Expect) { e.RulesCID = cid.Undef },
		"Now": func(e *Expect) { e.Now = time.Time{} },
	} {
		want := s.want
		clear(&want)
		_, err := Verify(s.raw, s.sig, want)
		if f, ok := errors.AsType[*Fault](err); !ok || f.Code != CodeExpect || f.Field != name {
			t.Errorf("without %s: got %v, want %s", name, err, CodeExpect)
		}
	}
}

func TestEvidenceHasOneSignature(t *testing.T) {
	s := newSignin(t)
	other := bytes.Clone(s.sig)
	other[64] -= 27
	if _, err := Verify(s.raw, other, s.want); err != nil {
		t.Errorf("a wallet that writes v as 0 or 1 cannot sign in: %v", err)
	}
	if _, err := Reread(s.raw, other); code(err) != CodeSigV {
		t.Errorf("a record with v as 0 or 1: got %v, want %s", err, CodeSigV)
	}
}

// Any one bit of the message voids the signature, or the message.
func TestAnyChangedBitIsRefused(t *testing.T) {
	s := newSignin(t)
	for i := range s.raw {
		for _, bit := range []byte{1 << (i % 7)} {
			raw := bytes.Clone(s.raw)
			raw[i] ^= bit
			if _, err := Reread(raw, s.sig); err == nil {
				t.Fatalf("byte %d changed by %#x is accepted:\n%s", i, bit, raw)
			}
		}
	}
	for i := range s.sig {
		sig := bytes.Clone(s.sig)
		sig[i] ^= 1
		if _, err := Reread(s.raw, sig); err == nil {
			t.Fatalf("byte %d of the signature changed is accepted", i)
		}
	}
}
