package auth

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies/money"
)

// Bounds on caveats. They keep the sentence readable and make an unlimited grant impossible to write down.
const (
	MaxSentence = 800 // characters of the limits sentence
	MaxTools    = 64
	MaxDepth    = 4 // levels of sub-agents

	maxEntries = 8 // of recipients, hosts, models and chains each
	maxAssets  = 4
	maxCalls   = 100_000
	maxTokens  = 1_000_000_000
	maxCost    = 1_000_000 * nanoPerUSD
	maxDigits  = 15 // of the whole tokens in one amount

	nanoPerUSD = 1_000_000_000
)

// usd counts model cost: nine decimals, so that one unit is a nano-USD.
var usd = money.Asset{Symbol: "USD", Decimals: 9}

// Caveats are the limits of a grant. All of them are in the sentence that the wallet shows and all are enforced.
// They only narrow what the operator's rules allow.
type Caveats struct {
	// What the agent may spend. Each asset has one entry in each of the three lists, which are sorted by symbol;
	// without entries nothing may be spent. Per call is at most the total, neither is zero, and an amount is less than
	// 10^15 whole tokens. A spend of more than ApproveAbove needs the wallet's approval; zero means every spend.
	MaxTotal, MaxPerCall, ApproveAbove []money.Amount

	MaxCalls       uint64 // tool calls: 1 to 100,000
	MaxTokens      uint64 // model tokens, in and out: 1 to 10^9
	MaxCostNanoUSD int64  // cost of models: 1 nano-USD to 1,000,000 USD

	// Chains lists the chains on which the agent may act: 1 to 8 EIP-155 ids, ascending, the message's among them.
	Chains []uint64

	// At most 8 entries each, sorted, no duplicates. An empty list adds nothing to the operator's rules, and the
	// sentence says so.
	Recipients []common.Address // who may be paid
	Hosts      []string         // web hosts that may be reached; lower case, no port
	Models     []string         // models that may be used
	// Things are the only things of collections that may be sent, each as CAIP-19 has it on its chain: "erc721:", the
	// collection's address with its EIP-55 capitals, "/" and the thing's number. If empty any may be, as far as the
	// amounts allow, and no sentence says so.
	Things []string
	// From says whence a session may be used: networks of addresses, as 192.0.2.0/24, and origins of pages. Anywhere if
	// empty, and then no sentence says so. The server that is asked keeps it; no record has an address.
	From []string

	ApproveIfTainted bool   // a spend whose arguments derive from untrusted content needs the wallet's approval
	MaxDepth         uint64 // levels of sub-agents: 0 to 4
}

// sortedCopy returns a copy with every list in its order.
func (c Caveats) sortedCopy() Caveats {
	for _, list := range []*[]money.Amount{&c.MaxTotal, &c.MaxPerCall, &c.ApproveAbove} {
		*list = slices.SortedFunc(slices.Values(*list), func(a, b money.Amount) int {
			return cmp.Compare(a.Asset().Symbol, b.Asset().Symbol)
		})
	}
	c.Chains = slices.Sorted(slices.Values(c.Chains))
	c.Recipients = slices.SortedFunc(slices.Values(c.Recipients), common.Address.Cmp)
	c.Hosts = slices.Sorted(slices.Values(c.Hosts))
	c.Models = slices.Sorted(slices.Values(c.Models))
	c.Things = slices.Sorted(slices.Values(c.Things))
	c.From = slices.Sorted(slices.Values(c.From))
	return c
}

// Validate says whether the caveats are complete, within their bounds, in order, and fit the sentence. The error is
// a [*Fault] that names the caveat.
func (c Caveats) Validate() error {
	if err := c.validate(); err != nil {
		return err
	}
	return fitsSentence(c.Sentence("", time.Time{}), "")
}

// fitsSentence says whether a sentence can be shown. A long agent name does not count against the limits, so that
// caveats are valid or not whatever the agent.
func fitsSentence(sentence, agent string) error {
	if n := len(sentence) - len(agent) + maxAgent; n > MaxSentence {
		return newFault(CodeSentence, "", "the limits take %d characters; at most %d can be shown: name fewer", n,
			MaxSentence)
	}
	return nil
}

