package auth

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
)

const (
	recapPrefix = "urn:recap:"
	agentPrefix = "urn:writ:agent:"

	maxAgent    = 32
	maxToolName = 64

	preamble = "I further authorize the stated URI to perform the following actions on my behalf:"
)

// A recap is what the ReCap of a grant says (ERC-5573): one resource, the agent; the ability to start runs, whose
// one qualification holds the caveats; and one ability for each tool.
//
//	{"att":{"urn:writ:agent:NAME":{"run/start":[{CAVEATS}],"tool/NAME":[{}],...}}}
//
// Some wallet kits write the page's origin into a message's URI. For them the caveat cnf holds the session key, as a
// did:key, and its fingerprint is in the sentence (after RFC 7800, which has the name).
//
// There is no prf: a root grant has no parent, and the standard's schema wants prf left out then.
type recap struct {
	agent   string
	tools   []string // sorted
	caveats Caveats
	key     PublicKey // the session key if it stands here and not in the message's URI: the caveat cnf
}

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
	return r.caveats.validate()
}

// uri returns the one ReCap URI of r.
func (r *recap) uri() string {
	c := recapCoder{writing: true, b: make([]byte, 0, 512+32*len(r.tools))}
	c.recap(r)
	return recapPrefix + base64.RawURLEncoding.EncodeToString(c.b)
}

// sentence returns what is enforced in plain words.
func (r *recap) sentence(until time.Time) string {
	s := r.caveats.Sentence(r.agent, until)
	if r.key.kind != "" {
		s += " Session key: " + r.key.Fingerprint() + "."
	}
	return s
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
	c, r := recapCoder{b: data}, new(recap)
	c.recap(r)
	if c.err == nil && len(c.b) > 0 {
		c.fail(CodeRecapJSON, "something follows the JSON")
	}
	if c.err != nil {
		return nil, c.err
	}
	return r, r.validate()
}

// A recapCoder writes or reads the JSON of a recap. Both are done by the same methods, which name keys in the order of
// RFC 8785 and leave empty caveats out; none of the values ever needs an escape. So what can be read is what would
// have been written, and one meaning has one spelling. The first error sticks.
type recapCoder struct {
	writing bool
	b       []byte     // written so far; or what is left to read
	some    bool       // the caveats have a key already
	cnf     *PublicKey // where the caveat cnf is kept; nil where a session key has no place
	err     error
}

func (c *recapCoder) recap(r *recap) {
	c.lit(`{`)
	c.lit(`"att":{`)
	resource := agentPrefix + r.agent
	c.text(&resource)
	if name, ok := strings.CutPrefix(resource, agentPrefix); ok {
		r.agent = name
	} else {
		c.fail(CodeRecapUnknown, "its resource is not an agent")
	}
	c.lit(`:{`)
	c.lit(`"run/start":`)
	c.lit(`[{`)
	c.cnf = &r.key
	c.caveats(&r.caveats)
	c.lit(`}]`)
	for i := 0; c.writing && i < len(r.tools) || !c.writing && c.next(`,"tool/`); i++ {
		if !c.writing {
			r.tools = append(r.tools, "")
		}
		tool := "tool/" + r.tools[i]
		c.lit(`,`)
		c.text(&tool)
		r.tools[i] = strings.TrimPrefix(tool, "tool/")
		if !c.writing && !c.next(`:[{}]`) {
			c.fail(CodeRecapUnknown, "a tool has a qualification that is not known here")
		}
		c.lit(`:[{}]`)
	}
	c.lit(`}`)
	c.lit(`}`)
	c.lit(`}`)
}

func (c *recapCoder) caveats(v *Caveats) {
	coderList(c, "approve_above", &v.ApproveAbove, c.amount)
	if c.key("approve_if_tainted", v.ApproveIfTainted) {
		if c.next(`false`) {
			c.fail(CodeRecapCanonical, "a false is written out")
		}
		c.lit(`true`)
		v.ApproveIfTainted = true
	}
	coderList(c, "chains", &v.Chains, c.num)
	if c.cnf != nil && c.key("cnf", c.cnf.kind != "") {
		c.did(c.cnf)
	}
	coderList(c, "hosts", &v.Hosts, c.text)
	c.count("max_calls", &v.MaxCalls)
	if c.key("max_cost_usd", v.MaxCostNanoUSD != 0) {
		c.cost(&v.MaxCostNanoUSD)
	}
	c.count("max_depth", &v.MaxDepth)
	coderList(c, "max_per_call", &v.MaxPerCall, c.amount)
	c.count("max_tokens", &v.MaxTokens)
	coderList(c, "max_total", &v.MaxTotal, c.amount)
	coderList(c, "models", &v.Models, c.text)
	coderList(c, "recipients", &v.Recipients, c.address)
}

// known holds the keys that can stand in a recap, so that one out of place is told from one that means nothing.
var known = strings.Fields("att run/start approve_above approve_if_tainted chains cnf hosts max_calls max_cost_usd max_depth " +
	"max_per_call max_tokens max_total models recipients")

// lit writes s, or reads it.
func (c *recapCoder) lit(s string) {
	switch {
	case c.err != nil:
	case c.writing:
		c.b = append(c.b, s...)
	case c.next(s):
		c.b = c.b[len(s):]
	default:
		c.wrong()
	}
}

// next says whether s is what comes next.
func (c *recapCoder) next(s string) bool {
	return c.err == nil && len(c.b) >= len(s) && string(c.b[:len(s)]) == s
}

