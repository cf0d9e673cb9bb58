package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/model/openai"
	"github.com/writ-run/writ/agent/model/preset"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/cli/process"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/internal/node"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/telemetry"
)

// devOptions are the flags of writ dev.
type devOptions struct {
	data, addr, readyFile, policy string
	pages                         []string
	model                         config.Model
	agents                        []string
	tools                         string
}

func devCommand(a *app) *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use: "dev", Short: "Run a server with a chain of its own, for trying things out",
		Long: `Runs a server on this machine with everything that it needs: a throw-away chain with funded accounts, a
throw-away wallet, and rules in the place of a model. Nothing in it is of value. It runs until Ctrl-C; the journal
stays in the data folder, the chain is gone.

With --model and --model-name an OpenAI-compatible server answers instead, Ollama or llama.cpp for instance:

  writ dev --model http://127.0.0.1:11434/v1 --model-name qwen3

With --agent-file an agent of your own runs beside those that come with writ. It may call them (docs/subagents.md).
With --tools it may use what a configuration file lets agents use: tools such as writ tools add writes (docs/tools.md),
fetch, documents and library.
With --dapp http://localhost:5173 your own page may sign in (docs/dapp.md).`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.start(c.Context(), a) },
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "`folder` for the journal (default: dev in WRIT_HOME)")
	f.StringVar(&o.addr, "listen", cli.DefaultListen, "loopback `host:port` to listen on; port 0 takes a free one")
	f.StringVar(&o.policy, "policies", "default", "policy `file`, or the name of a built-in set")
	f.StringArrayVar(&o.agents, "agent-file", nil,
		"`file` of an agent to run besides those that come with writ; may be given again")
	f.StringVar(&o.tools, "tools", "",
		"configuration `file` whose tools, pages and documents there are too; nothing else of it is read")
	f.StringArrayVar(&o.pages, "dapp", nil,
		"`ORIGIN[=FILE]` whose pages may sign in, and their policy file, between the operator's rules and the wallet's")
	f.StringVar(&o.model.URL, "model", "", "base `URL` of an OpenAI-compatible server")
	f.StringVar(&o.model.Preset, "model-preset", "",
		"a `provider` or server whose URL and usual key are known: "+strings.Join(preset.Names(), ", "))
	f.StringVar(&o.model.Model, "model-name", "", "the model's `name` there")
	f.StringVar((*string)(&o.model.Key), "model-key", "", "its API key, as file:PATH or env:NAME")
	f.BoolVar(&o.model.Constrained, "model-constrained", false,
		"ask for tool calls under a JSON schema made for each request: for small models")
	f.StringVar(&o.readyFile, "ready-file", "", "`file` to write when clients can come")
	return c
}

func (o *devOptions) start(ctx context.Context, a *app) error {
	if (o.model.URL == "" && o.model.Preset == "") != (o.model.Model == "") {
		return cli.Usage("--model URL or --model-preset PROVIDER, and --model-name NAME, go together")
	}
	home, err := a.HomeDir()
	if err != nil {
		return err
	}
	if o.data == "" {
		o.data = filepath.Join(home, "dev")
	}
	if o.data, err = filepath.Abs(o.data); err != nil {
		return err
	}
	dapps, err := dappFlags(o.pages, o.policy)
	if err != nil {
		return err
	}
	return o.serve(ctx, a, dapps)
}

func (o *devOptions) serve(ctx context.Context, a *app, dapps []config.Dapp) error {
	p, err := o.config(a, dapps)
	if err != nil {
		return err
	}
	ln, err := listenHere(ctx, o.addr)
	if err != nil {
		return err
	}
	p.Domain = ln.Addr().String()
	p.Origins = []string{"http://" + p.Domain}
	wallet, address, err := devWallet(o.data)
	if err != nil {
		ln.Close()
		return err
	}
	a.Note("starting the chain ...")
	dev, stop, err := process.StartDevchain(ctx, a.Err, "127.0.0.1:0")
	if err != nil {
		ln.Close()
		return err
	}
	defer stop()
	p.Chain.URLs, p.Chain.Key = []string{dev.URL}, devchain.Accounts()["agent"].Key
	if err := catchUp(ctx, o.data, dev.URL); err != nil {
		ln.Close()
		return err
	}
	found := openai.Found{}
	if o.model.Model == "" {
		found = localModel(ctx)
	}
	defer a.forgetDev()
	r := process.ServerReady{Chain: dev.URL, Wallet: address}
	return a.serve(ctx, p, ln, o.readyFile, r, func(r process.ServerReady) {
		note := cli.DevNote{Server: r.URL, Wallet: "file:" + wallet, Data: o.data, PID: os.Getpid()}
		if err := a.Save("dev.json", note); err != nil {
			a.Note("other commands will not find this server by themselves: %s", err)
		}
		a.Note("%s", devText(r, p.Models, found, cli.Paint(a.Color(a.Err))))
	})
}

// listenHere listens on this machine and nowhere else.
func listenHere(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := cli.Listen(ctx, addr)
	if err == nil && !cli.IsLoopback("http://"+ln.Addr().String()) {
		ln.Close()
		return nil, cli.Usage("writ dev listens on this machine only, since its wallet and its keys are public; " +
			"for more use: writ serve")
	}
	return ln, err
}

// forgetDev takes back the note by which other commands find this server, unless it is another's by now.
func (a *app) forgetDev() {
	var n cli.DevNote
	if a.Load("dev.json", &n) == nil && n.PID == os.Getpid() {
		a.Forget("dev.json")
	}
}

