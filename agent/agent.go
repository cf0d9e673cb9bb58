// Package agent runs agents: it performs what the loop decides, and makes everything durable first.
//
// A [Runner] is made from a [Config]: a [Store], agents, tools, models, the operator's policy set. A wallet's grant
// becomes a [Session]; a signed request in that session becomes a run ([Runner.Start]). Each run is one goroutine
// while it has something to do: it takes events in, lets agent/loop decide, commits the step with its blocks and
// reservations in one transaction, and only then performs the step's effects, whose answers come back as events. A
// run that waits for the wallet holds no goroutine; [Runner.Decide] wakes it, over any socket, after any restart.
//
// Nothing is kept beside the journal. After a crash [Runner.Resume] reads the steps again, arrives at the same state,
// and performs the effects that have no answer yet, each in the way that its class allows: a read again, a chain
// transaction by broadcasting the same bytes, and an effect that must not be repeated not at all.
package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A Model answers prompts. The loop needs nothing else of a provider.
type Model interface {
	// Reply answers p, whole, or fails. An error with a method Code() string tells the record why, in a short code.
	Reply(ctx context.Context, p model.Prompt) (model.Reply, error)
}

// A Streamer is a Model that can show its text as it comes. delta is called in order and must not be kept.
type Streamer interface {
	Model
	Stream(ctx context.Context, p model.Prompt, delta func(text string)) (model.Reply, error)
}

// A NamedModel is a model with what is recorded of it. Info.Name is what routes call it.
type NamedModel struct {
	Info  model.Info
	Model Model
}

// Config says what a [Runner] is made of.
type Config struct {
	Store  Store        // required
	Agents []Definition // required, at least one
	Tools  []tools.Tool // those that the agents name, at least
	Models []NamedModel // required, at least one
	Policy Policy       // required: the operator's policy set
	Dapps  []Dapp       // policy sets of dApps; optional
	// Wallets may open sessions and start runs; anybody may if there are none. Agents spend their own account's money,
	// so with a key of worth either this or the policy set must say whose word counts.
	Wallets []common.Address
	// ContractWallets are those of Wallets that are contracts, by CAIP-10 ("eip155:8453:0x..."): a contract's address
	// may be somebody else's on another chain, so it is let in with its chain only. If Wallets is empty and this is not,
	// only these may.
	ContractWallets []string
	Contracts       auth.Contracts // asks their chains; without it they do not sign in

	Key     ed25519.PrivateKey // required: signs heads
	HeadLog Log                // takes the heads in; they stay in the store alone if nil
	Version string             // of the program; "dev" if empty
	Build   string             // digest or revision of it; "unknown" if empty

	Log          *slog.Logger     // logs nothing if nil
	Now          func() time.Time // time.Now if nil
	Rand         io.Reader        // crypto/rand if nil: nonces of runs; read by many goroutines at once
	Owner        string           // names this process among those of one store; "local" if empty
	Idle         time.Duration    // for which a session may go unused before its key signs nothing more; 15 min if 0
	ModelTimeout time.Duration    // 2 min if 0
	ToolTimeout  time.Duration    // 30 s if 0
	SendTimeout  time.Duration    // 2 min if 0: for a transaction's inclusion; then it is in doubt
	// LeafKey gives the key of the i-th new leaf of a step. Chance if nil; tests fix it so that two runs of the
	// same events have the same CIDs.
	LeafKey func(run provenance.Link, seq uint64, i int) provenance.LeafKey
}

// A Policy is a policy set in source.
type Policy struct {
	Name   string
	Source []byte // YAML

	// File reads a file that the source names, such as a long set; it is asked once. If nil, there are none.
	File func(name string) ([]byte, error)
}

