// Package authority says what an agent acts under: the grant that a wallet signed, and for a sub-agent the delegations
// from it, each of which can only narrow what stands above it.
package authority

import (
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/layer"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// LayerGrant is the name of the grant's layer of policy.
const LayerGrant = "grant"

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

// New checks a chain of delegations: each is signed by the key under which the agents of the runtime act,
// ends no later than what it comes from and says no more. The error is a [*DelegationError].
func New(g *auth.Grant, chain []Delegated, agents auth.PublicKey) (*Authority, error) {
	a := &Authority{Grant: g}
	for _, d := range chain {
		if err := a.checkIssuer(d, agents); err != nil {
			return nil, err
		}
		c, err := a.checkNarrower(d)
		if err != nil {
			return nil, err
		}
		a.Chain, a.caveats = append(a.Chain, d), append(a.caveats, c)
	}
	return a, nil
}

// failf returns why the delegation does not hold.
func (d Delegated) failf(rule, format string, args ...any) error {
	return &DelegationError{d.CID, rule, fmt.Sprintf(format, args...)}
}

// checkIssuer checks that a delegation is made and signed by the key that may: that of the runtime's agents. The first
// may be the user's own: the session key may delegate what the wallet gave it.
func (a *Authority) checkIssuer(d Delegated, agents auth.PublicKey) error {
	if len(a.Chain) == provenance.MaxDelegations {
		return d.failf(DelegationWider, "sub-agents are more than %d deep", provenance.MaxDelegations)
	}
	if d.Issuer != agents.String() && (len(a.Chain) > 0 || d.Issuer != a.Grant.Key.String()) {
		return d.failf(DelegationIssuer, "it was not made by the key of the agent that calls")
	}
	key, err := auth.ParsePublicKey(d.Issuer)
	if err != nil {
		return d.failf(DelegationIssuer, "%v", err)
	}
	signed, err := d.Signed()
	if err == nil {
		err = key.Verify(signed, d.Sig)
	}
	if err != nil {
		return d.failf(DelegationSignature, "%v", err)
	}
	return nil
}

// checkNarrower checks that a delegation says no more than what it comes from, and returns its limits.
func (a *Authority) checkNarrower(d Delegated) (auth.Caveats, error) {
	c, err := auth.ParseCaveats(d.Caveats)
	if err != nil {
		return c, d.failf(DelegationForm, "%v", err)
	}
	begun := a.Grant.NotBefore.Add(-auth.Skew).UnixMilli()
	if n := len(a.Chain); n > 0 {
		begun = a.Chain[n-1].At
	}
	outer := a.Caveats()
	switch {
	case d.Expires > a.Expires() || d.At < begun || d.At >= d.Expires:
		return c, d.failf(DelegationLater, "its time is not within that of what it comes from")
	case c.Within(outer) != nil:
		return c, d.failf(DelegationWider, "%v", c.Within(outer))
	case c.MaxDepth >= outer.MaxDepth:
		return c, d.failf(DelegationWider, "it allows as many levels of sub-agents as what it comes from")
	}
	if n := len(a.Chain); n > 0 && Narrow(d.Limits, a.Chain[n-1].Limits) != d.Limits {
		return c, d.failf(DelegationWider, "its hard stops are later than those of what it comes from")
	}
	for _, t := range d.Tools {
		if !a.AllowsTool(t) {
			return c, d.failf(DelegationWider, "it names a tool that what it comes from does not")
		}
	}
	return c, nil
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

// AllowsTool says whether every layer lets the tool be called.
func (a *Authority) AllowsTool(tool string) bool {
	return a.Grant.Has(tool) &&
		!slices.ContainsFunc(a.Chain, func(d Delegated) bool { return !slices.Contains(d.Tools, tool) })
}

// AllowsChain says whether every layer lets something be done on a chain.
func (a *Authority) AllowsChain(chain uint64) bool {
	return slices.Contains(a.Grant.Caveats.Chains, chain) &&
		!slices.ContainsFunc(a.caveats, func(c auth.Caveats) bool { return !slices.Contains(c.Chains, chain) })
}

// Delegate returns the unsigned delegation for a call of a sub-agent's tool: what the tool promises its agent, as far
// as the caller has it and a run of the caller may use. from is the caller's grant or delegation; at is the time of the
// call's step; handed is what the call hands on. The error is an [auth.Fault] if nothing is left.
func (a *Authority) Delegate(
	d *provenance.Delegate, handed *provenance.Handed, from provenance.Link, call provenance.Parent, at int64,
) (*provenance.Delegation, error) {
	run := handed.Limits
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
		Tools: []string{}, Limits: run, Own: handed.Own,
	}
	for _, t := range d.Tools {
		if a.AllowsTool(t) {
			out.Tools = append(out.Tools, t)
		}
	}
	return out, nil
}

// LayerName is the name of the i-th delegation's layer, from 0.
func LayerName(i int) string { return fmt.Sprintf("delegation%d", i+1) }

// WriteRules returns the policy of each layer below the operator's, outermost first, with its name. calls are the
// agent's tools that call a sub-agent.
func (a *Authority) WriteRules(calls []string) (names []string, sources [][]byte) {
	n := uint64(len(a.Chain))
	g := layer.Write(a.Grant.Tools, a.Grant.Caveats, calls, n)
	names, sources = append(names, LayerGrant), append(sources, g)
	for i, d := range a.Chain {
		s := layer.Write(d.Tools, a.caveats[i], calls, n-uint64(i)-1)
		names, sources = append(names, LayerName(i)), append(sources, s)
	}
	return names, sources
}

// GrantRules writes the wallet's layer of policy: the rules that a grant's abilities and caveats are. They are
// judged by the same engine as the operator's set, so a refusal explains itself in the same way, and an auditor
// makes the same rules from the same signed text. Whatever the grant does not name is denied by having no permit.
// calls are the tools with which the grant's agent calls sub-agents.
func GrantRules(g *auth.Grant, calls ...string) ([]byte, error) {
	return layer.Write(g.Tools, g.Caveats, calls, 0), nil
}

// IsOwn says whether what the agent was asked is what the user has signed.
func (a *Authority) IsOwn() bool {
	return !slices.ContainsFunc(a.Chain, func(d Delegated) bool { return !d.Own })
}

// Narrow returns hard stops that are no more than either.
func Narrow(a, b provenance.Limits) provenance.Limits {
	return provenance.Limits{
		Turns: min(a.Turns, b.Turns), Calls: min(a.Calls, b.Calls), Tokens: min(a.Tokens, b.Tokens),
		Cost: min(a.Cost, b.Cost), Wall: min(a.Wall, b.Wall),
	}
}
