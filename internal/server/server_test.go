package server

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/revocation"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

func TestWhoMayConnect(t *testing.T) {
	f := serve(t, Limits{}, nil)
	tests := []struct {
		rule   string
		path   string
		host   string
		header map[string]string
		want   int
	}{
		{"a program sends no origin", "/ws", "", nil, 101},
		{"a page of a listed origin", "/ws", "", map[string]string{"Origin": page}, 101},
		{"origins compare without case", "/ws", "", map[string]string{"Origin": "https://APP.example.com"}, 101},
		{"a page of another origin", "/ws", "", map[string]string{"Origin": "https://evil.example.com"}, 403},
		{"a listed name with another scheme", "/ws", "", map[string]string{"Origin": "http://app.example.com"}, 403},
		{"a listed name with a port", "/ws", "", map[string]string{"Origin": page + ":8443"}, 403},
		{"a page without an origin of its own", "/ws", "", map[string]string{"Origin": "null"}, 403},
		{"a listed app's shell", "/ws", "", map[string]string{"Origin": shell}, 101},
		{"another app's shell", "/ws", "", map[string]string{"Origin": "tauri://localhost"}, 403},
		{"a listed shell with a port", "/ws", "", map[string]string{"Origin": shell + ":1"}, 403},
		{"a listed shell as a web page", "/ws", "", map[string]string{"Origin": "https://shell.app"}, 403},
		{"the host of a listed shell as ours", "/ws", "shell.app", nil, 421},
		{"metrics under a name that is not ours", "/metrics", "evil.example.com", nil, 421},
		{"a name that is not ours (DNS rebinding)", "/ws", "evil.example.com", nil, 421},
		{"the gateway under a name that is not ours", "/ipfs/x", "evil.example.com", nil, 421},
		{"a token in the URL", "/ws?token=1", "", nil, 400},
		{"no subprotocol", "/ws", "", map[string]string{"Sec-WebSocket-Protocol": ""}, 400},
		{"another subprotocol", "/ws", "", map[string]string{"Sec-WebSocket-Protocol": "writ.v9.json"}, 400},
		{"another WebSocket version", "/ws", "", map[string]string{"Sec-WebSocket-Version": "8"}, 400},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			req, err := http.NewRequest("GET", "http://"+f.ln.Addr().String()+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range map[string]string{
				"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
				"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": wire.Subprotocol,
			} {
				req.Header.Set(k, v)
			}
			for k, v := range tt.header {
				req.Header.Set(k, v)
			}
			req.Host = tt.host
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tt.want {
				body, _ := io.ReadAll(resp.Body)
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, tt.want)
			}
		})
	}
}

