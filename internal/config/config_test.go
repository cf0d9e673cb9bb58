package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

func write(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "writ.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func env(m map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func TestLaterSourcesWin(t *testing.T) {
	name := write(t, "listen: 127.0.0.1:1\ndata: store\nlog:\n  level: warn\nlimits: {drain: 3s}\nchain:\n  rpc: http://a:1\n")
	c, err := Load(Sources{
		File:  name,
		Env:   env(map[string]string{"WRIT_LISTEN": "127.0.0.1:2", "WRIT_LOG_LEVEL": "error", "WRIT_CHAIN_RPC": "http://b:1, http://c:1"}),
		Flags: map[string]string{"log.level": "debug"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:2" || c.Log.Level != "debug" || c.Data != filepath.Join(filepath.Dir(name), "store") ||
		c.Limits.Drain != 3*time.Second || len(c.Chain.RPC) != 2 || c.Policies != "default" {
		t.Errorf("got %+v", c)
	}
	want := map[string]string{
		"listen": "environment WRIT_LISTEN", "log.level": "flag", "data": name + ":2", "policies": "default", "limits.drain": name + ":5",
	}
	for _, s := range c.Settings() {
		if w, ok := want[s.Path]; ok && s.Origin != w {
			t.Errorf("%s: got origin %q, want %q", s.Path, s.Origin, w)
		}
		if s.About == "" {
			t.Errorf("%s has no about", s.Path)
		}
	}
}

// The chain's own coin is known by what it is called there, or by what the settings call it.
func TestTheOwnCoinIsKnown(t *testing.T) {
	for _, file := range []string{
		"chain: {id: 100, tokens: [{symbol: XDAI, decimals: 18}]}\n", "chain: {tokens: [{symbol: ETH, decimals: 18}]}\n",
		"chain: {id: 999999, coin: FOO, tokens: [{symbol: FOO, decimals: 18}]}\n",
		"chain: {id: 10, tokens: [{symbol: USDC, address: '0x0000000000000000000000000000000000000001', decimals: 6}]}\n",
	} {
		path := filepath.Join(t.TempDir(), "writ.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(Sources{File: path}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	tests := []struct {
		rule, file string
		env, flags map[string]string
		want       string
	}{
		{"an unknown key, with what was meant", "data: x\npolices: strict\n", nil, nil, `writ.yaml:2: unknown key "polices"; did you mean "policies"?`},
		{"an unknown key far from all", "zzzzzzzz: 1\n", nil, nil, `known are agents`},
		{"a nested one", "chain:\n  rcp: x\n", nil, nil, `writ.yaml:2: unknown key "chain.rcp"; did you mean "rpc"?`},
		{"one inside a list", "models:\n- name: a\n  modle: b\n", nil, nil, `writ.yaml:3: unknown key "models.1.modle"; did you mean "model"?`},
		{"a key twice", "data: x\ndata: y\n", nil, nil, `writ.yaml:2: the key "data" stands twice`},
		{"payloads that are kept too short", "retention: {days: 30}\n", nil, nil, `writ.yaml:1): 30 are fewer than 184, which laws about logs of such systems ask for; set retention.short too`},
		{"payloads that are kept for ever by mistake", "retention: {days: 1000000}\n", nil, nil, `write 0 to keep everything`},
		{"an anchor without an endpoint", "anchor: {chain: 1}\n", nil, nil, `must name an endpoint, or the log is not anchored`},
		{"an anchor without a contract", "anchor: {rpc: ['http://127.0.0.1:1'], chain: 1}\n", nil, nil, `make one with: writ anchor deploy`},
		{"an anchor by the account of the agents", "wallets: [any]\nchain: {key: 'env:K'}\nanchor: {rpc: ['http://127.0.0.1:1'], chain: 1, contract: '0x5fbdb2315678afecb367f032d93f642f64180aa3', key: 'env:K'}\n", nil, nil, `is chain.key too`},
		{"anchors each second", "anchor: {rpc: ['http://127.0.0.1:1'], chain: 1, contract: '0x5fbdb2315678afecb367f032d93f642f64180aa3', key: 'env:K', interval: 1s}\n", nil, nil, `1s is less than 1m`},
		{"anchors at any price", "wallets: [any]\nanchor: {rpc: ['http://127.0.0.1:1'], chain: 1, contract: '0x5fbdb2315678afecb367f032d93f642f64180aa3', key: 'env:K', max_fee_gwei: 1000001}\n", nil, nil, `1000001 is not from 1 to 1000000`},
		{"no Kubo RPC", "ipfs: {api: localhost}\n", nil, nil, `not an http or https URL`},
		{"no libp2p address", "ipfs: {listen: ['0.0.0.0:4001']}\n", nil, nil, `"0.0.0.0:4001" is not such an address; write for instance /ip4/127.0.0.1/tcp/4001`},
		{"a peer without identity", "ipfs: {peers: [/ip4/127.0.0.1/tcp/4001]}\n", nil, nil, `write for instance /ip4/127.0.0.1/tcp/4001/p2p/12D3Koo...`},
		{"a key of worth and nobody named", "chain: {key: 'file:agent.key'}\n", nil, nil, `must say who may sign in`},
		{"an own coin of other decimals", "chain: {id: 8453, tokens: [{symbol: ETH, decimals: 6}]}\n", nil, nil, `writ.yaml:1): ETH is the chain's own coin, which has 18 decimals on every chain, and not 6`},
		{"an own coin of forgotten decimals", "chain: {id: 8453, tokens: [{symbol: eth}]}\n", nil, nil, `and not 0: write decimals: 18`},
		{"a token without a contract", "chain: {id: 8453, tokens: [{symbol: USDC, decimals: 18}]}\n", nil, nil, `USDC has no address, and the own coin of chain 8453 is ETH`},
		{"a token of the dev chain without a contract", "chain: {tokens: [{symbol: USDC, decimals: 6}]}\n", nil, nil, `the own coin of chain 1337 is ETH`},
		{"one of a chain that is not known", "chain: {id: 999999, tokens: [{symbol: USDC, decimals: 18}]}\n", nil, nil, `USDC has no address: give that of its contract, or write coin: USDC under chain if it is the own coin of chain 999999`},
		{"one beside the coin that is named", "chain: {id: 999999, coin: FOO, tokens: [{symbol: USDC, decimals: 18}]}\n", nil, nil, `the own coin of chain 999999 is FOO`},
		{"a place that is followed for nobody", "library: {on: true, follow: [{source: a, place: b}]}\n", nil, nil, `source a: say who may read it: everyone: true`},
		{"one for everyone and some", "library: {on: true, follow: [{source: a, place: b, everyone: true, agent: c}]}\n", nil, nil, `say who may read it`},
		{"one that nobody searches", "library: {follow: [{source: a, place: b, everyone: true}]}\n", nil, nil, `is not heeded while library.on is not set`},
		{"two places of one collection", "library: {on: true, follow: [{source: a, place: b, everyone: true}, {source: a, place: c, everyone: true}]}\n", nil, nil, `source a: stands twice`},
		{"a place that is read all the time", "library: {on: true, follow: [{source: a, place: b, everyone: true, every: 10ms}]}\n", nil, nil, `10ms is not between 1s and 720h`},
		{"a place of no kind", "library: {on: true, follow: [{source: a, place: 'ftp://b', everyone: true}]}\n", nil, nil, `ftp:// is not read`},
		{"a place with a password", "library: {on: true, follow: [{source: a, place: 'https://u:p@b.example', everyone: true}]}\n", nil, nil, `must not hold a password`},
		{"a host with a scheme", "hosts: ['http://x']\n", nil, nil, `writ.yaml:1): "http://x" is no name that a client calls a server by`},
		{"any host", "hosts: ['*']\n", nil, nil, `"*" is no name`},
		{"a host with a space", "hosts: ['a b']\n", nil, nil, `"a b" is no name`},
		{"a log's name with a scheme", "transparency: {origin: 'https://x.example/log'}\n", nil, nil, `has a scheme, and the log's name has none`},
		{"a header of no proxy", "proxies: {header: forwarded}\n", nil, nil, `writ.yaml:1): is not heeded, since no proxy is trusted`},
		{"private pages of no host", "fetch: {private: true}\n", nil, nil, `fetch.hosts names no host`},
		{"a rate that is no limit", "limits: {rate: 1000000000000000000}\n", nil, nil, `are no limit; write at most 1000000`},
		{"one byte a second", "limits: {bytes: 1}\n", nil, nil, `let no request through; write 4096 or more`},
		{"a window for no prompt", "models: [{name: a, model: b, kind: openai, url: 'http://127.0.0.1:1', window: 10}]\n", nil, nil, `model "a": a window of 10 tokens has no room`},
		{"a certificate without its key", "data: x\ntls: {cert: c.pem}\n", nil, nil, `writ.yaml:2): needs both cert and key`},
		{"an anchor without a chain", "anchor: {rpc: ['http://127.0.0.1:1']}\n", nil, nil, `writ.yaml:1): needs the EIP-155 id`},
		{"a model without an address", "models: [{name: a, model: b, kind: openai}]\n", nil, nil, `model "a": url: not an http or https URL`},
		{"blocks without end", "chain: {final: 1000000 blocks}\n", nil, nil, `a number from 1 to 100000 such as 12 blocks`},
		{"a wallet that is none", "wallets: [0x12]\n", nil, nil, `"0x12" is not an address`},
		{"a wallet that is mistyped", "wallets: ['0x70997970C51812dc3A010C7d01b50e0d17dc79c8']\n", nil, nil, `has a wrong checksum`},
		{"a mistyped contract wallet", "wallets: ['eip155:1:0x70997970C51812dc3A010C7d01b50e0d17dc79c8']\n", nil, nil, `has a wrong checksum`},
		{"one endpoint twice", "chain: {rpc: ['http://127.0.0.1:1/', 'http://127.0.0.1:1']}\n", nil, nil, `127.0.0.1:1 stands twice`},
		{"one endpoint of other wallets twice", "contract_wallets: [{chain: 1, rpc: ['https://a.example/key', 'https://b.example', 'https://A.example.:443/key/']}]\n", nil, nil, `chain 1: a.example:443 stands twice`},
		{"any and others", "wallets: [any, 0x70997970C51812dc3A010C7d01b50e0d17dc79C8]\n", nil, nil, `any alone`},
		{"bad YAML", "data: [\n", nil, nil, `writ.yaml: line`},
		{"a list for a text", "data: [a]\n", nil, nil, `writ.yaml:1: data must be one value`},
		{"a text for an object", "chain: x\n", nil, nil, `writ.yaml:1: chain must be keys with values`},
		{"nothing for a text", "data:\n", nil, nil, `writ.yaml:1: data must be one value`},
		{"nothing for a list", "agents:\n", nil, nil, `writ.yaml:1: agents must be a list`},
		{"an anchor", "data: &a x\nlisten: *a\n", nil, nil, `anchors and aliases`},
		{"a second document", "data: x\n---\ndata: y\n", nil, nil, `one YAML document`},
		{"a text for a number", "limits: {rate: fast}\n", nil, nil, `writ.yaml:1: limits.rate: not a whole number`},
		{"a negative number", "limits: {rate: -1}\n", nil, nil, `limits.rate`},
		{"a number for a duration", "limits: {drain: 5}\n", nil, nil, `not a duration`},
		{"one of a list of words", "log: {level: inof}\n", nil, nil, `log.level (` /* file:line */},
		{"with what was meant", "log: {level: inof}\n", nil, nil, `did you mean "info"?`},
		{"an address without a port", "listen: localhost\n", nil, nil, `listen (`},
		{"an origin with a path", "origins: https://a.example/x\n", nil, nil, `"https://a.example/x" is not an origin`},
		{"a domain with a path", "domain: a.example/x\n", nil, nil, `domain (`},
		{"a dApp's origin with a path", "dapps: [{origin: 'https://a.example/x', policies: read-only}]\n", nil, nil, `"https://a.example/x" is not an origin of a web page`},
		{"a dApp's origin that is an app's shell", "dapps: [{origin: 'capacitor://localhost', policies: read-only}]\n", nil, nil, `under origins`},
		{"the origin of a page without one", "origins: 'null'\n", nil, nil, `"null" is not an origin`},
		{"an app's origin with a path", "origins: capacitor://localhost/\n", nil, nil, `"capacitor://localhost/" is not an origin`},
		{"any origin", "origins: 'https://*'\n", nil, nil, `"https://*" is not an origin`},
		{"a dApp's origin in capitals", "dapps: [{origin: 'https://A.example', policies: read-only}]\n", nil, nil, `in lower case`},
		{"a dApp without policies", "dapps: [{origin: 'https://a.example'}]\n", nil, nil, `entry 1, https://a.example, names no policies; give it the operator's, default, if it has none of its own`},
		{"a dApp twice", "dapps: [{origin: 'https://a.example', policies: read-only}, {origin: 'https://a.example', policies: deny-all}]\n", nil, nil, `is there twice`},
		{"no agents", "agents: []\n", nil, nil, `at least one is needed`},
		{"a model without a URL", "models: [{name: a, kind: openai, model: b}]\n", nil, nil, `not an http or https URL`},
		{"two models of one name", "models: [{name: a, kind: openai, model: b, url: http://x}, {name: a, kind: openai, model: b, url: http://x}]\n", nil, nil, `"a" is taken`},
		{"the environment", "", map[string]string{"WRIT_LIMITS_RATE": "x"}, nil, `environment variable WRIT_LIMITS_RATE: not a whole number`},
		{"a flag", "", nil, map[string]string{"limits.rate": "x"}, `flag for limits.rate: not a whole number`},
		{"an unknown flag", "", nil, map[string]string{"x": "x"}, `there is no setting "x"`},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := Load(Sources{File: write(t, tt.file), Env: env(tt.env), Flags: tt.flags})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, tt.want)
			}
		})
	}
}

