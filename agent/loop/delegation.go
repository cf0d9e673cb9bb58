package loop

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A DelegationError says why a delegation does not hold.
type DelegationError struct {
	At   provenance.Link // the delegation
	Rule string          // one of the Delegation constants
	Why  string          // a sentence for people
}

// Error says why the delegation does not hold, in a sentence for people.
func (e *DelegationError) Error() string { return "the delegation does not hold: " + e.Why }

// The rules of a delegation, as codes of an audit name them after "delegation.".
const (
	DelegationIssuer    = "issuer"    // made by another key than the caller's
	DelegationSignature = "signature" // not that key's signature
	DelegationAgent     = "agent"     // for another agent than the one that runs
	DelegationLater     = "later"     // it ends after what it comes from, or begins before it
	DelegationWider     = "wider"     // it says more than what it comes from
	DelegationForm      = "form"      // limits that are none
)

// A Delegated is one delegation of the chain that a sub-agent acts under.
type Delegated struct {
	CID provenance.Link
	*provenance.Delegation
}

// Authority is what an agent acts under: the grant, and for a sub-agent the delegations from it, outermost first. Each
// is a layer of policy of its own, so nothing in a delegation can widen what stands above it.
type Authority struct {
	Grant *auth.Grant
	Chain []Delegated

	caveats []auth.Caveats // of each of Chain
}

// NewAuthority checks a chain of delegations: each is signed by the key under which the agents of the runtime act,
// ends no later than what it comes from and says no more. The error is a [*DelegationError].
func NewAuthority(g *auth.Grant, chain []Delegated, agents auth.PublicKey) (*Authority, error) {
	a := &Authority{Grant: g}
	for _, d := range chain {
		bad := func(rule, format string, args ...any) error {
			return &DelegationError{d.CID, rule, fmt.Sprintf(format, args...)}
		}
		if len(a.Chain) == provenance.MaxDelegations {
			return nil, bad(DelegationWider, "sub-agents are more than %d deep", provenance.MaxDelegations)
		}
		// The first may be the user's own: the session key may delegate what the wallet gave it.
		if d.Issuer != agents.String() && (len(a.Chain) > 0 || d.Issuer != g.Key.String()) {
			return nil, bad(DelegationIssuer, "it was not made by the key of the agent that calls")
		}
		key, err := auth.ParsePublicKey(d.Issuer)
		if err != nil {
			return nil, bad(DelegationIssuer, "%v", err)
		}
		signed, err := d.Signed()
		if err == nil {
			err = key.Verify(signed, d.Sig)
		}
		if err != nil {
			return nil, bad(DelegationSignature, "%v", err)
		}
		c, err := auth.ParseCaveats(d.Caveats)
		if err != nil {
			return nil, bad(DelegationForm, "%v", err)
		}
		begun := g.NotBefore.Add(-auth.Skew).UnixMilli()
		if n := len(a.Chain); n > 0 {
			begun = a.Chain[n-1].At
		}
		outer := a.Caveats()
		switch {
		case d.Expires > a.Expires() || d.At < begun || d.At >= d.Expires:
			return nil, bad(DelegationLater, "its time is not within that of what it comes from")
		case c.Within(outer) != nil:
			return nil, bad(DelegationWider, "%v", c.Within(outer))
		case c.MaxDepth >= outer.MaxDepth:
			return nil, bad(DelegationWider, "it allows as many levels of sub-agents as what it comes from")
		}
		for _, t := range d.Tools {
			if !a.Has(t) {
				return nil, bad(DelegationWider, "it names a tool that what it comes from does not")
			}
		}
		a.Chain, a.caveats = append(a.Chain, d), append(a.caveats, c)
	}
	return a, nil
}

// Caveats returns the limits of the innermost layer.
func (a *Authority) Caveats() auth.Caveats {
	if n := len(a.caveats); n > 0 {
		return a.caveats[n-1]
	}
	return a.Grant.Caveats
}

// Expires returns when the authority ends, ms UTC.
func (a *Authority) Expires() int64 {
	end := a.Grant.Expires.UnixMilli()
	for _, d := range a.Chain {
		end = min(end, d.Expires)
	}
	return end
}

// Has says whether every layer lets the tool be called.
func (a *Authority) Has(tool string) bool {
	return a.Grant.Has(tool) && !slices.ContainsFunc(a.Chain, func(d Delegated) bool { return !slices.Contains(d.Tools, tool) })
}

// On says whether every layer lets something be done on a chain.
func (a *Authority) On(chain uint64) bool {
	return slices.Contains(a.Grant.Caveats.Chains, chain) &&
		!slices.ContainsFunc(a.caveats, func(c auth.Caveats) bool { return !slices.Contains(c.Chains, chain) })
}

