// Package runner runs agents: it performs what the loop decides, and makes everything durable first.
//
// A [Runner] is made from a [Config]: a [journal.Store], agents, tools, models, the operator's policy set. A wallet's
// grant becomes a [journal.Session]; a signed request in that session becomes a run ([Runner.Start]). Each run is one
// goroutine while it has something to do: it takes events in, lets agent/loop decide, commits the step with its blocks
// and reservations in one transaction, and only then performs the step's effects, whose answers come back as events. A
// run that waits for the wallet holds no goroutine; [Runner.Decide] wakes it, over any socket, after any restart.
//
// Nothing is kept beside the journal. After a crash [Runner.Resume] reads the steps again, arrives at the same state,
// and performs the effects that have no answer yet, each in the way that its class allows: a read again, a chain
// transaction by broadcasting the same bytes, and an effect that must not be repeated not at all.
package runner

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/background"
	"github.com/writ-run/writ/internal/chainwatch"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/fleet"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/keylock"
	"github.com/writ-run/writ/internal/news"
	"github.com/writ-run/writ/internal/reuse"
	"github.com/writ-run/writ/internal/talks"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
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
	// Endpoint is where it answers, for models that share one to be out of reach together; it is not recorded. Alone if
	// empty.
	Endpoint string
}

// Config says what a [Runner] is made of.
type Config struct {
	Store  journal.Store          // required
	Agents []agentfile.Definition // required, at least one
	Tools  []tools.Tool           // those that the agents name, at least
	Models []NamedModel           // required, at least one
	Policy Policy                 // required: the operator's policy set
	Dapps  []Dapp                 // policy sets of dApps; optional
	// Wallets may open sessions and start runs; anybody may if there are none. Agents spend their own account's money,
	// so with a key of worth either this or the policy set must say whose word counts.
	Wallets []common.Address
	// ContractWallets are those of Wallets that are contracts, by CAIP-10 ("eip155:8453:0x..."): a contract's address
	// may be somebody else's on another chain, so it is let in with its chain only. If Wallets is empty and this is
	// not, only these may.
	ContractWallets []string
	Contracts       auth.Contracts // asks their chains; without it they do not sign in

	Key     ed25519.PrivateKey // required: signs heads
	HeadLog Log                // takes the heads in; they stay in the store alone if nil
	Version string             // of the program; "dev" if empty
	Build   string             // digest or revision of it; "unknown" if empty

	Log          *slog.Logger     // logs nothing if nil
	Now          func() time.Time // time.Now if nil
	Rand         io.Reader        // crypto/rand if nil: nonces of runs; read by many goroutines at once
	Owner        string           // names this process among those of one store, as its holder; by chance if empty
	Idle         time.Duration    // for which a session may go unused before its key signs nothing more; 15 min if 0
	ModelTimeout time.Duration    // 2 min if 0
	Reuse        time.Duration    // for which an answer may be given again to the same prompt of a session; never if 0
	ToolTimeout  time.Duration    // 30 s if 0
	SendTimeout  time.Duration    // 2 min if 0: for a transaction's inclusion; then it is in doubt
	LookPause    time.Duration    // 4 s if 0: between two looks at a transaction that waits for the chain, at most
	// A transaction that has been what its account waits for so long, and that the blocks since then have left out, is
	// stuck: 1 min if 0. If Raise is set it is replaced by one with higher fees; else, or if that would be too dear, it
	// is told, and an operator replaces or cancels it.
	StuckAfter time.Duration
	Raise      bool
	Failed     func(at fault.Edge, code fault.Code) // hears of each failure of what a run asked, to count; optional
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
	*parts
	talks.Desk
	*reports
	*sends
	rules  *rulebook
	porter *talks.Porter
	runs   *runs
}

// The parts of a Runner each have their own state and lock, or never change.
type parts struct {
	cfg      Config
	log      *slog.Logger
	catalog  *catalog
	records  *records
	machines *machines
	fleet    *fleet.Fleet
	reuse    *reuse.Cache // nil if no answer is given again
	said     *talks.Memory
	news     *news.Board
	wallets  *contractWallets
	accounts *keylock.Locks
	watch    *chainwatch.Watch
	// background owns the goroutines that no caller waits for; there is no other in this package but those of a run's
	// effects, which its actor waits for, and a question to one wallet's chain, which the round of them waits for.
	background *background.Group
}

// New returns a Runner, or an error that names what is wrong with the config. It stores the records that runs will
// refer to and starts nothing: call [Runner.Resume] for the runs that a crash or a stop left open.
func New(ctx context.Context, c Config) (*Runner, error) {
	if err := c.checkRequired(); err != nil {
		return nil, fmt.Errorf("make a runner: %w", err)
	}
	setDefaults(&c)
	catalog, blocks, err := makeCatalog(&c)
	if err != nil {
		return nil, fmt.Errorf("make a runner: %w", err)
	}
	rules := &rulebook{types: catalog.types, today: slices.ContainsFunc(c.Agents, agentfile.Definition.AsksOfToday)}
	ruling, sets, err := rules.compileSets(c.Policy, c.Dapps)
	if err != nil {
		return nil, fmt.Errorf("make a runner: %w", err)
	}
	rules.current.Store(ruling)
	if err := c.Store.PutBlocks(ctx, append(blocks, sets...), nil); err != nil {
		return nil, fmt.Errorf("make a runner: %w", err)
	}
	r := &Runner{parts: newParts(ctx, c, catalog), rules: rules}
	r.Desk = talks.Desk{Store: c.Store}
	r.porter = &talks.Porter{
		Desk: r.Desk, News: r.news, Background: r.background, Closed: ErrClosed, Lines: talks.NewLines(),
	}
	r.runs = newRuns(r.parts)
	r.reports = &reports{r.runs}
	r.sends = &sends{r.runs}
	r.watch = chainwatch.New(chainwatch.Config{
		Now: c.Now, Log: c.Log, Pause: c.LookPause, StuckAfter: c.StuckAfter, Raise: c.Raise, Start: r.background.Start,
		Deliver: r.runs.deliverSeen,
	})
	r.wallets.endSession = r.RevokeAsOperator
	return r, nil
}

