package server

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// A poster posts its requests. What it signs with is a raw's.
type poster struct {
	*raw
	f      *fixture
	origin string
}

func (f *fixture) poster() *poster {
	key, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	return &poster{raw: &raw{t: f.t, key: key}, f: f}
}

// send posts a body. Each header replaces the usual one; empty ones are left out.
func (p *poster) send(method, body string, header map[string]string) (*http.Response, string) {
	p.t.Helper()
	req, err := http.NewRequest(method, "http://"+p.f.ln.Addr().String()+wire.Path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if p.hello.Channel != "" {
		req.Header.Set(wire.Channel, p.hello.Channel)
	}
	if p.origin != "" {
		req.Header.Set("Origin", p.origin)
	}
	for k, v := range header {
		switch {
		case k == "Host":
			req.Host = v
		case k == "Query":
			req.URL.RawQuery = v
		case v == "":
			req.Header.Del(k)
		default:
			req.Header.Set(k, v)
		}
	}
	client := http.DefaultClient
	if p.f.dial != nil {
		client = &http.Client{Transport: &http.Transport{DialContext: p.f.dial, DisableKeepAlives: true}}
	}
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp, string(got)
}

func (p *poster) say(body string) reply {
	p.t.Helper()
	_, got := p.send(http.MethodPost, body, nil)
	var out reply
	if err := json.Unmarshal([]byte(got), &out); err != nil {
		p.t.Fatalf("not JSON: %q", got)
	}
	return out
}

func (p *poster) call(method string, params any) reply {
	p.t.Helper()
	return p.say(request(method, params, nil))
}

func (p *poster) act(method string, params any) reply {
	p.t.Helper()
	p.seq++
	return p.say(request(method, params, p.sign(p.session, p.seq, method, params)))
}

// read asks what needs a session: over a socket that is enough, without one it is signed.
func (p *poster) read(method string, params any) reply {
	p.t.Helper()
	if p.session == cid.Undef {
		return p.call(method, params)
	}
	return p.act(method, params)
}

func (r *raw) read(method string, params any) reply { return r.call(method, params) }

func (r *raw) state() *raw { return r }

// greet opens a channel.
func (p *poster) greet() *poster {
	p.t.Helper()
	a := p.call(wire.Greet, wire.None{})
	if err := json.Unmarshal(a.Result, &p.hello); err != nil || a.Error != nil {
		p.t.Fatalf("hello: %v %+v", err, a.Error)
	}
	id, err := hex.DecodeString(p.hello.Channel)
	if err != nil || copy(p.channel[:], id) != 32 {
		p.t.Fatalf("hello names the channel %q", p.hello.Channel)
	}
	return p
}

func (p *poster) message(w *auth.Wallet) string {
	p.t.Helper()
	a := p.call(wire.SessionAsk, p.wants(w))
	var ch wire.Challenge
	if err := json.Unmarshal(a.Result, &ch); err != nil || a.Error != nil {
		p.t.Fatalf("challenge: %v %+v", err, a.Error)
	}
	return ch.Message
}

func (r *raw) wants(w *auth.Wallet) wire.ChallengeParams {
	return wire.ChallengeParams{Account: w.Address().Hex(), Chain: 1337, Key: r.key.Public().String(), Agent: "reader"}
}

func (p *poster) enter(w *auth.Wallet) *poster {
	p.t.Helper()
	a := p.act(wire.SessionOpen, signed(p.t, w, p.message(w)))
	var s wire.Session
	if err := json.Unmarshal(a.Result, &s); err != nil || a.Error != nil {
		p.t.Fatalf("open: %v %+v", err, a.Error)
	}
	p.session = cid.MustParse(s.ID)
	return p
}

// An end is a client of either transport.
type end interface {
	call(method string, params any) reply // not signed
	act(method string, params any) reply  // signed
	read(method string, params any) reply // signed where the transport asks for it
	say(body string) reply
	state() *raw
}

// plain rewrites what differs from run to run.
func plain(e end, raw json.RawMessage) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "not JSON: " + string(raw)
	}
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				switch k {
				case "message", "nonce", "request_id", "expires", "opened", "idle", "used", "key", "typed", "revoked", "revocation":
					v[k] = "any"
				default:
					v[k] = walk(v[k])
				}
			}
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case string:
			v = strings.ReplaceAll(v, e.state().hello.Channel, "the channel")
			if s := e.state().session; s.Defined() {
				v = strings.ReplaceAll(v, s.String(), "the session")
			}
			return v
		}
		return v
	}
	out, err := json.Marshal(walk(v))
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// A question is one row of the table that is run over both transports.
type question struct {
	rule, method string
	ask          func(f *fixture, e end) reply
	posted       wire.Code // what it is refused with when it is posted; "" if there is no difference
}

