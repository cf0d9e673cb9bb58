// Package node is one server process as a value: the store, the log, the chain's tools, the agents, the socket and
// everything beside them. [Open] composes it, [Node.Run] serves, [Node.Reload] changes its policy sets, [Node.Close]
// ends it. [Configure] makes the [Config] of a configuration file; cmd/writ adds flags and words.
//
// A node has parts. They are opened from the first to the last, and closed from the last to the first; if one does not
// open, those before it are closed in the same order. Each part ends the goroutines that it has started:
//
//	part         it is                                    its goroutines
//	folder       the data folder's lock and operator key  none
//	store        the journal, its damaged ends cut off    one writer, one that renews its owner's row
//	log          the transparency log, the key bound      one that fills the tree, one that publishes checkpoints
//	anchors      the log's checkpoints on a chain         one that sends, if a chain is named
//	chain        endpoints of tools and contract wallets  none that outlive a question
//	tools        servers of tools, and their processes     one that looks at each at first; those of connections
//	library      documents that agents search              one that has vectors made, if there is who makes them
//	files        what was put here to be attached         none
//	mandates     delegations of users' accounts           none
//	index        events of contracts, as they are asked     one that follows the chain, if contracts are named
//	runner       agents, tools, models, policy sets       those of its background.Group; Run closes it before the sockets
//	reversals    payments that were final                 one that looks, if agents pay and blocks are not at once final
//	mirror       IPFS: bitswap, and pushes to Kubo        those of libp2p and one that pushes, if they are named
//	server       what answers requests; not yet heard     those of connections, all within Run
//	metrics      figures, on an address of their own      one that serves them, if an address is named
//	follow       places that documents are made of        one for each, if they are named
//	retention    payloads that are past their time        one that erases, if payloads have a time
//	notices      webhooks for what waits for wallets      one that looks, one for each webhook, if one is named
//
// Run has no goroutine of its own when it returns. [Node.ReloadOn] blocks: who calls it owns its goroutine.
package node

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/blobs"
	"github.com/writ-run/writ/internal/collect"
	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/internal/mandates"
	"github.com/writ-run/writ/internal/notice"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/server"
	"github.com/writ-run/writ/provenance/translog"
	"github.com/writ-run/writ/tools"
)

// A Config says what a node is made of. Every field is required unless it says otherwise.
type Config struct {
	Data    string           // folder of the journal and the operator's key
	Scheme  string           // with Domain, the origin for which wallets sign
	Domain  string           //
	Origins []string         // of web pages that may connect; optional
	Hosts   []string         // by which clients call the server; optional
	Wallets []common.Address // that may sign in; anybody if there are none, and no contracts
	// Contracts are the contract wallets that may sign in, by CAIP-10; as Wallets.
	Contracts []string

	Chain        Chain
	WalletChains []eth.Chain // where else contract wallets are; optional
	IPFS         IPFS        // optional
	Heads        HeadLog     // optional
	Anchor       Anchor      // optional

	Agents  []agentfile.Definition
	Tools   []tools.Tool // besides those of the chain; optional
	Library Library      // optional
	// Webhooks are told what waits for wallets.
	Webhooks []notice.Target
	// ToolServers are those of Tools; the node ends them.
	ToolServers []ToolServer
	Models      []runner.NamedModel
	Reuse       time.Duration // for which answers of models are given again; never if 0
	Earnings    Earnings      // what users pay, and what is told of the margin
	Rules       runner.Rules
	Reread      func() (runner.Rules, error) // reads Rules anew, for a reload
	// Restart lists the settings that are not as at the start, and that a reload does not take; optional.
	Restart func() []string

	Limits    server.Limits        // optional
	Quota     Quota                // optional: no limits where zero
	Proxies   server.Proxies       // in front of the server; optional
	Metrics   string               // address on which figures are served to anybody; to this machine only if empty
	Idle      time.Duration        // for which a session may go unused; optional
	Drain     time.Duration        // that effects under way may take at the end; 30 s if 0
	Retention time.Duration        // after which payloads of ended runs are erased; never if 0
	Program   Program              // what runs
	Log       *slog.Logger         //
	Meters    *prometheus.Registry // optional
}

// Library says whether agents may search the documents of the data folder, and who makes vectors of them.
type Library struct {
	On    bool
	Embed library.Embedder // nil for none
	Place string           // of an index elsewhere, to tell it from another
	Index library.Opener   // of that index; nil for none
	// Follow are the places of which collections are made, while the node is open.
	Follow []collect.Followed
}

// A Program says which build of writ runs.
type Program struct{ Version, Build string }

// A Chain is the one that tools read and write.
type Chain struct {
	URLs   []string
	Book   *tools.Book
	Key    *ecdsa.PrivateKey // of the agents' account; without it they only read
	Quorum int               // of URLs, about contract wallets; optional
	Final  string            // when a block counts for good, as tools.ParseFinality reads it; at once if empty
	MaxFee uint64            // wei for a unit of gas at most; a default if 0
	// ENS is the registry of names; on the dev chain its own if zero, and on other chains none.
	ENS common.Address

	Mandates bool // whether users may let the account pay from theirs, by delegations

	Raise      bool          // whether a stuck transaction is replaced by one with higher fees, up to MaxFee
	StuckAfter time.Duration // for which it was what its account waits for; a default if 0
}

