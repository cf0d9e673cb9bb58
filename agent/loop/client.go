package loop

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A program that asks may have tools of its own. The model is offered them beside the agent's; a call of one is told to
// that program, which makes it under no permission but its own and reports what came of it. So the call is decided as
// what is said to the user is, at the point output, and what is reported is as trusted as a stranger's words. The
// definitions are a part of the signed request, and their records follow from it.

// clientWait is how long a call of the caller's waits, in ms. Then the run ends: nobody is there to report.
const clientWait = 10 * 60_000

// ruleClient is the rule for calls that a policy would change.
const ruleClient = "loop/client_call"

// takeClientTools takes in the caller's own tools.
func (mo *moment) takeClientTools(list []wire.ClientTool) error {
	if len(list) > 0 && len(mo.m.authority.Chain) > 0 {
		return errors.New("a sub-agent's caller has no tools of its own")
	}
	defs, err := definition.ClientTools(list)
	if err != nil {
		return fmt.Errorf("the request: %w", err)
	}
	for _, def := range defs {
		if mo.m.tools[def.Name] != nil {
			return fmt.Errorf("the request: the agent has a tool %q of its own", def.Name)
		}
		b, err := provenance.Encode(def)
		if err != nil {
			return fmt.Errorf("the tool %q: %w", def.Name, err)
		}
		mo.s.client = append(mo.s.client, &tool{
			spec: tools.Spec{Name: def.Name, About: def.About, Class: tools.Read}, link: b.CID, client: def,
			label: label.Label{
				Integrity: label.Untrusted, Secrecy: label.Session, Origins: []string{"client:" + def.Name},
			},
		})
	}
	return nil
}

func (t *tool) isClient() bool { return t != nil && t.client != nil }

// clientTool returns the caller's tool of a name; nil if it has none.
func (s *State) clientTool(name string) *tool {
	i := slices.IndexFunc(s.client, func(t *tool) bool { return t.spec.Name == name })
	if i < 0 {
		return nil
	}
	return s.client[i]
}

// clientSize bounds the tokens that the definitions of the caller's tools take.
func (s *State) clientSize() (n int64) {
	for _, t := range s.client {
		n += int64(len(t.client.Name)+len(t.client.About)+len(t.client.Schema)) + thread.FrameTokens
	}
	return n
}

// appendClientTools appends what a prompt's digest has of the caller's tools: nothing if there are none.
func (s *State) appendClientTools(b []byte) []byte {
	for _, t := range s.client {
		b = append(b, t.link.Bytes()...)
	}
	return b
}

// offerTools lists what a model is offered.
func (s *State) offerTools(own []model.Tool) []model.Tool {
	out := slices.Clip(own)
	for _, t := range s.client {
		out = append(out, model.Tool{
			Name: t.client.Name, About: t.client.About, Schema: json.RawMessage(t.client.Schema),
		})
	}
	return out
}

// relay tells the caller of a call that is its own to make.
func (c *call) relay(w *work, t *tool, full bool) error {
	c.tool = t
	args, _ := c.ask.Args.Bytes()
	var object map[string]json.RawMessage
	switch {
	case json.Unmarshal(args, &object) != nil || object == nil:
		return w.denyCall(c, policies.Output, ruleArgs, "The arguments are no JSON object.", "a JSON object")
	case full:
		says := fmt.Sprintf("This run may make %d tool calls.", w.m.limits.Calls)
		return w.denyCall(c, policies.Output, ruleCalls, says, "a new run")
	case w.isSessionOver():
		return w.denyEnded(c)
	}
	said, permitted, err := w.decideAnswer(string(args))
	switch {
	case err != nil:
		return err
	case !permitted || said != string(args):
		return w.denyCall(c, policies.Output, ruleClient, "The rules let nothing of this be told to the caller.",
			"other arguments")
	}
	call := w.room.newCall()
	*call = provenance.Call{
		Of: c.of, Tool: t.link, Args: c.ask.Args, Class: definition.ClassClient, Phase: provenance.PhaseAct,
		Decisions: []provenance.Decision{},
	}
	c.phase, c.until = provenance.PhaseAct, w.at+clientWait
	c.wait = w.addEffect(call)
	return nil
}

// CallerUntil returns until when a call of the caller's own tool waits; false if the effect is none.
func (s State) CallerUntil(effect provenance.Ref) (int64, bool) {
	c := s.findOpenCall(effect)
	if c == nil || !c.tool.isClient() {
		return 0, false
	}
	return c.until, true
}
