package node

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
)

// A letter is a tool that must not be repeated and takes a while.
type letter struct {
	began chan struct{}
	sent  *atomic.Int64
}

func (letter) Spec() tools.Spec {
	return tools.Spec{
		Name: "letter.send", About: "Sends a letter.", Class: tools.Once, Output: &tools.Output{Integrity: label.Tool},
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["text"],
			"properties":{"text":{"type":"string"}}}`),
	}
}

func (l letter) Call(context.Context, tools.Input) ([]byte, error) {
	l.began <- struct{}{}
	time.Sleep(300 * time.Millisecond)
	l.sent.Add(1)
	return []byte(`{"sent":true}`), nil
}

// sendsALetter is a model that sends one letter and says so.
type sendsALetter struct{}

func (sendsALetter) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	if p.Messages[len(p.Messages)-1].Role == model.RoleTool {
		return model.Reply{Stop: model.StopEnd, Text: "sent"}, nil
	}
	return model.Reply{Stop: model.StopTools, Calls: []model.Call{
		{ID: "1", Tool: "letter.send", Args: json.RawMessage(`{"text":"hello"}`)},
	}}, nil
}

const lettersPolicy = `schema: writ/policies/1
name: letters
rules:
  - {id: tools, at: tool.call, effect: permit}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`

// A server that is told to stop while a call is made that must not be repeated waits for its answer, and is not ready
// meanwhile; the next one goes on from there.
func TestAStopLosesNoAnswer(t *testing.T) {
	tool := letter{make(chan struct{}, 4), new(atomic.Int64)}
	change := func(c *Config) {
		replaceModels(c, sendsALetter{})
		c.Drain = 0
		c.Tools = append(c.Tools, tool)
		for i := range c.Agents {
			if c.Agents[i].Name == "treasurer" {
				c.Agents[i].Tools = append(c.Agents[i].Tools, "letter.send")
			}
		}
		c.Rules.Operator = runner.Policy{Name: "letters", Source: []byte(lettersPolicy)}
	}
	var first Config
	n, url, stop := startNode(t, func(c *Config) { change(c); first = *c })
	cl := signIn(t, url)
	run, err := cl.Start(t.Context(), wire.StartParams{Agent: "treasurer", Input: "send a letter"})
	if err != nil {
		t.Fatal(err)
	}
	<-tool.began
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	for deadline := time.Now().Add(5 * time.Second); !n.draining.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not drain")
		}
	}
	if r, err := http.Get(url + "/readyz"); err != nil || r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readiness of a server that drains: %v, %v", r, err)
	}
	_, err = cl.Start(t.Context(), wire.StartParams{Agent: "treasurer", Input: "send another letter"})
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Data.Code != wire.CodeOverload || e.Data.Reason != "server.stopping" {
		t.Errorf("a new run of a server that drains: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n, _ = runNode(t, func(c *Config) {
		domain := c.Domain
		*c = first
		c.Domain = domain
	})
	id, err := cid.Decode(run.Run)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		i, err := n.runner.Run(t.Context(), id)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the run is %q, %v", i.Status, err)
		}
		if i.Status == "answered" {
			break
		}
	}
	if sent := tool.sent.Load(); sent != 1 {
		t.Errorf("%d letters were sent, want 1", sent)
	}
}
