package runner_test

import (
	"bytes"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

const payFive = `{"token":"USDC","to":"bob","amount":"5"}`

// An answer is what comes back to a call that waits for the wallet.
type answer struct {
	effect  provenance.Ref
	message []byte
	sig     []byte
}

func (b *bench) pending(n int) []runner.PendingApproval {
	b.Helper()
	list, err := b.r.Approvals(b.Context(), b.session)
	if err != nil || len(list) != n {
		b.Fatalf("approvals: %v, %v; want %d", list, err, n)
	}
	return list
}

func (b *bench) message(a auth.Approval) []byte {
	b.Helper()
	m, err := a.MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func (b *bench) signed(w *auth.Wallet, a auth.Approval) []byte {
	b.Helper()
	sig, err := w.SignTyped(a)
	if err != nil {
		b.Fatal(err)
	}
	return sig
}

func (b *bench) decide(run provenance.Link, a answer) error {
	return b.r.Decide(b.Context(), runner.ApprovalDecision{Run: run, Effect: a.effect, Approve: true, Message: a.message, Sig: a.sig})
}

// refusal names why an answer was not taken: a code of auth, or a sentinel.
func refusal(err error) string {
	if f, ok := errors.AsType[*auth.Fault](err); ok {
		return string(f.Code)
	}
	switch {
	case err == nil:
		return ""
	case errors.Is(err, approval.ErrOther):
		return "something else"
	case errors.Is(err, journal.ErrNotFound):
		return "not waiting"
	}
	return err.Error()
}

const (
	elseThan   = "something else"
	notWaiting = "not waiting"
)

// What comes back while one call waits. None of it is taken, none of it ends the waiting, and none of it uses up the
// approval: the right answer is taken at the end.
func TestAnswersThatApproveNothing(t *testing.T) {
	b := open(t, replies{calls(call("1", "bank.pay", payFive)), text("paid")})
	run := b.start("pay 5")
	b.until(run, "parked")
	p := b.pending(1)[0]
	good := answer{p.Effect, b.message(p.Approval), b.signed(b.wallet, p.Approval)}
	stranger, err := auth.NewWallet(&counter{seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	framed, err := b.key.Sign(good.message)
	if err != nil {
		t.Fatal(err)
	}
	text, err := b.wallet.SignText(good.message)
	if err != nil {
		t.Fatal(err)
	}
	order := crypto.S256().Params().N
	high := bytes.Clone(good.sig)
	new(big.Int).Sub(order, new(big.Int).SetBytes(good.sig[32:64])).FillBytes(high[32:64])
	high[64] = 27 + 28 - high[64]
	sig := func(change func(s []byte) []byte) answer {
		return answer{good.effect, good.message, change(bytes.Clone(good.sig))}
	}
	msg := func(old, new string) answer {
		m := bytes.Replace(good.message, []byte(old), []byte(new), 1)
		if bytes.Equal(m, good.message) {
			t.Fatalf("nothing to replace: %s", old)
		}
		return answer{good.effect, m, good.sig}
	}

	type row struct {
		name string
		a    answer
		want string
	}
	rows := []row{
		// The signature.
		{"no signature", sig(func([]byte) []byte { return nil }), "sig.size"},
		{"a signature cut short", sig(func(s []byte) []byte { return s[:64] }), "sig.size"},
		{"a signature with a byte more", sig(func(s []byte) []byte { return append(s, 0) }), "sig.size"},
		{"a signature of zeros", sig(func(s []byte) []byte { return make([]byte, 65) }), "sig.range"},
		{"the other v", sig(func(s []byte) []byte { s[64] = 27 + 28 - s[64]; return s }), "sig.signer"},
		{"a v of 29", sig(func(s []byte) []byte { s[64] = 29; return s }), "sig.v"},
		{"the malleable twin, s in the upper half", answer{good.effect, good.message, high}, "sig.high_s"},
		{"a bit flipped in r", sig(func(s []byte) []byte { s[3] ^= 1; return s }), "sig.signer|sig.recover"},
		{"a bit flipped in s", sig(func(s []byte) []byte { s[60] ^= 1; return s }), "sig.signer|sig.recover"},
		{"another wallet's signature", answer{good.effect, good.message, b.signed(stranger, p.Approval)}, "sig.signer"},
		{"the session key's signature", answer{good.effect, good.message, append(framed, 27)}, "sig.signer|sig.recover|sig.high_s|sig.range"},
		{"the wallet's signature over the text instead of the typed data", answer{good.effect, good.message, text}, "sig.signer"},
		{"the signature of the sign-in", answer{good.effect, good.message, b.session.Sig}, "sig.signer"},
		// The message.
		{"no message", answer{good.effect, nil, good.sig}, elseThan},
		{"a message with a space at its end", answer{good.effect, append(bytes.Clone(good.message), ' '), good.sig}, elseThan},
		{"a message with a key twice", msg(`{"account"`, `{"tool":"bank.pay","account"`), elseThan},
		{"a message with an unknown key", msg(`{"account"`, `{"Account":"","account"`), elseThan},
		{"a message with a number as a text", msg(`"chainId":1337`, `"chainId":"1337"`), elseThan},
		{"a message with a higher amount, under the old signature", msg(`"maxAmount":"5000000"`, `"maxAmount":"50000000"`), elseThan},
		// The place.
		{"for another step of the run", answer{provenance.Ref{Seq: p.Effect.Seq + 1, Index: p.Effect.Index}, good.message, good.sig}, notWaiting},
		{"for another effect of the step", answer{provenance.Ref{Seq: p.Effect.Seq, Index: p.Effect.Index + 1}, good.message, good.sig}, notWaiting},
		{"for the start of the run", answer{provenance.Ref{}, good.message, good.sig}, notWaiting},
	}
	// Another thing in one field, signed by the right wallet: once as its message says, once under the right message.
	for _, f := range []struct {
		field  string
		change func(*auth.Approval)
	}{
		{"account", func(a *auth.Approval) { a.Account = stranger.Address() }},
		{"chain", func(a *auth.Approval) { a.Chain = 1 }},
		{"origin", func(a *auth.Approval) { a.Salt = auth.Salt("https", "evil.example") }},
		{"session", func(a *auth.Approval) { a.Session = run }},
		{"run", func(a *auth.Approval) { a.Run = b.session.ID }},
		{"step", func(a *auth.Approval) { a.Step = run }},
		{"effect", func(a *auth.Approval) { a.Effect++ }},
		{"tool", func(a *auth.Approval) { a.Tool = "bank.pai" }},
		{"arguments", func(a *auth.Approval) { a.Args[0] ^= 1 }},
		{"summary", func(a *auth.Approval) { a.Summary += "." }},
		{"amount, one unit more", func(a *auth.Approval) { a.Amount = money.Of(usdc, 5_000_001) }},
		{"amount, one unit less", func(a *auth.Approval) { a.Amount = money.Of(usdc, 4_999_999) }},
		{"asset", func(a *auth.Approval) { a.Amount = money.Of(money.Asset{Symbol: "USDT", Decimals: 6}, 5_000_000) }},
		{"decimals", func(a *auth.Approval) { a.Amount = money.Of(money.Asset{Symbol: "USDC", Decimals: 7}, 5_000_000) }},
		{"recipient", func(a *auth.Approval) {
			a.Recipient = common.HexToAddress("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
		}},
		{"expiry, a second later", func(a *auth.Approval) { a.NotAfter = a.NotAfter.Add(time.Second) }},
		{"nonce", func(a *auth.Approval) { a.Nonce[31] ^= 1 }},
	} {
		other := p.Approval
		f.change(&other)
		signed := b.signed(b.wallet, other)
		rows = append(rows,
			row{"signed for another " + f.field, answer{good.effect, b.message(other), signed}, elseThan},
			row{"signed for another " + f.field + ", under the right message", answer{good.effect, good.message, signed}, "sig.signer"})
	}
	if len(rows) < 40 {
		t.Errorf("%d cases, want 40 or more", len(rows))
	}
	for _, c := range rows {
		if got := refusal(b.decide(run, c.a)); !strings.Contains("|"+c.want+"|", "|"+got+"|") || got == "" {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if info, err := b.r.Run(t.Context(), run); err != nil || info.Status != "parked" {
			t.Fatalf("%s: the run is %q now, %v", c.name, info.Status, err)
		}
	}
	if got := refusal(b.decide(b.session.ID, good)); got != notWaiting {
		t.Errorf("for a run that does not exist: got %q", got)
	}
	if n := b.paid.Load(); n != 0 {
		t.Fatalf("paid %d times without an approval", n)
	}
	if err := b.decide(run, good); err != nil {
		t.Fatalf("the right answer, after all the wrong ones: %v", err)
	}
	b.until(run, provenance.CloseAnswered)
	if n := b.paid.Load(); n != 1 {
		t.Errorf("paid %d times, want 1", n)
	}
	b.verified(run)
}

// The ways that an approval can go, from asking to the end.
func TestApprovals(t *testing.T) {
	one := replies{calls(call("1", "bank.pay", payFive)), text("done")}
	two := replies{calls(call("1", "bank.pay", payFive), call("2", "bank.pay", payFive)), text("done")}
	for _, c := range []struct {
		name  string
		model runner.Model
		do    func(b *bench, run provenance.Link)
		paid  int64
		end   string
	}{
		{"approved", one, func(b *bench, run provenance.Link) {
			b.mustApprove(b.pending(1)[0])
		}, 1, provenance.CloseAnswered},
		{"approved with v as 0 or 1, as hardware wallets write it", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			sig := b.signed(b.wallet, p.Approval)
			sig[64] -= 27
			if err := b.decide(run, answer{p.Effect, b.message(p.Approval), sig}); err != nil {
				b.Error(err)
			}
		}, 1, provenance.CloseAnswered},
		{"approved twice", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			b.mustApprove(p)
			if got := refusal(b.approve(b.Context(), b.r, p)); got == "" {
				b.Error("the second was taken")
			}
		}, 1, provenance.CloseAnswered},
		{"approved again when all is over", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			b.mustApprove(p)
			b.ended(run)
			if got := refusal(b.approve(b.Context(), b.r, p)); got == "" {
				b.Error("the second was taken")
			}
		}, 1, provenance.CloseAnswered},
		{"approved after a restart", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			b.r.Close()
			b.restart()
			b.mustApprove(p)
		}, 1, provenance.CloseAnswered},
		{"approved twice, with a restart between", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			b.mustApprove(p)
			b.ended(run)
			b.r.Close()
			b.restart()
			if got := refusal(b.approve(b.Context(), b.r, p)); got == "" {
				b.Error("the second was taken")
			}
		}, 1, provenance.CloseAnswered},
		{"approved at the last moment, after 120 s", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			if got := p.Approval.NotAfter.Sub(start); got < 119*time.Second || got > 120*time.Second {
				b.Errorf("an approval is good for %s, want 120 s", got)
			}
			b.now.Store(p.Approval.NotAfter.UnixMilli())
			b.mustApprove(p)
		}, 1, provenance.CloseAnswered},
		{"approved too late", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			b.now.Store(p.Approval.NotAfter.UnixMilli() + 1)
			if got := refusal(b.approve(b.Context(), b.r, p)); got != "approval.expired" {
				b.Errorf("got %q, want approval.expired", got)
			}
			b.cancel(run)
		}, 0, provenance.CloseCancelled},
		{"refused", one, func(b *bench, run provenance.Link) {
			b.mustRefuse(b.pending(1)[0])
		}, 0, provenance.CloseDenied},
		{"refused, then approved", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			b.mustRefuse(p)
			if got := refusal(b.approve(b.Context(), b.r, p)); got == "" {
				b.Error("the approval was taken")
			}
		}, 0, provenance.CloseDenied},
		{"refused twice", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			b.mustRefuse(p)
			if got := refusal(b.r.Decide(b.Context(), runner.ApprovalDecision{Run: run, Effect: p.Effect})); got == "" {
				b.Error("the second refusal was taken")
			}
		}, 0, provenance.CloseDenied},
		{"two parallel calls, both approved, the last first", two, func(b *bench, run provenance.Link) {
			p := b.pending(2)
			b.mustApprove(p[1])
			b.mustApprove(p[0])
		}, 2, provenance.CloseAnswered},
		{"two parallel calls, the first approved and the second refused", two, func(b *bench, run provenance.Link) {
			p := b.pending(2)
			b.mustApprove(p[0])
			b.mustRefuse(p[1])
		}, 1, provenance.CloseAnswered},
		{"two parallel calls, both refused", two, func(b *bench, run provenance.Link) {
			p := b.pending(2)
			b.mustRefuse(p[0])
			b.mustRefuse(p[1])
		}, 0, provenance.CloseDenied},
		{"two equal parallel calls: an approval of one is none of the other", two, func(b *bench, run provenance.Link) {
			p := b.pending(2)
			sig := b.signed(b.wallet, p[0].Approval)
			if got := refusal(b.decide(run, answer{p[1].Effect, b.message(p[0].Approval), sig})); got != elseThan {
				b.Errorf("its message and signature: got %q", got)
			}
			if got := refusal(b.decide(run, answer{p[1].Effect, b.message(p[1].Approval), sig})); got != "sig.signer" {
				b.Errorf("its signature: got %q", got)
			}
			b.mustApprove(p[0])
			b.mustRefuse(p[1])
		}, 1, provenance.CloseAnswered},
		{"an equal call of the next run needs its own", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			b.mustApprove(p)
			b.ended(run)
			next := b.start("pay 5 again")
			b.until(next, "parked")
			q := b.pending(1)[0]
			if got := refusal(b.decide(next, answer{q.Effect, b.message(p.Approval), b.signed(b.wallet, p.Approval)})); got != elseThan {
				b.Errorf("the approval of the run before: got %q", got)
			}
			b.mustRefuse(q)
			b.ended(next)
		}, 1, provenance.CloseAnswered},
		{"the session is revoked while it waits", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			if err := b.r.RevokeAsOperator(b.Context(), b.session.ID, ""); err != nil {
				b.Fatal(err)
			}
			b.ended(run)
			if got := refusal(b.approve(b.Context(), b.r, p)); got == "" {
				b.Error("the approval was taken")
			}
		}, 0, provenance.CloseRevoked},
		{"the run is cancelled while it waits", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			b.cancel(run)
			b.ended(run)
			if got := refusal(b.approve(b.Context(), b.r, p)); got == "" {
				b.Error("the approval was taken")
			}
		}, 0, provenance.CloseCancelled},
		{"the session ends while it waits", one, func(b *bench, run provenance.Link) {
			p := b.pending(1)[0]
			b.now.Store(start.Add(time.Hour).UnixMilli())
			if got := refusal(b.approve(b.Context(), b.r, p)); got == "" {
				b.Error("the approval was taken")
			}
			b.r.Close() // the clock of the parked run's timer is the machine's; a start looks at the test's
			b.restart()
		}, 0, provenance.CloseRevoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t, c.model)
			run := b.start("pay")
			b.until(run, "parked")
			c.do(b, run)
			info := b.ended(run)
			if info.Status != c.end || b.paid.Load() != c.paid {
				t.Errorf("it ended as %q and paid %d times, want %q and %d", info.Status, b.paid.Load(), c.end, c.paid)
			}
			b.verified(run)
		})
	}
}

