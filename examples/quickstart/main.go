// Quickstart runs an agent inside a Go program: one typed tool, one request, and a check of the record.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/writ-run/writ/agent"
)

type place struct {
	City string `json:"city"`
}

func forecast(_ context.Context, p place) (string, error) { return "sunny in " + p.City, nil }

func main() {
	ctx := context.Background()
	weather := agent.Func("weather.now", "Tells the weather.", agent.Read, forecast, "what is the weather in {city}")
	a, err := agent.Open(ctx, agent.Config{Tools: []agent.Tool{weather}})
	orFail(err)
	defer a.Close()
	answer, err := a.Ask(ctx, "what is the weather in Rome?")
	orFail(err)
	report, err := answer.Report(ctx)
	orFail(err)
	fmt.Println(answer.Text)
	fmt.Println(answer.Head, report.Verdict)
}

func orFail(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
