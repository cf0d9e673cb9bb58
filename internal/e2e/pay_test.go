package e2e

import (
	"bytes"
	"encoding/json"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/contracts"
	"github.com/writ-run/writ/tools"
)

// The SDK has the user's own wallet send what runs ask it for: as a batch only where each call stays a transaction of its
// own, and each payment once.
func TestThePagesWalletPays(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	cmd, home, records, bin := node(t, "pay.mjs"), t.TempDir(), t.TempDir(), build(t)
	r, alice := servePayer(t, bin, home)
	cmd.Args = append(cmd.Args, r.URL, r.Chain, hexutil.Encode(crypto.FromECDSA(alice.Key)), records)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, cmd.Stderr)
	}
	type paid struct {
		Sent        int
		Said, Asked []string
	}
	var got struct {
		Plain, Batch, Folds   paid
		Atomic, Itself, Again paid
		Failed                int
		Lied, Settled         []string
		Rejected              struct {
			Code         string
			Sent, Known  []bool
			Later, Sends int
			Said         []string
		}
		Stranger string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ got, want paid }{
		{got.Plain, paid{1, []string{"Sent 1 USDC to bob"}, []string{"eth_sendTransaction"}}},
		{got.Batch, paid{2, []string{"Sent 2 USDC to bob", "Sent 3 USDC to bob"}, []string{"wallet_sendCalls"}}},
		{got.Folds, paid{1, []string{"Sent 4 USDC to bob"}, []string{"eth_sendTransaction"}}},
		{got.Atomic, paid{1, []string{"Transaction # succeeded in # [step 4, #]."}, []string{"wallet_sendCalls"}}},
		{got.Itself, paid{1, []string{"Transaction # succeeded in # [step 4, #]."}, []string{"eth_sendTransaction"}}},
		{got.Again, paid{1, []string{"Transaction # succeeded in # [step 4, #]."}, []string{"wallet_sendCalls"}}},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("got %+v, want %+v", tt.got, tt.want)
		}
	}
	if got.Failed != 0 {
		t.Errorf("a batch that failed has %d transactions", got.Failed)
	}
	if want := []string{tools.PaidOtherwise, tools.PaidOtherwise}; !reflect.DeepEqual(got.Lied, want) {
		t.Errorf("of two payments in one transaction: got %q, want %q", got.Lied, want)
	}
	for _, name := range []string{"atomic", "itself", "again"} {
		file := filepath.Join(records, name)
		if exit, says := command(t, filepath.Join(bin, "writ-audit"), home, "verify", file+".car", "--keys", file+".keys", "--operator-key", r.Operator,
			"--rpc", r.Chain); exit != 0 || !strings.Contains(says, "found on the chain") {
			t.Errorf("%s: verified with its chain: exit code %d, %s", name, exit, says)
		}
	}
	if r := got.Rejected; r.Code != "user_rejected" || !reflect.DeepEqual(r.Sent, []bool{true}) ||
		!reflect.DeepEqual(r.Known, []bool{true, false}) || r.Later != 2 || r.Sends != 3 ||
		!reflect.DeepEqual(r.Said, []string{"Sent 1 USDC to bob", "Sent 2 USDC to bob"}) {
		t.Errorf("of two, the second refused: got %+v", r)
	}
	const unknown = "outcome_unknown"
	if want := []string{unknown, unknown, unknown, unknown, "0", "0"}; !reflect.DeepEqual(got.Settled, want) {
		t.Errorf("batches without receipts: got %q, want %q", got.Settled, want)
	}
	if got.Stranger != "invalid_params" {
		t.Errorf("a wallet without the account: got %s", got.Stranger)
	}
}