// The page of an app's shell signs in as any other client does: what the wallet signs names the server, whose permission
// it is, and nowhere the shell, since any app on the same machine may call itself so.
func TestAnAppsShellSignsIn(t *testing.T) {
	f := serve(t, Limits{}, nil)
	r := f.connectWith(http.Header{"Origin": {shell}})
	w := wallet(5)
	message := r.challenge(w)
	m, err := auth.Parse([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	if m.Scheme != "https" || m.Domain != "app.example.com" || strings.Contains(message, "shell.app") {
		t.Errorf("the message does not name the server alone:\n%s", message)
	}
	a := r.act(wire.SessionOpen, signed(t, w, message))
	if a.Error != nil {
		t.Errorf("the shell's sign-in: %+v", a.Error)
	}
	req, err := http.NewRequest("OPTIONS", "http://"+f.ln.Addr().String()+wire.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", shell)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != shell {
		t.Errorf("CORS lets in %q, want %q", got, shell)
	}
}

func TestPages(t *testing.T) {
	f := serve(t, Limits{}, nil)
	for path, want := range map[string]string{
		"/":                  "wallet-signed",
		"/healthz":           "ok",
		"/readyz":            "ok",
		"/metrics":           "writ_sockets",
		"/ipfs/bafyx?a=b":    "gateway /ipfs/bafyx",
		"/nothing/of/a/kind": "404",
	} {
		resp, err := http.Get("http://" + f.ln.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(body), want) {
			t.Errorf("%s: got %.200s, want %q in it", path, body, want)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: no nosniff", path)
		}
	}
}

func TestABadConfigIsNamed(t *testing.T) {
	f := serve(t, Limits{}, nil)
	good := f.srv.cfg
	for field, spoil := range map[string]func(*Config){
		"API":     func(c *Config) { c.API = nil },
		"Gateway": func(c *Config) { c.Gateway = nil },
		"origin":  func(c *Config) { c.Origins = []string{"https://a.example/path"} },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, want an error that names it", field, err)
		}
	}
}

func TestBadFramesAreAnsweredAndTheSocketGoesOn(t *testing.T) {
	f := serve(t, Limits{Burst: 1000}, nil)
	r := f.connect()
	for frame, want := range map[string]wire.Code{
		`{`:                                     wire.CodeParse,
		`[]`:                                    wire.CodeBatch,
		"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\"}": wire.CodeParse,
		`{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}`:                                  wire.CodeParse,
		`{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}`:                             wire.CodeRequest,
		`{"jsonrpc":"2.0","method":"ping"}`:                                                wire.CodeRequest,
		`{"jsonrpc":"2.0","id":1,"method":"eth_accounts"}`:                                 wire.CodeMethod,
		`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1}}`:                        wire.CodeParams,
		`{"jsonrpc":"2.0","id":1,"method":"run.start","params":{}}`:                        wire.CodeNoSession,
		`{"jsonrpc":"2.0","id":1,"method":"run.list"}`:                                     wire.CodeNoSession,
		`{"jsonrpc":"2.0","id":1,"method":"session.open","params":{}}`:                     wire.CodeParams,
		`{"jsonrpc":"2.0","id":1,"method":"session.challenge","params":{"account":"bob"}}`: wire.CodeParams,
	} {
		if a := r.say(frame); a.code() != want {
			t.Errorf("%s: got %+v, want %s", frame, a.Error, want)
		}
	}
	if a := r.call(wire.Ping, wire.None{}); a.Error != nil || string(a.Result) != "{}" {
		t.Errorf("ping: got %s %+v", a.Result, a.Error)
	}
}

func TestFramesThatEndTheSocket(t *testing.T) {
	f := serve(t, Limits{}, nil)
	t.Run("binary", func(t *testing.T) {
		r := f.connect()
		if err := r.ws.WriteMessage(websocket.BinaryMessage, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if got := r.closed(); got != websocket.CloseUnsupportedData {
			t.Errorf("got %d, want 1003", got)
		}
	})
	t.Run("over 64 KiB without a session", func(t *testing.T) {
		r := f.connect()
		_ = r.ws.WriteMessage(websocket.TextMessage, []byte(long(wire.MaxFrameEarly+1)))
		if got := r.closed(); got != websocket.CloseMessageTooBig {
			t.Errorf("got %d, want 1009", got)
		}
	})
	t.Run("over 256 KiB with one", func(t *testing.T) {
		r := f.connect().signIn(wallet(1))
		if a := r.say(long(wire.MaxFrameEarly + 1)); a.code() != wire.CodeParse { // taken, and bad
			t.Errorf("got %+v, want %s", a.Error, wire.CodeParse)
		}
		_ = r.ws.WriteMessage(websocket.TextMessage, []byte(long(wire.MaxFrame+1)))
		if got := r.closed(); got != websocket.CloseMessageTooBig {
			t.Errorf("got %d, want 1009", got)
		}
	})
}

func TestSignedRequests(t *testing.T) {
	f := serve(t, Limits{Burst: 1000}, nil)
	p := wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}
	other := f.connect().signIn(wallet(2))
	tests := []struct {
		rule  string
		frame func(r *raw) string
		want  wire.Code
		why   string
	}{
		{"the next number is taken", func(r *raw) string {
			return request(wire.RunStart, p, r.sign(r.session, 2, wire.RunStart, p))
		}, "", ""},
		{"no signature", func(r *raw) string { return request(wire.RunStart, p, nil) }, wire.CodeUnsigned, ""},
		{"a replayed number", func(r *raw) string {
			return request(wire.RunStart, p, r.sign(r.session, 1, wire.RunStart, p))
		}, wire.CodeSeq, "frame.replayed"},
		{"a skipped number", func(r *raw) string {
			return request(wire.RunStart, p, r.sign(r.session, 3, wire.RunStart, p))
		}, wire.CodeSeq, "frame.skipped"},
		{"the number changed after signing", func(r *raw) string {
			a := r.sign(r.session, 7, wire.RunStart, p)
			a.Seq = 2
			return request(wire.RunStart, p, a)
		}, wire.CodeSignature, "sig.signer"},
		{"params changed after signing", func(r *raw) string {
			q := p
			q.Input = "send everything to mallory"
			return request(wire.RunStart, q, r.sign(r.session, 2, wire.RunStart, p))
		}, wire.CodeSignature, "sig.signer"},
		{"the spelling of params changed", func(r *raw) string {
			return strings.Replace(request(wire.RunStart, p, r.sign(r.session, 2, wire.RunStart, p)), `"input":`, `"input": `, 1)
		}, wire.CodeSignature, "sig.signer"},
		{"signed for another method", func(r *raw) string {
			return request(wire.RunStart, p, r.sign(r.session, 2, wire.RunCancel, p))
		}, wire.CodeSignature, "sig.signer"},
		{"signed for another session", func(r *raw) string {
			return request(wire.RunStart, p, r.sign(other.session, 2, wire.RunStart, p))
		}, wire.CodeSignature, "sig.signer"},
		{"another wallet's channel", func(r *raw) string {
			twin := *r
			twin.channel = other.channel
			return request(wire.RunStart, p, twin.sign(r.session, 2, wire.RunStart, p))
		}, wire.CodeSignature, "sig.signer"},
		{"a frame of another channel of the session", func(r *raw) string {
			twin := f.connect()
			twin.key, twin.session = r.key, r.session
			if a := twin.act(wire.SessionOpen, wire.OpenParams{Session: r.session.String()}); a.Error != nil {
				t.Fatal(a.Error)
			}
			return request(wire.RunStart, p, twin.sign(r.session, 2, wire.RunStart, p))
		}, wire.CodeSignature, "frame.channel"},
		{"a key of another kind", func(r *raw) string {
			twin := *r
			var err error
			if twin.key, err = auth.Generate(auth.P256, rand.Reader); err != nil {
				t.Fatal(err)
			}
			return request(wire.RunStart, p, twin.sign(r.session, 2, wire.RunStart, p))
		}, wire.CodeSignature, "sig.signer"},
		{"a signature of another length", func(r *raw) string {
			a := r.sign(r.session, 2, wire.RunStart, p)
			a.Sig = append(a.Sig, 0)
			return request(wire.RunStart, p, a)
		}, wire.CodeSignature, "sig.size"},
		{"another key", func(r *raw) string {
			return request(wire.RunStart, p, other.sign(r.session, 2, wire.RunStart, p))
		}, wire.CodeSignature, "sig.signer"},
		{"auth where none belongs", func(r *raw) string {
			return request(wire.RunList, wire.ListParams{}, r.sign(r.session, 2, wire.RunList, wire.ListParams{}))
		}, wire.CodeRequest, ""},
		{"another agent than the session's", func(r *raw) string {
			q := p
			q.Agent = "treasurer"
			return request(wire.RunStart, q, r.sign(r.session, 2, wire.RunStart, q))
		}, wire.CodeForbidden, ""},
		{"no idempotency key", func(r *raw) string {
			q := map[string]string{"agent": "reader", "input": "hi"}
			return request(wire.RunStart, q, r.sign(r.session, 2, wire.RunStart, q))
		}, wire.CodeParams, ""},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			r := f.connect().signIn(wallet(1))
			r.t = t
			a := r.say(tt.frame(r))
			if a.code() != tt.want {
				t.Fatalf("got %+v, want %s", a.Error, tt.want)
			}
			if tt.why != "" && a.Error.Data.Reason != tt.why {
				t.Errorf("got reason %q, want %q", a.Error.Data.Reason, tt.why)
			}
			if tt.want == wire.CodeSeq && a.Error.Data.Expected != 2 {
				t.Errorf("got expected %d, want 2", a.Error.Data.Expected)
			}
			// A refused frame does not spoil the channel: the right one is still taken.
			if tt.want == wire.CodeSignature || tt.want == wire.CodeSeq {
				if a := r.act(wire.RunStart, p); a.Error != nil {
					t.Errorf("afterwards: %+v", a.Error)
				}
			}
			r.ws.Close()
		})
	}
}