// questions are asked in this order, of a server that nobody has asked before. Each method is among them.
func questions(t *testing.T) []question {
	w := wallet(1)
	var message string
	run := wire.RunParams{Run: link("run key-00001").String()}
	start := wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}
	rename := wire.RenameParams{Agent: "reader", Name: "plans", To: "payments"}
	decide := wire.DecideParams{Run: run.Run, Effect: wire.Ref{Seq: 2}, Key: "key-00003", Reason: "no"}
	calls := func(method string, params any) func(*fixture, end) reply {
		return func(_ *fixture, e end) reply { return e.call(method, params) }
	}
	acts := func(method string, params any) func(*fixture, end) reply {
		return func(_ *fixture, e end) reply { return e.act(method, params) }
	}
	reads := func(method string, params any) func(*fixture, end) reply {
		return func(_ *fixture, e end) reply { return e.read(method, params) }
	}
	tampered := func(seq func(uint64) uint64, tamper func(*wire.Auth)) func(*fixture, end) reply {
		return func(_ *fixture, e end) reply {
			r := e.state()
			a := r.sign(r.session, seq(r.seq), wire.RunStart, start)
			tamper(a)
			return e.say(request(wire.RunStart, start, a))
		}
	}
	next := func(n uint64) uint64 { return n + 1 }
	as := func(*wire.Auth) {}
	return []question{
		{"hello", wire.Greet, calls(wire.Greet, wire.None{}), ""},
		{"a sign of life", wire.Ping, calls(wire.Ping, wire.None{}), ""},
		{"an unknown key in params", wire.Ping, calls(wire.Ping, map[string]int{"x": 1}), ""},
		{"the protocol", wire.Discover, calls(wire.Discover, wire.None{}), ""},
		{"the agents", wire.AgentList, calls(wire.AgentList, wire.None{}), ""},
		{"no such method", "", calls("eth_accounts", wire.None{}), ""},
		{"not JSON", "", func(_ *fixture, e end) reply { return e.say(`{"jsonrpc"`) }, ""},
		{"a batch", "", func(_ *fixture, e end) reply { return e.say(`[]`) }, ""},
		{"an unknown key in the envelope", "", func(_ *fixture, e end) reply {
			a := e.say(`{"jsonrpc":"2.0","id":1,"method":"ping","token":"x"}`)
			if string(a.ID) != "1" {
				t.Errorf("an unknown key is answered with the id %s, want 1", a.ID)
			}
			return a
		}, ""},
		{"no session yet, to read", wire.RunList, reads(wire.RunList, wire.ListParams{}), ""},
		{"no session yet, to act", wire.RunStart, acts(wire.RunStart, start), ""},
		{"a challenge for nobody's agent", wire.SessionAsk, calls(wire.SessionAsk, wire.ChallengeParams{
			Account: w.Address().Hex(), Chain: 1337, Key: "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", Agent: "x",
		}), ""},
		{"a challenge", wire.SessionAsk, func(_ *fixture, e end) reply {
			e.state().seq = 0 // nothing was taken so far
			a := e.call(wire.SessionAsk, e.state().wants(w))
			var ch wire.Challenge
			if err := json.Unmarshal(a.Result, &ch); err != nil {
				t.Error(err)
			}
			message = ch.Message
			return a
		}, ""},
		{"a session by another wallet's signature", wire.SessionOpen, func(_ *fixture, e end) reply {
			return e.act(wire.SessionOpen, wire.OpenParams{Message: message, Signature: signed(t, wallet(2), message).Signature})
		}, ""},
		{"a challenge is gone with a wrong signature", wire.SessionOpen, func(_ *fixture, e end) reply {
			return e.act(wire.SessionOpen, signed(t, w, message))
		}, ""},
		{"a session", wire.SessionOpen, func(_ *fixture, e end) reply {
			a := e.call(wire.SessionAsk, e.state().wants(w))
			var ch wire.Challenge
			if err := json.Unmarshal(a.Result, &ch); err != nil {
				t.Error(err)
			}
			a = e.act(wire.SessionOpen, signed(t, w, ch.Message))
			var s wire.Session
			if err := json.Unmarshal(a.Result, &s); err != nil {
				t.Error(err)
			}
			e.state().session = cid.MustParse(s.ID)
			return a
		}, ""},
		{"it is there", wire.SessionList, reads(wire.SessionList, wire.None{}), ""},
		{"it is kept", wire.SessionRenew, acts(wire.SessionRenew, wire.None{}), ""},
		{"it is taken up", wire.SessionOpen, func(_ *fixture, e end) reply {
			return e.act(wire.SessionOpen, wire.OpenParams{Session: e.state().session.String()})
		}, ""},
		{"a run", wire.RunStart, acts(wire.RunStart, start), ""},
		{"the same run", wire.RunStart, acts(wire.RunStart, start), ""},
		{"a run that is not signed", wire.RunStart, calls(wire.RunStart, start), ""},
		{"a run that was signed before", wire.RunStart, tampered(func(n uint64) uint64 { return n }, as), ""},
		{"a run that is signed too early", wire.RunStart, tampered(func(n uint64) uint64 { return n + 2 }, as), ""},
		{"a run that is signed wrongly", wire.RunStart, tampered(next, func(a *wire.Auth) { a.Sig[0] ^= 1 }), ""},
		{"a signature of another kind", wire.RunStart, tampered(next, func(a *wire.Auth) { a.Sig = append(a.Sig, 0) }), ""},
		{"a run of another agent", wire.RunStart, acts(wire.RunStart, wire.StartParams{Agent: "x", Input: "x", Key: "key-00009"}), ""},
		{"a run without a key", wire.RunStart, acts(wire.RunStart, map[string]string{"agent": "reader", "input": "x"}), ""},
		{"its state", wire.RunGet, reads(wire.RunGet, run), ""},
		{"nobody's run", wire.RunGet, reads(wire.RunGet, wire.RunParams{Run: link("nothing").String()}), ""},
		{"all runs", wire.RunList, reads(wire.RunList, wire.ListParams{}), ""},
		{"its events", wire.RunSubscribe, reads(wire.RunSubscribe, wire.SubscribeParams{Run: run.Run}), wire.CodeMethod},
		{"how far they were read", wire.RunAck, reads(wire.RunAck, wire.AckParams{Sub: "s1"}), ""},
		{"no more events", wire.RunUnsubscribe, reads(wire.RunUnsubscribe, wire.UnsubscribeParams{Sub: "s1"}), ""},
		{"the threads", wire.ThreadList, reads(wire.ThreadList, wire.ThreadsParams{}), ""},
		{"the next of them", wire.ThreadList, reads(wire.ThreadList, wire.ThreadsParams{Cursor: run.Run}), ""},
		{"threads after nobody's run", wire.ThreadList, reads(wire.ThreadList, wire.ThreadsParams{Cursor: link("nothing").String()}), ""},
		{"a thread", wire.ThreadGet, reads(wire.ThreadGet, wire.ThreadParams{Agent: "reader", Name: "plans"}), ""},
		{"nobody's thread", wire.ThreadGet, reads(wire.ThreadGet, wire.ThreadParams{Agent: "reader", Name: "x"}), ""},
		{"another name for a thread, not signed", wire.ThreadRename, calls(wire.ThreadRename, rename), ""},
		{"another name for a thread", wire.ThreadRename, acts(wire.ThreadRename, rename), ""},
		{"a thread is forgotten", wire.ThreadDelete, acts(wire.ThreadDelete, wire.ForgetParams{Agent: "reader", Name: "plans"}), ""},
		{"nobody's thread is forgotten", wire.ThreadDelete, acts(wire.ThreadDelete, wire.ForgetParams{Agent: "reader", Name: "x"}), ""},
		{"nothing waits", wire.ApprovalList, reads(wire.ApprovalList, wire.None{}), ""},
		{"something waits", wire.ApprovalList, func(f *fixture, e end) reply {
			f.pending = []runner.PendingApproval{{
				Run: cid.MustParse(run.Run), Effect: provenance.Ref{Seq: 2}, Step: link("step"), Summary: json.RawMessage(`{}`),
				Approval: auth.Approval{
					Chain: 1337, Salt: auth.Salt("https", "app.example.com"), Account: w.Address(), Session: e.state().session,
					Run: cid.MustParse(run.Run), Step: link("step"), Tool: "erc20.transfer", Summary: "5 USDC to bob", Nonce: [32]byte{1},
					NotAfter: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
				},
			}}
			return e.read(wire.ApprovalList, wire.None{})
		}, ""},
		{"it is refused", wire.ApprovalDecide, acts(wire.ApprovalDecide, decide), ""},
		{"it is approved without a signature", wire.ApprovalDecide, acts(wire.ApprovalDecide, wire.DecideParams{
			Run: run.Run, Effect: wire.Ref{Seq: 2}, Key: "key-00004", Approve: true,
		}), ""},
		{"it is approved by what was signed for another call", wire.ApprovalDecide, func(f *fixture, e end) reply {
			f.refuse = fmt.Errorf("decide: %w", approval.ErrOther)
			return wantCode(t, wire.CodeApproval, e.act(wire.ApprovalDecide, decide))
		}, ""},
		{"it is approved too late", wire.ApprovalDecide, func(f *fixture, e end) reply {
			f.refuse = fmt.Errorf("run x has ended: %w", journal.ErrNotFound)
			return wantCode(t, wire.CodeLate, e.act(wire.ApprovalDecide, decide))
		}, ""},
		{"nothing waits for the wallet to send", wire.WalletList, reads(wire.WalletList, wire.None{}), ""},
		{"what nobody asked the wallet to send", wire.WalletSent, acts(wire.WalletSent, wire.SentParams{
			Run: run.Run, Effect: wire.Ref{Seq: 2}, Hash: "0x" + strings.Repeat("ab", 32), Key: "key-00007",
		}), ""},
		{"costs, which this server does not add up", wire.UsageGet, reads(wire.UsageGet, wire.UsageParams{}), ""},
		{"where the record is", wire.ProvenanceFetch, calls(wire.ProvenanceFetch, wire.ProvenanceParams{Run: run.Run}), ""},
		{"its keys", wire.ProvenanceFetch, reads(wire.ProvenanceFetch, wire.ProvenanceParams{Run: run.Run, Keys: true}), ""},
		{"what came of a call of the caller's own", wire.ToolSent, acts(wire.ToolSent, wire.ReportParams{
			Run: run.Run, Effect: wire.Ref{Seq: 2}, Output: "9",
		}), ""},
		{"more for the run", wire.RunSend, acts(wire.RunSend, wire.SendParams{
			Run: run.Run, Text: "in French", Key: "key-00008",
		}), ""},
		{"the answer to a question", wire.RunSend, acts(wire.RunSend, wire.SendParams{
			Run: run.Run, Text: "bob", Key: "key-00009", Of: &wire.Ref{Seq: 2},
		}), ""},
		{"a file, of which this server takes none", wire.BlobPut, acts(wire.BlobPut, wire.BlobParams{
			CID: link("file").String(), Size: 1, Data: "eA==",
		}), ""},
		{"a delegation, of which this server takes none", wire.MandateAskFor,
			reads(wire.MandateAskFor, wire.MandateAskParams{}), ""},
		{"the delegations of a session", wire.MandateList, reads(wire.MandateList, wire.None{}), ""},
		{"a delegation handed over", wire.MandatePut, acts(wire.MandatePut, wire.MandatePutParams{Context: "0x00"}), ""},
		{"a delegation to be forgotten", wire.MandateForget, acts(wire.MandateForget, wire.MandateForgetParams{
			Hash: "0x" + strings.Repeat("ab", 32),
		}), ""},
		{"a fork of it", wire.RunFork, acts(wire.RunFork, wire.ForkParams{
			Agent: "reader", Input: "go on", Key: "key-00010", Step: link("step").String(),
		}), ""},
		{"the end of a run", wire.RunCancel, acts(wire.RunCancel, run), ""},
		{"the end of nobody's session", wire.SessionRevoke, acts(wire.SessionRevoke, wire.RevokeParams{Session: link("x").String()}), ""},
		{"the end of a session, not signed", wire.SessionRevoke, func(_ *fixture, e end) reply {
			return e.call(wire.SessionRevoke, wire.RevokeParams{Session: e.state().session.String()})
		}, ""},
		{"the end of the session", wire.SessionRevoke, func(_ *fixture, e end) reply {
			return e.act(wire.SessionRevoke, wire.RevokeParams{Session: e.state().session.String()})
		}, ""},
	}
}

