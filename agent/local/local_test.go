package local_test

import (
	"context"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/local"
	"github.com/writ-run/writ/provenance"
)

type place struct {
	City string `json:"city"`
}

func weather() local.Tool {
	return local.Func("weather.now", "Tells the weather in a city.",
		func(_ context.Context, p place) (string, error) { return "sunny in " + p.City, nil }, "what is the weather in {city}")
}

func TestAskAnswersAndVerifies(t *testing.T) {
	run, err := local.Agent{Tools: []local.Tool{weather()}}.Ask(t.Context(), "what is the weather in Rome?")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(run.Text, "sunny in Rome") || run.Outcome != provenance.CloseAnswered {
		t.Errorf("got %q, %s", run.Text, run.Outcome)
	}
	if rep := run.Report(); rep.Verdict != provenance.Verified {
		t.Errorf("verdict %s: %s %s", rep.Verdict, rep.Code, rep.Detail)
	}
}

func TestAskOutsideTheGrammarSaysThatItIsRules(t *testing.T) {
	run, err := local.Agent{Tools: []local.Tool{weather()}}.Ask(t.Context(), "write me a poem")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(run.Text, "rules") {
		t.Errorf("got %q, want it to say that no model answers", run.Text)
	}
}

func TestAToolThatCannotBeMadeSaysWhy(t *testing.T) {
	bad := local.Func("Bad Name", "", func(context.Context, place) (string, error) { return "", nil })
	if _, err := (local.Agent{Tools: []local.Tool{bad}}).Ask(t.Context(), "hi"); err == nil || !strings.Contains(err.Error(), "Bad Name") {
		t.Errorf("got %v", err)
	}
}
