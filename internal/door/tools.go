package door

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/wire"
)

// A client's own tools are offered to the model beside the agent's. A call of one ends the answer: the client makes it
// and asks again with what came of it, and the run goes on from there. The id of a call names the run and the effect,
// so nothing is kept between the two requests but the run itself, which waits.

// A clientCall is a call that the client is to make.
type clientCall struct {
	effect     wire.Ref
	name, args string
	isAnswer   bool // the run is over with it, and waits for nothing
}

// id is what the client names the call by.
func (c clientCall) id(run string) string {
	if c.isAnswer {
		return foreign.AnswerID + run
	}
	return fmt.Sprintf("call_%s_%d_%d", run, c.effect.Seq, c.effect.Index)
}

// parseID reads the id of a call.
func parseID(id string) (run string, effect wire.Ref, err error) {
	parts := strings.Split(id, "_")
	if len(parts) == 4 && parts[0] == "call" {
		seq, err1 := strconv.ParseUint(parts[2], 10, 53)
		index, err2 := strconv.ParseUint(parts[3], 10, 53)
		if err1 == nil && err2 == nil {
			return parts[1], wire.Ref{Seq: seq, Index: index}, nil
		}
	}
	return "", wire.Ref{}, wire.Errorf(wire.CodeParams,
		"The newest message has the result of a call that was not asked for here; its id must be one of the answer before.")
}

// continueTurn hands in what came of calls and goes on with their run.
func (v *visitor) continueTurn(ctx context.Context, reports []foreign.Report, keyed bool) (*turn, error) {
	t := &turn{v: v, reported: map[wire.Ref]bool{}, keyed: keyed}
	for _, r := range reports {
		run, effect, err := parseID(r.ID)
		switch {
		case err != nil:
			return nil, err
		case t.run != "" && run != t.run:
			return nil, wire.Errorf(wire.CodeParams, "The newest messages have results of calls of different answers.")
		case len(r.Output) > foreign.MaxText:
			return nil, wire.Errorf(wire.CodeParams, "A result has %d bytes; at most %d are taken.", len(r.Output),
				foreign.MaxText)
		}
		t.run = run
		t.reported[effect] = true
	}
	for _, r := range reports {
		_, effect, _ := parseID(r.ID)
		params := wire.ReportParams{Run: t.run, Effect: effect, Output: r.Output, Failed: r.Failed}
		if a := v.call(ctx, wire.ToolSent, params, true); a.Error != nil {
			if a.Error.Data.Code == wire.CodeNotFound {
				return nil, wire.Errorf(wire.CodeConflict, "The call %s does not wait for a result any more.", r.ID)
			}
			return nil, a.Error
		}
	}
	return t, t.attend(ctx)
}

// takeOpen follows which effects of the run are open, and reports whether it waits for nothing but calls of the
// client's.
func (t *turn) takeOpen(ev *wire.RunEvent) bool {
	if of := ev.Event.Of; of != nil {
		t.open = slices.DeleteFunc(t.open, func(c clientCall) bool { return c.effect == *of })
		delete(t.reported, *of)
		if t.others[*of] {
			delete(t.others, *of)
		}
	}
	for i, d := range ev.Does {
		at := wire.Ref{Seq: ev.Seq, Index: uint64(i)}
		switch {
		case d.Kind == "call" && d.Class == "client":
			t.open = append(t.open, clientCall{effect: at, name: d.Tool, args: string(d.Args)})
		case d.Kind == "call" || d.Kind == "ask_model":
			if t.others == nil {
				t.others = map[wire.Ref]bool{}
			}
			t.others[at] = true
		}
	}
	return len(t.open) > 0 && len(t.others) == 0 && len(t.reported) == 0
}

// answerByCall makes of an answer the call of the tool that was to be called.
func (e *ending) answerByCall(r *foreign.Request) {
	if r.Forced != "" && e.Reason == "answered" {
		e.calls, e.text = []clientCall{{name: r.Forced, args: e.text, isAnswer: true}}, ""
	}
}
