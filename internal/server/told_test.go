package server

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
)

// A held model answers when it is let.
type held chan struct{}

func (h held) Reply(ctx context.Context, _ model.Prompt) (model.Reply, error) {
	select {
	case <-h:
	case <-ctx.Done():
	}
	return model.Reply{Stop: model.StopEnd, Text: "It is 7 past 4.", ID: "r1", Model: "m"}, nil
}

// What a client is told of steps as they are committed is, byte for byte, what it is told of them out of the journal.
func TestWhatIsToldAtOnceIsWhatTheJournalHas(t *testing.T) {
	let := make(held)
	f, _, _, _ := serveRules(t, let, "  - {id: answers, at: output, effect: permit}\n")
	cl := signedIn(t, "ws://"+f.ln.Addr().String()+"/ws")
	started, err := cl.Start(t.Context(), wire.StartParams{Agent: "reader", Input: "what time is it", Key: "key-00001"})
	if err != nil {
		t.Fatal(err)
	}
	read := func(heard func()) (out []string) {
		for u, err := range cl.Events(t.Context(), started.Run, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if u.Event == nil {
				continue
			}
			heard()
			u.Event.Sub = "" // another subscription
			b, err := json.Marshal(u.Event)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(b))
		}
		return out
	}
	first := true
	live := read(func() {
		if first { // what follows is committed while it is listened for
			close(let)
		}
		first = false
	})
	if again := read(func() {}); len(live) < 2 || !slices.Equal(live, again) {
		t.Errorf("told at once:\n%q\nout of the journal:\n%q", live, again)
	}
}
