// Package config reads what the operator wants.
//
// [Load] takes four sources, the later over the earlier: the defaults, one YAML file, the environment (WRIT_CHAIN_RPC
// sets chain.rpc), and the command line. The file is read strictly: an unknown key is an error with its line and the
// key that was probably meant. Secrets are never in it, only where to find them: "file:/run/secrets/key" or
// "env:CHAIN_KEY" (see [Secret]).
//
// [Config.Settings] lists every value with where it came from, for "writ config print". [Schema] describes the file
// to editors; it is published as schema.json in this folder.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/model/preset"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
)

// A Config is everything that can be set. The about tags are the manual; they go into the schema.
type Config struct {
	Listen   string   `yaml:"listen" about:"address and port to listen on"`
	Data     string   `yaml:"data" path:"yes" about:"folder for the database and the keys"`
	Scheme   string   `yaml:"scheme" one:"https http" about:"scheme of the pages that ask for signatures"`
	Domain   string   `yaml:"domain" about:"domain that wallets see in the message they sign, with its port if it has one"`
	Origins  []string `yaml:"origins" about:"origins whose pages may connect, e.g. https://app.example.com; of an app's shell e.g. capacitor://localhost"`
	Hosts    []string `yaml:"hosts" about:"names by which clients call this server; those of origins and localhost if empty"`
	Wallets  []string `yaml:"wallets" about:"wallets that may sign in: addresses, for contract wallets with their chain, eip155:8453:0x..., or any; needed with chain.key"`
	Agents   []string `yaml:"agents" path:"named" about:"agent files, or the names of shipped agents"`
	Routes   string   `yaml:"routes" path:"named" about:"a route set for all agents, by file or the name of one that comes with writ (margin); each agent's own if empty"`
	Policies string   `yaml:"policies" path:"named" about:"the operator's policy file, or the name of a built-in set"`
	// Dapps need not be listed under Origins too.
	Dapps []Dapp `yaml:"dapps" about:"pages with a policy set of their own, which narrows the operator's; wallets sign for these pages in their name"`
	Chain Chain  `yaml:"chain" about:"the Ethereum chain that tools use"`
	// ContractWallets are other chains than Chain, whose endpoints are asked about contract wallets without being named.
	ContractWallets []WalletChain `yaml:"contract_wallets" about:"more chains whose contract wallets may sign in, and who is asked about them"`
	IPFS            IPFS          `yaml:"ipfs" about:"where records go besides this server's own gateway; nowhere by default"`
	Prices          string        `yaml:"prices" path:"yes" about:"table of prices, made by writ prices import: a model elsewhere that is not in it and has no price of its own is refused"`
	Revenue         Revenue       `yaml:"revenue" about:"what users pay, for the margin in the figures of /metrics and in writ attention, over the last 24 hours"`
	Models          []Model       `yaml:"models" about:"models that routes may name, besides the built-in rules"`
	// Reuse is off unless it is said: who asks again mostly wants another answer, and one that no model gave now should
	// be what the operator has chosen.
	Reuse time.Duration `yaml:"reuse" about:"how long a model's answer may be given again to the very same prompt of the same session, at most 1h; never if 0"`
	Fetch Fetch         `yaml:"fetch" about:"the tool web.fetch, which reads web pages; off if no host is named"`
	// Documents switch the tool docs.search on.
	Documents []Documents `yaml:"documents" about:"texts in which the tool docs.search finds passages; off if there are none"`
	Library   Library     `yaml:"library" about:"documents that writ docs adds and gives readers, in which the tool docs.search finds passages"`
	// Tools are described in tools.go.
	Tools        []Tool       `yaml:"tools" about:"tools of your own: servers of tools (MCP) HTTP interfaces (OpenAPI), contracts and their events; see docs/tools.md"`
	Log          Log          `yaml:"log" about:"what is logged, and how"`
	Transparency Transparency `yaml:"transparency" about:"the public log of signed heads"`
	Retention    Retention    `yaml:"retention" about:"how long payloads are kept"`
	Anchor       Anchor       `yaml:"anchor" about:"where the log's checkpoints are anchored on a chain; nowhere by default"`
	Webhooks     []Webhook    `yaml:"webhooks" about:"addresses that are told what waits for a wallet's approval; see docs/notices.md"`
	Limits       Limits       `yaml:"limits" about:"what clients may cost; 0 takes the default"`
	Metrics      string       `yaml:"metrics" about:"address and port on which /metrics is served to anybody who reaches it; without one, this machine may ask at listen"`
	Proxies      Proxies      `yaml:"proxies" about:"reverse proxies in front of this server"`
	TLS          TLS          `yaml:"tls" about:"certificate, for a server without a proxy in front of it; plain HTTP if empty"`

	origins map[string]string // by path: where a value that is no default came from
	file    string            // that was read and had something in it
}

// Proxies say whose word on where a request came from counts.
type Proxies struct {
	Trusted []string `yaml:"trusted" about:"addresses of the proxies, alone or as CIDR, e.g. 127.0.0.1 or 10.0.0.0/8; limits stand on the client that they name"`
	Header  string   `yaml:"header" one:"x-forwarded-for forwarded" about:"the one header in which they name it; they must set or extend it themselves"`
}

// Prefixes returns the trusted addresses.
func (p Proxies) Prefixes() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range p.Trusted {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(s)
		if err != nil || prefix != prefix.Masked() || prefix.Bits() == 0 {
			return nil, fmt.Errorf("%q is no address, and no network of less than all addresses, such as 10.0.0.0/8", s)
		}
		out = append(out, prefix)
	}
	return out, nil
}

