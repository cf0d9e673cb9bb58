package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/docs"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/blobs"
	"github.com/writ-run/writ/internal/console"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/digest"
	"github.com/writ-run/writ/internal/door"
	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/internal/mandates"
	"github.com/writ-run/writ/internal/manual"
	"github.com/writ-run/writ/internal/quota"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/server"
	"github.com/writ-run/writ/internal/shelfdoor"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/ipfs"
	"github.com/writ-run/writ/provenance/translog"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/chain"
)

func (n *Node) openFolder(_ context.Context, c *Config) (func() error, error) {
	lock, err := datadir.Lock(c.Data)
	if err != nil {
		return nil, err
	}
	if _, err = datadir.CheckStore(c.Data); err == nil {
		n.key, err = datadir.OperatorKey(c.Data)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return lock.Unlock, nil
}

func (n *Node) openStore(ctx context.Context, c *Config) (_ func() error, err error) {
	n.owner = rand.Text()
	n.db, err = store.Open(ctx, store.Config{
		DSN: store.SQLite(filepath.Join(c.Data, datadir.StoreFile)), Owner: n.owner,
	})
	if errors.Is(err, journal.ErrHeld) {
		return nil, badUse("another writ uses the data folder %s, though its lock is free; stop it, or give another --data",
			c.Data)
	}
	if errors.Is(err, journal.ErrCorrupt) {
		return nil, faultf(Damaged, "store", "%s", err)
	}
	if errors.Is(err, journal.ErrNewer) {
		return nil, faultf(Settings, "store", "%s", err)
	}
	if err != nil {
		return nil, faultf(Internal, "store", "%s", err)
	}
	if err = cutDamage(ctx, n.db, c.Log); err == nil {
		n.epoch, err = n.db.Epoch(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, n.db.Close())
	}
	return n.db.Close, nil
}

// cutDamage has the store cut off what a crash of the machine, or a failing disk, has left damaged at the ends of runs,
// and says what was cut. It refuses to go on if a signed head would be lost.
func cutDamage(ctx context.Context, db journal.Recoverer, log *slog.Logger) error {
	r, err := db.Recover(ctx)
	switch {
	case errors.Is(err, journal.ErrSigned), errors.Is(err, journal.ErrCorrupt):
		return faultf(Damaged, "store", "%s", err)
	case err != nil:
		return faultf(Internal, "store", "%s", err)
	}
	for _, c := range r.Cuts {
		log.WarnContext(ctx, "the end of a run was damaged; it is cut back to its last valid step and ends there, "+
			"and what was cut is kept in the store", "run", c.Run, "steps", c.Steps, "lost", c.Lost, "found", c.Why)
	}
	if r.Unknown() {
		log.ErrorContext(ctx, "the database has lost its end; open runs end there, wallets must sign in again, "+
			"and a damaged log file is kept", "kept", r.Log, "lost", r.Lost)
	}
	return nil
}

// A HeadLog says how the transparency log is kept.
type HeadLog struct {
	Origin    string        // made of the operator's key if empty
	Interval  time.Duration // between checkpoints; 1 s if 0
	Witnesses []byte        // a policy of c2sp.org/tlog-policy; none are asked if empty
	Timeout   time.Duration // of asking them; 2 s if 0
	Optional  bool          // publish without their quorum
}

// logConfig returns what the log is made of. An error is a [*Fault] if a setting is wrong.
func logConfig(n *Node, c *Config) (translog.Config, error) {
	key, err := datadir.LogKey(n.key)
	if err != nil {
		return translog.Config{}, err
	}
	cfg := translog.Config{
		Dir: filepath.Join(c.Data, datadir.LogFolder), Store: n.db, Key: key,
		Origin: cmp.Or(c.Heads.Origin, datadir.LogOrigin(n.key)), Interval: c.Heads.Interval,
		Witnesses: c.Heads.Witnesses, Timeout: c.Heads.Timeout, Optional: c.Heads.Optional, Log: c.Log,
	}
	if err := cfg.Check(); err != nil {
		return cfg, badSetting("transparency: %s", err)
	}
	return cfg, nil
}

// openLog opens the log of a data folder, which proves that the journal and the log say the same, and binds the
// operator's key if the folder has a binding.
func (n *Node) openLog(ctx context.Context, c *Config) (func() error, error) {
	cfg, err := logConfig(n, c)
	if err != nil {
		return nil, err
	}
	n.heads, err = translog.Open(ctx, cfg)
	switch {
	case errors.Is(err, translog.ErrBehind), errors.Is(err, translog.ErrForked):
		return nil, faultf(Damaged, "log", "%s", err)
	case errors.Is(err, translog.ErrOrigin):
		return nil, badUse("%s; set transparency.origin back, or restore operator.key", err)
	case err != nil:
		return nil, faultf(Internal, "log", "%s", err)
	}
	if err := n.bindKey(ctx, filepath.Join(c.Data, datadir.BindingFile)); err != nil {
		n.heads.Close()
		return nil, err
	}
	return closing(n.heads.Close), nil
}

// bindKey logs the key binding of a file, if there is one, before any head is made under it.
func (n *Node) bindKey(ctx context.Context, path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return badUse("the key binding cannot be read: %s", err)
	}
	rec := new(provenance.KeyBinding)
	if err := provenance.Decode(data, rec); err != nil {
		return faultf(Damaged, "binding", "%s is not a key binding (%s); make it anew with: writ key bind", path, err)
	}
	block, err := provenance.Encode(rec)
	if err != nil {
		return err
	}
	if _, err := n.db.AddEntry(ctx, block); err != nil {
		return err
	}
	if err := n.heads.Bind(ctx, block.CID); err != nil {
		return badUse("%s", err)
	}
	return nil
}

