// Package planner answers prompts by rules: a typed grammar, no model.
//
// A [Planner] reads requests with agent/grammar, made of the tools in the prompt. A request that is read as a whole
// becomes one tool call; a request joined by "and then" becomes one call a turn. Whatever is ambiguous, conditional,
// negated or incomplete becomes a question, and whatever is outside the grammar is answered with what was understood
// and, where none is set up, how to connect a model. It never guesses, and it never calls itself intelligent.
//
// Tool results are answered by templates: every figure comes out of a result, and names the step and the block that
// it came from. A Planner is a pure function of its prompt.
package planner

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent/grammar"
	"github.com/writ-run/writ/agent/model"
)

const modelName = "planner/1"

// A Planner answers prompts by rules. It holds nothing and may be used by many goroutines at once.
type Planner struct{}

// New returns a Planner.
func New() *Planner { return &Planner{} }

// Info says what a Planner is: rules, free of charge.
func (*Planner) Info() model.Info {
	return model.Info{Name: "rules", Kind: model.KindRules, Provider: "writ", Model: modelName, MaxTokens: 1024}
}

// Reply answers p with one tool call or with a text. It fails only if ctx has ended.
func (*Planner) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	if err := ctx.Err(); err != nil {
		return model.Reply{}, fmt.Errorf("planner: %w", context.Cause(ctx))
	}
	asked := -1
	for i, m := range p.Messages {
		if m.Role == model.RoleUser {
			asked = i
		}
	}
	if asked < 0 {
		return replyText("Nothing was asked."), nil
	}
	if len(p.Answer) > 0 { // before anything is done: what has no answer is not begun
		text := "The rules answer in words only, and an answer of another form was asked for; nothing was done. Ask " +
			"without it"
		if !p.HasModel {
			text += ", or connect a model"
		}
		return declineWith(text + "."), nil
	}
	g := grammarOf(p.Tools)
	request, after := p.Messages[asked].Text, p.Messages[asked+1:]
	done := pairResults(after)
	if len(done) == 0 {
		if len(p.Tools) == 0 {
			return declineWith("No tool is available to answer this with."), nil
		}
		plan := g.Plan(request)
		if plan.Text != "" {
			text := plan.Text
			if p.HasModel {
				text = strings.TrimSuffix(text, grammar.ConnectModel)
			}
			if len(p.Messages[asked].Files) > 0 {
				text = strings.TrimSpace(text) + " The rules do not read attached files; only a model does."
			}
			return declineWith(text), nil
		}
		return replyCall(0, plan.Calls[0]), nil
	}
	if next, ok := nextCall(g.Plan(request), done); ok {
		return replyCall(len(done), next), nil
	}
	return replyText(answerFrom(done, after)), nil
}

// grammarOf returns the grammar of what the tools can be asked.
func grammarOf(offered []model.Tool) *grammar.Grammar {
	ts := make([]grammar.Tool, len(offered))
	for i, t := range offered {
		ts[i] = grammar.Tool(t)
	}
	return grammar.New(ts)
}

// nextCall returns the call that follows those done, if the request has one and all before it went well.
func nextCall(plan grammar.Plan, done []outcome) (grammar.Intent, bool) {
	if len(done) >= len(plan.Calls) {
		return grammar.Intent{}, false
	}
	for i, d := range done {
		if d.hasFailed() || d.call.Tool != plan.Calls[i].Tool() || string(d.call.Args) != string(plan.Calls[i].Args()) {
			return grammar.Intent{}, false
		}
	}
	return plan.Calls[len(done)], true
}

// An outcome is a tool call with its result.
type outcome struct {
	call   model.Call
	step   uint64
	result map[string]json.RawMessage // nil if the result is no JSON object
	keys   []string                   // of result, in its order
	text   string                     // the result as it came
}

// pairResults returns the calls that have a result, in the order of their results.
func pairResults(ms []model.Message) []outcome {
	var calls []model.Call
	var out []outcome
	for _, m := range ms {
		calls = append(calls, m.Calls...)
		if m.Role != model.RoleTool {
			continue
		}
		o := outcome{call: model.Call{ID: m.CallID, Tool: cleanText(m.Tool)}, step: m.Step, text: m.Text}
		for i := len(calls) - 1; i >= 0; i-- { // newest first: an id is unique within its reply only
			if calls[i].ID == m.CallID && calls[i].Tool == m.Tool {
				o.call.Args = calls[i].Args
				break
			}
		}
		o.result, o.keys = readObject(m.Text)
		out = append(out, o)
	}
	return out
}

func replyText(text string) model.Reply {
	return model.Reply{Text: text, Stop: model.StopEnd, Model: modelName}
}

// declineWith says why nothing is done: what was asked is outside the grammar, or not said in full.
func declineWith(text string) model.Reply {
	r := replyText(text)
	r.Stop = model.StopDecline
	return r
}

func replyCall(n int, in grammar.Intent) model.Reply {
	return model.Reply{
		Calls: []model.Call{{ID: fmt.Sprintf("call-%d", n+1), Tool: in.Tool(), Args: in.Args()}},
		Stop:  model.StopTools, Model: modelName,
	}
}
