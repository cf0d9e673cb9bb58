// Package loop is the agent's loop as a pure machine.
//
// A [Machine] is made from records alone: the agent, its tools, the operator's policy set, the wallet's grant, the
// runtime. [Machine.Step] takes a run's [State], one event and the facts of the moment, and returns what is to be
// done about it. It reads no clock, no file and no network, and nothing in it is chance, so the same steps give the
// same effects anywhere: internal/runner uses it to run, and agent/audit uses the same code to check, by feeding it
// the recorded events and comparing what comes out.
//
// The story of a run: an [provenance.Ask] opens it and leads to an [provenance.AskModel]. A [provenance.Reply] either
// ends the run with a text or asks for tool calls; every call passes the policies before anything is done. A call
// that only reads is made; a call that moves value on a chain is simulated, decided again with what the simulation
// showed, approved by the wallet if a rule says so, signed, and sent. When every call of the turn has its one
// outcome, the model is asked again. Limits end the run in one last turn without tools.
//
// testdata/runs tells such stories as text, one for each way that a run may take; its README says how to write another.
package loop

import (
	"fmt"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/form"
	"github.com/writ-run/writ/agent/grammar"
	"github.com/writ-run/writ/agent/layer"
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
var ErrSealed = definition.ErrSealed

// A Config is what a [Machine] is made of. Everything is required down to Runtime but Dapp, and everything but
// Session, Sets, OnDecision and OnChoice is a record.
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
	// by [authority.New] with the key under which the runtime's agents act.
	Delegations []authority.Delegated
	Agents      auth.PublicKey // that key; required with Delegations
	// Callers are the agents between the grant's and Agent, outermost first: whom all Delegations but the last are for.
	Callers []*provenance.Agent

	// Sets keeps loaded policy sets for other machines that are made with it; nil keeps none.
	Sets *layer.Sets
	// OnDecision is told of every decision as it is made; it must not keep the request. nil is nobody. A machine with
	// it is for one goroutine.
	OnDecision func(*policies.Request, policies.Decision)
	// OnChoice is told what is known of a turn each time that a model is chosen for it, with the same care.
	OnChoice func(route.Need)
}

// A Machine is everything of a run that does not change while it goes on. It is safe for use by many goroutines.
type Machine struct {
	session    provenance.Link
	agent      *provenance.Agent
	grant      *auth.Grant
	tools      map[string]*tool
	offered    []model.Tool
	layers     policies.Layers
	onDecision func(*policies.Request, policies.Decision)
	onChoice   func(route.Need)
	routes     []route.Rule
	models     []model.Info
	hasModel   bool        // a real model is set up, whether or not the routes lead to it
	asked      route.Asked // by routes and rules
	daily      []string    // budgets in USD by the day
	watched    []string    // models of which the facts say how they have answered of late
	cacheKey   string      // of the session's prompts of this agent at a provider
	budgets    []Budget
	baseLabel  label.Label              // of what every prompt begins with
	plain      []Ledger                 // of the budgets, if none has a window or counts by recipient
	modes      map[string]policies.Mode // how parts are kept, if a set speaks of it
	published  []provenance.Decision    // that say so
	widest     label.Label              // of what a run may come to hold, if a set speaks of publishing
	noPast     policies.Past            // of a run before its first step
	authority  *authority.Authority
	grammar    func() *grammar.Grammar // of its tools, made when it is first needed
	form       *form.Form              // what its answers must look like; nil for any text
	limits     provenance.Limits       // the run's hard stops
	baseDigest [32]byte                // digest of what every prompt begins with
	baseSize   int64                   // bytes of it
}

type tool struct {
	def  *tools.Def
	spec tools.Spec
	link provenance.Link

	client   *provenance.ToolDef  // of one that the caller has: its record
	label    label.Label          // of its results, as far as they do not say it themselves
	delegate *provenance.Delegate // of a tool that calls an agent
}

// A Budget is a cap that the machine's policy sets declare.
type Budget struct {
	ID    string // "layer/id", as in decisions
	Scope string // whose ledger it is: session, wallet or agent; or delegation
	Cap   money.Amount
	Of    provenance.Link // with scope delegation: which one

	def     policies.BudgetDef
	callers []string // with scope agent: the callers' names, in whose ledgers it is reserved too
	asked   bool     // the ledger beside the budget before askedSuffix: what an approval has ended; see unasked.go
	storeID string   // in place of "layer/id" where ledgers are kept; as ID if empty
}

