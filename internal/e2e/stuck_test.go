package e2e

import (
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/chain"
)

// mineAt mines a block that asks for a base fee, in gwei.
func (c *foreignChain) mineAt(gwei int64) {
	c.t.Helper()
	wei := new(big.Int).Mul(big.NewInt(gwei), big.NewInt(1e9))
	c.call("anvil_setNextBlockBaseFeePerGas", hexutil.EncodeBig(wei))
	c.mine(1)
}

// leaveOut mines blocks that ask for too much, until something is so.
func (c *foreignChain) leaveOut(gwei int64, what string, done func() bool) {
	c.t.Helper()
	c.mineAt(gwei)
	until(c.t, what, func() bool {
		if done() {
			return true
		}
		c.mineAt(gwei)
		return false
	})
}

// audit exports a run and has a stranger verify it.
func (p *person) audit(bin, run string) string {
	p.t.Helper()
	out := filepath.Join(p.t.TempDir(), "run")
	p.must(0, "export", run, "--out", out+".car", "--keys", out+".keys")
	_, says := command(p.t, filepath.Join(bin, "writ-audit"), p.home, "verify", out+".car", "--keys", out+".keys")
	if strings.Contains(says, "FAILED") {
		p.t.Errorf("the auditor says: %s", says)
	}
	return says
}

// The base fee jumps above what a payment offers: another transaction with the same nonce takes its place, is taken back
// by the chain, and comes again. The payment counts once, and what it cost more is told.
func TestAStuckPaymentIsReplaced(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a server and starts it, with a chain")
	}
	key, agent := newKey(t)
	c := startForeignChain(t, agent)
	bin := build(t)
	p := serveForeign(t, bin, c, key, "  final: 2 blocks\n  stuck_after: 1s\n")
	ended := make(chan ended, 1)
	go func() { ended <- p.run("--yes-approve", "send 1 USDC to bob") }()
	until(t, "the transaction waits for a block", func() bool { return c.pending() == "0x1" })
	c.leaveOut(40, "another takes its place", func() bool { return p.phases() == "send replaced send parked" })
	until(t, "the chain has the other", func() bool { return c.newestCap() > 80e9 })
	c.mineAt(40)
	until(t, "it is provisional", func() bool { return p.phases() == "send replaced send final parked" })
	c.call("anvil_reorg", 1, []any{})
	until(t, "its block has gone", func() bool { return p.phases() == "send replaced send final returned send parked" })
	until(t, "the chain has it again", func() bool { return c.newestCap() > 80e9 })
	c.mineAt(40)
	until(t, "it is provisional again", func() bool {
		return p.phases() == "send replaced send final returned send final parked"
	})
	c.mine(2)
	e := <-ended
	if e.Exit != 0 || e.Outcome != "answered" || !strings.Contains(e.Said, "Sent 1 USDC to bob") {
		t.Errorf("the run ended as %+v", e)
	}
	if got := c.balance(bob); got != 1e6 {
		t.Errorf("bob has %d units in the end, want 1000000", got)
	}
	says := p.audit(bin, e.Run)
	for _, want := range []string{"1 sent again since their block had gone, 1 replaced at a higher fee",
		"the replacements cost 0.00", "ETH more in fees than was offered at first"} {
		if !strings.Contains(says, want) {
			t.Errorf("the auditor does not say %q: %s", want, says)
		}
	}
}

// newestCap returns the highest fee that a waiting transaction offers, in wei.
func (c *foreignChain) newestCap() uint64 {
	c.t.Helper()
	var pool struct {
		Pending map[string]map[string]struct{ MaxFeePerGas hexutil.Uint64 }
	}
	var raw json.RawMessage
	if err := c.rpc.CallContext(c.t.Context(), &raw, "txpool_content"); err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &pool); err != nil {
		c.t.Fatalf("%s: %v", raw, err)
	}
	var most uint64
	for _, of := range pool.Pending {
		for _, tx := range of {
			most = max(most, uint64(tx.MaxFeePerGas))
		}
	}
	return most
}

// A transferKit is the tool that pays, on a foreign chain, as a server has it.
type transferKit struct {
	*foreignChain
	tool tools.Follower
	rule tools.Finality
}

