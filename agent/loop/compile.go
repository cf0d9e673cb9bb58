package loop

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/form"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// New compiles a machine. It fails if a record does not compile: an unknown tool, a policy set or route that does
// not load, a grant for another agent or other rules.
func New(c Config) (*Machine, error) {
	if c.Agent == nil || c.Rules == nil || c.Grant == nil || c.Runtime == nil || !c.Session.Defined() {
		return nil, errors.New("make a loop: a part of the config is missing")
	}
	m := &Machine{
		session: c.Session, agent: c.Agent, grant: c.Grant, tools: map[string]*tool{}, onDecision: c.OnDecision,
		onChoice: c.OnChoice,
	}
	if err := (compiler{m, &c}).compile(); err != nil {
		return nil, fmt.Errorf("make a loop: %w", err)
	}
	return m, nil
}

// A compiler makes a machine of its config.
type compiler struct {
	*Machine
	config *Config
}

// compile makes each part of the machine. Policy sets need the tools, and budgets the policy sets.
func (m compiler) compile() (err error) {
	if m.authority, err = authority.New(m.config.Grant, m.config.Delegations, m.config.Agents); err != nil {
		return err
	}
	if err := m.config.checkSigned(); err != nil {
		return err
	}
	if err := m.config.checkDapp(); err != nil {
		return err
	}
	callers, err := callerNames(m.config)
	if err != nil {
		return err
	}
	if err := m.compileTools(); err != nil {
		return err
	}
	if err := m.loadLayers(); err != nil {
		return err
	}
	m.noPast = m.layers.Past()
	m.readBudgets(callers)
	if err := m.compileRoutes(); err != nil {
		return err
	}
	if err := m.decidePublishing(); err != nil {
		return err
	}
	m.digestBasePrompt()
	key := sha256.Sum256([]byte("writ/prompts/1\n" + m.config.Session.String() + "\n" + m.config.Agent.Name))
	m.cacheKey = hex.EncodeToString(key[:16])
	m.grammar = sync.OnceValue(m.makeGrammar)
	if m.agent.Answer != "" {
		if m.form, err = form.Parse([]byte(m.agent.Answer)); err != nil {
			return fmt.Errorf("agent %q: %w", m.agent.Name, err)
		}
	}
	m.limits = m.config.Agent.Limits
	if n := len(m.config.Delegations); n > 0 {
		m.limits = authority.Narrow(m.limits, m.config.Delegations[n-1].Limits)
	}
	return nil
}

// checkSigned holds agent and rules to the grant. The wallet signed one version of the agent under one version of the
// rules; a change of the config is not its.
func (c *Config) checkSigned() error {
	agent := c.Grant.AgentCID
	if n := len(c.Delegations); n > 0 {
		agent = c.Delegations[n-1].Agent
	} else if c.Grant.Agent != c.Agent.Name {
		return fmt.Errorf("the grant is for agent %q, not %q", c.Grant.Agent, c.Agent.Name)
	}
	for _, signed := range []struct {
		what string
		rec  provenance.Record
		want provenance.Link
	}{{"agent", c.Agent, agent}, {"policy set", c.signedRules(), c.Grant.RulesCID}} {
		b, err := provenance.Encode(signed.rec)
		if err != nil {
			return fmt.Errorf("%s: %w", signed.what, err)
		}
		if b.CID != signed.want {
			return fmt.Errorf("%s %s: %w", signed.what, b.CID, ErrVersion)
		}
	}
	return nil
}

// compileTools reads the agent's tools, in the order in which they are offered.
func (m compiler) compileTools() error {
	for _, link := range m.config.Agent.Tools {
		rec := m.config.Tools[link]
		if rec == nil {
			return fmt.Errorf("tool %s of agent %q is not there", link, m.config.Agent.Name)
		}
		spec, err := definition.SpecOf(rec, m.config.Books[rec.Book])
		if err != nil {
			return err
		}
		def, err := tools.Compile(spec)
		if err != nil {
			return fmt.Errorf("tool %s: %w", rec.Name, err)
		}
		if m.tools[rec.Name] != nil {
			return fmt.Errorf("agent %q names tool %s twice", m.config.Agent.Name, rec.Name)
		}
		m.tools[rec.Name] = &tool{
			def: def, spec: spec, link: link, label: definition.OutputLabel(&spec, nil), delegate: rec.Delegate,
		}
		if spec.Foreign {
			origin := []string{"about:" + spec.Name}
			m.baseLabel = m.baseLabel.Join(label.Label{Integrity: label.Untrusted, Origins: origin})
		}
		m.offered = append(m.offered, model.Tool{
			Name: spec.Name, About: spec.About, Schema: def.Offered(), Utterances: spec.Utterances,
		})
	}
	return nil
}