func TestSignIn(t *testing.T) {
	f := serve(t, Limits{Burst: 1000}, nil)
	w := wallet(1)
	t.Run("a message is good once", func(t *testing.T) {
		r := f.connect()
		p := signed(t, w, r.challenge(w))
		if a := r.act(wire.SessionOpen, p); a.Error != nil {
			t.Fatal(a.Error)
		}
		a := r.act(wire.SessionOpen, p)
		if a.code() != wire.CodeSignIn || a.Error.Data.Reason != string(auth.CodeNonceUsed) {
			t.Errorf("got %+v, want %s", a.Error, auth.CodeNonceUsed)
		}
	})
	t.Run("a relay without the session key gets nothing and spoils nothing", func(t *testing.T) {
		victim, thief := f.connect(), f.connect()
		p := signed(t, w, victim.challenge(w))
		if a := thief.act(wire.SessionOpen, p); a.code() != wire.CodeSignature {
			t.Errorf("with another key: got %+v, want %s", a.Error, wire.CodeSignature)
		}
		if a := thief.call(wire.SessionOpen, p); a.code() != wire.CodeUnsigned {
			t.Errorf("without a key: got %+v, want %s", a.Error, wire.CodeUnsigned)
		}
		if a := victim.act(wire.SessionOpen, p); a.Error != nil {
			t.Errorf("the victim: got %+v", a.Error)
		}
	})
	t.Run("a challenge is good on its own channel", func(t *testing.T) {
		one, two := f.connect(), f.connect()
		p := signed(t, w, one.challenge(w))
		two.key = one.key
		a := two.act(wire.SessionOpen, p)
		if a.code() != wire.CodeSignIn || a.Error.Data.Reason != string(auth.CodeNonceUsed) {
			t.Errorf("got %+v, want %s", a.Error, auth.CodeNonceUsed)
		}
	})
	t.Run("another wallet's signature", func(t *testing.T) {
		r := f.connect()
		a := r.act(wire.SessionOpen, signed(t, wallet(2), r.challenge(w)))
		if a.code() != wire.CodeSignIn || a.Error.Data.Reason != string(auth.CodeSigSigner) {
			t.Errorf("got %+v, want %s", a.Error, auth.CodeSigSigner)
		}
	})
	t.Run("an unknown agent", func(t *testing.T) {
		r := f.connect()
		a := r.call(wire.SessionAsk, wire.ChallengeParams{
			Account: w.Address().Hex(), Chain: 1337, Key: r.key.Public().String(), Agent: "nobody"})
		if a.code() != wire.CodeNotFound {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeNotFound)
		}
	})
	t.Run("a tool that the agent does not have", func(t *testing.T) {
		r := f.connect()
		a := r.call(wire.SessionAsk, wire.ChallengeParams{
			Account: w.Address().Hex(), Chain: 1337, Key: r.key.Public().String(), Agent: "reader", Tools: []string{"erc20.transfer"}})
		if a.code() != wire.CodeParams {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeParams)
		}
	})
	t.Run("limits that would not narrow, or would widen", func(t *testing.T) {
		r := f.connect()
		for limits, word := range map[string]string{
			`{"max_calls":0}`: "max_calls", `{"max_tokens":0}`: "max_tokens", `{"max_cost_nano":0}`: "max_cost_nano",
			`{"things":[]}`:     "things",
			`{"recipients":[]}`: "recipients", `{"hosts":[]}`: "hosts", `{"models":[ ]}`: "models", `{"chains":[]}`: "chains",
			`{"max_calls":11}`: "wider", `{"max_tokens":1001}`: "wider", `{"max_cost_nano":1000000001}`: "wider",
			`{"chains":[1]}`: "wider", `{"max_depth":1}`: "wider", `{"max_depth":0}`: "max_depth",
			`{"max_total":[{"asset":"USDC","decimals":6,"units":"1"}],"max_per_call":[{"asset":"USDC","decimals":6,"units":"1"}],` +
				`"approve_above":[{"asset":"USDC","decimals":6,"units":"1"}]}`: "wider",
		} {
			params := map[string]any{
				"account": w.Address().Hex(), "chain": 1337, "key": r.key.Public().String(), "agent": "reader",
				"limits": json.RawMessage(limits),
			}
			if a := r.call(wire.SessionAsk, params); a.Error == nil || !strings.Contains(a.Error.Message, word) {
				t.Errorf("%s: got %s %+v", limits, a.Result, a.Error)
			}
		}
		for _, name := range []string{"tools", "life"} {
			params := map[string]any{
				"account": w.Address().Hex(), "chain": 1337, "key": r.key.Public().String(), "agent": "reader",
				name: json.RawMessage(map[string]string{"tools": "[]", "life": "0"}[name]),
			}
			if a := r.call(wire.SessionAsk, params); a.code() != wire.CodeParams {
				t.Errorf("nothing in %s: got %s %+v", name, a.Result, a.Error)
			}
		}
	})
	t.Run("limits are in the message", func(t *testing.T) {
		r := f.connect()
		a := r.call(wire.SessionAsk, wire.ChallengeParams{
			Account: w.Address().Hex(), Chain: 1337, Key: r.key.Public().String(), Agent: "reader",
			Tools: []string{"chain.block"}, Limits: &wire.Limits{MaxCalls: 3}, Life: 600})
		if a.Error != nil || !strings.Contains(string(a.Result), "3 ") || strings.Contains(string(a.Result), "erc20.balance") {
			t.Errorf("got %s %+v", a.Result, a.Error)
		}
	})
	t.Run("a session is resumed on a new socket by its key only", func(t *testing.T) {
		r := f.connect().signIn(w)
		p := wire.OpenParams{Session: r.session.String()}
		again := f.connect()
		again.session = r.session
		if a := again.act(wire.SessionOpen, p); a.code() != wire.CodeSignature {
			t.Errorf("with another key: got %+v", a.Error)
		}
		again.key, again.seq = r.key, 0
		if a := again.act(wire.SessionOpen, p); a.Error != nil {
			t.Errorf("with the key: got %+v", a.Error)
		}
		if a := again.act(wire.RunStart, wire.StartParams{Agent: "reader", Input: "x", Key: "key-resume"}); a.Error != nil {
			t.Errorf("afterwards: got %+v", a.Error)
		}
	})
	t.Run("an unknown session", func(t *testing.T) {
		r := f.connect()
		if a := r.act(wire.SessionOpen, wire.OpenParams{Session: link("x").String()}); a.code() != wire.CodeNotFound {
			t.Errorf("got %+v", a.Error)
		}
	})
	t.Run("a socket belongs to one wallet", func(t *testing.T) {
		r := f.connect().signIn(w)
		p := signed(t, wallet(2), r.challenge(wallet(2)))
		r.session = cid.Undef
		if a := r.act(wire.SessionOpen, p); a.code() != wire.CodeForbidden {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeForbidden)
		}
	})
	t.Run("a renewal changes nothing that was signed", func(t *testing.T) {
		r := f.connect().signIn(w)
		before, _ := f.Session(t.Context(), r.session)
		a := r.act(wire.SessionRenew, wire.None{})
		var s wire.Session
		if err := json.Unmarshal(a.Result, &s); err != nil || a.Error != nil {
			t.Fatal(err, a.Error)
		}
		if s.ID != r.session.String() || s.Expires != before.Expires || s.Idle > s.Expires || s.Idle < before.Used {
			t.Errorf("got %+v, want the same session until %d", s, before.Expires)
		}
		r.start("key-renewed")
		if a := r.act(wire.SessionRenew, map[string]int{"life": 86400}); a.code() != wire.CodeParams {
			t.Errorf("a renewal that asks for a longer life: got %+v", a.Error)
		}
	})
}

