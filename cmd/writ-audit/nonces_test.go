package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/internal/store/storetest"

	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/scripted"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	chaintools "github.com/writ-run/writ/tools/chain"
)

const payRules = `schema: writ/policies/1
name: pay
assets: {USDC: 6}
rules:
  - {id: tools, at: tool.call, effect: permit}
  - {id: spends, at: spend, effect: permit, when: 'asset == "USDC"'}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`

// pay runs an agent that sends bob 5 USDC on a real chain, and writes the run's file and its keys.
func pay(t *testing.T, url, car string) {
	t.Helper()
	ctx := t.Context()
	pool, err := pool.New(pool.Config{URLs: []string{url}, Chain: devchain.ID})
	check(t, err)
	defer pool.Close()
	list, err := chaintools.New(chaintools.Config{Client: pool, Book: devchain.Book(), Key: devchain.Accounts()["agent"].Key})
	check(t, err)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	usdc := money.Asset{Symbol: "USDC", Decimals: 6}
	mem := storetest.Memory(t)
	r, err := runner.New(ctx, runner.Config{
		Store: mem, Tools: list, Key: key, Policy: runner.Policy{Name: "pay", Source: []byte(payRules)},
		Models: []runner.NamedModel{{
			Info:  model.Info{Name: "m", Kind: model.KindScripted, Provider: "test", Model: "m", MaxTokens: 1000},
			Model: scripted.New("m", scripted.Call("erc20.transfer", `{"amount":"5","to":"bob","token":"USDC"}`), scripted.Say("paid")),
		}},
		Agents: []agentfile.Definition{{
			Name: "payer", Instructions: "Pay.", Tools: []string{"erc20.transfer"}, Routes: []agentfile.Route{{ID: "only", Use: "m"}},
			Grant: auth.Caveats{
				MaxCalls: 10, MaxTokens: 100_000, MaxCostNanoUSD: 1_000_000_000, Chains: []uint64{devchain.ID},
				MaxTotal: []money.Amount{money.Of(usdc, 20_000_000)}, MaxPerCall: []money.Amount{money.Of(usdc, 10_000_000)},
				ApproveAbove: []money.Amount{money.Of(usdc, 10_000_000)},
			},
		}},
	})
	check(t, err)
	defer r.Close()
	wallet, err := auth.NewWallet(rand.Reader)
	check(t, err)
	session, err := auth.Generate(auth.Ed25519, rand.Reader)
	check(t, err)
	info, now := r.Agents()[0], time.Now().UTC().Truncate(time.Second)
	raw, err := auth.Build(auth.Offer{
		Scheme: "http", Domain: "localhost", Account: wallet.Address(), Chain: devchain.ID, Key: session.Public(), Nonce: "abcdefgh12345678",
		RequestID: "r", Agent: info.Name, AgentCID: info.CID, RulesCID: info.Rules, Tools: info.Tools, Caveats: info.Defaults,
		Issued: now, Expires: now.Add(time.Hour),
	})
	check(t, err)
	sig, err := wallet.SignText(raw)
	check(t, err)
	grant, err := auth.Reread(raw, sig)
	check(t, err)
	opened, err := r.OpenSession(ctx, grant)
	check(t, err)
	q := runner.StartRequest{Session: opened, Agent: info.Name, Input: "pay bob", Key: "idempotency-key-1"}
	params, err := json.Marshal(wire.StartParams{Agent: q.Agent, Input: q.Input, Key: q.Key})
	check(t, err)
	q.Frame = auth.Frame{Session: opened.ID, Seq: 1, Method: wire.RunStart, Params: params}
	q.Sig, err = session.SignFrame(q.Frame)
	check(t, err)
	started, err := r.Start(ctx, q)
	check(t, err)
	steps, hints, _, stop := r.Follow(started.ID)
	defer stop()
	for {
		info, err := r.Run(ctx, started.ID)
		check(t, err)
		if info.Status == "answered" {
			break
		}
		if info.Status != "running" {
			t.Fatalf("the run is %s", info.Status)
		}
		select {
		case <-steps:
		case <-hints:
		}
	}
	var file, keys bytes.Buffer
	_, err = archive.Export(ctx, mem, &file, started.ID)
	check(t, err)
	byLeaf, err := r.Keys(ctx, started.ID)
	check(t, err)
	var leaves []provenance.Leaf
	for c, k := range byLeaf {
		leaves = append(leaves, provenance.Leaf{CID: c, Key: k})
	}
	check(t, provenance.WriteKeys(&keys, leaves))
	check(t, os.WriteFile(car, file.Bytes(), 0o600))
	check(t, os.WriteFile(strings.TrimSuffix(car, ".car")+".keys.json", keys.Bytes(), 0o600))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// audited runs the program and returns its exit code and what it wrote.
func audited(args ...string) (int, string) {
	var out bytes.Buffer
	exit := run(context.Background(), args, &out, &out)
	return exit, out.String()
}

func TestEveryTransactionOfTheAccountHasItsStep(t *testing.T) {
	dev, err := devchain.Start(t.Context(), devchain.Config{})
	check(t, err)
	defer dev.Close()
	dir := t.TempDir()
	me := devchain.Accounts()["agent"]
	list := func(exit, findings int, args ...string) noncesView {
		t.Helper()
		got, out := audited(append([]string{"nonces", me.Address.Hex(), "--rpc", dev.URL(), "--json"}, args...)...)
		var v noncesView
		if err := json.Unmarshal([]byte(out), &v); err != nil || got != exit || v.Findings != findings {
			t.Fatalf("%v: exit %d and %d findings, want %d and %d (%v): %s", args, got, v.Findings, exit, findings, err, out)
		}
		return v
	}
	list(0, 0) // an account that has sent nothing
	pay(t, dev.URL(), filepath.Join(dir, "run1.car"))
	v := list(0, 0, dir)
	if len(v.Nonces) != 1 || v.Nonces[0].Status != nonceExplained || v.Nonces[0].Tx != v.Nonces[0].Steps[0].Tx || v.Nonces[0].Block == 0 {
		t.Fatalf("%+v", v)
	}
	if v := list(2, 1); v.Nonces[0].Status != nonceUnknown || v.Nonces[0].Tx == "" {
		t.Errorf("without the run: %+v", v)
	}

	// The operator sends something that no run speaks of.
	pool, err := pool.New(pool.Config{URLs: []string{dev.URL()}, Chain: devchain.ID})
	check(t, err)
	defer pool.Close()
	id := big.NewInt(devchain.ID)
	mallory := devchain.Accounts()["mallory"].Address
	tx, err := types.SignNewTx(me.Key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: 1, To: &mallory, Value: big.NewInt(1), Gas: 21_000, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	check(t, err)
	check(t, pool.SendTransaction(t.Context(), tx))
	for n := uint64(0); n < 2; {
		n, err = pool.NonceAt(t.Context(), me.Address, nil)
		check(t, err)
		time.Sleep(time.Millisecond) // the chain mines in its own time
	}
	v = list(2, 1, dir)
	if len(v.Nonces) != 2 || v.Nonces[1].Status != nonceUnknown || v.Nonces[1].Tx != tx.Hash().Hex() {
		t.Errorf("an act without a record: %+v", v)
	}
	exit, text := audited("nonces", me.Address.Hex(), "--rpc", dev.URL(), dir)
	if exit != 2 || !strings.Contains(text, "      1  unexplained "+tx.Hash().Hex()) || !strings.Contains(text, "FOUND 1 ") {
		t.Errorf("exit %d: %s", exit, text)
	}
	list(0, 0, dir, "--from", "2")

	// A file that does not hold explains nothing.
	car := filepath.Join(dir, "run1.car")
	b, err := os.ReadFile(car)
	check(t, err)
	b[len(b)-1] ^= 1
	check(t, os.WriteFile(car, b, 0o600))
	if v := list(2, 3, dir); v.Files[0].Code != provenance.CodeBlockHash || v.Nonces[0].Status != nonceUnknown {
		t.Errorf("%+v", v)
	}
}

func TestNoncesSayWhatIsWrong(t *testing.T) {
	me := devchain.Accounts()["agent"].Address.Hex()
	for _, tt := range []struct {
		exit int
		says string
		args []string
	}{
		{64, "nonces wants the address", []string{}},
		{64, "is not an Ethereum address", []string{"bob", "--rpc", "http://127.0.0.1:1"}},
		{64, "wrong checksum", []string{strings.Replace(me, "a", "A", 1), "--rpc", "http://127.0.0.1:1"}},
		{64, "nonces wants --rpc", []string{me}},
		{64, "--rpc: not an address", []string{me, "--rpc", "ws://x"}},
		{6, "eth_chainId: ", []string{me, "--rpc", "http://127.0.0.1:1/secret-key"}},
	} {
		exit, out := audited(append([]string{"nonces"}, tt.args...)...)
		if exit != tt.exit || !strings.Contains(out, tt.says) || strings.Contains(out, "secret-key") {
			t.Errorf("%v: exit %d: %s", tt.args, exit, out)
		}
	}
}