// Layers of policy, in order. A lower layer only narrows.
const (
	LayerOperator = "operator"
	LayerDapp     = "dapp" // of the page where the wallet signed
	LayerGrant    = authority.LayerGrant
)

// ScopeDelegation is the scope of a delegation's own budgets.
const ScopeDelegation = "delegation"

// Model returns what the run's own runtime record says of a model. The model of that name may be another one by now.
func (m *Machine) Model(name string) (model.Info, bool) {
	for _, r := range m.routes {
		for _, m := range r.Models {
			if m.Name == name {
				return m, true
			}
		}
	}
	return model.Info{}, false
}

// Models returns the models of the run's own runtime record.
func (m *Machine) Models() []model.Info { return m.models }

// Routes returns the agent's routes, as its record has them.
func (m *Machine) Routes() []provenance.AgentRoute { return m.agent.Routes }

// Watched lists the models, sorted, of which a step's facts must say how they have answered of late.
func (m *Machine) Watched() []string { return m.watched }

// Budgets returns the caps that the machine's rules reserve in, sorted by ID. [Machine.Ledgers] says which ledgers of
// theirs the facts of a step carry.
func (m *Machine) Budgets() []Budget { return m.budgets }

// Grant returns the permission that the machine acts under.
func (m *Machine) Grant() *auth.Grant { return m.grant }

// Limits returns the run's hard stops: the agent's, and of a sub-agent no more than its caller has left for it.
func (m *Machine) Limits() provenance.Limits { return m.limits }

// Layers returns the machine's policy sets, the operator's first.
func (m *Machine) Layers() policies.Layers { return m.layers }

// ToolTypes returns the types of the tools' arguments, as the policy sets were loaded with them.
func (m *Machine) ToolTypes() []policies.ToolType { return m.toolTypes() }

// MayStream says whether the text of the next reply may be shown while it is written. It may not if a rule could still
// refuse or change it, at model.response or at output, nor if it could hold a secret or must have a form: then it is
// shown once decided.
func (m *Machine) MayStream(s State) bool {
	return s.form == nil && s.folded == nil && m.layers.Passes(policies.ModelResponse) &&
		m.layers.Passes(policies.Output) && s.context.Secrecy != label.Secret
}

// Authority returns what the machine acts under.
func (m *Machine) Authority() *authority.Authority { return m.authority }

// expiry returns when the machine's authority ends.
func (m *Machine) expiry() int64 { return m.authority.Expires() }

// toolAt returns the agent's tool of a record; nil if it has none.
func (m *Machine) toolAt(record provenance.Link) *tool {
	for _, t := range m.tools {
		if t.link == record {
			return t
		}
	}
	return nil
}

// Arguments returns the name of the tool that a call names, and the call's arguments read again.
func (m *Machine) Arguments(c *provenance.Call) (string, tools.Args, error) {
	t := m.toolAt(c.Tool)
	if t == nil {
		return "", tools.Args{}, fmt.Errorf("no tool of the agent has the record %s", c.Tool)
	}
	raw, ok := c.Args.Bytes()
	if !ok {
		return t.spec.Name, tools.Args{}, fmt.Errorf("the arguments of %s: %w", t.spec.Name, ErrSealed)
	}
	args, err := t.def.Read(raw)
	return t.spec.Name, args, err
}

// IsContractWallet says whether the run's permission was signed by a contract, so that its chain can take it back.
func (m *Machine) IsContractWallet() bool { return m.grant.Method != auth.MethodEOA }

// newPast returns the past of a run that has done nothing yet. If no rule looks back, all runs share one.
func (m *Machine) newPast() policies.Past {
	if m.noPast.Asked() {
		return m.layers.Past()
	}
	return m.noPast
}

// DelegateOf returns the sub-agent that a call opens a run of, or nil if it is a call of another tool.
func (m *Machine) DelegateOf(c *provenance.Call) *provenance.Delegate {
	t := m.toolAt(c.Tool)
	if t == nil {
		return nil
	}
	return t.delegate
}
