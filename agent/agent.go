// Package agent runs an agent inside a Go program, with tools of its own, under permissions that a stranger can check.
//
//	weather := agent.Func("weather.now", "Tells the weather in a city.", agent.Read, forecast,
//		"what is the weather in {city}")
//	a, err := agent.Open(ctx, agent.Config{Tools: []agent.Tool{weather}})
//	...
//	defer a.Close()
//	answer, err := a.Ask(ctx, "what is the weather in Rome?")
//
// It is the whole runtime, not a lighter one: a wallet signs a real grant, every call is decided by policy, every step
// is a record before it is acted on, and [Answer.Report] checks the records as a stranger would. Without a model, rules
// read the request by the tools' own utterances.
//
// The journal is in memory unless [Config].Store names a file. With a file, whatever a crash or a stop left open goes
// on when the agent is opened again. What the policy does not let pass by itself waits for the wallet: [Config].Approve
// answers at once, or [Agent.Approvals] lists what waits, days later and after any restart.
//
// For the wallets of others, who come over sockets, use the writ server.
package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/planner"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
)

// A Model answers prompts: Reply(ctx, model.Prompt) (model.Reply, error).
type Model = runner.Model

// A Streamer is a Model that can show its text as it comes.
type Streamer = runner.Streamer

// A Config says what an [Agent] is. Everything but Tools, or Delegates, has a default.
type Config struct {
	Name         string // lower-case letters, digits and '-', at most 32 bytes; "agent" if empty
	Instructions string // for a model
	Tools        []Tool
	Delegates    []Delegate // other agents that it may call
	Model        Model      // rules if nil: no model, and nothing is guessed

	// Policy is the operator's policy set, in YAML. If nil, calls of class [Read] pass, and every other call asks the
	// wallet each time.
	Policy []byte
	// Limits are what the wallet grants. The zero value is 1,000 calls, 10 million tokens and 10 USD of models for one
	// day, and no spending of assets.
	Limits auth.Caveats

	// Store is where the journal is: "memory:", which is the default, or "sqlite:" and a path. A file must be of one
	// process at a time; its keys are in a file beside it, readable by its owner only.
	Store string
	// Wallet signs the grant and the approvals. If nil, a wallet is made that lives as long as the Store.
	Wallet Wallet
	// Approve answers what waits for the wallet: true signs it, false refuses it, and an error leaves it waiting. It is
	// called from the goroutine that waits for the run, one question at a time. If nil, such a run ends its [Agent.Ask]
	// with the outcome [Waiting].
	Approve func(context.Context, Approval) (bool, error)

	Log *slog.Logger // logs nothing if nil
}

// A Delegate is an agent that another may call, as the tool "agent." and its name. What it does is within its limits
// and within everything that its caller may.
type Delegate struct {
	Name         string // as of Config
	About        string // for the calling agent's model
	Instructions string
	Tools        []Tool
	Delegates    []Delegate
	Model        Model
	Utterances   []string // sentence patterns with a slot {input} that mean a call, for an agent without a model
	MaxCalls     uint64   // tool calls in one call of it; 10 if 0
}

// A Wallet is an account that signs. [*auth.Wallet] is one that holds its key, see [auth.NewWallet].
type Wallet interface {
	Address() common.Address
	// SignText signs as personal_sign does (EIP-191): 65 bytes.
	SignText(text []byte) ([]byte, error)
	// SignTyped signs as eth_signTypedData_v4 does (EIP-712): 65 bytes. An [auth.Approval] can also give its TypedData.
	SignTyped(t interface{ Digest() ([32]byte, error) }) ([]byte, error)
}

// policyWithoutOne is the policy of an agent that has none of its own: reads pass, and so do calls of its sub-agents,
// since what those do is decided call by call; everything else asks the wallet.
func policyWithoutOne(delegates []string) []byte {
	asks := `class != "read"`
	for _, name := range delegates {
		asks += fmt.Sprintf(" && tool != %q", definition.AgentTool(name, "", nil).Name)
	}
	return fmt.Appendf(nil, `schema: writ/policies/1
name: reads-pass
rules:
  - {id: calls, at: tool.call, effect: permit}
  - {id: ask-effects, at: tool.call, effect: approve, when: '%s', ttl: 24h}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
  - {id: documents, at: retrieval, effect: permit}
`, asks)
}

// An Agent runs requests. Its methods may be called by many goroutines at once.
type Agent struct {
	runner *runner.Runner
	store  closingStore
	wallet Wallet
	key    ed25519.PublicKey // of the operator: signs heads
	name   string
	limits auth.Caveats

	delegates bool // a run that is running may wait for the wallet in a sub-agent's run
	approve   func(context.Context, Approval) (bool, error)
	session   *signedIn
}