func wantCode(t *testing.T, want wire.Code, a reply) reply {
	t.Helper()
	if a.code() != want {
		t.Errorf("got %s %+v, want %s", a.Result, a.Error, want)
	}
	return a
}

func TestEveryMethodGivesTheSameOverBothTransports(t *testing.T) {
	ask := func(connect func(*fixture) end) (out []string) {
		f := serve(t, Limits{Burst: 1000}, nil)
		e := connect(f)
		for _, q := range questions(t) {
			a := q.ask(f, e)
			said := plain(e, a.Result)
			if a.Error != nil {
				said = fmt.Sprintf("%s: %s %+v", a.Error.Data.Code, a.Error.Message, a.Error.Data)
				said = strings.ReplaceAll(said, fmt.Sprint(e.state().seq+1), "the next") // reads count only where they are signed
				e.state().seq -= refusedUnread(a.Error, e.state().seq)
			}
			out = append(out, fmt.Sprintf("id %s, %s", a.ID, said))
		}
		return out
	}
	socket := ask(func(f *fixture) end { return f.connect() })
	posted := ask(func(f *fixture) end { return f.poster().greet() })
	asked := map[string]bool{}
	for i, q := range questions(t) {
		asked[q.method] = true
		switch {
		case q.posted != "":
			if !strings.Contains(posted[i], string(q.posted)) || socket[i] == posted[i] {
				t.Errorf("%s: got %s, want %s", q.rule, posted[i], q.posted)
			}
		case socket[i] != posted[i]:
			t.Errorf("%s:\n over the socket %s\n          posted %s", q.rule, socket[i], posted[i])
		}
	}
	for _, m := range wire.Methods() {
		if !asked[m.Name] {
			t.Errorf("%s is not asked", m.Name)
		}
	}
}

