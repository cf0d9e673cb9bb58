package loop

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// A Summary is what the wallet is shown before it approves a call, recorded as canonical JSON.
type Summary struct {
	Text     string          `json:"text"` // one line: what would be done
	Tool     string          `json:"tool"`
	Args     json.RawMessage `json:"args"`
	Amount   string          `json:"amount,omitempty"` // "5 USDC": the most that the wallet allows
	Asset    string          `json:"asset,omitempty"`  // "USDC"
	Units    string          `json:"units,omitempty"`  // the amount in the asset's smallest units
	Decimals uint8           `json:"decimals,omitempty"`
	To       string          `json:"to,omitempty"`      // 0x address
	Changes  json.RawMessage `json:"changes,omitempty"` // what the simulation showed
	// What it comes to: what would leave the account, what would arrive, and whether that was read or computed.
	Debit     string `json:"debit,omitempty"`
	Credit    string `json:"credit,omitempty"`
	Simulated string `json:"simulated,omitempty"`
	// Where that is not what the call says: what the call says, what would leave beyond it, and how many transfers go
	// to others or are of other assets, allowances included.
	Asked   string   `json:"asked,omitempty"`
	Over    string   `json:"over,omitempty"`
	Others  int64    `json:"others,omitempty"`
	Origins []string `json:"origins,omitempty"` // of the arguments, if that is why the wallet is asked
	Readers []string `json:"readers,omitempty"` // the tools that would be given them, and those behind an agent
	Rules   []string `json:"rules"`             // that ask for the approval
	Why     []string `json:"why"`
}

// A why is what a decision's record says besides the rules: its leaf, as JSON.
type why struct {
	Message string          `json:"message"`
	Change  string          `json:"change,omitempty"`
	Atoms   []policies.Atom `json:"atoms,omitempty"`
}

// recordDecision turns a decision that reserves nothing into its record.
func recordDecision(d *policies.Decision) (provenance.Decision, error) {
	rec := provenance.Decision{Point: string(d.Point), Outcome: string(d.Outcome), Rules: d.Rules}
	if d.Outcome == policies.Permit {
		return rec, nil
	}
	b, err := json.Marshal(why{d.Message, d.Change, d.Atoms})
	if err != nil {
		return rec, fmt.Errorf("record a decision: %w", err)
	}
	rec.Why = provenance.NewPayload(b)
	return rec, nil
}

// deniedJSON is what the model reads in place of a result. It can quote it; it cannot mistake it for a success.
func deniedJSON(d policies.Decision) []byte {
	b, err := json.Marshal(map[string]any{"denied": map[string]any{
		"rule": strings.Join(d.Rules, ", "), "message": d.Message, "change": d.Change,
	}})
	if err != nil { // it cannot fail: all fields are strings
		return []byte(`{"denied":{}}`)
	}
	return b
}

func denialSentence(d policies.Decision) string {
	s, rules := "Denied", strings.Join(d.Rules, ", ")
	if rules != "" && !strings.HasPrefix(d.Message, rules) { // most messages begin with the rules
		s += " by " + rules
	}
	s += ": " + strings.TrimSuffix(d.Message, ".") + "."
	if d.Change != "" {
		s += " It would take " + d.Change + "."
	}
	return s
}

// encodeSummary writes a summary with the call's arguments byte for byte as they are in the call: the approval's
// argsHash is the hash of the canonical arguments.
func encodeSummary(s Summary) ([]byte, error) { return strictjson.Marshal(s) }
