package tamper

import (
	"slices"
	"time"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/provenance"
)

// A forked is the run that another one goes on from, at its last step, and what a liar says of it.
type forked struct {
	from *history
	told *thread.Shared // in place of what the steps say
}

// joinFork lets the run go on from a step of another one.
func (g *game) joinFork(ask *provenance.Ask, params []byte) error {
	f := g.world.fork
	if f == nil {
		return nil
	}
	is := f.from.shared
	if f.told != nil {
		is = *f.told
	}
	_, earlier := thread.Fork(params, is)
	ask.Method, ask.After, ask.Earlier = "run.fork", f.from.lastStep(), thread.PayloadOf(earlier)
	g.state = g.state.RecallFork(&is)
	return nil
}

func (h *history) lastStep() provenance.Link { return h.cids[len(h.cids)-1] }

// forkWorlds are a run, and one that goes on from the step where its call was still open.
func forkWorlds() (first, second *world) {
	first, second = smallWorld(), smallWorld()
	first.stop = 2
	second.nonce, second.input, second.opened = 21, "never mind", start.Add(time.Minute)
	second.replies = []model.Reply{replyText("as you like")}
	return first, second
}

// makeFork plays both. world changes the worlds before they are played, from the first run before the second is, and to
// the second at the end.
func makeFork(
	world func(first, second *world), from func(*history), to func(first, second *history),
) func(*bench) ([]byte, error) {
	return func(b *bench) ([]byte, error) {
		first, second := forkWorlds()
		world(first, second)
		h, err := playWorld(first)
		if err != nil {
			return nil, err
		}
		from(h)
		if err := h.relinkAll(); err != nil {
			return nil, err
		}
		if second.fork == nil {
			second.fork = &forked{}
		}
		second.fork.from = h
		fork, err := playWorld(second)
		if err != nil {
			return nil, err
		}
		to(h, fork)
		if err := fork.relinkAll(); err != nil {
			return nil, err
		}
		for _, each := range []*history{h, fork} {
			for c, k := range each.keys {
				b.keys[c] = k
			}
		}
		for _, x := range h.blocks[1:] { // without its head
			fork.putBlock(x)
		}
		return fork.writeCAR(), nil
	}
}

func asPlayed(*history)          {}
func bothAsPlayed(_, _ *history) {}
func asTheyAre(_, _ *world)      {}

// falseForks are runs that go on from a step of another one otherwise than they may.
var falseForks = []vector{
	{Name: "honest-fork", Verdict: verified,
		What: "a run that goes on from a step of another one, with the steps they share",
		make: makeFork(asTheyAre, asPlayed, bothAsPlayed)},
	{Name: "honest-fork-alone", Verdict: gaps, What: "the same without these steps: what they say cannot be derived",
		make: leaveOut(makeFork(asTheyAre, asPlayed, bothAsPlayed), func(r provenance.Record) bool {
			s, ok := r.(*provenance.Step)
			return ok && len(s.Does) > 0 && s.Seq == 1 && isCall(s.Does[0])
		})},
	{Name: "fork-step", Code: audit.CodeForkStep, What: "a fork of another step than the wallet asked for",
		make: leaveOut(makeFork(asTheyAre, asPlayed, func(first, second *history) {
			second.steps[0].Event.(*provenance.Ask).After = first.cids[0]
		}), func(provenance.Record) bool { return false })},
	{Name: "fork-no-step", Code: provenance.CodeLinksKind, What: "a fork of what is no step",
		make: leaveOut(makeFork(asTheyAre, asPlayed, func(first, second *history) {
			second.steps[0].Event.(*provenance.Ask).After = first.runCID
		}), func(provenance.Record) bool { return false })},
	{Name: "fork-other", Code: audit.CodeForkOther, What: "a fork of another wallet's run",
		make: makeFork(func(first, _ *world) { first.foreign = true }, asPlayed, bothAsPlayed)},
	{Name: "fork-shared", Code: audit.CodeForkShared, What: "a step that the fork shares was changed before it was forked",
		make: makeFork(asTheyAre, func(h *history) { h.steps[0].Does[0].(*provenance.AskModel).MaxTokens++ }, bothAsPlayed)},
	{Name: "fork-told", Code: audit.CodeForkTold, What: "the model was told something else than the shared steps say",
		make: makeFork(func(_, second *world) {
			first, _ := forkWorlds()
			told := must(playWorld(first)).shared
			told.Messages = slices.Clone(told.Messages)
			told.Messages[0].Text = "say bye"
			second.fork = &forked{told: &told}
		}, asPlayed, bothAsPlayed)},
	{Name: "fork-repeats", Code: provenance.CodeHistoryCall, What: "a fork makes a call of the shared steps again",
		make: makeFork(asTheyAre, asPlayed, func(first, second *history) {
			second.steps[0].Does = append(slices.Clip(second.steps[0].Does), first.steps[1].Does[0])
		})},
}

func isCall(e provenance.Effect) bool { _, ok := e.(*provenance.Call); return ok }