// refusedUnread returns by how much a client must set back its number after an error.
func refusedUnread(e *wire.Error, seq uint64) uint64 {
	if e.Data.Code == wire.CodeNoSession && seq > 0 {
		return 1
	}
	return 0
}

func TestWhatMayBePosted(t *testing.T) {
	f := serve(t, Limits{Burst: 1000}, nil)
	ping := request(wire.Ping, wire.None{}, nil)
	for _, tt := range []struct {
		rule, method, body string
		header             map[string]string
		want               int
	}{
		{"a program sends no origin", "POST", ping, nil, 200},
		{"a page of a listed origin", "POST", ping, map[string]string{"Origin": page}, 200},
		{"a charset that JSON has", "POST", ping, map[string]string{"Content-Type": "application/json; charset=UTF-8"}, 200},
		{"a page of another origin", "POST", ping, map[string]string{"Origin": "https://evil.example.com"}, 403},
		{"a page without an origin of its own", "POST", ping, map[string]string{"Origin": "null"}, 403},
		{"a listed name with another scheme", "POST", ping, map[string]string{"Origin": "http://app.example.com"}, 403},
		{"a listed name with a port", "POST", ping, map[string]string{"Origin": page + ":8443"}, 403},
		{"a name that is not ours (DNS rebinding)", "POST", ping, map[string]string{"Host": "evil.example.com"}, 421},
		{"a token in the URL", "POST", ping, map[string]string{"Query": "token=1"}, 400},
		{"a form's way of saying JSON", "POST", ping, map[string]string{"Content-Type": "text/plain"}, 415},
		{"no content type", "POST", ping, map[string]string{"Content-Type": ""}, 415},
		{"another charset", "POST", ping, map[string]string{"Content-Type": "application/json; charset=utf-16"}, 415},
		{"another parameter", "POST", ping, map[string]string{"Content-Type": "application/json; v=1"}, 415},
		{"another kind of JSON", "POST", ping, map[string]string{"Content-Type": "application/json-rpc"}, 415},
		{"a compressed body", "POST", ping, map[string]string{"Content-Encoding": "gzip"}, 415},
		{"over 64 KiB without a session", "POST", long(wire.MaxFrameEarly + 1), nil, 413},
		{"a GET", "GET", "", nil, 405},
		{"a PUT", "PUT", ping, nil, 405},
		{"a browser asks first", "OPTIONS", "", map[string]string{"Origin": page, "Access-Control-Request-Method": "POST"}, 204},
		{"another page's browser asks first", "OPTIONS", "", map[string]string{"Origin": "https://evil.example.com"}, 403},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			p := f.poster()
			p.t = t
			resp, body := p.send(tt.method, tt.body, tt.header)
			if resp.StatusCode != tt.want {
				t.Fatalf("got %d %s, want %d", resp.StatusCode, body, tt.want)
			}
			allowed := resp.Header.Get("Access-Control-Allow-Origin")
			if want := tt.header["Origin"]; tt.want < 300 && allowed != want || tt.want == 403 && allowed != "" {
				t.Errorf("got the origin %q allowed", allowed)
			}
			if tt.want == 200 && (!strings.Contains(body, `"result":{}`) || resp.Header.Get("Cache-Control") != "no-store") {
				t.Errorf("got %s %v", body, resp.Header)
			}
			if allow := resp.Header.Get("Access-Control-Allow-Headers"); tt.want == 204 && !strings.Contains(allow, wire.Channel) {
				t.Errorf("got the headers %q allowed", allow)
			}
		})
	}
	t.Run("over 256 KiB with a session", func(t *testing.T) {
		p := f.poster().greet().enter(wallet(1))
		if a := p.say(long(wire.MaxFrameEarly + 1)); a.code() != wire.CodeParse { // taken, and bad
			t.Errorf("got %+v, want %s", a.Error, wire.CodeParse)
		}
		if resp, _ := p.send("POST", long(wire.MaxFrame+1), nil); resp.StatusCode != 413 {
			t.Errorf("got %d, want 413", resp.StatusCode)
		}
	})
}

