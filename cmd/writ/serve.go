package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/model/planner"
	"github.com/writ-run/writ/internal/chain"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/ethcall"
	"github.com/writ-run/writ/internal/server"
	"github.com/writ-run/writ/internal/telemetry"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/tools"
)

// A serverReady is what a server says when clients can come.
type serverReady struct {
	URL         string `json:"url"`
	Listen      string `json:"listen"`
	OperatorKey string `json:"operator_key"` // pin it, to verify what this server records
	LogKey      string `json:"log_key"`      // of its transparency log; pin it too
	Epoch       string `json:"epoch"`
	Chain       string `json:"chain,omitempty"` // of `writ dev`
	Wallet      string `json:"wallet,omitempty"`
	Data        string `json:"data"`
}

func (a *app) serveCommand() *cobra.Command {
	var file, book, readyFile string
	c := &cobra.Command{
		Use: "serve", Short: "Run the server",
		Long: `Runs the server until it is told to stop. Settings come from flags, WRIT_... environment variables and a YAML file, in
this order (writ config print shows them all, writ init writes a file to begin with). Runs that were under way when a
server stopped, however it stopped, go on.

A chain that does not answer is no reason not to start: the server says so at /readyz until it does.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			flags := map[string]string{}
			for flag, path := range map[string]string{"data": "data", "listen": "listen", "chain": "chain.rpc", "policies": "policies"} {
				if c.Flags().Changed(flag) {
					flags[path] = c.Flag(flag).Value.String()
				}
			}
			cfg, err := loadConfig(file, flags)
			if err != nil {
				return err
			}
			p, err := a.planOf(cfg, book)
			if err != nil {
				return err
			}
			p.Reread = func() (agent.Rules, error) {
				now, err := loadConfig(file, flags)
				if err != nil {
					return agent.Rules{}, err
				}
				return rulesOf(now.Policies, now.Dapps)
			}
			ln, err := listen(c.Context(), cfg.Listen)
			if err != nil {
				return err
			}
			if isDefault(cfg, "domain") {
				p.Domain = ln.Addr().String()
			}
			return a.serve(c.Context(), p, ln, readyFile, serverReady{}, func(r serverReady) {
				a.note("serving at %s, operator key %s, log key %s", r.URL, r.OperatorKey, r.LogKey)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&file, "config", "", "configuration `file` (default writ.yaml, if it is there)")
	f.String("data", "", "`folder` for the database and the keys")
	f.String("listen", "", "`host:port` to listen on; port 0 takes a free one")
	f.String("chain", "", "JSON-RPC `URL` of the chain; several with commas between them")
	f.String("policies", "", "policy `file`, or the name of a built-in set")
	f.StringVar(&book, "book", "", "address book `file`, JSON (default: the dev chain's)")
	f.StringVar(&readyFile, "ready-file", "", "`file` to write when clients can come")
	return c
}

// serve runs a node on ln until ctx ends. r gets filled in and is given to ready, to readyFile, and with --json to
// standard output.
func (a *app) serve(ctx context.Context, p plan, ln net.Listener, readyFile string, r serverReady, ready func(serverReady)) error {
	n, err := compose(ctx, p)
	if err != nil {
		ln.Close()
		return err
	}
	defer n.close()
	a.untilSignal = true
	if !isTerminal(a.in) { // there it says that the terminal is gone, and the server goes with it
		defer n.reloadOnHangup(ctx)()
	}
	return n.serve(ctx, ln, func() error {
		r.Listen = ln.Addr().String()
		r.URL, r.OperatorKey, r.Epoch, r.Data = "http://"+r.Listen, n.publicKey(), n.epoch, p.Data
		r.LogKey = n.heads.VKey()
		ready(r)
		if err := writeReady(readyFile, r); err != nil {
			return err
		}
		return a.done(r, func(io.Writer) {})
	})
}

// writeReady writes what is ready as JSON to a file, whole or not at all, if one is wanted.
func writeReady(path string, v any) error {
	if path == "" {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeSecret(path, append(b, '\n'))
}

func loadConfig(file string, flags map[string]string) (*config.Config, error) {
	cfg, err := config.Load(config.Sources{File: file, Env: os.LookupEnv, Flags: flags})
	if err != nil {
		return nil, failf(exitUsage, "config", "%s", plain(err.Error()))
	}
	return cfg, nil
}

func isDefault(c *config.Config, path string) bool {
	for _, s := range c.Settings() {
		if s.Path == path {
			return s.Origin == "default"
		}
	}
	return false
}

// planOf turns settings into the parts that they name.
func (a *app) planOf(c *config.Config, bookFile string) (plan, error) {
	p := plan{Data: c.Data, Scheme: c.Scheme, Domain: c.Domain, Origins: c.Origins, Hosts: c.Hosts}
	p.Idle = c.Limits.Idle
	p.Retention = time.Duration(c.Retention.Days) * 24 * time.Hour
	p.Limits = server.Limits{
		Rate: float64(c.Limits.Rate), Burst: float64(c.Limits.Burst), PerAddress: int(c.Limits.PerAddress),
		PerWallet: int(c.Limits.PerWallet), Drain: c.Limits.Drain,
	}
	for _, w := range c.Wallets {
		switch i := strings.LastIndexByte(w, ':'); {
		case i >= 0:
			p.Contracts = append(p.Contracts, w[:i+1]+common.HexToAddress(w[i+1:]).Hex())
		case w != "any":
			p.Wallets = append(p.Wallets, common.HexToAddress(w))
		}
	}
	var err error
	if p.Log, err = telemetry.Log(a.err, c.Log.Level, c.Log.Format); err != nil {
		return p, usage("%s", err)
	}
	p.Meters = telemetry.Metrics(version, build())
	if len(c.Chain.RPC) == 0 {
		return p, failf(exitUsage, "config", "no chain is set: give --chain URL, or chain.rpc in the configuration; writ dev has a chain of its own")
	}
	p.Chain.URLs, p.Chain.Book, p.Chain.Quorum = c.Chain.RPC, chain.Book(), int(c.Chain.Quorum)
	p.WalletChains = walletChains(c)
	if bookFile != "" {
		src, err := readSource(bookFile)
		if err != nil {
			return p, err
		}
		if p.Chain.Book, err = tools.ParseBook(src); err != nil {
			return p, usage("%s: %s", bookFile, err)
		}
	}
	switch {
	case c.Chain.Key != "":
		secret, err := c.Chain.Key.Reveal()
		if err != nil {
			return p, failf(exitUsage, "config", "chain.key: %s", err)
		}
		if p.Chain.Key, err = crypto.HexToECDSA(strings.TrimPrefix(secret, "0x")); err != nil {
			return p, failf(exitUsage, "config", "chain.key: %s does not hold a private key of 64 hex digits", c.Chain.Key)
		}
	case p.Chain.Book.Chain == chain.DevChainID:
		p.Chain.Key = chain.Accounts()["agent"].Key
	}
	p.IPFS = ipfsPlan{API: c.IPFS.API, Listen: c.IPFS.Listen, Peers: c.IPFS.Peers}
	if c.IPFS.Auth != "" {
		if p.IPFS.Auth, err = c.IPFS.Auth.Reveal(); err != nil {
			return p, failf(exitUsage, "config", "ipfs.auth: %s", err)
		}
	}
	for _, name := range c.Agents {
		d, err := definition(name)
		if err != nil {
			return p, err
		}
		p.Agents = append(p.Agents, d)
	}
	if p.Rules, err = rulesOf(c.Policies, c.Dapps); err != nil {
		return p, err
	}
	if p.Tools, err = toolsOf(c); err != nil {
		return p, err
	}
	p.Heads = headLogPlan{
		Origin: c.Transparency.Origin, Interval: c.Transparency.Interval, Timeout: c.Transparency.Timeout,
		Optional: c.Transparency.Optional,
	}
	if c.Transparency.Witnesses != "" {
		if p.Heads.Witnesses, err = readSource(c.Transparency.Witnesses); err != nil {
			return p, err
		}
	}
	if p.Anchor, err = anchorOf(c); err != nil {
		return p, err
	}
	p.Models, err = modelsOf(c.Models)
	return p, err
}

// walletChains returns where contract wallets are asked for, besides the tools' own chain.
func walletChains(c *config.Config) []ethcall.Chain {
	var out []ethcall.Chain
	for _, w := range c.ContractWallets {
		out = append(out, ethcall.Chain{Chain: uint64(w.Chain), URLs: w.RPC, Quorum: int(w.Quorum)})
	}
	return out
}

// defaultPolicy is the built-in set that "default" stands for.
const defaultPolicy = "spend-with-approval"

func policyOf(name string) (agent.Policy, error) {
	if name == "default" {
		name = defaultPolicy
	}
	src, err := policySource(name)
	if err != nil {
		return agent.Policy{}, err
	}
	set, err := policies.Load(src, policies.Options{Layer: "operator", Partial: true, File: besides(name)})
	if err != nil {
		return agent.Policy{}, failf(exitUsage, "policy", "%s: %s", name, plain(err.Error()))
	}
	return agent.Policy{Name: set.Name(), Source: src, File: besides(name)}, nil
}

// rulesOf reads the operator's policy set and those of dApps.
func rulesOf(name string, dapps []config.Dapp) (agent.Rules, error) {
	var r agent.Rules
	var err error
	if r.Operator, err = policyOf(name); err != nil {
		return r, err
	}
	for _, d := range dapps {
		p, err := policyOf(d.Policies)
		if err != nil {
			return r, err
		}
		r.Dapps = append(r.Dapps, agent.Dapp{Origin: d.Origin, Policy: p})
	}
	return r, nil
}

// modelsOf returns the configured models and, always and last, the rules that are no model.
func modelsOf(list []config.Model) ([]agent.NamedModel, error) {
	var out []agent.NamedModel
	for _, m := range list {
		key, err := "", error(nil)
		if m.Key != "" {
			if key, err = m.Key.Reveal(); err != nil {
				return nil, failf(exitUsage, "config", "model %s: %s", m.Name, err)
			}
		}
		named, err := remoteModel(m, key)
		if err != nil {
			return nil, failf(exitUsage, "config", "model %s: %s", m.Name, err)
		}
		out = append(out, named)
	}
	rules := planner.New()
	return append(out, agent.NamedModel{Info: rules.Info(), Model: rules}), nil
}

// describe says what answers, for people.
func describe(models []agent.NamedModel) string {
	var names []string
	for _, m := range models {
		names = append(names, fmt.Sprintf("%s (%s, %s)", m.Info.Name, m.Info.Model, kindText(string(m.Info.Kind))))
	}
	return strings.Join(names, ", then ")
}
