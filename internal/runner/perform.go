package runner

import (
	"context"
	"encoding/json"
	"runtime/debug"
	"sync"
	"time"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/modelrace"
	"github.com/writ-run/writ/internal/ownwallet"
	"github.com/writ-run/writ/internal/reuse"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// An effect is an open effect of a run. It is performed beside the run's actor and does not touch it.
type effect struct {
	runs    *runs
	machine *loop.Machine
	run     journal.RunInfo // as it was when the effect was begun
	ref     provenance.Ref
	step    provenance.Link // that holds it
}

// An answer is the event that an effect came to. Without an event it comes later, by itself.
type answer struct {
	of    provenance.Ref
	ev    provenance.Event
	lead  *reuse.Lead // keeps where the answer stands once it is durable; nil for nothing
	after func()      // called once the step is durable, or could not be; nil for nothing
	said  bool        // by the model or the tool itself, so it holds however the effect was ended
	cut   bool        // the effect ended because the Runner stops; it stays open, for the next start
}

func (ans *answer) release() {
	if ans.after != nil {
		ans.after()
	}
}

// A performance does an effect.
type performance func(context.Context) answer

// performOpen begins every open effect that has not been begun. While the Runner drains, these are only the calls that
// must not be repeated: the next process could not know that they were not begun.
func (a *actor) performOpen(ctx context.Context, wg *sync.WaitGroup) {
	draining := a.runs.background.IsDraining()
	var begin []func() // once all are known: of calls that wait for one wallet, the oldest comes first
	for ref, e := range a.effects {
		if a.begun[ref] || draining && !isOnceAct(e) {
			continue
		}
		at := &effect{runs: a.runs, machine: a.machine, run: a.info, ref: ref, step: a.steps[ref.Seq].id}
		do := a.performanceOf(at, e)
		if do == nil {
			continue
		}
		a.begun[ref] = true
		if needsLog(e) {
			do = at.afterLog(do)
		}
		a.underWay++
		begin = append(begin, func() { a.performEffect(ctx, at, do) })
	}
	for _, do := range begin {
		wg.Go(do)
	}
	a.loaded = false
	for ref := range a.begun {
		if _, open := a.effects[ref]; !open {
			delete(a.begun, ref)
			delete(a.away, ref)
		}
	}
}

// performanceOf says how an effect is performed. An approval is not performed, nor is a question: the wallet comes by
// itself, and so does the user's answer.
func (a *actor) performanceOf(at *effect, e provenance.Effect) performance {
	switch e := e.(type) {
	case *provenance.AskModel:
		race, alone := modelrace.Of(&a.race, a.effects)
		ask := &modelAsk{
			effect: at, ask: e, prompt: a.machine.Prompt(a.state, e.MaxTokens), salt: a.state.Salt(),
			stream: a.machine.MayStream(a.state), again: a.state.IsAskedAgain(),
			race: race, outrun: a.state.IsOutrun(at.ref), hedge: loop.ReuseOf(a.machine, a.state).MayHedge(),
		}
		if a.runs.reuse != nil && alone {
			return (&reusing{ask, loop.ReuseOf(a.machine, a.state)}).perform
		}
		return ask.perform
	case *provenance.Call:
		if e.Phase == provenance.PhaseAsk || e.Class == definition.ClassClient { // the user answers, or the caller
			return nil
		}
		if a.machine.DelegateOf(e) != nil {
			return (&subCall{effect: at, call: e}).perform
		}
		// Whether an earlier process began it is not known; what must not be repeated is treated as begun.
		call := &toolCall{
			effect: at, call: e, again: a.loaded && at.ref.Seq < a.info.Steps, seen: a.state.Foreseen(at.ref),
			decided: a.steps[at.ref.Seq].at,
		}
		call.block, call.hash = a.state.Included(at.ref)
		call.attempts, call.told = a.state.Attempts(at.ref)
		call.enterBook()
		return call.perform
	}
	return nil
}

// performEffect does an effect and hands its answer to the actor, which takes one of each effect that it has begun.
// What ended because the Runner stops did not fail: it is open, and is taken up by the next start.
func (a *actor) performEffect(ctx context.Context, at *effect, do performance) {
	ans := at.performGuarded(ctx, do)
	a.runs.sent.End(ownwallet.Key{Run: at.run.ID, Effect: at.ref})
	ans.of = at.ref
	ans.cut = ans.cut || ctx.Err() != nil && !ans.said
	a.answers <- ans
}

// isOnceAct says whether an effect is a call that must not be repeated.
func isOnceAct(e provenance.Effect) bool {
	c, ok := e.(*provenance.Call)
	return ok && c.Phase == provenance.PhaseAct && tools.Class(c.Class) == tools.Once
}

// performGuarded performs an effect. A model or a tool that panics must not end everybody's runs, nor this one's at
// each start anew: what it did is not known.
func (x *effect) performGuarded(ctx context.Context, do performance) (ans answer) {
	defer func() {
		if p := recover(); p != nil {
			// Not what it says, which may quote a payload.
			x.runs.log.ErrorContext(ctx, "panic in an effect",
				"run", x.run.ID, "seq", x.ref.Seq, "stack", string(debug.Stack()))
			ans = x.inDoubt()
		}
	}()
	return do(ctx)
}

// inDoubt answers that it is not known what came of the effect.
func (x *effect) inDoubt() answer {
	return answer{ev: &provenance.Lapse{Of: &x.ref, Why: provenance.LapseInDoubt}}
}

// answerFailure answers with an error that the agent's model reads.
func (x *effect) answerFailure(code, message string) answer {
	return answer{ev: &provenance.Result{
		Of: x.ref, Status: provenance.StatusError, Output: provenance.NewPayload(failureJSON(code, message)),
	}}
}

func failureJSON(code, message string) []byte {
	b, _ := json.Marshal(map[string]string{"code": code, "error": message}) // it cannot fail: all are strings
	return b
}

// A Log is the transparency log that heads go to. provenance/translog has one. It is a projection of the journal: the
// store gives each head its place in the log in the transaction that commits the head, and the log takes them in from
// there.
type Log interface {
	// Added says that there are new entries in the store. It does not block.
	Added()
	// Wait returns once the entry, which is in the store, is durable in the log's own files; or when ctx ends.
	Wait(ctx context.Context, entry provenance.Link) error
}

// logPause is how long one wait for the log lasts before it is said that the log does not take entries.
const logPause = 10 * time.Second

// needsLog says which effects wait for the log: nobody can then pretend that the run, or the act, was never there.
func needsLog(e provenance.Effect) bool {
	_, ask := e.(*provenance.AskModel)
	return ask || isFinal(e)
}

// afterLog makes an effect wait until the run's newest head is in the log. A log that takes nothing delays the effect,
// which the run's own deadline bounds. If the Runner stops meanwhile, there is no answer.
func (x *effect) afterLog(do performance) performance {
	log, head := x.runs.cfg.HeadLog, x.run.Head
	if log == nil || !head.Defined() {
		return do
	}
	return func(ctx context.Context) answer {
		for !x.isLogged(ctx, log, head) {
			if ctx.Err() != nil {
				return answer{cut: true}
			}
			select { // an error may come at once
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		return do(ctx)
	}
}

// isLogged waits a while for the head to be in the log.
func (x *effect) isLogged(ctx context.Context, log Log, head provenance.Link) bool {
	one, cancel := context.WithTimeout(ctx, logPause)
	defer cancel()
	err := log.Wait(one, head)
	if err != nil && ctx.Err() == nil {
		x.runs.log.ErrorContext(ctx, "the log does not take the run's head; the run waits", "run", x.run.ID, "err", err)
	}
	return err == nil
}