// TLS names the files of a certificate. They are read again when they have changed.
type TLS struct {
	Cert string `yaml:"cert" path:"yes" about:"file with the certificate and those above it, PEM"`
	Key  string `yaml:"key" path:"yes" about:"file with its private key, PEM"`
}

// A Dapp is the pages of one origin.
type Dapp struct {
	Origin   string `yaml:"origin" about:"of the pages, as browsers send it: https://shop.example, with the port if it is not the scheme's own"`
	Policies string `yaml:"policies" path:"named" about:"policy file, or the name of a built-in set"`
}

// Chain is the chain that tools read and write.
type Chain struct {
	ID  int64    `yaml:"id" about:"EIP-155 id; 1337, the dev chain's, if 0"`
	RPC []string `yaml:"rpc" about:"JSON-RPC endpoints, http or https; several of one chain are a pool"`
	// Tokens and Names are the address book, which agents and wallets read symbols and names by.
	Coin   string  `yaml:"coin" about:"symbol of the chain's own coin, e.g. XDAI; what is known of the chain if empty"`
	Tokens []Token `yaml:"tokens" about:"tokens that may be named, by symbol; the dev chain's own are known"`
	Names  []Name  `yaml:"names" about:"accounts that may be named"`
	// ENS is "none", or an address.
	ENS string `yaml:"ens" about:"registry of the Ethereum Name Service, for the tools ens.resolve and ens.reverse, or none; the usual one on Ethereum, Sepolia and Holesky if empty; the dev chain has its own"`
	Key Secret `yaml:"key" path:"secret" about:"private key of the agent's own account"`
	// Final is "instant", or what tools.ParseFinality reads.
	Final  string `yaml:"final" about:"when a transaction's block counts for good, and its run ends: finalized, safe, a number such as 12 blocks, or instant; what is usual on the chain if empty"`
	MaxFee int64  `yaml:"max_fee_gwei" about:"gwei for a unit of gas at most; 500 if 0"`
	Stuck  string `yaml:"stuck" one:"raise tell" about:"what is done about a transaction that blocks leave out: raise its fees by another with the same nonce, up to max_fee_gwei, or tell, for writ tx replace or cancel"`
	// StuckAfter bounds how soon that is.
	StuckAfter time.Duration `yaml:"stuck_after" about:"how long a transaction may be what its account waits for, 1s or more; 1m if 0"`
	// Mandates need the key's account, which redeems them.
	Mandates bool `yaml:"mandates" about:"users may let the agent's account pay from theirs, by delegations of ERC-7710 that the chain enforces: the tool mandate.transfer; the dev chain of writ dev always has it"`
	// Quorum is of the endpoints in RPC.
	Quorum int64 `yaml:"quorum" about:"how many of the endpoints must agree before a contract wallet may move value; 2 if 0, or 1 if all are on this machine"`
}

// DevChain is the id of the chain that comes with writ.
const DevChain = 1337

// Number returns the chain's EIP-155 id.
func (c Chain) Number() uint64 {
	if c.ID == 0 {
		return DevChain
	}
	return uint64(c.ID)
}

// usualFinality is when blocks count for good on chains that are known: by the proofs that a chain gives its users. The
// safe blocks of a chain that stands on another have been published there. Chains of tests have one word.
var usualFinality = map[uint64]string{
	1: "finalized", 10: "safe", 137: "finalized", 8453: "safe", 42161: "safe", 84532: "safe", 11155111: "safe",
	DevChain: instant, 31337: instant,
}

const instant = "instant"

// RaisesFees says whether a stuck transaction is replaced without a person.
func (c Chain) RaisesFees() bool { return c.Stuck != "tell" }

// Finality returns when a block counts for good on the chain, "" for at once.
func (c Chain) Finality() string {
	f := cmp.Or(c.Final, usualFinality[c.Number()], "finalized")
	if f == instant {
		return ""
	}
	return f
}

// A Token is what a symbol stands for.
type Token struct {
	Symbol   string `yaml:"symbol" about:"in capitals, e.g. USDC"`
	Address  string `yaml:"address" about:"of its contract, with its checksum; none for the chain's own coin, which chain.coin names"`
	Standard string `yaml:"standard" one:"erc721" about:"erc721 of a collection of single things (NFT), which has no decimals; none of a token"`
	Decimals int64  `yaml:"decimals" about:"how many of its digits stand behind the point, as its contract says; 18 of the chain's own coin"`
}

// A Name is what a name stands for.
type Name struct {
	Name    string `yaml:"name" about:"lower-case letters, digits, '-' and '.'; no word that means something else in a request"`
	Address string `yaml:"address" about:"of the account, with its checksum"`
}

// A WalletChain says who is asked about contract wallets of a chain that tools do not use.
type WalletChain struct {
	Chain  int64    `yaml:"chain" about:"EIP-155 id"`
	RPC    []string `yaml:"rpc" about:"JSON-RPC endpoints, http or https, 1 to 8, best of different operators"`
	Quorum int64    `yaml:"quorum" about:"how many of them must agree before value may be moved; 2 if 0, or 1 if all are on this machine"`
}

