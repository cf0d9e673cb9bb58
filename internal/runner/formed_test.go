package runner_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

const personSchema = `{"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"}}}`

// formed starts a request whose answer must fit a schema.
func (b *bench) formed(input, schema string) provenance.Link {
	b.Helper()
	params, err := json.Marshal(wire.StartParams{Agent: "payer", Input: input, Key: "formed-00001", Answer: json.RawMessage(schema)})
	if err != nil {
		b.Fatal(err)
	}
	b.seq++
	f := auth.Frame{Session: b.session.ID, Channel: [32]byte{1}, Seq: b.seq, Method: wire.RunStart, Params: params}
	sig, err := b.key.SignFrame(f)
	if err != nil {
		b.Fatal(err)
	}
	info, err := b.r.Start(b.Context(), runner.StartRequest{
		Session: b.session, Frame: f, Sig: sig, Agent: "payer", Input: input, Key: "formed-00001",
	})
	if err != nil {
		b.Fatal(err)
	}
	return info.ID
}

// An answer fits its schema, or is mended once, or the run has failed and says what is wrong; an auditor finds the same.
func TestAnAnswerIsHeldToItsForm(t *testing.T) {
	echo := calls(call("1", "echo.say", `{"text":"x"}`))
	for _, tt := range []struct {
		name    string
		replies replies
		said    string
		status  string
		turns   uint64
	}{
		{"it fits", replies{text(`{"name":"bob"}`)}, `{"name":"bob"}`, provenance.CloseAnswered, 1},
		{"in a fence", replies{text("```json\n{\"name\":\"bob\"}\n```")}, `{"name":"bob"}`, provenance.CloseAnswered, 1},
		{"after a call", replies{echo, text(`{"name":"bob"}`)}, `{"name":"bob"}`, provenance.CloseAnswered, 2},
		{"mended", replies{text("It is bob."), text(`{"name":"bob"}`)}, `{"name":"bob"}`, provenance.CloseAnswered, 2},
		{"mended after a call", replies{text("It is bob."), echo, text(`{"name":"bob"}`)}, `{"name":"bob"}`, provenance.CloseAnswered, 3},
		{"wrong twice", replies{text("It is bob."), text(`{"name":7,"age":1}`), text(`{"name":"late"}`)},
			"The answer is not of the form that was asked for: /age is not asked for; /name must be of type string.", provenance.CloseFailed, 2},
		{"wrong twice after a payment", replies{calls(call("1", "bank.pay", pay1)), text("Done."), text("Done."), text("late")},
			"The answer is not of the form that was asked for: it is not JSON. It paid 1 USDC.",
			provenance.CloseFailed, 3},
		{"cut", replies{{Stop: model.StopLength, Text: `{"name":"b`}}, `{"name":"b`, provenance.CloseTruncated, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, tt.replies)
			run := b.formed("who is it?", personSchema)
			if tt.name == "wrong twice after a payment" { // what stands in a schema is no order
				b.until(run, "parked")
				b.mustApprove(b.pending(1)[0])
			}
			info := b.until(run, tt.status)
			if said := b.said(run); said != tt.said {
				t.Errorf("said %q, want %q", said, tt.said)
			}
			if sums := b.totals(run); sums.Turns != tt.turns {
				t.Errorf("%d turns, want %d", sums.Turns, tt.turns)
			}
			views, err := b.r.Steps(t.Context(), run, info.Steps-1, 1)
			if err != nil {
				t.Fatal(err)
			}
			end := views[0].Step.Does[len(views[0].Step.Does)-1].(*provenance.Close)
			if (end.Code == "model.form") != (tt.status == provenance.CloseFailed) {
				t.Errorf("the code is %q", end.Code)
			}
			b.verified(run)
		})
	}
}

func TestAnAgentsAnswersHaveItsForm(t *testing.T) {
	var seen model.Prompt
	b := openWith(t, replies{text("unused")}, func(c *runner.Config) {
		c.Agents[0].Answer = personSchema
		c.Models[0].Model = modelFunc(func(p model.Prompt) (model.Reply, error) {
			seen = p
			return text(`{"name":"bob"}`), nil
		})
	})
	run := b.start("who is it?")
	b.until(run, provenance.CloseAnswered)
	if string(seen.Answer) != personSchema || !strings.Contains(seen.Messages[0].Text, personSchema) {
		t.Errorf("the model was told %q, %q", seen.Answer, seen.Messages[0].Text)
	}
	b.verified(run)
}

// A modelFunc is a model in one function.
type modelFunc func(model.Prompt) (model.Reply, error)

func (f modelFunc) Reply(_ context.Context, p model.Prompt) (model.Reply, error) { return f(p) }
