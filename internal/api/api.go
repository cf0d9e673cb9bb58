// Package api is what a caller may do: every method of agent/wire, without a socket.
//
// A transport makes a [Caller] for each of its connections, hands each request to [API.Begin] in the order in which it
// came, performs the [Call] that it gets back with [Call.Run] and sends the [Answer]. Who asks, what that caller may do
// and see, how much it may have under way, and what an error is called is decided here, the same for every transport.
// How bytes arrive, who may connect and how fast, and when a connection ends is the transport's.
//
// A method that acts is signed by the session key, over the caller's channel and the next number of it, and its session
// is read again from the store each time. What run.subscribe answers comes with a [Stream]: the transport pulls durable
// events out of it as fast as its client takes them, so a slow client costs nothing here.
package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/costs"
	"github.com/writ-run/writ/internal/digest"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/news"
	"github.com/writ-run/writ/internal/quota"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A Runner runs agents. *runner.Runner is one. Its methods may be called by many goroutines at once.
type Runner interface {
	OpenSession(ctx context.Context, g *auth.Grant) (journal.Session, error)
	Session(ctx context.Context, id provenance.Link) (journal.Session, error)
	Sessions(ctx context.Context, of journal.Session) ([]journal.Session, error)
	Revoke(ctx context.Context, q runner.RevokeRequest) error
	// Use is Session for one who acts: it notes the time, and fails if the session may not act any more.
	Use(ctx context.Context, id provenance.Link) (journal.Session, error)
	// Idle is how long a session may go unused.
	Idle() time.Duration

	Start(ctx context.Context, q runner.StartRequest) (journal.RunInfo, error)
	// Send brings into a run what its user says, and returns the step that records it.
	Send(ctx context.Context, q runner.SendRequest) (seq uint64, err error)
	Cancel(ctx context.Context, run provenance.Link) error
	Report(ctx context.Context, run provenance.Link, call provenance.Ref, output []byte, failed bool) error
	Run(ctx context.Context, id provenance.Link) (journal.RunInfo, error)
	// Steps returns at most limit steps from seq from on, in order.
	Steps(ctx context.Context, run provenance.Link, from uint64, limit int) ([]runner.StepView, error)
	// Follow returns channels that get a run's steps as they are committed, a value when it may have others, and text as a
	// model writes it. Each may lose values, and for a step that is lost there is a hint. stop ends them.
	Follow(run provenance.Link) (
		steps <-chan news.Step, hints <-chan struct{}, pieces <-chan news.Piece, stop func())

	ThreadKeeper

	Approvals(ctx context.Context, of journal.Session) ([]runner.PendingApproval, error)
	Lineage(ctx context.Context, run provenance.Link) (runner.Lineage, error)
	Decide(ctx context.Context, d runner.ApprovalDecision) error

	// AgentsFor lists the agents with the rules that sessions for pages of this origin get.
	AgentsFor(origin string) []runner.AgentInfo
	// Keys returns the keys of a run's sealed leaves, as far as they were not erased.
	Keys(ctx context.Context, run provenance.Link) (map[provenance.Link]provenance.LeafKey, error)
	// Epoch names the store's incarnation.
	Epoch(ctx context.Context) (string, error)
}

// An Archive knows what an owner asks of what was. digest.Desk is one.
type Archive interface {
	// RunsBefore lists the runs of a session's account, newest first, that come after the run before; all of them if it is
	// undefined.
	RunsBefore(ctx context.Context, of journal.Session, before provenance.Link, limit int) ([]journal.RunInfo, error)
	// Digest says what a run came to, Uses what a session has used, Payees whom its owner's runs have paid. They are for
	// the owner only.
	Digest(ctx context.Context, info journal.RunInfo) (digest.Run, error)
	Uses(ctx context.Context, s journal.Session) (*auth.Grant, []digest.Use, error)
	Payees(ctx context.Context, of journal.Session) (digest.Payees, error)
	NameDevice(ctx context.Context, session provenance.Link, device string) error
}

// A HeadLog is the transparency log of heads, as callers see it. *translog.Log is one.
type HeadLog interface {
	VKey() string // its name and public key
	// Receipt returns the receipt of a run's newest head, or journal.ErrNotFound; Await waits for it until ctx ends.
	Receipt(ctx context.Context, run provenance.Link) (journal.Receipt, error)
	Await(ctx context.Context, run provenance.Link) (journal.Receipt, error)
	// Watch returns a channel that gets each new receipt of a run. stop ends it.
	Watch(run provenance.Link) (receipts <-chan journal.Receipt, stop func())
}

// Config says what an [API] is made of.
type Config struct {
	Runner  Runner  // required
	Archive Archive // required
	Files   Shelf   // keeps files that requests attach; none are taken if nil
	// Wallets are the users' own, which runs ask to send transactions; nothing is asked of any if nil.
	Wallets Wallets
	// Mandates are delegations by which wallets' accounts pay; none are taken if nil.
	Mandates Mandates
	HeadLog  HeadLog    // gives receipts; there are none if nil
	Desk     *auth.Desk // required: gives out messages to sign and takes them back
	// Dapps are the desks of origins whose pages ask for signatures in their own name, by origin in lower case. The
	// pages of all others, and clients that are no pages, ask at Desk.
	Dapps   map[string]*auth.Desk
	Version string       // of the program; "dev" if empty
	Log     *slog.Logger // logs nothing if nil
	Limits  Limits       // the defaults where zero
	// Quota counts what wallets and addresses take; nothing is counted if nil.
	Quota *quota.Book
	// Costs is what usage.get adds up; there is none if nil.
	Costs costs.Store
}

