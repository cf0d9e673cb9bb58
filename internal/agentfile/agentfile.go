// Package agentfile says what an agent is: as a Go value, or as a file of YAML that gives the same value.
package agentfile

import (
	"cmp"
	"embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/form"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/provenance"
)

// A Definition says what an agent is. It is written as a Go value or read from a file by [Parse]; both
// give the same record, whose CID is the agent's version.
type Definition struct {
	Name         string // lower-case letters, digits and '-', at most 32 bytes
	About        string // one sentence for the user
	Instructions string // for the model
	Answer       string // JSON Schema that its answers fit; any text if empty
	Tools        []string
	Routes       []Route
	Limits       Limits
	Delegates    []Delegate   // other agents that it may call
	ThreadWaits  bool         // a request waits while the run before it in its thread is at work; else it is refused
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
	// Grant are its limits, none wider than the calling agent's own Grant and with a level of sub-agents fewer; if
	// MaxCalls is 0, what both that and the other agent's own Grant allow.
	Grant auth.Caveats
}

// A Route says which model answers a turn: the first whose When holds and whose model is there and healthy.
type Route struct {
	ID   string `yaml:"id"`
	When string `yaml:"when"` // expr over the model.route environment; "true" for always
	Use  string `yaml:"use"`  // the name of a model, or of a pool of models
	By   string `yaml:"by"`   // which of a pool is asked first: weight, cost or latency; by weight if empty
	// Shadow has the rule looked at beside the others: what it would have chosen is recorded, and nothing else.
	Shadow bool `yaml:"shadow"`
	// Priority is that of its questions where a model's queue is, 0 to 9.
	Priority uint64 `yaml:"priority"`
	// Hedge has a turn that only reads ask a second model beside one that has not begun to answer in the time that it
	// mostly takes.
	Hedge bool `yaml:"hedge"`
}

// Limits are the hard stops of one run. A zero value takes the default; there is no way to have none.
type Limits struct {
	Turns  uint64        // model calls; 8
	Calls  uint64        // tool calls; 16
	Tokens int64         // input and output; 200,000
	Cost   int64         // nano-USD; 1 USD
	Wall   time.Duration // from open to close, time parked included; 24 h
}

var agentName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func (d Definition) checkFields() error {
	switch {
	case !agentName.MatchString(d.Name):
		return fmt.Errorf("agent name %q: use lower-case letters, digits and '-', at most 32", d.Name)
	case d.Instructions == "":
		return fmt.Errorf("agent %q has no instructions", d.Name)
	case len(d.Routes) == 0:
		return fmt.Errorf("agent %q has no routes: name at least one model that may answer", d.Name)
	case d.reservedRoute() != "":
		return fmt.Errorf("agent %q: a route uses %q, which there is not yet", d.Name, d.reservedRoute())
	case d.Limits.Tokens < 0 || d.Limits.Cost < 0 || d.Limits.Wall < 0:
		return fmt.Errorf("agent %q has a limit below zero", d.Name)
	case len(d.Delegates) > 0 && d.Grant.MaxDepth == 0:
		return fmt.Errorf("agent %q names delegates, but its grant has no max_depth: "+
			"no wallet would let it call them", d.Name)
	case d.Limits.Wall > 0 && d.Limits.Wall < time.Millisecond:
		return fmt.Errorf("agent %q: limits.wall is %s; give it at least 1ms", d.Name, d.Limits.Wall)
	}
	return nil
}

// reservedRoute returns what a route uses that is only reserved; "" if none does.
func (d Definition) reservedRoute() string {
	for _, r := range d.Routes {
		if slices.Contains(route.Reserved, r.Use) {
			return r.Use
		}
	}
	return ""
}

// Record makes the agent's record. tools are the records of the tools that there are, by name.
func (d Definition) Record(tools map[string]provenance.Link) (*provenance.Agent, error) {
	if err := d.checkFields(); err != nil {
		return nil, err
	}
	a := &provenance.Agent{Name: d.Name, About: d.About, Instructions: d.Instructions, Limits: provenance.Limits{
		Turns: cmp.Or(d.Limits.Turns, 8), Calls: cmp.Or(d.Limits.Calls, 16), Tokens: cmp.Or(d.Limits.Tokens, 200_000),
		Cost: cmp.Or(d.Limits.Cost, 1_000_000_000), Wall: cmp.Or(d.Limits.Wall, 24*time.Hour).Milliseconds(),
	}}
	for _, name := range d.Tools {
		link, ok := tools[name]
		if !ok {
			return nil, fmt.Errorf("agent %q names the tool %q, which is not there%s", d.Name, name, missingTool(name, tools))
		}
		a.Tools = append(a.Tools, link)
	}
	a.Routes = routesOf(d.Routes)
	if d.Answer != "" {
		f, err := form.Parse([]byte(d.Answer))
		if err != nil {
			return nil, fmt.Errorf("agent %q: %w", d.Name, err)
		}
		a.Answer = string(f.Schema())
	}
	return a, nil
}

// missingTool says what to do about a tool that is not there.
func missingTool(name string, tools map[string]provenance.Link) string {
	if near := wording.Nearest(name, slices.Sorted(maps.Keys(tools))); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	switch space, _, _ := strings.Cut(name, "."); space {
	case "web":
		return ": it needs fetch.hosts in the settings"
	case "docs":
		return ": it needs library: {on: true} in the settings"
	case "mandate":
		return ": it needs chain.mandates in the settings"
	case "erc20", "tx":
		return ": tools that pay need chain.key in the settings"
	case "erc721":
		return ": it needs a token of chain.tokens that is a collection, and, if it pays, chain.key"
	}
	return ": writ tools ls names the tools of your own, which writ dev has by --tools writ.yaml; \"as\" beside one of " +
		"them, under use, gives it another name"
}

//go:embed agents/*.yaml
var shipped embed.FS

// JSONSchema is the JSON Schema of agent files.
//
//go:embed agents/schema.json
var JSONSchema []byte

// Shipped returns the definition of an agent that comes with writ: "treasurer", which can pay within its grant,
// "reader", which can only read the chain, or "researcher", which also reads pages and documents, where the
// configuration names some. Its grant is for the given chain.
func Shipped(name string, chain uint64) (Definition, error) {
	b, err := shipped.ReadFile("agents/" + name + ".yaml")
	if err != nil {
		return Definition{}, fmt.Errorf("no agent %q comes with writ; there are: %s",
			name, strings.Join(ShippedNames(), ", "))
	}
	return Parse(b, chain)
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
