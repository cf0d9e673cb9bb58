package node

import (
	"cmp"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/agent/grammar"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/anthropic"
	"github.com/writ-run/writ/agent/model/endpoint"
	"github.com/writ-run/writ/agent/model/extract"
	"github.com/writ-run/writ/agent/model/openai"
	"github.com/writ-run/writ/agent/model/planner"
	"github.com/writ-run/writ/agent/model/preset"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/prices"
	"github.com/writ-run/writ/internal/quota"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/server"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/tools"
)

// ReadSettings reads the settings from flags, WRIT_... environment variables and a file, in this order; flags are by
// path.
func ReadSettings(file string, flags map[string]string) (*config.Config, error) {
	c, err := config.Load(config.Sources{File: file, Env: os.LookupEnv, Flags: flags})
	if err != nil {
		return nil, badSetting("%s", err)
	}
	return c, nil
}

// ReadSettingsAgain is [ReadSettings] while a node runs that began with earlier ones: what is missing now and was there
// then is an error and no default.
func ReadSettingsAgain(file string, flags map[string]string, earlier *config.Config) (*config.Config, error) {
	c, err := ReadSettings(file, flags)
	if err != nil {
		return nil, err
	}
	if err := c.CheckAfter(earlier); err != nil {
		return nil, badSetting("%s", err)
	}
	return c, nil
}

// ChangedSince returns a function that lists the settings changed from now on that need a restart.
func ChangedSince(file string, flags map[string]string) func() []string {
	begun, err := ReadSettings(file, flags)
	return func() []string {
		now, err2 := ReadSettings(file, flags)
		if err != nil || err2 != nil { // a start or a reload says so
			return nil
		}
		return slices.DeleteFunc(now.ChangedFrom(begun), func(path string) bool {
			return path == "policies" || path == "dapps"
		})
	}
}

// Given is what a process gives its node besides the settings.
type Given struct {
	Program Program
	Log     *slog.Logger
	Meters  *prometheus.Registry
}

// socketDrain is how long connections may take to close once the runs are drained: they wait for nothing that was
// promised, so limits.drain does not count twice.
const socketDrain = 10 * time.Second

// Configure returns the configuration that settings describe: it reads the files that they name and reveals the
// secrets. Errors are a [*Fault], or of the file system.
func Configure(c *config.Config, g Given) (Config, error) {
	out := Config{
		Data: c.Data, Scheme: c.Scheme, Domain: c.Domain, Origins: c.Origins, Hosts: c.Hosts,
		Idle: c.Limits.Idle, Drain: c.Limits.Drain, Retention: time.Duration(c.Retention.Days) * 24 * time.Hour,
		Limits: server.Limits{
			Rate: float64(c.Limits.Rate), Burst: int(c.Limits.Burst), PerAddress: int(c.Limits.PerAddress),
			PerWallet: int(c.Limits.PerWallet), PerNetwork: int(c.Limits.PerNetwork), Bytes: int(c.Limits.Bytes),
			Drain: min(c.Limits.Drain, socketDrain), // 0 is the server's own, which is the same
		},
		Quota: QuotaOf(c.Limits),
		Heads: HeadLog{
			Origin: c.Transparency.Origin, Interval: c.Transparency.Interval, Timeout: c.Transparency.Timeout,
			Optional: c.Transparency.Optional,
		},
		Reuse: c.Reuse, Metrics: c.Metrics, Program: g.Program, Log: g.Log, Meters: g.Meters,
	}
	trusted, err := c.Proxies.Prefixes()
	if err != nil {
		return Config{}, badUse("%s", err) // the settings were checked, so this is for programs that made them
	}
	out.Proxies = server.Proxies{Trusted: trusted, Forwarded: c.Proxies.Header == "forwarded"}
	out.Wallets, out.Contracts = walletsOf(c)
	out.WalletChains = WalletChains(c)
	read := func(f func() error) {
		if err == nil {
			err = f()
		}
	}
	read(func() (err error) { out.Chain, err = ChainOf(c); return err })
	read(func() (err error) { out.IPFS, err = ipfsOf(c); return err })
	read(func() (err error) { out.Agents, err = Agents(c.Agents, out.Chain.Book.Chain); return err })
	read(func() (err error) { out.Earnings, err = EarningsOf(c); return err })
	read(func() error { return setRoutes(c.Routes, out.Agents) })
	read(func() (err error) { out.Rules, err = Rules(c.Policies, c.Dapps); return err })
	read(func() error { return SetTools(&out, c) })
	read(func() (err error) {
		if c.Transparency.Witnesses != "" {
			out.Heads.Witnesses, err = ReadSource(c.Transparency.Witnesses)
		}
		return err
	})
	read(func() (err error) { out.Anchor, err = anchorOf(c); return err })
	read(func() (err error) { out.Webhooks, err = webhooksOf(c); return err })
	read(func() error { return PriceModels(c) })
	read(func() (err error) { out.Models, err = Models(c.Models, out.Agents); return err })
	return out, err
}