func TestAChannelIsNoProof(t *testing.T) {
	f := serve(t, Limits{Burst: 1000, Rate: 1}, nil)
	owner := f.poster().greet().enter(wallet(1))
	started := owner.act(wire.RunStart, wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"})
	if started.Error != nil {
		t.Fatal(started.Error)
	}
	run := link("run key-00001").String()
	thief := f.poster()
	thief.hello, thief.channel = owner.hello, owner.channel // which the run's record names
	for method, params := range map[string]any{
		wire.RunList: wire.ListParams{}, wire.RunGet: wire.RunParams{Run: run}, wire.SessionList: wire.None{},
		wire.ApprovalList: wire.None{}, wire.RunStart: wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00002"},
	} {
		if a := thief.call(method, params); a.code() != wire.CodeUnsigned {
			t.Errorf("%s: got %s %+v, want %s", method, a.Result, a.Error, wire.CodeUnsigned)
		}
	}
	keys := wire.ProvenanceParams{Run: run, Keys: true}
	if a := thief.call(wire.ProvenanceFetch, keys); a.code() != wire.CodeForbidden {
		t.Errorf("keys: got %s %+v, want %s", a.Result, a.Error, wire.CodeForbidden)
	}
	if a := owner.act(wire.ProvenanceFetch, keys); !strings.Contains(string(a.Result), link("leaf").String()) {
		t.Errorf("the owner's keys: got %s %+v", a.Result, a.Error)
	}
	thief.session = owner.session
	thief.seq = owner.seq
	if a := thief.act(wire.RunList, wire.ListParams{}); a.code() != wire.CodeSignature {
		t.Errorf("another key: got %s %+v, want %s", a.Result, a.Error, wire.CodeSignature)
	}
	// None of this has cost the wallet anything, nor the channel its number.
	f.srv.mu.Lock()
	left := f.srv.peers["wallet/"+wallet(1).Address().Hex()].bucket.TokensAt(time.Now())
	f.srv.mu.Unlock()
	if left < 994 { // a run that the owner started, and one more signed request
		t.Errorf("got %.0f requests left for the wallet, want 994", left)
	}
	if a := owner.act(wire.RunList, wire.ListParams{}); a.Error != nil {
		t.Errorf("afterwards: %+v", a.Error)
	}
}

func TestNothingPostedIsReplayed(t *testing.T) {
	f := serve(t, Limits{Burst: 1000}, nil)
	w := wallet(1)
	p := f.poster().greet().enter(w)
	start := wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}
	captured := request(wire.RunStart, start, p.sign(p.session, p.seq+1, wire.RunStart, start))
	if a := p.say(captured); a.Error != nil {
		t.Fatal(a.Error)
	}
	p.seq++
	if a := p.say(captured); a.code() != wire.CodeSeq || a.Error.Data.Reason != "frame.replayed" || a.Error.Data.Expected != p.seq+1 {
		t.Errorf("on its channel: got %s %+v, want %s", a.Result, a.Error, wire.CodeSeq)
	}
	twin := f.poster()
	twin.key, twin.session = p.key, p.session
	twin.greet()
	if a := twin.act(wire.SessionOpen, wire.OpenParams{Session: p.session.String()}); a.Error != nil {
		t.Fatalf("a second channel: %+v", a.Error)
	}
	twin.act(wire.RunList, wire.ListParams{})
	captured = request(wire.RunStart, start, p.sign(p.session, p.seq+1, wire.RunStart, start))
	if a := twin.say(captured); a.Error == nil {
		t.Errorf("on another channel of the session: got %s", a.Result)
	}
	socket := f.connect()
	if a := socket.say(captured); a.Error == nil {
		t.Errorf("on a socket: got %s", a.Result)
	}
	restarted := serve(t, Limits{}, nil)
	p.f = restarted
	if a := p.say(captured); a.code() != wire.CodeChannel || !a.Error.Data.Retryable {
		t.Errorf("after a restart: got %s %+v, want %s", a.Result, a.Error, wire.CodeChannel)
	}
}

