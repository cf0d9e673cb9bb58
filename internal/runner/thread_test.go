package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A listener notes what each prompt was, and answers with the number of it once it may.
type listener struct {
	mu      sync.Mutex
	prompts []string
	may     chan struct{} // nil for at once
}

func (l *listener) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	var said []string
	for _, m := range p.Messages {
		said = append(said, string(m.Role)+": "+m.Text)
	}
	l.mu.Lock()
	l.prompts = append(l.prompts, strings.Join(said, "\n"))
	n, may := len(l.prompts), l.may
	l.mu.Unlock()
	if may != nil {
		select {
		case <-may:
		case <-ctx.Done():
			return model.Reply{}, context.Cause(ctx)
		}
	}
	return text("answer " + strings.Repeat("x", n)), nil
}

func (l *listener) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.prompts[len(l.prompts)-1]
}

// say starts a run in a thread.
func (b *bench) say(input, key, in string) (journal.RunInfo, error) {
	b.Helper()
	return b.r.Start(b.Context(), b.requestIn(input, key, in))
}

// requestIn makes the signed request of a run in a thread.
func (b *bench) requestIn(input, key, in string) runner.StartRequest {
	b.Helper()
	params, err := json.Marshal(wire.StartParams{Agent: "payer", Input: input, Key: key, Thread: in})
	if err != nil {
		b.Fatal(err)
	}
	b.seq++
	f := auth.Frame{Session: b.session.ID, Channel: [32]byte{1}, Seq: b.seq, Method: wire.RunStart, Params: params}
	sig, err := b.key.SignFrame(f)
	if err != nil {
		b.Fatal(err)
	}
	return runner.StartRequest{
		Session: b.session, Frame: f, Sig: sig, Agent: "payer", Input: input, Key: key, Thread: in,
	}
}

func TestAThreadIsToldAndChecked(t *testing.T) {
	l := &listener{}
	b := openWith(t, l, func(*runner.Config) {})
	for _, x := range []struct{ input, prompt string }{
		{"one", "user: one"},
		{"two", "user: one\nassistant: answer x\nuser: two"},
		{"three", "user: one\nassistant: answer x\nuser: two\nassistant: answer xx\nuser: three"},
	} {
		info, err := b.say(x.input, "key-of-"+x.input, "plans")
		if err != nil {
			t.Fatal(err)
		}
		b.until(info.ID, provenance.CloseAnswered)
		if got := l.last(); got != x.prompt {
			t.Errorf("%s: the model was told\n%s\nwant\n%s", x.input, got, x.prompt)
		}
		b.verified(info.ID)
	}
	list, err := b.store.Threads(t.Context(), journal.ThreadQuery{Owner: b.session.Owner(), Limit: 10})
	if err != nil || len(list) != 1 || list[0].Runs != 3 || list[0].Name != "plans" {
		t.Fatalf("threads: %+v, %v", list, err)
	}
	other, err := b.say("alone", "key-of-alone", "other")
	if err != nil {
		t.Fatal(err)
	}
	b.until(other.ID, provenance.CloseAnswered)
	if got := l.last(); got != "user: alone" {
		t.Errorf("another thread was told %q", got)
	}

	// Without the runs before, all else is verified and what is missing is named; a lie about them is found.
	src, o := b.exported(list[0].Last)
	rep := audit.Verify(without{src, b.info(b.runBefore(list[0].Last)).Head}, o)
	if rep.Verdict != provenance.Gaps || !strings.Contains(strings.Join(rep.Unproven, "\n"), "the words of 2 of the 2 earlier turns") {
		t.Errorf("without the runs before: %s %s, unproven %q", rep.Verdict, rep.Detail, rep.Unproven)
	}
	lied := b.stepsOf(list[0].Last)
	ask := lied.steps[0].Event.(*provenance.Ask)
	views, err := b.r.Steps(t.Context(), list[0].Last, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	params, _ := views[0].Step.Event.(*provenance.Ask).Request.Bytes()
	_, told := thread.Begin(params, 2, []thread.Turn{{Request: "one", Answer: "answer y"}})
	ask.Earlier = thread.PayloadOf(told)
	leaf, err := ask.Earlier.Seal(provenance.LeafKey{1})
	if err != nil {
		t.Fatal(err)
	}
	lied.more[leaf.CID], o.Keys[leaf.CID] = leaf.Data, provenance.LeafKey{1}
	lied.retell(list[0].Last)
	if rep := audit.Verify(lied, o); rep.Code != audit.CodeContextThread {
		t.Errorf("a lie about the runs before: %s %s", rep.Code, rep.Detail)
	}
}

// retell links and signs the steps again.
func (l *lie) retell(run provenance.Link) {
	l.b.Helper()
	var prev provenance.Link
	for _, s := range l.steps {
		s.Prev = prev
		prev = l.put(s)
	}
	last := l.steps[len(l.steps)-1]
	h := &provenance.Head{Run: run, Seq: last.Seq, Step: prev, At: last.At}
	if err := h.Sign(l.b.config.Key); err != nil {
		l.b.Fatal(err)
	}
	l.root = l.put(h)
}

// A without is a history without one block.
type without struct {
	provenance.Source
	gone provenance.Link
}

func (w without) Get(l provenance.Link) ([]byte, error) {
	if l == w.gone {
		return nil, provenance.ErrAbsent
	}
	return w.Source.Get(l)
}

// runBefore returns the run before one in its thread.
func (b *bench) runBefore(run provenance.Link) provenance.Link {
	b.Helper()
	views, err := b.r.Steps(b.Context(), run, 0, 1)
	if err != nil {
		b.Fatal(err)
	}
	var head provenance.Head
	data, err := b.store.Block(b.Context(), views[0].Step.Event.(*provenance.Ask).After)
	if err == nil {
		err = provenance.Decode(data, &head)
	}
	if err != nil {
		b.Fatal(err)
	}
	return head.Run
}

func TestOneRunOfAThreadAtATime(t *testing.T) {
	l := &listener{}
	b := openWith(t, l, func(*runner.Config) {})
	first, err := b.say("one", "key-of-one", "plans")
	if err != nil {
		t.Fatal(err)
	}
	b.until(first.ID, provenance.CloseAnswered)
	l.mu.Lock()
	l.may = make(chan struct{})
	l.mu.Unlock()
	second, err := b.say("two", "key-of-two", "plans")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.say("three", "key-of-three", "plans"); !errors.Is(err, journal.ErrThreadOpen) {
		t.Errorf("a second run at once: %v", err)
	}
	b.r.Close()
	b.restart() // what the model was told is derived again
	close(l.may)
	b.until(second.ID, provenance.CloseAnswered)
	if got, want := l.last(), "user: one\nassistant: answer x\nuser: two"; got != want {
		t.Errorf("after a restart the model was told\n%s\nwant\n%s", got, want)
	}
	b.verified(second.ID)
}

func TestRequestsOfAThreadWaitInLine(t *testing.T) {
	l := &listener{may: make(chan struct{})}
	b := openWith(t, l, func(c *runner.Config) { c.Agents[0].ThreadWaits = true })
	first, err := b.say("one", "key-of-one", "plans")
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		info journal.RunInfo
		err  error
	}
	second := make(chan answer)
	q := b.requestIn("two", "key-of-two", "plans")
	go func() {
		info, err := b.r.Start(b.Context(), q)
		second <- answer{info, err}
	}()
	select {
	case a := <-second:
		t.Fatalf("the second did not wait: %+v", a)
	case l.may <- struct{}{}: // the first is answered
	}
	a := <-second
	if a.err != nil || a.info.ID == first.ID {
		t.Fatalf("the second: %+v", a)
	}
	close(l.may)
	b.until(a.info.ID, provenance.CloseAnswered)
	if got, want := l.last(), "user: one\nassistant: answer x\nuser: two"; got != want {
		t.Errorf("the second was told\n%s\nwant\n%s", got, want)
	}
}

