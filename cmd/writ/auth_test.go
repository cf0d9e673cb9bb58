package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/eth/devchain/walletstest"
)

// TestAuthCheckAsksTheChainOfAContractWallet: every kind of account, with no endpoint, one and two.
func TestAuthCheckAsksTheChainOfAContractWallet(t *testing.T) {
	w := walletstest.New(t)
	owner, alice := walletKey(t, "alice")
	stranger, _ := walletKey(t, "stranger")
	own, delegated := walletKey(t, "delegated")
	single := w.Deploy("Wallet", alice)
	multi := w.Deploy("MultiWallet", []common.Address{alice, delegated}, big.NewInt(1))
	factory, later := w.Factory(alice, [32]byte{3})
	w.Fund(alice)
	w.Delegate(own, w.Deploy("Flips"))
	text := func(account common.Address) []byte {
		return fmt.Appendf(nil, "https://app.example.com wants you to sign in with your Ethereum account:\n%s\n\n\nURI: https://app.example.com/login\nVersion: 1\nChain ID: 1337\nNonce: 4kPq81vX\nIssued At: 2026-11-23T12:00:00Z", account.Hex())
	}
	sign := func(name string, account common.Address) []byte {
		key := owner
		switch name {
		case "stranger":
			key = stranger
		case "own":
			key = own
		}
		sig, err := crypto.Sign(accounts.TextHash(text(account)), key)
		if err != nil {
			t.Fatal(err)
		}
		sig[64] += 27
		return sig
	}
	w.Send(owner, "MultiWallet", multi, "approve", common.BytesToHash(accounts.TextHash(text(multi))))
	one, two := []string{"--rpc", w.URL}, []string{"--rpc", w.URL, "--rpc", w.URL + "/?second"}
	for _, tt := range []struct {
		rule    string
		account common.Address
		sig     []byte
		rpc     []string
		exit    int
		code    string
		method  string
		kind    string
		agreed  uint64
	}{
		{"a key, nobody asked", alice, sign("", alice), nil, 0, "", "eoa", "not checked", 0},
		{"a key", alice, sign("", alice), one, 0, "", "eoa", "eoa", 1},
		{"a delegated account's own key", delegated, sign("own", delegated), two, 0, "", "eoa", "delegated", 2},
		{"a delegated account, as its delegate says", delegated, sign("", delegated), one, 0, "", "eip1271", "delegated", 1},
		{"a contract", single, sign("", single), two, 0, "", "eip1271", "contract", 2},
		{"a contract, nobody asked", single, sign("", single), nil, cli.ExitSignature, "sig.signer", "", "not checked", 0},
		{"a contract that refuses", single, sign("stranger", single), one, cli.ExitSignature, "sig.contract", "", "not checked", 0},
		{"what owners approved on the chain", multi, nil, one, 0, "", "eip1271", "contract", 1},
		{"the same, nobody asked", multi, nil, nil, cli.ExitIncomplete, "chain.unavailable", "not checked", "not checked", 0},
		{"the same, of another chain's endpoint", multi, nil, []string{"--rpc", "http://127.0.0.1:1"}, cli.ExitNetwork, "chain.unavailable", "", "not checked", 0},
		{"a contract that is not deployed yet", later, auth.Wrap(factory, w.Pack("Factory", "deploy", alice, [32]byte{3}), sign("", later)), one, 0, "", "eip6492", "prepared", 1},
		{"a bad wrapper", later, append(make([]byte, 32), bytes.Repeat([]byte{0x64, 0x92}, 16)...), one, cli.ExitSignature, "sig.wrapper", "", "not checked", 0},
	} {
		file := filepath.Join(t.TempDir(), "message.txt")
		if err := os.WriteFile(file, text(tt.account), 0o600); err != nil {
			t.Fatal(err)
		}
		a, out, _ := testApp(t, nil)
		args := append([]string{"auth", "check", file, "--signature", "0x" + hex.EncodeToString(tt.sig), "--domain", "app.example.com", "--json"}, tt.rpc...)
		exit := a.main(t.Context(), args)
		var got checked
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v: %s", tt.rule, err, out)
		}
		if exit != tt.exit || string(got.Code) != tt.code || got.Method != tt.method || got.Kind != tt.kind || got.Agreed != tt.agreed || (got.Block != 0) != (tt.agreed > 0) {
			t.Errorf("%s: exit code %d, %s", tt.rule, exit, out)
		}
	}
	file := filepath.Join(t.TempDir(), "message.txt")
	if err := os.WriteFile(file, text(single), 0o600); err != nil {
		t.Fatal(err)
	}
	a, out, _ := testApp(t, nil)
	a.main(t.Context(), append([]string{"auth", "check", file, "--signature", "0x" + hex.EncodeToString(sign("", single)), "--domain", "app.example.com"}, two...))
	if !strings.Contains(out.String(), "signed by: its contract accepts it (eip1271); the account is a contract at block ") || !strings.Contains(out.String(), "as 2 of 2 endpoints say") {
		t.Errorf("in words: %s", out)
	}
}