func TestToolsAreRead(t *testing.T) {
	good := `tools:
- mcp:
    name: files
    command: [serve, --root, .]
    dir: data
    env: [{name: MODE, value: fast}, {name: KEY, secret: 'file:key'}]
    accepted: files.json
    use:
    - {tool: read_file, as: files.read, class: read, integrity: tool, utterances: ['read {path}']}
    - {tool: pay, spend: {amount: a, asset: b, to: c}}
`
	name := write(t, good)
	c, err := Load(Sources{File: name})
	if err != nil {
		t.Fatal(err)
	}
	m := c.Tools[0].MCP
	dir := filepath.Dir(name)
	if m.Dir != filepath.Join(dir, "data") || m.Accepted != filepath.Join(dir, "files.json") || len(m.Env) != 2 ||
		m.Env[1].Secret != Secret("file:"+filepath.Join(dir, "key")) || m.Use[0].Asks() || !m.Use[1].Asks() {
		t.Errorf("got %+v", m)
	}
	for _, tt := range []struct{ rule, from, to, want string }{
		{"no name", "name: files\n", "memory_mb: 1\n", "needs mcp, openapi, contract, index, price, paid, wasm or a2a, one of them, with a name"},
		{"a name in capitals", "name: files\n", "name: Files\n", `the name "Files" is not of lower-case letters`},
		{"neither command nor url", "command: [serve, --root, .]", "memory_mb: 1", "needs a command or a url"},
		{"both", "dir: data", "url: 'https://x'", "needs a command or a url, and not both"},
		{"nothing accepted", "accepted: files.json", "memory_mb: 1", "begin with: writ tools add files"},
		{"a secret in clear", "secret: 'file:key'", "secret: s3cret", "secrets do not stand in a configuration"},
		{"a value and a secret", "value: fast", "value: fast, secret: 'env:X'", "a name, and a value or a secret"},
		{"an unknown class", "class: read", "class: reed", `class: "reed" is none of read, keyed, once; did you mean "read"?`},
		{"half a spend", "amount: a, ", "", "spend needs amount, asset and to"},
		{"a tool twice", "tool: pay", "tool: read_file", "is there twice"},
		{"a key that is not known", "as: files.read", "az: files.read", `unknown key "tools.1.mcp.use.1.az"`},
		{"a bad name", "as: files.read", "as: Files", "is not a tool's name"},
		{"a long silence", "dir: data", "timeout: 1h", "more than 10m"},
		{"a server twice", "", "- mcp: {name: files, url: 'https://x', accepted: x}\n", `the name "files" is there twice`},
	} {
		text := strings.Replace(good, tt.from, tt.to, 1)
		if tt.from == "" {
			text = good + tt.to
		}
		if _, err := Load(Sources{File: write(t, text)}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.rule, err, tt.want)
		}
	}
}