func TestChannels(t *testing.T) {
	t.Run("each is its page's own", func(t *testing.T) {
		f := serve(t, Limits{}, nil)
		p := f.poster()
		p.origin = page
		p.greet()
		if a := p.call(wire.SessionAsk, p.wants(wallet(1))); a.Error != nil {
			t.Error(a.Error)
		}
		p.origin = ""
		if a := p.call(wire.SessionAsk, p.wants(wallet(1))); a.code() != wire.CodeChannel {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeChannel)
		}
	})
	t.Run("what is signed needs one, and a message to sign", func(t *testing.T) {
		f := serve(t, Limits{}, nil)
		p := f.poster()
		for _, a := range []reply{p.call(wire.SessionAsk, p.wants(wallet(1))), p.act(wire.RunStart, wire.None{})} {
			if a.code() != wire.CodeChannel {
				t.Errorf("got %+v, want %s", a.Error, wire.CodeChannel)
			}
		}
		p.hello.Channel = "beef"
		if a := p.call(wire.Ping, wire.None{}); a.code() != wire.CodeRequest {
			t.Errorf("half a name: got %+v, want %s", a.Error, wire.CodeRequest)
		}
		p.hello.Channel = strings.Repeat("be", 32)
		if a := p.call(wire.Ping, wire.None{}); a.code() != wire.CodeChannel {
			t.Errorf("an unknown one: got %+v, want %s", a.Error, wire.CodeChannel)
		}
	})
	t.Run("an address and a wallet have a bound, and the oldest gives way", func(t *testing.T) {
		f := serve(t, Limits{PerAddress: 2, PerWallet: 2, Burst: 1000}, nil)
		var all []*poster
		for range 3 {
			all = append(all, f.poster().greet())
		}
		var got []wire.Code
		for _, p := range all {
			got = append(got, p.call(wire.Ping, wire.None{}).code())
		}
		if want := []wire.Code{wire.CodeChannel, "", ""}; !slices.Equal(got, want) {
			t.Errorf("of an address: got %q, want %q", got, want)
		}
		all, got = nil, nil
		for range 3 {
			all = append(all, f.poster().greet().enter(wallet(1)))
		}
		for _, p := range all {
			got = append(got, p.act(wire.RunList, wire.None{}).code())
		}
		if want := []wire.Code{wire.CodeChannel, "", ""}; !slices.Equal(got, want) {
			t.Errorf("of a wallet: got %q, want %q", got, want)
		}
		f.srv.mu.Lock()
		defer f.srv.mu.Unlock()
		if n := len(f.srv.posts.channels); n != 3 { // the address has one left, since each of its newer ones got a session
			t.Errorf("got %d channels, want 1 of the address and 2 of the wallet", n)
		}
	})
	t.Run("all together have a bound", func(t *testing.T) {
		f := serve(t, Limits{Channels: 1}, nil)
		f.poster().greet()
		if a := f.poster().call(wire.Greet, wire.None{}); a.code() != wire.CodeOverload {
			t.Errorf("got %+v, want %s", a.Error, wire.CodeOverload)
		}
	})
	t.Run("one is forgotten in its time", func(t *testing.T) {
		inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
			idle, p := f.poster().greet(), f.poster().greet().enter(wallet(1))
			for range 3 {
				time.Sleep(14 * time.Minute)
				if a := p.act(wire.SessionRenew, wire.None{}); a.Error != nil {
					t.Fatalf("within 15 min: %+v", a.Error)
				}
			}
			if a := idle.call(wire.Ping, wire.None{}); a.code() != wire.CodeChannel {
				t.Errorf("without a session: got %+v, want %s", a.Error, wire.CodeChannel)
			}
			time.Sleep(16 * time.Minute)
			if a := p.act(wire.SessionRenew, wire.None{}); a.code() != wire.CodeChannel {
				t.Errorf("after 15 min: got %+v, want %s", a.Error, wire.CodeChannel)
			}
			time.Sleep(30 * time.Second)
			f.srv.mu.Lock()
			defer f.srv.mu.Unlock()
			if n := len(f.srv.posts.channels) + len(f.srv.peers); n != 0 {
				t.Errorf("got %d channels and peers left", n)
			}
		})
	})
}

