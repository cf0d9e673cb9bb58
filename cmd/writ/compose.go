package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/gofrs/flock"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/chain"
	"github.com/writ-run/writ/internal/ethcall"
	"github.com/writ-run/writ/internal/server"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/ipfs"
	"github.com/writ-run/writ/provenance/translog"
	"github.com/writ-run/writ/tools"
	chaintools "github.com/writ-run/writ/tools/chain"
)

// A plan says what a node is made of. Every field is required unless it says otherwise.
type plan struct {
	Data    string           // folder of the journal and the operator's key
	Scheme  string           // with Domain, the origin for which wallets sign
	Domain  string           //
	Origins []string         // of web pages that may connect; optional
	Hosts   []string         // by which clients call the server; optional
	Wallets []common.Address // that may sign in; anybody if there are none, and no contracts
	// Contracts are the contract wallets that may sign in, by CAIP-10; as Wallets.
	Contracts []string

	Chain struct {
		URLs []string
		Book *tools.Book
		Key  *ecdsa.PrivateKey // of the agents' account; without it they only read

		Quorum int // of URLs, about contract wallets; optional
	}
	WalletChains []ethcall.Chain // where else contract wallets are; optional
	IPFS         ipfsPlan        // optional
	Heads        headLogPlan     // optional
	Anchor       anchorPlan      // optional
	Agents       []agent.Definition
	Tools        []tools.Tool // besides those of the chain; optional
	Models       []agent.NamedModel
	Rules        agent.Rules
	Reread       func() (agent.Rules, error) // reads Rules anew, for a reload
	Limits       server.Limits               // optional
	Idle         time.Duration               // for which a session may go unused; optional
	Retention    time.Duration               // after which payloads of ended runs are erased; never if 0
	Log          *slog.Logger                //
	Meters       *prometheus.Registry        // optional
}

// A node is everything that one server process runs.
type node struct {
	runner    *agent.Runner
	server    *server.Server
	db        *store.DB
	pool      *chain.Pool
	contracts *ethcall.Chains
	ipfs      *mirror
	heads     *translog.Log
	anchors   *anchors
	key       ed25519.PrivateKey
	lock      *flock.Flock
	epoch     string
	log       *slog.Logger
	reread    func() (agent.Rules, error)
	reloading sync.Mutex   // held from the reading of the sets until they hold
	ordered   atomic.Int64 // when the newest order was issued that was taken, ms UTC; at first the start
	dapps     []string     // origins with a policy set, sorted
	sweeper   *sweeper
}

// compose builds a node from the leaves up. Nothing runs yet; the caller closes it.
func compose(ctx context.Context, p plan) (_ *node, err error) {
	n := &node{log: p.Log}
	n.ordered.Store(time.Now().UnixMilli())
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if n.lock, err = lockData(p.Data); err != nil {
		return nil, err
	}
	if n.key, err = operatorKey(p.Data); err != nil {
		return nil, err
	}
	if n.db, err = store.Open(ctx, store.Config{Path: filepath.Join(p.Data, "writ.db")}); err != nil {
		return nil, failf(exitInternal, "store", "%s", err)
	}
	if err := mend(ctx, n.db, p.Log); err != nil {
		return nil, err
	}
	if n.epoch, err = n.db.Epoch(ctx); err != nil {
		return nil, err
	}
	if n.heads, err = openHeadLog(ctx, p.Heads, p.Data, n.db, n.key, p.Log); err != nil {
		return nil, err
	}
	if n.anchors, err = startAnchors(ctx, p.Anchor, n.db, n.heads, p.Log); err != nil {
		return nil, err
	}
	if n.pool, err = chain.NewPool(chain.PoolConfig{URLs: p.Chain.URLs, Chain: p.Chain.Book.Chain}); err != nil {
		return nil, usage("%s", err)
	}
	all, err := chaintools.New(chaintools.Config{Client: n.pool, Book: p.Chain.Book, Key: p.Chain.Key})
	if err != nil {
		return nil, usage("%s", err)
	}
	chains := append([]ethcall.Chain{{Chain: p.Chain.Book.Chain, URLs: p.Chain.URLs, Quorum: p.Chain.Quorum}}, p.WalletChains...)
	if n.contracts, err = ethcall.New(ethcall.Config{Chains: chains}); err != nil {
		return nil, usage("%s", err)
	}
	n.runner, err = agent.New(ctx, agent.Config{
		Store: n.db, Agents: p.Agents, Tools: append(all, p.Tools...), Models: p.Models, Policy: p.Rules.Operator, Dapps: p.Rules.Dapps,
		Wallets: p.Wallets, ContractWallets: p.Contracts, Contracts: n.contracts, Idle: p.Idle, Key: n.key, HeadLog: n.heads,
		Version: version, Build: build(), Log: p.Log,
	})
	if err != nil {
		return nil, usage("%s", err)
	}
	n.reread = p.Reread
	desk, err := n.desk(p.Scheme, p.Domain)
	if err != nil {
		return nil, err
	}
	dapps := map[string]*auth.Desk{}
	for _, d := range p.Rules.Dapps {
		n.dapps = append(n.dapps, d.Origin)
		scheme, domain, _ := strings.Cut(d.Origin, "://")
		if dapps[d.Origin], err = n.desk(scheme, domain); err != nil {
			return nil, err
		}
	}
	slices.Sort(n.dapps)
	gateway, err := ipfs.NewGateway(blocks{n.db}, p.Log)
	if err != nil {
		return nil, err
	}
	if n.ipfs, err = startMirror(ctx, p.IPFS, p.Data, n.db, p.Log); err != nil {
		return nil, err
	}
	n.server, err = server.New(server.Config{
		Runner: n.runner, HeadLog: n.heads, Desk: desk, Dapps: dapps, Operator: n.operator(ctx), Gateway: gateway, Origins: p.Origins, Hosts: p.Hosts, Version: version, Log: p.Log,
		Metrics: p.Meters, Ready: n.ready, Limits: p.Limits,
	})
	if err != nil {
		return nil, usage("%s", err)
	}
	n.sweeper = startSweeper(ctx, p.Retention, n)
	return n, nil
}