// IPFS says who else gets the records, which are sealed by default.
type IPFS struct {
	API    string   `yaml:"api" about:"RPC of a Kubo node that every run's record is pushed to and pinned at, e.g. http://127.0.0.1:5001"`
	Auth   Secret   `yaml:"auth" path:"secret" about:"Authorization header for that RPC, if it needs one"`
	Listen []string `yaml:"listen" about:"libp2p addresses to serve blocks at by bitswap, e.g. /ip4/0.0.0.0/tcp/4001; none if empty"`
	Peers  []string `yaml:"peers" about:"libp2p peers to stay connected to, /ip4/.../tcp/.../p2p/ID; nobody else is looked for"`
}

// A Model is an endpoint where a model answers, with its price. A preset knows all of it but the model and the price.
type Model struct {
	Preset   string `yaml:"preset" one:"openai anthropic mistral deepseek openrouter groq together ollama llama.cpp vllm tensorrt-llm sglang lmstudio" about:"a provider or server whose kind, URL and usual key are known"`
	Name     string `yaml:"name" about:"what routes call it; model if there is a preset and no name"`
	Kind     string `yaml:"kind" one:"openai responses anthropic" about:"how it is spoken to: Chat Completions, Responses or Messages"`
	URL      string `yaml:"url" about:"base URL, e.g. http://127.0.0.1:11434/v1"`
	Model    string `yaml:"model" about:"the model's name there"`
	Key      Secret `yaml:"key" path:"secret" about:"API key, if it needs one; with a preset its usual variable, e.g. env:ANTHROPIC_API_KEY"`
	PriceIn  int64  `yaml:"price_in" about:"nano-USD for a million input tokens; 0 is free"`
	PriceOut int64  `yaml:"price_out" about:"nano-USD for a million output tokens; 0 is free"`
	// What the provider's cache changes; 0 if nothing, or what the preset knows of it.
	PriceCached  int64  `yaml:"price_cached" about:"nano-USD for a million input tokens that its cache had; as price_in if 0"`
	PriceWrite5m int64  `yaml:"price_write_5m" about:"nano-USD for a million input tokens written to its cache for 5 minutes; as price_in if 0"`
	PriceWrite1h int64  `yaml:"price_write_1h" about:"the same for an hour; as price_in if 0"`
	MaxTokens    int64  `yaml:"max_tokens" about:"upper bound of one answer; 1024 if 0"`
	Window       int64  `yaml:"window" about:"tokens that fit into a prompt and its answer; what the preset knows of the model if 0, and unbounded if it knows nothing"`
	Images       bool   `yaml:"images" about:"it reads images, so requests with images may be asked of it"`
	Pool         string `yaml:"pool" about:"a name that routes may use for all models which have it; they are equals"`
	Weight       int64  `yaml:"weight" about:"how often this one of a pool comes first, beside the others' weights; 1 if 0"`
	// Constrained is for small models, whose own tool calls cannot be relied on.
	Constrained bool `yaml:"constrained" about:"tool calls under a JSON schema made for each request, for small models"`

	Table string // the CID of the table that its prices are from; no setting
}

// Fill puts in what the model's preset knows and the settings do not say.
func (m *Model) Fill() error {
	if m.Preset == "" {
		return nil
	}
	p, known := preset.Find(m.Preset)
	if !known {
		return fmt.Errorf("preset %q is none of %s", m.Preset, strings.Join(preset.Names(), ", "))
	}
	m.Name, m.Kind, m.URL = cmp.Or(m.Name, "model"), cmp.Or(m.Kind, p.Kind), cmp.Or(m.URL, p.URL)
	if m.Key == "" && p.KeyEnv != "" {
		m.Key = Secret("env:" + p.KeyEnv)
	}
	m.Window = cmp.Or(m.Window, p.WindowOf(m.Model))
	share := func(percent int64) int64 { return (m.PriceIn*percent + 99) / 100 }
	if m.PriceIn < math.MaxInt64/1000 { // a larger one is refused by what it costs
		m.PriceCached = cmp.Or(m.PriceCached, share(p.Cached))
		m.PriceWrite5m = cmp.Or(m.PriceWrite5m, share(p.Write5m))
		m.PriceWrite1h = cmp.Or(m.PriceWrite1h, share(p.Write1h))
	}
	return nil
}

// Revenue is what users pay, in USD. What is empty brings nothing.
type Revenue struct {
	PerRun   string   `yaml:"per_run" about:"USD for a run, e.g. 0.01"`
	PerToken string   `yaml:"per_token" about:"USD for 1,000,000 tokens, e.g. 5"`
	Plans    string   `yaml:"plans" about:"USD that plans bring in a day, shared by runs"`
	Paid     string   `yaml:"paid" path:"yes" about:"CSV file (of,usd) in which a biller of your own says what runs or wallets paid in the last 24 hours; read anew each time"`
	Alerts   []string `yaml:"alerts" about:"rules about each wallet, agent, route and model, e.g. margin < 0.2, told by /metrics and writ attention"`
}

// Fetch says what web.fetch may reach.
type Fetch struct {
	Hosts    []string      `yaml:"hosts" about:"exact names of the hosts that may be read, e.g. docs.example.com"`
	Private  bool          `yaml:"private" about:"also addresses of private networks, http and any port; for tests and services of your own"`
	MaxBytes int64         `yaml:"max_bytes" about:"bytes of a page that are read; 1 MiB if 0"`
	Timeout  time.Duration `yaml:"timeout" about:"how long one page may take, e.g. 15s"`
}

