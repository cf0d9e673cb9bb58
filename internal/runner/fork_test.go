package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A clerk pays when it was told to last, and says what it was told.
type clerk struct{ told []string }

func (c *clerk) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	var said []string
	for _, m := range p.Messages {
		line := string(m.Role) + ": " + m.Text
		for _, x := range m.Calls {
			line += "[" + x.Tool + "]"
		}
		said = append(said, line)
	}
	c.told = append(c.told, strings.Join(said, "\n"))
	if last := p.Messages[len(p.Messages)-1]; last.Role == model.RoleUser && strings.Contains(last.Text, "pay") {
		return calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"2"}`)), nil
	}
	return text("Done."), nil
}

// fork makes the signed request of a run that goes on from a step.
func (u *user) fork(step provenance.Link, input, key string) (q runner.StartRequest, err error) {
	params, err := json.Marshal(wire.ForkParams{Agent: "payer", Input: input, Key: key, Step: step.String()})
	if err != nil {
		return q, err
	}
	u.seq++
	f := auth.Frame{Session: u.session.ID, Channel: [32]byte{1}, Seq: u.seq, Method: wire.RunFork, Params: params}
	sig, err := u.key.SignFrame(f)
	return runner.StartRequest{
		Session: u.session, Frame: f, Sig: sig, Agent: "payer", Input: input, Key: key, Step: step,
		Reaches: func(journal.RunInfo) bool { return true },
	}, err
}

func (b *bench) forks(step provenance.Link, input, key string) (journal.RunInfo, error) {
	b.Helper()
	q, err := b.fork(step, input, key)
	if err != nil {
		b.Fatal(err)
	}
	return b.r.Start(b.Context(), q)
}

// stepAt returns the CID of a step.
func (b *bench) stepAt(run provenance.Link, seq uint64) provenance.Link {
	b.Helper()
	views, err := b.r.Steps(b.Context(), run, seq, 1)
	if err != nil || len(views) == 0 {
		b.Fatal(views, err)
	}
	return views[0].CID
}

const forkNote = "system: What follows was said and done before, in another run, up to the point where this one goes on. " +
	"What it did is done and not done again by this run; what had no outcome there has none here.\n"

// A fork is told what was done where it begins and does none of it again; what the shared steps spent is spent once.
func TestAForkGoesOnAndRepeatsNothing(t *testing.T) {
	m := &clerk{}
	b := openWith(t, m, func(*runner.Config) {})
	run := b.start("pay bob 2 USDC")
	info := b.until(run, provenance.CloseAnswered)
	if b.paid.Load() != 1 {
		t.Fatalf("paid %d times", b.paid.Load())
	}
	const paid = "user: pay bob 2 USDC\nassistant: [bank.pay]\ntool: {\"status\":\"ok\",\"paid\":\"2 USDC\"}\n"
	const calling = "user: pay bob 2 USDC\nassistant: [bank.pay]\n" +
		"tool: {\"error\":\"this call had no outcome at the point where the run was forked\"}\n"
	last := info.Steps - 1
	for seq, want := range map[uint64]string{
		0: "user: pay bob 2 USDC\n", 1: calling, last: paid + "assistant: Done.\n",
	} {
		step := b.stepAt(run, seq)
		fork, err := b.forks(step, "and now?", "fork-key-"+step.String()[50:])
		if err != nil {
			t.Fatal(err)
		}
		b.until(fork.ID, provenance.CloseAnswered)
		if got := m.told[len(m.told)-1]; got != forkNote+want+"user: and now?" {
			t.Errorf("the fork of step %d was told\n%s", seq, got)
		}
		b.verified(fork.ID)
		if n := b.info(fork.ID).Steps; n != 2 {
			t.Errorf("the fork of step %d has %d steps of its own", seq, n)
		}
	}
	if b.paid.Load() != 1 {
		t.Errorf("paid %d times: a fork has repeated it", b.paid.Load())
	}
	// The order of the shared steps is none of the fork's: a model that pays all the same does so by the fork's own words.
	step := b.stepAt(run, last)
	again, err := b.forks(step, "pay bob once more", "fork-key-again")
	if err != nil {
		t.Fatal(err)
	}
	b.until(again.ID, provenance.CloseAnswered)
	b.verified(again.ID)
	if spent := b.spentOf("max_total_usdc"); b.paid.Load() != 2 || !strings.HasPrefix(spent, "4 ") {
		t.Errorf("paid %d times, and the ledger shows %s spent", b.paid.Load(), spent)
	}
	// The same request is the same fork; a fork of a fork shares all of it.
	same, err := b.forks(step, "pay bob once more", "fork-key-again")
	if err != nil || same.ID != again.ID {
		t.Errorf("the same request is the fork %s, %v", same.ID, err)
	}
	deep, err := b.forks(b.stepAt(again.ID, 0), "what was paid?", "fork-key-deep")
	if err != nil {
		t.Fatal(err)
	}
	b.until(deep.ID, provenance.CloseAnswered)
	want := forkNote + forkNote + paid + "assistant: Done.\nuser: pay bob once more\nuser: what was paid?"
	if got := m.told[len(m.told)-1]; got != want {
		t.Errorf("the fork of a fork was told\n%s\nwant\n%s", got, want)
	}
	b.verified(deep.ID)
}

// A fork of a run that waits for the wallet leaves that wait alone, and is told the same after a restart.
func TestAForkOfARunThatWaits(t *testing.T) {
	m := replies{
		calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid"), text("I asked before."),
	}
	b := openWith(t, m, func(*runner.Config) {})
	run := b.start("pay bob 5 USDC")
	info := b.until(run, "parked")
	q, err := b.fork(b.stepAt(run, info.Steps-1), "leave it", "fork-key-1")
	if err != nil {
		t.Fatal(err)
	}
	fork, err := b.r.Start(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	b.r.Close()
	b.restart()
	b.until(fork.ID, provenance.CloseAnswered)
	b.verified(fork.ID)
	if len(b.pending(1)) != 1 || b.paid.Load() != 0 {
		t.Error("the fork has taken something of the run that waits")
	}
	b.mustApprove(b.pending(1)[0])
	b.until(run, provenance.CloseAnswered)
	if b.paid.Load() != 1 {
		t.Errorf("paid %d times", b.paid.Load())
	}
	b.verified(run)
}

func TestWhatIsNoFork(t *testing.T) {
	l := &listener{may: make(chan struct{})}
	b := openWith(t, l, func(*runner.Config) {})
	run := b.start("say hello")
	first := b.stepAt(run, 0)
	if _, err := b.forks(first, "go on", "fork-key-1"); !errors.Is(err, runner.ErrForkWorks) {
		t.Errorf("a fork of a run at work: %v", err)
	}
	close(l.may)
	b.until(run, provenance.CloseAnswered)
	// A session that does not reach the run has nothing to go on from, nor has one of which nobody has said that it does.
	for i, reaches := range []func(journal.RunInfo) bool{nil, func(of journal.RunInfo) bool { return of.ID != run }} {
		q, err := b.fork(first, "tell me all", "fork-key-unreached-"+string(rune('a'+i)))
		if err != nil {
			t.Fatal(err)
		}
		q.Reaches = reaches
		if _, err := b.r.Start(t.Context(), q); !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("a fork of a run that is out of reach: %v", err)
		}
	}
	for name, step := range map[string]provenance.Link{
		"a run": run, "a head": b.info(run).Head, "nothing": provenance.NewRaw([]byte("x")).CID,
	} {
		if _, err := b.forks(step, "go on", "fork-key-"+name); !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("a fork of %s: %v", name, err)
		}
	}
	other := b.user
	other.nonce, other.seq, other.wallet = "another123456789", 0, nil
	wallet, err := auth.ParseWallet("0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a")
	if err != nil {
		t.Fatal(err)
	}
	if other.wallet = wallet; other.signIn(t.Context(), b.r) != nil {
		t.Fatal("no sign-in")
	}
	q, err := other.fork(first, "go on", "fork-key-9")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.r.Start(t.Context(), q); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a fork of another wallet's run: %v", err)
	}
}

// Each lie about a fork has a name.
func TestLiesAboutAForkAreFound(t *testing.T) {
	m := &clerk{}
	b := openWith(t, m, func(*runner.Config) {})
	run := b.start("pay bob 2 USDC")
	b.until(run, provenance.CloseAnswered)
	fork, err := b.forks(b.stepAt(run, 1), "and now?", "fork-key-1")
	if err != nil {
		t.Fatal(err)
	}
	b.until(fork.ID, provenance.CloseAnswered)
	for name, c := range map[string]struct {
		lie  func(l *lie)
		want provenance.Code
	}{
		"another step of the same run": {func(l *lie) {
			l.steps[0].Event.(*provenance.Ask).After = b.stepAt(run, 2)
		}, audit.CodeForkStep},
		"an effect of the shared steps, done again": {func(l *lie) {
			views, err := b.r.Steps(t.Context(), run, 1, 1)
			if err != nil {
				t.Fatal(err)
			}
			l.steps[0].Does = append(l.steps[0].Does, views[0].Step.Does[0])
		}, provenance.CodeHistoryCall},
	} {
		_, o := b.exported(fork.ID)
		l := b.stepsOf(fork.ID)
		c.lie(l)
		l.retell(fork.ID)
		if rep := audit.Verify(l, o); rep.Code != c.want {
			t.Errorf("%s: %s %s, want %s", name, rep.Code, rep.Detail, c.want)
		}
	}
	// Without the shared steps the rest is judged, and what is missing is named.
	src, o := b.exported(fork.ID)
	rep := audit.Verify(without{src, b.stepAt(run, 1)}, o)
	if rep.Verdict != provenance.Gaps || !strings.Contains(strings.Join(rep.Unproven, "\n"), "shares with the one") {
		t.Errorf("without the shared steps: %s %s %s, unproven %q", rep.Verdict, rep.Code, rep.Detail, rep.Unproven)
	}
}