func TestRevoke(t *testing.T) {
	f := serve(t, Limits{Burst: 1000}, nil)
	w := wallet(1)
	wantOver := func(t *testing.T, r *raw) {
		t.Helper()
		if got := r.closed(); got != wire.CloseRevoked {
			t.Errorf("got close code %d, want %d", got, wire.CloseRevoked)
		}
		if n := len(r.notes); n == 0 || r.notes[n-1].Method != wire.NoteRevoked {
			t.Errorf("got %+v, want the notification before the close", r.notes)
		}
	}
	t.Run("by the session's key, felt on every socket", func(t *testing.T) {
		r := f.connect().signIn(w)
		second := f.connect()
		second.key, second.session = r.key, r.session
		if a := second.act(wire.SessionOpen, wire.OpenParams{Session: r.session.String()}); a.Error != nil {
			t.Fatal(a.Error)
		}
		r.seq++
		r.write(request(wire.SessionRevoke, wire.RevokeParams{Session: r.session.String()},
			r.sign(r.session, r.seq, wire.SessionRevoke, wire.RevokeParams{Session: r.session.String()})))
		wantOver(t, r)
		wantOver(t, second)
		third := f.connect()
		third.key, third.session = r.key, r.session
		if a := third.act(wire.SessionOpen, wire.OpenParams{Session: r.session.String()}); a.code() != wire.CodeRevoked {
			t.Errorf("resumed after: got %+v, want %s", a.Error, wire.CodeRevoked)
		}
	})
	t.Run("by the session's key, which is told so before the socket closes", func(t *testing.T) {
		for range 20 {
			r := f.connect().signIn(w)
			if a := r.act(wire.SessionRevoke, wire.RevokeParams{Session: r.session.String()}); a.Error != nil {
				t.Fatalf("got %+v, want the answer", a.Error)
			}
			wantOver(t, r)
		}
	})
	t.Run("the answer comes first even if the end shows before it", func(t *testing.T) {
		inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
			f.lag = 5 * time.Second // the sessions of all sockets are read each second
			r := f.connect().signIn(w)
			second := f.connect()
			second.key, second.session = r.key, r.session
			if a := second.act(wire.SessionOpen, wire.OpenParams{Session: r.session.String()}); a.Error != nil {
				t.Fatal(a.Error)
			}
			began := time.Now()
			if a := r.act(wire.SessionRevoke, wire.RevokeParams{Session: r.session.String()}); a.Error != nil {
				t.Fatalf("got %+v, want the answer", a.Error)
			}
			wantOver(t, r)
			if took := time.Since(began); took != f.lag {
				t.Errorf("it took %v, want %v", took, f.lag)
			}
			wantOver(t, second)
		})
	})
	t.Run("by the wallet, without any session", func(t *testing.T) {
		r := f.connect().signIn(w)
		s, _ := f.Session(t.Context(), r.session)
		g, err := auth.Reread(s.Message, s.Sig)
		if err != nil {
			t.Fatal(err)
		}
		rev := auth.Revocation{
			Chain: g.Chain, Salt: auth.Salt(g.Scheme, g.Domain), Account: g.Account, Session: r.session,
			Reason: "lost laptop", IssuedAt: time.Now().UTC().Truncate(time.Second),
		}
		message, err := rev.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		text, err := auth.RevocationText(r.session, "lost laptop", rev.IssuedAt)
		if err != nil {
			t.Fatal(err)
		}
		another, err := auth.RevocationText(link("another session"), "", rev.IssuedAt)
		if err != nil {
			t.Fatal(err)
		}
		sign := func(sig []byte, err error) string {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return "0x" + hex.EncodeToString(sig)
		}
		op := sign(revocation.Sign(operator, text), nil)
		stranger := f.connect()
		for _, tt := range []struct {
			who string
			p   wire.RevokeParams
			ok  bool
		}{
			{"another wallet", wire.RevokeParams{Message: string(message), Signature: sign(wallet(2).SignTyped(rev))}, false},
			{"another wallet's text", wire.RevokeParams{Message: string(text), Signature: sign(wallet(2).SignText(text))}, false},
			{"a text for another session", wire.RevokeParams{Message: string(another), Signature: sign(w.SignText(another))}, false},
			{"a text in other words", wire.RevokeParams{Message: string(text) + " ", Signature: sign(w.SignText(append(text, ' ')))}, false},
			{"the operator's signature as the wallet's", wire.RevokeParams{Message: string(text), Signature: op}, false},
			{"the wallet's signature as the operator's", wire.RevokeParams{Message: string(text), Signature: sign(w.SignText(text)), Operator: true}, false},
			{"another operator", wire.RevokeParams{
				Message: string(text), Operator: true,
				Signature: sign(revocation.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), text), nil),
			}, false},
			{"the wallet", wire.RevokeParams{Message: string(message), Signature: sign(w.SignTyped(rev))}, true},
			{"the wallet, once more", wire.RevokeParams{Message: string(message), Signature: sign(w.SignTyped(rev))}, true},
			{"the wallet, by a text that it reads", wire.RevokeParams{Message: string(text), Signature: sign(w.SignText(text))}, true},
			{"the operator", wire.RevokeParams{Message: string(text), Signature: op, Operator: true}, true},
		} {
			tt.p.Session = r.session.String()
			a := stranger.call(wire.SessionRevoke, tt.p)
			s, _ := f.Session(t.Context(), r.session)
			if (a.Error == nil) != tt.ok || !tt.ok && (a.code() != wire.CodeSignature || s.Revoked != 0) {
				t.Errorf("%s: got %+v, revoked %d", tt.who, a.Error, s.Revoked)
			}
		}
		wantOver(t, r)
	})
	t.Run("not another wallet's", func(t *testing.T) {
		r, other := f.connect().signIn(w), f.connect().signIn(wallet(2))
		if a := other.act(wire.SessionRevoke, wire.RevokeParams{Session: r.session.String()}); a.code() != wire.CodeNotFound {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeNotFound)
		}
	})
	t.Run("not by nobody", func(t *testing.T) {
		r, nobody := f.connect().signIn(w), f.connect()
		if a := nobody.call(wire.SessionRevoke, wire.RevokeParams{Session: r.session.String()}); a.code() != wire.CodeUnsigned {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeUnsigned)
		}
	})
	t.Run("elsewhere, felt by the next signed call", func(t *testing.T) {
		r := f.connect().signIn(w)
		f.end(r.session)
		p := wire.StartParams{Agent: "reader", Input: "hi", Key: "key-after-revoke"}
		r.seq++
		r.write(request(wire.RunStart, p, r.sign(r.session, r.seq, wire.RunStart, p)))
		wantOver(t, r)
		if _, err := f.Run(t.Context(), link("run key-after-revoke")); err == nil {
			t.Error("the run was started")
		}
	})
}