func TestPostedRequestsArePaidFor(t *testing.T) {
	f := serve(t, Limits{Rate: 0.001, Burst: 3}, nil)
	p := f.poster()
	for range 3 {
		p.call(wire.Ping, wire.None{})
	}
	resp, body := p.send("POST", request(wire.Ping, wire.None{}, nil), nil)
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, `"rate_limited"`) {
		t.Errorf("got %d %s %v", resp.StatusCode, body, resp.Header)
	}
	t.Run("by the wallet too, which is told its next number", func(t *testing.T) {
		f := serve(t, Limits{Rate: 0.001, Burst: 1000}, nil)
		p := f.poster().greet().enter(wallet(1))
		f.srv.mu.Lock()
		f.srv.peers["wallet/"+wallet(1).Address().Hex()].bucket.SetBurst(0)
		f.srv.mu.Unlock()
		a := p.act(wire.RunList, wire.ListParams{})
		if a.code() != wire.CodeRate || a.Error.Data.Expected != p.seq+1 {
			t.Errorf("got %+v, want %s and the number %d", a.Error, wire.CodeRate, p.seq+1)
		}
	})
}

func TestARevocationIsFeltHoweverItCame(t *testing.T) {
	f := serve(t, Limits{Burst: 1000}, nil)
	p := f.poster().greet().enter(wallet(1))
	socket := f.connect()
	socket.key, socket.session = p.key, p.session
	if a := socket.act(wire.SessionOpen, wire.OpenParams{Session: p.session.String()}); a.Error != nil {
		t.Fatal(a.Error)
	}
	if a := p.act(wire.SessionRevoke, wire.RevokeParams{Session: p.session.String()}); a.Error != nil {
		t.Fatal(a.Error)
	}
	if got := socket.closed(); got != wire.CloseRevoked {
		t.Errorf("the socket: got %d, want %d", got, wire.CloseRevoked)
	}
	if a := p.act(wire.RunList, wire.ListParams{}); a.code() != wire.CodeRevoked {
		t.Errorf("the channel: got %+v, want %s", a.Error, wire.CodeRevoked)
	}
}