// A summer answers with so many words, and with few where it is to sum up.
type summer struct{ sums, asked atomic.Int32 }

func (l *summer) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	if strings.HasPrefix(p.System, "Below is the older part") {
		l.sums.Add(1)
		return text("They spoke of plans."), nil
	}
	l.asked.Add(1)
	return text("answer " + strings.Repeat("long ", 150)), nil
}

// A thread that outgrows what its runs are told is summed up by a model, and by that alone a later run knows of its
// beginning. The auditor makes every prompt again, over all of it, and finds a summary that was changed.
func TestALongThreadIsSummedUp(t *testing.T) {
	l := &summer{}
	b := openWith(t, l, func(c *runner.Config) {
		c.Models[0].Info.Kind, c.Agents[0].Limits.Tokens = model.KindModel, 40_000
	})
	var last provenance.Link
	for n := range 24 {
		info, err := b.say(fmt.Sprint("question ", n), fmt.Sprint("key-of-", 100+n), "plans")
		if err != nil {
			t.Fatal(err)
		}
		b.until(info.ID, provenance.CloseAnswered)
		last = info.ID
	}
	if l.sums.Load() < 2 || l.asked.Load() != 24 {
		t.Fatalf("%d summaries, %d answers; want some, and 24", l.sums.Load(), l.asked.Load())
	}
	b.verified(last)
	src, o := b.exported(last)
	if rep := audit.Verify(src, o); rep.Verdict != provenance.Verified && len(rep.Unproven) == 0 {
		t.Errorf("%s %s", rep.Verdict, rep.Detail)
	}
	told := readEarlier(t, b, last)
	if told.Place != 23 || told.Shown >= 23 {
		t.Errorf("the last run is number %d, and is told of %d", told.Place, told.Shown)
	}
}

func readEarlier(t *testing.T, b *bench, run provenance.Link) thread.Earlier {
	t.Helper()
	views, err := b.r.Steps(t.Context(), run, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := views[0].Step.Event.(*provenance.Ask).Earlier.Bytes()
	told, err := thread.Read(wire.RunStart, raw)
	if err != nil {
		t.Fatal(err)
	}
	return told
}
