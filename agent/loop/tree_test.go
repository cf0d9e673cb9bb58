package loop_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/subagent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
)

// A grove plays random trees of sub-agents through the machines of a caller and of a sub-agent.
type grove struct {
	*testing.T
	r       *rand.Rand
	root    *loop.Machine
	sub     *loop.Machine
	names   map[provenance.Link]string
	runs    int
	deepest int
}

// isNoBetter says whether a label is at most as trusted, at least as secret and from everywhere that part is.
func isNoBetter(l, part label.Label) bool {
	for _, o := range part.Origins {
		if !l.From(o) {
			return false
		}
	}
	return l.Integrity >= part.Integrity && l.Secrecy >= part.Secrecy
}

// output makes what a reading tool returns, and the label that this must have at least.
func (g *grove) output(tool string) (out string, l label.Label) {
	origin := fmt.Sprintf("web:%d.example", g.r.IntN(40))
	switch tool {
	case "web.get":
		return fmt.Sprintf(`{"origins":[%q]}`, origin), label.Label{Integrity: label.Untrusted, Origins: []string{origin}}
	case "notes.read":
		return `{}`, label.Label{Integrity: label.Tool, Secrecy: label.Wallet, Origins: []string{"tool:notes.read"}}
	case "docs.find":
		levels := []label.Secrecy{label.Public, label.Session, label.Wallet}
		d := label.Label{Integrity: label.Integrity(g.r.IntN(4)), Secrecy: levels[g.r.IntN(3)], Origins: []string{"doc:" + origin[4:]}}
		return fmt.Sprintf(`{"documents":[{"cid":"c","source":%q,"text":"x","integrity":%q,"secrecy":%q}]}`,
			origin[4:], d.Integrity, d.Secrecy), d
	}
	return `{}`, label.Label{Integrity: label.Tool, Origins: []string{"tool:" + tool}}
}

// play plays one run, and those that it opens, and returns its last step and a label that the run's may not be better
// than.
func (g *grove) play(begins *label.Label, depth int) (*provenance.Step, label.Label) {
	g.runs++
	g.deepest = max(g.deepest, depth)
	m, name := g.root, "payer"
	parts := label.Label{Integrity: label.User, Secrecy: label.Session}
	ev := &provenance.Ask{Method: wire.RunStart}
	if begins != nil {
		m, name, parts = g.sub, "helper", parts.Join(*begins)
		b, err := json.Marshal(begins)
		if err != nil {
			g.Fatal(err)
		}
		ev.Method, ev.Label = subagent.Method, provenance.NewPayload(b)
	}
	params, err := json.Marshal(wire.StartParams{Agent: name, Input: "do it", Key: "key-00001"})
	if err != nil {
		g.Fatal(err)
	}
	ev.Request = provenance.NewPayload(params)
	rig := rigOf(g, m, loop.Config{})
	rig.tool = g.names
	k := &talk{rig: rig}
	k.step(ev)
	for turn := 0; !rig.s.Closed; turn++ {
		var asks []provenance.ToolAsk
		for i := g.r.IntN(4); i > 0 && turn < 2; i-- {
			tools := []string{"web.get", "notes.read", "docs.find", "price.get", "agent.helper", "agent.helper"}
			tool := tools[g.r.IntN(len(tools))]
			if tool == "agent.helper" && (depth == 3 || g.r.IntN(5) == 0) {
				continue
			}
			arg := `{"text":"a"}`
			if tool == "agent.helper" {
				arg = `{"input":"a"}`
			}
			asks = append(asks, wish(fmt.Sprint(i), tool, arg))
		}
		mc := asked("free", asks...)
		if len(asks) == 0 {
			mc = spoke("free", "done")
		}
		k.step(&provenance.Reply{Of: *openOf[*provenance.AskModel](rig), Model: mc})
		parts = g.answer(k, parts, depth)
	}
	last := &provenance.Step{Does: rig.does}
	return last, parts
}

