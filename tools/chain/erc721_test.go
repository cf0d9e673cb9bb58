package chain_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/contracts"
	"github.com/writ-run/writ/tools"
)

// deployThings deploys a contract of a kind: alice has 7 and the largest number there is, bob has 8; bob may move 7.
func (k *kit) deployThings(nonce uint64, kind int64) string {
	k.t.Helper()
	var compiled struct {
		ABI      abi.ABI
		Bytecode hexutil.Bytes
	}
	if err := json.Unmarshal(contracts.Things, &compiled); err != nil {
		k.t.Fatal(err)
	}
	largest := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	all := devchain.Accounts()
	alice, bob := all["alice"].Address, all["bob"].Address
	args, err := compiled.ABI.Pack("", big.NewInt(kind), []*big.Int{big.NewInt(7), largest, big.NewInt(8)},
		[]common.Address{alice, alice, bob}, bob)
	if err != nil {
		k.t.Fatal(err)
	}
	tx, err := types.SignNewTx(all["alice"].Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: nonce, Data: append(compiled.Bytecode, args...), Gas: 3_000_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	if err == nil {
		err = k.client.SendTransaction(k.t.Context(), tx)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	ownWallet{k, all["alice"]}.mined(nonce)
	return crypto.CreateAddress(alice, nonce).Hex()
}

// Who has a thing and how many somebody has is read at a block; what a contract says instead is told without its words.
func TestThings(t *testing.T) {
	k := start(t, dial(t))
	honest := k.deployThings(0, 0)
	largest := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)).String()
	alice, bob := devchain.Book().Names["alice"].Hex(), devchain.Book().Names["bob"].Hex()
	usdc := devchain.Book().Tokens["USDC"].Address.Hex()
	lies := []string{honest}
	for kind := int64(1); kind <= 4; kind++ {
		lies = append(lies, k.deployThings(uint64(kind), kind))
	}
	for _, tt := range []struct{ tool, args, want, code string }{
		{"erc721.owner", `{"contract":"` + honest + `","id":"7"}`, `"approved":"` + bob + `"`, ""},
		{"erc721.owner", `{"contract":"` + honest + `","id":"7"}`, `"name":"alice","owner":"` + alice + `"`, ""},
		{"erc721.owner", `{"contract":"` + honest + `","id":"8"}`, `"owner":"` + bob + `"`, ""},
		{"erc721.owner", `{"contract":"` + honest + `","id":"` + largest + `"}`, `"block_hash":"0x`, ""},
		{"erc721.owner", `{"contract":"` + honest + `","id":"9"}`, "no such thing", "no_thing"},
		{"erc721.owner", `{"contract":"` + honest + `","id":"9` + largest[1:] + `"}`, "at most 256 bits", "bad_argument"},
		{"erc721.owner", `{"contract":"` + honest + `","id":"07"}`, "whole number", "bad_argument"},
		{"erc721.owner", `{"contract":"` + honest + `","id":"-7"}`, "whole number", "bad_argument"},
		{"erc721.owner", `{"contract":"` + usdc + `","id":"7"}`, "refuses to say", "no_thing"},
		{"erc721.owner", `{"contract":"bob","id":"7"}`, "as one of ERC-721 does", "not_erc721"},
		{"erc721.owner", `{"contract":"` + lies[1] + `","id":"7"}`, "as one of ERC-721 does", "not_erc721"},
		{"erc721.owner", `{"contract":"` + lies[2] + `","id":"7"}`, "as one of ERC-721 does", "not_erc721"},
		{"erc721.owner", `{"contract":"` + lies[3] + `","id":"7"}`, "refuses to say", "no_thing"},
		{"erc721.owner", `{"contract":"` + lies[4] + `","id":"7"}`, "as one of ERC-721 does", "not_erc721"},
		{"erc721.balance", `{"contract":"` + honest + `","account":"alice"}`, `"count":"2"`, ""},
		{"erc721.balance", `{"contract":"` + honest + `","account":"mallory"}`, `"count":"0"`, ""},
		{"erc721.balance", `{"contract":"` + lies[2] + `","account":"alice"}`, "as one of ERC-721 does", "not_erc721"},
		{"erc721.balance", `{"contract":"` + lies[3] + `","account":"alice"}`, "refuses to say", "no_thing"},
		{"erc721.balance", `{"contract":"bob","account":"alice"}`, "as one of ERC-721 does", "not_erc721"},
	} {
		out, err := k.tools[tt.tool].Call(t.Context(), k.read(tt.tool, tt.args))
		said := string(out)
		if err != nil {
			said = err.Error()
		}
		e, _ := errors.AsType[*tools.Error](err)
		if tt.code == "" && err != nil || tt.code != "" && (e == nil || e.Code != tt.code) || !strings.Contains(said, tt.want) ||
			strings.Contains(said, "mallory now") {
			t.Errorf("%s %s: got %s, want %s %s", tt.tool, tt.args, said, tt.code, tt.want)
		}
	}
}