// Open makes an agent, signs its wallet in, and takes up whatever an earlier process left open in the Store. The error
// names the field of c that is wrong. Close it when done.
func Open(ctx context.Context, c Config) (*Agent, error) {
	if c.Name == "" {
		c.Name = "agent"
	}
	config := runner.Config{Log: c.Log, Policy: runner.Policy{Name: c.Name, Source: c.Policy}}
	defined := definitions{config: &config}
	if err := defined.add(c); err != nil {
		return nil, fmt.Errorf("open agent: %w", err)
	}
	if c.Policy == nil {
		config.Policy.Source = policyWithoutOne(defined.delegates)
	}
	config.Owner = rand.Text()
	kept, err := openStore(ctx, c.Store, config.Owner)
	if err != nil {
		return nil, fmt.Errorf("open agent: Store: %w", err)
	}
	a := &Agent{store: kept.store, wallet: c.Wallet, name: c.Name, approve: c.Approve, delegates: len(c.Delegates) > 0}
	a.key = kept.operator.Public().(ed25519.PublicKey)
	if a.wallet == nil {
		a.wallet = kept.wallet
	}
	config.Store, config.Key, config.Wallets = kept.store, kept.operator, []common.Address{a.wallet.Address()}
	if a.runner, err = runner.New(ctx, config); err != nil {
		return nil, errors.Join(fmt.Errorf("open agent: %w", err), kept.store.Close())
	}
	a.limits = defined.limits
	a.session = &signedIn{agent: a}
	if _, err := a.runner.Resume(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open agent: %w", err), a.Close())
	}
	if _, err := a.session.current(ctx); err != nil { // a wrong Limits or Wallet is told now, not at the first request
		return nil, errors.Join(fmt.Errorf("open agent: %w", err), a.Close())
	}
	return a, nil
}

// Close stops the runs where they are, durable, waits for the goroutines and closes the Store.
func (a *Agent) Close() error {
	a.runner.Close()
	return a.store.Close()
}

// OperatorKey returns the public key that signs the heads of runs. Who checks a record elsewhere pins it.
func (a *Agent) OperatorKey() ed25519.PublicKey { return slices.Clone(a.key) }

// definitions collects an agent and those that it may call, with their tools and models, for a runner.
type definitions struct {
	config    *runner.Config
	delegates []string
	limits    auth.Caveats // of the agent that is asked
}

// add adds the agent that is asked and all below it.
func (d *definitions) add(c Config) error {
	if len(c.Tools) == 0 && len(c.Delegates) == 0 {
		return errors.New("at least one of Tools and Delegates is required")
	}
	if _, err := d.addOne(Delegate{
		Name: c.Name, Instructions: c.Instructions, Tools: c.Tools, Delegates: c.Delegates, Model: c.Model,
	}, limitsOrDefault(c.Limits)); err != nil {
		return err
	}
	d.limits = d.config.Agents[0].Grant // each agent is put before those that it calls
	return nil
}

// addOne adds one agent and returns how many levels of agents are below it.
func (d *definitions) addOne(x Delegate, limits auth.Caveats) (depth uint64, err error) {
	def := agentfile.Definition{
		Name: x.Name, Instructions: x.Instructions, Routes: []agentfile.Route{{ID: "only", Use: x.Name}}, Grant: limits,
	}
	if def.Instructions == "" {
		def.Instructions = "Answer with the tools that you have."
	}
	for _, t := range x.Tools {
		if b, bad := t.(badTool); bad {
			return 0, b.err
		}
		name := t.Spec().Name
		def.Tools = append(def.Tools, name)
		if !slices.ContainsFunc(d.config.Tools, func(o Tool) bool { return o.Spec().Name == name }) {
			d.config.Tools = append(d.config.Tools, t)
		}
	}
	for _, below := range x.Delegates {
		narrowed := limits
		narrowed.MaxCalls = below.MaxCalls
		if narrowed.MaxCalls == 0 {
			narrowed.MaxCalls = 10
		}
		levels, err := d.addOne(below, narrowed)
		if err != nil {
			return 0, fmt.Errorf("delegate %s: %w", below.Name, err)
		}
		depth = max(depth, levels+1)
		def.Delegates = append(def.Delegates,
			agentfile.Delegate{Agent: below.Name, About: below.About, Utterances: below.Utterances})
		d.delegates = append(d.delegates, below.Name)
	}
	def.Grant.MaxDepth = max(def.Grant.MaxDepth, depth)
	d.config.Models = append(d.config.Models, modelOf(x))
	d.config.Agents = append([]agentfile.Definition{def}, d.config.Agents...)
	return depth, nil
}

func modelOf(x Delegate) runner.NamedModel {
	if x.Model == nil {
		rules := planner.New()
		info := rules.Info()
		info.Name = x.Name
		return runner.NamedModel{Model: rules, Info: info}
	}
	return runner.NamedModel{Model: x.Model, Info: model.Info{
		Name: x.Name, Kind: model.KindModel, Provider: "own", Model: x.Name, MaxTokens: 4096,
	}}
}

// limitsOrDefault fills in the limits that are not set.
func limitsOrDefault(c auth.Caveats) auth.Caveats {
	if c.MaxCalls == 0 {
		c.MaxCalls = 1000
	}
	if c.MaxTokens == 0 {
		c.MaxTokens = 10_000_000
	}
	if c.MaxCostNanoUSD == 0 {
		c.MaxCostNanoUSD = 10_000_000_000
	}
	if len(c.Chains) == 0 {
		c.Chains = []uint64{loneChain}
	}
	return c
}

// closingStore is what the agent needs of a store: everything that the runner does, and its end.
type closingStore interface {
	journal.Store
	Close() error
}
