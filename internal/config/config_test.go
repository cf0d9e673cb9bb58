package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
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

func TestBadSettingsAreNamed(t *testing.T) {
	tests := []struct {
		rule, file string
		env, flags map[string]string
		want       string
	}{
		{"an unknown key, with what was meant", "data: x\npolices: strict\n", nil, nil, `writ.yaml:2: unknown key "polices"; did you mean "policies"?`},
		{"an unknown key far from all", "zzzzzzzz: 1\n", nil, nil, `known are agents`},
		{"a nested one", "chain:\n  rcp: x\n", nil, nil, `writ.yaml:2: unknown key "chain.rcp"; did you mean "rpc"?`},
		{"one inside a list", "models:\n- name: a\n  modle: b\n", nil, nil, `writ.yaml:3: unknown key "models.0.modle"; did you mean "model"?`},
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
		{"a wallet that is none", "wallets: [0x12]\n", nil, nil, `"0x12" is not an address`},
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
		{"a dApp's origin with a path", "dapps: [{origin: 'https://a.example/x', policies: read-only}]\n", nil, nil, `"https://a.example/x" is not an origin`},
		{"a dApp's origin in capitals", "dapps: [{origin: 'https://A.example', policies: read-only}]\n", nil, nil, `in lower case`},
		{"a dApp without policies", "dapps: [{origin: 'https://a.example'}]\n", nil, nil, `entry 1, https://a.example, names no policies`},
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
		if c.file("writ.yaml", []byte(text)) != nil {
			return
		}
		for _, s := range c.Settings() { // what was read can be shown
			if s.Path == "" || s.Origin == "" {
				t.Errorf("got %+v", s)
			}
		}
	})
}