func TestARunIsItsWalletsOwn(t *testing.T) {
	f := serve(t, Limits{}, nil)
	owner, other := f.connect().signIn(wallet(1)), f.connect().signIn(wallet(2))
	run := owner.start("key-00001").String()
	p := wire.RunParams{Run: run}
	for _, a := range []reply{
		other.call(wire.RunGet, p),
		other.call(wire.RunSubscribe, wire.SubscribeParams{Run: run}),
		other.act(wire.RunCancel, p),
		other.act(wire.ApprovalDecide, wire.DecideParams{Run: run, Key: "key-00002"}),
	} {
		if a.code() != wire.CodeNotFound {
			t.Errorf("got %s %+v, want %s", a.Result, a.Error, wire.CodeNotFound)
		}
	}
	if a := other.call(wire.ProvenanceFetch, wire.ProvenanceParams{Run: run, Keys: true}); a.code() != wire.CodeForbidden {
		t.Errorf("keys: got %s %+v, want %s", a.Result, a.Error, wire.CodeForbidden)
	}
	if a := f.connect().call(wire.ProvenanceFetch, wire.ProvenanceParams{Run: run}); a.Error != nil || strings.Contains(string(a.Result), "keys") {
		t.Errorf("the record's place is public: got %s %+v", a.Result, a.Error)
	}
	if a := owner.call(wire.ProvenanceFetch, wire.ProvenanceParams{Run: run, Keys: true}); !strings.Contains(string(a.Result), link("leaf").String()) {
		t.Errorf("the owner's keys: got %s %+v", a.Result, a.Error)
	}
	if f.watching() != 0 {
		t.Errorf("got %d watches left, want 0", f.watching())
	}
	if a := owner.call(wire.RunGet, p); !strings.Contains(string(a.Result), `"steps":1`) {
		t.Errorf("the owner: got %s %+v", a.Result, a.Error)
	}
}

