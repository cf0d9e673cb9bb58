// Package loop is the agent's loop as a pure machine.
//
// A [Machine] is made from records alone: the agent, its tools, the operator's policy set, the wallet's grant, the
// runtime. [Machine.Step] takes a run's [State], one event and the facts of the moment, and returns what is to be
// done about it. It reads no clock, no file and no network, and nothing in it is chance, so the same steps give the
// same effects anywhere: package agent uses it to run, and agent/audit uses the same code to check, by feeding it
// the recorded events and comparing what comes out.
//
// The story of a run: an [provenance.Ask] opens it and leads to an [provenance.AskModel]. A [provenance.Reply] either
// ends the run with a text or asks for tool calls; every call passes the policies before anything is done. A call
// that only reads is made; a call that moves value on a chain is simulated, decided again with what the simulation
// showed, approved by the wallet if a rule says so, signed, and sent. When every call of the turn has its one
// outcome, the model is asked again. Limits end the run in one last turn without tools.
package loop

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// ErrSealed says that a text which the loop needs is sealed and no key for it is known.
var ErrSealed = errors.New("a payload is sealed")

// ErrVersion says that an agent or a policy set is not the version that the wallet signed.
var ErrVersion = errors.New("it is not the version that the wallet signed; sign in again")

// A Config is what a [Machine] is made of. Everything is required but Dapp, Delegations and Heard, and everything but
// Session and Heard is a record.
type Config struct {
	Session provenance.Link // the grant's CID
	Agent   *provenance.Agent
	Tools   map[provenance.Link]*provenance.ToolDef // those that Agent names
	Books   map[provenance.Link][]byte              // the raw blocks that Tools and Rules name
	Rules   *provenance.PolicySet                   // the operator's
	Dapp    *provenance.PolicySet                   // a dApp's, which stands under Rules; nil if the grant names none
	Grant   *auth.Grant
	Runtime *provenance.Runtime

	// Delegations are those from the grant down to a sub-agent; none if the agent is the grant's own. They were checked
	// by [NewAuthority] with the key under which the runtime's agents act.
	Delegations []Delegated
	Agents      auth.PublicKey // that key; required with Delegations
	// Callers are the agents between the grant's and Agent, outermost first: whom all Delegations but the last are for.
	Callers []*provenance.Agent

	// Heard is told of every decision as it is made; it must not keep the request. nil is nobody. A machine with it is
	// for one goroutine.
	Heard func(*policies.Request, policies.Decision)
}

// A Machine is everything of a run that does not change while it goes on. It is safe for use by many goroutines.
type Machine struct {
	session   provenance.Link
	agent     *provenance.Agent
	grant     *auth.Grant
	tools     map[string]*tool
	offered   []model.Tool
	layers    policies.Layers
	heard     func(*policies.Request, policies.Decision)
	routes    []route.Rule
	budgets   []Budget
	ground    label.Label              // of what every prompt begins with
	plain     []Ledger                 // of the budgets, if none has a window or counts by recipient
	modes     map[string]policies.Mode // how parts are kept, if a set speaks of it
	published []provenance.Decision    // that say so
	authority *Authority
	base      [32]byte // digest of what every prompt begins with
	size      int64    // bytes of it
}

type tool struct {
	def  *tools.Def
	spec tools.Spec
	link provenance.Link

	delegate *provenance.Delegate // of a tool that calls an agent
}

// A Budget is a cap that the machine's policy sets declare.
type Budget struct {
	ID    string // "layer/id", as in decisions
	Scope string // whose ledger it is: session, wallet or agent; or delegation
	Cap   money.Amount
	Of    provenance.Link // with scope delegation: which one

	def   policies.BudgetDef
	above []string // with scope agent: the callers' names, whose ledgers are drawn on too
	store string   // in place of "layer/id" where ledgers are kept; as ID if empty
}

// Layers of policy, in order. A lower layer only narrows.
const (
	LayerOperator = "operator"
	LayerDapp     = "dapp" // of the page where the wallet signed
	LayerGrant    = "grant"
)