// Quota is what one wallet and one address may take.
type Quota struct{ Wallet, Address quota.Limits }

// QuotaOf returns the quota of the settings.
func QuotaOf(l config.Limits) Quota {
	fill := func(q config.Quota, share int64) quota.Limits {
		return quota.Limits{
			Runs: int(cmp.Or(q.Runs, 200*share)), PerHour: int(cmp.Or(q.PerHour, 3000*share)),
			PerDay: cmp.Or(q.PerDay, share*512<<20),
		}
	}
	return Quota{Wallet: fill(l.Wallet, 1), Address: fill(l.Address, 4)} // people share an address
}

// walletsOf returns who may sign in: plain wallets, and contract wallets by CAIP-10 with the chain.
func walletsOf(c *config.Config) (plain []common.Address, contracts []string) {
	for _, w := range c.Wallets {
		switch i := strings.LastIndexByte(w, ':'); {
		case i >= 0:
			contracts = append(contracts, w[:i+1]+common.HexToAddress(w[i+1:]).Hex())
		case w != "any":
			plain = append(plain, common.HexToAddress(w))
		}
	}
	return plain, contracts
}

// WalletChains returns where contract wallets are asked for, besides the tools' own chain.
func WalletChains(c *config.Config) []eth.Chain {
	var out []eth.Chain
	for _, w := range c.ContractWallets {
		out = append(out, eth.Chain{Chain: uint64(w.Chain), URLs: w.RPC, Quorum: int(w.Quorum)})
	}
	return out
}

// ChainOf returns the chain of the settings, with its secret revealed.
func ChainOf(c *config.Config) (Chain, error) {
	if len(c.Chain.RPC) == 0 {
		return Chain{}, badSetting("no chain is set: give --chain URL, or chain.rpc in the configuration; " +
			"writ dev has a chain of its own")
	}
	out := Chain{
		URLs: c.Chain.RPC, Quorum: int(c.Chain.Quorum), Final: c.Chain.Finality(), MaxFee: uint64(c.Chain.MaxFee) * 1e9,
		Raise: c.Chain.RaisesFees(), StuckAfter: c.Chain.StuckAfter, Mandates: c.Chain.Mandates,
	}
	var err error
	if out.Book, err = bookOf(c.Chain); err != nil {
		return out, err
	}
	if out.ENS, err = registryOf(c.Chain); err != nil {
		return out, err
	}
	switch {
	case c.Chain.Key != "":
		out.Key, err = accountKey("chain.key", c.Chain.Key)
	case isDevChain(c.Chain):
		out.Key = devchain.Accounts()["agent"].Key
	}
	return out, err
}

// accountKey reveals the private key of an account.
func accountKey(path string, ref config.Secret) (*ecdsa.PrivateKey, error) {
	secret, err := ref.Reveal()
	if err != nil {
		return nil, badSetting("%s: %s", path, err)
	}
	key, err := crypto.HexToECDSA(strings.TrimPrefix(secret, "0x"))
	if err != nil { // the error would show a part of the key
		return nil, badSetting("%s: %s does not hold a private key of 64 hex digits", path, ref)
	}
	return key, nil
}

func ipfsOf(c *config.Config) (out IPFS, err error) {
	out = IPFS{API: c.IPFS.API, Listen: c.IPFS.Listen, Peers: c.IPFS.Peers}
	if c.IPFS.Auth != "" {
		if out.Auth, err = c.IPFS.Auth.Reveal(); err != nil {
			return out, badSetting("ipfs.auth: %s", err)
		}
	}
	return out, nil
}

