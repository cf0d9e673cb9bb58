package definition

import (
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/elicit"
)

// NewQuestion returns the effect that puts to the user what the server of a call asks in it. asks is the record of
// user.ask, by which it is shown and answered as any question is.
func NewQuestion(of provenance.Ref, asks provenance.Link, t elicit.Talk) (*provenance.Call, error) {
	text, choices := t.Question()
	raw, err := json.Marshal(tools.Question{Question: text, Choices: choices})
	if err == nil {
		raw, err = tools.CanonicalJSON(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("what a server asks: %w", err)
	}
	return &provenance.Call{
		Of: of, Tool: asks, Args: provenance.NewPayload(raw), Class: string(tools.Read), Phase: provenance.PhaseAsk,
	}, nil
}