func TestWhatMayBeBoughtIsRead(t *testing.T) {
	good := "tools:\n- paid: {name: market, hosts: [api.example.com], max: [0.05 USDC], window: 30s}\n"
	c, err := Load(Sources{File: write(t, good)})
	if err != nil || c.Tools[0].Name() != "market" || c.Tools[0].Paid.Max[0] != "0.05 USDC" {
		t.Fatal(c, err)
	}
	for _, tt := range []struct{ rule, from, to, want string }{
		{"a bad name", "market", "Market.x", "lower-case letters"},
		{"no host", "hosts: [api.example.com], ", "", "needs hosts and max"},
		{"no bound", "max: [0.05 USDC], ", "", "needs hosts and max"},
		{"another method", "window: 30s", "methods: [PUT]", "methods are GET and POST"},
		{"asks sometimes", "window: 30s", "ask: sometimes", "always or never"},
		{"an endless call", "window: 30s", "timeout: 1h", "at most 5m"},
	} {
		_, err := Load(Sources{File: write(t, strings.Replace(good, tt.from, tt.to, 1))})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.rule, err, tt.want)
		}
	}
}

func TestHTTPInterfacesAreRead(t *testing.T) {
	good := `tools:
- openapi:
    name: shop
    document: shop.yaml
    url: https://api.shop.example
    auth: {bearer: 'env:T'}
    use: [{tool: createOrder, class: keyed, fields: [id, items.name]}]
`
	name := write(t, good)
	c, err := Load(Sources{File: name})
	if err != nil {
		t.Fatal(err)
	}
	if o := c.Tools[0].OpenAPI; o.Document != filepath.Join(filepath.Dir(name), "shop.yaml") || !o.Use[0].Asks() ||
		len(o.Use[0].Fields) != 2 || c.Tools[0].Name() != "shop" {
		t.Errorf("got %+v", o)
	}
	for _, tt := range []struct{ rule, from, to, want string }{
		{"no document", "document: shop.yaml", "timeout: 1s", "needs a document"},
		{"no operation", "use: [{tool: createOrder, class: keyed, fields: [id, items.name]}]", "timeout: 1s",
			"see them with: writ tools operations"},
		{"a secret in clear", "'env:T'", "s3cret", "secrets do not stand in a configuration"},
		{"two ways", "bearer: 'env:T'", "bearer: 'env:T', key: 'env:K', header: X", "give one of bearer, user, key and oauth"},
		{"a user alone", "bearer: 'env:T'", "user: me", "user and password go together"},
		{"a key that goes nowhere", "bearer: 'env:T'", "key: 'env:K'", "key goes with header or query"},
		{"a key that goes twice", "bearer: 'env:T'", "key: 'env:K', header: X, query: y", "key goes with header or query"},
		{"half an OAuth client", "bearer: 'env:T'", "oauth: {token_url: 'https://x', client_id: a}", "oauth needs token_url"},
		{"both kinds", "- openapi:", "- mcp: {name: a}\n  openapi:", "mcp, openapi, contract, index, price, paid, wasm or a2a, one of them"},
	} {
		_, err := Load(Sources{File: write(t, strings.Replace(good, tt.from, tt.to, 1))})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want an error with %q", tt.rule, err, tt.want)
		}
	}
}