func (b *bench) mustApprove(p runner.PendingApproval) {
	b.Helper()
	if err := b.approve(b.Context(), b.r, p); err != nil {
		b.Errorf("approve: %v", err)
	}
}

func (b *bench) mustRefuse(p runner.PendingApproval) {
	b.Helper()
	if err := b.r.Decide(b.Context(), runner.ApprovalDecision{Run: p.Run, Effect: p.Effect, Reason: "no"}); err != nil {
		b.Errorf("refuse: %v", err)
	}
}

func (b *bench) cancel(run provenance.Link) {
	b.Helper()
	if err := b.r.Cancel(b.Context(), run); err != nil {
		b.Errorf("cancel: %v", err)
	}
}

// A wallet that the operator has struck from the list approves nothing any more: what it had waiting goes on waiting, and
// can be refused.
func TestAWalletStruckFromTheListApprovesNothing(t *testing.T) {
	b := open(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")})
	run := b.start("pay bob 5")
	b.until(run, "parked")
	b.r.Close()
	b.config.Wallets = []common.Address{{1}}
	b.restart()
	pending, err := b.r.Approvals(t.Context(), b.session)
	if err != nil || len(pending) != 1 {
		t.Fatalf("pending: %+v, %v", pending, err)
	}
	if err := b.approve(t.Context(), b.r, pending[0]); code(err) != auth.CodeAccount {
		t.Errorf("approved by a wallet that is not served: %v", err)
	}
	if got := b.info(run).Status; got != "parked" || b.paid.Load() != 0 {
		t.Errorf("the run is %s, %d payments", got, b.paid.Load())
	}
	if err := b.r.Decide(t.Context(), runner.ApprovalDecision{Run: run, Effect: pending[0].Effect}); err != nil {
		t.Errorf("refused: %v", err)
	}
	b.ended(run)
	if b.paid.Load() != 0 {
		t.Errorf("%d payments", b.paid.Load())
	}
}