// wrong says why what comes next cannot be there.
func (c *recapCoder) wrong() {
	rest := strings.TrimPrefix(string(c.b), ",")
	if key, ok := strings.CutPrefix(rest, `"`); ok {
		key, _, _ = strings.Cut(key, `"`)
		if slices.Contains(known, key) {
			c.fail(CodeRecapCanonical, "a key is out of its order or there twice")
		} else {
			c.fail(CodeRecapUnknown, "it has a key that is not known here")
		}
	}
	if strings.TrimLeft(rest, " \t\r\n") != rest {
		c.fail(CodeRecapCanonical, "it has white space")
	}
	c.fail(CodeRecapJSON, "not JSON of the expected shape")
}

func (c *recapCoder) fail(code Code, why string) {
	if c.err == nil {
		c.err = fault(code, "ReCap", "%s", why)
	}
}

// key writes a key of the caveats if it has a value, or reads it if it is next. It returns whether a value follows.
func (c *recapCoder) key(name string, present bool) bool {
	s := `"` + name + `":`
	if c.some {
		s = "," + s
	}
	if c.err != nil || c.writing && !present || !c.writing && !c.next(s) {
		return false
	}
	c.lit(s)
	c.some = true
	return true
}

func (c *recapCoder) count(name string, v *uint64) {
	if c.key(name, *v != 0) {
		if c.num(v); *v == 0 {
			c.fail(CodeRecapCanonical, "a zero is written out")
		}
	}
}

// coderList writes or reads a list of at least one entry. Bounds on its length are checked with all others.
func coderList[T any](c *recapCoder, name string, v *[]T, item func(*T)) {
	if !c.key(name, len(*v) > 0) {
		return
	}
	c.lit(`[`)
	if c.next(`]`) && !c.writing {
		c.fail(CodeRecapCanonical, "an empty list is written out")
	}
	for i := 0; c.err == nil && (!c.writing || i < len(*v)); i++ {
		if i > 0 && !c.writing && c.next(`]`) {
			break
		}
		if i > 0 {
			c.lit(`,`)
		}
		if !c.writing {
			*v = append(*v, *new(T))
		}
		item(&(*v)[i])
	}
	c.lit(`]`)
}

func (c *recapCoder) num(v *uint64) {
	if c.writing {
		c.b = strconv.AppendUint(c.b, *v, 10)
		return
	}
	n := 0
	for n < len(c.b) && isDigit(c.b[n]) {
		n++
	}
	var err error
	*v, err = strconv.ParseUint(string(c.b[:n]), 10, 64)
	if n == 0 || n > 1 && c.b[0] == '0' {
		c.fail(CodeRecapJSON, "a number is not in plain digits")
	} else if err != nil || *v > maxChain {
		c.fail(CodeCaveats, "a number is more than 2^53 - 1")
	}
	c.b = c.b[n:]
}

func (c *recapCoder) text(v *string) {
	if c.writing {
		c.b = append(append(append(c.b, '"'), *v...), '"')
		return
	}
	c.lit(`"`)
	for i := 0; c.err == nil && i < len(c.b); i++ {
		switch ch := c.b[i]; {
		case ch == '"':
			*v, c.b = string(c.b[:i]), c.b[i+1:]
			return
		case ch == '\\' || ch < ' ' || ch > '~':
			c.fail(CodeRecapCanonical, "a text has an escape or a character outside ASCII")
		}
	}
	c.fail(CodeRecapJSON, "a text has no end")
}

func (c *recapCoder) amount(v *money.Amount) {
	asset, units := v.Asset(), v.Units()
	decimals := uint64(asset.Decimals)
	c.lit(`{"asset":`)
	c.text(&asset.Symbol)
	c.lit(`,"decimals":`)
	c.num(&decimals)
	c.lit(`,"units":`)
	c.text(&units)
	c.lit(`}`)
	if c.writing || c.err != nil {
		return
	}
	asset.Decimals = uint8(min(decimals, 255))
	var err error
	if *v, err = money.FromUnits(asset, units); err != nil {
		c.fail(CodeCaveats, "units are not a decimal number of 256 bits")
	}
}

// cost is a decimal number of dollars with at most nine fraction digits.
func (c *recapCoder) cost(v *int64) {
	s := money.Of(usd, uint64(max(*v, 0))).Decimal()
	c.text(&s)
	if c.writing || c.err != nil {
		return
	}
	a, err := money.ParseDecimal(usd, s)
	n := a.Uint256()
	if err != nil || !n.IsUint64() || n.Uint64() > maxCost {
		c.fail(CodeCaveats, "max_cost_usd is not a decimal number of dollars up to 1000000")
		return
	}
	if a.Decimal() != s {
		c.fail(CodeRecapCanonical, "max_cost_usd has a zero too many")
	}
	if *v = int64(n.Uint64()); *v == 0 {
		c.fail(CodeCaveats, "max_cost_usd is zero")
	}
}

func (c *recapCoder) did(v *PublicKey) {
	s := v.String()
	c.text(&s)
	if c.writing || c.err != nil {
		return
	}
	var err error
	if *v, err = ParsePublicKey(s); err != nil {
		code := CodeKeyForm
		if f, ok := err.(*Fault); ok {
			code = f.Code
		}
		c.fail(code, "cnf is not a did:key of a kind that is known")
	}
}

func (c *recapCoder) address(v *common.Address) {
	s := v.Hex()
	c.text(&s)
	if c.writing || c.err != nil {
		return
	}
	var ok bool
	if *v, ok = parseAddress(s); !ok {
		c.fail(CodeCaveats, "a recipient is not an address with EIP-55 capitals")
	}
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
