package doctor

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/eth/devchain/walletstest"
)

func walletKey(t *testing.T, name string) (*ecdsa.PrivateKey, common.Address) {
	t.Helper()
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("writ test: " + name)))
	if err != nil {
		t.Fatal(err)
	}
	return key, crypto.PubkeyToAddress(key.PublicKey)
}

// runDoctor calls the command with an empty home folder.
func runDoctor(t *testing.T, args ...string) (exit int, out []byte) {
	t.Helper()
	var b bytes.Buffer
	home := t.TempDir()
	s := &cli.Shell{Out: &b, Err: io.Discard, Env: func(name string) string {
		return map[string]string{"WRIT_HOME": home}[name]
	}}
	root := &cobra.Command{Use: "writ"}
	root.AddCommand(Command(s))
	exit = s.Run(t.Context(), root, append([]string{"doctor"}, args...), "")
	return exit, b.Bytes()
}

// TestDoctorLooksAtWallets: for every kind of account it says what it is, who says so, and what is wrong with how it is
// listed.
func TestDoctorLooksAtWallets(t *testing.T) {
	w := walletstest.New(t)
	_, alice := walletKey(t, "alice")
	delegated, delegate := walletKey(t, "delegated")
	single := w.Deploy("Wallet", alice)
	multi := w.Deploy("MultiWallet", []common.Address{alice, {9}}, big.NewInt(2))
	w.Delegate(delegated, single)
	anybodys := w.Deploy("Flips")
	at := func(a common.Address) string { return "eip155:1337:" + a.Hex() }
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	t.Cleanup(down.Close)

	file := filepath.Join(t.TempDir(), "writ.yaml")
	write := func(config string) {
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("chain: {rpc: [" + w.URL + "]}\n")
	for _, tt := range []struct {
		rule, wallet string
		ok           bool
		detail, fix  string
	}{
		{"an account with a key", alice.Hex(), true, "has no code (chain 1337, block ", ""},
		{"a contract that is listed with its chain", at(single), true, " is a contract (chain 1337, block ", ""},
		{"a contract with owners", at(multi), true, "a contract that lists its owners, as a Safe does", ""},
		{"a contract that is listed like a key's account", single.Hex(), false, " is a contract ", "list it with its chain: " + at(single)},
		{"a key's account that is listed like a contract", at(alice), true, "for an account with a key list " + alice.Hex(), ""},
		{"a delegated account", delegate.Hex(), true, "has another contract's code, EIP-7702", ""},
		{"a wallet that accepts anything", at(anybodys), false, " is a contract ", "anybody may sign in as it"},
		{"a wallet of a chain that nobody is asked about", "eip155:5:" + single.Hex(), false, "no endpoint of chain 5 is configured", "neither let in nor refused"},
		{"no wallet", "bob", false, "bob is not a wallet", "eip155:CHAIN:0x"},
	} {
		_, out := runDoctor(t, "--config", file, "--wallet", tt.wallet, "--json")
		f := findings(t, out, "wallet")
		if len(f) != 1 || f[0].OK != tt.ok || !strings.Contains(f[0].Detail, tt.detail) || !strings.Contains(f[0].Fix, tt.fix) || tt.ok && f[0].Fix != "" {
			t.Errorf("%s: got %+v", tt.rule, f)
		}
		if chains := findings(t, out, "wallets"); len(chains) != 1 || chains[0].Detail != "chain 1337: 1 of 1 endpoint answers; 1 must say so before a contract wallet may move value" {
			t.Errorf("%s: the chain: got %+v", tt.rule, chains)
		}
	}

	// Two of three endpoints agree; a contract wallet is listed, and one of two chains has too few.
	write(fmt.Sprintf("chain: {rpc: [%[1]q, %[2]q, %[3]q], quorum: 2}\ncontract_wallets: [{chain: 5, rpc: [%[3]q]}]\nwallets: [%[4]q]\n",
		w.URL, w.URL+"/?second", down.URL, at(single)))
	exit, out := runDoctor(t, "--config", file, "--json")
	if exit != cli.ExitInternal {
		t.Errorf("exit code %d", exit)
	}
	f := findings(t, out, "wallet")
	if len(f) != 1 || f[0].Account == nil || len(f[0].Account.Agree) != 2 || len(f[0].Account.Silent) != 1 || f[0].Account.Need != 2 || f[0].Account.Standing != "contract" {
		t.Errorf("with three endpoints: got %+v", f)
	}
	if f := findings(t, out, "wallets"); len(f) != 2 || f[0].OK || !strings.Contains(f[0].Detail, "chain 5: 0 of 1 endpoint answers") || !f[1].OK || !strings.Contains(f[1].Detail, "chain 1337: 2 of 3 endpoints answer; 2 must agree") {
		t.Errorf("chains: got %+v", f)
	}
}

func findings(t *testing.T, out []byte, name string) (list []finding) {
	t.Helper()
	var all struct{ Checks []finding }
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, f := range all.Checks {
		if f.Name == name {
			list = append(list, f)
		}
	}
	return list
}