// ScopeDelegation is the scope of a delegation's own budgets.
const ScopeDelegation = "delegation"

// New compiles a machine. It fails if a record does not compile: an unknown tool, a policy set or route that does
// not load, a grant for another agent or other rules.
func New(c Config) (*Machine, error) {
	if c.Agent == nil || c.Rules == nil || c.Grant == nil || c.Runtime == nil || !c.Session.Defined() {
		return nil, errors.New("make a loop: a part of the config is missing")
	}
	m := &Machine{session: c.Session, agent: c.Agent, grant: c.Grant, tools: map[string]*tool{}, heard: c.Heard}
	var err error
	if m.authority, err = NewAuthority(c.Grant, c.Delegations, c.Agents); err != nil {
		return nil, fmt.Errorf("make a loop: %w", err)
	}
	wanted := c.Grant.AgentCID
	if n := len(c.Delegations); n > 0 {
		wanted = c.Delegations[n-1].Agent
	} else if c.Grant.Agent != c.Agent.Name {
		return nil, fmt.Errorf("make a loop: the grant is for agent %q, not %q", c.Grant.Agent, c.Agent.Name)
	}
	// The wallet signed one version of the agent under one version of the rules; a change of the config is not its.
	for _, signed := range []struct {
		what string
		rec  provenance.Record
		want provenance.Link
	}{{"agent", c.Agent, wanted}, {"policy set", c.signedRules(), c.Grant.RulesCID}} {
		b, err := provenance.Encode(signed.rec)
		if err != nil {
			return nil, fmt.Errorf("make a loop: %s: %w", signed.what, err)
		}
		if b.CID != signed.want {
			return nil, fmt.Errorf("make a loop: %s %s: %w", signed.what, b.CID, ErrVersion)
		}
	}
	if err := c.checkDapp(); err != nil {
		return nil, fmt.Errorf("make a loop: %w", err)
	}
	callers, err := callersOf(&c)
	if err != nil {
		return nil, fmt.Errorf("make a loop: %w", err)
	}
	var calls []string // of sub-agents
	for _, link := range c.Agent.Tools {
		rec := c.Tools[link]
		if rec == nil {
			return nil, fmt.Errorf("make a loop: tool %s of agent %q is not there", link, c.Agent.Name)
		}
		spec, err := SpecOf(rec, c.Books[rec.Book])
		if err != nil {
			return nil, err
		}
		def, err := tools.Compile(spec)
		if err != nil {
			return nil, fmt.Errorf("make a loop: tool %s: %w", rec.Name, err)
		}
		if m.tools[rec.Name] != nil {
			return nil, fmt.Errorf("make a loop: agent %q names tool %s twice", c.Agent.Name, rec.Name)
		}
		m.tools[rec.Name] = &tool{def, spec, link, rec.Delegate}
		if rec.Delegate != nil {
			calls = append(calls, rec.Name)
		}
		if spec.Foreign {
			m.ground = m.ground.Join(label.Label{Integrity: label.Untrusted, Origins: []string{"about:" + spec.Name}})
		}
		m.offered = append(m.offered, model.Tool{
			Name: spec.Name, About: spec.About, Schema: spec.Schema, Utterances: spec.Utterances,
		})
	}
	types := m.toolTypes()
	operator, err := load([]byte(c.Rules.Source), policies.Options{
		Layer: LayerOperator, Tools: types, Partial: true, Parts: PartsOf(c.Rules, c.Books),
	})
	if err != nil {
		return nil, fmt.Errorf("make a loop: policy set %q: %w", c.Rules.Name, err)
	}
	m.layers = policies.Layers{operator}
	if c.Dapp != nil {
		set, err := LoadDapp(c.Dapp, c.Books, types)
		if err != nil {
			return nil, fmt.Errorf("make a loop: policy set %q of %s: %w", c.Dapp.Name, c.Dapp.Origin, err)
		}
		m.layers = append(m.layers, set)
	}
	above := len(m.layers) // layers above the grant's
	names, sources, err := m.authority.rules(calls)
	if err != nil {
		return nil, fmt.Errorf("make a loop: %w", err)
	}
	for i, own := range sources {
		set, err := load(own, policies.Options{Layer: names[i], Untrusted: true, Tools: types})
		if err != nil {
			return nil, fmt.Errorf("make a loop: the rules of %s: %w", names[i], err)
		}
		m.layers = append(m.layers, set)
	}
	for i, set := range m.layers {
		for _, b := range set.Budgets() {
			if !b.Kept() {
				continue
			}
			budget := Budget{ID: b.ID, Scope: b.Scope, Cap: b.Cap, def: b}
			switch {
			case i > above: // below the grant
				budget.Scope, budget.Of = ScopeDelegation, c.Delegations[i-above-1].CID
			case b.Scope == "agent":
				budget.above = callers
			}
			if set.Layer() == LayerDapp { // two dApps may call a budget by one name
				budget.store = strings.Replace(b.ID, LayerDapp, LayerDapp+" "+c.Dapp.Origin, 1)
			}
			m.budgets = append(m.budgets, budget)
		}
	}
	slices.SortFunc(m.budgets, func(a, b Budget) int { return cmpString(a.ID, b.ID) })
	m.plain = plainLedgers(m.budgets)
	if m.routes, err = routesOf(c.Agent, c.Runtime); err != nil {
		return nil, err
	}
	if err := m.publish(); err != nil {
		return nil, fmt.Errorf("make a loop: %w", err)
	}
	m.base, m.size = basePrompt(c.Agent.Instructions, c.Agent.Tools)
	for _, t := range m.offered { // its definition is input too
		m.size += int64(len(t.Name)+len(t.About)+len(t.Schema)) + frameTokens
	}
	return m, nil
}