func TestApprovals(t *testing.T) {
	f := serve(t, Limits{}, nil)
	r := f.connect().signIn(wallet(1))
	run := r.start("key-00001")

	f.pending = []runner.PendingApproval{{
		Run: run, Effect: provenance.Ref{Seq: 2, Index: 1}, Step: link("step"), Summary: json.RawMessage(`{"text":"a < b"}`), Until: 99,
		Approval: auth.Approval{
			Chain: 1337, Salt: auth.Salt("https", "app.example.com"), Account: wallet(1).Address(), Session: r.session, Run: run,
			Step: link("step"), Effect: 1, Tool: "erc20.transfer", Summary: "5 USDC to bob", Nonce: [32]byte{1},
			NotAfter: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
		},
	}}
	a := r.call(wire.ApprovalList, wire.None{})
	var list wire.Approvals
	if err := json.Unmarshal(a.Result, &list); err != nil || a.Error != nil || len(list.Approvals) != 1 {
		t.Fatalf("got %s %+v %v", a.Result, a.Error, err)
	}
	ap := list.Approvals[0]
	if _, err := auth.ParseApproval([]byte(ap.Message)); err != nil {
		t.Errorf("the message is not canonical: %v", err)
	}
	if a := r.act(wire.ApprovalDecide, wire.DecideParams{Run: ap.Run, Effect: ap.Effect, Approve: true, Key: "key-00002"}); a.code() != wire.CodeParams {
		t.Errorf("an approval without a signature: got %+v", a.Error)
	}
	sig, err := wallet(1).SignTyped(f.pending[0].Approval)
	if err != nil {
		t.Fatal(err)
	}
	p := wire.DecideParams{
		Run: ap.Run, Effect: ap.Effect, Approve: true, Message: ap.Message, Signature: "0x" + hex.EncodeToString(sig), Key: "key-00003",
	}
	if a := r.act(wire.ApprovalDecide, p); a.Error != nil {
		t.Errorf("got %+v", a.Error)
	}
	if len(f.decided) != 1 || string(f.decided[0].Message) != ap.Message || !bytes.Equal(f.decided[0].Sig, sig) || f.decided[0].Effect.Seq != 2 {
		t.Errorf("got %+v", f.decided)
	}
}

