package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
)

// delegating starts a server whose agent pays from the user's account, makes alice's a smart account, and returns a command
// that drives it: a script with server, chain and alice's key.
func delegating(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	example, err := filepath.Abs(filepath.Join(root, "examples/delegated"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := node(t, script)
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
	return cmd
}

// A page lets the agent pay from the user's account by the SDK: wallets that grant permissions are asked for one, all others
// sign typed data, and what the account revokes on the chain pays no more.
func TestAPageDelegates(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	cmd := delegating(t, "mandate.mjs")
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
		Refused, Without             string
		Choices                      []string
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
		if asked := slices.DeleteFunc(g.Asked, func(m string) bool { return m == "eth_sendTransaction" || m == "eth_requestAccounts" }); !slices.Equal(asked, tt.asked) {
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
	if want := []string{"eth_requestAccounts", "eth_chainId", "wallet_switchEthereumChain", "eth_sendTransaction"}; !slices.Equal(got.Choices, want) {
		t.Errorf("to revoke, a wallet at another chain was asked %q, want %q", got.Choices, want)
	}
	if got.Without != "invalid_params" {
		t.Errorf("to revoke, a wallet without the account: got %s", got.Without)
	}
	if got.Refused != "user_rejected" || got.Left != 0 {
		t.Errorf("refused: %s, and %d are there", got.Refused, got.Left)
	}
}

// In the console a person lets the agent pay from an account of theirs, sees what the chain counts, and ends it there.
func TestTheConsoleDelegates(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and a browser")
	}
	t.Parallel()
	chromium := browser(t)
	cmd := delegating(t, "console-mandates.mjs")
	cmd.Args = slices.Insert(cmd.Args, len(cmd.Args)-1, chromium)
	if pictures := os.Getenv("WRIT_E2E_PICTURES"); pictures != "" {
		cmd.Args = append(cmd.Args, pictures)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.3000s", err, cmd.Stderr)
	}
	var got struct {
		Faults, Foreign, Axe []string
		Seen                 map[string]string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Faults)+len(got.Foreign)+len(got.Axe) > 0 {
		t.Errorf("the browser complains of %q, asks others for %q, and axe finds %q", got.Faults, got.Foreign, got.Axe)
	}
	for name, want := range map[string]string{
		"other": "EIP-7702", "asked": "25 USDC", "paid": "Sent 5 USDC to bob", "spent": "5 USDC", "failed": "nothing was revoked", "after": "Let it pay USDC",
	} {
		if !strings.Contains(got.Seen[name], want) {
			t.Errorf("%s: got %q, want %q", name, got.Seen[name], want)
		}
	}
}