func anchorOf(c *config.Config) (out Anchor, err error) {
	if len(c.Anchor.RPC) == 0 {
		return out, nil
	}
	out = Anchor{
		URLs: c.Anchor.RPC, Chain: uint64(c.Anchor.Chain), Contract: common.HexToAddress(c.Anchor.Contract),
		Interval: c.Anchor.Interval,
	}
	if c.Anchor.MaxFee > 0 {
		out.MaxFee = new(big.Int).Mul(big.NewInt(c.Anchor.MaxFee), big.NewInt(1e9))
	}
	out.Key, err = accountKey("anchor.key", c.Anchor.Key)
	return out, err
}

// CommonAgents are those that every server runs unless its settings say otherwise. The researcher is not among them: it
// needs documents and hosts.
var CommonAgents = []string{"treasurer", "reader"}

// Agents reads agents by name; see [Agent]. Grants that name no chains are for the given one.
func Agents(names []string, chain uint64) ([]agentfile.Definition, error) {
	var out []agentfile.Definition
	for _, name := range names {
		d, err := Agent(name, chain)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// Agent reads an agent: one that comes with writ by its name, else a file.
func Agent(name string, chain uint64) (agentfile.Definition, error) {
	if d, err := agentfile.Shipped(name, chain); err == nil {
		return d, nil
	}
	src, err := ReadSource(name)
	if errors.Is(err, fs.ErrNotExist) {
		return agentfile.Definition{}, badUse("there is no agent %q: it is neither a file nor one that comes with writ (%s)",
			name, strings.Join(agentfile.ShippedNames(), ", "))
	} else if err != nil {
		return agentfile.Definition{}, err
	}
	d, err := agentfile.Parse(src, chain)
	if err != nil {
		return d, badUse("%s: %s", name, strings.Join(strings.Fields(err.Error()), " "))
	}
	return d, nil
}

// setRoutes gives all agents the routes of a set; their own stay if none is named.
func setRoutes(name string, agents []agentfile.Definition) error {
	if name == "" {
		return nil
	}
	set, err := Routes(name)
	if err != nil {
		return err
	}
	for i := range agents {
		agents[i].Routes = set.Routes
	}
	return nil
}

// Routes reads a route set: one that comes with writ by its name, else a file. Its tests must pass.
func Routes(name string) (agentfile.RouteSet, error) {
	src, shipped := agentfile.ShippedRoutes(name)
	if !shipped {
		var err error
		if src, err = ReadSource(name); errors.Is(err, fs.ErrNotExist) {
			return agentfile.RouteSet{}, badUse("there is no route set %q: it is neither a file nor margin, which comes "+
				"with writ", name)
		} else if err != nil {
			return agentfile.RouteSet{}, err
		}
	}
	set, err := agentfile.ParseRoutes(src)
	if err != nil {
		return set, badUse("%s: %s", name, strings.Join(strings.Fields(err.Error()), " "))
	}
	failed, err := set.RunTests()
	if err == nil && len(failed) > 0 {
		err = errors.New(failed[0])
	}
	if err != nil {
		return set, badUse("%s: a test of it fails: %s", name, err)
	}
	return set, nil
}

// isDevChain says whether settings are for the chain that comes with writ. Other chains for trying things out have its
// number too; who names tokens or accounts of one's own has such a chain.
func isDevChain(c config.Chain) bool {
	return (c.ID == 0 || c.ID == devchain.ID) && len(c.Tokens)+len(c.Names) == 0
}

// bookOf returns what names and symbols mean on the chain of the settings: the dev chain's own if it is that one.
func bookOf(c config.Chain) (*tools.Book, error) {
	own := len(c.Tokens)+len(c.Names) > 0
	switch {
	case c.ID == 0 && own:
		return nil, badSetting("chain.tokens and chain.names are for another chain than the dev chain, whose own are " +
			"known: set chain.id")
	case isDevChain(c):
		return devchain.Book(), nil
	}
	b := &tools.Book{Chain: uint64(c.ID), Names: map[string]common.Address{}, Tokens: map[string]tools.Token{}}
	for _, t := range c.Tokens {
		symbol := strings.ToUpper(t.Symbol)
		if _, twice := b.Tokens[symbol]; twice {
			return nil, badSetting("chain.tokens: %s is there twice", symbol)
		}
		var err error
		if b.Tokens[symbol], err = tokenOf(t); err != nil {
			return nil, badSetting("chain.tokens: %s: %v", symbol, err)
		}
	}
	for _, n := range c.Names {
		if _, twice := b.Names[n.Name]; twice {
			return nil, badSetting("chain.names: %s is there twice", n.Name)
		}
		a, err := checkedAddress(n.Address)
		if err != nil {
			return nil, badSetting("chain.names: %s: %v", n.Name, err)
		}
		means := grammar.MeaningOf(n.Name)
		if _, token := b.Tokens[strings.ToUpper(n.Name)]; token && means == "" {
			means = "the symbol of a token"
		}
		if means != "" {
			return nil, badSetting("chain.names: in a request %q is %s and names nobody; "+
				"choose another name for %s", n.Name, means, n.Address)
		}
		b.Names[n.Name] = a
	}
	if err := b.Check(); err != nil {
		return nil, badSetting("chain: %v", err)
	}
	return b, nil
}

func tokenOf(t config.Token) (tools.Token, error) {
	if t.Decimals < 0 || t.Decimals > math.MaxUint8 {
		return tools.Token{}, fmt.Errorf("it has %d decimals, which no token has", t.Decimals)
	}
	token := tools.Token{Decimals: uint8(t.Decimals), Things: t.Standard == tools.StandardThings}
	if t.Address == "" { // the chain's own
		return token, nil
	}
	var err error
	token.Address, err = checkedAddress(t.Address)
	return token, err
}

// checkedAddress reads an address whose checksum, if it has capitals, is right (EIP-55).
func checkedAddress(s string) (common.Address, error) {
	if !strings.HasPrefix(s, "0x") || !common.IsHexAddress(s) {
		return common.Address{}, fmt.Errorf("%q is not an Ethereum address: 0x and 40 hex digits", s)
	}
	a := common.HexToAddress(s)
	if s != strings.ToLower(s) && s != a.Hex() {
		return common.Address{}, fmt.Errorf("address %s has a wrong checksum; copy it again from its source", s)
	}
	return a, nil
}

// defaultPolicy is the built-in set that "default" stands for.
const defaultPolicy = "spend-with-approval"

// Rules reads the operator's policy set, by file or name, and those of dApps.
func Rules(operator string, dapps []config.Dapp) (r runner.Rules, err error) {
	if r.Operator, err = readPolicy(operator); err != nil {
		return r, err
	}
	for _, d := range dapps {
		p, err := readPolicy(d.Policies)
		if err != nil {
			return r, err
		}
		r.Dapps = append(r.Dapps, runner.Dapp{Origin: d.Origin, Policy: p})
	}
	return r, nil
}

func readPolicy(name string) (runner.Policy, error) {
	if name == "default" {
		name = defaultPolicy
	}
	src, err := PolicySource(name)
	if err != nil {
		return runner.Policy{}, err
	}
	beside := FilesBeside(name)
	set, err := policies.Load(src, policies.Options{Layer: "operator", Partial: true, File: beside})
	if err != nil {
		return runner.Policy{}, faultf(Settings, "policy", "%s: %s", name, err)
	}
	return runner.Policy{Name: set.Name(), Source: src, File: beside}, nil
}

// MaxSource bounds in bytes a policy or agent file that is read; their own bounds are tighter.
const MaxSource = 1 << 20

// PolicySource returns the source of a set: a built-in one by its name, else a file.
func PolicySource(name string) ([]byte, error) {
	if src, ok := policies.Builtin(name); ok {
		return src, nil
	}
	src, err := ReadSource(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, badUse("there is no policy set %q: it is neither a file nor built in; built in are %s",
			name, strings.Join(policies.BuiltinNames(), ", "))
	}
	return src, err
}

// FilesBeside returns the way to the files that a policy set names, which stand in its own folder or below. A built-in
// set has none.
func FilesBeside(set string) func(name string) ([]byte, error) {
	if _, ok := policies.Builtin(set); ok {
		return nil
	}
	return func(name string) ([]byte, error) {
		f, err := os.OpenInRoot(filepath.Dir(set), name)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("there is no file %q beside the policy set", name)
		case err != nil:
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, MaxSource))
	}
}

