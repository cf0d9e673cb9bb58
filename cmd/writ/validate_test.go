package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/cli"
)

// runIn runs a command in the folder with a writ.yaml, for a minute at most.
func runIn(t *testing.T, settings string, args ...string) (exit int, says string) {
	t.Helper()
	if err := os.WriteFile("writ.yaml", []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	a := &app{Shell: &cli.Shell{In: strings.NewReader(""), Out: &out, Err: &out, Env: func(name string) string {
		return map[string]string{"WRIT_HOME": filepath.Join(t.TempDir(), "home")}[name]
	}}}
	exit = a.main(ctx, args)
	return exit, out.String()
}

// Whatever in the settings keeps a server from starting is found by validate and doctor too, in the same words.
func TestWhatKeepsAServerFromStartingIsFoundBefore(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"rules.yaml": "schema: writ/policy/1\nname: rules\nrules: []\n", "no.pem": "no certificate\n", "short": "0123456789",
		"url": "https://hooks.example/x", "witnesses": "no policy\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const chain = "chain: {rpc: ['http://127.0.0.1:1']}\nlisten: 127.0.0.1:0\n"
	const anchored = "anchor: {rpc: ['http://127.0.0.1:1'], chain: 1, key: file:no.pem, contract: '0x0000000000000000000000000000000000000001'}\n"
	for _, c := range []struct{ what, settings, says string }{
		{"an agent twice", chain + "agents: [reader, reader]\n", `agent "reader" is there twice`},
		{"an agent that pays, and nothing to pay from", "chain: {id: 8453, rpc: ['http://127.0.0.1:1']}\nagents: [treasurer]\n", "treasurer"},
		{"a misspelt route set", chain + "routes: marginn\n", `there is no route set "marginn"`},
		{"a policy file for routes", chain + "routes: ./rules.yaml\n", "rules.yaml"},
		{"a domain in capitals", chain + "domain: EXAMPLE.com\n", "domain (writ.yaml:3): \"EXAMPLE.com\""},
		{"no certificate", chain + "tls: {cert: nope.pem, key: nope.key}\n", "nope.pem"},
		{"a certificate that is none", chain + "tls: {cert: no.pem, key: no.pem}\n", "tls: no certificate with its key is in"},
		{"checkpoints too often", chain + "transparency: {interval: 10ms}\n", "transparency: checkpoints every 10ms are too often"},
		{"a log's name with a space", chain + "transparency: {origin: a b}\n", `transparency: origin "a b"`},
		{"witnesses that are none", chain + "transparency: {witnesses: witnesses}\n", "transparency: witness policy"},
		{"a short secret", chain + "webhooks: [{name: one, url: file:url, secret: file:short}]\n", "webhook one"},
		{"a URL for a host", chain + "fetch: {hosts: ['https://x']}\n", "fetch.hosts"},
		{"a pattern for a host", chain + "fetch: {hosts: ['*.x.example']}\n", "fetch.hosts"},
		{"a price that is none", chain + "revenue: {per_run: abc}\n", "revenue"},
		{"an alert about nothing", chain + "revenue: {alerts: ['margn < 0.2']}\n", "revenue.alerts"},
		{"an alert in percent", chain + "revenue: {alerts: ['margin < 20%']}\n", "revenue.alerts"},
		{"a header that is nowhere", chain + "ipfs: {api: 'http://127.0.0.1:1', auth: file:nowhere}\n", "ipfs.auth"},
		{"a peer that is none", chain + "ipfs: {peers: [/ip4/127.0.0.1/tcp/1/p2p/x]}\n", "IPFS node"},
		{"vectors without a model", chain + "library: {on: true, embeddings: 'http://127.0.0.1:1/v1'}\n", "library.embeddings"},
		{"an index and nobody who makes vectors", chain + "library: {on: true, index: {kind: qdrant, url: 'http://127.0.0.1:1'}}\n", "library.index"},
		{"an index at no address", chain + "library: {on: true, embeddings: 'http://127.0.0.1:1/v1', model: m, index: {kind: pgvector, url: 'http://127.0.0.1'}}\n", "postgres://"},
		{"an index's password in its address", chain + "library: {on: true, embeddings: 'http://127.0.0.1:1/v1', model: m, index: {kind: redis, url: 'redis://u:p@127.0.0.1'}}\n", "password"},
		{"figures where the server listens", "chain: {rpc: ['http://127.0.0.1:1']}\nlisten: 127.0.0.1:9210\nmetrics: 127.0.0.1:9210\n", "metrics (writ.yaml:3)"},
		{"figures on all addresses", "chain: {rpc: ['http://127.0.0.1:1']}\nlisten: 127.0.0.1:9210\nmetrics: :9210\n", "metrics (writ.yaml:3)"},
		{"a key that is nowhere", "chain: {rpc: ['http://127.0.0.1:1'], key: file:nope.key}\nwallets: [any]\n", "chain.key"},
		{"a key that is none", "chain: {rpc: ['http://127.0.0.1:1'], key: file:rules.yaml}\nwallets: [any]\n", "chain.key"},
		{"a key that no variable has", "chain: {rpc: ['http://127.0.0.1:1'], key: env:NOPE_X}\nwallets: [any]\n", "chain.key"},
		{"an anchor's key that is none", chain + anchored, "anchor.key"},
		{"documents that are nowhere", chain + "documents: [{source: handbook, path: nowhere}]\n", "documents: source handbook"},
		{"a token with a wrong checksum", "chain: {id: 8453, rpc: ['http://127.0.0.1:1'], tokens: [{symbol: USDC, decimals: 6, address: '0x833589fcD6eDb6E08f4c7C32D4f71b54bdA02913'}]}\nagents: [reader]\n", "wrong checksum"},
	} {
		t.Run(c.what, func(t *testing.T) {
			for _, command := range []struct {
				args []string
				exit int
			}{{[]string{"serve"}, cli.ExitUsage}, {[]string{"config", "validate"}, cli.ExitUsage}, {[]string{"doctor"}, cli.ExitInternal}} {
				exit, says := runIn(t, c.settings, command.args...)
				if exit != command.exit || !strings.Contains(says, c.says) {
					t.Errorf("%v: exit %d, want %d and %q:\n%s", command.args, exit, command.exit, c.says, says)
				}
			}
		})
	}
	exit, says := runIn(t, chain, "config", "validate")
	if exit != cli.ExitOK || !strings.Contains(says, "in order") {
		t.Errorf("good settings: exit %d: %s", exit, says)
	}
}

// A pipe among the documents is told by its name and not waited for; where a file has to be waited for, a signal ends
// the start.
func TestAPipeDoesNotHoldUpAStart(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := syscall.Mkfifo("pipe.txt", 0o600); err != nil {
		t.Fatal(err)
	}
	const chain = "chain: {rpc: ['http://127.0.0.1:1']}\nlisten: 127.0.0.1:0\n"
	for _, args := range [][]string{{"serve"}, {"config", "validate"}, {"doctor"}} {
		exit, says := runIn(t, chain+"documents: [{source: handbook, path: pipe.txt}]\n", args...)
		if exit == cli.ExitOK || !strings.Contains(says, "pipe.txt: it is no ordinary file") {
			t.Errorf("%v: exit %d: %s", args, exit, says)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		var out bytes.Buffer
		a := &app{Shell: &cli.Shell{In: strings.NewReader(""), Out: &out, Err: &out, Env: func(string) string { return "" }}}
		done := make(chan int, 1)
		go func() { done <- a.main(ctx, append(args, "--config", "pipe.txt")) }()
		select {
		case exit := <-done:
			if exit == cli.ExitOK {
				t.Errorf("%v with a pipe for its settings: %s", args, out.String())
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%v goes on after it was told to stop", args)
		}
		cancel()
	}
	if err := os.Mkdir("docs", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("docs/a.md", []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.md", "docs/link.md"); err != nil {
		t.Fatal(err)
	}
	exit, says := runIn(t, chain+"documents: [{source: handbook, path: docs}]\n", "config", "validate")
	if exit != cli.ExitOK || !strings.Contains(says, "handbook/link.md is left out, and nobody finds it: it is a link") {
		t.Errorf("a link: exit %d: %s", exit, says)
	}
}
