// Subagents runs an agent that has no tool but another agent, which it calls like one. The second may make two calls of
// its own and no more, and the record of the first holds the record of the second.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/model"
)

// A dispatcher is a model that hands every request on, and says what came back. A real one would choose.
type dispatcher struct{}

func (dispatcher) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	last := p.Messages[len(p.Messages)-1]
	if last.Role == model.RoleTool {
		var came struct{ Answer string }
		err := json.Unmarshal([]byte(last.Text), &came)
		return model.Reply{Stop: model.StopEnd, Text: "The forecaster says: " + came.Answer}, err
	}
	args, err := json.Marshal(map[string]string{"input": last.Text})
	return model.Reply{Stop: model.StopTools, Calls: []model.Call{{ID: "1", Tool: "agent.forecaster", Args: args}}}, err
}

type place struct {
	City string `json:"city"`
}

func forecast(_ context.Context, p place) (string, error) { return "sunny in " + p.City, nil }

func main() {
	ctx := context.Background()
	weather := agent.Func("weather.now", "Tells the weather.", agent.Read, forecast, "what is the weather in {city}")
	front, err := agent.Open(ctx, agent.Config{Model: dispatcher{}, Delegates: []agent.Delegate{{
		Name: "forecaster", About: "Knows the weather.", MaxCalls: 2, Tools: []agent.Tool{weather},
	}}})
	orFail(err)
	defer front.Close()
	answer, err := front.Ask(ctx, "what is the weather in Rome?")
	orFail(err)
	fmt.Println(answer.Text)
	report, err := answer.Report(ctx)
	orFail(err)
	for _, c := range report.Checks {
		if c.Name == "cover" {
			fmt.Println(c.Note)
		}
	}
	fmt.Println(answer.Head, report.Verdict)
}

func orFail(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
