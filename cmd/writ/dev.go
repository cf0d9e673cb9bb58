package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/chain"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/telemetry"
)

func (a *app) devCommand() *cobra.Command {
	var data, addr, readyFile, policy string
	var pages []string
	var m config.Model
	var agents []string
	c := &cobra.Command{
		Use: "dev", Short: "Run a server with a chain of its own, for trying things out",
		Long: `Runs a server on this machine with everything that it needs: a throw-away chain with funded accounts, a throw-away
wallet, and rules in the place of a model. Nothing in it is of value. It runs until Ctrl-C; the journal stays in the
data folder, the chain is gone.

With --model and --model-name an OpenAI-compatible server answers instead, Ollama or llama.cpp for instance:

  writ dev --model http://127.0.0.1:11434/v1 --model-name qwen3

With --agent-file an agent of your own runs beside those that come with writ. It may call them (docs/subagents.md).`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if (m.URL == "") != (m.Model == "") {
				return usage("--model URL and --model-name NAME go together")
			}
			home, err := a.home()
			if err != nil {
				return err
			}
			if data == "" {
				data = filepath.Join(home, "dev")
			}
			if data, err = filepath.Abs(data); err != nil {
				return err
			}
			dapps, err := dappFlags(pages)
			if err != nil {
				return err
			}
			return a.dev(c.Context(), data, addr, policy, readyFile, agents, m, dapps)
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "`folder` for the journal (default: dev in WRIT_HOME)")
	f.StringVar(&addr, "listen", defaultListen, "loopback `host:port` to listen on; port 0 takes a free one")
	f.StringVar(&policy, "policies", "default", "policy `file`, or the name of a built-in set")
	f.StringArrayVar(&agents, "agent-file", nil, "`file` of an agent to run besides those that come with writ; may be given again")
	f.StringArrayVar(&pages, "dapp", nil, "`ORIGIN=FILE`: policy file of the pages of an origin, between the operator's rules and the wallet's")
	f.StringVar(&m.URL, "model", "", "base `URL` of an OpenAI-compatible server")
	f.StringVar(&m.Model, "model-name", "", "the model's `name` there")
	f.StringVar((*string)(&m.Key), "model-key", "", "its API key, as file:PATH or env:NAME")
	f.BoolVar(&m.Constrained, "model-constrained", false, "ask for tool calls under a JSON schema made for each request: for small models")
	f.StringVar(&readyFile, "ready-file", "", "`file` to write when clients can come")
	return c
}

func (a *app) dev(ctx context.Context, data, addr, policy, readyFile string, agents []string, m config.Model, dapps []config.Dapp) error {
	log, err := telemetry.Log(a.err, "warn", "text")
	if err != nil {
		return err
	}
	p := plan{Data: data, Scheme: "http", Log: log, Meters: telemetry.Metrics(version, build())}
	p.Heads.Interval = 100 * time.Millisecond
	for _, name := range append(slices.Clone(shippedAgents), agents...) {
		d, err := definition(name)
		if err != nil {
			return err
		}
		p.Agents = append(p.Agents, d)
	}
	p.Reread = func() (agent.Rules, error) { return rulesOf(policy, dapps) }
	if p.Rules, err = p.Reread(); err != nil {
		return err
	}
	var remote []config.Model
	if m.URL != "" {
		m.Name, m.Kind = "model", "openai"
		remote = append(remote, m)
	}
	if p.Models, err = modelsOf(remote); err != nil {
		return err
	}
	ln, err := listen(ctx, addr)
	if err != nil {
		return err
	}
	p.Domain = ln.Addr().String()
	p.Origins = []string{"http://" + p.Domain}
	if !isLoopback("http://" + p.Domain) {
		ln.Close()
		return usage("writ dev listens on this machine only, since its wallet and its keys are public; for more use: writ serve")
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		ln.Close()
		return usage("the data folder cannot be made: %s", err)
	}
	wallet, address, err := devWallet(data)
	if err != nil {
		ln.Close()
		return err
	}
	a.note("starting the chain ...")
	dev, stop, err := a.startDevchain(ctx, "127.0.0.1:0")
	if err != nil {
		ln.Close()
		return err
	}
	defer stop()
	p.Chain.URLs, p.Chain.Book, p.Chain.Key = []string{dev.URL}, chain.Book(), chain.Accounts()["agent"].Key
	if err := catchUp(ctx, data, dev.URL); err != nil {
		ln.Close()
		return err
	}
	found := ""
	if m.URL == "" {
		found = localModel(ctx)
	}
	defer func() {
		var n devNote
		if a.load("dev.json", &n) == nil && n.PID == os.Getpid() {
			a.forget("dev.json")
		}
	}()
	r := serverReady{Chain: dev.URL, Wallet: address}
	return a.serve(ctx, p, ln, readyFile, r, func(r serverReady) {
		note := devNote{Server: r.URL, Wallet: "file:" + wallet, Data: data, PID: os.Getpid()}
		if err := a.save("dev.json", note); err != nil {
			a.note("other commands will not find this server by themselves: %s", err)
		}
		a.note("%s", devText(r, p.Models, found, paint(a.color(a.err))))
	})
}