// Documents are texts of one source.
type Documents struct {
	Source    string `yaml:"source" about:"what policies call them, e.g. handbook"`
	Path      string `yaml:"path" path:"yes" about:"a text file, or a folder whose .md and .txt files are read"`
	Integrity string `yaml:"integrity" about:"who could have written them: operator, user, tool or untrusted; untrusted if empty"`
	Secrecy   string `yaml:"secrecy" about:"who may see them: public, session, wallet or secret; session if empty"`
}

// Library is the documents that were added to the data folder.
type Library struct {
	On         bool        `yaml:"on" about:"agents may search in the library of the data folder; in place of documents"`
	Embeddings string      `yaml:"embeddings" about:"base URL of an OpenAI-compatible endpoint that makes vectors, e.g. http://127.0.0.1:8080/v1; words only if empty"`
	Model      string      `yaml:"model" about:"the model that makes them"`
	Key        Secret      `yaml:"key" path:"secret" about:"API key of the endpoint, if it needs one"`
	Index      VectorIndex `yaml:"index" about:"a database that finds the closest vectors; the server does if it names none"`

	Follow []Follow `yaml:"follow" about:"places of which the server makes collections, again and again; what a place had is kept while it cannot be read"`
}

// VectorIndex is a database of vectors.
type VectorIndex struct {
	Kind string `yaml:"kind" one:"embedded pgvector qdrant weaviate milvus redis pinecone" about:"what it is; embedded is none"`
	URL  string `yaml:"url" about:"where it is, without a password, e.g. postgres://writ@127.0.0.1:5432/writ or http://127.0.0.1:6333"`
	Key  Secret `yaml:"key" path:"secret" about:"its password, API key or token, if it needs one"`
}

// Log says what is logged.
type Log struct {
	Level  string `yaml:"level" one:"debug info warn error" about:"the least important that is logged"`
	Format string `yaml:"format" one:"auto text json" about:"auto is text on a terminal and json elsewhere"`
}

// Transparency is how the log of heads is kept. It cannot be switched off.
type Transparency struct {
	Origin    string        `yaml:"origin" about:"the log's name, a URL without scheme; made of the operator's key if empty, and not to be changed later"`
	Interval  time.Duration `yaml:"interval" about:"least time between checkpoints, 100ms or more; 1s if 0"`
	Witnesses string        `yaml:"witnesses" path:"yes" about:"policy file (c2sp.org/tlog-policy) of the witnesses that must cosign"`
	Timeout   time.Duration `yaml:"timeout" about:"how long witnesses may take; 2s if 0"`
	Optional  bool          `yaml:"optional" about:"publish a checkpoint without its quorum of witnesses"`
}

// MinRetention is how many days payloads are kept at least: six months, as laws about such logs ask.
const MinRetention = 184

// Retention says when payloads of ended runs are erased. Records are never deleted.
type Retention struct {
	Days  int64 `yaml:"days" about:"days after a run's end when its payloads are erased, 184 or more; they are kept if 0"`
	Short bool  `yaml:"short" about:"allow fewer days than 184, where no law asks for them"`
}

// Anchor says where the log is anchored. It is off without RPC; with it, all but Interval and MaxFee is needed.
type Anchor struct {
	RPC      []string      `yaml:"rpc" about:"JSON-RPC endpoints of the chain that the log is anchored on, 1 to 8; off if empty"`
	Chain    int64         `yaml:"chain" about:"EIP-155 id of that chain"`
	Contract string        `yaml:"contract" about:"address of the anchors' contract; writ anchor deploy makes one"`
	Key      Secret        `yaml:"key" path:"secret" about:"private key of the account that anchors, which must do nothing else"`
	Interval time.Duration `yaml:"interval" about:"between two anchors, 1m or more; 1h if 0"`
	MaxFee   int64         `yaml:"max_fee_gwei" about:"gwei for a unit of gas at most; while the chain asks more, anchors wait; 100 if 0"`
}

// Limits are those of the server that operators tune.
type Limits struct {
	Rate       int64         `yaml:"rate" about:"requests a second of one wallet or address"`
	Burst      int64         `yaml:"burst" about:"requests at once"`
	PerAddress int64         `yaml:"sockets_per_address" about:"connections of one address before they sign in"`
	PerWallet  int64         `yaml:"sockets_per_wallet" about:"connections of one wallet"`
	PerNetwork int64         `yaml:"sockets_per_network" about:"connections of one address in all, whosever they are"`
	Bytes      int64         `yaml:"bytes" about:"bytes a second of one connection with a session; one without may send an eighth"`
	Wallet     Quota         `yaml:"wallet" about:"what one wallet may take, from however many addresses"`
	Address    Quota         `yaml:"address" about:"what one address (IPv6: one /64) may take, with however many wallets"`
	Idle       time.Duration `yaml:"idle" about:"how long a session may go unused before it is over, 1m to 24h; 15m if 0"`
	Drain      time.Duration `yaml:"drain" about:"how long calls under way may take at the end, 30s if 0; connections then have 10s, or this if it is less"`
}

// A Quota is the share of one client in what the server has. 0 takes the default.
type Quota struct {
	Runs    int64 `yaml:"runs" about:"runs that are open at once; 200 of a wallet and 800 of an address if 0"`
	PerHour int64 `yaml:"runs_per_hour" about:"runs that are started in an hour; 3000 of a wallet and 12000 of an address if 0"`
	PerDay  int64 `yaml:"bytes_per_day" about:"bytes of requests in a day; 512 MiB of a wallet and 2 GiB of an address if 0"`
}