// validate is Validate without the sentence.
func (c *Caveats) validate() error {
	if missing := c.listMissing(); len(missing) > 1 {
		return newFault(CodeCaveats, missing[0], "it is missing, and so is %s", strings.Join(missing[1:], ", "))
	}
	if err := c.validateAmounts(); err != nil {
		return err
	}
	switch {
	case c.MaxCalls < 1 || c.MaxCalls > maxCalls:
		return newFault(CodeCaveats, "max_calls", "it must be between 1 and %d", maxCalls)
	case c.MaxTokens < 1 || c.MaxTokens > maxTokens:
		return newFault(CodeCaveats, "max_tokens", "it must be between 1 and %d", maxTokens)
	case c.MaxCostNanoUSD < 1 || c.MaxCostNanoUSD > maxCost:
		return newFault(CodeCaveats, "max_cost_usd", "it must be above 0 and at most %d", maxCost/nanoPerUSD)
	case c.MaxDepth > MaxDepth:
		return newFault(CodeCaveats, "max_depth", "it must be at most %d", MaxDepth)
	case len(c.Chains) == 0:
		return newFault(CodeCaveats, "chains", "at least one chain must be named")
	}
	isChain := func(n uint64) bool { return n > 0 && n <= maxChain }
	if err := validateList("chains", c.Chains, cmp.Compare, isChain); err != nil {
		return err
	}
	isPayee := func(a common.Address) bool { return !isReservedAddress(a) }
	if err := validateList("recipients", c.Recipients, common.Address.Cmp, isPayee); err != nil {
		return err
	}
	if err := validateList("hosts", c.Hosts, strings.Compare, isHost); err != nil {
		return err
	}
	if err := validateList("things", c.Things, strings.Compare, isThing); err != nil {
		return err
	}
	if err := validateList("from", c.From, strings.Compare, isSource); err != nil {
		return err
	}
	return validateList("models", c.Models, strings.Compare, isModel)
}

// listMissing returns what every grant must give and this one does not, so that it is learnt at once.
func (c *Caveats) listMissing() (out []string) {
	for _, x := range []struct {
		name string
		is   bool
	}{
		{"max_calls", c.MaxCalls > 0}, {"max_tokens", c.MaxTokens > 0}, {"max_cost_usd", c.MaxCostNanoUSD > 0},
		{"chains", len(c.Chains) > 0},
		{"max_total", len(c.MaxTotal) > 0 || len(c.MaxPerCall)+len(c.ApproveAbove) == 0},
		{"max_per_call", len(c.MaxPerCall) > 0 || len(c.MaxTotal)+len(c.ApproveAbove) == 0},
		{"approve_above", len(c.ApproveAbove) > 0 || len(c.MaxTotal)+len(c.MaxPerCall) == 0},
	} {
		if !x.is {
			out = append(out, x.name)
		}
	}
	return out
}

func (c *Caveats) validateAmounts() error {
	lists := []struct {
		name    string
		amounts []money.Amount
	}{{"max_total", c.MaxTotal}, {"max_per_call", c.MaxPerCall}, {"approve_above", c.ApproveAbove}}
	for _, l := range lists {
		if len(l.amounts) != len(c.MaxTotal) || len(l.amounts) > maxAssets {
			return newFault(CodeCaveats, l.name, "it must name the same assets as max_total, and at most %d", maxAssets)
		}
		for i, a := range l.amounts {
			asset := a.Asset()
			whole, _, _ := strings.Cut(a.Decimal(), ".")
			switch {
			case !asset.Valid():
				return newFault(CodeCaveats, l.name, "an asset has a bad symbol or too many decimals")
			case asset != c.MaxTotal[i].Asset():
				return newFault(CodeCaveats, l.name, "it must name the same assets as max_total, in the same order")
			case i > 0 && asset.Symbol <= l.amounts[i-1].Asset().Symbol:
				return newFault(CodeCaveats, l.name, "assets must be sorted by symbol and named once")
			case slices.ContainsFunc(l.amounts[:i], func(b money.Amount) bool {
				return strings.EqualFold(b.Asset().Symbol, asset.Symbol)
			}):
				return newFault(CodeCaveats, l.name, "the symbols of two assets differ in capitals only")
			case len(whole) > maxDigits:
				return newFault(CodeCaveats, l.name, "%s is more than a grant may give", a)
			case a.IsZero() && l.name != "approve_above":
				return newFault(CodeCaveats, l.name, "the limit for %s is zero; leave the asset out instead", asset.Symbol)
			case l.name == "max_per_call" && exceeds(a, c.MaxTotal[i]):
				return newFault(CodeCaveats, l.name, "%s is more than the total of %s", a, c.MaxTotal[i])
			}
		}
	}
	return nil
}