// ReadSource reads a file of at most 1 MiB.
func ReadSource(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, MaxSource+1))
	if err == nil && len(src) > MaxSource {
		return nil, badUse("%s is too large: more than %d bytes", path, MaxSource)
	}
	return src, err
}

// Models returns the configured models, the rules that are no model, and what answers from documents without one if a
// route of an agent leads to it.
func Models(list []config.Model, agents []agentfile.Definition) ([]runner.NamedModel, error) {
	var out []runner.NamedModel
	for _, m := range list {
		remote, err := remoteModel(m)
		if err != nil {
			return nil, badSetting("model %s: %s", m.Name, err)
		}
		info := remote.Info()
		info.Pool, info.Weight, info.Prices = m.Pool, m.Weight, m.Table
		out = append(out, runner.NamedModel{Info: info, Model: remote, Endpoint: remote.Host()})
	}
	rules := planner.New()
	return addExtractor(append(out, runner.NamedModel{Info: rules.Info(), Model: rules}), agents), nil
}

func addExtractor(models []runner.NamedModel, agents []agentfile.Definition) []runner.NamedModel {
	for _, a := range agents {
		for _, r := range a.Routes {
			if r.Use == extract.Name {
				x := extract.New()
				return append(models, runner.NamedModel{Info: x.Info(), Model: x})
			}
		}
	}
	return models
}

