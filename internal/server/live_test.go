package server

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
)

// A writer streams its answer once it may, and ends only when what it streamed can have been sent.
type writer struct{ may chan struct{} }

const answered = "the card is 4111111111111111"

func (w *writer) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	return w.Stream(ctx, p, func(string) {})
}

func (w *writer) Stream(_ context.Context, _ model.Prompt, delta func(string)) (model.Reply, error) {
	<-w.may
	for _, word := range strings.SplitAfter(answered, " ") {
		delta(word)
	}
	<-w.may
	return model.Reply{Stop: model.StopEnd, Text: answered}, nil
}

// Text is shown while it is written only if no rule could refuse or change it; and what one did refuse or change never
// crosses the socket at all.
func TestTextIsHeldBackWhereARuleCouldChangeIt(t *testing.T) {
	const permit = "  - {id: answers, at: output, effect: permit}\n"
	for _, c := range []struct {
		name, rules, said string
		live              bool
	}{
		{"nothing could change it", permit, answered, true},
		{"a redaction", permit + "  - {id: cards, at: output, effect: redact, redact: {patterns: ['[0-9]{13,19}']}}\n", "the card is [redacted]", false},
		{"a redaction that cuts nothing", permit + "  - {id: mails, at: output, effect: redact, redact: {patterns: ['[a-z]+@[a-z]+']}}\n", answered, false},
		{"a limit", permit + "  - {id: short, at: output, effect: limit, limit: {bytes: 11}}\n", "the card is ... (cut by policy)", false},
		{"a forbid", permit + "  - {id: cards, at: output, effect: forbid, when: 'text contains \"card\"'}\n", `text contains "card"`, false},
		{"a permit of some", "  - {id: short, at: output, effect: permit, when: size < 100}\n", answered, false},
		{"no permit at all", "", "no rule permits this at output", false},
		{"a forbid of replies", permit + "  - {id: cards, at: model.response, effect: forbid, when: 'text contains \"card\"', message: no cards}\n", "no cards", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &writer{may: make(chan struct{})}
			f, _, _, _ := serveRules(t, w, c.rules)
			r := f.connect().signIn(wallet(5))
			run := r.start("key-00001")
			r.call(wire.RunSubscribe, wire.SubscribeParams{Run: run.String()})
			r.next() // the ask: from here on deltas are sent
			w.may <- struct{}{}
			var all strings.Builder
			deltas := 0
			if c.live { // they come while the model is at work
				for range 4 {
					n := r.next()
					if n.Method != wire.NoteDelta {
						t.Fatalf("got %s: %s; want a delta", n.Method, n.Params)
					}
					deltas++
				}
			}
			w.may <- struct{}{}
			for said, done := "", false; !done; {
				n := r.next()
				all.Write(n.Params)
				if n.Method == wire.NoteDelta {
					deltas++
					continue
				}
				var ev wire.RunEvent
				if err := json.Unmarshal(n.Params, &ev); err != nil {
					t.Fatal(err)
				}
				for _, e := range ev.Does {
					switch e.Kind {
					case "say":
						said = e.Text
					case "close":
						done = true
					}
				}
				if done && !strings.Contains(said, c.said) {
					t.Errorf("it says %q, want %q", said, c.said)
				}
				if same := ev.Event.Text == answered; ev.Event.Kind == "reply" && same != (said == answered) {
					t.Errorf("the reply shows %q beside %q", ev.Event.Text, said)
				}
			}
			if !c.live && deltas > 0 {
				t.Errorf("%d deltas were sent before the decision", deltas)
			}
			if hidden := c.said != answered; hidden && strings.Contains(all.String(), "4111") {
				t.Errorf("what was refused or cut was sent: %s", all.String())
			}
		})
	}
}
