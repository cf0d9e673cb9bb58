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
