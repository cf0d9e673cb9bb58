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
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/label"
)

// A Config is everything that can be set. The about tags are the manual; they go into the schema.
type Config struct {
	Listen   string   `yaml:"listen" about:"address and port to listen on"`
	Data     string   `yaml:"data" path:"yes" about:"folder for the database and the keys"`
	Scheme   string   `yaml:"scheme" one:"https http" about:"scheme of the pages that ask for signatures"`
	Domain   string   `yaml:"domain" about:"domain that wallets see in the message they sign, with its port if it has one"`
	Origins  []string `yaml:"origins" about:"web origins whose pages may connect, e.g. https://app.example.com"`
	Hosts    []string `yaml:"hosts" about:"names by which clients call this server; those of origins and localhost if empty"`
	Wallets  []string `yaml:"wallets" about:"wallets that may sign in: addresses, for contract wallets with their chain, eip155:8453:0x..., or any; needed with chain.key"`
	Agents   []string `yaml:"agents" path:"named" about:"agent files, or the names of shipped agents"`
	Policies string   `yaml:"policies" path:"named" about:"the operator's policy file, or the name of a built-in set"`
	// Dapps need not be listed under Origins too.
	Dapps []Dapp `yaml:"dapps" about:"pages with a policy set of their own, which narrows the operator's; wallets sign for these pages in their name"`
	Chain Chain  `yaml:"chain" about:"the Ethereum chain that tools use"`
	// ContractWallets are other chains than Chain, whose endpoints are asked about contract wallets without being named.
	ContractWallets []WalletChain `yaml:"contract_wallets" about:"more chains whose contract wallets may sign in, and who is asked about them"`
	IPFS            IPFS          `yaml:"ipfs" about:"where records go besides this server's own gateway; nowhere by default"`
	Models          []Model       `yaml:"models" about:"models that routes may name, besides the built-in rules"`
	Fetch           Fetch         `yaml:"fetch" about:"the tool web.fetch, which reads web pages; off if no host is named"`
	// Documents switch the tool docs.search on.
	Documents    []Documents  `yaml:"documents" about:"texts in which the tool docs.search finds passages; off if there are none"`
	Log          Log          `yaml:"log" about:"what is logged, and how"`
	Transparency Transparency `yaml:"transparency" about:"the public log of signed heads"`
	Retention    Retention    `yaml:"retention" about:"how long payloads are kept"`
	Anchor       Anchor       `yaml:"anchor" about:"where the log's checkpoints are anchored on a chain; nowhere by default"`
	Limits       Limits       `yaml:"limits" about:"what clients may cost; 0 takes the default"`

	origins map[string]string // by path: where a value that is no default came from
}

// A Dapp is the pages of one origin.
type Dapp struct {
	Origin   string `yaml:"origin" about:"of the pages, as browsers send it: https://shop.example, with the port if it is not the scheme's own"`
	Policies string `yaml:"policies" path:"named" about:"policy file, or the name of a built-in set"`
}

