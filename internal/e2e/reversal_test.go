package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"
)

// The chain takes back more blocks than its rule says are final: the payments that were in them are told of and sent
// again, with the very same bytes, and what is paid afterwards does not wait for them for ever. One whose nonce another
// transaction has used meanwhile is told of, and never sent.
func TestAReorgBelowTheFinalBlockIsToldAndMended(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a server and starts it, with a chain")
	}
	keyFile, agent := newKey(t)
	c := startForeignChain(t, agent)
	bin, home := build(t), t.TempDir()
	s := &stuckServer{person: &person{t: t}, c: c, bin: bin, data: filepath.Join(home, "data"), config: filepath.Join(home, "writ.yaml")}
	t.Cleanup(s.kill)
	writeForeignSettings(t, s.config, s.data, c, keyFile, "  final: 2 blocks\nlisten: "+freePort(t)+"\n")
	s.start()
	s.person = signIn(t, bin, s.url, "treasurer")
	pays := func(amount string) string {
		done := make(chan ended, 1)
		go func() { done <- s.run("--yes-approve", "send "+amount+" USDC to bob") }()
		until(t, "the payment of "+amount+" waits for a block", func() bool { return c.pending() == "0x1" })
		c.mine(1)
		until(t, "it is provisional", func() bool { return s.phases() == "send final parked" })
		c.mine(2)
		e := <-done
		if e.Outcome != "answered" {
			t.Fatalf("the payment of %s ended as %+v", amount, e)
		}
		return e.Run
	}
	attention := func() string {
		_, says := command(t, filepath.Join(bin, "writ"), home, "attention", "--config", s.config)
		return says
	}
	first := pays("1")
	pays("2")
	s.kill()
	c.call("anvil_reorg", 6, []any{})
	if got := c.balance(bob); got != 0 {
		t.Fatalf("bob has %d units after the reorg", got)
	}
	for _, args := range [][]string{{"attention", "--config", s.config}, {"doctor", "--config", s.config}} {
		if exit, says := command(t, filepath.Join(bin, "writ"), home, args...); exit == 0 ||
			!strings.Contains(says, first) || !strings.Contains(says, "the chain has taken that block back: it is not paid now") {
			t.Errorf("writ %v ends with %d and says: %s", args, exit, says)
		}
	}
	s.start()
	until(t, "both are sent again", func() bool { return c.pending() == "0x2" })
	if m := s.metrics(); !strings.Contains(m, "writ_tx_returned 2") || !strings.Contains(m, "writ_tx_reversed 0") {
		t.Errorf("the figures do not tell it: %s", m)
	}
	c.mine(1)
	if got := c.balance(bob); got != 3e6 {
		t.Errorf("bob has %d units, want 3000000", got)
	}
	if says := attention(); strings.Contains(says, "reversal") {
		t.Errorf("once they are back it says: %s", says)
	}
	third := pays("4")
	s.kill()
	c.call("anvil_reorg", 3, []any{})
	if got := c.balance(bob); got != 3e6 {
		t.Fatalf("bob has %d units after the second reorg", got)
	}
	raw, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := crypto.HexToECDSA(strings.TrimPrefix(string(raw), "0x"))
	if err != nil {
		t.Fatal(err)
	}
	c.send(key, 2, &agent, nil)
	c.mine(1)
	if says := attention(); !strings.Contains(says, third) || !strings.Contains(says, "never will be") {
		t.Errorf("of one whose nonce is used it says: %s", says)
	}
	s.start()
	until(t, "the figures tell it", func() bool { return strings.Contains(s.metrics(), "writ_tx_reversed 1") })
	pays("8")
	if got := c.balance(bob); got != 11e6 {
		t.Errorf("bob has %d units in the end, want 11000000", got)
	}
	s.audit(bin, third)
}
