package e2e

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
)

// A page lets the agent pay from the user's account by the SDK: wallets that grant permissions are asked for one, all others
// sign typed data, and what the account revokes on the chain pays no more.
func TestAPageDelegates(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	example, err := filepath.Abs(filepath.Join(root, "examples/delegated"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := node(t, "mandate.mjs")
	r := serve(t, filepath.Join(build(t), "writ"), t.TempDir(), "dev", "--policies", filepath.Join(example, "delegated.yaml"),
		"--agent-file", filepath.Join(example, "clerk.yaml"))
	c, err := ethclient.DialContext(t.Context(), r.Chain)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	alice := devchain.Accounts()["alice"]
	if err := devchain.BecomeSmart(t.Context(), c, alice); err != nil {
		t.Fatal(err)
	}
	cmd.Args = append(cmd.Args, r.URL, r.Chain, hexutil.Encode(crypto.FromECDSA(alice.Key)))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, cmd.Stderr)
	}
	type given struct {
		Smart                       bool
		Without, Text, Given, State string
		Asked                       []string
	}
	var got struct {
		Typed, Other, Rules, Granted given
		Revoked                      struct{ State, Text string }
		Refused                      string
		Left                         int
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	const supported, typed, grant = "wallet_getSupportedExecutionPermissions", "eth_signTypedData_v4", "wallet_requestExecutionPermissions"
	for _, tt := range []struct {
		name string
		given
		asked []string
	}{
		{"a wallet without permissions", got.Typed, []string{supported, typed}},
		{"one with other kinds", got.Other, []string{supported, typed}},
		{"one without the rules", got.Rules, []string{supported, typed}},
		{"one that grants", got.Granted, []string{supported, grant}},
	} {
		g := tt.given
		if asked := slices.DeleteFunc(g.Asked, func(m string) bool { return m == "eth_sendTransaction" }); !slices.Equal(asked, tt.asked) {
			t.Errorf("%s: it was asked %q, want %q", tt.name, asked, tt.asked)
		}
		if !g.Smart || g.State != "open" || !strings.Contains(g.Given, "25 USDC") || !strings.Contains(g.Text, "1 USDC") ||
			!strings.Contains(g.Without, "no delegation") {
			t.Errorf("%s: %+v", tt.name, g)
		}
	}
	if got.Revoked.State != "revoked" || !strings.Contains(got.Revoked.Text, "revoked on the chain") {
		t.Errorf("revoked: %+v", got.Revoked)
	}
	if got.Refused != "user_rejected" || got.Left != 0 {
		t.Errorf("refused: %s, and %d are there", got.Refused, got.Left)
	}
}
