package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
)

const (
	recapPrefix = "urn:recap:"
	agentPrefix = "urn:writ:agent:"
	abilityRun  = "run/start"
	abilityTool = "tool/"

	maxAgent    = 32
	maxToolName = 64

	preamble = "I further authorize the stated URI to perform the following actions on my behalf:"
)

// A recap is what the ReCap of a grant says (ERC-5573): one resource, the agent; the ability to start runs, whose
// one qualification holds the caveats; and one ability for each tool. There is no prf: a root grant has no parent,
// and the standard's schema wants prf left out then.
type recap struct {
	agent   string
	tools   []string // sorted
	caveats Caveats
}

// The JSON of a recap. Field names are in the order of RFC 8785, and no value needs escaping, so encoding/json
// writes the canonical form. An empty list, a false and a zero depth are left out: one meaning, one spelling.
type (
	details struct {
		Att map[string]map[string][]json.RawMessage `json:"att"`
	}
	caveatsJSON struct {
		ApproveAbove     []amountJSON `json:"approve_above,omitempty"`
		ApproveIfTainted bool         `json:"approve_if_tainted,omitempty"`
		Chains           []uint64     `json:"chains"`
		Hosts            []string     `json:"hosts,omitempty"`
		MaxCalls         uint64       `json:"max_calls"`
		MaxCostUSD       string       `json:"max_cost_usd"` // decimal, at most nine fraction digits
		MaxDepth         uint64       `json:"max_depth,omitempty"`
		MaxPerCall       []amountJSON `json:"max_per_call,omitempty"`
		MaxTokens        uint64       `json:"max_tokens"`
		MaxTotal         []amountJSON `json:"max_total,omitempty"`
		Models           []string     `json:"models,omitempty"`
		Recipients       []string     `json:"recipients,omitempty"` // EIP-55
	}
	amountJSON struct {
		Asset    string `json:"asset"`
		Decimals uint8  `json:"decimals"`
		Units    string `json:"units"` // decimal
	}
)

// validate says whether the recap can be written.
func (r *recap) validate() error {
	if !isAgent(r.agent) {
		return fault(CodeAgent, "agent", "a name is 1 to %d lower-case letters, digits and hyphens, a letter first", maxAgent)
	}
	if len(r.tools) > MaxTools {
		return fault(CodeCaveats, "tools", "at most %d can be named", MaxTools)
	}
	for i, t := range r.tools {
		if !isTool(t) {
			return fault(CodeCaveats, "tools", "entry %d is not the name of a tool", i+1)
		}
		if i > 0 && r.tools[i-1] >= t {
			return fault(CodeCaveats, "tools", "entries must be sorted and named once")
		}
	}
	return r.caveats.Validate()
}

// uri returns the one ReCap URI of r.
func (r *recap) uri() (string, error) {
	c := r.caveats
	j := caveatsJSON{
		ApproveAbove: toJSON(c.ApproveAbove), ApproveIfTainted: c.ApproveIfTainted, Chains: c.Chains, Hosts: c.Hosts,
		MaxCalls: c.MaxCalls, MaxCostUSD: money.Of(usd, uint64(max(c.MaxCostNanoUSD, 0))).Decimal(), MaxDepth: c.MaxDepth,
		MaxPerCall: toJSON(c.MaxPerCall), MaxTokens: c.MaxTokens, MaxTotal: toJSON(c.MaxTotal), Models: c.Models,
	}
	for _, a := range c.Recipients {
		j.Recipients = append(j.Recipients, a.Hex())
	}
	limits, err := json.Marshal(j)
	if err != nil {
		return "", err
	}
	abilities := map[string][]json.RawMessage{abilityRun: {limits}}
	for _, t := range r.tools {
		abilities[abilityTool+t] = []json.RawMessage{json.RawMessage("{}")}
	}
	data, err := json.Marshal(details{map[string]map[string][]json.RawMessage{agentPrefix + r.agent: abilities}})
	if err != nil {
		return "", err
	}
	return recapPrefix + base64.RawURLEncoding.EncodeToString(data), nil
}