// Delegate returns the unsigned delegation for a call of a sub-agent's tool: what the tool promises its agent, as far
// as the caller has it and a run of the caller may use. from is the caller's grant or delegation, at the time of the
// call's step, run the caller's hard stops. The error is an [auth.Fault] if nothing is left.
func (a *Authority) Delegate(d *provenance.Delegate, run provenance.Limits, from provenance.Link, call provenance.Parent, at int64) (*provenance.Delegation, error) {
	c, err := auth.ParseCaveats(d.Caveats)
	if err != nil {
		return nil, err
	}
	c.MaxCalls = min(c.MaxCalls, max(run.Calls, 1))
	c.MaxTokens = min(c.MaxTokens, uint64(max(run.Tokens, 1)))
	c.MaxCostNanoUSD = min(c.MaxCostNanoUSD, max(run.Cost, 1))
	if c, err = c.Narrow(a.Caveats()); err != nil {
		return nil, err
	}
	out := &provenance.Delegation{
		From: from, Call: call, Agent: d.Agent, Caveats: c.JSON(), At: at, Expires: min(at+d.Life, a.Expires()),
		Tools: []string{},
	}
	for _, t := range d.Tools {
		if a.Has(t) {
			out.Tools = append(out.Tools, t)
		}
	}
	return out, nil
}

// layer is the name of the i-th delegation's layer, from 0.
func layer(i int) string { return fmt.Sprintf("delegation%d", i+1) }

// rules returns the policy of each layer below the operator's, outermost first, with its name. calls are the agent's
// tools that call a sub-agent.
func (a *Authority) rules(calls []string) (names []string, sources [][]byte, err error) {
	n := uint64(len(a.Chain))
	g, err := layerRules(a.Grant.Tools, a.Grant.Caveats, calls, n)
	if err != nil {
		return nil, nil, err
	}
	names, sources = append(names, LayerGrant), append(sources, g)
	for i, d := range a.Chain {
		s, err := layerRules(d.Tools, a.caveats[i], calls, n-uint64(i)-1)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", layer(i), err)
		}
		names, sources = append(names, layer(i)), append(sources, s)
	}
	return names, sources, nil
}

// depthRule forbids calls of sub-agents where a layer's levels are used up: below of them stand between the layer and
// the agent that calls.
func depthRule(c auth.Caveats, calls []string, below uint64) string {
	if len(calls) == 0 || below < c.MaxDepth {
		return ""
	}
	quoted := make([]string, len(calls))
	for i, t := range calls {
		quoted[i] = fmt.Sprintf("%q", t)
	}
	return "  - id: max_depth\n    at: tool.call\n    effect: forbid\n    when: 'tool in [" + strings.Join(quoted, ", ") + "]'\n"
}

// MethodDelegate is the method for which the request of a sub-agent's run is signed: by the key of the agent that
// calls, over the delegation in place of a session.
const MethodDelegate = "run.delegate"

// AgentTool returns the tool that calls an agent. Its name is "agent." and the agent's; what the model asks of it is
// one text.
func AgentTool(name, about string, utterances []string) tools.Spec {
	return tools.Spec{
		Name: "agent." + strings.ReplaceAll(name, "-", "_"), About: about, Class: tools.Keyed, Utterances: utterances,
		Schema: []byte(`{"type":"object","additionalProperties":false,"required":["input"],"properties":{"input":{` +
			`"type":"string","minLength":1,"maxLength":16384,"description":"What the agent shall do, in plain words, with all that it needs to know."}}}`),
	}
}

// An Outcome is what a sub-agent's run came to, as the result of the call that opened it: canonical JSON.
type Outcome struct {
	Answer string `json:"answer"`
	Ended  string `json:"ended"` // why the run closed
	Run    string `json:"run"`
	Used   Used   `json:"used"` // by the run and the sub-agents that it called
}

// Used are the sums of a sub-agent's run. They count among its caller's own.
type Used struct {
	Calls uint64      `json:"calls"`
	Cost  int64       `json:"cost_nano_usd"`
	In    uint64      `json:"in"` // tokens
	Out   uint64      `json:"out"`
	Spent []UsedAsset `json:"spent"` // sorted by asset
}

// A UsedAsset is what was spent of one asset, in its base units.
type UsedAsset struct {
	Asset    string `json:"asset"`
	Decimals uint8  `json:"decimals"`
	Units    string `json:"units"`
}

// errNoClose says that a run has not closed.
var errNoClose = errors.New("the run has not closed")

// OutcomeOf returns what the last step of a sub-agent's run came to. ErrSealed if its words are sealed.
func OutcomeOf(run provenance.Link, last *provenance.Step) (Outcome, error) {
	o := Outcome{Run: run.String()}
	for _, e := range last.Does {
		switch e := e.(type) {
		case *provenance.Say:
			text, ok := e.Text.Bytes()
			if !ok {
				return o, fmt.Errorf("what the sub-agent said: %w", ErrSealed)
			}
			o.Answer = string(text)
		case *provenance.Close:
			o.Ended = e.Reason
			o.Used = Used{Calls: e.Totals.Calls, Cost: e.Totals.Cost, In: e.Totals.In, Out: e.Totals.Out, Spent: []UsedAsset{}}
			for _, a := range e.Totals.Spent {
				o.Used.Spent = append(o.Used.Spent, UsedAsset{a.Asset().Symbol, a.Asset().Decimals, a.Units()})
			}
		}
	}
	if o.Ended == "" {
		return o, errNoClose
	}
	return o, nil
}