// A Node is everything that one server process runs. Its methods may be called at the same time; Close is for when Run
// has returned.
type Node struct {
	key   ed25519.PrivateKey
	epoch string
	owner string // this process's name among those that have had the store; made by chance
	log   *slog.Logger
	build Program
	db    journal.Database
	heads *translog.Log

	pool      *pool.Pool
	library   *library.Library // nil if agents search in none
	files     *blobs.Shelf
	mandates  *mandates.Desk // nil if none are taken
	contracts *eth.Chains
	runner    *runner.Runner
	server    *server.Server

	reread    func() (runner.Rules, error)
	restart   func() []string
	dapps     []string   // origins with a policy set, sorted
	reloading sync.Mutex // held from the reading of the sets until they hold
	drain     time.Duration
	draining  atomic.Bool
	ordered   atomic.Int64 // when the newest order was issued that was taken, ms UTC; at first the start

	opened    []openPart // in the order of opening
	closeOnce sync.Once
	closeErr  error // of closing; valid once closeOnce is done
}

// A part is one of what a node is made of. Its open sets fields of the node, and returns what closes it again, or nil.
type part struct {
	name string
	open func(n *Node, ctx context.Context, c *Config) (closing func() error, err error)
}

type openPart struct {
	name  string
	close func() error
}

// parts are in the order of the package comment.
var parts = []part{
	{"folder", (*Node).openFolder},
	{"store", (*Node).openStore},
	{"log", (*Node).openLog},
	{"anchors", (*Node).startAnchors},
	{"chain", (*Node).openChain},
	{"tools", (*Node).openTools},
	{"library", (*Node).openLibrary},
	{"files", (*Node).openFiles},
	{"mandates", openMandates},
	{"index", (*Node).openIndex},
	{"runner", (*Node).openRunner},
	{"reversals", (*Node).watchReversals},
	{"mirror", (*Node).startMirror},
	{"server", (*Node).openServer},
	{"metrics", (*Node).openMetrics},
	{"follow", startFollowing},
	{"retention", (*Node).startRetention},
	{"notices", (*Node).startNotices},
}

// Open composes a node. It serves nobody yet, and takes up no run; see [Node.Run]. ctx ends what Open waits for, and an
// order to reload that is under way; what the node has started goes on until [Node.Close]. An error is a [*Fault] or
// a [*datadir.UseError] if the operator can mend it.
func Open(ctx context.Context, c Config) (*Node, error) { return open(ctx, c, parts) }

func open(ctx context.Context, c Config, list []part) (*Node, error) {
	n := &Node{log: c.Log, build: c.Program, reread: c.Reread, restart: c.Restart, drain: cmp.Or(c.Drain, 30*time.Second)}
	n.ordered.Store(time.Now().UnixMilli())
	for _, p := range list {
		closing, err := p.open(n, ctx, &c)
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		if closing != nil {
			n.opened = append(n.opened, openPart{p.name, closing})
		}
	}
	return n, nil
}

// Run takes up the runs that were left open and serves on ln until ctx ends; it closes ln. Then the runs drain, which
// clients can still follow, and the connections end. ready is called once, when clients can come; if it fails, Run
// does.
func (n *Node) Run(ctx context.Context, ln net.Listener, ready func() error) error {
	resumed, err := n.runner.Resume(ctx)
	if err == nil && resumed > 0 {
		n.log.InfoContext(ctx, "runs resumed", "runs", resumed)
	}
	if err == nil {
		err = ready()
	}
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-ctx.Done():
			n.drainRuns(serving)
			end()
		case <-serving.Done():
		}
	})
	wg.Go(func() { tellChain(serving, n.pool, n.log) })
	err = n.server.Serve(serving, ln)
	end()
	wg.Wait()
	return err
}

// tellChain says at the start that the chain does not answer: nobody may look at /readyz before the first payment.
func tellChain(ctx context.Context, chain *pool.Pool, log *slog.Logger) {
	asking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := chain.ChainID(asking); err != nil && ctx.Err() == nil {
		log.WarnContext(ctx, "the chain does not answer; what needs it is refused until it does",
			"fix", "writ doctor looks at its endpoints")
	}
}

// drainRuns lets effects that are under way finish, so that a stop leaves none in doubt. The server is not ready any
// more.
func (n *Node) drainRuns(ctx context.Context) {
	n.draining.Store(true)
	ctx, cancel := context.WithTimeoutCause(ctx, n.drain, fmt.Errorf("limits.drain is %s", n.drain))
	defer cancel()
	n.log.InfoContext(ctx, "draining: no new runs", "for", n.drain)
	if err := n.runner.Drain(ctx); err != nil {
		n.log.WarnContext(ctx, "runs cut short; they go on with the next start", "err", err)
	}
}

// Close stops the runs where they are, durable, and closes the parts. Closing again does nothing and says the same.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		var all []error
		for i := len(n.opened) - 1; i >= 0; i-- {
			if err := n.opened[i].close(); err != nil {
				all = append(all, fmt.Errorf("close the %s: %w", n.opened[i].name, err))
			}
		}
		n.closeErr = errors.Join(all...)
	})
	return n.closeErr
}

// OperatorKey returns the key that auditors pin, as people write it.
func (n *Node) OperatorKey() string { return hex.EncodeToString(n.key.Public().(ed25519.PublicKey)) }

// LogKey returns the key of the transparency log: origin+hash+key.
func (n *Node) LogKey() string { return n.heads.VKey() }

// Epoch returns the store's name for its own life, which a restored backup does not share.
func (n *Node) Epoch() string { return n.epoch }
