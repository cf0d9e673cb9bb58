package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// An operator is somebody who sets a server up in a folder.
type operator struct {
	t        *testing.T
	bin, dir string
}

// does runs a command of writ in the folder, and returns all that it says.
func (o *operator) does(exit int, args ...string) string {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), filepath.Join(o.bin, "writ"), args...)
	cmd.Dir = o.dir
	cmd.Env = append(os.Environ(), "WRIT_HOME="+filepath.Join(o.dir, ".writ"))
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != exit {
		o.t.Fatalf("writ %s ends with %d, want %d, and says: %s", strings.Join(args, " "), got, exit, out)
	}
	return string(out)
}

// sees checks what a command has said.
func (o *operator) sees(said string, want ...string) {
	o.t.Helper()
	for _, w := range want {
		if !strings.Contains(said, w) {
			o.t.Errorf("it does not say %q: %s", w, said)
		}
	}
}

// edits changes a file of the folder: each pair is an expression, and what stands there instead.
func (o *operator) edits(file string, pairs ...string) {
	o.t.Helper()
	at := filepath.Join(o.dir, file)
	text, err := os.ReadFile(at)
	if err != nil {
		o.t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		after := regexp.MustCompile(pairs[i]).ReplaceAll(text, []byte(pairs[i+1]))
		if string(after) == string(text) {
			o.t.Fatalf("%s has no %s: %s", file, pairs[i], text)
		}
		text = after
	}
	if err := os.WriteFile(at, text, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// startCaddyTLS runs Caddy with a certificate of its own before a server, and returns its URL. Programs that the test
// starts trust it from now on.
func startCaddyTLS(t *testing.T, server string) (host string) {
	t.Helper()
	bin, err := exec.LookPath("caddy")
	if err != nil {
		t.Skip("there is no Caddy here: the walk behind TLS is not made")
	}
	_, port, _ := net.SplitHostPort(freePort(t))
	home, host := t.TempDir(), "localhost:"+port
	file := filepath.Join(home, "Caddyfile")
	text := fmt.Sprintf("{\n\tadmin off\n\tskip_install_trust\n\tlocal_certs\n\tauto_https disable_redirects\n}\n"+
		"https://%s {\n\tbind 127.0.0.1\n\treverse_proxy %s\n}\n", host, server)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	root := filepath.Join(home, "caddy/pki/authorities/local/root.crt")
	until(t, "Caddy has a certificate, and listens", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
			_, err = os.Stat(root)
		}
		return err == nil
	})
	t.Setenv("SSL_CERT_FILE", root)
	return host
}

// stop ends the server as an operator does.
func (s *stuckServer) stop() {
	s.t.Helper()
	cmd := s.cmd
	s.cmd = nil
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		s.t.Errorf("the server ended with %v", err)
	}
}

// setsUp writes settings, an agent and a policy of the operator's own, and looks at them.
func (o *operator) setsUp(c *foreignChain, listen, host string) {
	o.edits("writ.yaml", `(?m)^listen: .*`, "listen: "+listen, `(?m)^scheme: http$`, "scheme: https",
		`(?m)^domain: .*`, "domain: "+host, `(?m)^origins: .*`, "origins: [https://"+host+"]\nproxies: {trusted: [127.0.0.1]}",
		`(?m)^agents: .*`, "agents: [payer.yaml]", `(?m)^policies: .*`, "policies: policy.yaml",
		`(?m)^  rpc: .*`, "  rpc: ["+c.url+"]\n  final: finalized\n  stuck_after: 1s", `0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913`, c.token.Hex(),
		`(?m)# names: .*`, `names: [{name: bob, address: "`+bob.Hex()+`"}]`, `# key: .*`, "key: file:agent.key", `(?m)^# wallets: .*`, "wallets: [any]")
	o.sees(o.does(0, "agents", "init", "payer"), "payer.yaml written")
	o.edits("payer.yaml", `(?m)^tools: .*`, "tools: [chain.balance, erc20.balance, erc20.info, erc20.transfer]",
		`(?m)^  # (assets|max_total|max_per_call|approve_above):`, "  $1:")
	o.sees(o.does(0, "agents", "check", "payer.yaml"), "in order")
	policy := o.does(0, "policy", "show", "spend-with-approval")
	if err := os.WriteFile(filepath.Join(o.dir, "policy.yaml"), []byte(policy), 0o600); err != nil {
		o.t.Fatal(err)
	}
	o.sees(o.does(0, "config", "validate"), "in order")
}

