package loop

import (
	"crypto/sha256"
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
	"github.com/writ-run/writ/agent/pinned"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
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
	signed := pinned.Records{
		Grant: m.config.Grant, Agent: m.config.Agent, Rules: m.config.Rules, Dapp: m.config.Dapp,
		Delegations: m.config.Delegations, Callers: m.config.Callers,
	}
	callers, err := signed.Check()
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
	m.baseDigest, m.baseSize = definition.BasePrompt(m.agent, m.offered)
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
	m.asked = route.AskedBy(a, m.config.Rules, m.config.Dapp)
	m.asked.Request = m.asked.Request || m.onChoice != nil
	m.asked.Searches = m.asked.Searches || m.onChoice != nil
	for _, set := range m.layers {
		m.daily = append(m.daily, route.DailyBudgets(set)...)
	}
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
