// Package decision makes of policy decisions what others read: the record, the words for the model, those for the user.
package decision

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
)

// A why is what a decision's record says besides the rules: its leaf, as JSON.
type why struct {
	Message string          `json:"message"`
	Change  string          `json:"change,omitempty"`
	Atoms   []policies.Atom `json:"atoms,omitempty"`
}

// Record turns a decision that reserves nothing into its record.
func Record(d *policies.Decision) (provenance.Decision, error) {
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

// Joint returns what several decisions on one call come to, and the shortest time that an approval has.
func Joint(ds []policies.Decision) (outcome policies.Outcome, ttl int64) {
	outcome = policies.Permit
	for _, d := range ds {
		switch {
		case d.Outcome == policies.Deny:
			outcome = policies.Deny
		case d.Outcome == policies.Approve && outcome != policies.Deny:
			outcome = policies.Approve
			if ttl == 0 || d.TTL < ttl {
				ttl = d.TTL
			}
		}
	}
	return outcome, ttl
}

// Denied is what the model reads in place of a result. It can quote it; it cannot mistake it for a success.
func Denied(d policies.Decision) []byte {
	b, err := json.Marshal(map[string]any{"denied": map[string]any{
		"rule": strings.Join(d.Rules, ", "), "message": d.Message, "change": d.Change,
	}})
	if err != nil { // it cannot fail: all fields are strings
		return []byte(`{"denied":{}}`)
	}
	return b
}

// Sentence says to a user why something was denied, and what it would take.
func Sentence(d policies.Decision) string {
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

// DenySecret is the decision that keeps a secret from a reader, by a rule of that name.
func DenySecret(rule string, p policies.Point, reader string, l label.Label) policies.Decision {
	from := label.DescribeOrigins(l.Origins)
	return policies.Decision{
		Point: p, Outcome: policies.Deny, Rules: []string{rule},
		Message: fmt.Sprintf("%s would hold a secret from %s, which it may not have", reader, from),
	}
}

// JoinReserves returns both lists as one, with one entry a budget. The lists may be those of records and stay as they
// are.
func JoinReserves(list, more []provenance.Reserve) ([]provenance.Reserve, error) {
	find := func(list []provenance.Reserve, budget string) int {
		return slices.IndexFunc(list, func(x provenance.Reserve) bool { return x.Budget == budget })
	}
	distinct := true
	for i, r := range more {
		distinct = distinct && find(more[:i], r.Budget) < 0
	}
	if len(list) == 0 && distinct {
		return slices.Clip(more), nil
	}
	out := make([]provenance.Reserve, len(list), len(list)+len(more))
	copy(out, list)
	for _, r := range more {
		i := find(out, r.Budget)
		if i < 0 {
			out = append(out, r)
			continue
		}
		sum, err := out[i].Amount.Add(r.Amount)
		if err != nil {
			return nil, fmt.Errorf("budget %s: %w", r.Budget, err)
		}
		out[i].Amount = sum
	}
	return out, nil
}

// Shorten cuts a JSON text to a decision's limit. What is left is told as a text, so that it is JSON still.
func Shorten(out []byte, d policies.Decision) ([]byte, error) {
	short, more := policies.Cut(out, d.Limit.Bytes)
	if !more {
		return out, nil
	}
	return json.Marshal(map[string]any{"beginning": string(short), "cut_by_policy": true})
}