func TestLists(t *testing.T) {
	f := serve(t, Limits{}, nil)
	r := f.connect().signIn(wallet(1))
	r.start("key-00001")
	for method, want := range map[string]string{
		wire.AgentList: `"reader"`, wire.SessionList: r.session.String(), wire.RunList: `"running"`, wire.ApprovalList: `[]`,
		wire.Discover: `"openrpc": "1.3.2"`,
	} {
		if a := r.call(method, wire.None{}); a.Error != nil || !strings.Contains(string(a.Result), strings.ReplaceAll(want, ": ", ":")) {
			t.Errorf("%s: got %.300s %+v, want %s", method, a.Result, a.Error, want)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Run("rate", func(t *testing.T) {
		f := serve(t, Limits{Rate: 0.001, Burst: 3}, nil)
		r := f.connect() // one token
		r.call(wire.Ping, wire.None{})
		r.call(wire.Ping, wire.None{})
		a := r.call(wire.Ping, wire.None{})
		if a.code() != wire.CodeRate || a.Error.Number != -32005 || a.Error.Data.RetryAfterMS < 1 || !a.Error.Data.Retryable {
			t.Errorf("got %+v, want %s with a time", a.Error, wire.CodeRate)
		}
		for range 101 {
			r.write(request(wire.Ping, wire.None{}, nil))
		}
		if got := r.closed(); got != wire.CloseRate {
			t.Errorf("who goes on is closed: got %d, want %d", got, wire.CloseRate)
		}
	})
	t.Run("asking for a message to sign costs ten requests", func(t *testing.T) {
		f := serve(t, Limits{Rate: 0.001, Burst: 25}, nil)
		r := f.connect() // one token
		w := wallet(1)
		r.challenge(w)
		r.challenge(w)
		if a := r.call(wire.SessionAsk, wire.ChallengeParams{}); a.code() != wire.CodeRate {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeRate)
		}
		if a := r.call(wire.Ping, wire.None{}); a.Error != nil {
			t.Errorf("a ping costs one: %+v", a.Error)
		}
	})
	t.Run("a run costs five requests, whoever pays for them", func(t *testing.T) {
		f := serve(t, Limits{Rate: 0.001, Burst: 26}, nil)
		r := f.connect().signIn(wallet(1)) // whose bucket has 25 left
		for i := range 5 {
			r.start(fmt.Sprintf("key-%05d", i))
		}
		if a := r.call(wire.Ping, wire.None{}); a.code() != wire.CodeRate {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeRate)
		}
	})
	t.Run("sockets of an address", func(t *testing.T) {
		f := serve(t, Limits{PerAddress: 2}, nil)
		f.connect()
		f.connect().signIn(wallet(1)) // does not count any more
		f.connect()
		d := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}}
		if _, resp, err := d.Dial(f.url(), nil); err == nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
			t.Errorf("got %v %v, want 429 with Retry-After", err, resp)
		}
	})
	t.Run("sockets of a wallet", func(t *testing.T) {
		f := serve(t, Limits{PerWallet: 1}, nil)
		f.connect().signIn(wallet(1))
		r := f.connect()
		if a := r.act(wire.SessionOpen, signed(t, wallet(1), r.challenge(wallet(1)))); a.code() != wire.CodeTooMany {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeTooMany)
		}
	})
	t.Run("calls under way", func(t *testing.T) {
		f := serveWithin(t, Limits{}, api.Limits{Calls: 2}, nil)
		f.block = make(chan struct{})
		r := f.connect().signIn(wallet(1))
		for i := range 2 {
			p := wire.StartParams{Agent: "reader", Input: "hi", Key: fmt.Sprintf("key-%05d", i)}
			r.seq++
			r.write(request(wire.RunStart, p, r.sign(r.session, r.seq, wire.RunStart, p)))
		}
		if a := r.call(wire.RunList, wire.None{}); a.code() != wire.CodeTooMany {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeTooMany)
		}
		close(f.block)
		for range 2 {
			if a := r.answer(); a.Error != nil {
				t.Errorf("got %+v", a.Error)
			}
		}
	})
	t.Run("subscriptions", func(t *testing.T) {
		f := serveWithin(t, Limits{}, api.Limits{Subscriptions: 1}, nil)
		r := f.connect().signIn(wallet(1))
		run := r.start("key-00001").String()
		a := r.call(wire.RunSubscribe, wire.SubscribeParams{Run: run})
		var sub wire.Subscription
		if err := json.Unmarshal(a.Result, &sub); err != nil || a.Error != nil {
			t.Fatal(err, a.Error)
		}
		if a := r.call(wire.RunSubscribe, wire.SubscribeParams{Run: run}); a.code() != wire.CodeTooMany {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeTooMany)
		}
		if a := r.call(wire.RunUnsubscribe, wire.UnsubscribeParams{Sub: sub.Sub}); a.Error != nil {
			t.Errorf("got %+v", a.Error)
		}
		if a := r.call(wire.RunSubscribe, wire.SubscribeParams{Run: run}); a.Error != nil {
			t.Errorf("after one was ended: got %+v", a.Error)
		}
	})
}

func TestNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1234":              "192.0.2.7",
		"[::ffff:192.0.2.7]:1":        "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1":    "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1%e0]:1": "2001:db8:1:2::/64",
		"pipe":                        "invalid IP",
	} {
		if got := networkOf(Proxies{}.clientOf(&http.Request{RemoteAddr: remote})); got != want {
			t.Errorf("%s: got %s, want %s", remote, got, want)
		}
	}
}

func TestConnectingAnewBuysNoTokens(t *testing.T) {
	s := &Server{peers: map[string]*peer{}}
	s.cfg.Limits = Limits{Rate: 1e-9, Burst: 3}
	for range 3 {
		p, _ := s.countSocket("ip/a", 10)
		if p == nil {
			t.Fatal("refused within the burst")
		}
		s.uncountSocket(p)
		s.forgetPeers(time.Now())
	}
	if p, wait := s.countSocket("ip/a", 10); p != nil || wait <= 0 {
		t.Errorf("got %v, %v; want a refusal with a time", p, wait)
	}
	if p, _ := s.countSocket("ip/b", 10); p == nil {
		t.Error("another address was refused")
	}
}

func TestAPanicIsOneCallsOwn(t *testing.T) {
	f := serve(t, Limits{}, nil)
	r := f.connect().signIn(wallet(1))
	f.boom = true
	if a := r.call(wire.ApprovalList, wire.None{}); a.code() != wire.CodeInternal {
		t.Errorf("got %+v, want %s", a.Error, wire.CodeInternal)
	}
	if a := r.call(wire.Ping, wire.None{}); a.Error != nil {
		t.Errorf("afterwards: %+v", a.Error)
	}
	other := f.connect()
	if a := other.act(wire.SessionOpen, signed(t, wallet(2), other.challenge(wallet(2)))); a.code() != wire.CodeInternal {
		t.Errorf("in the reader: got %+v, want %s", a.Error, wire.CodeInternal)
	}
}