// OutcomeJSON returns an outcome in the one spelling of its record.
func OutcomeJSON(o Outcome) []byte {
	b, err := json.Marshal(o)
	if err == nil {
		b, err = tools.CanonicalJSON(b)
	}
	if err != nil { // three texts marshal
		panic("loop: " + err.Error())
	}
	return b
}

// ErrSubAgent says that a sub-agent's sums cannot be: they are more than what its caller was given, or no sums at all.
var ErrSubAgent = errors.New("the sub-agent's run has used what its caller did not have")

// addUsed counts what a sub-agent's run has used as the caller's own: in its sums, and in what it has drawn from each
// ledger of money above the sub-agent. The facts of the next step must show at least that much.
func (w *work) addUsed(out []byte) error {
	var o Outcome
	if err := json.Unmarshal(out, &o); err != nil {
		return fmt.Errorf("%w: its outcome is malformed", ErrSubAgent)
	}
	t, u := &w.s.totals, o.Used
	if u.Cost < 0 || max(u.Calls, u.In, u.Out) > MaxUsage || t.Cost+u.Cost < 0 || max(t.Calls, t.In, t.Out) > 1<<62 {
		return fmt.Errorf("%w: its sums are out of range", ErrSubAgent)
	}
	t.Calls, t.Cost, t.In, t.Out = t.Calls+u.Calls, t.Cost+u.Cost, t.In+u.In, t.Out+u.Out
	for _, s := range u.Spent {
		a, err := money.FromUnits(money.Asset{Symbol: s.Asset, Decimals: s.Decimals}, s.Units)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSubAgent, err)
		}
		names := []string{LayerGrant}
		for i := range w.m.authority.Chain {
			names = append(names, layer(i))
		}
		for _, name := range names {
			if err := w.drawn(name+"/max_total_"+word(a.Asset()), a); err != nil {
				return err
			}
		}
		if err := w.s.addSpent(a); err != nil {
			return fmt.Errorf("%w: %w", ErrSubAgent, err)
		}
	}
	return nil
}

// drawn counts a as spent from a ledger, whose cap it must be within.
func (w *work) drawn(ledger string, a money.Amount) error {
	own := w.ownOf(ledger, a)
	i := slices.IndexFunc(w.m.budgets, func(b Budget) bool { return b.ID == ledger && b.Cap.Asset() == a.Asset() })
	if own == nil || i < 0 {
		return fmt.Errorf("%w: %s, of which its caller may spend nothing", ErrSubAgent, a)
	}
	sum, err := own.spent.Add(a)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSubAgent, err)
	}
	if n, err := sum.Cmp(w.m.budgets[i].Cap); err != nil || n > 0 {
		return fmt.Errorf("%w: %s in all, above the cap of %s", ErrSubAgent, sum, w.m.budgets[i].Cap)
	}
	own.spent = sum
	return nil
}

// callersOf returns the names of the agents above a sub-agent, the grant's first; an agent's own name is not among them.
func callersOf(c *Config) ([]string, error) {
	if len(c.Callers) != max(len(c.Delegations)-1, 0) {
		return nil, errors.New("the records of the agents that called are not all there")
	}
	if len(c.Delegations) == 0 {
		return nil, nil
	}
	names := []string{c.Grant.Agent}
	for i, a := range c.Callers {
		b, err := provenance.Encode(a)
		if err != nil {
			return nil, fmt.Errorf("an agent that called: %w", err)
		}
		if b.CID != c.Delegations[i].Agent {
			return nil, fmt.Errorf("agent %s called, and it is not the one of delegation %s", b.CID, c.Delegations[i].CID)
		}
		names = append(names, a.Name)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == c.Agent.Name }), nil
}

// InputOf returns what a call of a sub-agent's tool asks of it.
func InputOf(rec *provenance.ToolDef, args []byte) (string, error) {
	spec, err := SpecOf(rec, nil)
	if err != nil {
		return "", err
	}
	def, err := tools.Compile(spec)
	if err != nil {
		return "", fmt.Errorf("tool %s: %w", rec.Name, err)
	}
	read, err := def.Read(args)
	if err != nil {
		return "", fmt.Errorf("the arguments of %s: %w", rec.Name, err)
	}
	for _, v := range read.Values {
		if v.Name == "input" {
			return v.Text, nil
		}
	}
	return "", fmt.Errorf("tool %s takes no input", rec.Name)
}

// expires returns when the machine's authority ends.
func (m *Machine) expires() int64 { return m.authority.Expires() }

// Authority returns what the machine acts under.
func (m *Machine) Authority() *Authority { return m.authority }

// DelegateOf returns the sub-agent that a call opens a run of, or nil if it is a call of another tool.
func (m *Machine) DelegateOf(c *provenance.Call) *provenance.Delegate {
	for _, t := range m.tools {
		if t.link == c.Tool {
			return t.delegate
		}
	}
	return nil
}
