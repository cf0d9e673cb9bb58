package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/tools/mandate"
)

// putFramework has the chain run the constructors of the Delegation Framework's contracts, each at the address that it has
// on every chain, and puts what they return there.
func (c *foreignChain) putFramework() {
	c.t.Helper()
	var f struct {
		Contracts []struct {
			Address common.Address
			Code    hexutil.Bytes
		}
	}
	raw, err := os.ReadFile(filepath.Join(root, "internal/eth/devchain/contracts/framework.json"))
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err != nil || len(f.Contracts) == 0 {
		c.t.Fatalf("%d contracts of the framework, %v", len(f.Contracts), err)
	}
	for _, x := range f.Contracts {
		c.call("anvil_setCode", x.Address, x.Code)
		code, err := c.eth.CallContract(c.t.Context(), ethereum.CallMsg{To: &x.Address, Gas: 16_000_000}, nil)
		if err != nil || len(code) == 0 {
			c.t.Fatalf("the constructor of %s returns %d bytes, %v", x.Address, len(code), err)
		}
		c.call("anvil_setCode", x.Address, hexutil.Bytes(code))
	}
}

// lands sends a transaction to the framework's manager, and says whether it was not reverted.
func (c *foreignChain) lands(from devchain.Account, data []byte) bool {
	c.t.Helper()
	nonce, err := c.eth.PendingNonceAt(c.t.Context(), from.Address)
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := bind.WaitMined(c.t.Context(), c.eth, c.send(from.Key, nonce, &mandate.Manager, data))
	if err != nil {
		c.t.Fatal(err)
	}
	return r.Status == 1
}

// readKey reads an account's key file.
func readKey(t *testing.T, file string) devchain.Account {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := crypto.ToECDSA(common.FromHex(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return devchain.Account{Address: crypto.PubkeyToAddress(key.PublicKey), Key: key}
}

// On a chain that is not ours the agent pays from the user's account by a delegation. Whoever has the agent's key, and the
// delegation that each payment shows to everybody, moves what is left of it and no unit more; and when the user has revoked
// it there, nobody moves anything. A stranger verifies the payment.
func TestADelegationPaysOnAnvil(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a server and starts it, with a chain")
	}
	userKey, user := newKey(t)
	agentKey, agent := newKey(t)
	c := startForeignChain(t, user, "--slots-in-an-epoch", "1") // a block for each transaction
	c.call("anvil_setBalance", agent, hexutil.EncodeUint64(1e18))
	c.putFramework()
	alice, thief := readKey(t, userKey), readKey(t, agentKey)
	if err := devchain.BecomeSmart(t.Context(), c.eth, alice); err != nil {
		t.Fatal(err)
	}

	example, err := filepath.Abs(filepath.Join(root, "examples/delegated"))
	if err != nil {
		t.Fatal(err)
	}
	bin, home := build(t), t.TempDir()
	file := filepath.Join(home, "writ.yaml")
	writeForeignSettings(t, file, filepath.Join(home, "data"), c, agentKey, fmt.Sprintf(
		"  final: instant\n  mandates: true\npolicies: %s/delegated.yaml\nagents: [%[1]s/clerk.yaml]\n", example))
	r := serve(t, filepath.Join(bin, "writ"), home, "serve", "--config", file)
	p := &person{t: t, bin: filepath.Join(bin, "writ"), home: t.TempDir(), server: r.URL}
	p.must(0, "login", "--key", "file:"+userKey, "--agent", "clerk", "--yes")
	refused := func(order, why string) {
		t.Helper()
		if e := p.run(order); !strings.Contains(e.Said, why) {
			t.Errorf("it does not say %q: %+v", why, e)
		}
	}
	refused("pay bob 1 USDC", "no delegation")
	p.must(0, "mandate", "give", "--with", "file:"+userKey, "--yes", "--delegate", agent.Hex(), "--contract", c.token.Hex())
	paid := p.run("pay bob 5 USDC")
	if paid.Outcome != "answered" || c.balance(bob) != 5e6 || c.balance(user) != 95e6 {
		t.Fatalf("%+v; bob has %d units, and the user %d", paid, c.balance(bob), c.balance(user))
	}

	block, err := c.eth.BlockByNumber(t.Context(), nil)
	if err != nil || len(block.Transactions()) != 1 {
		t.Fatalf("the payment's block: %+v, %v", block, err)
	}
	shown, err := mandate.ReadPayment(c.id.Uint64(), block.Transactions()[0].Data())
	if err != nil {
		t.Fatal(err)
	}
	mallory := common.HexToAddress("0xbad")
	steal := func(units uint64, want bool) {
		t.Helper()
		before, moved := c.balance(mallory), uint64(0)
		data, err := mandate.Pay(shown.Mandate, c.token, mallory, uint256.NewInt(units))
		if err != nil {
			t.Fatal(err)
		}
		if want {
			moved = units
		}
		if got := c.lands(thief, data); got != want || c.balance(mallory) != before+moved {
			t.Errorf("%d units: it lands: %t, want %t; the thief has %d more", units, got, want, c.balance(mallory)-before)
		}
	}
	steal(20_000_001, false) // 25 are allowed, and 5 of it were paid
	steal(15_000_000, true)
	steal(5_000_001, false)
	refused("pay bob 6 USDC", "25 USDC in all and 20 USDC of it")

	var given struct {
		Mandates []struct{ Hash, State, Spent string }
	}
	if err := json.Unmarshal([]byte(p.must(0, "mandate", "ls", "--json")), &given); err != nil || len(given.Mandates) != 1 ||
		given.Mandates[0].State != "open" || given.Mandates[0].Spent != "20 USDC" {
		t.Fatalf("%+v, %v; want one that is open, of which 20 USDC are spent", given, err)
	}
	var ends struct{ Revoke hexutil.Bytes }
	if err := json.Unmarshal([]byte(p.must(0, "mandate", "revoke", given.Mandates[0].Hash, "--json")), &ends); err != nil {
		t.Fatal(err)
	}
	if !c.lands(alice, ends.Revoke) {
		t.Fatal("the user cannot revoke it")
	}
	steal(1, false)
	refused("pay bob 1 USDC", "revoked")
	if c.balance(bob) != 5e6 || c.balance(user) != 80e6 {
		t.Errorf("in the end bob has %d units, and the user %d", c.balance(bob), c.balance(user))
	}

	out := filepath.Join(home, "run")
	p.must(0, "export", paid.Run, "--out", out+".car", "--keys", out+".keys")
	exit, says := command(t, filepath.Join(bin, "writ-audit"), home, "verify", out+".car", "--keys", out+".keys", "--operator-key",
		r.Operator, "--rpc", c.url)
	if exit != 0 || !strings.Contains(says, "1 found on the chain, the chain alone would have stopped at 25 USDC in all") {
		t.Errorf("verified with its chain: exit code %d, %s", exit, says)
	}
}