// An auditor sees no difference: the run's first event is the signed request, and its channel is the posted one's.
func TestAPostedRequestIsJournalledAsAnyOther(t *testing.T) {
	f, r, db, _ := serveReal(t)
	p := f.poster().greet().enter(wallet(5))
	start := wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}
	id := wantRun(t, p.act(wire.RunStart, start))
	steps, err := r.Steps(t.Context(), id, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	ask, ok := steps[0].Step.Event.(*provenance.Ask)
	if !ok {
		t.Fatalf("got %T", steps[0].Step.Event)
	}
	params, _ := ask.Request.Bytes()
	frame := auth.Frame{Session: p.session, Channel: ask.Channel, Seq: ask.Seq, Method: ask.Method, Params: params}
	if err := frame.Verify(p.key.Public(), ask.Sig); err != nil || ask.Channel != p.channel || ask.Seq != p.seq {
		t.Errorf("got %v for %+v", err, ask)
	}
	socket := f.connect().signIn(wallet(5))
	for over, id := range map[string]provenance.Link{"posted": id, "a socket": wantRun(t, socket.act(wire.RunStart, start))} {
		rep := auditRun(t, r, db, id)
		if rep.Verdict != provenance.Verified {
			t.Errorf("%s: got %s %s %s", over, rep.Verdict, rep.Code, rep.Detail)
		}
	}
}

func wantRun(t *testing.T, a reply) provenance.Link {
	t.Helper()
	var run wire.Started
	if err := json.Unmarshal(a.Result, &run); err != nil || a.Error != nil {
		t.Fatal(err, a.Error)
	}
	return cid.MustParse(run.Run)
}

// auditRun waits until a run has closed, and lets a stranger judge it.
func auditRun(t *testing.T, r *runner.Runner, db *store.DB, id provenance.Link) *provenance.Report {
	t.Helper()
	steps, hints, _, stop := r.Follow(id)
	defer stop()
	for {
		info, err := r.Run(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if info.Status == provenance.CloseAnswered {
			break
		}
		select {
		case <-steps:
		case <-hints:
		}
	}
	var car bytes.Buffer
	if _, err := archive.Export(t.Context(), db, &car, id); err != nil {
		t.Fatal(err)
	}
	keys, err := r.Keys(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	src, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return audit.Verify(src, audit.Options{OperatorKey: r.Key(), Keys: keys})
}

func TestABodyThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	f := serve(t, Limits{Body: 50 * time.Millisecond}, nil)
	conn, err := net.Dial("tcp", f.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", wire.Path)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("got %s, want 408", resp.Status)
	}
}

func TestPostedRequestsUnderWayAreBounded(t *testing.T) {
	inBubble(t, Limits{Requests: 1}, func(t *testing.T, f *fixture) {
		p := f.poster().greet().enter(wallet(1))
		f.block = make(chan struct{})
		done := make(chan reply)
		go func() { done <- p.act(wire.RunStart, wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}) }()
		synctest.Wait()
		if resp, body := f.poster().send("POST", request(wire.Ping, wire.None{}, nil), nil); resp.StatusCode != 429 {
			t.Errorf("got %s %s, want 429", resp.Status, body)
		}
		close(f.block)
		if a := <-done; a.Error != nil {
			t.Errorf("got %+v", a.Error)
		}
		if a := f.poster().call(wire.Ping, wire.None{}); a.Error != nil {
			t.Errorf("afterwards: %+v", a.Error)
		}
	})
}

func TestWhatWasPostedIsCarriedThroughALostConnection(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
		p := f.poster().greet().enter(wallet(1))
		f.block = make(chan struct{})
		start := wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}
		body := request(wire.RunStart, start, p.sign(p.session, p.seq+1, wire.RunStart, start))
		conn, err := f.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s",
			wire.Path, wire.Channel, p.hello.Channel, len(body), body)
		synctest.Wait()
		conn.Close()
		synctest.Wait()
		close(f.block)
		synctest.Wait()
		if _, err := f.Run(t.Context(), link("run key-00001")); err != nil {
			t.Errorf("got %v, want the run", err)
		}
	})
}
