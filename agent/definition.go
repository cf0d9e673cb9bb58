package agent

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A Definition says what an agent is. It is written as a Go value or read from a file by [ParseDefinition]; both
// give the same record, whose CID is the agent's version.
type Definition struct {
	Name         string // lower-case letters, digits and '-', at most 32 bytes
	About        string // one sentence for the user
	Instructions string // for the model
	Tools        []string
	Routes       []Route
	Limits       Limits
	Delegates    []Delegate   // other agents that it may call
	Grant        auth.Caveats // what a client asks the wallet for if it asks for nothing else
}

// A Delegate is another agent that an agent may call, as a tool of the name "agent." and the other's. The other can do
// no more than both its own limits here and everything above it allow.
type Delegate struct {
	Agent      string        // its name
	About      string        // for the calling agent's model; the other agent's own About if empty
	Tools      []string      // that it may call; all that it has if nil
	Life       time.Duration // from the call on, at most a day; 10 min if 0
	Utterances []string      // sentence patterns with a slot {input} that mean a call of it, for the planner
	// Grant are its limits, none wider than the calling agent's own Grant and with a level of sub-agents fewer; if MaxCalls
	// is 0, what both that and the other agent's own Grant allow.
	Grant auth.Caveats
}

// A Route says which model answers a turn: the first whose When holds and whose model is there and healthy.
type Route struct {
	ID   string `yaml:"id"`
	When string `yaml:"when"` // expr over the model.route environment; "true" for always
	Use  string `yaml:"use"`  // a model's name
}

// Limits are the hard stops of one run. A zero value takes the default; there is no way to have none.
type Limits struct {
	Turns  uint64        // model calls; 8
	Calls  uint64        // tool calls; 16
	Tokens int64         // input and output; 200,000
	Cost   int64         // nano-USD; 1 USD
	Wall   time.Duration // from open to close, time parked included; 24 h
}

const maxDefinition = 64 << 10

var agentName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

//go:embed agents/*.yaml
var shipped embed.FS

// Shipped returns the definition of an agent that comes with writ: "treasurer", which can pay within its grant,
// "reader", which can only read the chain, or "researcher", which also reads pages and documents, where the
// configuration names some.
func Shipped(name string) (Definition, error) {
	b, err := shipped.ReadFile("agents/" + name + ".yaml")
	if err != nil {
		return Definition{}, fmt.Errorf("no agent %q comes with writ; there are: %s", name, strings.Join(ShippedNames(), ", "))
	}
	return ParseDefinition(b)
}