// exceeds says whether a > b, both of one asset.
func exceeds(a, b money.Amount) bool {
	n, err := a.Cmp(b)
	return err != nil || n > 0
}

func validateList[T any](name string, list []T, compare func(a, b T) int, ok func(T) bool) error {
	if len(list) > maxEntries {
		return newFault(CodeCaveats, name, "at most %d can be named", maxEntries)
	}
	for i, v := range list {
		if !ok(v) {
			return newFault(CodeCaveats, name, "entry %d is not allowed", i+1)
		}
		if i > 0 && compare(list[i-1], v) >= 0 {
			return newFault(CodeCaveats, name, "entries must be sorted and named once")
		}
	}
	return nil
}

// Within says whether c allows nothing that outer does not: what a renewal, or what a client asks for, may be. Both
// must be valid. The error is a [*Fault] that names the first caveat that is wider.
func (c Caveats) Within(outer Caveats) error {
	wider := func(name string) error { return newFault(CodeCaveats, name, "it is wider than what may be given") }
	for i, total := range c.MaxTotal {
		at := slices.IndexFunc(outer.MaxTotal, func(a money.Amount) bool { return a.Asset() == total.Asset() })
		switch {
		case at < 0 || exceeds(total, outer.MaxTotal[at]):
			return wider("max_total")
		case exceeds(c.MaxPerCall[i], outer.MaxPerCall[at]):
			return wider("max_per_call")
		case exceeds(c.ApproveAbove[i], outer.ApproveAbove[at]):
			return wider("approve_above")
		}
	}
	switch {
	case c.MaxCalls > outer.MaxCalls:
		return wider("max_calls")
	case c.MaxTokens > outer.MaxTokens:
		return wider("max_tokens")
	case c.MaxCostNanoUSD > outer.MaxCostNanoUSD:
		return wider("max_cost_usd")
	case c.MaxDepth > outer.MaxDepth:
		return wider("max_depth")
	case outer.ApproveIfTainted && !c.ApproveIfTainted:
		return wider("approve_if_tainted")
	case !isSubset(c.Chains, outer.Chains):
		return wider("chains")
	// An empty list means any.
	case len(outer.Recipients) > 0 && (len(c.Recipients) == 0 || !isSubset(c.Recipients, outer.Recipients)):
		return wider("recipients")
	case len(outer.Hosts) > 0 && (len(c.Hosts) == 0 || !isSubset(c.Hosts, outer.Hosts)):
		return wider("hosts")
	case len(outer.Models) > 0 && (len(c.Models) == 0 || !isSubset(c.Models, outer.Models)):
		return wider("models")
	case len(outer.Things) > 0 && (len(c.Things) == 0 || !isSubset(c.Things, outer.Things)):
		return wider("things")
	case !c.isWithinSources(&outer):
		return wider("from")
	}
	return nil
}

func isSubset[T comparable](a, b []T) bool {
	return !slices.ContainsFunc(a, func(v T) bool { return !slices.Contains(b, v) })
}

