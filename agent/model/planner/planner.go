// Package planner answers prompts by rules: a typed grammar, no model.
//
// A [Planner] builds its grammar from the tools in the prompt: from their utterances, whose {slots} are typed by the
// formats in the tool's schema, and from a few stock forms for the verbs that most tools share. A request that
// matches as a whole becomes one tool call; a request joined by "and then" becomes one call a turn. Whatever is
// ambiguous, conditional, negated or incomplete becomes a question, and whatever is outside the grammar is answered
// with what was understood and how to connect a model. It never guesses, and it never calls itself intelligent.
//
// Tool results are answered by templates: every figure comes out of a result, and names the step and the block that
// it came from. A Planner is a pure function of its prompt.
package planner

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent/model"
)

const (
	modelName = "planner/1"
	maxText   = 2000 // bytes of a request that is looked at
	maxWords  = 64
	maxSteps  = 5 // calls in one request
)

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
		return say("Nothing was asked."), nil
	}
	g := newGrammar(p.Tools)
	request, after := p.Messages[asked].Text, p.Messages[asked+1:]
	done := pair(after)
	if len(done) == 0 {
		if len(p.Tools) == 0 {
			return say("No tool is available to answer this with."), nil
		}
		plan := g.plan(request)
		if plan.text != "" {
			return say(plan.text), nil
		}
		return call(0, plan.calls[0]), nil
	}
	if next, ok := g.next(request, done); ok {
		return call(len(done), next), nil
	}
	return say(answer(done, after)), nil
}

// next returns the call that follows those done, if the request has one and all before it went well.
func (g *grammar) next(request string, done []outcome) (intent, bool) {
	plan := g.plan(request)
	if len(done) >= len(plan.calls) {
		return intent{}, false
	}
	for i, d := range done {
		if d.failed() || d.call.Tool != plan.calls[i].tool.name || string(d.call.Args) != string(plan.calls[i].json()) {
			return intent{}, false
		}
	}
	return plan.calls[len(done)], true
}

// An outcome is a tool call with its result.
type outcome struct {
	call   model.Call
	step   uint64
	result map[string]json.RawMessage // nil if the result is no JSON object
	keys   []string                   // of result, in its order
	text   string                     // the result as it came
}

// pair returns the calls that have a result, in the order of their results.
func pair(ms []model.Message) []outcome {
	var calls []model.Call
	var out []outcome
	for _, m := range ms {
		calls = append(calls, m.Calls...)
		if m.Role != model.RoleTool {
			continue
		}
		o := outcome{call: model.Call{ID: m.CallID, Tool: clean(m.Tool)}, step: m.Step, text: m.Text}
		for i := len(calls) - 1; i >= 0; i-- { // newest first: an id is unique within its reply only
			if calls[i].ID == m.CallID && calls[i].Tool == m.Tool {
				o.call.Args = calls[i].Args
				break
			}
		}
		o.result, o.keys = object(m.Text)
		out = append(out, o)
	}
	return out
}

func say(text string) model.Reply {
	return model.Reply{Text: text, Stop: model.StopEnd, Model: modelName}
}

func call(n int, in intent) model.Reply {
	return model.Reply{
		Calls: []model.Call{{ID: fmt.Sprintf("call-%d", n+1), Tool: in.tool.name, Args: in.json()}},
		Stop:  model.StopTools, Model: modelName,
	}
}

// An intent is a tool with its arguments.
type intent struct {
	tool *tool
	args []string // by the tool's props; "" is absent
}

// json returns the arguments as a JSON object with sorted keys.
func (in intent) json() []byte {
	args := map[string]any{}
	for i, p := range in.tool.props {
		switch {
		case in.args[i] == "":
		case p.kind == kindInt:
			args[p.name] = json.Number(in.args[i])
		case p.kind == kindBool:
			args[p.name] = in.args[i] == "true"
		default:
			args[p.name] = in.args[i]
		}
	}
	b, err := json.Marshal(args)
	if err != nil { // strings, checked numbers and booleans marshal
		panic(err)
	}
	return b
}

// describe says what the call would do, for questions.
func (in intent) describe() string {
	var parts []string
	for i, p := range in.tool.props {
		if in.args[i] != "" {
			parts = append(parts, p.name+" "+in.args[i])
		}
	}
	return strings.TrimSpace(in.tool.name + " " + strings.Join(parts, ", "))
}
