package runner

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/workshop"
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

// A rulebook is the policy sets under which new sessions are opened.
type rulebook struct {
	types []policies.ToolType // of all tools, agents' included
	today bool                // an agent's route asks what today has cost

	// reloading is held to change current, and to store a session under it, so that a list of the sessions of earlier
	// sets that is made after a reload misses none.
	reloading sync.RWMutex
	current   atomic.Pointer[ruling]
}

// A ruling is the links of all sets at one time. It never changes; a reload puts another in its place.
type ruling struct {
	operator provenance.Link
	dapps    map[string]provenance.Link // by origin; each names operator
}

// setFor returns the set that a session opened for pages of this origin is pinned to.
func (x *ruling) setFor(origin string) provenance.Link {
	if set, ok := x.dapps[strings.ToLower(origin)]; ok {
		return set
	}
	return x.operator
}

// A ruleMaker makes the records of policy sets.
type ruleMaker struct {
	types  []policies.ToolType
	today  bool
	ruling *ruling
	blocks []provenance.Block
}

// compileSets makes records of the operator's set and the dApps', each loaded, proven and tested by its own tests. It
// changes nothing.
func (b *rulebook) compileSets(operator Policy, dapps []Dapp) (*ruling, []provenance.Block, error) {
	if len(dapps) > maxDapps {
		return nil, nil, fmt.Errorf("%d dApps have policy sets; at most %d can", len(dapps), maxDapps)
	}
	m := &ruleMaker{types: b.types, today: b.today, ruling: &ruling{dapps: map[string]provenance.Link{}}}
	set, err := m.addOperator(operator)
	if err != nil {
		return nil, nil, fmt.Errorf("policy set %q: %w", operator.Name, err)
	}
	for _, d := range dapps {
		if err := checkOrigin(d.Origin); err != nil {
			return nil, nil, err
		}
		if m.ruling.dapps[d.Origin].Defined() {
			return nil, nil, fmt.Errorf("the dApp %s has two policy sets", d.Origin)
		}
		if err := m.addDapp(set, d); err != nil {
			return nil, nil, fmt.Errorf("policy set %q of %s: %w", d.Policy.Name, d.Origin, err)
		}
	}
	return m.ruling, m.blocks, nil
}

func (m *ruleMaker) addOperator(p Policy) (*policies.Set, error) {
	// All tools' types are known here, so a rule on a tool that nobody has is found at the start.
	set, err := policies.Load(p.Source, policies.Options{Layer: loop.LayerOperator, Tools: m.types, File: p.File})
	if err != nil {
		return nil, err
	}
	if err := checkSet(set); err != nil {
		return nil, err
	}
	if m.today && len(route.DailyBudgets(set)) == 0 {
		return nil, errors.New("a route asks of today, and this set has no budget in USD by the day")
	}
	rec, parts := definition.RulesOf(set)
	rec.Name = p.Name
	m.ruling.operator, err = m.addRecord(rec, parts)
	return set, err
}

func (m *ruleMaker) addDapp(operator *policies.Set, d Dapp) error {
	set, err := policies.Load(d.Policy.Source, policies.Options{
		Layer: loop.LayerDapp, Untrusted: true, Tools: m.types, File: d.Policy.File,
	})
	if err != nil {
		return err
	}
	if err := checkSet(operator, set); err != nil {
		return err
	}
	rec, parts := definition.RulesOf(set)
	rec.Name, rec.Under, rec.Origin = d.Policy.Name, m.ruling.operator, d.Origin
	m.ruling.dapps[d.Origin], err = m.addRecord(rec, parts)
	return err
}

func (m *ruleMaker) addRecord(rec *provenance.PolicySet, parts []provenance.Block) (provenance.Link, error) {
	b, err := provenance.Encode(rec)
	m.blocks = append(append(m.blocks, parts...), b)
	return b.CID, err
}

// checkSet proves the last of the sets below the ones before it, and runs its own tests.
func checkSet(sets ...*policies.Set) error {
	if err := authority.Prove(sets...); err != nil {
		return err
	}
	return runOwnTests(sets[len(sets)-1])
}

// checkOrigin says whether origin is spelt as wallets' messages spell it.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" &&
		origin == strings.ToLower(u.Scheme+"://"+u.Host) {
		return nil
	}
	return fmt.Errorf("%q is not the origin of a dApp's pages; "+
		"write scheme://host or scheme://host:port in lower case, nothing after it", origin)
}

// A TestError says that a policy set does not pass its own tests.
type TestError struct {
	Failed []workshop.TestResult
	Of     int // tests that ran
}

// Error says how many of the set's own tests fail, and of the first one where it stands and why.
func (e *TestError) Error() string {
	t := e.Failed[0]
	s := fmt.Sprintf("%d of its own %d tests fail: line %d, %q: %s", len(e.Failed), e.Of, t.Line, t.Name, t.Detail)
	return strings.TrimSuffix(s, ".")
}

// runOwnTests runs a set's own tests. The error is a [*TestError], or a [*policies.LoadError] if they cannot be read.
func runOwnTests(s *policies.Set) error {
	tests, err := workshop.Tests(s)
	if err != nil {
		return err
	}
	results := workshop.Test(s, tests)
	failed := slices.DeleteFunc(slices.Clone(results), func(t workshop.TestResult) bool { return t.OK })
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
	rules := r.rules.current.Load().setFor(origin)
	out := make([]AgentInfo, 0, len(r.cfg.Agents))
	for _, d := range r.cfg.Agents {
		info := r.catalog.agents[d.Name]
		info.Rules = rules
		out = append(out, info)
	}
	return out
}