// statement returns the whole statement of a grant: the limits, then the abilities in the words of ERC-5573.
func (r *recap) statement(limits string) string {
	var b strings.Builder
	b.Grow(len(limits) + 256 + 16*len(r.tools))
	b.WriteString(limits + " " + preamble + " (1) 'run': 'start' for '" + agentPrefix + r.agent + "'.")
	for i, t := range r.tools {
		if i == 0 {
			b.WriteString(" (2) 'tool': ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString("'" + t + "'")
	}
	if len(r.tools) > 0 {
		b.WriteString(" for '" + agentPrefix + r.agent + "'.")
	}
	return b.String()
}

// parseRecap reads a ReCap URI. Only the canonical spelling of valid caveats is accepted: what it returns writes the
// same URI again.
func parseRecap(uri string) (*recap, error) {
	text, ok := strings.CutPrefix(uri, recapPrefix)
	if !ok {
		return nil, fault(CodeRecapMissing, "Resources", "the last resource is not a ReCap")
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, fault(CodeRecapBase64, "ReCap", "not unpadded base64url")
	}
	var d details
	if err := strictJSON(data, &d); err != nil {
		return nil, err
	}
	r := new(recap)
	if len(d.Att) != 1 {
		return nil, fault(CodeRecapJSON, "ReCap", "it must name one resource, the agent")
	}
	var limits []json.RawMessage
	for resource, abilities := range d.Att {
		if r.agent, ok = strings.CutPrefix(resource, agentPrefix); !ok {
			return nil, fault(CodeRecapUnknown, "ReCap", "its resource is not an agent")
		}
		for ability, notes := range abilities {
			if ability == abilityRun {
				limits = notes
				continue
			}
			tool, ok := strings.CutPrefix(ability, abilityTool)
			if !ok {
				return nil, fault(CodeRecapUnknown, "ReCap", "it grants an ability that is not known here")
			}
			if len(notes) != 1 || string(notes[0]) != "{}" {
				return nil, fault(CodeRecapUnknown, "ReCap", "a tool has a qualification that is not known here")
			}
			r.tools = append(r.tools, tool)
		}
	}
	slices.Sort(r.tools)
	if len(limits) != 1 {
		return nil, fault(CodeRecapJSON, "ReCap", "%s must have one qualification, the caveats", abilityRun)
	}
	if r.caveats, err = parseCaveats(limits[0]); err != nil {
		return nil, err
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	again, err := r.uri()
	if err != nil || again != uri {
		return nil, fault(CodeRecapCanonical, "ReCap", "it is not spelt canonically (RFC 8785, empty caveats left out)")
	}
	return r, nil
}

func parseCaveats(data []byte) (Caveats, error) {
	var j caveatsJSON
	if err := strictJSON(data, &j); err != nil {
		return Caveats{}, err
	}
	c := Caveats{
		ApproveIfTainted: j.ApproveIfTainted, Chains: j.Chains, Hosts: j.Hosts, MaxCalls: j.MaxCalls,
		MaxDepth: j.MaxDepth, MaxTokens: j.MaxTokens, Models: j.Models,
	}
	for _, l := range []struct {
		name string
		from []amountJSON
		to   *[]money.Amount
	}{
		{"approve_above", j.ApproveAbove, &c.ApproveAbove},
		{"max_per_call", j.MaxPerCall, &c.MaxPerCall},
		{"max_total", j.MaxTotal, &c.MaxTotal},
	} {
		for _, a := range l.from {
			amount, err := money.FromUnits(money.Asset{Symbol: a.Asset, Decimals: a.Decimals}, a.Units)
			if err != nil {
				return Caveats{}, fault(CodeCaveats, l.name, "units are not a decimal number of 256 bits")
			}
			*l.to = append(*l.to, amount)
		}
	}
	cost, err := money.ParseDecimal(usd, j.MaxCostUSD)
	if err != nil || !cost.Uint256().IsUint64() || cost.Uint256().Uint64() > maxCost {
		return Caveats{}, fault(CodeCaveats, "max_cost_usd", "not a decimal number of dollars up to %d", maxCost/nanoPerUSD)
	}
	c.MaxCostNanoUSD = int64(cost.Uint256().Uint64())
	for _, s := range j.Recipients {
		if len(s) != 42 || s[:2] != "0x" || !all(s[2:], isHex) || !checksummed(s[2:]) {
			return Caveats{}, fault(CodeCaveats, "recipients", "an entry is not an address with EIP-55 capitals")
		}
		c.Recipients = append(c.Recipients, common.HexToAddress(s))
	}
	return c, nil
}

// strictJSON reads one JSON value without unknown keys. Duplicate keys, white space and other spellings are found by
// writing the value again.
func strictJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		if strings.HasPrefix(err.Error(), "json: unknown field") {
			return fault(CodeRecapUnknown, "ReCap", "it has a key that is not known here")
		}
		return fault(CodeRecapJSON, "ReCap", "not JSON of the expected shape")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fault(CodeRecapJSON, "ReCap", "something follows the JSON")
	}
	return nil
}

func toJSON(list []money.Amount) []amountJSON {
	var out []amountJSON
	for _, a := range list {
		out = append(out, amountJSON{a.Asset().Symbol, a.Asset().Decimals, a.Units()})
	}
	return out
}

func isAgent(s string) bool {
	return s != "" && len(s) <= maxAgent && s[0] >= 'a' && s[0] <= 'z' &&
		all(s, func(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'z' || c == '-' })
}

// isTool says whether s is the name of a tool: lower-case letters, digits and '_' in parts joined by '.'.
func isTool(s string) bool {
	if len(s) > maxToolName {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || !all(part, func(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'z' || c == '_' }) {
			return false
		}
	}
	return true
}
