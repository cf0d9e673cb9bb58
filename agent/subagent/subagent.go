// Package subagent is what an agent learns of the run of another that it called: what came of it, and what it used.
package subagent

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// Method is the method for which the request of a sub-agent's run is signed: by the key of the agent that
// calls, over the delegation in place of a session.
const Method = "run.delegate"

// An Outcome is what a sub-agent's run came to, as the result of the call that opened it: canonical JSON.
type Outcome struct {
	Answer string       `json:"answer"`
	Ended  string       `json:"ended"` // why the run closed
	Label  *label.Label `json:"label"` // with which it closed
	Run    string       `json:"run"`
	Used   Used         `json:"used"` // by the run and the sub-agents that it called
}

// Used are the sums of a sub-agent's run. They count among its caller's own.
type Used struct {
	Calls uint64      `json:"calls"`
	Cost  int64       `json:"cost_nano_usd"`
	In    uint64      `json:"in"` // tokens
	Out   uint64      `json:"out"`
	Spent []UsedAsset `json:"spent"` // sorted by asset
	Turns uint64      `json:"turns"`
	// Over is what of Spent left the account beyond what was reserved for it, and so maybe beyond a cap.
	Over []UsedAsset `json:"over,omitempty"`
}

// A UsedAsset is what was spent of one asset, in its base units.
type UsedAsset struct {
	Asset    string `json:"asset"`
	Decimals uint8  `json:"decimals"`
	Units    string `json:"units"`
}

// errNoClose says that a run has not closed.
var errNoClose = errors.New("the run has not closed")

// OutcomeOf returns what the last step of a sub-agent's run came to. definition.ErrSealed if its words are sealed.
func OutcomeOf(run provenance.Link, last *provenance.Step) (Outcome, error) {
	o := Outcome{Run: run.String()}
	for _, e := range last.Does {
		switch e := e.(type) {
		case *provenance.Say:
			text, ok := e.Text.Bytes()
			if !ok {
				return o, fmt.Errorf("what the sub-agent said: %w", definition.ErrSealed)
			}
			o.Answer = string(text)
		case *provenance.Close:
			t := e.Totals
			o.Ended = e.Reason
			l, err := definition.ReadLabel(e.Label)
			if err != nil {
				return o, fmt.Errorf("what the sub-agent has seen: %w", err)
			}
			o.Label = &l
			o.Used = Used{Calls: t.Calls, Cost: t.Cost, In: t.In, Out: t.Out, Turns: t.Turns, Spent: []UsedAsset{}}
			for _, a := range t.Spent {
				o.Used.Spent = append(o.Used.Spent, UsedAsset{a.Asset().Symbol, a.Asset().Decimals, a.Units()})
			}
			for _, a := range t.Over {
				o.Used.Over = append(o.Used.Over, UsedAsset{a.Asset().Symbol, a.Asset().Decimals, a.Units()})
			}
		}
	}
	if o.Ended == "" {
		return o, errNoClose
	}
	return o, nil
}

// JSON returns an outcome in the one spelling of its record.
func (o Outcome) JSON() []byte {
	b, err := json.Marshal(o)
	if err == nil {
		b, err = tools.CanonicalJSON(b)
	}
	if err != nil { // it cannot fail: all fields are strings
		panic("subagent: " + err.Error())
	}
	return b
}

// LabelOf is the label of what a sub-agent's run came to: that with which the run closed, from the tool that called it.
func LabelOf(tool string, outcome []byte) (label.Label, error) {
	var o Outcome
	if err := json.Unmarshal(outcome, &o); err != nil || o.Label == nil {
		return label.Label{}, errors.New("its outcome has no label")
	}
	return o.Label.Clean().Join(label.Label{Origins: []string{"tool:" + tool}}), nil
}
