package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A bill is paid by a tool whose answer is lost, so that its second tool settles what came of it. The server may then
// forge that.
type bill struct {
	rule  tools.Reconciliation
	forge func(out []byte) ([]byte, error)
	said  string // by the second tool
}

func (b bill) Spec() tools.Spec {
	schema, err := tools.MarkReconciled([]byte(`{"type":"object","additionalProperties":false,"required":["ref"],`+
		`"properties":{"ref":{"type":"string"}}}`), b.rule)
	if err != nil {
		panic(err)
	}
	return tools.Spec{
		Name: "bill.pay", About: "Pays a bill.", Class: tools.Once, Schema: schema, Utterances: []string{"pay bill {ref}"},
		Definition: provenance.NewRaw([]byte("bill")).CID.String(),
	}
}

func (b bill) Call(_ context.Context, in tools.Input) ([]byte, error) {
	args, err := b.rule.ArgumentsOf(in.Args.JSON, in.Key)
	if err != nil {
		return nil, err
	}
	f := b.rule.Find(args, []byte(b.said), "")
	if b.forge != nil {
		out, err := f.AddTo(nil)
		if err != nil {
			return nil, err
		}
		return b.forge(out)
	}
	switch f.Says {
	case tools.Done:
		return f.Outcome()
	case tools.NotDone:
		return nil, &tools.FoundError{Err: &tools.Error{Code: tools.CodeNotDone, Message: "It was not done."}, Finding: f}
	}
	return nil, &tools.FoundError{Err: errors.New("lost"), Finding: f}
}

// What a second tool has said of a call is on record, and judged again: a server that takes it for something else is
// found out.
func TestWhatASecondToolSaysIsJudgedAgain(t *testing.T) {
	swap := func(old, now string) func([]byte) ([]byte, error) {
		return func(out []byte) ([]byte, error) { return bytes.Replace(out, []byte(old), []byte(now), 1), nil }
	}
	for _, tt := range []struct {
		name, said string
		forge      func([]byte) ([]byte, error)
		code       provenance.Code
		outcome    string
	}{
		{"done", `{"state":"paid"}`, nil, "", `"says":"done"`},
		{"not done", `{"state":"none"}`, nil, "", `"code":"not_done"`},
		{"in doubt", `{"state":"who knows"}`, nil, "", `"says":"in_doubt"`},
		{"taken for done", `{"state":"none"}`, swap(`"says":"not_done"`, `"says":"done"`), audit.CodeContextReconciled, ""},
		{"in doubt, told as a result", `{"state":"who knows"}`, swap("", ""), audit.CodeContextReconciled, ""},
		{"about another bill", `{"state":"paid"}`, swap(`"id":"b7"`, `"id":"b8"`), audit.CodeContextReconciled, ""},
		{"more than it said", `{"state":"paid"}`, swap(`{"reconciled"`, `{"amount":"1000","reconciled"`),
			audit.CodeContextReconciled, ""},
		{"not done, and nobody was asked", `{"state":"none"}`, func([]byte) ([]byte, error) {
			return nil, &tools.Error{Code: tools.CodeNotDone, Message: "It was not done."}
		}, audit.CodeContextReconciled, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tool := bill{tools.Reconciliation{
				Tool: "find", Definition: provenance.NewRaw([]byte("find")).CID.String(), Field: "state",
				Arguments: map[string]string{"id": "ref", "key": tools.ReconcileKey}, Done: []string{"paid"}, NotDone: []string{"none"},
			}, tt.forge, tt.said}
			a := open(t, agent.Config{
				Tools: []agent.Tool{tool}, Approve: func(context.Context, agent.Approval) (bool, error) { return true, nil },
			})
			answer := ask(t, a, "pay bill b7")
			var file bytes.Buffer
			if err := answer.CAR(t.Context(), &file); err != nil {
				t.Fatal(err)
			}
			keys, err := answer.Keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			car, err := provenance.OpenCAR(bytes.NewReader(file.Bytes()), int64(file.Len()))
			if err != nil {
				t.Fatal(err)
			}
			rep := audit.Verify(car, audit.Options{Keys: keys})
			_, ev := provenance.Verify(car, provenance.Options{Keys: keys})
			err = ev.Each(func(_ provenance.Link, s *provenance.Step) error {
				if res, is := s.Event.(*provenance.Result); is && tt.outcome != "" {
					if out, _ := res.Output.Bytes(); !strings.Contains(string(out), tt.outcome) || !json.Valid(out) {
						t.Errorf("the record has %s; want %s", out, tt.outcome)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if rep.Code != tt.code {
				t.Errorf("code %q, %s; want %q", rep.Code, rep.Detail, tt.code)
			}
		})
	}
}
