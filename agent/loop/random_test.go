package loop_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/provenance"
)

// Whatever happens to a run, in whatever order, what must hold at every step holds (see rig.give and rig.book): the
// same events lead to the same effects, a state that was given stays as it was, nothing acts without a permit, every
// reservation fits its cap and is settled exactly once, a closed run holds nothing and takes in nothing, and each
// tool call has exactly one outcome.
func TestAnyOrderOfEvents(t *testing.T) {
	base := setting(t)
	machines := map[provenance.Limits]*loop.Machine{}
	closed := map[string]int{}
	order := func(t *rapid.T) {
		l := base.Agent.Limits
		l.Turns, l.Calls = rapid.Uint64Range(1, 6).Draw(t, "turns"), rapid.Uint64Range(1, 6).Draw(t, "calls")
		if machines[l] == nil {
			config, agent, grant := base, *base.Agent, *base.Grant
			agent.Limits, config.Agent, config.Grant = l, &agent, &grant
			machines[l] = machine(t, config)
		}
		r := rigOf(t, machines[l], base)
		asks("do it")(r)
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			anything(t, r)
			if r.s.Closed {
				break
			}
		}
		if !r.s.Closed { // the runtime's last word ends any run once its broadcasts are known
			run(provenance.LapseCancelled)(r)
			for !r.s.Closed {
				returns(0, mined)(r)
			}
		}
		closed[r.s.Status]++
		anything(t, r)
		if r.refused == nil {
			t.Fatalf("a closed run took in an event")
		}
	}
	for range 20 { // times the hundred orders that rapid tries
		rapid.Check(t, order)
	}
	t.Log(closed)
}

// anything gives the run one event, mostly one that answers what is open.
func anything(t *rapid.T, r *rig) {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	refs := r.s.OpenEffects()
	ref := provenance.Ref{Seq: rapid.Uint64Range(0, 8).Draw(t, "seq"), Index: rapid.Uint64Range(0, 4).Draw(t, "index")}
	if len(refs) > 0 && rapid.IntRange(0, 9).Draw(t, "any place") > 0 {
		ref = rapid.SampledFrom(refs).Draw(t, "open")
	}
	at := slices.Index(refs, ref)
	r.at += rapid.SampledFrom([]int64{0, 0, 0, 1, 1_000, 119_000, 200_000}).Draw(t, "later")
	if rapid.IntRange(0, 30).Draw(t, "revoke") == 0 {
		r.facts.Revoked = true
	}
	r.facts.Down = rapid.SampledFrom([][]string{nil, nil, nil, {"paid"}, {"free", "paid"}}).Draw(t, "down")

	what := rapid.IntRange(0, 19).Draw(t, "what")
	switch r.effects[ref].(type) {
	case *provenance.AskModel:
		if at >= 0 && what > 2 {
			stop := pick("stop", model.StopTools, model.StopTools, model.StopTools, model.StopEnd, model.StopLength,
				model.StopFilter)
			var calls []provenance.ToolAsk
			for i := range rapid.IntRange(0, 4).Draw(t, "calls") {
				to, n := pick(fmt.Sprint("to", i), "bob", "bob", "mallory", "nobody"), pick(fmt.Sprint("amount", i),
					"0.5", "1", "5", "9", "11", "x")
				calls = append(calls, rapid.SampledFrom([]provenance.ToolAsk{
					echo("x"), echo("ask first"), echo("secret"), post("x"), post("public"), pay(to, n), send(to,
						n), use("no.such", `{}`),
				}).Draw(t, "call"))
			}
			replies(stop, pick("text", "", "hello"), calls...)(r)
			return
		}
	case *provenance.Call:
		if at >= 0 && what > 4 {
			status := pick("status", "ok", "ok", "ok", "ok", "error", "timeout", "denied", "cancelled", "in_doubt")
			result(at, status, pick("output", simulated, simulated, mined, mined, `{"ok":false}`, `{"status":"ok"}`,
				"simulated debit=2", "simulated credit=0.5 others=1", "mined debit=3", "simulated computed",
				`{"status":"reverted","block":"1"}`, "no JSON", ""))(r)
			return
		}
	case *provenance.Seek:
		if at >= 0 && what > 4 {
			verdict(at, pick("refused", "", "", "no"))(r)
			return
		}
	}
	why := pick("why", provenance.LapseTimeout, provenance.LapseCancelled, provenance.LapseInDoubt,
		provenance.LapseBudget, provenance.LapseRevoked)
	switch what {
	case 0:
		r.give(&provenance.Lapse{Why: why})
	case 1:
		r.give(&provenance.Reply{Of: ref, Failed: "model.timeout"})
	case 2:
		r.give(&provenance.Result{Of: ref, Status: provenance.StatusOK, Output: payload("{}")})
	case 3:
		r.give(&provenance.Verdict{Of: ref, Words: payload("no")})
	case 4:
		asks("again")(r)
	case 5:
		r.at -= time.Second.Milliseconds()
		r.give(&provenance.Lapse{Of: &ref, Why: why})
		r.at += time.Second.Milliseconds()
	default:
		r.give(&provenance.Lapse{Of: &ref, Why: why})
	}
}