// A Runner runs agents. Its methods may be called by many goroutines at once.
type Runner struct {
	cfg    Config
	log    *slog.Logger
	agents map[string]AgentInfo
	tools  map[string]provenance.Link // by name, the record of the tool as it is now
	impls  map[string]tools.Tool
	models map[string]NamedModel

	types     []policies.ToolType // of all tools, agents' included
	rules     atomic.Pointer[ruling]
	reloading sync.RWMutex // held to change rules, and to store a session under them
	runtime   provenance.Link

	ctx    context.Context // ends with Close; the Runner owns every goroutine under it
	cancel context.CancelFunc
	wg     sync.WaitGroup
	prove  func(...*policies.Set) error // prove, but for tests

	mu       sync.Mutex // guards the rest
	closed   bool
	live     map[provenance.Link]*actor
	locks    map[provenance.Link]*runLock    // of runs that are being taken up
	timers   map[provenance.Link]*time.Timer // of parked runs
	machines map[provenance.Link]*loop.Machine
	asked    map[provenance.Link]bool // pinned policy sets that were proven
	watchers map[provenance.Link]map[*watcher]struct{}
	accounts map[string]*sync.Mutex      // chain accounts: one signs at a time
	pulses   map[string]pulse            // of the models
	watching map[provenance.Link]watched // sessions of contract wallets
	sweeping bool                        // they are being asked about
}

// maxMachines bounds the compiled machines that are kept; when there are more, all are dropped and compiled again.
const maxMachines = 1024

// New returns a Runner, or an error that names what is wrong with the config. It stores the records that runs will
// refer to and starts nothing: call [Runner.Resume] for the runs that a crash or a stop left open.
func New(ctx context.Context, c Config) (*Runner, error) {
	switch {
	case c.Store == nil:
		return nil, errors.New("make a runner: Store is required")
	case len(c.Agents) == 0:
		return nil, errors.New("make a runner: at least one agent is required")
	case len(c.Models) == 0:
		return nil, errors.New("make a runner: at least one model is required")
	case len(c.Policy.Source) == 0:
		return nil, errors.New("make a runner: Policy is required")
	case len(c.Key) != ed25519.PrivateKeySize:
		return nil, errors.New("make a runner: Key must be an Ed25519 private key")
	}
	setDefaults(&c)
	r := &Runner{
		cfg: c, log: c.Log,
		agents: map[string]AgentInfo{}, tools: map[string]provenance.Link{}, impls: map[string]tools.Tool{},
		models: map[string]NamedModel{}, live: map[provenance.Link]*actor{}, timers: map[provenance.Link]*time.Timer{},
		locks: map[provenance.Link]*runLock{}, machines: map[provenance.Link]*loop.Machine{}, asked: map[provenance.Link]bool{}, prove: prove, watchers: map[provenance.Link]map[*watcher]struct{}{},
		accounts: map[string]*sync.Mutex{}, pulses: map[string]pulse{},
	}
	blocks, err := r.records()
	if err != nil {
		return nil, fmt.Errorf("make a runner: %w", err)
	}
	if err := c.Store.PutBlocks(ctx, blocks, nil); err != nil {
		return nil, fmt.Errorf("make a runner: %w", err)
	}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return r, nil
}

func setDefaults(c *Config) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.Build == "" {
		c.Build = "unknown"
	}
	if c.Owner == "" {
		c.Owner = "local"
	}
	if c.Idle == 0 {
		c.Idle = 15 * time.Minute
	}
	if c.ModelTimeout == 0 {
		c.ModelTimeout = 2 * time.Minute
	}
	if c.ToolTimeout == 0 {
		c.ToolTimeout = 30 * time.Second
	}
	if c.SendTimeout == 0 {
		c.SendTimeout = 2 * time.Minute
	}
	if c.LeafKey == nil {
		c.LeafKey = func(provenance.Link, uint64, int) (k provenance.LeafKey) {
			rand.Read(k[:]) // never fails: it ends the program rather than give weak bytes
			return k
		}
	}
}