func routesOf(a *provenance.Agent, r *provenance.Runtime) ([]route.Rule, error) {
	var rules []route.Rule
	for _, ar := range a.Routes {
		when, err := policies.CompileRoute(ar.When)
		if err != nil {
			return nil, fmt.Errorf("make a loop: route %q of agent %q: %w", ar.ID, a.Name, err)
		}
		i := slices.IndexFunc(r.Models, func(m provenance.ModelInfo) bool { return m.Name == ar.Use })
		if i < 0 {
			continue // an agent may name models that this runtime does not have; the next route is taken
		}
		rules = append(rules, route.Rule{ID: ar.ID, When: when, Model: infoOf(r.Models[i])})
	}
	if len(rules) == 0 {
		return nil, fmt.Errorf("make a loop: no route of agent %q leads to a model that this runtime has", a.Name)
	}
	return rules, nil
}

func infoOf(m provenance.ModelInfo) model.Info {
	return model.Info{
		Name: m.Name, Kind: model.Kind(m.Kind), Provider: m.Provider, Model: m.Model,
		PriceIn: m.PriceIn, PriceOut: m.PriceOut, MaxTokens: m.MaxTokens,
	}
}

// SpecOf returns the tool that a record describes. book is the block that the record names, or nil.
func SpecOf(rec *provenance.ToolDef, book []byte) (tools.Spec, error) {
	s := tools.Spec{
		Name: rec.Name, About: rec.About, Class: tools.Class(rec.Class),
		Schema: json.RawMessage(rec.Schema), Utterances: rec.Utterances, Foreign: rec.Foreign,
	}
	if o := rec.Output; o != nil {
		s.Output = &tools.Output{Origins: o.Origins, Documents: o.Documents}
		var err, err2 error
		s.Output.Integrity, err = label.ParseIntegrity(o.Integrity)
		if s.Output.Secrecy, err2 = label.ParseSecrecy(o.Secrecy); err != nil || err2 != nil {
			return s, fmt.Errorf("tool %s: the label of its output is unknown", rec.Name)
		}
	}
	if rec.Clearance != "" {
		var err error
		if s.Clearance, err = label.ParseSecrecy(rec.Clearance); err != nil {
			return s, fmt.Errorf("tool %s: %w", rec.Name, err)
		}
	}
	if rec.Spend != nil {
		s.Spend = &tools.Spend{Amount: rec.Spend.Amount, Asset: rec.Spend.Asset, To: rec.Spend.To}
	}
	if rec.Book.Defined() {
		b, err := tools.ParseBook(book)
		if err != nil {
			return s, fmt.Errorf("tool %s: address book %s: %w", rec.Name, rec.Book, err)
		}
		s.Book = b
	}
	return s, nil
}

