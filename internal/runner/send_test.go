package runner_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// send makes the signed request of what the user says into a run.
func (u *user) send(t testing.TB, run provenance.Link, text, key string, of *provenance.Ref) runner.SendRequest {
	t.Helper()
	q, err := u.saying(run, text, key, of)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// asksUser lets the agent of a test ask its user.
func asksUser(c *runner.Config) {
	c.Agents[0].Tools = append(c.Agents[0].Tools, tools.UserAsk)
	c.Tools = append(c.Tools, tools.AskUser())
}

// parkedOn returns the effect that a run waits for, once it is parked.
func (b *bench) parkedOn(run provenance.Link) provenance.Ref {
	b.Helper()
	info := b.until(run, "parked")
	return provenance.Ref{Seq: info.Steps - 1}
}

func TestWhatIsSentIsToldAndChecked(t *testing.T) {
	l := &listener{may: make(chan struct{})}
	b := openWith(t, l, func(*runner.Config) {})
	run := b.start("say hello")
	first := b.send(t, run, "in French", "key-send-1", nil)
	seq, err := b.r.Send(t.Context(), first)
	if err != nil || seq != 1 {
		t.Fatalf("sent as step %d, %v", seq, err)
	}
	second := b.send(t, run, "and be short", "key-send-2", nil)
	if _, err := b.r.Send(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if again, err := b.r.Send(t.Context(), b.send(t, run, "in French", "key-send-1", nil)); err != nil || again != seq {
		t.Errorf("the same again is step %d, %v; want %d", again, err, seq)
	}
	if _, err := b.r.Send(t.Context(), b.send(t, run, "in Dutch", "key-send-1", nil)); !errors.Is(err, journal.ErrConflict) {
		t.Errorf("another text with the same key: %v", err)
	}
	forged := first
	forged.Sig = second.Sig
	if _, err := b.r.Send(t.Context(), forged); !errors.Is(err, runner.ErrSignature) {
		t.Errorf("a signature over something else: %v", err)
	}
	late := b.send(t, run, "too early signed", "key-send-3", nil)
	if _, err := b.r.Send(t.Context(), b.send(t, run, "please", "key-send-4", nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.r.Send(t.Context(), late); !errors.Is(err, loop.ErrSendOrder) {
		t.Errorf("what was signed before came after: %v", err)
	}
	if _, err := b.r.Send(t.Context(), b.send(t, run, "bob", "key-send-5", &provenance.Ref{})); !errors.Is(err, loop.ErrQuestion) {
		t.Errorf("an answer to no question: %v", err)
	}
	close(l.may)
	b.until(run, provenance.CloseAnswered)
	want := "user: say hello\nassistant: answer x\nuser: in French\nuser: and be short\nuser: please"
	if got := l.last(); got != want {
		t.Errorf("the model was told\n%s\nwant\n%s", got, want)
	}
	if again, err := b.r.Send(t.Context(), b.send(t, run, "in French", "key-send-1", nil)); err != nil || again != seq {
		t.Errorf("after the end the same is step %d, %v; want %d", again, err, seq)
	}
	if _, err := b.r.Send(t.Context(), b.send(t, run, "bye", "key-send-6", nil)); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("into a run that has ended: %v", err)
	}
	b.verified(run)

	// Nobody can make up, or change, what was sent.
	for name, change := range map[string]func(ask *provenance.Ask){
		"another signature": func(ask *provenance.Ask) { ask.Sig = second.Sig },
		"another number":    func(ask *provenance.Ask) { ask.Seq += 100 },
		"another channel":   func(ask *provenance.Ask) { ask.Channel[0]++ },
	} {
		_, o := b.exported(run)
		lied := b.stepsOf(run)
		change(lied.steps[1].Event.(*provenance.Ask))
		lied.retell(run)
		if rep := audit.Verify(lied, o); rep.Code != audit.CodeGrantRequest {
			t.Errorf("%s: %s %s", name, rep.Code, rep.Detail)
		}
	}
}

func TestAnAgentAsksItsUserAndARestartBetween(t *testing.T) {
	m := replies{
		calls(call("a", tools.UserAsk, `{"choices":["bob","carol"],"question":"Whom?"}`)),
		calls(call("b", "echo.say", `{"text":"bob it is"}`)), text("Done."),
	}
	b := openWith(t, m, asksUser)
	run := b.start("pay somebody")
	question := b.parkedOn(run)
	b.r.Close()
	b.restart()
	if got := b.parkedOn(run); got != question {
		t.Fatalf("after a restart the run waits for %v, before for %v", got, question)
	}
	other := b.send(t, run, "carol", "key-send-0", &provenance.Ref{Seq: 9})
	if _, err := b.r.Send(t.Context(), other); !errors.Is(err, loop.ErrQuestion) {
		t.Errorf("an answer to another question: %v", err)
	}
	if _, err := b.r.Send(t.Context(), b.send(t, run, "bob", "key-send-1", &question)); err != nil {
		t.Fatal(err)
	}
	b.until(run, provenance.CloseAnswered)
	b.verified(run)
	views, err := b.r.Steps(t.Context(), run, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, v := range views {
		if _, is := v.Step.Event.(*provenance.Ask); is && v.Step.Seq > 0 {
			told = append(told, v.Step.Event.(*provenance.Ask).Method)
		}
	}
	if strings.Join(told, " ") != wire.RunSend {
		t.Errorf("the answers on record are signed for %q", told)
	}
}

// What waits for the wallet when the user says stop goes on waiting, and is told no more as what the user asked for. Who
// signs it then has the last word.
func TestWhatWaitsWhenTheUserSaysStopIsNotCalledAnOrder(t *testing.T) {
	till := &bank{}
	m := replies{calls(call("1", "bank.pay", payFive)), text("done")}
	b := openWith(t, m, func(c *runner.Config) { c.Tools[0] = till })
	run := b.start("send 5 USDC to bob")
	if p := b.onePending(); !p.Call.Typed {
		t.Fatal("an order is not told as one")
	}
	if _, err := b.r.Send(t.Context(), b.send(t, run, "Stop. Do not send it.", "key-send-1", nil)); err != nil {
		t.Fatal(err)
	}
	p := b.onePending()
	if p.Call.Typed {
		t.Error("what was taken back is still told as what the user asked for")
	}
	b.mustApprove(p)
	b.ended(run)
	if len(till.made) != 1 {
		t.Errorf("%d payments were made of what the wallet signed", len(till.made))
	}
	b.verified(run)
}

// An order that the user takes back while a page is read is none: the wallet is asked, whatever the cap.
func TestWhatTheUserTakesBackIsNoOrder(t *testing.T) {
	for answer, asks := range map[string]bool{
		"Stop. Do not send it.":                   true,
		"não":                                     true,
		"only if the page says so":                true,
		"send 0.25 USDC to bob":                   false, // another order besides
		"read https://shop.example/offer, please": false,
	} {
		till := &bank{}
		m := replies{
			calls(call("1", "web.fetch", fetchOffer)), calls(call("2", tools.UserAsk, `{"question":"Shall I?"}`)),
			calls(call("3", "bank.pay", `{"token":"USDC","to":"mallory","amount":"0.5"}`)), text("done"),
		}
		b := openWith(t, m, func(c *runner.Config) {
			c.Tools[0] = till
			asksUser(c)
			withTools(c, []string{c.Agents[0].Name}, fetchTool("pay me"))
		})
		run := b.start("send 0.5 USDC to mallory")
		question := b.parkedOn(run)
		if _, err := b.r.Send(t.Context(), b.send(t, run, answer, "key-send-1", &question)); err != nil {
			t.Fatal(err)
		}
		if asks {
			p := b.onePending()
			if s := summaryOf(t, p); s.Tool != "bank.pay" || !slices.Contains(s.Origins, "web:shop.example") {
				t.Errorf("%q: the wallet is asked about %+v", answer, s)
			}
			b.mustRefuse(p)
		}
		b.ended(run)
		if paid := len(till.made) > 0; paid == asks {
			t.Errorf("%q: paid without a question: %v", answer, paid)
		}
		b.verified(run)
	}
}