// PriceModels gives the models of the settings that have no price of their own that of the table. What the table does
// not know is refused, unless it is on this machine; without a table, nothing changes.
func PriceModels(c *config.Config) error {
	if c.Prices == "" {
		return nil
	}
	src, err := os.ReadFile(c.Prices)
	if err != nil {
		return badSetting("prices: %s", err)
	}
	table, err := prices.Parse(src)
	if err != nil {
		return badSetting("prices: %s: %s", c.Prices, err)
	}
	id, err := table.CID()
	if err != nil {
		return badSetting("prices: %s: %s", c.Prices, err)
	}
	for i := range c.Models {
		m := &c.Models[i]
		if m.PriceIn != 0 || m.PriceOut != 0 || isLoopback(m.URL) {
			continue
		}
		p, known := table.Find(m.Preset, m.Model)
		if !known {
			return badSetting("model %s: the table of prices has no %q; give price_in and price_out", m.Name, m.Model)
		}
		m.PriceIn, m.PriceOut, m.PriceCached, m.PriceWrite5m, m.PriceWrite1h = p.In, p.Out, p.Cached, p.Write5m, p.Write1h
		m.Table = id.String()
		if err := m.Fill(); err != nil { // what a preset knows of a cache that the table does not price
			return badSetting("model %s: %s", m.Name, err)
		}
	}
	return nil
}

// A remote is a model behind an endpoint.
type remote interface {
	runner.Model
	Info() model.Info
	Host() string
}

// remoteModel makes a model of an endpoint.
func remoteModel(m config.Model) (remote, error) {
	if err := m.Fill(); err != nil {
		return nil, err
	}
	e := endpoint.Config{
		BaseURL: m.URL, Model: m.Model, Name: m.Name, MaxTokens: m.MaxTokens, Window: m.Window,
		Images: m.Images && !m.Constrained, // calls under a schema are made of words
		Price: endpoint.Price{
			In: m.PriceIn, Out: m.PriceOut, Cached: m.PriceCached, Write5m: m.PriceWrite5m, Write1h: m.PriceWrite1h,
		},
	}
	if m.Key != "" {
		var err error
		if e.Key, err = m.Key.Reveal(); err != nil {
			return nil, err
		}
	}
	p, _ := preset.Find(m.Preset) // without one, nothing is known but the kind
	e.Schemas = p.Schemas
	if p.Name != "" && !p.IsLocal() {
		e.Provider = p.Name
	}
	var temperature *float64
	if isLoopback(m.URL) { // small models, which call tools best at 0; every local server takes it
		temperature = new(float64)
	}
	if m.Kind == preset.Anthropic {
		return anthropic.New(anthropic.Config{
			Config: e, Temperature: temperature, Tier: p.Tier, NoCache: p.Name != "anthropic",
		})
	}
	if u, err := url.Parse(m.URL); err == nil && p.Name == "" && strings.HasSuffix(u.Hostname(), "openai.com") {
		p.Completion, e.Schemas = true, preset.SchemasAlways // its newer models refuse the other
	}
	return openai.New(openai.Config{
		Config: e, Responses: m.Kind == preset.Responses, Temperature: temperature, Constrained: m.Constrained,
		Completion: p.Completion, NoOptions: p.NoOptions, CacheKey: p.CacheKey, Tier: p.Tier,
	})
}

func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