func (n *Node) openChain(_ context.Context, c *Config) (_ func() error, err error) {
	if n.pool, err = pool.New(pool.Config{URLs: c.Chain.URLs, Chain: c.Chain.Book.Chain}); err != nil {
		return nil, badUse("%s", err)
	}
	own := eth.Chain{Chain: c.Chain.Book.Chain, URLs: c.Chain.URLs, Quorum: c.Chain.Quorum}
	n.contracts, err = eth.New(eth.Config{Chains: append([]eth.Chain{own}, c.WalletChains...)})
	if err != nil {
		n.pool.Close()
		return nil, badUse("%s", err)
	}
	return closing(n.contracts.Close, n.pool.Close), nil
}

func (n *Node) openLibrary(ctx context.Context, c *Config) (func() error, error) {
	if !c.Library.On {
		return nil, nil
	}
	l, err := library.Open(c.Data, c.Library.Embed)
	if err != nil {
		return nil, badUse("%s", err)
	}
	if err := l.UseIndex(ctx, c.Library.Place, c.Library.Index); err != nil {
		return nil, badUse("%s", errors.Join(err, l.Close()))
	}
	n.library = l
	c.Tools = append(c.Tools, library.NewTool(l))
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.KeepUp(working, func(fault error) {
			if fault == nil {
				n.log.Info("vectors of the documents are made again")
				return
			}
			n.log.Warn("documents are searched by words only", "why", fault.Error())
		})
	}()
	return func() error { stop(); <-done; return l.Close() }, nil
}

func (n *Node) openFiles(_ context.Context, c *Config) (func() error, error) {
	var err error
	if n.files, err = blobs.Open(c.Data, time.Now); err != nil {
		return nil, badUse("%s", err)
	}
	return n.files.Close, nil
}

// openMandates opens the desk at which users hand over delegations, if the account that redeems them is there.
func openMandates(n *Node, _ context.Context, c *Config) (func() error, error) {
	switch {
	case !c.Chain.Mandates:
		return nil, nil
	case c.Chain.Key == nil:
		return nil, badSetting("chain.mandates: there is no key of an account that users could let pay; set chain.key")
	}
	var err error
	n.mandates, err = mandates.Open(c.Data, mandates.Config{
		Client: n.pool, Book: c.Chain.Book, Account: crypto.PubkeyToAddress(c.Chain.Key.PublicKey),
	})
	if err != nil {
		return nil, badUse("%s", err)
	}
	return n.mandates.Close, nil
}