// answer gives every open call of a turn its result, and the wallet's approval where it is asked.
func (g *grove) answer(k *talk, parts label.Label, depth int) label.Label {
	for ref := openOf[*provenance.Seek](k.rig); ref != nil; ref = openOf[*provenance.Seek](k.rig) {
		k.step(&provenance.Verdict{Of: *ref, Approval: &provenance.Approval{Message: payload("{}"), Sig: payload("sig"),
			Method: auth.MethodEOA}})
	}
	before := parts // what the caller's model has been given when it asked for the calls
	for ref := openOf[*provenance.Call](k.rig); ref != nil; ref = openOf[*provenance.Call](k.rig) {
		call := k.effects[*ref].(*provenance.Call)
		tool := k.tool[call.Tool]
		out, l := g.output(tool)
		if call.Handed != nil {
			var begins label.Label
			b, _ := call.Handed.Label.Bytes()
			if err := json.Unmarshal(b, &begins); err != nil {
				g.Fatal(err)
			}
			if !isNoBetter(begins, before) {
				g.Fatalf("a sub-agent begins with %+v, and its caller has seen %+v", begins, before)
			}
			last, seen := g.play(&begins, depth+1)
			o, err := subagent.OutcomeOf(provenance.Sum(0x71, []byte("run")), last)
			if err != nil {
				g.Fatal(err)
			}
			if !isNoBetter(*o.Label, seen) {
				g.Fatalf("a sub-agent ends with %+v, and it has seen %+v", *o.Label, seen)
			}
			o.Used = subagent.Used{Spent: []subagent.UsedAsset{}}
			out, l = string(o.JSON()), seen.Join(label.Label{Origins: []string{"tool:" + tool}})
		}
		k.step(&provenance.Result{Of: *ref, Status: "ok", Output: payload(out)})
		parts = parts.Join(l)
	}
	return parts
}

// The labels of random trees of sub-agents are never better than their parts: no run begins with a better label than
// its caller has, none ends with a better one than all that it and the agents below it have seen, and its caller has
// that from then on. Of 10,000 trees with WRIT_WHOLE=1.
func TestLabelsOfTreesAreNeverBetterThanTheirParts(t *testing.T) {
	trees := 1_000
	switch {
	case testing.Short():
		trees = 200
	case os.Getenv("WRIT_WHOLE") != "":
		trees = 10_000
	}
	g := &grove{T: t, r: rand.New(rand.NewPCG(12, 13)), names: map[provenance.Link]string{}}
	for _, delegated := range []bool{false, true} {
		s := newSetting(t)
		s.tools = []string{"web.get", "notes.read", "docs.find", "price.get", "agent.helper"}
		s.agent.Routes = s.agent.Routes[1:] // the free model
		s.agent.Limits = provenance.Limits{Turns: 1000, Calls: 1000, Tokens: 1 << 40, Cost: 1 << 40, Wall: 600_000}
		c := &s.grant.Caveats
		c.MaxDepth, c.MaxCalls, c.MaxTokens = 4, 1000, 1_000_000_000
		if delegated {
			s.setDelegation(t, "")
		}
		config := s.config(t)
		m, err := loop.New(config)
		if err != nil {
			t.Fatal(err)
		}
		for link, def := range config.Tools {
			g.names[link] = def.Name
		}
		if g.root == nil {
			g.root = m
		} else {
			g.sub = m
		}
	}
	for range trees {
		last, parts := g.play(nil, 0)
		for _, e := range last.Does {
			if e, ok := e.(*provenance.Close); ok && !strings.Contains("answered limit", e.Reason) {
				t.Fatalf("a tree closed as %s, with %+v", e.Reason, parts)
			}
		}
	}
	t.Logf("%d trees of %d runs, up to %d deep", trees, g.runs, g.deepest)
	if g.runs < trees || g.deepest < 3 {
		t.Errorf("%d trees of %d runs, up to %d deep, are no trees", trees, g.runs, g.deepest)
	}
}
