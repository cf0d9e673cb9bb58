// Quickstart runs an agent inside a Go program: one typed tool, one request, and a check of the record.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/writ-run/writ/agent/local"
)

func main() {
	type place struct {
		City string `json:"city"`
	}
	weather := local.Func("weather.now", "Tells the weather in a city.",
		func(_ context.Context, p place) (string, error) { return "sunny in " + p.City, nil }, "what is the weather in {city}")
	run, err := local.Agent{Tools: []local.Tool{weather}}.Ask(context.Background(), "what is the weather in Rome?")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(run.Text)
	fmt.Println(run.CID, run.Report().Verdict)
}