func (n *Node) openRunner(ctx context.Context, c *Config) (func() error, error) {
	var given chain.Mandates // an interface that holds nil is not nil
	if n.mandates != nil {
		given = n.mandates
	}
	all, err := chainTools(n.pool, c.Chain, given)
	if err != nil {
		return nil, err
	}
	own, err := onChain(c.Tools, n.pool, c.Chain)
	if err != nil {
		return nil, err
	}
	if err := sealAgents(own, n.key); err != nil {
		return nil, err
	}
	all = append(all, own...)
	n.runner, err = runner.New(ctx, runner.Config{
		Store: n.db, Agents: c.Agents, Tools: all, Models: c.Models, Policy: c.Rules.Operator,
		Dapps: c.Rules.Dapps, Wallets: c.Wallets, ContractWallets: c.Contracts, Contracts: n.contracts, Idle: c.Idle,
		ToolTimeout: toolTime(all), Reuse: c.Reuse, Key: n.key, HeadLog: n.heads, Owner: n.owner,
		Raise: c.Chain.Raise, StuckAfter: c.Chain.StuckAfter,
		Version: c.Program.Version, Build: c.Program.Build, Log: c.Log, Failed: meterFailures(c.Meters),
	})
	if err != nil {
		return nil, badUse("%s", strings.TrimPrefix(err.Error(), "make a runner: "))
	}
	if c.Meters != nil {
		meterTransactions(c.Meters, n.runner.Watch())
		c.Meters.MustRegister(newMoneyMeter(c.Earnings, n.db, c.Log))
	}
	return closing(n.runner.Close), nil
}

// meterFailures registers the count of what did not work, and returns what counts: where it came in, whose it is, and
// its code, which is one of a closed list.
func meterFailures(reg *prometheus.Registry) func(at fault.Edge, code fault.Code) {
	if reg == nil {
		return nil
	}
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "writ_failures_total", Help: "Failures of what runs asked of models, tools and chains, by whose they are.",
	}, []string{"at", "whose", "code"})
	reg.MustRegister(failures)
	return func(at fault.Edge, code fault.Code) {
		failures.WithLabelValues(string(at), string(code.Whose()), string(code)).Inc()
	}
}

// toolTime is how long a call of a tool may take: the usual time, or what one of them says that it may.
func toolTime(list []tools.Tool) time.Duration {
	longest := 30 * time.Second
	for _, t := range list {
		if says, ok := t.(interface{ MaxTime() time.Duration }); ok {
			longest = max(longest, says.MaxTime())
		}
	}
	return longest
}

func (n *Node) openServer(ctx context.Context, c *Config) (func() error, error) {
	desk, err := n.openDesk(c.Scheme, c.Domain)
	if err != nil {
		return nil, err
	}
	dapps := map[string]*auth.Desk{}
	for _, d := range c.Rules.Dapps {
		n.dapps = append(n.dapps, d.Origin)
		scheme, domain, _ := strings.Cut(d.Origin, "://")
		if dapps[d.Origin], err = n.openDesk(scheme, domain); err != nil {
			return nil, err
		}
	}
	slices.Sort(n.dapps)
	gateway, err := ipfs.NewGateway(Blocks{n.db}, c.Log)
	if err != nil {
		return nil, err
	}
	var given api.Mandates
	if n.mandates != nil {
		given = n.mandates
	}
	calls, err := api.New(api.Config{
		Wallets: runner.OwnWalletsOf(n.runner), Files: n.files, Mandates: given,
		Runner: n.runner, Archive: digest.Desk{Store: n.db}, HeadLog: n.heads, Desk: desk, Dapps: dapps,
		Version: c.Program.Version, Log: c.Log, Quota: openQuota(c), Costs: n.db,
	})
	if err != nil {
		return nil, badUse("%s", err)
	}
	page, err := console.New()
	if err != nil {
		return nil, err
	}
	book, err := manual.New(docs.Files)
	if err != nil {
		return nil, err
	}
	n.server, err = server.New(server.Config{
		API: calls, HeadLog: n.heads, Gateway: gateway, Console: page, Manual: book, Operator: n.handleOrders(ctx),
		OperatorBody: map[string]int64{shelfdoor.Path: shelfdoor.MaxBody},
		Door: func(admit func(journal.Session, string) error) (http.Handler, error) {
			front, err := door.New(door.Config{
				API: calls, Log: c.Log, Admit: admit, Version: c.Program.Version,
				Page: c.Scheme + "://" + c.Domain, Judge: n.judgeRun, CardKey: n.key, Scheme: c.Scheme, Nonces: n.db,
			})
			if err != nil {
				return nil, err
			}
			return front.Handler(), nil
		},
		DoorForm: door.InForm,
		Origins:  c.Origins, Hosts: c.Hosts, Version: c.Program.Version, Log: c.Log, Metrics: c.Meters,
		Ready: n.checkReady, Limits: c.Limits, Proxies: c.Proxies,
	})
	if err != nil {
		return nil, badUse("%s", err)
	}
	return nil, nil // it has nothing open before Run, and after it
}