// A new operator goes from an empty folder to a server on a chain that is not ours, with blocks of 2 s and finalized
// blocks, behind Caddy with TLS: an agent and a policy of one's own, two wallets, a payment that is replaced, a block
// that goes, a backup, a restoration, a reload.
func TestAnOperatorsWalk(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a server and starts it, with a chain and a proxy")
	}
	o := &operator{t: t, bin: build(t), dir: t.TempDir()}
	o.sees(o.does(0, "init", "--chain", "base"), "writ.yaml written; next: ")
	made := o.does(0, "wallet", "new", "agent.key")
	agent := common.HexToAddress(made[:42])
	c := startForeignChain(t, agent, "--block-time", "2", "--slots-in-an-epoch", "1")
	listen := freePort(t)
	host := startCaddyTLS(t, listen)
	o.setsUp(c, listen, host)

	// It is told what would stop it.
	c.call("anvil_setBalance", agent, "0x0")
	o.sees(o.does(1, "doctor"), "the agents' account "+agent.Hex()+" has nothing to pay fees with")
	t.Setenv("WRIT_CHAIN_ID", "1")
	o.sees(o.does(1, "doctor"), "chain.rpc serves chain 8453, and chain.id is 1")
	os.Unsetenv("WRIT_CHAIN_ID")
	c.call("anvil_setBalance", agent, hexutil.EncodeUint64(1e18))
	o.sees(o.does(0, "doctor"), "the agents pay from "+agent.Hex())

	s := &stuckServer{person: &person{t: t}, c: c, bin: o.bin, data: filepath.Join(o.dir, "writ-data"),
		config: filepath.Join(o.dir, "writ.yaml")}
	t.Cleanup(s.kill)
	s.start()
	url := "https://" + host
	alice, carol := signIn(t, o.bin, url, "payer"), signIn(t, o.bin, url, "payer")
	o.paysThroughTrouble(c, s, alice)

	o.sees(o.does(0, "backup", "one.backup", "--data", "writ-data"), "wrote one.backup")
	if e := carol.run("--yes-approve", "send 0.25 USDC to bob"); e.Outcome != "answered" {
		t.Errorf("the other wallet's payment ended as %+v", e)
	}
	s.stop()
	o.sees(o.does(0, "restore", "one.backup", "--data", "new", "--operator-key", "writ-data/operator.key"),
		"sent since, and counted as spent: 0.25 USDC", "ended: 2 sessions", "the log goes on as epoch 2")
	o.edits("writ.yaml", `(?m)^data: .*`, "data: new")
	s.data = filepath.Join(o.dir, "new")
	s.start()
	if _, exit := carol.writ("run", "--quiet", "what is bob's USDC balance?"); exit != 7 {
		t.Errorf("a session of before the restoration ends with %d, want 7", exit)
	}
	carol = signIn(t, o.bin, url, "payer")
	if e := carol.run("what is bob's USDC balance?"); e.Outcome != "answered" || !strings.Contains(e.Said, "1.75 USDC") {
		t.Errorf("after the restoration: %+v", e)
	}

	o.edits("policy.yaml", `about: >-\n`, "about: >-\n  Our own.\n")
	o.edits("writ.yaml", `stuck_after: 1s`, "stuck_after: 2s", `max_fee_gwei: 50`, "max_fee_gwei: 300")
	o.sees(o.does(6, "policy", "reload", "--data", "new", "--server", "http://127.0.0.1:1"), "no server answers")
	o.sees(o.does(0, "policy", "reload", "--data", "new", "--server", s.url), "reloaded\n",
		"taken only when the server starts again: chain.max_fee_gwei, chain.stuck_after", "goes on under earlier sets")
	o.sees(o.does(0, "attention"), "nothing needs a person")
}

// paysThroughTrouble pays once when the fees of the chain jump, and once when its block goes.
func (o *operator) paysThroughTrouble(c *foreignChain, s *stuckServer, p *person) {
	t := o.t
	t.Helper()
	pays := func(request string) <-chan ended {
		c.call("evm_setIntervalMining", 0) // what is sent waits until the chain is told to go on
		done := make(chan ended, 1)
		go func() { done <- p.run("--yes-approve", request) }()
		until(t, "a transaction waits for a block", func() bool { return c.pending() == "0x1" })
		return done
	}
	done := pays("send 1 USDC to bob") // and twice what the chain then asks is within the ceiling that writ init sets
	c.call("anvil_setNextBlockBaseFeePerGas", hexutil.EncodeUint64(20e9))
	c.call("evm_setIntervalMining", 1) // trouble needs many blocks; what is paid after it has those of 2 s
	e := <-done
	if e.Outcome != "answered" || p.phases() != "send replaced send final answered" {
		t.Errorf("the payment that is replaced ended as %+v: %s", e, p.phases())
	}
	o.sees(p.must(0, "runs", "show", e.Run), "takes its place (by the settings)", "more than the first transaction offered")
	o.sees(p.audit(o.bin, e.Run), "1 replaced at a higher fee")

	done = pays("send 0.5 USDC to bob")
	c.mine(1)
	until(t, "it is provisional", func() bool { return p.phases() == "send final parked" })
	c.call("anvil_reorg", 1, []any{})
	until(t, "its block has gone", func() bool { return p.phases() == "send final returned send parked" })
	c.call("evm_setIntervalMining", 2)
	if e := <-done; e.Outcome != "answered" || c.balance(bob) != 15e5 {
		t.Errorf("the payment whose block went ended as %+v, and bob has %d", e, c.balance(bob))
	}
	o.sees(o.does(0, "tx", "ls", "--data", "writ-data", "--server", s.url), "no run waits for a transaction")
	o.sees(o.does(6, "tx", "ls", "--data", "writ-data", "--server", "https://"+strings.TrimPrefix(p.server, "https://")),
		"orders are taken on the server's own machine only")
	if resp, err := http.Get(s.url + "/readyz"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the server is not ready: %v", err)
	} else {
		resp.Body.Close()
	}
}