// servePayer starts a dev server whose agent has the user's own wallet pay, and deposit in a vault that is let take the
// amount by the same transaction. It returns the account that can, whose wallet has it as a smart account.
func servePayer(t *testing.T, bin, home string) (r ready, alice devchain.Account) {
	t.Helper()
	example, err := filepath.Abs(filepath.Join(root, "examples/wallet-pays"))
	if err != nil {
		t.Fatal(err)
	}
	alice, maker := devchain.Accounts()["alice"], devchain.Accounts()["mallory"]
	agent, err := os.ReadFile(filepath.Join(example, "payer.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"vault.json": string(contracts.Vaults),
		"payer.yaml": strings.Replace(string(agent), "wallet.transfer]", "wallet.transfer, wallet.deposit]", 1),
		"tools.yaml": "tools:\n  - contract:\n      name: wallet.deposit\n      address: \"" + crypto.CreateAddress(maker.Address, 0).Hex() +
			"\"\n      abi: " + filepath.Join(home, "vault.json") + "\n      function: deposit\n      wallet: true\n      lets: true\n" +
			"      spend: {amount: assets, asset: USDC}\n      integrity: tool\n      utterances: [\"deposit {assets} for {receiver}\"]\n",
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r = serve(t, filepath.Join(bin, "writ"), home, "dev", "--policies", filepath.Join(example, "own-wallet.yaml"),
		"--agent-file", filepath.Join(home, "payer.yaml"), "--tools", filepath.Join(home, "tools.yaml"))
	chain, err := ethclient.DialContext(t.Context(), r.Chain)
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Close()
	deployVault(t, chain, maker)
	if err := devchain.BecomeSmart(t.Context(), chain, alice); err != nil {
		t.Fatal(err)
	}
	return r, alice
}

// The console does not lose a batch of the wallet's with its page, and does not ask for a second one.
func TestTheConsoleKeepsABatch(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and a browser")
	}
	t.Parallel()
	chromium := browser(t)
	r, alice := servePayer(t, build(t), t.TempDir())
	out, err := node(t, "console-batch.mjs", r.URL, r.Chain, chromium, hexutil.Encode(crypto.FromECDSA(alice.Key))).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Faults, Axe, Asked []string
		Got                struct {
			Offered, Parts int
			Left           string
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Faults)+len(got.Axe) > 0 {
		t.Errorf("the browser complains of %q, and axe finds %q", got.Faults, got.Axe)
	}
	if got.Got.Offered != 0 || got.Got.Parts != 2 || got.Got.Left != "998000000" {
		t.Errorf("got %+v: what the wallet has is offered again, is not shown, or was not counted", got.Got)
	}
	if want := []string{"wallet_sendCalls", "wallet_sendCalls"}; !reflect.DeepEqual(got.Asked, want) { // the second one failed
		t.Errorf("the wallet was asked %q, want %q", got.Asked, want)
	}
}

// deployVault deploys an honest vault of the tests' as an account's first transaction.
func deployVault(t *testing.T, chain *ethclient.Client, maker devchain.Account) {
	t.Helper()
	var out struct {
		ABI      json.RawMessage
		Bytecode hexutil.Bytes
	}
	if err := json.Unmarshal(contracts.Vaults, &out); err != nil {
		t.Fatal(err)
	}
	parsed, err := abi.JSON(bytes.NewReader(out.ABI))
	if err != nil {
		t.Fatal(err)
	}
	args, err := parsed.Pack("", devchain.Book().Tokens["USDC"].Address, new(big.Int))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := types.SignNewTx(maker.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Gas: 3_000_000, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
		Data: append(out.Bytecode, args...),
	})
	if err == nil {
		err = chain.SendTransaction(t.Context(), tx)
	}
	if err == nil {
		_, err = bind.WaitMined(t.Context(), chain, tx.Hash())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The console has the user's own wallet pay, over a chain that mines when it is told to: refused there it is offered again; sent
// once it is not, though the page is loaded again; sped up it is one payment; and a run that it does not pay for is stopped.
// Blocks are not final at once there.
func TestTheConsolePays(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server, a chain and a browser")
	}
	t.Parallel()
	chromium := browser(t)
	key, account := newKey(t)
	c := startForeignChain(t, account)
	example, err := filepath.Abs(filepath.Join(root, "examples/wallet-pays"))
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0") // the page's origin stands in the settings
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	free.Close()
	home, none := t.TempDir(), filepath.Join(t.TempDir(), "none.key")
	file := filepath.Join(home, "writ.yaml")
	writeForeignSettings(t, file, filepath.Join(home, "data"), c, none, "  final: 2 blocks\npolicies: "+filepath.Join(example, "own-wallet.yaml")+
		"\nagents: ["+filepath.Join(example, "payer.yaml")+"]\nscheme: http\norigins: [\"http://"+at+"\"]\n")
	settings, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	settings = bytes.Replace(settings, []byte("  key: file:"+none+"\n"), nil, 1) // the server has no key
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	r := serve(t, filepath.Join(build(t), "writ"), home, "serve", "--config", file, "--listen", at)
	secret, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	cmd := node(t, "console-pays.mjs", r.URL, c.url, chromium, string(secret), "8453")
	if pictures := os.Getenv("WRIT_E2E_PICTURES"); pictures != "" {
		cmd.Args = append(cmd.Args, pictures)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.3000s", err, cmd.Stderr)
	}
	var got struct {
		Faults, Foreign, Axe, Asked []string
		Got                         struct {
			Card, SpedUp, Sent string
			Offered, Another   int
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Faults)+len(got.Foreign)+len(got.Axe) > 0 {
		t.Errorf("the browser complains of %q, asks others for %q, and axe finds %q", got.Faults, got.Foreign, got.Axe)
	}
	g := got.Got
	if !strings.Contains(g.Card, "From your own wallet") || !strings.Contains(g.Card, "1 USDC") || g.Offered != 0 {
		t.Errorf("the card says %q, and what was sent is offered %d times more", g.Card, g.Offered)
	}
	if g.Another != 0 || strings.Contains(g.Sent, "must be") {
		t.Errorf("of what was sent it says %q, and offers to send %d more", g.Sent, g.Another)
	}
	if !strings.Contains(g.SpedUp, "Sent 2 USDC to bob") {
		t.Errorf("sped up it says %q", g.SpedUp)
	}
	sent := 0
	for _, m := range got.Asked {
		if m == "eth_sendTransaction" {
			sent++
		}
	}
	if paid := c.balance(bob); sent != 4 || paid != 3e6 { // two of the four were refused
		t.Errorf("the wallet was asked %d times to send, and bob has %d units", sent, paid)
	}
}