// Default returns what holds if nothing is set.
func Default() Config {
	return Config{
		Listen: "127.0.0.1:8420", Data: "writ-data", Scheme: "http", Domain: "localhost:8420",
		Origins: []string{"http://localhost:8420", "http://127.0.0.1:8420"},
		Agents:  []string{"treasurer", "reader"}, Policies: "default",
		Library: Library{Index: VectorIndex{Kind: "embedded"}},
		Log:     Log{Level: "info", Format: "auto"}, Proxies: Proxies{Header: "x-forwarded-for"},
		Chain: Chain{Stuck: "raise"},
	}
}

// A Secret says where a secret is: "file:" and a path, or "env:" and a name. Empty is none. It prints as it is, since
// it is none itself.
type Secret string

// Reveal reads the secret; white space around it is cut off. It is an error if there is nothing.
func (s Secret) Reveal() (string, error) {
	kind, where, _ := strings.Cut(string(s), ":")
	var text string
	switch kind {
	case "env":
		text = os.Getenv(where)
	case "file":
		f, err := os.Open(where)
		if err != nil {
			return "", fmt.Errorf("read the secret %s: %w", s, err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, 64<<10))
		if err != nil {
			return "", fmt.Errorf("read the secret %s: %w", s, err)
		}
		text = string(b)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", fmt.Errorf("read the secret %s: there is nothing; set it, or take the key out of the configuration", s)
	}
	return text, nil
}

// Sources say where settings come from.
type Sources struct {
	File  string                           // the YAML file; if empty, writ.yaml if there is one
	Env   func(name string) (string, bool) // os.LookupEnv; nothing if nil
	Flags map[string]string                // by path, e.g. "chain.rpc"; those that were given
}

// DefaultFile is read if no file is named and it is there.
const DefaultFile = "writ.yaml"

const maxFile = 1 << 20

// Load reads all sources and checks the result. The error is one sentence that names the key and where it was set.
func Load(s Sources) (*Config, error) {
	c := Default()
	c.origins = map[string]string{}
	name := s.File
	if name == "" {
		name = DefaultFile
	}
	data, err := readFile(name)
	switch {
	case err == nil:
		if err := c.readFileInto(name, data); err != nil {
			return nil, err
		}
	case s.File != "" || !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if err := c.readEnvironment(s.Env); err != nil {
		return nil, err
	}
	if err := c.readFlags(s.Flags); err != nil {
		return nil, err
	}
	if err := c.checkAll(); err != nil {
		return nil, err
	}
	return &c, nil
}

// CheckAfter refuses settings that were read again, in the place of earlier ones, where what is missing would be taken
// for the defaults: their file is gone or empty, or the operator's policies are not set any more. Either is what a
// mistake leaves, and the defaults may allow more.
func (c *Config) CheckAfter(earlier *Config) error {
	if earlier.file != "" && c.file == "" {
		return fmt.Errorf("%s is gone or empty, and it was there before; put it back, or restart", earlier.file)
	}
	if was := earlier.origins["policies"]; was != "" && c.origins["policies"] == "" {
		return fmt.Errorf("policies is not set any more, and it was (%s); set it, or restart", was)
	}
	return nil
}

func (c *Config) readEnvironment(lookup func(string) (string, bool)) error {
	if lookup == nil {
		return nil
	}
	for _, l := range listLeaves(reflect.ValueOf(c).Elem(), "") {
		if !l.hasTextForm() {
			continue
		}
		env := envName(l.path)
		if text, ok := lookup(env); ok {
			if err := l.setText(text); err != nil {
				return fmt.Errorf("environment variable %s: %w", env, err)
			}
			c.origins[l.path] = "environment " + env
		}
	}
	return nil
}

func (c *Config) readFlags(flags map[string]string) error {
	for _, path := range slices.Sorted(maps.Keys(flags)) {
		l, ok := findLeaf(c, path)
		if !ok {
			return fmt.Errorf("there is no setting %q", path)
		}
		if err := l.setText(flags[path]); err != nil {
			return fmt.Errorf("flag for %s: %w", path, err)
		}
		c.origins[path] = "flag"
	}
	return nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: longer than %d bytes", name, maxFile)
	}
	return data, err
}

