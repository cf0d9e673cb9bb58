package main

import (
	"crypto/ecdsa"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/eth/devchain/walletstest"
	"github.com/writ-run/writ/provenance"
)

// The operator's wallet is a contract whose owners approve the binding on the chain.
func TestAContractWalletBindsTheKey(t *testing.T) {
	w := walletstest.New(t)
	owner, alice := walletKey(t, "alice")
	w.Fund(alice)
	wallet := w.Deploy("MultiWallet", []common.Address{alice}, big.NewInt(1))
	data := t.TempDir()
	bind := func(more ...string) (exit int, out []byte) {
		a, said, _ := testApp(t, nil)
		exit = a.main(t.Context(), append([]string{"key", "bind", "--data", data, "--operator", wallet.Hex(), "--chain", "1337", "--from", "2026-01-01T00:00:00Z"}, more...))
		return exit, said.Bytes()
	}
	exit, out := bind("--print")
	var typed apitypes.TypedData
	if err := json.Unmarshal(out, &typed); exit != cli.ExitOK || err != nil {
		t.Fatalf("exit code %d, %v", exit, err)
	}
	digest, _, err := apitypes.TypedDataAndHash(typed)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(rpc ...string) []string { return append([]string{"--signature", "0x", "--json"}, rpc...) }
	for _, tt := range []struct {
		rule string
		rpc  []string
		exit int
	}{
		{"before its owners have approved it", []string{"--rpc", w.URL}, cli.ExitSignature},
		{"without its chain", nil, cli.ExitSignature},
		{"while its chain is down", []string{"--rpc", "http://127.0.0.1:1"}, cli.ExitNetwork},
	} {
		if exit, out := bind(signed(tt.rpc...)...); exit != tt.exit {
			t.Errorf("%s: exit code %d, %s", tt.rule, exit, out)
		}
	}
	w.Send(owner, "MultiWallet", wallet, "approve", common.BytesToHash(digest))
	if exit, out := bind(signed("--rpc", w.URL)...); exit != cli.ExitOK {
		t.Fatalf("exit code %d, %s", exit, out)
	}
	b, err := os.ReadFile(filepath.Join(data, datadir.BindingFile))
	if err != nil {
		t.Fatal(err)
	}
	var rec provenance.KeyBinding
	if err := provenance.Decode(b, &rec); err != nil {
		t.Fatal(err)
	}
	if rec.Method != auth.MethodEIP1271 || rec.Asked == nil || rec.Asked.Number == 0 || len(rec.Sig) != 0 || rec.Operator != wallet {
		t.Errorf("got %+v", rec)
	}
}

func walletKey(t *testing.T, name string) (*ecdsa.PrivateKey, common.Address) {
	t.Helper()
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("writ test: " + name)))
	if err != nil {
		t.Fatal(err)
	}
	return key, crypto.PubkeyToAddress(key.PublicKey)
}
