package auth

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

const (
	recapPrefix = "urn:recap:"
	agentPrefix = "urn:writ:agent:"

	maxAgent = 32

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
		return newFault(CodeAgent, "agent", "a name is 1 to %d lower-case letters, digits and hyphens, a letter first",
			maxAgent)
	}
	if len(r.tools) > MaxTools {
		return newFault(CodeCaveats, "tools", "at most %d can be named", MaxTools)
	}
	for i, t := range r.tools {
		if !arg.IsToolName(t) {
			return newFault(CodeCaveats, "tools", "entry %d is not the name of a tool", i+1)
		}
		if i > 0 && r.tools[i-1] >= t {
			return newFault(CodeCaveats, "tools", "entries must be sorted and named once")
		}
	}
	return r.caveats.validate()
}

// encodeURI returns the one ReCap URI of r.
func (r *recap) encodeURI() string {
	c := recapCoder{writing: true, b: make([]byte, 0, 512+32*len(r.tools))}
	c.codeRecap(r)
	return recapPrefix + base64.RawURLEncoding.EncodeToString(c.b)
}

// limitsSentence returns what is enforced in plain words.
func (r *recap) limitsSentence(until time.Time) string {
	s := r.caveats.Sentence(r.agent, until)
	if slices.ContainsFunc(r.tools, func(t string) bool { return strings.HasPrefix(t, "wallet.") }) {
		s += " It asks my own wallet to send what tools named wallet. do: that is my own money."
	}
	if slices.ContainsFunc(r.tools, func(t string) bool { return strings.HasPrefix(t, "mandate.") }) {
		s += " It asks my own account to send what tools named mandate. do: that is my own money."
	}
	if r.key.kind != "" {
		s += " Session key: " + r.key.Fingerprint() + "."
	}
	return s
}