func envName(path string) string {
	return "WRIT_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// A Setting is one effective value.
type Setting struct {
	Path   string `json:"path"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // "default", "writ.yaml:7", "environment WRIT_DATA", "flag"
	Env    string `json:"env,omitempty"`
	About  string `json:"about"`
}

// Settings lists every setting in the order of the manual. Secrets show where they are, never what.
func (c *Config) Settings() []Setting {
	var out []Setting
	for _, l := range listLeaves(reflect.ValueOf(c).Elem(), "") {
		s := Setting{Path: l.path, Value: l.formatText(), Origin: "default", About: l.field.Tag.Get("about")}
		if o, ok := c.origins[l.path]; ok {
			s.Origin = o
		}
		if l.hasTextForm() {
			s.Env = envName(l.path)
		}
		out = append(out, s)
	}
	return out
}

// checkAll looks at values that have the right type and may still make no sense.
func (c *Config) checkAll() error {
	for _, part := range []func() error{
		c.checkLeaves, c.checkPlaces, c.checkIdle, c.checkWallets, c.checkTokens, c.checkIPFS, c.checkRetention,
		c.checkAnchor, c.checkSigning, c.checkAgents, c.checkFollowed, c.checkModels, c.checkTools, c.checkWebhooks,
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// badSetting is an error about the setting at path, with the place that it comes from.
func (c *Config) badSetting(path, format string, args ...any) error {
	return fmt.Errorf("%s (%s): %s", path, c.placeOf(path), fmt.Sprintf(format, args...))
}

// placeOf says where a setting comes from; of one that is not set, what is set within it or beside it.
func (c *Config) placeOf(path string) string {
	if from := c.origins[path]; from != "" {
		return from
	}
	parent, _, nested := strings.Cut(path, ".")
	for _, other := range slices.Sorted(maps.Keys(c.origins)) {
		switch {
		case strings.HasPrefix(other, path+"."):
			return c.origins[other]
		case nested && strings.HasPrefix(other, parent+"."):
			return "not set, beside " + other + " at " + c.origins[other]
		}
	}
	return "default"
}

// checkLeaves checks what can be said of each setting alone.
func (c *Config) checkLeaves() error {
	for _, l := range listLeaves(reflect.ValueOf(c).Elem(), "") {
		if one := l.field.Tag.Get("one"); one != "" && !slices.Contains(strings.Fields(one), l.value.String()) {
			return c.badSetting(l.path, "%q is none of %s%s", l.value, strings.ReplaceAll(one, " ", ", "),
				suggestName(l.value.String(), strings.Fields(one)))
		}
		if s, ok := l.value.Interface().(Secret); ok {
			if err := s.checkForm(); err != nil {
				return c.badSetting(l.path, "%v", err)
			}
		}
		if l.value.CanInt() && l.value.Int() < 0 {
			return c.badSetting(l.path, "must not be negative")
		}
	}
	if c.Reuse > time.Hour {
		return c.badSetting("reuse", "answers are given again for at most 1h")
	}
	return nil
}

// checkPlaces checks where the server is, and for which pages.
func (c *Config) checkPlaces() error {
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || !isPort(port) {
		return c.badSetting("listen", "%q is not an address with a port; write for instance 127.0.0.1:8420", c.Listen)
	}
	if c.Data == "" {
		return c.badSetting("data", "must name a folder")
	}
	if u, err := url.Parse(c.Scheme + "://" + c.Domain); err != nil || c.Domain == "" || u.Host != c.Domain ||
		c.Domain != strings.ToLower(c.Domain) {
		return c.badSetting("domain", "%q is not a domain; write it in lower case, for instance app.example.com", c.Domain)
	}
	for _, o := range c.Origins {
		if !wire.IsOrigin(o) {
			return c.badSetting("origins", "%q is not an origin; write scheme://host or scheme://host:port, nothing after it", o)
		}
	}
	if _, port, err := net.SplitHostPort(c.Metrics); c.Metrics != "" && (err != nil || !isPort(port)) {
		return c.badSetting("metrics", "%q is not an address with a port; write for instance 127.0.0.1:9464", c.Metrics)
	}
	if isSamePlace(c.Metrics, c.Listen) {
		return c.badSetting("metrics", "%s is where the server itself listens (listen: %s); give figures a port of their own",
			c.Metrics, c.Listen)
	}
	if _, err := c.Proxies.Prefixes(); err != nil {
		return c.badSetting("proxies.trusted", "%v", err)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return c.badSetting("tls", "needs both cert and key")
	}
	dapps := map[string]bool{}
	for i, d := range c.Dapps {
		switch {
		case !wire.IsWebOrigin(d.Origin) || d.Origin != strings.ToLower(d.Origin):
			return c.badSetting("dapps", "%q is not an origin of a web page; write https://host or https://host:port in "+
				"lower case, nothing after it; the shell of an app stands under origins", d.Origin)
		case dapps[d.Origin]:
			return c.badSetting("dapps", "%s is there twice", d.Origin)
		case d.Policies == "":
			return c.badSetting("dapps", "entry %d, %s, names no policies; give it the operator's, %s, if it has "+
				"none of its own", i+1, d.Origin, c.Policies)
		}
		dapps[d.Origin] = true
	}
	return nil
}

// isSamePlace says whether two addresses cannot both be listened at: one port, of one host or of all.
func isSamePlace(a, b string) bool {
	host, port, err := net.SplitHostPort(a)
	host2, port2, err2 := net.SplitHostPort(b)
	isAll := func(h string) bool { ip := net.ParseIP(h); return h == "" || ip != nil && ip.IsUnspecified() }
	return errors.Join(err, err2) == nil && port == port2 && port != "0" && (host == host2 || isAll(host) || isAll(host2))
}

// checkWallets checks who may sign in, and which chain is asked.
func (c *Config) checkWallets() error {
	for _, w := range c.Wallets {
		if !common.IsHexAddress(w) && !isContract(w) && (w != "any" || len(c.Wallets) > 1) {
			return c.badSetting("wallets",
				"%q is not an address; write 0x and 40 hex digits, for a contract wallet eip155:CHAIN: before it, or any alone", w)
		}
		if hasWrongChecksum(w[strings.LastIndexByte(w, ':')+1:]) {
			return c.badSetting("wallets", "the address %s has a wrong checksum; copy it again from its source", w)
		}
	}
	if c.Chain.Key != "" && len(c.Wallets) == 0 {
		return c.badSetting("wallets",
			"must say who may sign in, since agents spend the money of chain.key: list addresses, or write any")
	}
	for _, r := range c.Chain.RPC {
		if err := isEndpoint(r); err != nil {
			return c.badSetting("chain.rpc", "%v", err)
		}
	}
	if twice := findTwice(c.Chain.RPC); twice != "" {
		return c.badSetting("chain.rpc", "%s stands twice, and its word would count twice; name each once", twice)
	}
	if _, err := tools.ParseFinality(c.Chain.Finality()); err != nil {
		return c.badSetting("chain.final", "%v, or instant", err)
	}
	if c.Chain.MaxFee < 0 || c.Chain.MaxFee > 1_000_000 {
		return c.badSetting("chain.max_fee_gwei", "%d is not from 1 to 1000000; 0 is 500", c.Chain.MaxFee)
	}
	if after := c.Chain.StuckAfter; after != 0 && after < time.Second {
		return c.badSetting("chain.stuck_after", "%s is less than 1s", after)
	}
	return nil
}

// findTwice returns an endpoint that is there twice, however it is written, without what may be a secret in it; empty
// if none is. A majority of endpoints is one of different endpoints.
func findTwice(endpoints []string) string {
	seen := map[string]bool{}
	for _, e := range endpoints {
		u, err := url.Parse(e)
		if err != nil {
			continue // which its own check says
		}
		port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)])
		at := strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) + ":" + port
		one := at + strings.TrimRight(u.EscapedPath(), "/") + "?" + u.RawQuery
		if seen[one] {
			return at
		}
		seen[one] = true
	}
	return ""
}

// hasWrongChecksum says whether an address has capitals that are not those of EIP-55.
func hasWrongChecksum(address string) bool {
	digits := strings.TrimPrefix(address, "0x")
	mixed := digits != strings.ToLower(digits) && digits != strings.ToUpper(digits)
	return mixed && common.IsHexAddress(address) && common.HexToAddress(address).Hex() != "0x"+digits
}

// checkIPFS checks who gets blocks.
func (c *Config) checkIPFS() error {
	if c.IPFS.API != "" {
		if err := isEndpoint(c.IPFS.API); err != nil {
			return c.badSetting("ipfs.api", "%v", err)
		}
	}
	for name, list := range map[string][]string{"ipfs.listen": c.IPFS.Listen, "ipfs.peers": c.IPFS.Peers} {
		for _, a := range list {
			if !strings.HasPrefix(a, "/") || name == "ipfs.peers" && !strings.Contains(a, "/p2p/") {
				return c.badSetting(name, "%q is not such an address; write for instance /ip4/127.0.0.1/tcp/4001%s", a,
					map[string]string{"ipfs.peers": "/p2p/12D3Koo..."}[name])
			}
		}
	}
	return nil
}

// checkRetention checks how long payloads are kept.
func (c *Config) checkRetention() error {
	if d := c.Retention.Days; d > 0 && d < MinRetention && !c.Retention.Short {
		return c.badSetting("retention.days",
			"%d are fewer than %d, which laws about logs of such systems ask for; set retention.short too if none is for "+
				"you", d, MinRetention)
	} else if d > 36500 {
		return c.badSetting("retention.days", "%d are more than a hundred years; write 0 to keep everything", d)
	}
	return nil
}

// checkAnchor checks where the log is anchored.
func (c *Config) checkAnchor() error {
	for _, r := range c.Anchor.RPC {
		if err := isEndpoint(r); err != nil {
			return c.badSetting("anchor.rpc", "%v", err)
		}
	}
	switch a := c.Anchor; {
	case len(a.RPC) == 0 && (a.Chain != 0 || a.Contract != "" || a.Key != ""):
		return c.badSetting("anchor.rpc",
			"must name an endpoint, or the log is not anchored; take the other keys out to leave it so")
	case len(a.RPC) == 0:
	case len(a.RPC) > 8:
		return c.badSetting("anchor.rpc", "%d endpoints; give 1 to 8", len(a.RPC))
	case a.Chain <= 0:
		return c.badSetting("anchor.chain", "needs the EIP-155 id of the chain")
	case !common.IsHexAddress(a.Contract):
		return c.badSetting("anchor.contract", "%q is not an address; make one with: writ anchor deploy", a.Contract)
	case a.Key == "":
		return c.badSetting("anchor.key", "needs the key of an account of its own")
	case a.Key == c.Chain.Key:
		return c.badSetting("anchor.key",
			"is chain.key too; an account that does both would take its own nonces, so give it one of its own")
	case a.Interval != 0 && a.Interval < time.Minute:
		return c.badSetting("anchor.interval", "%s is less than 1m", a.Interval)
	case a.MaxFee < 0 || a.MaxFee > 1_000_000:
		return c.badSetting("anchor.max_fee_gwei", "%d is not from 1 to 1000000; 0 is 100", a.MaxFee)
	}
	return nil
}

// checkSigning checks how long sessions idle, and who judges contract wallets.
func (c *Config) checkSigning() error {
	if d := c.Limits.Idle; d != 0 && (d < time.Minute || d > 24*time.Hour) {
		return c.badSetting("limits.idle", "%s is not between 1m and 24h", d)
	}
	if n := int64(len(c.Chain.RPC)); c.Chain.Quorum > n && n > 0 {
		return c.badSetting("chain.quorum", "%d of %d endpoints cannot agree; add endpoints to chain.rpc", c.Chain.Quorum, n)
	}
	for i, w := range c.ContractWallets {
		switch n := int64(len(w.RPC)); {
		case w.Chain <= 0:
			return c.badSetting("contract_wallets", "entry %d needs a chain, its EIP-155 id", i+1)
		case n == 0 || n > 8:
			return c.badSetting("contract_wallets", "chain %d has %d endpoints; give 1 to 8", w.Chain, n)
		case w.Quorum < 0 || w.Quorum > n:
			return c.badSetting("contract_wallets", "chain %d: %d of %d endpoints cannot agree", w.Chain, w.Quorum, n)
		}
		for _, r := range w.RPC {
			if err := isEndpoint(r); err != nil {
				return c.badSetting("contract_wallets", "chain %d: %v", w.Chain, err)
			}
		}
		if twice := findTwice(w.RPC); twice != "" {
			return c.badSetting("contract_wallets", "chain %d: %s stands twice, and its word would count twice; name each "+
				"once", w.Chain, twice)
		}
	}
	return nil
}

// checkAgents checks what agents are there, by which rules and documents.
func (c *Config) checkAgents() error {
	if len(c.Agents) == 0 {
		return c.badSetting("agents", "at least one is needed; treasurer, reader and researcher come with writ")
	}
	if c.Policies == "" {
		return c.badSetting("policies", "a policy set is needed; \"default\" comes with writ")
	}
	if c.Library.On && len(c.Documents) > 0 {
		return c.badSetting("documents", "with library.on they are not read: add them with writ docs add, and say who may "+
			"read them")
	}
	sources := map[string]bool{}
	for i, d := range c.Documents {
		if d.Source == "" || strings.Trim(d.Source, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || d.Path == "" {
			return c.badSetting("documents", "entry %d needs a source, of lower-case letters, digits, '-' and '_', and a path",
				i+1)
		}
		if sources[d.Source] {
			return c.badSetting("documents", "the source %q is there twice", d.Source)
		}
		sources[d.Source] = true
		if _, err := label.ParseIntegrity(d.Integrity); d.Integrity != "" && err != nil {
			return c.badSetting("documents", "source %s: %v", d.Source, err)
		}
		if _, err := label.ParseSecrecy(d.Secrecy); d.Secrecy != "" && err != nil {
			return c.badSetting("documents", "source %s: %v", d.Source, err)
		}
	}
	return nil
}

// checkModels checks which models answer.
func (c *Config) checkModels() error {
	seen := map[string]bool{}
	for i := range c.Models {
		if err := c.Models[i].Fill(); err != nil {
			return c.badSetting("models", "model %d: %v", i+1, err)
		}
		m := c.Models[i]
		switch {
		case m.Name == "" || m.Model == "":
			return c.badSetting("models", "model %d needs a name and a model", i+1)
		case m.Name == "rules" || seen[m.Name]:
			return c.badSetting("models", "the name %q is taken", m.Name)
		case !slices.Contains(preset.Kinds(), m.Kind):
			return c.badSetting("models", "model %q: kind %q is none of %s; name a preset or a kind", m.Name, m.Kind,
				strings.Join(preset.Kinds(), ", "))
		case m.Constrained && m.Kind != preset.OpenAI:
			return c.badSetting("models", "model %q: constrained goes with kind openai only", m.Name)
		}
		seen[m.Name] = true
		if err := isEndpoint(m.URL); err != nil {
			return c.badSetting("models", "model %q: url: %v", m.Name, err)
		}
		if err := m.Key.checkForm(); err != nil {
			return c.badSetting("models", "model %q: key: %v", m.Name, err)
		}
		if min(m.PriceIn, m.PriceOut, m.PriceCached, m.PriceWrite5m, m.PriceWrite1h, m.MaxTokens, m.Window) < 0 {
			return c.badSetting("models", "model %q: prices, max_tokens and window must not be negative", m.Name)
		}
		if m.Weight < 0 || m.Weight > 1_000_000 {
			return c.badSetting("models", "model %q: weight must be from 0 to 1000000", m.Name)
		}
		if m.Pool == "rules" || m.Pool == "none" || m.Pool == "refuse" {
			return c.badSetting("models", "model %q: the name %q of its pool is taken", m.Name, m.Pool)
		}
	}
	for _, m := range c.Models {
		if m.Pool != "" && seen[m.Pool] {
			return c.badSetting("models", "a model and a pool have the name %q; give them two", m.Pool)
		}
	}
	return nil
}

func (s Secret) checkForm() error {
	kind, where, ok := strings.Cut(string(s), ":")
	if s != "" && (!ok || where == "" || kind != "file" && kind != "env") {
		return errors.New("secrets do not stand in a configuration; write file:PATH or env:NAME") // and is not shown
	}
	return nil
}

// isContract says whether a wallet is named by CAIP-10: "eip155:", the chain's id, ":" and the address.
func isContract(s string) bool {
	kind, rest, _ := strings.Cut(s, ":")
	chain, address, _ := strings.Cut(rest, ":")
	id, err := strconv.ParseUint(chain, 10, 63)
	return kind == "eip155" && err == nil && id > 0 && strconv.FormatUint(id, 10) == chain &&
		common.IsHexAddress(address) &&
		strings.HasPrefix(address, "0x")
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func isEndpoint(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("not an http or https URL") // which may hold a key: it is not shown
	case u.User != nil:
		return fmt.Errorf("a URL here must not hold a password")
	}
	return nil
}

func resolvePath(dir, path string) string {
	if dir == "" || path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
