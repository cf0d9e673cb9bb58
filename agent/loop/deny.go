package loop

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// A Summary is what the wallet is shown before it approves a call, recorded as canonical JSON.
type Summary struct {
	Text     string          `json:"text"` // one line: what would be done
	Tool     string          `json:"tool"`
	Args     json.RawMessage `json:"args"`
	Amount   string          `json:"amount,omitempty"` // "5 USDC"
	Asset    string          `json:"asset,omitempty"`  // "USDC"
	Units    string          `json:"units,omitempty"`  // the amount in the asset's smallest units
	Decimals uint8           `json:"decimals,omitempty"`
	To       string          `json:"to,omitempty"`      // 0x address
	Changes  json.RawMessage `json:"changes,omitempty"` // what the simulation showed
	Origins  []string        `json:"origins,omitempty"` // where the arguments may come from, if that is why the wallet is asked
	Rules    []string        `json:"rules"`             // that ask for the approval
	Why      []string        `json:"why"`
}

// A why is what a decision's record says besides the rules: its leaf, as JSON.
type why struct {
	Message string          `json:"message"`
	Change  string          `json:"change,omitempty"`
	Atoms   []policies.Atom `json:"atoms,omitempty"`
}

// record turns decisions into their records. What was reserved counts only if all of it is permitted.
func record(ds []policies.Decision, outcome policies.Outcome) ([]provenance.Decision, error) {
	out := make([]provenance.Decision, len(ds))
	for i, d := range ds {
		rec := provenance.Decision{Point: string(d.Point), Outcome: string(d.Outcome), Rules: d.Rules}
		if d.Outcome != policies.Permit {
			b, err := json.Marshal(why{d.Message, d.Change, d.Atoms})
			if err != nil {
				return nil, fmt.Errorf("record a decision: %w", err)
			}
			rec.Why = provenance.NewPayload(b)
		}
		if outcome == policies.Permit && len(d.Reserve) > 0 {
			rec.Reserve = make([]provenance.Reserve, 0, len(d.Reserve))
			for _, r := range d.Reserve {
				rec.Reserve = append(rec.Reserve, provenance.Reserve{Budget: r.Budget, Amount: r.Amount})
			}
		}
		out[i] = rec
	}
	return out, nil
}

func unreserved(ds []provenance.Decision) []provenance.Decision {
	for i := range ds {
		ds[i].Reserve = nil
	}
	return ds
}

// refuse gives a call its outcome "denied", with the first decision that denies as the reason for the model.
func (w *work) refuse(c *call, ds []policies.Decision, records []provenance.Decision) {
	w.do(&provenance.Deny{Of: c.of, Tool: c.ask.Tool, Decisions: records})
	w.s.denied = true
	w.s.refused++
	for _, d := range ds {
		if d.Outcome == policies.Deny {
			w.finish(c, deniedJSON(d))
			return
		}
	}
}

// deny refuses a call by one of the loop's own rules.
func (w *work) deny(c *call, p policies.Point, rule, message, change string) error {
	ds := []policies.Decision{{Point: p, Outcome: policies.Deny, Rules: []string{rule}, Message: message, Change: change}}
	records, err := record(ds, policies.Deny)
	if err != nil {
		return err
	}
	w.refuse(c, ds, records)
	return nil
}

// deniedJSON is what the model reads in place of a result. It can quote it; it cannot mistake it for a success.
func deniedJSON(d policies.Decision) []byte {
	b, err := json.Marshal(map[string]any{"denied": map[string]any{
		"rule": strings.Join(d.Rules, ", "), "message": d.Message, "change": d.Change,
	}})
	if err != nil { // strings marshal
		return []byte(`{"denied":{}}`)
	}
	return b
}

func sentence(d policies.Decision) string {
	s, rules := "Denied", strings.Join(d.Rules, ", ")
	if rules != "" && !strings.HasPrefix(d.Message, rules) { // which most messages begin with
		s += " by " + rules
	}
	s += ": " + strings.TrimSuffix(d.Message, ".") + "."
	if d.Change != "" {
		s += " It would take " + d.Change + "."
	}
	return s
}

func describe(c *call) string {
	if c.tool.spec.Spend != nil {
		return fmt.Sprintf("%s: %s to %s", c.tool.spec.Name, c.args.Amount, c.args.To.Hex())
	}
	return fmt.Sprintf("%s %+q", c.tool.spec.Name, clip(string(c.args.JSON))) // a wallet shows ASCII
}

func join(s []string) string { return strings.Join(s, ", ") }

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