// wholeStatement returns the whole statement of a grant: the limits, then the abilities in the words of ERC-5573.
func (r *recap) wholeStatement(limits string) string {
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
		return nil, newFault(CodeRecapMissing, "Resources", "the last resource is not a ReCap")
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, newFault(CodeRecapBase64, "ReCap", "not unpadded base64url")
	}
	c, r := recapCoder{b: data}, new(recap)
	c.codeRecap(r)
	if c.err == nil && len(c.b) > 0 {
		c.failOnce(CodeRecapJSON, "something follows the JSON")
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

func (c *recapCoder) codeRecap(r *recap) {
	c.codeLiteral(`{`)
	c.codeLiteral(`"att":{`)
	resource := agentPrefix + r.agent
	c.codeText(&resource)
	if name, ok := strings.CutPrefix(resource, agentPrefix); ok {
		r.agent = name
	} else {
		c.failOnce(CodeRecapUnknown, "its resource is not an agent")
	}
	c.codeLiteral(`:{`)
	c.codeLiteral(`"run/start":`)
	c.codeLiteral(`[{`)
	c.cnf = &r.key
	c.codeCaveats(&r.caveats)
	c.codeLiteral(`}]`)
	for i := 0; c.writing && i < len(r.tools) || !c.writing && c.isNext(`,"tool/`); i++ {
		if !c.writing {
			r.tools = append(r.tools, "")
		}
		tool := "tool/" + r.tools[i]
		c.codeLiteral(`,`)
		c.codeText(&tool)
		r.tools[i] = strings.TrimPrefix(tool, "tool/")
		if !c.writing && !c.isNext(`:[{}]`) {
			c.failOnce(CodeRecapUnknown, "a tool has a qualification that is not known here")
		}
		c.codeLiteral(`:[{}]`)
	}
	c.codeLiteral(`}`)
	c.codeLiteral(`}`)
	c.codeLiteral(`}`)
}

func (c *recapCoder) codeCaveats(v *Caveats) {
	coderList(c, "approve_above", &v.ApproveAbove, c.codeAmount)
	if c.codeKey("approve_if_tainted", v.ApproveIfTainted) {
		if c.isNext(`false`) {
			c.failOnce(CodeRecapCanonical, "a false is written out")
		}
		c.codeLiteral(`true`)
		v.ApproveIfTainted = true
	}
	coderList(c, "chains", &v.Chains, c.codeNumber)
	if c.cnf != nil && c.codeKey("cnf", c.cnf.kind != "") {
		c.codeKeyDID(c.cnf)
	}
	coderList(c, "from", &v.From, c.codeText)
	coderList(c, "hosts", &v.Hosts, c.codeText)
	c.codeCount("max_calls", &v.MaxCalls)
	if c.codeKey("max_cost_usd", v.MaxCostNanoUSD != 0) {
		c.codeCost(&v.MaxCostNanoUSD)
	}
	c.codeCount("max_depth", &v.MaxDepth)
	coderList(c, "max_per_call", &v.MaxPerCall, c.codeAmount)
	c.codeCount("max_tokens", &v.MaxTokens)
	coderList(c, "max_total", &v.MaxTotal, c.codeAmount)
	coderList(c, "models", &v.Models, c.codeText)
	coderList(c, "recipients", &v.Recipients, c.codeAddress)
	coderList(c, "things", &v.Things, c.codeText)
}

// known holds the keys that can stand in a recap, so that one out of place is told from one that means nothing.
var known = strings.Fields("att run/start approve_above approve_if_tainted chains cnf from hosts max_calls " +
	"max_cost_usd max_depth max_per_call max_tokens max_total models recipients things")

// codeLiteral writes s, or reads it.
func (c *recapCoder) codeLiteral(s string) {
	switch {
	case c.err != nil:
	case c.writing:
		c.b = append(c.b, s...)
	case c.isNext(s):
		c.b = c.b[len(s):]
	default:
		c.refuseNext()
	}
}

// isNext says whether s is what comes next.
func (c *recapCoder) isNext(s string) bool {
	return c.err == nil && len(c.b) >= len(s) && string(c.b[:len(s)]) == s
}

// refuseNext says why what comes next cannot be there.
func (c *recapCoder) refuseNext() {
	rest := strings.TrimPrefix(string(c.b), ",")
	if key, ok := strings.CutPrefix(rest, `"`); ok {
		key, _, _ = strings.Cut(key, `"`)
		if slices.Contains(known, key) {
			c.failOnce(CodeRecapCanonical, "a key is out of its order or there twice")
		} else {
			c.failOnce(CodeRecapUnknown, "it has a key that is not known here")
		}
	}
	if strings.TrimLeft(rest, " \t\r\n") != rest {
		c.failOnce(CodeRecapCanonical, "it has white space")
	}
	c.failOnce(CodeRecapJSON, "not JSON of the expected shape")
}

func (c *recapCoder) failOnce(code Code, why string) {
	if c.err == nil {
		c.err = newFault(code, "ReCap", "%s", why)
	}
}

// codeKey writes a key of the caveats if it has a value, or reads it if it is next. It returns whether a value follows.
func (c *recapCoder) codeKey(name string, present bool) bool {
	s := `"` + name + `":`
	if c.some {
		s = "," + s
	}
	if c.err != nil || c.writing && !present || !c.writing && !c.isNext(s) {
		return false
	}
	c.codeLiteral(s)
	c.some = true
	return true
}

func (c *recapCoder) codeCount(name string, v *uint64) {
	if c.codeKey(name, *v != 0) {
		if c.codeNumber(v); *v == 0 {
			c.failOnce(CodeRecapCanonical, "a zero is written out")
		}
	}
}

// coderList writes or reads a list of at least one entry. Bounds on its length are checked with all others.
func coderList[T any](c *recapCoder, name string, v *[]T, item func(*T)) {
	if !c.codeKey(name, len(*v) > 0) {
		return
	}
	c.codeLiteral(`[`)
	if c.isNext(`]`) && !c.writing {
		c.failOnce(CodeRecapCanonical, "an empty list is written out")
	}
	for i := 0; c.err == nil && (!c.writing || i < len(*v)); i++ {
		if i > 0 && !c.writing && c.isNext(`]`) {
			break
		}
		if i > 0 {
			c.codeLiteral(`,`)
		}
		if !c.writing {
			*v = append(*v, *new(T))
		}
		item(&(*v)[i])
	}
	c.codeLiteral(`]`)
}

func (c *recapCoder) codeNumber(v *uint64) {
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
		c.failOnce(CodeRecapJSON, "a number is not in plain digits")
	} else if err != nil || *v > maxChain {
		c.failOnce(CodeCaveats, "a number is more than 2^53 - 1")
	}
	c.b = c.b[n:]
}