// Chain is the chain that tools read and write.
type Chain struct {
	RPC []string `yaml:"rpc" about:"JSON-RPC endpoints, http or https; several of one chain are a pool"`
	Key Secret   `yaml:"key" path:"secret" about:"private key of the agent's own account"`
	// Quorum is of the endpoints in RPC.
	Quorum int64 `yaml:"quorum" about:"how many of the endpoints must agree before a contract wallet may move value; 2 if 0, or 1 if all are on this machine"`
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

// A Model is an OpenAI-compatible endpoint with its price.
type Model struct {
	Name      string `yaml:"name" about:"what routes call it"`
	Kind      string `yaml:"kind" one:"openai" about:"how it is spoken to"`
	URL       string `yaml:"url" about:"base URL, e.g. http://127.0.0.1:11434/v1"`
	Model     string `yaml:"model" about:"the model's name there"`
	Key       Secret `yaml:"key" path:"secret" about:"API key, if it needs one"`
	PriceIn   int64  `yaml:"price_in" about:"nano-USD for a million input tokens; 0 is free"`
	PriceOut  int64  `yaml:"price_out" about:"nano-USD for a million output tokens; 0 is free"`
	MaxTokens int64  `yaml:"max_tokens" about:"upper bound of one answer; 1024 if 0"`
	// Constrained is for small models, whose own tool calls cannot be relied on.
	Constrained bool `yaml:"constrained" about:"tool calls under a JSON schema made for each request, for small models"`
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
	Idle       time.Duration `yaml:"idle" about:"how long a session may go unused before it is over, 1m to 24h; 15m if 0"`
	Drain      time.Duration `yaml:"drain" about:"how long connections may take to close at the end, e.g. 10s"`
}

// Default returns what holds if nothing is set.
func Default() Config {
	return Config{
		Listen: "127.0.0.1:8420", Data: "writ-data", Scheme: "http", Domain: "localhost:8420",
		Origins: []string{"http://localhost:8420", "http://127.0.0.1:8420"},
		Agents:  []string{"treasurer", "reader"}, Policies: "default",
		Log: Log{Level: "info", Format: "auto"},
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
		if err := c.file(name, data); err != nil {
			return nil, err
		}
	case s.File != "" || !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	for _, l := range leaves(reflect.ValueOf(&c).Elem(), "") {
		if s.Env == nil || !l.settable() {
			continue
		}
		env := envName(l.path)
		if text, ok := s.Env(env); ok {
			if err := l.set(text); err != nil {
				return nil, fmt.Errorf("environment variable %s: %w", env, err)
			}
			c.origins[l.path] = "environment " + env
		}
	}
	for _, path := range slices.Sorted(keys(s.Flags)) {
		l, ok := find(&c, path)
		if !ok {
			return nil, fmt.Errorf("there is no setting %q", path)
		}
		if err := l.set(s.Flags[path]); err != nil {
			return nil, fmt.Errorf("flag for %s: %w", path, err)
		}
		c.origins[path] = "flag"
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return &c, nil
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
	for _, l := range leaves(reflect.ValueOf(c).Elem(), "") {
		s := Setting{Path: l.path, Value: l.text(), Origin: "default", About: l.field.Tag.Get("about")}
		if o, ok := c.origins[l.path]; ok {
			s.Origin = o
		}
		if l.settable() {
			s.Env = envName(l.path)
		}
		out = append(out, s)
	}
	return out
}

// check looks at values that have the right type and may still make no sense.
func (c *Config) check() error {
	for _, part := range []func() error{
		c.checkLeaves, c.checkPlaces, c.checkWallets, c.checkIPFS, c.checkRetention, c.checkAnchor, c.checkSigning, c.checkAgents,
		c.checkModels,
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// bad is an error about the setting at path, with the place that it comes from.
func (c *Config) bad(path, format string, args ...any) error {
	from := c.origins[path]
	if from == "" {
		from = "default"
	}
	return fmt.Errorf("%s (%s): %s", path, from, fmt.Sprintf(format, args...))
}

// checkLeaves checks what can be said of each setting alone.
func (c *Config) checkLeaves() error {
	for _, l := range leaves(reflect.ValueOf(c).Elem(), "") {
		if one := l.field.Tag.Get("one"); one != "" && !slices.Contains(strings.Fields(one), l.value.String()) {
			return c.bad(l.path, "%q is none of %s%s", l.value, strings.ReplaceAll(one, " ", ", "), meant(l.value.String(), strings.Fields(one)))
		}
		if s, ok := l.value.Interface().(Secret); ok {
			if err := s.check(); err != nil {
				return c.bad(l.path, "%v", err)
			}
		}
		if l.value.CanInt() && l.value.Int() < 0 {
			return c.bad(l.path, "must not be negative")
		}
	}
	return nil
}

// checkPlaces checks where the server is, and for which pages.
func (c *Config) checkPlaces() error {
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || !isPort(port) {
		return c.bad("listen", "%q is not an address with a port; write for instance 127.0.0.1:8420", c.Listen)
	}
	if c.Data == "" {
		return c.bad("data", "must name a folder")
	}
	if u, err := url.Parse(c.Scheme + "://" + c.Domain); err != nil || c.Domain == "" || u.Host != c.Domain {
		return c.bad("domain", "%q is not a domain; write for instance app.example.com", c.Domain)
	}
	for _, o := range c.Origins {
		if u, err := url.Parse(o); err != nil || u.Host == "" || o != u.Scheme+"://"+u.Host || u.Scheme != "https" && u.Scheme != "http" {
			return c.bad("origins", "%q is not an origin; write scheme://host or scheme://host:port, nothing after it", o)
		}
	}
	dapps := map[string]bool{}
	for i, d := range c.Dapps {
		switch u, err := url.Parse(d.Origin); {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || d.Origin != strings.ToLower(u.Scheme+"://"+u.Host):
			return c.bad("dapps", "%q is not an origin; write scheme://host or scheme://host:port in lower case, nothing after it", d.Origin)
		case dapps[d.Origin]:
			return c.bad("dapps", "%s is there twice", d.Origin)
		case d.Policies == "":
			return c.bad("dapps", "entry %d, %s, names no policies", i+1, d.Origin)
		}
		dapps[d.Origin] = true
	}
	return nil
}

// checkWallets checks who may sign in, and which chain is asked.
func (c *Config) checkWallets() error {
	for _, w := range c.Wallets {
		if !common.IsHexAddress(w) && !isContract(w) && (w != "any" || len(c.Wallets) > 1) {
			return c.bad("wallets", "%q is not an address; write 0x and 40 hex digits, for a contract wallet eip155:CHAIN: before it, or any alone", w)
		}
	}
	if c.Chain.Key != "" && len(c.Wallets) == 0 {
		return c.bad("wallets", "must say who may sign in, since agents spend the money of chain.key: list addresses, or write any")
	}
	for _, r := range c.Chain.RPC {
		if err := isEndpoint(r); err != nil {
			return c.bad("chain.rpc", "%v", err)
		}
	}
	return nil
}

// checkIPFS checks who gets blocks.
func (c *Config) checkIPFS() error {
	if c.IPFS.API != "" {
		if err := isEndpoint(c.IPFS.API); err != nil {
			return c.bad("ipfs.api", "%v", err)
		}
	}
	for name, list := range map[string][]string{"ipfs.listen": c.IPFS.Listen, "ipfs.peers": c.IPFS.Peers} {
		for _, a := range list {
			if !strings.HasPrefix(a, "/") || name == "ipfs.peers" && !strings.Contains(a, "/p2p/") {
				return c.bad(name, "%q is not such an address; write for instance /ip4/127.0.0.1/tcp/4001%s", a,
					map[string]string{"ipfs.peers": "/p2p/12D3Koo..."}[name])
			}
		}
	}
	return nil
}

// checkRetention checks how long payloads are kept.
func (c *Config) checkRetention() error {
	if d := c.Retention.Days; d > 0 && d < MinRetention && !c.Retention.Short {
		return c.bad("retention.days", "%d are fewer than %d, which laws about logs of such systems ask for; set retention.short too if none is for you", d, MinRetention)
	} else if d > 36500 {
		return c.bad("retention.days", "%d are more than a hundred years; write 0 to keep everything", d)
	}
	return nil
}

// checkAnchor checks where the log is anchored.
func (c *Config) checkAnchor() error {
	for _, r := range c.Anchor.RPC {
		if err := isEndpoint(r); err != nil {
			return c.bad("anchor.rpc", "%v", err)
		}
	}
	switch a := c.Anchor; {
	case len(a.RPC) == 0 && (a.Chain != 0 || a.Contract != "" || a.Key != ""):
		return c.bad("anchor.rpc", "must name an endpoint, or the log is not anchored; take the other keys out to leave it so")
	case len(a.RPC) == 0:
	case len(a.RPC) > 8:
		return c.bad("anchor.rpc", "%d endpoints; give 1 to 8", len(a.RPC))
	case a.Chain <= 0:
		return c.bad("anchor.chain", "needs the EIP-155 id of the chain")
	case !common.IsHexAddress(a.Contract):
		return c.bad("anchor.contract", "%q is not an address; make one with: writ anchor deploy", a.Contract)
	case a.Key == "":
		return c.bad("anchor.key", "needs the key of an account of its own")
	case a.Key == c.Chain.Key:
		return c.bad("anchor.key", "is chain.key too; an account that does both would take its own nonces, so give it one of its own")
	case a.Interval != 0 && a.Interval < time.Minute:
		return c.bad("anchor.interval", "%s is less than 1m", a.Interval)
	case a.MaxFee < 0 || a.MaxFee > 1_000_000:
		return c.bad("anchor.max_fee_gwei", "%d is not from 1 to 1000000; 0 is 100", a.MaxFee)
	}
	return nil
}

// checkSigning checks how long sessions idle, and who judges contract wallets.
func (c *Config) checkSigning() error {
	if d := c.Limits.Idle; d != 0 && (d < time.Minute || d > 24*time.Hour) {
		return c.bad("limits.idle", "%s is not between 1m and 24h", d)
	}
	if n := int64(len(c.Chain.RPC)); c.Chain.Quorum > n && n > 0 {
		return c.bad("chain.quorum", "%d of %d endpoints cannot agree; add endpoints to chain.rpc", c.Chain.Quorum, n)
	}
	for i, w := range c.ContractWallets {
		switch n := int64(len(w.RPC)); {
		case w.Chain <= 0:
			return c.bad("contract_wallets", "entry %d needs a chain, its EIP-155 id", i+1)
		case n == 0 || n > 8:
			return c.bad("contract_wallets", "chain %d has %d endpoints; give 1 to 8", w.Chain, n)
		case w.Quorum < 0 || w.Quorum > n:
			return c.bad("contract_wallets", "chain %d: %d of %d endpoints cannot agree", w.Chain, w.Quorum, n)
		}
		for _, r := range w.RPC {
			if err := isEndpoint(r); err != nil {
				return c.bad("contract_wallets", "chain %d: %v", w.Chain, err)
			}
		}
	}
	return nil
}

// checkAgents checks what agents are there, by which rules and documents.
func (c *Config) checkAgents() error {
	if len(c.Agents) == 0 {
		return c.bad("agents", "at least one is needed; treasurer, reader and researcher come with writ")
	}
	if c.Policies == "" {
		return c.bad("policies", "a policy set is needed; \"default\" comes with writ")
	}
	sources := map[string]bool{}
	for i, d := range c.Documents {
		if d.Source == "" || strings.Trim(d.Source, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || d.Path == "" {
			return c.bad("documents", "entry %d needs a source, of lower-case letters, digits, '-' and '_', and a path", i+1)
		}
		if sources[d.Source] {
			return c.bad("documents", "the source %q is there twice", d.Source)
		}
		sources[d.Source] = true
		if _, err := label.ParseIntegrity(d.Integrity); d.Integrity != "" && err != nil {
			return c.bad("documents", "source %s: %v", d.Source, err)
		}
		if _, err := label.ParseSecrecy(d.Secrecy); d.Secrecy != "" && err != nil {
			return c.bad("documents", "source %s: %v", d.Source, err)
		}
	}
	return nil
}

// checkModels checks which models answer.
func (c *Config) checkModels() error {
	seen := map[string]bool{}
	for i, m := range c.Models {
		at := "models." + strconv.Itoa(i)
		switch {
		case m.Name == "" || m.Model == "":
			return c.bad("models", "model %d needs a name and a model", i+1)
		case m.Name == "rules" || seen[m.Name]:
			return c.bad("models", "the name %q is taken", m.Name)
		case m.Kind != "openai":
			return c.bad("models", "model %q: kind %q is none of openai", m.Name, m.Kind)
		}
		seen[m.Name] = true
		if err := isEndpoint(m.URL); err != nil {
			return c.bad("models", "%s: %v", at, err)
		}
		if err := m.Key.check(); err != nil {
			return c.bad("models", "model %q: key: %v", m.Name, err)
		}
		if m.PriceIn < 0 || m.PriceOut < 0 || m.MaxTokens < 0 {
			return c.bad("models", "model %q: prices and max_tokens must not be negative", m.Name)
		}
	}
	return nil
}

func (s Secret) check() error {
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
	return kind == "eip155" && err == nil && id > 0 && strconv.FormatUint(id, 10) == chain && common.IsHexAddress(address) &&
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

func resolve(dir, path string) string {
	if dir == "" || path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
