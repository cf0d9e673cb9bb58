package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/model"
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
	bench := openWith(b, replies{calls(call("1", "echo.say", `{"text":"hi"}`)), text("it said hi")}, func(c *agent.Config) {
		c.Agents[0].Grant.MaxCalls = 100_000
	})
	reqs := make([]agent.StartRequest, 0, 4096)
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
