package e2e

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// A foreignChain is anvil with the number of another chain than ours, a token on it, and blocks that are made by hand.
type foreignChain struct {
	t     *testing.T
	url   string
	rpc   *rpc.Client
	eth   *ethclient.Client
	token common.Address
	id    *big.Int
}

var bob = common.HexToAddress("0x00000000000000000000000000000000000b0b00")

func startForeignChain(t *testing.T, agent common.Address, more ...string) *foreignChain {
	t.Helper()
	if len(more) == 0 {
		more = []string{"--no-mining"}
	}
	url, _ := anvil(t, "8453", more...)
	client, err := rpc.DialContext(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c := &foreignChain{t: t, url: url, rpc: client, eth: ethclient.NewClient(client), id: big.NewInt(8453)}
	deployer, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	from := crypto.PubkeyToAddress(deployer.PublicKey)
	for _, a := range []common.Address{from, agent} {
		c.call("anvil_setBalance", a, hexutil.EncodeBig(big.NewInt(1e18)))
	}
	var artifact struct{ Bytecode hexutil.Bytes }
	raw, err := os.ReadFile(filepath.Join(root, "internal/eth/devchain/contracts/USDC.json"))
	if err == nil {
		err = json.Unmarshal(raw, &artifact)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.token = crypto.CreateAddress(from, 0)
	c.send(deployer, 0, nil, artifact.Bytecode)
	mint := append(crypto.Keccak256([]byte("mint(address,uint256)"))[:4], common.LeftPadBytes(agent[:], 32)...)
	c.send(deployer, 1, &c.token, append(mint, common.LeftPadBytes(big.NewInt(100e6).Bytes(), 32)...))
	c.mine(1)
	if got := c.balance(agent); got != 100e6 {
		t.Fatalf("the agent's account has %d units", got)
	}
	return c
}

func (c *foreignChain) call(method string, args ...any) {
	c.t.Helper()
	if err := c.rpc.CallContext(c.t.Context(), nil, method, args...); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

func (c *foreignChain) mine(blocks int) {
	c.t.Helper()
	c.call("anvil_mine", hexutil.EncodeUint64(uint64(blocks)))
}

func (c *foreignChain) send(key *ecdsa.PrivateKey, nonce uint64, to *common.Address, data []byte) common.Hash {
	c.t.Helper()
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(c.id), &types.DynamicFeeTx{
		ChainID: c.id, Nonce: nonce, To: to, Data: data, Gas: 2_000_000, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(100e9),
	})
	if err == nil {
		err = c.eth.SendTransaction(c.t.Context(), tx)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return tx.Hash()
}

func (c *foreignChain) balance(of common.Address) uint64 {
	c.t.Helper()
	data := append(crypto.Keccak256([]byte("balanceOf(address)"))[:4], common.LeftPadBytes(of[:], 32)...)
	out, err := c.eth.CallContract(c.t.Context(), ethereum.CallMsg{To: &c.token, Data: data}, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return new(big.Int).SetBytes(out).Uint64()
}

// pending says how many transactions wait for a block.
func (c *foreignChain) pending() string {
	c.t.Helper()
	var status struct{ Pending string }
	if err := c.rpc.CallContext(c.t.Context(), &status, "txpool_status"); err != nil {
		c.t.Fatal(err)
	}
	return status.Pending
}

// until waits for something that another process does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("after two minutes it is not so: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// serveForeign runs a server for the chain and signs a person in.
func serveForeign(t *testing.T, bin string, c *foreignChain, key, more string) *person {
	t.Helper()
	home := t.TempDir()
	file := filepath.Join(home, "writ.yaml")
	writeForeignSettings(t, file, filepath.Join(home, "data"), c, key, more)
	r := serve(t, filepath.Join(bin, "writ"), home, "serve", "--config", file)
	return signIn(t, bin, r.URL, "treasurer")
}

// writeForeignSettings writes the settings of a server for the chain.
func writeForeignSettings(t *testing.T, file, data string, c *foreignChain, key, more string) {
	t.Helper()
	settings := fmt.Sprintf(`data: %s
wallets: [any]
chain:
  id: 8453
  rpc: [%s]
  tokens: [{symbol: ETH, decimals: 18}, {symbol: USDC, address: "%s", decimals: 6}]
  names: [{name: bob, address: "%s"}]
  key: file:%s
%s`, data, c.url, c.token.Hex(), bob.Hex(), key, more)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newKey makes the key file of an account.
func newKey(t *testing.T) (file string, account common.Address) {
	t.Helper()
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "agent.key")
	if err := os.WriteFile(file, []byte(hexutil.Encode(crypto.FromECDSA(key))), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, crypto.PubkeyToAddress(key.PublicKey)
}

// phases returns what a person's newest run has done with its transaction, one word a step.
func (p *person) phases() string {
	p.t.Helper()
	var list struct{ Runs []struct{ Run string } }
	if err := json.Unmarshal([]byte(p.must(0, "runs", "ls", "--json")), &list); err != nil || len(list.Runs) == 0 {
		return ""
	}
	var run struct {
		Status string
		Events []struct {
			Event struct {
				Kind, Status string
				Output       struct{ State string }
			}
			Does []struct{ Kind, Phase string }
		}
	}
	if err := json.Unmarshal([]byte(p.must(0, "runs", "show", list.Runs[0].Run, "--json")), &run); err != nil {
		p.t.Fatal(err)
	}
	var words []string
	for _, e := range run.Events {
		if e.Event.Kind == "result" && e.Event.Status == "pending" {
			words = append(words, e.Event.Output.State)
		}
		for _, d := range e.Does {
			if d.Phase == "send" || d.Phase == "final" {
				words = append(words, d.Phase)
			}
		}
	}
	return strings.Join(append(words, run.Status), " ")
}

// A payment is in a block, the chain takes that block back, and the payment comes into another, which becomes final: the
// run is told so each time, nothing is paid twice, and it closes when nothing can be taken back any more. A stranger
// verifies what was recorded.
func TestAPaymentIsFinalOnlyWhenItsBlockIs(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a server and starts it, with a chain")
	}
	key, agent := newKey(t)
	c := startForeignChain(t, agent)
	bin := build(t)
	p := serveForeign(t, bin, c, key, "  final: 2 blocks\n")
	ended := make(chan ended, 1)
	go func() { ended <- p.run("--yes-approve", "send 1 USDC to bob") }()
	until(t, "the transaction waits for a block", func() bool { return c.pending() == "0x1" })
	c.mine(1)
	until(t, "it is provisional", func() bool { return p.phases() == "send final parked" })
	if got := c.balance(bob); got != 1e6 {
		t.Fatalf("bob has %d units in the first block", got)
	}
	c.call("anvil_reorg", 1, []any{})
	until(t, "the block has gone, and the bytes are sent again", func() bool {
		return p.phases() == "send final returned send parked" && c.pending() == "0x1"
	})
	if got := c.balance(bob); got != 0 {
		t.Fatalf("bob has %d units after the reorg", got)
	}
	c.mine(1)
	until(t, "it is provisional again", func() bool { return p.phases() == "send final returned send final parked" })
	c.mine(2)
	e := <-ended
	if e.Exit != 0 || e.Outcome != "answered" || !strings.Contains(e.Said, "Sent 1 USDC to bob") {
		t.Errorf("the run ended as %+v", e)
	}
	if got := c.balance(bob); got != 1e6 {
		t.Errorf("bob has %d units in the end, want 1000000", got)
	}
	out := filepath.Join(t.TempDir(), "run")
	p.must(0, "export", e.Run, "--out", out+".car", "--keys", out+".keys")
	exit, says := command(t, filepath.Join(bin, "writ-audit"), p.home, "verify", out+".car", "--keys", out+".keys")
	if !strings.Contains(says, "1 sent again since their block had gone") || strings.Contains(says, "FAILED") {
		t.Errorf("the auditor ends with %d and says: %s", exit, says)
	}
}