// openQuota makes the book of what clients take.
func openQuota(c *Config) *quota.Book {
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "writ_quota_refused_total", Help: "Requests refused since a wallet or an address has had its share.",
	}, []string{"what", "of"})
	if c.Meters != nil {
		c.Meters.MustRegister(refused)
	}
	return quota.New(c.Quota.Wallet, c.Quota.Address, func(what, of string) { refused.WithLabelValues(what, of).Inc() })
}

// openMetrics serves the figures on an address of their own.
func (n *Node) openMetrics(ctx context.Context, c *Config) (func() error, error) {
	if c.Metrics == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", c.Metrics)
	if err != nil {
		return nil, badUse("metrics: %s", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", n.server.Figures())
	hs := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := hs.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			c.Log.ErrorContext(ctx, "figures are not served any more", "err", err)
		}
	})
	return func() error {
		err := hs.Close()
		wg.Wait()
		return err
	}, nil
}

// openDesk makes the desk at which pages of an origin ask for signatures.
func (n *Node) openDesk(scheme, domain string) (*auth.Desk, error) {
	d, err := auth.NewDesk(auth.Config{
		Scheme: scheme, Domain: domain, Nonces: n.db, Now: time.Now, Rand: rand.Reader, Contracts: n.contracts,
	})
	if err != nil {
		return nil, badUse("%s", err)
	}
	return d, nil
}

// checkReady says why the node cannot do its work now, which is what /readyz answers.
func (n *Node) checkReady() error {
	if n.draining.Load() {
		return errors.New("the server is stopping")
	}
	if err := n.db.Fence(context.Background()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err := n.pool.ChainID(ctx); err != nil {
		return fmt.Errorf("the chain does not answer: %w", err)
	}
	return nil
}

// startRetention erases what is past its time, while the node is open.
func (n *Node) startRetention(ctx context.Context, c *Config) (func() error, error) {
	if c.Retention == 0 {
		return nil, nil
	}
	return runUntilClosed(ctx, func(ctx context.Context) {
		archive.Retain(ctx, n.db, n.key, c.Retention, c.Log, n.heads.Added)
	}), nil
}

// runUntilClosed calls f in a goroutine of its own. What it returns cancels f's context and waits for its end.
func runUntilClosed(ctx context.Context, f func(context.Context)) (closing func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { f(ctx) })
	return func() error {
		cancel()
		wg.Wait()
		return nil
	}
}

// closing calls one after the other.
func closing(list ...func()) func() error {
	return func() error {
		for _, f := range list {
			f()
		}
		return nil
	}
}

// Blocks are a store's blocks as an IPFS gateway wants them.
type Blocks struct{ Store journal.BlockReader }

// Block implements ipfs.Source.
func (b Blocks) Block(ctx context.Context, c provenance.Link) ([]byte, error) {
	data, err := b.Store.Block(ctx, c)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, fmt.Errorf("block %s: %w", c, provenance.ErrAbsent)
	}
	return data, err
}