func TestContractsAreRead(t *testing.T) {
	good := "tools:\n- contract: {name: usdc.left, address: bob, abi: a.json, function: allowance, integrity: tool}\n"
	name := write(t, good)
	c, err := Load(Sources{File: name})
	if err != nil {
		t.Fatal(err)
	}
	if x := c.Tools[0].Contract; x.ABI != filepath.Join(filepath.Dir(name), "a.json") || x.Known().Asks() || x.Known().Class != "read" {
		t.Errorf("got %+v", x)
	}
	for from, want := range map[string]string{
		"function: allowance": "needs address, abi and function", "name: usdc.left": "is not a tool's name",
		"integrity: tool": `integrity: "" is none of`,
	} {
		to := map[string]string{"function: allowance": "about: x", "name: usdc.left": "name: USDC", "integrity: tool": "integrity: operator"}[from]
		want = strings.Replace(want, `""`, `"operator"`, 1)
		if _, err := Load(Sources{File: write(t, strings.Replace(good, from, to, 1))}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", to, err, want)
		}
	}
}

func TestIndexesAreRead(t *testing.T) {
	good := "tools:\n- index: {name: usdc.moves, address: bob, abi: a.json, event: Transfer, from_block: 7, amount: value, asset: USDC}\n"
	name := write(t, good)
	c, err := Load(Sources{File: name})
	if err != nil {
		t.Fatal(err)
	}
	if x := c.Tools[0].Index; x.ABI != filepath.Join(filepath.Dir(name), "a.json") || x.From != 7 || c.Tools[0].Name() != "usdc.moves" {
		t.Errorf("got %+v", x)
	}
	for _, tt := range [][3]string{
		{"event: Transfer, ", "", "needs address, abi and event"}, {"name: usdc.moves", "name: 7", "is not an index's name"},
		{"from_block: 7", "from_block: -1", "below zero"}, {", asset: USDC", "", "amount and asset go together"},
	} {
		if _, err := Load(Sources{File: write(t, strings.Replace(good, tt[0], tt[1], 1))}); err == nil || !strings.Contains(err.Error(), tt[2]) {
			t.Errorf("%s: got %v, want an error with %q", tt[1], err, tt[2])
		}
	}
}