// loadLayers loads the policy sets, outermost first: the operator's, a dApp's, the grant's and those of delegations.
func (m compiler) loadLayers() error {
	types := m.toolTypes()
	operator, err := m.config.Sets.Load([]byte(m.config.Rules.Source), policies.Options{
		Layer: LayerOperator, Tools: types, Partial: true, Parts: definition.PartsOf(m.config.Rules, m.config.Books),
	})
	if err != nil {
		return fmt.Errorf("policy set %q: %w", m.config.Rules.Name, err)
	}
	m.layers = policies.Layers{operator}
	if m.config.Dapp != nil {
		set, err := m.config.Sets.Load([]byte(m.config.Dapp.Source), policies.Options{
			Layer: LayerDapp, Untrusted: true, Tools: types, Partial: true,
			Parts: definition.PartsOf(m.config.Dapp, m.config.Books),
		})
		if err != nil {
			return fmt.Errorf("policy set %q of %s: %w", m.config.Dapp.Name, m.config.Dapp.Origin, err)
		}
		m.layers = append(m.layers, set)
	}
	var subAgents []string // the tools that call them
	for _, t := range m.offered {
		if m.tools[t.Name].delegate != nil {
			subAgents = append(subAgents, t.Name)
		}
	}
	names, sources := m.authority.WriteRules(subAgents)
	for i, source := range sources {
		set, err := m.config.Sets.Load(source, policies.Options{Layer: names[i], Untrusted: true, Tools: types})
		if err != nil {
			return fmt.Errorf("the rules of %s: %w", names[i], err)
		}
		m.layers = append(m.layers, set)
	}
	return nil
}

// readBudgets lists the caps that the layers declare. callers are the agents above a sub-agent.
func (m compiler) readBudgets(callers []string) {
	grant := len(m.layers) - 1 - len(m.config.Delegations) // the layer of the grant; what is below it is delegated
	for i, set := range m.layers {
		for _, b := range set.Budgets() {
			if !b.Kept() {
				continue
			}
			budget := Budget{ID: b.ID, Scope: b.Scope, Cap: b.Cap, def: b}
			switch {
			case i > grant:
				budget.Scope, budget.Of = ScopeDelegation, m.config.Delegations[i-grant-1].CID
			case b.Scope == "agent":
				budget.callers = callers
			}
			if set.Layer() == LayerDapp { // two dApps may call a budget by one name
				budget.storeID = strings.Replace(b.ID, LayerDapp, LayerDapp+" "+m.config.Dapp.Origin, 1)
			}
			m.budgets = append(m.budgets, budget)
			if b.UntilApproval {
				m.budgets = append(m.budgets, askedBudget(budget))
			}
		}
	}
	slices.SortFunc(m.budgets, func(a, b Budget) int { return strings.Compare(a.ID, b.ID) })
	m.plain = plainLedgers(m.budgets)
}

// compileRoutes reads the agent's routes for the models of the runtime.
func (m compiler) compileRoutes() error {
	a := m.config.Agent
	models, err := route.ModelsOf(m.config.Runtime)
	if err != nil {
		return err
	}
	m.models = models
	m.hasModel = slices.ContainsFunc(models, func(i model.Info) bool { return i.Kind == model.KindModel })
	if m.routes, err = route.Compile(a.Routes, models); err != nil {
		return fmt.Errorf("agent %q: %w", a.Name, err)
	}
	if !route.LeadToModel(m.routes) {
		return fmt.Errorf("no route of agent %q leads to a model that this runtime has", a.Name)
	}
	m.viewsTurn = m.onChoice != nil || route.AsksOfTurn(a, m.config.Rules, m.config.Dapp)
	m.watched = route.Watched(m.routes, a, m.config.Rules, m.config.Dapp)
	return nil
}

func (m *Machine) toolTypes() []policies.ToolType {
	var types []policies.ToolType
	for _, offered := range m.offered {
		types = append(types, policies.ToolType{Name: offered.Name, Params: m.tools[offered.Name].def.Params()})
	}
	return types
}

// digestBasePrompt makes the digest of what every prompt of the agent begins with, and counts its bytes.
func (m compiler) digestBasePrompt() {
	h := sha256.New()
	h.Write([]byte("writ/prompt/1\n"))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(m.agent.Instructions))))
	h.Write([]byte(m.agent.Instructions))
	for _, l := range m.agent.Tools {
		h.Write(l.Bytes())
	}
	h.Sum(m.baseDigest[:0])
	m.baseSize = int64(len(m.agent.Instructions))
	for _, t := range m.offered { // a model pays for the definitions as input
		m.baseSize += int64(len(t.Name)+len(t.About)+len(t.Schema)) + thread.FrameTokens
	}
}

// callerNames returns the names of the agents above a sub-agent, the grant's first; an agent's own name is not among
// them.
func callerNames(c *Config) ([]string, error) {
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
			of := c.Delegations[i].CID
			return nil, fmt.Errorf("agent %s called, and it is not the one of delegation %s", b.CID, of)
		}
		names = append(names, a.Name)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == c.Agent.Name }), nil
}

func plainLedgers(budgets []Budget) []Ledger {
	out := make([]Ledger, 0, len(budgets))
	for _, b := range budgets {
		if b.def.Window != "" || b.def.PerRecipient || len(b.callers) > 0 || b.storeID != "" || b.asked {
			return nil
		}
		out = append(out, Ledger{ID: b.ID, Key: b.ID, Scope: b.Scope, Of: b.Of, Cap: b.Cap})
	}
	return out
}