// config is what a server for trying things out is made of, but for its address and its chain.
func (o *devOptions) config(a *app, dapps []config.Dapp) (node.Config, error) {
	log, err := telemetry.Log(a.Err, "warn", "text")
	if err != nil {
		return node.Config{}, err
	}
	p := node.Config{
		Data: o.data, Scheme: "http", Program: program(), Log: log, Meters: telemetry.Metrics(version, build()),
	}
	p.Heads.Interval = 100 * time.Millisecond
	if p.Agents, err = node.Agents(append(slices.Clone(node.CommonAgents), o.agents...), config.DevChain); err != nil {
		return p, err
	}
	file := &config.Config{}
	if o.tools != "" {
		if file, err = node.ReadSettings(o.tools, nil); err != nil {
			return p, err
		}
	}
	p.Chain.Book, p.Chain.Mandates = devchain.Book(), true
	if err := node.SetTools(&p, file); err != nil {
		return p, err
	}
	p.Reread = func() (runner.Rules, error) { return node.Rules(o.policy, dapps) }
	if p.Rules, err = p.Reread(); err != nil {
		return p, err
	}
	var remote []config.Model
	if o.model.Model != "" {
		o.model.Name = "model"
		if o.model.Preset == "" {
			o.model.Kind = preset.OpenAI
		}
		remote = append(remote, o.model)
	}
	p.Models, err = node.Models(remote, p.Agents)
	return p, err
}

// devText is what `writ dev` says when it is ready.
func devText(r process.ServerReady, models []runner.NamedModel, found openai.Found, p cli.Paint) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s %s\n", p.Bold("writ dev"), r.URL)
	fmt.Fprintf(&b, "  chain         %s, in memory, id %d\n", r.Chain, devchain.ID)
	fmt.Fprintf(&b, "  wallet        %s, throw-away\n", r.Wallet)
	fmt.Fprintf(&b, "  answers       %s\n", describeModels(models))
	b.WriteString(describeFound(found))
	fmt.Fprintf(&b, "  data          %s\n", r.Data)
	fmt.Fprintf(&b, "  operator key  %s\n", r.OperatorKey)
	fmt.Fprintf(&b, "  log key       %s\n\n", r.LogKey)
	fmt.Fprintf(&b, "Next, in another terminal:\n")
	fmt.Fprintf(&b, "  %s\n", p.Bold(`writ run "what is alice's USDC balance?"`))
	fmt.Fprintf(&b, "  %s\n", p.Bold(`writ run "send 5 USDC to bob"`))
	fmt.Fprintf(&b, "  %s\n", p.Bold(`writ run "send 500 USDC to mallory"`))
	fmt.Fprintf(&b, "  %s\n", p.Bold(`writ runs ls`))
	fmt.Fprintf(&b, "Or open %s in a browser that has a wallet.\n", r.URL)
	return b.String()
}

// devWallet reads the throw-away wallet, or makes it at the first start.
func devWallet(data string) (path, address string, err error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return "", "", cli.Usage("the data folder cannot be made: %s", err)
	}
	path = filepath.Join(data, "dev-wallet.key")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		w, err := auth.NewWallet(rand.Reader)
		if err != nil {
			return "", "", err
		}
		return path, w.Address().Hex(), datadir.WriteSecret(path, []byte(w.Secret()+"\n"))
	} else if err != nil {
		return "", "", cli.Usage("the throw-away wallet cannot be read: %s", err)
	}
	w, err := auth.ParseWallet(strings.TrimSpace(string(b)))
	if err != nil {
		return "", "", cli.Usage("%s holds no wallet; remove it to get a new one", path)
	}
	return path, w.Address().Hex(), nil
}

// catchUp brings the agent's account on a new chain to the nonce that the journal of an earlier one expects, by
// payments of nothing to itself: the journal stays, the chain does not, and no nonce of the journal is signed twice.
func catchUp(ctx context.Context, data, url string) error {
	db, err := evidence.OpenBeside(ctx, data)
	if err != nil {
		return err
	}
	defer db.Close()
	me := devchain.Accounts()["agent"]
	want, err := db.NextNonce(ctx, fmt.Sprintf("eip155:%d:%s", devchain.ID, me.Address.Hex()))
	if err != nil || want == 0 {
		return err
	}
	pool, err := pool.New(pool.Config{URLs: []string{url}, Chain: devchain.ID})
	if err != nil {
		return err
	}
	defer pool.Close()
	id := new(big.Int).SetUint64(devchain.ID)
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
			if err := process.Until(ctx, func() (bool, error) {
				n, err := pool.NonceAt(ctx, me.Address, nil)
				return n > nonce, err
			}); err != nil {
				return fmt.Errorf("bring the new chain to the journal's nonce: %w", err)
			}
		}
	}
	return nil
}

// describeFound says which model server was found on this machine and how it is used; nothing if none was.
func describeFound(f openai.Found) string {
	if f.URL == "" {
		return ""
	}
	return fmt.Sprintf("                a model server was found where %s listens: "+
		"writ dev --model %s --model-name %s uses it\n", preset.NameOf(f.URL), f.URL, firstModel(f))
}

// firstModel names a model that a server has.
func firstModel(f openai.Found) string {
	if len(f.Models) == 0 {
		return "NAME"
	}
	return f.Models[0]
}

// localModel returns where on this machine a model server answers, if one does.
func localModel(ctx context.Context) openai.Found {
	for _, f := range openai.Probe(ctx, preset.Local()) {
		return f
	}
	return openai.Found{}
}