// Limits bound what one caller can cost.
type Limits struct {
	Calls         int           // under way at once; 32
	Subscriptions int           // at once; 100
	Page          int           // steps that a stream reads at once; 256
	Poll          time.Duration // after which a stream looks without a hint; 10 s
	Act           time.Duration // that an acting call may take after its connection is gone; 30 s
	Receipt       time.Duration // that a stream waits for the closing head's receipt; 10 s
}

func (l *Limits) fillDefaults() {
	setDefault(&l.Calls, 32)
	setDefault(&l.Subscriptions, 100)
	setDefault(&l.Page, 256)
	setDefault(&l.Poll, 10*time.Second)
	setDefault(&l.Act, 30*time.Second)
	setDefault(&l.Receipt, 10*time.Second)
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// An API answers calls. Make one with [New]; its methods may be called by many goroutines at once.
type API struct {
	cfg     Config
	log     *slog.Logger
	methods map[string]method
	openrpc json.RawMessage

	mu      sync.Mutex
	callers map[*Caller]struct{} // guarded by mu
}

// New returns an API, or an error that names the first field that is wrong.
func New(cfg Config) (*API, error) {
	switch {
	case cfg.Runner == nil:
		return nil, errors.New("api: Runner is missing")
	case cfg.Archive == nil:
		return nil, errors.New("api: Archive is missing")
	case cfg.Desk == nil:
		return nil, errors.New("api: Desk is missing")
	case slices.Contains(slices.Collect(maps.Values(cfg.Dapps)), nil):
		return nil, errors.New("api: a desk of Dapps is missing")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	cfg.Limits.fillDefaults()
	return &API{
		cfg: cfg, log: cfg.Log, methods: buildMethods(), openrpc: wire.OpenRPC(cfg.Version), callers: map[*Caller]struct{}{},
	}, nil
}

// Dapps lists the origins that have desks of their own, sorted.
func (a *API) Dapps() []string { return slices.Sorted(maps.Keys(a.cfg.Dapps)) }

// HasMethod says whether there is a method of that name.
func (a *API) HasMethod(name string) bool {
	_, ok := a.methods[name]
	return ok
}

// Session reads a session as it stands now.
func (a *API) Session(ctx context.Context, id provenance.Link) (journal.Session, error) {
	return a.cfg.Runner.Session(ctx, id)
}

// Hello returns what the first frame of a connection says: the caller's channel, and what serves it.
func (a *API) Hello(ctx context.Context, c *Caller) (wire.Hello, error) {
	epoch, err := a.cfg.Runner.Epoch(ctx)
	return wire.Hello{
		Channel: hex.EncodeToString(c.channel[:]), Server: "writ", Version: a.cfg.Version, Epoch: epoch,
	}, err
}

// A method is what a request's name stands for.
type method struct {
	access wire.Access
	run    func(context.Context, *Call) (any, error)
}

// buildMethods returns what runs each of wire.Methods.
func buildMethods() map[string]method {
	runs := map[string]func(context.Context, *Call) (any, error){
		wire.Ping:            withParams((*Call).answerPing),
		wire.Greet:           withParams((*Call).sayHello),
		wire.Discover:        withParams((*Call).describeProtocol),
		wire.AgentList:       withParams((*Call).listAgents),
		wire.SessionAsk:      withParams((*Call).giveChallenge),
		wire.SessionOpen:     withParams((*Call).openSession),
		wire.SessionRenew:    withParams((*Call).renewSession),
		wire.SessionRevoke:   withParams((*Call).revokeSession),
		wire.SessionList:     withParams((*Call).listSessions),
		wire.RunStart:        withParams((*Call).startRun),
		wire.RunFork:         withParams(forkRun),
		wire.RunGet:          withParams((*Call).getRun),
		wire.RunList:         withParams((*Call).listRuns),
		wire.RunSend:         withParams(sendIntoRun),
		wire.BlobPut:         withParams(putBlob),
		wire.RunCancel:       withParams((*Call).cancelRun),
		wire.ToolSent:        withParams(reportCall),
		wire.RunSubscribe:    withParams((*Call).subscribe),
		wire.RunUnsubscribe:  withParams((*Call).unsubscribe),
		wire.RunAck:          withParams((*Call).acknowledge),
		wire.ThreadList:      onThreads(threadCall.listThreads),
		wire.ThreadGet:       onThreads(threadCall.getThread),
		wire.ThreadRename:    onThreads(threadCall.renameThread),
		wire.ThreadDelete:    onThreads(threadCall.forgetThread),
		wire.ApprovalList:    withParams((*Call).listApprovals),
		wire.ApprovalDecide:  withParams((*Call).decideApproval),
		wire.WalletList:      withParams(listWalletCalls),
		wire.WalletSent:      withParams(noteSent),
		wire.MandateAskFor:   withParams(askMandate),
		wire.MandatePut:      withParams(putMandate),
		wire.MandateList:     withParams(listMandates),
		wire.MandateForget:   withParams(forgetMandate),
		wire.ProvenanceFetch: withParams((*Call).locateRecord),
		wire.UsageGet:        withParams(getUsage),
	}
	all := map[string]method{}
	for _, m := range wire.Methods() {
		all[m.Name] = method{m.Access, runs[m.Name]}
	}
	return all
}

// withParams makes a function that reads its params strictly first.
func withParams[P any](run func(*Call, context.Context, P) (any, error)) func(context.Context, *Call) (any, error) {
	return func(ctx context.Context, c *Call) (any, error) {
		var p P
		raw := c.req.Params
		if raw == nil {
			raw = []byte("{}")
		}
		if err := wire.DecodeStrict(raw, &p); err != nil {
			return nil, err
		}
		return run(c, ctx, p)
	}
}
