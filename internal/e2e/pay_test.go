package e2e

import (
	"encoding/json"
	"path/filepath"
	"reflect"
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
