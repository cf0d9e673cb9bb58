package runner_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// What was shown of an answer that broke off stays in the record, and no other answer is joined to it. Before anything
// was shown, the next model is asked in silence.
func TestAnAnswerThatBrokeOffIsKeptBesideTheNext(t *testing.T) {
	for _, p := range []*provider{chatProvider(), responsesProvider(), messagesProvider()} {
		for _, tt := range []struct {
			name, shown string
			words       []string
		}{
			{"after visible text", "first here", []string{"first", " here"}},
			{"before it", "", nil},
		} {
			t.Run(p.dialect+"/"+tt.name, func(t *testing.T) {
				m := mishap{do: func(p *provider, w http.ResponseWriter, _ *http.Request) {
					said := p.say("big-1", "first", " here")
					if tt.words == nil {
						send(w, said[0], p.fail)
						return
					}
					at := len(said)
					for i, e := range said { // up to the last word
						if containsWord(e, `" here"`) {
							at = i + 1
							break
						}
					}
					send(w, append(said[:at:at], p.fail)...)
				}}
				b := openAt(t, p, m)
				run := b.start("say something")
				b.until(run, provenance.CloseAnswered)
				if said := b.said(run); said != "second here" {
					t.Errorf("said %q", said)
				}
				views, err := b.r.Steps(t.Context(), run, 0, 16)
				if err != nil {
					t.Fatal(err)
				}
				shown := ""
				for _, v := range views {
					if r, is := v.Step.Event.(*provenance.Reply); is && r.Said != nil {
						text, _ := r.Said.Bytes()
						shown = string(text)
					}
				}
				if shown != tt.shown {
					t.Errorf("kept %q, want %q", shown, tt.shown)
				}
				b.verified(run)
			})
		}
	}
}

func containsWord(e, word string) bool {
	for i := 0; i+len(word) <= len(e); i++ {
		if e[i:i+len(word)] == word {
			return true
		}
	}
	return false
}

// What routes ask of the fleet stands in the step, and the auditor chooses again by it.
func TestRoutesSeeHowModelsHaveAnswered(t *testing.T) {
	info := func(name string) model.Info {
		return model.Info{Name: name, Kind: model.KindModel, Provider: "test", Model: name + "/1", MaxTokens: 100, Pool: "pool"}
	}
	answer := func(name string, ttft int64) replies {
		return replies{model.Reply{Stop: model.StopEnd, Text: name + " here", Model: name + "/1", TTFT: ttft}}
	}
	b := openWith(t, replies{}, func(c *runner.Config) {
		c.Models = []runner.NamedModel{
			{Info: info("quick"), Model: answer("quick", 40)}, {Info: info("slow"), Model: answer("slow", 900)},
			{Info: model.Info{Name: "sick", Kind: model.KindModel, Provider: "test", Model: "sick/1", MaxTokens: 100},
				Model: moody{&fault.Fault{Code: fault.ModelUnreachable}}},
		}
		c.Agents[0].Routes = []agentfile.Route{
			{ID: "watch", When: `errors > 900`, Use: "quick", Shadow: true},
			{ID: "sick", When: `turn >= 0 && breaker == "closed"`, Use: "sick"},
			{ID: "pool", When: `ttft_p95 < 1000`, Use: "pool", By: provenance.ByLatency},
		}
	})
	for i := range 6 {
		run := b.start(fmt.Sprintf("something bad, %d", i))
		b.until(run, provenance.CloseAnswered)
		b.verified(run)
	}
	run := b.start("something bad, at last")
	b.until(run, provenance.CloseAnswered)
	if said := b.said(run); said != "quick here" {
		t.Errorf("the quicker of two equals is asked: %q", said)
	}
	views, err := b.r.Steps(t.Context(), run, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	facts := views[0].Step.Facts
	if len(facts.Fleet) != 3 || facts.Fleet[0].P95 != 40 || facts.Fleet[1].Breaker != provenance.BreakerOpen ||
		facts.Fleet[2].P95 != 900 || len(facts.Down) != 1 {
		t.Errorf("facts %+v", facts)
	}
	b.now.Add(31_000)
	again := b.start("something good") // the probe is answered
	b.until(again, provenance.CloseAnswered)
	b.verified(again)
}

// limited answers, and its provider says each time what it takes.
type limited struct{ says model.Limits }

func (m limited) Reply(ctx context.Context, _ model.Prompt) (model.Reply, error) {
	model.TellLimits(ctx, m.says)
	return model.Reply{Stop: model.StopEnd, Text: "here", Model: "m/1", TTFT: 1}, nil
}

// What a provider says that it takes is kept: a question waits and is told its place, and one that would wait too long
// is refused with when to come again, which the record and its auditor have too.
func TestQuestionsWaitForWhatTheProviderTakes(t *testing.T) {
	says := func(limit int64, full time.Duration) *bench {
		return openWith(t, replies{}, func(c *runner.Config) {
			m := limited{model.Limits{Requests: model.Limit{Limit: limit, Full: full}}}
			c.Models = []runner.NamedModel{{
				Info:  model.Info{Name: "m", Kind: model.KindModel, Provider: "test", Model: "m/1", MaxTokens: 100},
				Model: m,
			}}
			c.Agents[0].Routes = []agentfile.Route{{ID: "all", When: "true", Use: "m", Priority: 3}}
		})
	}
	b := says(10, 10*time.Second) // one comes back in a second
	b.until(b.start("something"), provenance.CloseAnswered)
	b.start("before it")
	b.start("before it, too")
	run := b.start("something else")
	_, pieces, stop := b.r.Subscribe(run)
	defer stop()
	if p := <-pieces; p.Place < 1 || p.Place > 3 || p.Text != "" {
		t.Errorf("got %+v", p)
	}
	b.until(run, provenance.CloseAnswered)
	b.verified(run)

	b = says(1, time.Hour)
	b.until(b.start("something"), provenance.CloseAnswered)
	run = b.start("something else")
	b.until(run, provenance.CloseFailed)
	b.verified(run)
	info, err := b.r.Run(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	views, err := b.r.Steps(t.Context(), run, info.Steps-1, 1)
	if err != nil {
		t.Fatal(err)
	}
	does := views[0].Step.Does
	end, is := does[len(does)-1].(*provenance.Close)
	if !is || end.Code != string(fault.ModelBusy) || end.After < 59*60*1000 {
		t.Errorf("it ends with %+v", end)
	}
}