// ShippedNames lists the agents that come with writ, sorted.
func ShippedNames() []string {
	files, _ := shipped.ReadDir("agents") // embedded, so it is there
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// definitionFile is the YAML form, described by agents/schema.json.
type definitionFile struct {
	Schema       string   `yaml:"schema"`
	Name         string   `yaml:"name"`
	About        string   `yaml:"about"`
	Instructions string   `yaml:"instructions"`
	Tools        []string `yaml:"tools"`
	Routes       []Route  `yaml:"routes"`
	Limits       struct {
		Turns  uint64 `yaml:"turns"`
		Calls  uint64 `yaml:"calls"`
		Tokens int64  `yaml:"tokens"`
		USD    string `yaml:"usd"`
		Wall   string `yaml:"wall"`
	} `yaml:"limits"`
	Delegates []struct {
		Agent      string     `yaml:"agent"`
		About      string     `yaml:"about"`
		Tools      []string   `yaml:"tools"`
		Life       string     `yaml:"life"`
		Utterances []string   `yaml:"utterances"`
		Grant      *grantFile `yaml:"grant"`
	} `yaml:"delegates"`
	Grant grantFile `yaml:"grant"`
}

// grantFile is the YAML form of caveats.
type grantFile struct {
	Assets           map[string]uint8  `yaml:"assets"`
	MaxTotal         map[string]string `yaml:"max_total"`
	MaxPerCall       map[string]string `yaml:"max_per_call"`
	ApproveAbove     map[string]string `yaml:"approve_above"`
	MaxCalls         uint64            `yaml:"max_calls"`
	MaxTokens        uint64            `yaml:"max_tokens"`
	MaxUSD           string            `yaml:"max_usd"`
	MaxDepth         uint64            `yaml:"max_depth"`
	Chains           []uint64          `yaml:"chains"`
	Recipients       []string          `yaml:"recipients"`
	Hosts            []string          `yaml:"hosts"`
	Models           []string          `yaml:"models"`
	ApproveIfTainted *bool             `yaml:"approve_if_tainted"`
}

// DefinitionSchema names the version of the file format.
const DefinitionSchema = "writ/agent/1"

// ParseDefinition reads an agent file: strict YAML, one document, at most 64 KiB. An unknown key is an error that
// names its line.
func ParseDefinition(src []byte) (Definition, error) {
	if len(src) > maxDefinition {
		return Definition{}, fmt.Errorf("an agent file of %d bytes is longer than %d", len(src), maxDefinition)
	}
	var f definitionFile
	dec := yaml.NewDecoder(bytes.NewReader(src))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		return Definition{}, fmt.Errorf("read the agent file: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Definition{}, errors.New("read the agent file: it holds more than one document")
	}
	if f.Schema != DefinitionSchema {
		return Definition{}, fmt.Errorf("read the agent file: schema is %q; this program reads %q", f.Schema, DefinitionSchema)
	}
	d := Definition{
		Name: f.Name, About: f.About, Instructions: f.Instructions, Tools: f.Tools, Routes: f.Routes,
		Limits: Limits{Turns: f.Limits.Turns, Calls: f.Limits.Calls, Tokens: f.Limits.Tokens},
	}
	var err error
	if f.Limits.USD != "" {
		if d.Limits.Cost, err = nano(f.Limits.USD); err != nil {
			return Definition{}, fmt.Errorf("agent %q: limits.usd: %w", f.Name, err)
		}
	}
	if f.Limits.Wall != "" {
		if d.Limits.Wall, err = time.ParseDuration(f.Limits.Wall); err != nil || d.Limits.Wall <= 0 {
			return Definition{}, fmt.Errorf("agent %q: limits.wall %q is not a duration such as 30m", f.Name, f.Limits.Wall)
		}
	}
	if d.Grant, err = f.Grant.caveats(); err != nil {
		return Definition{}, fmt.Errorf("agent %q: grant.%w", f.Name, err)
	}
	if len(f.Delegates) > 0 {
		d.Delegates = make([]Delegate, len(f.Delegates))
	}
	if err := d.check(); err != nil { // before its delegates are measured by it
		return Definition{}, err
	}
	for i, x := range f.Delegates {
		to := Delegate{Agent: x.Agent, About: x.About, Tools: x.Tools, Utterances: x.Utterances}
		if x.Life != "" {
			if to.Life, err = time.ParseDuration(x.Life); err != nil || to.Life <= 0 {
				return Definition{}, fmt.Errorf("agent %q: delegates %d: life %q is not a duration such as 10m", f.Name, i+1, x.Life)
			}
		}
		if x.Grant != nil {
			var key string
			if to.Grant, key, err = x.Grant.narrowed(d.Grant, f.Grant.Assets); err != nil {
				return Definition{}, fmt.Errorf("agent %q: %sdelegates %d: grant.%s: %w", f.Name, place(src, i, key), i+1, key, err)
			}
		}
		d.Delegates[i] = to
	}
	return d, nil
}

// caveats reads the limits; an error begins with the key.
func (g *grantFile) caveats() (auth.Caveats, error) {
	c := auth.Caveats{
		MaxCalls: g.MaxCalls, MaxTokens: g.MaxTokens, MaxDepth: g.MaxDepth, Chains: g.Chains, Hosts: g.Hosts, Models: g.Models,
		ApproveIfTainted: g.ApproveIfTainted != nil && *g.ApproveIfTainted,
	}
	var err error
	for i, text := range g.Recipients {
		a := common.HexToAddress(text)
		if !common.IsHexAddress(text) || a.Hex() != text {
			return c, fmt.Errorf("recipients: entry %d is not an address with the capitals of EIP-55", i+1)
		}
		c.Recipients = append(c.Recipients, a)
	}
	if g.MaxUSD != "" {
		if c.MaxCostNanoUSD, err = nano(g.MaxUSD); err != nil {
			return c, fmt.Errorf("max_usd: %w", err)
		}
	}
	for _, part := range []struct {
		key  string
		from map[string]string
		to   *[]money.Amount
	}{
		{"max_total", g.MaxTotal, &c.MaxTotal},
		{"max_per_call", g.MaxPerCall, &c.MaxPerCall},
		{"approve_above", g.ApproveAbove, &c.ApproveAbove},
	} {
		if *part.to, err = amounts(part.from, g.Assets); err != nil {
			return c, fmt.Errorf("%s: %w", part.key, err)
		}
	}
	return c, nil
}

func nano(usd string) (int64, error) {
	a, err := money.ParseDecimal(money.USD, usd)
	if err != nil {
		return 0, err
	}
	n := a.Uint256()
	if !n.IsUint64() || n.Uint64() > 1<<62 {
		return 0, fmt.Errorf("%s: %w", usd, money.ErrOverflow)
	}
	return int64(n.Uint64()), nil
}

// amounts reads amounts by symbol; assets gives the decimals of each symbol.
func amounts(by map[string]string, assets map[string]uint8) ([]money.Amount, error) {
	var out []money.Amount
	for _, symbol := range slices.Sorted(maps.Keys(by)) {
		decimals, ok := assets[symbol]
		if !ok {
			return nil, fmt.Errorf("%s is not among grant.assets, which gives its decimals", symbol)
		}
		a, err := money.ParseDecimal(money.Asset{Symbol: symbol, Decimals: decimals}, by[symbol])
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func (d Definition) check() error {
	switch {
	case !agentName.MatchString(d.Name):
		return fmt.Errorf("agent name %q: use lower-case letters, digits and '-', at most 32", d.Name)
	case d.Instructions == "":
		return fmt.Errorf("agent %q has no instructions", d.Name)
	case len(d.Routes) == 0:
		return fmt.Errorf("agent %q has no routes: name at least one model that may answer", d.Name)
	case d.Limits.Tokens < 0 || d.Limits.Cost < 0 || d.Limits.Wall < 0:
		return fmt.Errorf("agent %q has a limit below zero", d.Name)
	case len(d.Delegates) > 0 && d.Grant.MaxDepth == 0:
		return fmt.Errorf("agent %q names delegates, but its grant has no max_depth: no wallet would let it call them", d.Name)
	case d.Limits.Wall > 0 && d.Limits.Wall < time.Millisecond:
		return fmt.Errorf("agent %q: limits.wall is %s; give it at least 1ms", d.Name, d.Limits.Wall)
	}
	return nil
}

// record makes the agent's record. tools are the records of the tools that there are, by name.
func (d Definition) record(tools map[string]provenance.Link) (*provenance.Agent, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	a := &provenance.Agent{Name: d.Name, About: d.About, Instructions: d.Instructions, Limits: provenance.Limits{
		Turns: or(d.Limits.Turns, 8), Calls: or(d.Limits.Calls, 16), Tokens: or(d.Limits.Tokens, 200_000),
		Cost: or(d.Limits.Cost, 1_000_000_000), Wall: or(d.Limits.Wall, 24*time.Hour).Milliseconds(),
	}}
	for _, name := range d.Tools {
		link, ok := tools[name]
		if !ok {
			return nil, fmt.Errorf("agent %q names the tool %q, which is not there", d.Name, name)
		}
		a.Tools = append(a.Tools, link)
	}
	for _, r := range d.Routes {
		a.Routes = append(a.Routes, provenance.AgentRoute{ID: r.ID, When: or(r.When, "true"), Use: r.Use})
	}
	return a, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// An AgentInfo describes an agent that a Runner has.
type AgentInfo struct {
	Name, About string
	CID         provenance.Link // *provenance.Agent
	Rules       provenance.Link // *provenance.PolicySet of the operator, or of a dApp: see Runner.AgentsFor
	Tools       []string
	Defaults    auth.Caveats
}