func (c *Config) checkRequired() error {
	switch {
	case c.Store == nil:
		return errors.New("a Store is required")
	case len(c.Agents) == 0:
		return errors.New("at least one agent is required")
	case len(c.Models) == 0:
		return errors.New("at least one model is required")
	case len(c.Policy.Source) == 0:
		return errors.New("Policy is required")
	case len(c.Key) != ed25519.PrivateKeySize:
		return errors.New("Key must be an Ed25519 private key")
	}
	return nil
}

func newParts(ctx context.Context, c Config, catalog *catalog) *parts {
	p := &parts{
		cfg: c, log: c.Log, catalog: catalog,
		records:    &records{store: c.Store, leafKey: c.LeafKey},
		fleet:      newFleet(c),
		said:       talks.NewMemory(),
		news:       news.New(),
		accounts:   new(keylock.Locks),
		background: background.New(ctx, ErrClosed),
	}
	p.machines = newMachines(p.records)
	if c.Reuse > 0 {
		p.reuse = reuse.New(c.Now, c.Reuse)
	}
	p.wallets = &contractWallets{
		chains: c.Contracts, records: p.records, background: p.background, log: c.Log, now: c.Now,
		sessions: map[provenance.Link]recheck{},
	}
	return p
}

func setDefaults(c *Config) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Failed == nil {
		c.Failed = func(fault.Edge, fault.Code) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.LeafKey == nil {
		c.LeafKey = func(provenance.Link, uint64, int) (k provenance.LeafKey) {
			rand.Read(k[:]) // never fails: it ends the program rather than give weak bytes
			return k
		}
	}
	c.Version = cmp.Or(c.Version, "dev")
	c.Build = cmp.Or(c.Build, "unknown")
	c.Owner = cmp.Or(c.Owner, processName())
	c.Idle = cmp.Or(c.Idle, 15*time.Minute)
	c.ModelTimeout = cmp.Or(c.ModelTimeout, 2*time.Minute)
	c.ToolTimeout = cmp.Or(c.ToolTimeout, 30*time.Second)
	c.LookPause = cmp.Or(c.LookPause, 4*time.Second)
	c.StuckAfter = cmp.Or(c.StuckAfter, time.Minute)
	c.SendTimeout = cmp.Or(c.SendTimeout, 2*time.Minute)
}

// newFleet returns the fleet of a Runner's models, of which nothing is known yet.
func newFleet(c Config) *fleet.Fleet {
	var models []fleet.Model
	for _, m := range c.Models {
		models = append(models, fleet.Model{Name: m.Info.Name, Endpoint: m.Endpoint, Asked: m.Info.Model})
	}
	return fleet.New(c.Now, models)
}

// processName is the owner of runs in a process that has not named itself: one name for all of its Runners, so that one
// takes up what another has left.
var processName = sync.OnceValue(rand.Text)

// publicKey returns the public key that heads are signed with.
func (p *parts) publicKey() ed25519.PublicKey { return publicKey(p.cfg.Key) }

func publicKey(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// Key returns the public key that heads are signed with. An auditor pins it.
func (r *Runner) Key() ed25519.PublicKey { return r.publicKey() }

// Follow tells of news of a run: its steps as they are committed, a hint for each that is not told, and a model's text
// as it comes; see [news.Board.Follow]. A hint may stand for several steps; read [Runner.Steps]. To miss nothing,
// follow first and read the journal after. stop ends it.
func (r *Runner) Follow(run provenance.Link) (
	steps <-chan news.Step, hints <-chan struct{}, pieces <-chan news.Piece, stop func()) {
	return r.news.Follow(run)
}

// Watch returns what looks at the transactions that runs wait for.
func (r *Runner) Watch() *chainwatch.Watch { return r.watch }

// Epoch names the store's incarnation.
func (r *Runner) Epoch(ctx context.Context) (string, error) { return r.cfg.Store.Epoch(ctx) }

// Drain ends a Runner in good order: it takes no new run ([ErrClosed]) and begins nothing new, but waits until ctx ends
// for the effects that are under way, so that their answers are in the journal and nothing is in doubt. Only calls that
// must not be repeated, once decided, are still made: left open, they would be in doubt too. Then it closes. The error
// says how many runs were cut short.
func (r *Runner) Drain(ctx context.Context) error {
	r.background.Drain()
	cut := r.runs.waitUntilIdle(ctx)
	r.Close()
	if cut > 0 {
		return fmt.Errorf("%d runs had effects under way when the time to drain was over: %w", cut, context.Cause(ctx))
	}
	return nil
}

// Close stops every run where it is, durable, and waits for the goroutines. An answer that is in hand all the same goes
// into the journal. Runs go on with [Runner.Resume], in this process or another.
func (r *Runner) Close() {
	r.background.Drain()
	r.background.Stop()
	r.runs.stopTimers()
	r.background.Wait()
}
