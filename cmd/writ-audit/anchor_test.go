package main

import (
	"encoding/base64"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/provenance/logproof"
)

// TestAnchorsAreComparedWithTheLog: on a real chain, anchors of trees that the log had, had not, and has no more.
func TestAnchorsAreComparedWithTheLog(t *testing.T) {
	dev, err := devchain.Start(t.Context(), devchain.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	eth, err := ethclient.Dial(dev.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer eth.Close()
	nonce := uint64(0)
	transact := func(to *common.Address, data []byte) common.Address {
		t.Helper()
		tx, err := types.SignNewTx(devchain.Accounts()["mallory"].Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
			ChainID: big.NewInt(devchain.ID), Nonce: nonce, To: to, Data: data, Gas: 500_000, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(2e10),
		})
		nonce++
		if err == nil {
			err = eth.SendTransaction(t.Context(), tx)
		}
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) { // the chain mines in its own time
			if r, err := eth.TransactionReceipt(t.Context(), tx.Hash()); err == nil {
				if r.Status != 1 {
					t.Fatal("refused")
				}
				return r.ContractAddress
			}
		}
		t.Fatal("not mined")
		return common.Address{}
	}
	k := newLoggingKey(t, "example.com/log", "log")
	dir := t.TempDir()
	logs := map[int]string{}
	roots := map[int][32]byte{}
	for _, n := range []int{3, 300, 400} {
		logs[n] = filepath.Join(dir, "of", string(rune('a'+n%26)))
		roots[n] = [32]byte(writeLog(t, logs[n], numbered(n)))
		k.log(t, logs[n], numbered(n))
	}
	contract := transact(nil, logproof.AnchorCreation(k.vkey))
	anchor := func(size int, root [32]byte) {
		transact(&contract, logproof.Anchor{Size: uint64(size), Root: root, Made: time.Now().Unix() - 5}.Call())
	}
	anchor(3, roots[3])
	anchor(300, roots[300])
	ask := func(log, contract string) (int, map[string]any) {
		exit, out := auditJSON(t, t.Context(), "log", log, "--log-key", k.vkey, "--anchor-rpc", dev.URL(), "--anchor-contract", contract)
		return exit, out[0]
	}
	exit, v := ask(logs[400], "eip155:1337:"+contract.Hex())
	list, _ := v["anchors"].([]any)
	if exit != 0 || len(list) != 2 {
		t.Fatalf("exit %d: %v", exit, v)
	}
	root := roots[300]
	second := list[1].(map[string]any)
	if second["size"] != 300.0 || second["shown"] != true || second["root"] != base64.StdEncoding.EncodeToString(root[:]) || !strings.HasPrefix(second["time"].(string), "20") {
		t.Errorf("anchor: %v", second)
	}
	for _, tc := range []struct{ log, contract, code string }{
		{logs[3], contract.Hex(), "log.stale"}, // less than is anchored
		{logs[400], "eip155:1:" + contract.Hex(), "anchor.chain"},
		{logs[400], devchain.Book().Tokens["USDC"].Address.Hex(), "anchor.contract"},
	} {
		if exit, v := ask(tc.log, tc.contract); exit != 2 || v["code"] != tc.code {
			t.Errorf("want %s, got exit %d: %v", tc.code, exit, v)
		}
	}
	anchor(400, [32]byte{1})
	if exit, v := ask(logs[400], contract.Hex()); exit != 2 || v["code"] != "anchor.root" {
		t.Errorf("another tree: exit %d: %v", exit, v)
	}
}
