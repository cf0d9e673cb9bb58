package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/internal/eth/devchain"
)

// The SDK has the user's own wallet send what runs ask it for: as a batch only where each call stays a transaction of its
// own, and each payment once.
func TestThePagesWalletPays(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	example, err := filepath.Abs(filepath.Join(root, "examples/wallet-pays"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := node(t, "pay.mjs")
	r := serve(t, filepath.Join(build(t), "writ"), t.TempDir(), "dev", "--policies", filepath.Join(example, "own-wallet.yaml"),
		"--agent-file", filepath.Join(example, "payer.yaml"))
	cmd.Args = append(cmd.Args, r.URL, r.Chain, hexutil.Encode(crypto.FromECDSA(devchain.Accounts()["alice"].Key)))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, cmd.Stderr)
	}
	type paid struct {
		Sent        int
		Said, Asked []string
	}
	var got struct {
		Plain, Batch, Folds paid
		Stranger            string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ got, want paid }{
		{got.Plain, paid{1, []string{"Sent 1 USDC to bob"}, []string{"eth_sendTransaction"}}},
		{got.Batch, paid{2, []string{"Sent 2 USDC to bob", "Sent 3 USDC to bob"}, []string{"wallet_sendCalls"}}},
		{got.Folds, paid{1, []string{"Sent 4 USDC to bob"}, []string{"eth_sendTransaction"}}},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("got %+v, want %+v", tt.got, tt.want)
		}
	}
	if got.Stranger != "invalid_params" {
		t.Errorf("a wallet without the account: got %s", got.Stranger)
	}
}

// The console has the user's own wallet pay, over a chain that mines when it is told to: refused there it is offered again; sent
// once it is not, though the page is loaded again; sped up it is one payment; and a run that it does not pay for is stopped.
// Blocks are not final at once there.
func TestTheConsolePays(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server, a chain and a browser")
	}
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
