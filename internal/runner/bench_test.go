package runner_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// The floor: a hand-written loop over the same model and tool, one tool call and two model calls, which records
// nothing and asks nobody.
func BenchmarkFloorLoop(b *testing.B) {
	m := replies{calls(call("1", "echo.say", `{"text":"hi"}`)), text("it said hi")}
	b.ReportAllocs()
	for b.Loop() {
		msgs := []model.Message{{Role: model.RoleUser, Text: "echo hi"}}
		for {
			r, err := m.Reply(context.Background(), model.Prompt{Messages: msgs})
			if err != nil {
				b.Fatal(err)
			}
			msgs = append(msgs, model.Message{Role: model.RoleAssistant, Text: r.Text, Calls: r.Calls})
			if len(r.Calls) == 0 {
				break
			}
			for _, c := range r.Calls {
				var in struct{ Text string }
				if err := json.Unmarshal(c.Args, &in); err != nil {
					b.Fatal(err)
				}
				out, err := json.Marshal(map[string]string{"said": in.Text})
				if err != nil {
					b.Fatal(err)
				}
				msgs = append(msgs, model.Message{Role: model.RoleTool, CallID: c.ID, Text: string(out)})
			}
		}
	}
}

// The product: the same request through a Runner with policies, sealed leaves, records, CIDs, a signed head, and the
// journal in memory.
func BenchmarkRun(b *testing.B) {
	bench := openWith(b, replies{calls(call("1", "echo.say", `{"text":"hi"}`)), text("it said hi")}, func(c *runner.Config) {
		c.Agents[0].Grant.MaxCalls = 100_000
		c.LeafKey = nil // chance, as in earnest
	})
	reqs := make([]runner.StartRequest, 0, 4096)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i == len(reqs) {
			b.StopTimer()
			req, err := bench.request("echo hi", fmt.Sprintf("bench-%08d", i))
			if err != nil {
				b.Fatal(err)
			}
			reqs = append(reqs, req)
			b.StartTimer()
		}
		info, err := bench.r.Start(b.Context(), reqs[i])
		if err != nil {
			b.Fatal(err)
		}
		bench.ended(info.ID)
	}
}

// What a run costs without what waits and what signs: the machine, the policies, sealed leaves, records, CIDs and the
// journal in memory, for the same request. Heads, goroutines and timers are left out.
func BenchmarkJournal(b *testing.B) {
	kept := &keeper{Store: storetest.Memory(b)}
	bench := openWith(b, replies{calls(call("1", "echo.say", `{"text":"hi"}`)), text("it said hi")}, func(c *runner.Config) {
		c.Agents[0].Grant.MaxCalls = 100_000
		c.Store = kept
	})
	req, err := bench.request("echo hi", "bench-0001")
	if err != nil {
		b.Fatal(err)
	}
	info, err := bench.r.Start(b.Context(), req)
	if err != nil {
		b.Fatal(err)
	}
	bench.until(info.ID, provenance.CloseAnswered)
	views, err := bench.r.Steps(b.Context(), info.ID, 0, 16)
	if err != nil {
		b.Fatal(err)
	}
	m := bench.machine(info.ID)
	again := func(p *provenance.Payload) *provenance.Payload {
		text, _ := p.Bytes()
		if text == nil {
			return nil
		}
		return provenance.NewPayload(text)
	}
	fresh := func(ev provenance.Event) provenance.Event { // as it comes from outside: with payloads that have no leaf
		switch ev := ev.(type) {
		case *provenance.Ask:
			e := *ev
			e.Request = again(ev.Request)
			return &e
		case *provenance.Reply:
			mc := *ev.Model
			mc.Text = again(mc.Text)
			mc.Calls = slices.Clone(mc.Calls)
			for i := range mc.Calls {
				mc.Calls[i].Args = again(mc.Calls[i].Args)
			}
			return &provenance.Reply{Of: ev.Of, Model: &mc}
		case *provenance.Result:
			e := *ev
			e.Output = again(ev.Output)
			return &e
		}
		b.Fatalf("%T", ev)
		return nil
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		run := &provenance.Run{
			Agent: info.ID, Grant: info.ID, Rules: info.ID, Runtime: info.ID, Opened: start.UnixMilli(), Nonce: [32]byte{1, byte(n), byte(n >> 8), byte(n >> 16)},
		}
		root, err := provenance.Encode(run)
		if err != nil {
			b.Fatal(err)
		}
		state, prev := loop.State{Run: root.CID}, provenance.Link{}
		for i, v := range views {
			step := &provenance.Step{
				Run: root.CID, Seq: uint64(i), Prev: prev, At: v.Step.At, Event: fresh(v.Step.Event), Facts: v.Step.Facts,
			}
			var next loop.Next
			if state, next, err = m.Step(state, step.At, step.Event, step.Facts); err != nil {
				b.Fatal(err)
			}
			step.Does = next.Does
			c := kept.commits[i]
			c.Run, c.Head, c.Blocks, c.Leaves = root.CID, nil, nil, nil
			if i == 0 {
				o := *c.Open
				o.Key = fmt.Sprint("bench", n)
				c.Open, c.Blocks = &o, append(c.Blocks, root)
			}
			for _, p := range provenance.Payloads(step) {
				var k provenance.LeafKey
				rand.Read(k[:])
				leaf, err := p.Seal(k)
				if err != nil {
					b.Fatal(err)
				}
				c.Blocks, c.Leaves = append(c.Blocks, leaf), append(c.Leaves, provenance.Leaf{CID: leaf.CID, Key: k})
			}
			if c.Step, err = provenance.Encode(step); err != nil {
				b.Fatal(err)
			}
			if err := kept.Store.Commit(b.Context(), c); err != nil {
				b.Fatal(err)
			}
			prev = c.Step.CID
		}
	}
}

// A keeper notes what was committed.
type keeper struct {
	journal.Store
	commits []journal.Commit
}

func (k *keeper) Commit(ctx context.Context, c journal.Commit) error {
	k.commits = append(k.commits, c)
	return k.Store.Commit(ctx, c)
}
