package runner

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
)

// A catalog is what runs are made of: agents, tools and models, each with its record. It never changes.
type catalog struct {
	agents          map[string]AgentInfo
	tools           map[string]provenance.Link // by name, the record of the tool as it is now
	implementations map[string]tools.Tool
	models          map[string]NamedModel
	types           []policies.ToolType // of all tools, agents' included
	runtime         provenance.Link
}

// An AgentInfo describes an agent that a Runner has.
type AgentInfo struct {
	Name, About string
	CID         provenance.Link // *provenance.Agent
	Rules       provenance.Link // *provenance.PolicySet of the operator, or of a dApp: see Runner.AgentsFor
	Tools       []string
	Defaults    auth.Caveats
	ThreadWaits bool // a request waits while the run before it in its thread is at work
}

// A catalogMaker makes the records of a catalog and checks each.
type catalogMaker struct {
	cfg *Config
	*catalog
	blocks []provenance.Block
}

func makeCatalog(c *Config) (*catalog, []provenance.Block, error) {
	m := &catalogMaker{cfg: c, catalog: &catalog{
		agents: map[string]AgentInfo{}, tools: map[string]provenance.Link{}, implementations: map[string]tools.Tool{},
		models: map[string]NamedModel{},
	}}
	for _, t := range c.Tools {
		if err := m.addTool(t); err != nil {
			return nil, nil, fmt.Errorf("tool %q: %w", t.Spec().Name, err)
		}
	}
	m.addAgentTypes()
	if err := m.addRuntime(); err != nil {
		return nil, nil, err
	}
	for i, d := range c.Agents {
		if slices.ContainsFunc(c.Agents[:i], func(o agentfile.Definition) bool { return o.Name == d.Name }) {
			return nil, nil, fmt.Errorf("agent %q is there twice", d.Name)
		}
		if _, err := m.addAgent(d, nil); err != nil {
			return nil, nil, err
		}
	}
	return m.catalog, m.blocks, nil
}

func (m *catalogMaker) addRecord(rec provenance.Record) (provenance.Link, error) {
	b, err := provenance.Encode(rec)
	if err == nil {
		m.blocks = append(m.blocks, b)
	}
	return b.CID, err
}

func (m *catalogMaker) addTool(t tools.Tool) error {
	spec := t.Spec()
	def, err := tools.Compile(spec)
	if err != nil {
		return err
	}
	_, sends := t.(tools.Chain)
	if _, pays := t.(tools.Payer); sends != spec.Class.Sends() || pays != (spec.Class == tools.WalletTx) {
		return fmt.Errorf("class %s and its methods do not fit", spec.Class)
	}
	if _, ok := t.(tools.Follower); spec.Final != "" && !ok {
		return errors.New("it says when its transactions are final, and cannot follow them")
	}
	if m.implementations[spec.Name] != nil {
		return fmt.Errorf("%s is there twice", spec.Name)
	}
	rec, book, err := definition.RecordOf(spec)
	if err != nil {
		return err
	}
	if book != nil {
		m.blocks = append(m.blocks, *book)
	}
	if m.tools[spec.Name], err = m.addRecord(rec); err != nil {
		return err
	}
	m.implementations[spec.Name] = t
	m.types = append(m.types, policies.ToolType{Name: spec.Name, Params: def.Params()})
	return nil
}

// addAgentTypes adds the types of the tools that agents are to one another.
func (m *catalogMaker) addAgentTypes() {
	for _, d := range m.cfg.Agents {
		for _, x := range d.Delegates {
			name := definition.AgentTool(x.Agent, "", nil).Name
			if !slices.ContainsFunc(m.types, func(t policies.ToolType) bool { return t.Name == name }) {
				params := []arg.Param{{Name: "input", Kind: arg.String, Required: true}}
				m.types = append(m.types, policies.ToolType{Name: name, Params: params})
			}
		}
	}
}

// addRuntime makes the record of this program and its models.
func (m *catalogMaker) addRuntime() (err error) {
	runtime := &provenance.Runtime{Version: m.cfg.Version, Build: m.cfg.Build, Key: publicKey(m.cfg.Key)}
	for _, named := range m.cfg.Models {
		i := named.Info
		if i.Name == "" || named.Model == nil || i.MaxTokens <= 0 ||
			min(i.PriceIn, i.PriceOut, i.PriceCached, i.PriceWrite5m, i.PriceWrite1h, i.Window) < 0 {
			return fmt.Errorf("model %q needs a name, an implementation, MaxTokens above zero and prices", i.Name)
		}
		if _, there := m.models[i.Name]; there {
			return fmt.Errorf("model %q is there twice", i.Name)
		}
		m.models[i.Name] = named
		runtime.Models = append(runtime.Models, provenance.ModelInfo{
			Name: i.Name, Kind: string(i.Kind), Provider: i.Provider, Model: i.Model,
			PriceIn: i.PriceIn, PriceOut: i.PriceOut, MaxTokens: i.MaxTokens, Window: i.Window, Dialect: i.Dialect,
			PriceCached: i.PriceCached, PriceWrite5m: i.PriceWrite5m, PriceWrite1h: i.PriceWrite1h,
			Pool: i.Pool, Weight: uint64(max(i.Weight, 0)), Prices: i.Prices, Images: i.Images,
		})
	}
	if m.runtime, err = m.addRecord(runtime); err != nil {
		return fmt.Errorf("runtime: %w", err)
	}
	return nil
}