// Sentence returns the limits in plain words, as the wallet shows them: ASCII in the alphabet of EIP-4361 statements,
// at most [MaxSentence] characters for valid caveats. Amounts are exact. One set of caveats has one sentence.
func (c Caveats) Sentence(agent string, until time.Time) string {
	var b strings.Builder
	b.Grow(MaxSentence)
	say := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
	}
	say("Let agent ", agent, " act for me on chain ", joinText(c.Chains, " and ", formatUint), " until ",
		until.UTC().Format(time.DateTime), " UTC.")
	to := "anyone"
	if len(c.Recipients) > 0 {
		to = joinText(c.Recipients, " or ", common.Address.Hex) + " only"
	}
	if len(c.MaxTotal) == 0 {
		say(" It may not spend anything.")
		if len(c.Recipients) > 0 {
			say(" Recipients: ", to, ".")
		}
	} else {
		say(" It may spend at most ", joinText(c.MaxTotal, " and ", money.Amount.String), " in total and ",
			joinText(c.MaxPerCall, " and ", money.Amount.String), " per call, to ", to, ", and must ask me above ",
			joinText(c.ApproveAbove, " or ", money.Amount.String),
			", counting all that went without asking since it last asked me, to one recipient or in all.")
	}
	say(c.thingsSentence())
	if c.ApproveIfTainted {
		say(" It must ask me before it spends on the word of untrusted content.")
	}
	say(" Limits: ", formatUint(c.MaxCalls), " tool calls, ", formatUint(c.MaxTokens), " model tokens, ",
		money.Of(usd, uint64(max(c.MaxCostNanoUSD, 0))).String(), " model cost.")
	for _, l := range []struct {
		name string
		list []string
	}{{" Models: ", c.Models}, {" Web hosts: ", c.Hosts}} {
		if len(l.list) == 0 {
			say(l.name, "any that the operator allows.")
		} else {
			say(l.name, strings.Join(l.list, ", "), " only.")
		}
	}
	say(c.fromSentence())
	if c.MaxDepth == 0 {
		say(" No sub-agents.")
	} else {
		say(" Sub-agents: at most ", formatUint(c.MaxDepth), " deep.")
	}
	return b.String()
}

func joinText[T any](list []T, sep string, text func(T) string) string {
	if len(list) == 1 {
		return text(list[0])
	}
	var b strings.Builder
	for i, v := range list {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(text(v))
	}
	return b.String()
}

func formatUint(n uint64) string { return strconv.FormatUint(n, 10) }

// isHost says whether s is a host name: lower-case letters, digits and hyphens in parts joined by dots.
func isHost(s string) bool {
	if len(s) > 253 {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || len(part) > 63 || part[0] == '-' || part[len(part)-1] == '-' {
			return false
		}
		if !allBytes(part, func(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'z' || c == '-' }) {
			return false
		}
	}
	return true
}

// isThing says whether s names one thing of a collection, in its one spelling.
func isThing(s string) bool {
	s, ok := strings.CutPrefix(s, "erc721:")
	collection, id, two := strings.Cut(s, "/")
	a, isAddress := parseAddress(collection)
	n, err := uint256.FromDecimal(id)
	return ok && two && isAddress && !isReservedAddress(a) && err == nil && n.Dec() == id
}

// thingsSentence says which things of collections alone may be sent, as the wallet shows it; nothing if any may be.
func (c *Caveats) thingsSentence() string {
	if len(c.Things) == 0 {
		return ""
	}
	return " Of NFT collections it may give away only " + joinText(c.Things, " or ", func(s string) string {
		collection, id, _ := strings.Cut(strings.TrimPrefix(s, "erc721:"), "/")
		return "token " + id + " of " + collection
	}) + "."
}

func isModel(s string) bool {
	return s != "" && len(s) <= 64 &&
		allBytes(s, func(c byte) bool { return isAlnum(c) || strings.IndexByte("._:/@+-", c) >= 0 })
}

func containsSorted(sorted []string, s string) bool {
	_, ok := slices.BinarySearch(sorted, s)
	return ok
}