// RecordOf returns the record of a tool, and the block of its address book if it has one.
func RecordOf(s tools.Spec) (*provenance.ToolDef, *provenance.Block, error) {
	schema, err := tools.CanonicalJSON(s.Schema)
	if err != nil {
		return nil, nil, fmt.Errorf("tool %s: schema: %w", s.Name, err)
	}
	rec := &provenance.ToolDef{
		Name: s.Name, About: s.About, Class: string(s.Class), Schema: string(schema), Utterances: s.Utterances, Foreign: s.Foreign,
	}
	if s.Output != nil {
		rec.Output = &provenance.ToolOutput{
			Integrity: s.Output.Integrity.String(), Secrecy: s.Output.Secrecy.String(),
			Origins: s.Output.Origins, Documents: s.Output.Documents,
		}
	}
	if s.Clearance > label.Session {
		rec.Clearance = s.Clearance.String()
	}
	if s.Spend != nil {
		rec.Spend = &provenance.Spend{Amount: s.Spend.Amount, Asset: s.Spend.Asset, To: s.Spend.To}
	}
	if s.Book == nil {
		return rec, nil, nil
	}
	book := provenance.NewRaw(s.Book.JSON())
	rec.Book = book.CID
	return rec, &book, nil
}

// RulesOf returns the record of a policy set, and the raw blocks that it names.
func RulesOf(s *policies.Set) (*provenance.PolicySet, []provenance.Block) {
	rec := &provenance.PolicySet{Name: s.Name(), Source: string(s.Source())}
	var blocks []provenance.Block
	for _, p := range s.Parts() {
		b := provenance.NewRaw(p.Data)
		blocks = append(blocks, b)
		rec.Parts = append(rec.Parts, provenance.Part{Name: p.Name, Data: b.CID})
	}
	return rec, blocks
}

// PartsOf returns what a recorded policy set depends on, by name, as far as it is among blocks. It is never nil: a set
// is judged by what was recorded with it and by nothing else.
func PartsOf(rec *provenance.PolicySet, blocks map[provenance.Link][]byte) map[string][]byte {
	parts := map[string][]byte{}
	for _, p := range rec.Parts {
		if data, ok := blocks[p.Data]; ok {
			parts[p.Name] = data
		}
	}
	return parts
}

func (m *Machine) toolTypes() []policies.ToolType {
	var types []policies.ToolType
	for _, link := range m.agent.Tools {
		for _, t := range m.tools {
			if t.link != link {
				continue
			}
			tt := policies.ToolType{Name: t.spec.Name}
			for _, p := range t.def.Params() {
				tt.Params = append(tt.Params, policies.Param{Name: p.Name, Kind: policies.ArgKind(p.Kind)})
			}
			types = append(types, tt)
		}
	}
	return types
}

// Model returns what the run's own runtime record says of a model. The model of that name may be another one by now.
func (m *Machine) Model(name string) (model.Info, bool) {
	for _, r := range m.routes {
		if r.Model.Name == name {
			return r.Model, true
		}
	}
	return model.Info{}, false
}

// Budgets returns the caps that the machine's rules draw on, sorted by ID. [Machine.Ledgers] says which ledgers of
// theirs the facts of a step carry.
func (m *Machine) Budgets() []Budget { return m.budgets }

// Grant returns the permission that the machine acts under.
func (m *Machine) Grant() *auth.Grant { return m.grant }

// Limits returns the agent's hard stops.
func (m *Machine) Limits() provenance.Limits { return m.agent.Limits }

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