func newTransferKit(t *testing.T, maxFee uint64) *transferKit {
	t.Helper()
	file, agent := newKey(t)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := crypto.HexToECDSA(strings.TrimPrefix(string(raw), "0x"))
	if err != nil {
		t.Fatal(err)
	}
	c := startForeignChain(t, agent)
	book := &tools.Book{Chain: 8453, Names: nil, Tokens: map[string]tools.Token{
		"USDC": {Address: c.token, Decimals: 6}, "ETH": {Decimals: 18},
	}}
	list, err := chain.New(chain.Config{Client: c.eth, Book: book, Key: key, Final: "2 blocks", MaxFee: maxFee})
	if err != nil {
		t.Fatal(err)
	}
	rule, _ := tools.ParseFinality("2 blocks")
	for _, tool := range list {
		if f, ok := tool.(tools.Follower); ok && tool.Spec().Name == "erc20.transfer" {
			return &transferKit{c, f, rule}
		}
	}
	t.Fatal("there is no tool that pays")
	return nil
}

func (k *transferKit) sign() tools.Signed {
	k.t.Helper()
	d, err := tools.Compile(k.tool.Spec())
	if err != nil {
		k.t.Fatal(err)
	}
	args, err := d.Read([]byte(`{"amount":"1","to":"` + bob.Hex() + `","token":"USDC"}`))
	if err != nil {
		k.t.Fatal(err)
	}
	s, err := k.tool.Sign(k.t.Context(), tools.Input{Args: args}, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

func (k *transferKit) look(attempts ...tools.Signed) tools.Standing {
	k.t.Helper()
	st, err := k.tool.Follow(k.t.Context(), attempts, k.rule)
	if err != nil {
		k.t.Fatal(err)
	}
	return st
}

func (k *transferKit) replace(cancel bool, attempts ...tools.Signed) tools.Signed {
	k.t.Helper()
	s, err := k.tool.Replace(k.t.Context(), attempts, cancel)
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

func parseTx(t *testing.T, s tools.Signed) *types.Transaction {
	t.Helper()
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(hexutil.MustDecode(s.Raw)); err != nil {
		t.Fatal(err)
	}
	return tx
}

// What a replacement is, and what becomes of it at a chain that is not ours.
func TestReplacementsAtTheChain(t *testing.T) {
	t.Run("it outbids by an eighth, by more if the chain asks more, and is refused above the limit", func(t *testing.T) {
		k := newTransferKit(t, 200e9)
		a := k.sign()
		k.look(a)
		b := k.replace(false, a)
		old, next := parseTx(t, a), parseTx(t, b)
		if next.Nonce() != old.Nonce() || string(next.Data()) != string(old.Data()) || *next.To() != *old.To() ||
			!tools.Outbids(next.GasFeeCap(), old.GasFeeCap()) || !tools.Outbids(next.GasTipCap(), old.GasTipCap()) {
			t.Errorf("%+v is put in the place of %+v", next, old)
		}
		k.mineAt(40)
		if got := parseTx(t, k.replace(false, a, b)).GasFeeCap(); got.Cmp(big.NewInt(80e9)) < 0 || !tools.Outbids(got, next.GasFeeCap()) {
			t.Errorf("at a base fee of 40 gwei it offers %s", got)
		}
		k.mineAt(190)
		if got := parseTx(t, k.replace(false, a, b)).GasFeeCap(); got.Cmp(big.NewInt(200e9)) != 0 {
			t.Errorf("near the limit of 200 gwei it offers %s", got)
		}
		k.mineAt(250)
		_, err := k.tool.Replace(t.Context(), []tools.Signed{a, b}, false)
		if e, ok := errors.AsType[*tools.Error](err); !ok || e.Code != tools.StuckCeiling {
			t.Errorf("above the limit: %v", err)
		}
	})
	t.Run("it was on record and not sent when the server crashed: it is sent", func(t *testing.T) {
		k := newTransferKit(t, 0)
		a := k.sign()
		k.look(a)
		k.mineAt(40)
		b := k.replace(false, a)
		if st := k.look(a, b); st.State != tools.StandsWaiting || !st.Offer.IsFirst() || st.Offer.IsTooLow() {
			t.Errorf("it stands as %+v", st)
		}
		k.mineAt(40)
		k.wantMined(b, 1e6, a, b)
		k.call("anvil_reorg", 1, []any{})
		if st := k.look(a, b); st.State != tools.StandsWaiting {
			t.Errorf("after its block has gone it stands as %s", st.State)
		}
		k.mineAt(40)
		k.wantMined(b, 1e6, a, b)
		k.mine(2)
		if st := k.look(a, b); st.State != tools.StandsFinal {
			t.Errorf("in the end it stands as %s", st.State)
		}
	})
	t.Run("the old one is mined while the new one is signed", func(t *testing.T) {
		k := newTransferKit(t, 0)
		a := k.sign()
		k.look(a)
		b := k.replace(false, a)
		k.mine(1)
		k.wantMined(a, 1e6, a, b)
		k.mine(2)
		if st := k.look(a, b); st.State != tools.StandsFinal || !strings.Contains(string(st.Receipt), a.Hash) {
			t.Errorf("it stands as %s, %s", st.State, st.Receipt)
		}
	})
	t.Run("a node keeps a dearer one: it says so, and the next is dearer still", func(t *testing.T) {
		k := newTransferKit(t, 0)
		a := k.sign()
		k.look(a)
		b := k.replace(false, a)
		c := k.replace(false, a, b)
		d := k.replace(false, a, b, c)
		k.look(a, b, c) // another process has sent the third
		if st := k.look(a, b); !st.Offer.Refused {
			t.Error("it is not told that a replacement is refused")
		}
		if st := k.look(a, b, d); st.Offer.Refused {
			t.Error("one that outbids all is refused")
		}
		k.mine(1)
		k.wantMined(d, 1e6, a, b, d)
	})
	t.Run("one that cancels moves nothing", func(t *testing.T) {
		k := newTransferKit(t, 0)
		a := k.sign()
		k.look(a)
		k.mineAt(40)
		b := k.replace(true, a)
		k.look(a, b)
		k.mineAt(40)
		k.wantMined(b, 0, a, b)
		if st := k.look(a, b); !strings.Contains(string(st.Receipt), `"empty":true`) {
			t.Errorf("its receipt does not say that it moves nothing: %s", st.Receipt)
		}
	})
}

// wantMined says which of a payment's attempts must be in a block, and what bob has then.
func (k *transferKit) wantMined(want tools.Signed, units uint64, attempts ...tools.Signed) {
	k.t.Helper()
	st := k.look(attempts...)
	if st.State != tools.StandsIncluded || !strings.Contains(string(st.Receipt), want.Hash) || k.balance(bob) != units {
		k.t.Errorf("it stands as %s with %s, and bob has %d; want %s mined, and %d",
			st.State, st.Receipt, k.balance(bob), want.Hash, units)
	}
}

// A stuckServer is a server whose operator is asked about what is stuck, on a foreign chain. It can be killed.
type stuckServer struct {
	*person
	c                 *foreignChain
	bin, data, config string
	url               string
	cmd               *exec.Cmd
}

// start runs the server until it is killed or the test ends.
func (s *stuckServer) start() {
	s.t.Helper()
	s.cmd = nil
	file := filepath.Join(s.t.TempDir(), "ready.json")
	cmd := exec.Command(filepath.Join(s.bin, "writ"), "serve", "--config", s.config, "--ready-file", file)
	cmd.Env = append(os.Environ(), "WRIT_HOME="+s.t.TempDir(), "WRIT_LIMITS_RATE=1000", "WRIT_LIMITS_BURST=1000")
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = cmd
	var r ready
	until(s.t, "the server is ready", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(b, &r) == nil
	})
	s.url = r.URL
}

func (s *stuckServer) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// tx asks the operator's command, and returns what it says.
func (s *stuckServer) tx(exit int, args ...string) string {
	s.t.Helper()
	args = append(append([]string{"tx"}, args...), "--data", s.data, "--server", s.url)
	got, says := command(s.t, filepath.Join(s.bin, "writ"), s.t.TempDir(), args...)
	if got != exit {
		s.t.Fatalf("writ %s ends with %d and says: %s", strings.Join(args, " "), got, says)
	}
	return says
}

// A listed is a transaction as writ tx ls tells of it.
type listed struct {
	Run, State string
	Hashes     []string
}

func (s *stuckServer) listed() []listed {
	s.t.Helper()
	var list struct{ Transactions []listed }
	if err := json.Unmarshal([]byte(s.tx(0, "ls", "--json")), &list); err != nil {
		s.t.Fatal(err)
	}
	return list.Transactions
}

// Where the settings leave it to a person, a stuck transaction is told wherever a person looks, with what waits behind
// it, over a crash too. An operator cancels it, and what waited behind it is mined.
func TestAStuckPaymentIsToldAndCancelled(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a server and starts it, with a chain")
	}
	key, agent := newKey(t)
	c := startForeignChain(t, agent)
	bin, home := build(t), t.TempDir()
	s := &stuckServer{person: &person{t: t}, c: c, bin: bin, data: filepath.Join(home, "data"), config: filepath.Join(home, "writ.yaml")}
	t.Cleanup(s.kill)
	writeForeignSettings(t, s.config, s.data, c, key, "  final: 1 blocks\n  stuck_after: 1s\n  stuck: tell\nlisten: "+freePort(t)+"\n")
	s.start()
	s.person = signIn(t, bin, s.url, "treasurer")
	var asking sync.WaitGroup
	t.Cleanup(asking.Wait)
	asking.Go(func() { s.writ("run", "--quiet", "--yes-approve", "send 1 USDC to bob") })
	until(t, "the transaction waits for a block", func() bool { return c.pending() == "0x1" })
	c.leaveOut(40, "it is stuck", func() bool { return s.phases() == "send stuck send parked" })
	if got := s.listed(); len(got) != 1 {
		t.Errorf("one transaction waits, and the list is %+v", got)
	}
	asking.Go(func() { s.writ("run", "--quiet", "--yes-approve", "send 2 USDC to bob") })
	until(t, "another waits behind it", func() bool {
		return strings.Contains(s.tx(0, "ls"), "1 transaction waits behind it")
	})
	s.kill()
	s.start()
	c.leaveOut(40, "the new process knows it", func() bool { return strings.Contains(s.tx(0, "ls"), "stuck ") })
	for _, args := range [][]string{
		{"attention", "--data", s.data, "--server", s.url}, {"doctor", "--config", s.config},
	} {
		if exit, says := command(t, filepath.Join(bin, "writ"), home, args...); exit == 0 || !strings.Contains(says, "chain.stuck leaves it to a person") {
			t.Errorf("writ %v ends with %d and says: %s", args, exit, says)
		}
	}
	until(t, "the figures tell it", func() bool { // once the new process has looked at both
		m := s.metrics()
		return strings.Contains(m, "writ_tx_stuck 1") && strings.Contains(m, "writ_tx_behind 1")
	})
	list := s.listed()
	if len(list) != 2 {
		t.Fatalf("two transactions wait, and the list is %+v", list)
	}
	stuck := list[0]
	if says := s.tx(64, "cancel", "0xabc"); !strings.Contains(says, "no run waits for this transaction") {
		t.Errorf("of an unknown one it says: %s", says)
	}
	if says := s.tx(0, "cancel", stuck.Hashes[0]); !strings.Contains(says, "sent, to cancel: 0x") {
		t.Errorf("the cancelling says: %s", says)
	}
	until(t, "the chain has the other", func() bool { return c.newestCap() > 80e9 })
	c.mineAt(1)
	c.mineAt(1)
	until(t, "both are final", func() bool {
		c.mine(1)
		return strings.Contains(s.tx(0, "ls"), "no run waits for a transaction")
	})
	if got := c.balance(bob); got != 2e6 {
		t.Errorf("bob has %d units, want 2000000", got)
	}
	says := s.must(0, "runs", "show", stuck.Run)
	for _, want := range []string{"stuck: it offers", "that moves nothing takes its place", "it cancels, and nothing has moved",
		"more than the first transaction offered"} {
		if !strings.Contains(says, want) {
			t.Errorf("runs show does not say %q: %s", want, says)
		}
	}
	if says := s.audit(bin, stuck.Run); !strings.Contains(says, "1 cancelled, and nothing has moved") {
		t.Errorf("the auditor says: %s", says)
	}
}

// metrics reads the server's figures.
func (s *stuckServer) metrics() string {
	s.t.Helper()
	_, says := command(s.t, "curl", s.t.TempDir(), "-s", s.url+"/metrics")
	return says
}
