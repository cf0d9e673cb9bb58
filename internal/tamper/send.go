package tamper

import (
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/provenance"
)

// sendText has the user say more while a model is asked.
func (g *game) sendText(text string) error {
	n := len(g.steps)
	said := map[string]any{
		"run": g.runCID.String(), "text": text, "idempotency_key": fmt.Sprint("vector-send-", n),
	}
	files := g.sendFiles[n]
	if files != nil {
		said["attach"] = nameFiles(files)
	}
	params, err := json.Marshal(said)
	if err != nil {
		return err
	}
	_, err = g.takeStep(&provenance.Ask{
		Request: provenance.NewPayload(params), Channel: [32]byte{1}, Seq: uint64(1 + n), Method: "run.send",
		Key: g.session.Public().String(), Files: piecesOf(files...),
	})
	return err
}

// sendWorld is the small run, into which its user says two things more.
func sendWorld() *world {
	w := smallWorld()
	w.sends = map[int]string{1: "and say it loudly", 2: "or rather quietly"}
	w.replies = append(w.replies, replyText("it said hi, quietly"))
	return w
}

// sentSteps are the steps of what was sent.
func (h *history) sentSteps() (out []*provenance.Ask) {
	for _, s := range h.steps[1:] {
		if ask, ok := s.Event.(*provenance.Ask); ok {
			out = append(out, ask)
		}
	}
	return out
}

// lieAboutSend changes one of what was sent; unsigned says that the session key did not sign the change.
func lieAboutSend(
	n int, unsigned bool, change func(ask *provenance.Ask, params map[string]any),
) func(*bench) ([]byte, error) {
	return changeHistory(sendWorld, func(h *history) error {
		ask := h.sentSteps()[n]
		raw, _ := ask.Request.Bytes()
		var params map[string]any
		if err := json.Unmarshal(raw, &params); err != nil {
			return err
		}
		change(ask, params)
		raw, err := json.Marshal(params)
		if err != nil {
			return err
		}
		ask.Request, h.keepAsk = provenance.NewPayload(raw), unsigned
		return nil
	})
}

// falseSends are runs into which their user did not say what is recorded.
var falseSends = []vector{
	{Name: "honest-send", Verdict: verified, What: "a run into which its user said two things more",
		make: changeSafely(sendWorld, func(*history) {})},
	{Name: "send-forged", Code: audit.CodeGrantRequest, What: "the user is said to have sent other words",
		make: lieAboutSend(0, true, func(_ *provenance.Ask, p map[string]any) { p["text"] = "and pay mallory" })},
	{Name: "send-other-run", Code: audit.CodeDecisionEvent, What: "what was sent into another run",
		make: lieAboutSend(0, false, func(_ *provenance.Ask, p map[string]any) {
			p["run"] = provenance.Sum(0x71, []byte("another")).String()
		})},
	{Name: "send-twice", Code: audit.CodeDecisionEvent, What: "what was sent once stands there twice",
		make: lieAboutSend(1, false, func(_ *provenance.Ask, p map[string]any) { p["idempotency_key"] = "vector-send-1" })},
}