// desk makes the desk at which pages of an origin ask for signatures.
func (n *node) desk(scheme, domain string) (*auth.Desk, error) {
	d, err := auth.NewDesk(auth.Config{
		Scheme: scheme, Domain: domain, Nonces: n.db, Now: time.Now, Rand: rand.Reader, Contracts: n.contracts,
	})
	if err != nil {
		return nil, usage("%s", err)
	}
	return d, nil
}

// ready says why the node cannot do its work now.
func (n *node) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err := n.pool.ChainID(ctx); err != nil {
		return fmt.Errorf("the chain does not answer: %w", err)
	}
	return nil
}

// serve takes up what was left open and serves on ln until ctx ends. ready is called when clients can come.
func (n *node) serve(ctx context.Context, ln net.Listener, ready func() error) error {
	resumed, err := n.runner.Resume(ctx)
	if err != nil {
		ln.Close()
		return err
	}
	if resumed > 0 {
		n.log.Info("runs resumed", "runs", resumed)
	}
	if err := ready(); err != nil {
		ln.Close()
		return err
	}
	return n.server.Serve(ctx, ln)
}

// close stops the runs where they are, durable, and lets go of everything.
func (n *node) close() {
	if n.runner != nil {
		n.runner.Close()
	}
	n.sweeper.close()
	n.ipfs.close()
	n.anchors.close()
	if n.heads != nil {
		n.heads.Close()
	}
	if n.pool != nil {
		n.pool.Close()
	}
	if n.contracts != nil {
		n.contracts.Close()
	}
	if n.db != nil {
		n.db.Close()
	}
	if n.lock != nil {
		n.lock.Unlock()
	}
}

// blocks are the store's blocks as the gateway wants them.
type blocks struct{ db *store.DB }

func (b blocks) Block(ctx context.Context, c provenance.Link) ([]byte, error) {
	data, err := b.db.Block(ctx, c)
	if errors.Is(err, agent.ErrNotFound) {
		return nil, fmt.Errorf("block %s: %w", c, provenance.ErrAbsent)
	}
	return data, err
}

// publicKey returns the operator's key as people write it.
func (n *node) publicKey() string { return hex.EncodeToString(n.key.Public().(ed25519.PublicKey)) }

// lockData makes the data folder this process's own. The lock goes with the process, however it ends.
func lockData(dir string) (*flock.Flock, error) {
	if dir == "" {
		return nil, usage("say where the data shall be: --data DIR")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, usage("the data folder cannot be made: %s", err)
	}
	lock := dataLock(dir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // a command that opens the store has it for moments
	defer cancel()
	ok, err := lock.TryLockContext(ctx, 50*time.Millisecond)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, usage("the data folder %s cannot be used: %s", dir, err)
	}
	if !ok {
		return nil, usage("another writ uses the data folder %s; stop it, or give another --data", dir)
	}
	return lock, nil
}

// dataLock is the lock of a data folder, which is not taken yet.
func dataLock(dir string) *flock.Flock {
	return flock.New(filepath.Join(dir, "writ.lock"), flock.SetPermissions(0o600))
}

// operatorKey reads the key that signs heads, or makes it at the first start. operator.pub beside it holds the public
// half, for auditors.
func operatorKey(dir string) (ed25519.PrivateKey, error) { return keyFile(dir, "operator") }

// keyFile reads an Ed25519 key from NAME.key, or makes it, with its public half in NAME.pub.
func keyFile(dir, name string) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, name+".key")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make the %s key: %w", name, err)
		}
		if err := writeSecret(path, []byte(hex.EncodeToString(key.Seed())+"\n")); err != nil {
			return nil, err
		}
		return key, writeSecret(filepath.Join(dir, name+".pub"), []byte(hex.EncodeToString(public)+"\n"))
	}
	if err != nil {
		return nil, usage("the %s key cannot be read: %s", name, err)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, usage("%s does not hold the %s key (64 hex digits); restore it from a backup", path, name)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// listen takes a port, or says in a sentence why not.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, failf(exitNetwork, "port_in_use", "another program listens on %s; stop it, or give another --listen", addr)
	case err != nil:
		return nil, failf(exitNetwork, "listen", "cannot listen on %s: %s", addr, err)
	}
	return ln, nil
}