// devText is what `writ dev` says when it is ready.
func devText(r serverReady, models []agent.NamedModel, found string, p paint) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s %s\n", p.bold("writ dev"), r.URL)
	fmt.Fprintf(&b, "  chain         %s, in memory, id %d\n", r.Chain, chain.DevChainID)
	fmt.Fprintf(&b, "  wallet        %s, throw-away\n", r.Wallet)
	fmt.Fprintf(&b, "  answers       %s\n", describe(models))
	if found != "" {
		fmt.Fprintf(&b, "                a model server was found: writ dev --model %s --model-name NAME uses it\n", found)
	}
	fmt.Fprintf(&b, "  data          %s\n", r.Data)
	fmt.Fprintf(&b, "  operator key  %s\n", r.OperatorKey)
	fmt.Fprintf(&b, "  log key       %s\n\n", r.LogKey)
	fmt.Fprintf(&b, "Next, in another terminal:\n")
	fmt.Fprintf(&b, "  %s\n", p.bold(`writ run "what is alice's USDC balance?"`))
	fmt.Fprintf(&b, "  %s\n", p.bold(`writ run "send 5 USDC to bob"`))
	fmt.Fprintf(&b, "  %s\n", p.bold(`writ run "send 500 USDC to mallory"`))
	fmt.Fprintf(&b, "  %s\n", p.bold(`writ runs ls`))
	return b.String()
}

// devWallet reads the throw-away wallet, or makes it at the first start.
func devWallet(data string) (path, address string, err error) {
	path = filepath.Join(data, "dev-wallet.key")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		w, err := auth.NewWallet(rand.Reader)
		if err != nil {
			return "", "", err
		}
		return path, w.Address().Hex(), writeSecret(path, []byte(w.Secret()+"\n"))
	} else if err != nil {
		return "", "", usage("the throw-away wallet cannot be read: %s", err)
	}
	w, err := auth.ParseWallet(strings.TrimSpace(string(b)))
	if err != nil {
		return "", "", usage("%s holds no wallet; remove it to get a new one", path)
	}
	return path, w.Address().Hex(), nil
}

// catchUp brings the agent's account on a new chain to the nonce that the journal of an earlier one expects, by
// payments of nothing to itself: the journal stays, the chain does not, and no nonce of the journal is signed twice.
func catchUp(ctx context.Context, data, url string) error {
	db, err := openBeside(ctx, data)
	if err != nil {
		return err
	}
	defer db.Close()
	me := chain.Accounts()["agent"]
	want, err := db.NextNonce(ctx, fmt.Sprintf("eip155:%d:%s", chain.DevChainID, me.Address.Hex()))
	if err != nil || want == 0 {
		return err
	}
	pool, err := chain.NewPool(chain.PoolConfig{URLs: []string{url}, Chain: chain.DevChainID})
	if err != nil {
		return err
	}
	defer pool.Close()
	id := new(big.Int).SetUint64(chain.DevChainID)
	for nonce := uint64(0); nonce < want; nonce++ {
		tx, err := types.SignNewTx(me.Key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
			ChainID: id, Nonce: nonce, To: &me.Address, Gas: 21_000,
			GasTipCap: big.NewInt(params.GWei), GasFeeCap: big.NewInt(10 * params.GWei),
		})
		if err != nil {
			return err
		}
		if err := pool.SendTransaction(ctx, tx); err != nil {
			return fmt.Errorf("bring the new chain to the journal's nonce: %w", err)
		}
		if nonce%32 == 31 || nonce+1 == want { // a pool takes so many of one account at once
			if err := until(ctx, func() (bool, error) {
				n, err := pool.NonceAt(ctx, me.Address, nil)
				return n > nonce, err
			}); err != nil {
				return fmt.Errorf("bring the new chain to the journal's nonce: %w", err)
			}
		}
	}
	return nil
}

// until asks every 20 ms, for 10 s at most.
func until(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
