package runner_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/revocation"
	"github.com/writ-run/writ/internal/journal"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// revocation returns a request to revoke the bench's session by each of those who may.
func (b *bench) revocation(method string) runner.RevokeRequest {
	b.Helper()
	q := runner.RevokeRequest{Session: b.session.ID, Method: method}
	issued := time.UnixMilli(b.now.Load()).UTC().Truncate(time.Second)
	text, err := auth.RevocationText(b.session.ID, "enough", issued)
	if err != nil {
		b.Fatal(err)
	}
	switch method {
	case provenance.RevokedTyped:
		g, err := auth.Reread(b.session.Message, b.session.Sig)
		if err != nil {
			b.Fatal(err)
		}
		v := auth.Revocation{
			Chain: g.Chain, Salt: auth.Salt(g.Scheme, g.Domain), Account: g.Account, Session: b.session.ID, Reason: "enough", IssuedAt: issued,
		}
		if q.Message, err = v.MarshalJSON(); err != nil {
			b.Fatal(err)
		}
		if q.Sig, err = b.wallet.SignTyped(v); err != nil {
			b.Fatal(err)
		}
	case provenance.RevokedText:
		q.Message = text
		if q.Sig, err = b.wallet.SignText(text); err != nil {
			b.Fatal(err)
		}
	case provenance.RevokedOperator:
		q.Message, q.Sig = text, revocation.Sign(b.config.Key, text)
	case provenance.RevokedSession:
		b.seq++
		q.Frame = auth.Frame{
			Session: b.session.ID, Channel: [32]byte{1}, Seq: b.seq, Method: wire.SessionRevoke,
			Params: fmt.Appendf(nil, `{"session":%q,"reason":"enough"}`, b.session.ID),
		}
		q.Message = q.Frame.Params
		if q.Sig, err = b.key.SignFrame(q.Frame); err != nil {
			b.Fatal(err)
		}
	}
	return q
}

var revokedBy = []string{
	provenance.RevokedTyped, provenance.RevokedText, provenance.RevokedSession, provenance.RevokedOperator,
}

func TestARevokedSessionStopsItsRuns(t *testing.T) {
	for _, method := range revokedBy {
		t.Run(method, func(t *testing.T) {
			b := open(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")})
			run := b.start("pay 5")
			b.until(run, "parked")
			if err := b.r.Revoke(t.Context(), b.revocation(method)); err != nil {
				t.Fatal(err)
			}
			b.until(run, provenance.CloseRevoked)
			if b.paid.Load() != 0 {
				t.Error("a payment was made")
			}
			b.verified(run)
			views, err := b.r.Steps(t.Context(), run, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			s, err := b.r.Session(t.Context(), b.session.ID)
			if err != nil {
				t.Fatal(err)
			}
			last, ok := views[len(views)-1].Step.Event.(*provenance.Lapse)
			if !ok || !last.By.Defined() || last.By != s.Revocation {
				t.Errorf("the run's end names %v, the session %s", views[len(views)-1].Step.Event, s.Revocation)
			}
			next := b.start("pay again")
			b.until(next, provenance.CloseRevoked)
		})
	}
}

func TestARevocationNeedsItsSignature(t *testing.T) {
	b := open(t, replies{text("hi")})
	other := user{}
	if err := other.signIn(t.Context(), b.r); err != nil { // the same grant: what is tested is the proof
		t.Fatal(err)
	}
	for _, method := range revokedBy {
		for name, change := range map[string]func(*runner.RevokeRequest){
			"another signature": func(q *runner.RevokeRequest) { q.Sig[5] ^= 1 },
			"no signature":      func(q *runner.RevokeRequest) { q.Sig = nil },
			"another message":   func(q *runner.RevokeRequest) { q.Message = append(q.Message[:len(q.Message):len(q.Message)], ' ') },
			"another method": func(q *runner.RevokeRequest) {
				for _, m := range revokedBy {
					if m != q.Method && m != provenance.RevokedSession {
						q.Method = m
						return
					}
				}
			},
			"an unknown method": func(q *runner.RevokeRequest) { q.Method = "trust me" },
		} {
			q := b.revocation(method)
			change(&q)
			err := b.r.Revoke(t.Context(), q)
			if s, _ := b.r.Session(t.Context(), b.session.ID); !errors.Is(err, revocation.ErrRevocation) || s.Revoked != 0 {
				t.Fatalf("%s, %s: %v, revoked %d", method, name, err, s.Revoked)
			}
		}
	}
	q := b.revocation(provenance.RevokedText)
	q.Session = b.info(b.start("hello")).ID
	if err := b.r.Revoke(t.Context(), q); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("of what is no session: %v", err)
	}
}

func (b *bench) info(run provenance.Link) journal.RunInfo {
	b.Helper()
	i, err := b.r.Run(b.Context(), run)
	if err != nil {
		b.Fatal(err)
	}
	return i
}

// A process that dies between the revocation and the runs' end ends them when it starts again.
func TestARevocationIsFeltAfterARestart(t *testing.T) {
	b := open(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")})
	run := b.start("pay 5")
	b.until(run, "parked")
	b.r.Close()
	if err := b.store.RevokeSession(t.Context(), b.session.ID, b.now.Load(), b.session.ID); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.until(run, provenance.CloseRevoked)
	if b.paid.Load() != 0 {
		t.Error("a payment was made")
	}
}

// What is under way when the wallet revokes is cancelled at once, and what it held and has not used is free again.
func TestARevocationCancelsWhatIsUnderWay(t *testing.T) {
	for _, at := range []struct{ place, tool string }{{"model", "echo.say"}, {"echo.say", "echo.say"}, {"simulate", "coin.send"}} {
		b, g, done := gated(t, at.place, at.tool)
		run := b.start("go")
		<-g.came
		if err := b.r.Revoke(t.Context(), b.revocation(provenance.RevokedText)); err != nil {
			t.Fatal(err)
		}
		b.until(run, provenance.CloseRevoked)
		b.r.Close() // waits for what was under way, which nobody has let go on
		if n := size(done); n != 0 {
			t.Errorf("%s: %d effects", at.place, n)
		}
		for _, l := range b.ledgers(run) {
			if !l.Reserved.IsZero() {
				t.Errorf("%s: %s still holds %s", at.place, l.Key, l.Reserved)
			}
		}
		b.verified(run)
	}
}

// ledgers returns the session's own.
func (b *bench) ledgers(run provenance.Link) []journal.Ledger {
	b.Helper()
	var keys []string
	for _, x := range b.machine(run).Budgets() {
		keys = append(keys, "session/"+b.session.ID.String()+"/"+x.ID)
	}
	out, err := b.store.Ledgers(b.Context(), keys)
	if err != nil {
		b.Fatal(err)
	}
	return out
}
