package server

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/digest"
	"github.com/writ-run/writ/internal/journal"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
)

type hello struct{}

func (hello) Reply(context.Context, model.Prompt) (model.Reply, error) {
	return model.Reply{Stop: model.StopEnd, Text: "hello"}, nil
}

// serveReal starts a server with the real runtime and a store on disk.
func serveReal(t *testing.T) (*fixture, *runner.Runner, *store.DB, *auth.Desk) {
	t.Helper()
	return serveRules(t, hello{}, "  - {id: answers, at: output, effect: permit}\n")
}

// serveRules is serveReal with a model and with rules beside the one that lets it be asked.
func serveRules(t *testing.T, m runner.Model, rules string) (*fixture, *runner.Runner, *store.DB, *auth.Desk) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(t.TempDir(), "writ.db"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := runner.New(t.Context(), runner.Config{
		Store: db, Key: key, Policy: runner.Policy{Name: "all", Source: []byte(
			"schema: writ/policies/1\nname: all\nrules:\n  - {id: models, at: model.route, effect: permit}\n" + rules)},
		Agents: []agentfile.Definition{{
			Name: "reader", Instructions: "Answer.", Routes: []agentfile.Route{{ID: "only", Use: "m"}}, Grant: defaults,
		}},
		Models: []runner.NamedModel{{Model: m, Info: model.Info{Name: "m", Kind: model.KindScripted, Provider: "test", Model: "m", MaxTokens: 100}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	desk, err := auth.NewDesk(auth.Config{Scheme: "https", Domain: "app.example.com", Nonces: db, Now: time.Now, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t}
	if f.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	a, err := api.New(api.Config{Runner: r, Archive: digest.Desk{Store: db}, Desk: desk})
	if err != nil {
		t.Fatal(err)
	}
	f.srv, err = New(Config{
		API: a, Origins: []string{page}, Limits: Limits{Burst: 10_000, PerAddress: 1000},
		Gateway: http.NotFoundHandler(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.srv.Serve(ctx, f.ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return f, r, db, desk
}

// Who has made a victim sign and holds message and signature, and all that the victim sent, can do nothing with them
// at the real server, and does not spoil them for the victim either.
func TestARelayGainsNothing(t *testing.T) {
	f, r, _, _ := serveReal(t)
	w := wallet(7)
	victim := f.connect()
	stolen := signed(t, w, victim.challenge(w))
	refused := func(what string, a reply) {
		t.Helper()
		if a.Error == nil {
			t.Errorf("%s: it was accepted", what)
		}
	}
	thief := f.connect()
	refused("opened with the thief's key", thief.act(wire.SessionOpen, stolen))
	thief.seq = 0
	thief.write(request(wire.SessionOpen, stolen, victim.sign(cid.Undef, 1, wire.SessionOpen, stolen)))
	refused("the victim's frame on the thief's channel", thief.answer())
	thief.write(request(wire.SessionOpen, stolen, nil))
	refused("without any frame's signature", thief.answer())

	// The victim's sign-in is as good as before.
	a := victim.act(wire.SessionOpen, stolen)
	var s wire.Session
	if err := json.Unmarshal(a.Result, &s); err != nil || a.Error != nil {
		t.Fatalf("the victim: %v %+v", err, a.Error)
	}
	victim.session = cid.MustParse(s.ID)

	// Nor can the thief act in the session, whose id is no secret.
	again := f.connect()
	again.session = victim.session
	refused("resumed with the thief's key", again.act(wire.SessionOpen, wire.OpenParams{Session: s.ID}))
	again.seq = 0
	refused("opened a second time by the signed text", again.act(wire.SessionOpen, stolen))
	p := wire.StartParams{Agent: "reader", Input: "pay me", Key: "key-thief-1"}
	refused("a run without a session", again.say(request(wire.RunStart, p, again.sign(victim.session, 1, wire.RunStart, p))))
	refused("the wallet's sign-in as its revocation", again.call(wire.SessionRevoke, wire.RevokeParams{
		Session: s.ID, Message: stolen.Message, Signature: stolen.Signature,
	}))
	captured := request(wire.RunStart, p, victim.sign(victim.session, 2, wire.RunStart, p))
	if a := victim.say(captured); a.Error != nil {
		t.Fatalf("the victim's own run: %+v", a.Error)
	}
	refused("the victim's request, replayed on its own channel", victim.say(captured))
	refused("the victim's request, on another channel", again.say(captured))
	// A text in which the thief has put its own key is refused too, and costs the victim another challenge.
	next := f.connect()
	own := signed(t, w, next.challenge(w))
	own.Message = strings.Replace(own.Message, next.key.Public().String(), thief.key.Public().String(), 1)
	refused("with the thief's key in the text", thief.act(wire.SessionOpen, own))
	if runs, err := r.Runs(t.Context(), journal.Session{Account: w.Address(), Method: auth.MethodEOA}, 10); err != nil || len(runs) != 1 {
		t.Errorf("%d runs, %v; want the victim's", len(runs), err)
	}
	if all, err := r.Sessions(t.Context(), journal.Session{Account: w.Address(), Method: auth.MethodEOA}); err != nil || len(all) != 1 || all[0].Revoked != 0 {
		t.Errorf("sessions %+v, %v; want the victim's", all, err)
	}
}

// Of 1,000 who bring one sign-in at the same moment, one opens the session: on the real store, and over sockets.
func TestAThousandReplaysOpenOneSessionOnTheRealStore(t *testing.T) {
	f, r, _, desk := serveReal(t)
	w := wallet(8)
	info := r.Agents()[0]
	key, err := auth.Generate(auth.P256, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := desk.Challenge(t.Context(), auth.Request{
		Account: w.Address(), Chain: 1337, Key: key.Public(), Agent: info.Name, AgentCID: info.CID, RulesCID: info.Rules,
		Tools: info.Tools, Caveats: info.Defaults, Channel: [32]byte{1},
	})
	if err != nil {
		t.Fatal(err)
	}
	sig, err := w.SignText(c.Message)
	if err != nil {
		t.Fatal(err)
	}
	var opened, late atomic.Int64
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			switch _, err := desk.Open(t.Context(), c.Message, sig, [32]byte{1}); {
			case err == nil:
				opened.Add(1)
			case errors.Is(err, auth.ErrNonce):
				late.Add(1)
			default:
				t.Errorf("open: %v", err)
			}
		})
	}
	wg.Wait()
	if opened.Load() != 1 || late.Load() != 999 {
		t.Errorf("%d opened and %d refused, want 1 and 999", opened.Load(), late.Load())
	}
	one := f.connect()
	p := signed(t, w, one.challenge(w))
	ok := 0
	for range 50 {
		a := one.act(wire.SessionOpen, p)
		if a.Error == nil {
			ok++
		} else if a.code() != wire.CodeSignIn {
			t.Errorf("got %+v", a.Error)
		}
	}
	if ok != 1 {
		t.Errorf("over a socket it was opened %d times", ok)
	}
}
