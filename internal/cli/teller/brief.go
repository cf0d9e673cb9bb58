package teller

import (
	"encoding/json"
	"strings"

	"github.com/writ-run/writ/agent/wire"
)

// describeBriefly tells of a step what somebody who asked wants to know before the answer: which tools have done what,
// what waits, and whatever did not go as it should.
func (t *Teller) describeBriefly(ev *wire.RunEvent) (lines []string) {
	if t.tools == nil {
		t.tools = map[wire.Ref]string{}
	}
	switch e := ev.Event; {
	case e.Kind == "ask", e.Kind == "reply" && e.Failed != "", e.Kind == "verdict", e.Kind == "lapse":
		lines = append(lines, t.describeEvent(e)...)
	case e.Kind == "result" && e.Of != nil:
		tool := t.tools[*e.Of]
		delete(t.tools, *e.Of)
		switch {
		case tool == "" || e.Status == "ok" && isOnTheWay(e.Output):
			t.describeResult(e) // which notes what the receipt is compared with
		case e.Status == "ok" && !isMined(e.Output):
			lines = append(lines, strings.TrimSpace("called    "+tool+" "+summarize(e.Output, e.Erased)))
		default:
			lines = append(lines, t.describeResult(e))
		}
	}
	for i, e := range ev.Does {
		at := wire.Ref{Seq: ev.Seq, Index: uint64(i)}
		switch {
		case e.Kind == "call":
			t.tools[at] = e.Tool
			if e.Phase == "final" {
				lines = append(lines, t.describeEffects([]wire.Effect{e})...)
			}
		case e.Kind == "deny":
			lines = append(lines, t.describeEffects([]wire.Effect{e})...)
		case e.Kind == "close" && e.Code != "":
			lines = append(lines, "closed    "+e.Reason+" "+e.Code)
		}
	}
	return lines
}

// summarize says what a tool gave: an amount, or of a chain's reading the block that it is of, since the answer says
// the rest; of other tools the beginning.
func summarize(output json.RawMessage, isErased bool) string {
	var out struct {
		Display   string
		Block     string
		BlockHash string `json:"block_hash"`
	}
	if json.Unmarshal(output, &out) != nil || out.Display == "" && (out.Block == "" || out.BlockHash == "") {
		return sayPayload(output, isErased)
	}
	says := out.Display
	if out.Block != "" {
		says = strings.TrimSpace(says + " at block " + out.Block)
	}
	return says
}

// isOnTheWay says whether a result is of a simulation or a signature: what comes of them follows.
func isOnTheWay(output json.RawMessage) bool {
	var out struct {
		Changes []json.RawMessage
		Hash    string
		Raw     string
	}
	return json.Unmarshal(output, &out) == nil && (out.Raw != "" || len(out.Changes) > 0 && out.Hash == "")
}

// isMined says whether a result is of a transaction in a block.
func isMined(output json.RawMessage) bool {
	var out struct{ Hash, Status string }
	return json.Unmarshal(output, &out) == nil && out.Hash != "" && out.Status != ""
}
