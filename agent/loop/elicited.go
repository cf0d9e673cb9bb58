package loop

import (
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/elicit"
)

// ruleDeclined denies a call whose server asked the user something that the user does not answer.
const ruleDeclined = "user/declined"

// An elicitation is a call whose server asks the user something.
type elicitation struct {
	*work
	c *call
}

// askBack puts to the user what the server of a call has asked in it, if the agent may ask. The call has done nothing.
func (w elicitation) askBack(out []byte) (asked bool, err error) {
	c := w.c
	asks := w.m.tools[tools.UserAsk]
	if c.tool.def == nil || !c.tool.def.Elicits() || asks == nil {
		return false, nil
	}
	ask, is := elicit.ReadResult(out)
	if is {
		c.elicit, asked = c.elicit.Begin(ask)
	}
	if !asked {
		return false, nil
	}
	w.settleCall(c, false)
	return true, w.putQuestion()
}

func (w elicitation) putQuestion() error {
	c := w.c
	question, err := definition.NewQuestion(c.of, w.m.tools[tools.UserAsk].link, c.elicit)
	c.phase, c.until = provenance.PhaseAsk, min(w.at+MaxQuestion, w.m.expiry())
	c.wait = w.addEffect(question)
	return err
}

// take takes in what the user answers. Once all is there the call is decided and made again, with it.
func (w elicitation) take(said string, l label.Label) error {
	c := w.c
	talk, what := c.elicit.Take(said)
	c.elicit = talk
	switch {
	case what == elicit.More:
		return w.putQuestion()
	case what == elicit.Declined:
		return w.denyCall(c, policies.ToolCall, ruleDeclined, "The user does not answer what the server asked in the call.",
			"another request")
	case w.isSessionOver():
		return w.denyEnded(c)
	case w.s.unheeded && c.acts():
		return c.denyOutdated(w.work)
	}
	raw, _ := c.ask.Args.Bytes()
	raw, err := talk.AddTo(raw)
	if err == nil {
		c.args, err = c.tool.def.Read(raw)
	}
	if err != nil {
		return w.denyCall(c, policies.ToolCall, ruleArgs, err.Error(), "shorter answers")
	}
	c.label, c.ask.Args = c.label.Join(l), provenance.NewPayload(c.args.JSON)
	return w.decideCall(c, false)
}