func (c *recapCoder) codeText(v *string) {
	if c.writing {
		c.b = append(append(append(c.b, '"'), *v...), '"')
		return
	}
	c.codeLiteral(`"`)
	for i := 0; c.err == nil && i < len(c.b); i++ {
		switch ch := c.b[i]; {
		case ch == '"':
			*v, c.b = string(c.b[:i]), c.b[i+1:]
			return
		case ch == '\\' || ch < ' ' || ch > '~':
			c.failOnce(CodeRecapCanonical, "a text has an escape or a character outside ASCII")
		}
	}
	c.failOnce(CodeRecapJSON, "a text has no end")
}

func (c *recapCoder) codeAmount(v *money.Amount) {
	asset, units := v.Asset(), v.Units()
	decimals := uint64(asset.Decimals)
	c.codeLiteral(`{"asset":`)
	c.codeText(&asset.Symbol)
	c.codeLiteral(`,"decimals":`)
	c.codeNumber(&decimals)
	c.codeLiteral(`,"units":`)
	c.codeText(&units)
	c.codeLiteral(`}`)
	if c.writing || c.err != nil {
		return
	}
	asset.Decimals = uint8(min(decimals, 255))
	var err error
	if *v, err = money.FromUnits(asset, units); err != nil {
		c.failOnce(CodeCaveats, "units are not a decimal number of 256 bits")
	}
}

// codeCost is a decimal number of dollars with at most nine fraction digits.
func (c *recapCoder) codeCost(v *int64) {
	s := money.Of(usd, uint64(max(*v, 0))).Decimal()
	c.codeText(&s)
	if c.writing || c.err != nil {
		return
	}
	a, err := money.ParseDecimal(usd, s)
	n := a.Uint256()
	if err != nil || !n.IsUint64() || n.Uint64() > maxCost {
		c.failOnce(CodeCaveats, "max_cost_usd is not a decimal number of dollars up to 1000000")
		return
	}
	if a.Decimal() != s {
		c.failOnce(CodeRecapCanonical, "max_cost_usd has a zero too many")
	}
	if *v = int64(n.Uint64()); *v == 0 {
		c.failOnce(CodeCaveats, "max_cost_usd is zero")
	}
}

func (c *recapCoder) codeKeyDID(v *PublicKey) {
	s := v.String()
	c.codeText(&s)
	if c.writing || c.err != nil {
		return
	}
	var err error
	if *v, err = ParsePublicKey(s); err != nil {
		code := CodeKeyForm
		if f, ok := err.(*Fault); ok {
			code = f.Code
		}
		c.failOnce(code, "cnf is not a did:key of a kind that is known")
	}
}

func (c *recapCoder) codeAddress(v *common.Address) {
	s := v.Hex()
	c.codeText(&s)
	if c.writing || c.err != nil {
		return
	}
	var ok bool
	if *v, ok = parseAddress(s); !ok {
		c.failOnce(CodeCaveats, "a recipient is not an address with EIP-55 capitals")
	}
}

func isAgent(s string) bool {
	return s != "" && len(s) <= maxAgent && s[0] >= 'a' && s[0] <= 'z' &&
		allBytes(s, func(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'z' || c == '-' })
}