// maxDelegates bounds the agents that one agent may call.
const maxDelegates = 8

// An agentMaker makes the record of one agent.
type agentMaker struct {
	*catalogMaker
	def   agentfile.Definition // with the tools that its delegates are
	info  AgentInfo
	named map[string]provenance.Link // tools by name, delegates included
}

// addAgent makes the record of an agent, and before it those of the agents that it calls: an agent's version is that
// of its sub-agents too. above names the agents that lead to this one.
func (m *catalogMaker) addAgent(d agentfile.Definition, above []string) (AgentInfo, error) {
	if info, done := m.agents[d.Name]; done {
		return info, nil
	}
	if slices.Contains(above, d.Name) {
		return AgentInfo{}, fmt.Errorf("agent %q calls itself, by way of %q", d.Name, above)
	}
	if len(d.Delegates) > maxDelegates {
		return AgentInfo{}, fmt.Errorf("agent %q names %d delegates; at most %d can be",
			d.Name, len(d.Delegates), maxDelegates)
	}
	for _, route := range d.Routes {
		if _, err := policies.CompileRoute(cmp.Or(route.When, "true")); err != nil {
			return AgentInfo{}, fmt.Errorf("agent %q: route %q: %w", d.Name, route.ID, err)
		}
	}
	am := &agentMaker{catalogMaker: m, def: d, named: maps.Clone(m.tools), info: AgentInfo{
		Name: d.Name, About: d.About, Tools: slices.Clone(d.Tools), Defaults: d.Grant,
		ThreadWaits: d.ThreadWaits,
	}}
	am.def.Tools = slices.Clone(d.Tools)
	for _, x := range d.Delegates {
		if err := am.addDelegate(x, append(slices.Clip(above), d.Name)); err != nil {
			return AgentInfo{}, err
		}
	}
	rec, err := am.def.Record(am.named)
	if err != nil {
		return AgentInfo{}, err
	}
	if am.info.CID, err = m.addRecord(rec); err != nil {
		return AgentInfo{}, fmt.Errorf("agent %q: %w", d.Name, err)
	}
	m.agents[d.Name] = am.info
	return am.info, nil
}

// addDelegate makes the record of another agent as a tool of this one, and before it the other agent's.
func (am *agentMaker) addDelegate(x agentfile.Delegate, above []string) error {
	wrap := func(err error) error { return fmt.Errorf("agent %q: delegate %q: %w", am.def.Name, x.Agent, err) }
	i := slices.IndexFunc(am.cfg.Agents, func(o agentfile.Definition) bool { return o.Name == x.Agent })
	if i < 0 {
		return wrap(errors.New("there is no agent of that name; list it too"))
	}
	other, err := am.addAgent(am.cfg.Agents[i], above)
	if err != nil {
		return err
	}
	if x.Life < 0 || x.Life > 24*time.Hour {
		return wrap(fmt.Errorf("its life of %s is not between a second and a day", x.Life))
	}
	rec := &provenance.Delegate{Agent: other.CID, Life: cmp.Or(x.Life, 10*time.Minute).Milliseconds()}
	if rec.Caveats, err = am.delegateCaveats(x, other); err != nil {
		return wrap(err)
	}
	if rec.Tools, err = am.delegateTools(x, other); err != nil {
		return wrap(err)
	}
	about := cmp.Or(x.About, other.About, "Asks the agent "+x.Agent+".")
	spec := definition.AgentTool(x.Agent, about, x.Utterances)
	if am.named[spec.Name].Defined() {
		return wrap(fmt.Errorf("there is a tool %s already", spec.Name))
	}
	def, _, err := definition.RecordOf(spec)
	if err != nil {
		return wrap(err)
	}
	def.Delegate = rec
	if am.named[spec.Name], err = am.addRecord(def); err != nil {
		return wrap(err)
	}
	am.def.Tools = append(am.def.Tools, spec.Name)
	am.info.Tools = append(am.info.Tools, spec.Name)
	return nil
}

// delegateCaveats returns the limits of a delegate: its own, or what both agents' grants allow if it has none.
func (am *agentMaker) delegateCaveats(x agentfile.Delegate, other AgentInfo) (json string, err error) {
	outer, limits := am.def.Grant.Sorted(), x.Grant.Sorted()
	if limits.MaxCalls == 0 {
		if limits, err = other.Defaults.Sorted().Narrow(outer); err != nil {
			return "", fmt.Errorf("what both its own grant and that of %q allow: %w", am.def.Name, err)
		}
	}
	if err := limits.Validate(); err != nil {
		return "", fmt.Errorf("its limits: %w", err)
	}
	outer.MaxDepth--
	if err := limits.Within(outer); err != nil {
		return "", fmt.Errorf("its limits against the grant of %q: %w", am.def.Name, err)
	}
	return limits.JSON(), nil
}

// delegateTools lists the tools that a delegate may call. The wallet signs every tool that is called on its word, so
// they become tools that this agent's grant names.
func (am *agentMaker) delegateTools(x agentfile.Delegate, other AgentInfo) ([]string, error) {
	may := x.Tools
	if may == nil {
		may = other.Tools
	}
	for _, t := range may {
		if !slices.Contains(other.Tools, t) {
			return nil, fmt.Errorf("it has no tool %q", t)
		}
		if !slices.Contains(am.info.Tools, t) {
			am.info.Tools = append(am.info.Tools, t)
		}
	}
	sorted := append([]string{}, may...)
	slices.Sort(sorted)
	return slices.Compact(sorted), nil
}
