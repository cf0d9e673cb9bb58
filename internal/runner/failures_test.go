package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A brokenTool reads something, and cannot.
type brokenTool struct{ err error }

func (f brokenTool) Spec() tools.Spec {
	return tools.Spec{
		Name: "echo.say", About: "Says a text.", Class: tools.Read,
		Schema: json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false}`),
	}
}

func (f brokenTool) Call(context.Context, tools.Input) ([]byte, error) { return nil, f.err }

// Each failure of a tool and of a model reaches the counts, the log and the record by whose it is; what was asked is in none
// of them but the record.
func TestEachFailureIsToldByWhoseItIs(t *testing.T) {
	const secret = "the-quick-brown-fox-jumps-over-it"
	told := func(code string) error {
		return fmt.Errorf("echo.say: %w (the other side: no %s today)", &tools.Error{Code: code, Message: "No."}, secret)
	}
	for _, c := range []struct {
		rule   string
		tool   error
		model  runner.Model
		at     fault.Edge
		want   fault.Code
		reason string
	}{
		{"a server that is down", told("server_down"), nil, fault.EdgeTool, fault.ToolUnavailable, provenance.CloseFailed},
		{"an error of no code", errors.New("no " + secret + " today"), nil, fault.EdgeTool, fault.ToolUnavailable, provenance.CloseFailed},
		{"settings", told("unauthorised"), nil, fault.EdgeTool, fault.ToolSetup, provenance.CloseFailed},
		{"an answer that is no", told("unknown_city"), nil, fault.EdgeTool, fault.ToolFailed, provenance.CloseFailed},
		{"a model's key", nil, moody{&fault.Fault{Code: fault.ModelKey, Says: "bad key"}}, fault.EdgeModel, fault.ModelKey, provenance.CloseFailed},
		{"a prompt too long", nil, moody{&fault.Fault{Code: fault.ModelContextLength}}, fault.EdgeModel, fault.ModelContextLength, provenance.CloseFailed},
	} {
		t.Run(c.rule, func(t *testing.T) {
			var mu sync.Mutex
			counted, log := map[string]int{}, &bytes.Buffer{}
			m := c.model
			if m == nil {
				m = replies{calls(call("1", "echo.say", `{"text":"`+secret+`"}`)), model.Reply{Stop: model.StopEnd, Text: "It did not work."}}
			}
			b := openWith(t, m, func(cfg *runner.Config) {
				cfg.Log = slog.New(slog.NewTextHandler(log, nil))
				cfg.Failed = func(at fault.Edge, code fault.Code) {
					mu.Lock()
					defer mu.Unlock()
					counted[fmt.Sprintf("%s %s %s", at, code.Whose(), code)]++
				}
				if c.tool != nil {
					cfg.Tools = []tools.Tool{cfg.Tools[0], brokenTool{c.tool}}
				}
			})
			run := b.start("do something bad")
			b.until(run, c.reason)
			mu.Lock()
			defer mu.Unlock()
			if n := counted[fmt.Sprintf("%s %s %s", c.at, c.want.Whose(), c.want)]; n != 1 || len(counted) != 1 {
				t.Errorf("counted %v, want one %s of %s", counted, c.want, c.at)
			}
			if got := log.String(); !strings.Contains(got, "code="+string(c.want)+" whose="+string(c.want.Whose())) || strings.Contains(got, secret) {
				t.Errorf("the log has no %s, or tells what was asked:\n%s", c.want, got)
			}
			views, err := b.r.Steps(t.Context(), run, 0, 64)
			if err != nil {
				t.Fatal(err)
			}
			last := views[len(views)-1].Step.Does
			if end, ok := last[len(last)-1].(*provenance.Close); !ok || end.Code != string(c.want) {
				t.Errorf("the record ends with %+v, want %s", last[len(last)-1], c.want)
			}
			b.verified(run)
		})
	}
}
