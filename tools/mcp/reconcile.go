package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools"
)

// Bounds of asking whether a call happened.
const (
	defaultSettle = 5 * time.Second
	maxAsks       = 4 // of a server that is down or restarting
)

// A Second is a tool of the same server that says whether a call of another one happened. It only reads.
type Second struct {
	Rule   tools.Reconciliation // its Tool and Definition are set by [Server.Tool]
	Tool   Definition           // as it was accepted
	Settle time.Duration        // that it did not happen is believed if it is said twice, this far apart; 5 s if 0
}

var errNotAsked = errors.New("no second tool says whether it happened")

// checkSecond says what is wrong with a second tool for itself.
func (s *Server) checkSecond(x *Second) error {
	if x.Settle < 0 || x.Settle > time.Minute {
		return errors.New("reconcile: settle is at most 1m")
	}
	spec, err := SpecOf(s.cfg.Name, x.Tool, Use{Class: tools.Read})
	if err != nil {
		return fmt.Errorf("reconcile: %s: %w", wording.Reveal(x.Tool.Name), err)
	}
	def, err := tools.Compile(spec)
	if err != nil {
		return fmt.Errorf("reconcile: %s: %w", wording.Reveal(x.Tool.Name), err)
	}
	for _, p := range def.Params() {
		if _, given := x.Rule.Arguments[p.Name]; p.Required && !given {
			return fmt.Errorf("reconcile: %s needs the argument %s", wording.Reveal(x.Tool.Name), p.Name)
		}
	}
	return nil
}

// Reconcile asks the second tool, if there is one, whether a call happened.
func (t *Tool) Reconcile(ctx context.Context, in tools.Input) (out []byte, happened bool, err error) {
	if t.second == nil {
		return nil, false, errNotAsked
	}
	f := t.find(ctx, in)
	switch f.Says {
	case tools.Done:
		out, err = f.Outcome()
		return out, err == nil, err
	case tools.NotDone:
		out, err = json.Marshal(f)
		return out, false, err
	}
	return nil, false, &tools.FoundError{Err: errors.New("it is not known whether it happened"), Finding: f}
}

// settleCut says what came of a call whose answer was lost: err is why.
func (t *Tool) settleCut(ctx context.Context, in tools.Input, err error) ([]byte, error) {
	if _, certain := errors.AsType[*tools.Error](err); certain || t.second == nil || t.spec.Class == tools.Read {
		return nil, err
	}
	f := t.find(ctx, in)
	switch f.Says {
	case tools.Done:
		return f.Outcome()
	case tools.NotDone:
		err = t.server.errorf(tools.CodeNotDone, "the call was cut, and did not happen, as its tool %s says; it may be "+
			"made again", wording.Reveal(f.Tool))
	}
	return nil, &tools.FoundError{Err: err, Finding: f}
}

// find asks the second tool. A call that was sent may still be on its way when the server says that it knows nothing of
// it, so that it did not happen counts only if it is said again after a while.
func (t *Tool) find(ctx context.Context, in tools.Input) tools.Finding {
	rule := t.second.Rule
	args, err := rule.ArgumentsOf(in.Args.JSON, in.Key)
	if err != nil {
		return rule.Find(nil, nil, "it could not be asked")
	}
	f := t.askSecond(ctx, args)
	if f.Says != tools.NotDone {
		return f
	}
	select {
	case <-time.After(t.second.Settle):
		return t.askSecond(ctx, args)
	case <-ctx.Done():
		return rule.Find(args, nil, "there was no time to ask twice")
	}
}

// askSecond asks once, of a server that is there.
func (t *Tool) askSecond(ctx context.Context, args []byte) tools.Finding {
	rule, s := t.second.Rule, t.server
	ask := &Tool{server: s, accepted: t.second.Tool, spec: tools.Spec{Class: tools.Read}}
	for n := 1; ; n++ {
		answer, err := ask.answerOf(ctx, args)
		if err == nil {
			return rule.Find(args, answer, "")
		}
		e, _ := errors.AsType[*tools.Error](err)
		if n == maxAsks || e == nil || e.Code != "server_down" && e.Code != "timeout" {
			return rule.Find(args, nil, "it has not answered: "+cleanText(err.Error(), 300))
		}
		select {
		case <-time.After(time.Duration(n) * firstBackoff):
		case <-ctx.Done():
			return rule.Find(args, nil, "there was no time to ask it again")
		}
	}
}

// answerOf makes one call of the second tool, and returns the JSON of its answer. One that says that it has failed has
// none. It waits its turn like any call: what the server asks in it is declined, and is no other call's question.
func (t *Tool) answerOf(ctx context.Context, args []byte) ([]byte, error) {
	s := t.server
	leave, err := s.enter(ctx, false)
	if err != nil {
		return nil, err
	}
	defer leave()
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.checkUnchanged(ctx, c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	_, end := c.begin(func() {}, nil) // it has no more time for reporting progress
	defer end()
	res, err := c.client.CallTool(ctx, &mcp.CallToolParams{Name: t.accepted.Name, Arguments: json.RawMessage(args)})
	switch {
	case err != nil:
		return nil, t.explain(ctx, c, err, context.DeadlineExceeded)
	case res.NeedsInput():
		return nil, errNeedsInput
	case res.IsError:
		return nil, errors.New("it says that it has failed")
	case res.StructuredContent != nil:
		return json.Marshal(res.StructuredContent)
	}
	for _, part := range res.Content {
		if text, is := part.(*mcp.TextContent); is && len(res.Content) == 1 {
			return []byte(text.Text), nil
		}
	}
	return nil, errors.New("its answer is not JSON")
}
