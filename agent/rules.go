package agent

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// A Dapp is a policy set for the pages of one origin. It stands between the operator's set and the wallet's grant, in
// every session that a wallet opens for that origin, and can only narrow.
type Dapp struct {
	Origin string // scheme://host[:port] in lower case, as in the message that wallets sign
	Policy Policy
}

// Rules are the policy sets of a Runner: the operator's, and those of dApps.
type Rules struct {
	Operator Policy
	Dapps    []Dapp
}

// maxDapps bounds the dApps of one Runner.
const maxDapps = 256

// A ruling is the policy sets under which new sessions are opened. It never changes; a reload puts another in its place.
type ruling struct {
	operator provenance.Link
	dapps    map[string]provenance.Link // by origin; each names operator
}

// of returns the set that a session opened for pages of this origin is pinned to.
func (x *ruling) of(origin string) provenance.Link {
	if set, ok := x.dapps[origin]; ok {
		return set
	}
	return x.operator
}

// compile makes records of the operator's set and the dApps', each loaded, proven and tested by its own tests. It
// changes nothing.
func (r *Runner) compile(operator Policy, dapps []Dapp) (*ruling, []provenance.Block, error) {
	// All tools' types are known here, so a rule on a tool that nobody has is found at the start.
	set, err := policies.Load(operator.Source, policies.Options{Layer: loop.LayerOperator, Tools: r.types, File: operator.File})
	if err == nil {
		err = prove(set)
	}
	if err == nil {
		err = selfTest(set)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("policy set %q: %w", operator.Name, err)
	}
	out := &ruling{dapps: map[string]provenance.Link{}}
	rec, blocks := loop.RulesOf(set)
	rec.Name = operator.Name
	b, err := provenance.Encode(rec)
	if err != nil {
		return nil, nil, fmt.Errorf("policy set %q: %w", operator.Name, err)
	}
	out.operator, blocks = b.CID, append(blocks, b)
	if len(dapps) > maxDapps {
		return nil, nil, fmt.Errorf("%d dApps have policy sets; at most %d can", len(dapps), maxDapps)
	}
	for _, d := range dapps {
		if err := checkOrigin(d.Origin); err != nil {
			return nil, nil, err
		}
		if out.dapps[d.Origin].Defined() {
			return nil, nil, fmt.Errorf("the dApp %s has two policy sets", d.Origin)
		}
		own, err := policies.Load(d.Policy.Source, policies.Options{Layer: loop.LayerDapp, Untrusted: true, Tools: r.types, File: d.Policy.File})
		if err == nil {
			err = prove(set, own)
		}
		if err == nil {
			err = selfTest(own)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("policy set %q of %s: %w", d.Policy.Name, d.Origin, err)
		}
		rec, parts := loop.RulesOf(own)
		rec.Name, rec.Under, rec.Origin = d.Policy.Name, out.operator, d.Origin
		b, err := provenance.Encode(rec)
		if err != nil {
			return nil, nil, fmt.Errorf("policy set %q of %s: %w", d.Policy.Name, d.Origin, err)
		}
		out.dapps[d.Origin], blocks = b.CID, append(append(blocks, parts...), b)
	}
	return out, blocks, nil
}

// checkOrigin says whether origin is spelt as wallets' messages spell it.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || origin != strings.ToLower(u.Scheme+"://"+u.Host) {
		return fmt.Errorf("%q is not the origin of a dApp's pages; write scheme://host or scheme://host:port in lower case, nothing after it", origin)
	}
	return nil
}

// A TestError says that a policy set does not pass its own tests.
type TestError struct {
	Failed []policies.TestResult
	Of     int // tests that ran
}

// Error says how many of the set's own tests fail, and of the first one where it stands and why.
func (e *TestError) Error() string {
	t := e.Failed[0]
	s := fmt.Sprintf("%d of its own %d tests fail: line %d, %q: %s", len(e.Failed), e.Of, t.Line, t.Name, t.Detail)
	return strings.TrimSuffix(s, ".")
}

// selfTest runs a set's own tests. The error is a [*TestError].
func selfTest(s *policies.Set) error {
	results := s.Test()
	failed := slices.DeleteFunc(slices.Clone(results), func(t policies.TestResult) bool { return t.OK })
	if len(failed) > 0 {
		return &TestError{failed, len(results)}
	}
	return nil
}

// Agents lists the agents, in the order of the config. Their Rules are the operator's set.
func (r *Runner) Agents() []AgentInfo { return r.AgentsFor("") }

// AgentsFor is [Runner.Agents] with the Rules that a session gets which a wallet opens for pages of this origin,
// scheme://host[:port]: the dApp's set if it has one, else the operator's.
func (r *Runner) AgentsFor(origin string) []AgentInfo {
	rules := r.rules.Load().of(strings.ToLower(origin))
	out := make([]AgentInfo, 0, len(r.agents))
	for _, d := range r.cfg.Agents {
		info := r.agents[d.Name]
		info.Rules = rules
		out = append(out, info)
	}
	return out
}

// pinned returns the policy set that a session is pinned to: the one that its wallet signed.
func pinned(s Session) (provenance.Link, error) {
	m, err := auth.Parse(s.Message)
	if err != nil {
		return provenance.Link{}, fmt.Errorf("the session's grant: %w", err)
	}
	rules, err := m.Rules()
	if err != nil {
		return provenance.Link{}, fmt.Errorf("the session's grant: %w", err)
	}
	return rules, nil
}
