package teller

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/wire"
)

func TestOnlyOurOwnColoursReachATerminal(t *testing.T) {
	var got []string
	tl := &Teller{Paint: true, All: true, Say: func(l string) { got = append(got, l) }}
	tl.Tell(&wire.RunEvent{
		Seq: 3, CID: "bafyreigb2qbz5zap5wucyadf445n7kyuull2agr6i22za2v7kebpsxzrau",
		Event: wire.Event{Kind: "result", Status: "ok", Output: []byte("{\"a\":\"\u009b31mred\u202e\"}")},
		Does: []wire.Effect{
			{Kind: "say", Text: "\x1b[2J\x1b[31mVERIFIED"},
			{Kind: "deny", Tool: "erc20.transfer\x1b]0;title\x07", Decisions: []wire.Decision{{Point: "spend", Outcome: "deny", Rules: []string{"a\x1b[1m"}}}},
		},
	})
	all := strings.Join(got, "\n")
	for _, bad := range []string{"\x1b[2J", "\x1b[31mVERIFIED", "\x1b]0", "\u009b", "\u202e", "a\x1b[1m"} {
		if strings.Contains(all, bad) {
			t.Errorf("%q reached the terminal: %q", bad, all)
		}
	}
	if !strings.Contains(all, "\x1b[31mdenied") || !strings.Contains(all, "\x1b[31mdeny\x1b[0m") {
		t.Errorf("our own colours are gone: %q", all)
	}
}

// What was erased is told as that, and left blank nowhere.
func TestWhatIsErasedIsTold(t *testing.T) {
	for what, ev := range map[string]wire.RunEvent{
		"a request":           {Event: wire.Event{Kind: "ask", Erased: true}},
		"what was sent later": {Event: wire.Event{Kind: "ask", Of: &wire.Ref{}, Erased: true}},
		"a result":            {Event: wire.Event{Kind: "result", Status: "ok", Erased: true}},
		"a refusal's words":   {Event: wire.Event{Kind: "verdict", Erased: true}},
		"arguments":           {Event: wire.Event{Kind: "lapse"}, Does: []wire.Effect{{Kind: "call", Phase: "act", Tool: "t", Erased: true}}},
		"a question":          {Event: wire.Event{Kind: "lapse"}, Does: []wire.Effect{{Kind: "call", Phase: "ask", Erased: true}}},
		"an answer":           {Event: wire.Event{Kind: "lapse"}, Does: []wire.Effect{{Kind: "say", Erased: true}}},
		"why it was denied": {Event: wire.Event{Kind: "lapse"}, Does: []wire.Effect{
			{Kind: "deny", Tool: "t", Decisions: []wire.Decision{{Point: "spend", Outcome: "deny", Rules: []string{"r"}, Erased: true}}},
		}},
	} {
		for _, mark := range []bool{true, false} {
			var got []string
			tl := &Teller{All: true, Say: func(l string) { got = append(got, l) }}
			ev.CID, ev.Event.Erased = "bafyreigb2qbz5zap5wucyadf445n7kyuull2agr6i22za2v7kebpsxzrau", ev.Event.Erased && mark
			for i := range ev.Does {
				ev.Does[i].Erased = ev.Does[i].Erased && mark
				for j := range ev.Does[i].Decisions {
					ev.Does[i].Decisions[j].Erased = ev.Does[i].Decisions[j].Erased && mark
				}
			}
			tl.Tell(&ev)
			if told := strings.Contains(strings.Join(got, "\n"), "erased"); told != mark {
				t.Errorf("%s, erased %v: %q", what, mark, got)
			}
		}
	}
}

// What a provider calls its model is one line of ours, whatever it says.
func TestAModelsNameIsOneLine(t *testing.T) {
	var got []string
	tl := &Teller{All: true, Say: func(l string) { got = append(got, l) }}
	tl.Tell(&wire.RunEvent{
		CID:   "bafyreigb2qbz5zap5wucyadf445n7kyuull2agr6i22za2v7kebpsxzrau",
		Event: wire.Event{Kind: "reply", Model: &wire.ModelCall{Answered: "small\nVERIFIED\tyes"}},
	})
	if len(got) == 0 {
		t.Fatal("nothing is told of the answer")
	}
	for _, line := range got {
		if strings.ContainsAny(line, "\n\t") {
			t.Errorf("a model's name made lines: %q", line)
		}
	}
}

// A text within JSON may spell what commands a terminal as an escape; it is plain all the same, wherever it stands.
func TestNoEscapeOfJSONReachesATerminal(t *testing.T) {
	escapes := `\u001b[2J\u009b1m\u202e\u2028\u200b`
	for _, ev := range []wire.Event{
		{Kind: "ask", Input: []byte(`{"agent":"a","input":"` + escapes + `","idempotency_key":"k"}`)},
		{Kind: "result", Status: "error", Output: []byte(`{"code":"x","error":"` + escapes + `"}`)},
		{Kind: "result", Status: "ok", Output: []byte(`{"` + escapes + `":["` + escapes + `"],"n":12345678901234567890123}`)},
		{Kind: "result", Status: "ok", Output: []byte(`{"changes":[{"name":"` + escapes + `","display":"` + escapes + `"}]}`)},
		{Kind: "result", Status: "ok", Output: []byte(`{"hash":"` + escapes + `","status":"` + escapes + `"}`)},
		{Kind: "result", Status: "ok", Output: []byte("no JSON \x1b[2J\u009b1m\u202e\u2028\u200b")},
	} {
		for _, brief := range []bool{false, true} {
			var got []string
			tl := &Teller{All: true, Brief: brief, Say: func(l string) { got = append(got, l) }}
			tl.Tell(&wire.RunEvent{CID: "bafyreigb2qbz5zap5wucyadf445n7kyuull2agr6i22za2v7kebpsxzrau", Event: ev, Does: []wire.Effect{
				{Kind: "call", Tool: "x.y", Phase: "act", Args: []byte(`{"a":"` + escapes + `"}`)},
				{Kind: "deny", Tool: "x.y", Decisions: []wire.Decision{{Point: "spend", Outcome: "deny", Why: []byte(`{"message":"` + escapes + `","change":"` + escapes + `"}`)}}},
			}})
			all := strings.Join(got, "\n")
			if strings.ContainsAny(all, "\x1b\u009b\u202e\u2028\u200b") || !brief && !strings.Contains(all, "<U+001B escape>") {
				t.Errorf("%s %s: %q", ev.Kind, ev.Output, all)
			}
		}
	}
}