// records makes the records of the tools, agents, rules and the runtime, and checks each by compiling it.
func (r *Runner) records() ([]provenance.Block, error) {
	var blocks []provenance.Block
	put := func(rec provenance.Record) (provenance.Link, error) {
		b, err := provenance.Encode(rec)
		if err == nil {
			blocks = append(blocks, b)
		}
		return b.CID, err
	}
	var types []policies.ToolType
	for _, t := range r.cfg.Tools {
		spec := t.Spec()
		def, err := tools.Compile(spec)
		if err != nil {
			return nil, fmt.Errorf("tool %q: %w", spec.Name, err)
		}
		if _, ok := t.(tools.Chain); ok != (spec.Class == tools.ChainTx) {
			return nil, fmt.Errorf("tool %s: class %s and its methods do not fit", spec.Name, spec.Class)
		}
		if r.impls[spec.Name] != nil {
			return nil, fmt.Errorf("tool %s is there twice", spec.Name)
		}
		rec, book, err := loop.RecordOf(spec)
		if err != nil {
			return nil, err
		}
		if book != nil {
			blocks = append(blocks, *book)
		}
		link, err := put(rec)
		if err != nil {
			return nil, fmt.Errorf("tool %s: %w", spec.Name, err)
		}
		r.tools[spec.Name], r.impls[spec.Name] = link, t
		tt := policies.ToolType{Name: spec.Name}
		for _, p := range def.Params() {
			tt.Params = append(tt.Params, policies.Param{Name: p.Name, Kind: policies.ArgKind(p.Kind)})
		}
		types = append(types, tt)
	}
	for _, d := range r.cfg.Agents {
		for _, x := range d.Delegates {
			name := loop.AgentTool(x.Agent, "", nil).Name
			if !slices.ContainsFunc(types, func(t policies.ToolType) bool { return t.Name == name }) {
				types = append(types, policies.ToolType{Name: name, Params: []policies.Param{{Name: "input", Kind: policies.ArgKind(tools.KindString)}}})
			}
		}
	}
	runtime := &provenance.Runtime{
		Version: r.cfg.Version, Build: r.cfg.Build, Key: r.cfg.Key.Public().(ed25519.PublicKey),
	}
	for _, m := range r.cfg.Models {
		i := m.Info
		if i.Name == "" || m.Model == nil || i.MaxTokens <= 0 || i.PriceIn < 0 || i.PriceOut < 0 {
			return nil, fmt.Errorf("model %q needs a name, an implementation, MaxTokens above zero and prices", i.Name)
		}
		if _, there := r.models[i.Name]; there {
			return nil, fmt.Errorf("model %q is there twice", i.Name)
		}
		r.models[i.Name] = m
		runtime.Models = append(runtime.Models, provenance.ModelInfo{
			Name: i.Name, Kind: string(i.Kind), Provider: i.Provider, Model: i.Model,
			PriceIn: i.PriceIn, PriceOut: i.PriceOut, MaxTokens: i.MaxTokens,
		})
	}
	var err error
	if r.runtime, err = put(runtime); err != nil {
		return nil, fmt.Errorf("runtime: %w", err)
	}
	r.types = types
	rules, sets, err := r.compile(r.cfg.Policy, r.cfg.Dapps)
	if err != nil {
		return nil, err
	}
	r.rules.Store(rules)
	blocks = append(blocks, sets...)
	for i, d := range r.cfg.Agents {
		if slices.ContainsFunc(r.cfg.Agents[:i], func(o Definition) bool { return o.Name == d.Name }) {
			return nil, fmt.Errorf("agent %q is there twice", d.Name)
		}
		for _, route := range d.Routes {
			if _, err := policies.CompileRoute(or(route.When, "true")); err != nil {
				return nil, fmt.Errorf("agent %q: route %q: %w", d.Name, route.ID, err)
			}
		}
		if _, err := r.agentRecord(d, put, nil); err != nil {
			return nil, err
		}
	}
	return blocks, nil
}

// Key returns the public key that heads are signed with. An auditor pins it.
func (r *Runner) Key() ed25519.PublicKey { return r.cfg.Key.Public().(ed25519.PublicKey) }

// Epoch names the store's incarnation.
func (r *Runner) Epoch(ctx context.Context) (string, error) { return r.cfg.Store.Epoch(ctx) }

// Close stops every run where it is, durable, and waits for the goroutines. Runs go on with [Runner.Resume], in this
// process or another.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	for _, t := range r.timers {
		t.Stop()
	}
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}