func TestPricesAreRead(t *testing.T) {
	good := "tools:\n- price: {name: ETH-USD, feed: bob, max_age: 75m, sequencer: alice, grace: 30m, quorum: 2}\n"
	c, err := Load(Sources{File: write(t, good)})
	if err != nil {
		t.Fatal(err)
	}
	want := Price{Name: "ETH-USD", Feed: "bob", MaxAge: 75 * time.Minute, Sequencer: "alice", Grace: 30 * time.Minute, Quorum: 2}
	if got := c.Tools[0].Price; got != want || c.Tools[0].Name() != "ETH-USD" {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, tt := range [][3]string{
		{"feed: bob, ", "", "needs feed and max_age"}, {"sequencer: alice, ", "", "grace is for a sequencer"},
		{"quorum: 2", "quorum: -2", "quorum is below zero"},
	} {
		if _, err := Load(Sources{File: write(t, strings.Replace(good, tt[0], tt[1], 1))}); err == nil || !strings.Contains(err.Error(), tt[2]) {
			t.Errorf("%s: got %v, want an error with %q", tt[1], err, tt[2])
		}
	}
}

func TestSecretsAreReferences(t *testing.T) {
	const secret = "0xdeadbeefdeadbeef"
	for _, text := range []string{
		"chain: {key: " + secret + "}\n",
		"models: [{name: a, kind: openai, model: b, url: http://x, key: " + secret + "}]\n",
		"models: [{name: a, kind: openai, model: b, url: 'http://user:" + secret + "@x'}]\n",
		"chain: {rpc: 'ftp://x/" + secret + "'}\n",
	} {
		_, err := Load(Sources{File: write(t, text)})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want an error that does not show it", text, err)
		}
	}
	name := write(t, "chain: {key: 'file:agent.key'}\nwallets: any\n")
	if err := os.WriteFile(filepath.Join(filepath.Dir(name), "agent.key"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{File: name})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Chain.Key.Reveal(); got != secret || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, s := range c.Settings() {
		if strings.Contains(s.Value, secret) {
			t.Errorf("%s shows the secret", s.Path)
		}
	}
	t.Setenv("WRIT_TEST_SECRET", " s ")
	if got, err := Secret("env:WRIT_TEST_SECRET").Reveal(); got != "s" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, s := range []Secret{"env:WRIT_TEST_NO_SUCH", "file:/no/such/file", ""} {
		if _, err := s.Reveal(); err == nil {
			t.Errorf("%s: no error", s)
		}
	}
}

func TestFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	if c, err := Load(Sources{}); err != nil || c.Listen != "127.0.0.1:8420" {
		t.Errorf("no file: got %+v, %v", c, err)
	}
	if _, err := Load(Sources{File: "gone.yaml"}); err == nil || !strings.Contains(err.Error(), "gone.yaml") {
		t.Errorf("a named file that is not there: got %v", err)
	}
	if err := os.WriteFile(DefaultFile, []byte("listen: 127.0.0.1:9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(Sources{}); err != nil || c.Listen != "127.0.0.1:9" {
		t.Errorf("writ.yaml: got %+v, %v", c, err)
	}
	if _, err := Load(Sources{File: write(t, strings.Repeat("#", maxFile+1))}); err == nil {
		t.Error("a huge file: no error")
	}
	if c, err := Load(Sources{File: write(t, "agents: [reader, my/agent.yaml]\npolicies: strict\n")}); err != nil || c.Agents[0] != "reader" || !filepath.IsAbs(c.Agents[1]) || c.Policies != "strict" {
		t.Errorf("names stay names and files become paths: got %+v, %v", c, err)
	}
}

func TestSchema(t *testing.T) {
	got := Schema()
	if *update {
		if err := os.WriteFile("schema.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile("schema.json"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("schema.json is not what the types say (%v); run go test ./internal/config -update and read the diff", err)
	}
}

func FuzzFile(f *testing.F) {
	f.Add("listen: 127.0.0.1:1\nmodels:\n- {name: a, kind: openai, model: b, url: http://x}\n")
	f.Add("a: &a [*a]\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := Default()
		c.origins = map[string]string{}
		if c.readFileInto("writ.yaml", []byte(text)) != nil {
			return
		}
		for _, s := range c.Settings() { // what was read can be shown
			if s.Path == "" || s.Origin == "" {
				t.Errorf("got %+v", s)
			}
		}
	})
}

// example returns a text of a setting's type, another one than its default, and what it must become.
func example(t *testing.T, l leaf) (text string, want any) {
	t.Helper()
	v := reflect.New(l.value.Type()).Elem()
	switch {
	case v.Type() == durationType:
		return "7m", 7 * time.Minute
	case v.Kind() == reflect.String:
		if one := strings.Fields(l.field.Tag.Get("one")); len(one) > 0 {
			v.SetString(one[len(one)-1])
			return v.String(), v.Interface()
		}
		v.SetString("env:TEXT") // what a secret may be, and no path that is made absolute
		return v.String(), v.Interface()
	case v.Kind() == reflect.Bool:
		v.SetBool(!l.value.Bool())
		return strconv.FormatBool(v.Bool()), v.Interface()
	case v.CanInt():
		v.SetInt(7)
		return "7", v.Interface()
	case v.CanUint():
		v.SetUint(7)
		return "7", v.Interface()
	}
	t.Fatalf("%s is of type %s: say here what an example of it is", l.path, v.Type())
	return "", nil
}

// Every setting, those in lists included, is read from a file, from the environment and from flags. A server reads its
// settings again in the same way when it reloads.
func TestEverySettingIsRead(t *testing.T) {
	tested := 0
	for _, l := range listLeaves(reflect.ValueOf(new(Default())).Elem(), "") {
		if l.value.Kind() == reflect.Slice && l.value.Type().Elem().Kind() == reflect.Struct {
			for _, inner := range listLeaves(reflect.New(l.value.Type().Elem()).Elem(), "") {
				if inner.value.Kind() == reflect.Slice {
					continue
				}
				text, want := example(t, inner)
				entry := strings.ReplaceAll(inner.path, ".", ": {") + ": " + text + strings.Repeat("}", strings.Count(inner.path, "."))
				c := readDocument(t, nest(l.path, "[{"+entry+"}]"))
				got := leafAt(t, c, l.path).value.Index(0)
				for _, again := range listLeaves(got, "") {
					if again.path == inner.path && !samePlace(inner.field, again.value.Interface(), want) {
						t.Errorf("%s[].%s from a file: got %v, want %v", l.path, inner.path, again.value, want)
					}
				}
				tested++
			}
			continue
		}
		text, want := "a,b", any([]string{"a", "b"})
		written := "[a, b]"
		if l.value.Kind() != reflect.Slice {
			text, want = example(t, l)
			written = text
		}
		c := readDocument(t, nest(l.path, written))
		if got := leafAt(t, c, l.path).value.Interface(); !samePlace(l.field, got, want) {
			t.Errorf("%s from a file: got %v, want %v", l.path, got, want)
		}
		for range 2 { // the environment and flags are read in the same way; a second time is a reload
			if err := leafAt(t, c, l.path).setText(text); err != nil {
				t.Errorf("%s from the environment: %v", l.path, err)
			}
			if got := leafAt(t, c, l.path).value.Interface(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s from the environment: got %v, want %v", l.path, got, want)
			}
		}
		tested++
	}
	if tested < 55 {
		t.Errorf("%d settings were tested; is this test still looking at the right thing?", tested)
	}
}

// samePlace compares a value with what it must be; a path may have been made absolute.
func samePlace(f reflect.StructField, got, want any) bool {
	if f.Tag.Get("path") == "yes" {
		return strings.HasSuffix(fmt.Sprint(got), fmt.Sprint(want))
	}
	return reflect.DeepEqual(got, want)
}

// nest writes a setting's value under its path.
func nest(path, value string) string {
	parts := strings.Split(path, ".")
	var b strings.Builder
	for i, p := range parts {
		fmt.Fprintf(&b, "%s%s:", strings.Repeat("  ", i), p)
		if i < len(parts)-1 {
			b.WriteString("\n")
		}
	}
	return b.String() + " " + value + "\n"
}

func readDocument(t *testing.T, doc string) *Config {
	t.Helper()
	c := Default()
	c.origins = map[string]string{}
	if err := c.readFileInto("writ.yaml", []byte(doc)); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return &c
}

func leafAt(t *testing.T, c *Config, path string) leaf {
	t.Helper()
	for _, l := range listLeaves(reflect.ValueOf(c).Elem(), "") {
		if l.path == path {
			return l
		}
	}
	t.Fatalf("there is no setting %s", path)
	return leaf{}
}

func TestChangedSettingsAreNamed(t *testing.T) {
	a, b := readDocument(t, "wallets: [any]\n"), readDocument(t, "wallets: [any]\nchain: {max_fee_gwei: 7}\nagents: [reader]\n")
	if got := a.ChangedFrom(a); len(got) != 0 {
		t.Errorf("of itself: %v", got)
	}
	if got := strings.Join(b.ChangedFrom(a), " "); got != "agents chain.max_fee_gwei" {
		t.Errorf("got %s", got)
	}
}
