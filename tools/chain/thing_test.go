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
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/contracts"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/chain"
)

// deployDeeds deploys a collection of a kind from mallory's account: 1 to 4 are the agent's, 5 is bob's.
func deployDeeds(t *testing.T, client *ethclient.Client, nonce uint64, kind int64) common.Address {
	t.Helper()
	var compiled struct {
		ABI      abi.ABI
		Bytecode hexutil.Bytes
	}
	if err := json.Unmarshal(contracts.Deeds, &compiled); err != nil {
		t.Fatal(err)
	}
	all := devchain.Accounts()
	agent := all["agent"].Address
	args, err := compiled.ABI.Pack("", big.NewInt(kind), []common.Address{agent, agent, agent, agent, all["bob"].Address})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := types.SignNewTx(all["mallory"].Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: nonce, Data: append(compiled.Bytecode, args...), Gas: 3_000_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	if err == nil {
		err = client.SendTransaction(t.Context(), tx)
	}
	if err != nil {
		t.Fatal(err)
	}
	ownWallet{&kit{t: t, client: client}, all["mallory"]}.mined(nonce)
	return crypto.CreateAddress(all["mallory"].Address, nonce)
}

// startDeeds returns the tools of the agent where the collection DEED is in the book.
func startDeeds(t *testing.T, client *ethclient.Client, deeds common.Address) *kit {
	return start(t, client, func(c *chain.Config) {
		c.Book.Tokens["DEED"] = tools.Token{Address: deeds, Things: true}
	})
}

// One thing is sent and one is let be taken, and the receipt says which: by its events and by whose it was and is.
func TestOneThingIsSent(t *testing.T) {
	client := dial(t)
	k := startDeeds(t, client, deployDeeds(t, client, 0, 0))
	for _, tt := range []struct{ tool, args, id string }{
		{"erc721.approve", `{"collection":"DEED","id":"1","spender":"bob"}`, "1"},
		{"erc721.transfer", `{"collection":"DEED","id":"1","to":"bob"}`, "1"},
		{"erc721.transfer", `{"collection":"deed","id":"3","to":"alice"}`, "3"},
	} {
		in := k.read(tt.tool, tt.args)
		tool := k.tools[tt.tool].(tools.Chain)
		seen, err := tool.Simulate(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		f, moved, err := tools.ReadForeseen(seen, in.Args)
		if err != nil || !f.OK || moved.Differs(in.Args) || moved.Debit.String() != "1 DEED" || len(f.Owners) != 1 {
			t.Fatalf("%s: %s: %+v, %v", tt.tool, seen, moved, err)
		}
		in.Foreseen = seen
		signed, err := tool.Sign(t.Context(), in, 0)
		if err != nil {
			t.Fatal(err)
		}
		out, err := tool.Send(t.Context(), signed)
		if err != nil {
			t.Fatal(err)
		}
		mined, moved, err := tools.ReadMined(out, in.Args)
		if err != nil || mined.Status != "ok" || moved.Differs(in.Args) || len(mined.Owners) != 1 || mined.Owners[0].ID != tt.id {
			t.Fatalf("%s: %s: %+v, %v", tt.tool, out, moved, err)
		}
	}
}

// Whatever a contract does besides, or in the place of what it is asked, differs from the call or is foreign to it; what
// nobody can do fails before it is signed.
func TestWhatIsNotTheNamedThingIsSeen(t *testing.T) {
	client := dial(t)
	const give, allow = "erc721.transfer", "erc721.approve"
	kits := map[int64]*kit{}
	for kind := int64(0); kind <= 6; kind++ {
		kits[kind] = startDeeds(t, client, deployDeeds(t, client, uint64(kind), kind))
	}
	for _, tt := range []struct {
		rule, tool string
		kind       int64
		args       string
		foreign    bool
		code       string
	}{
		{"the next thing leaves too", give, 1, `{"collection":"DEED","id":"1","to":"bob"}`, true, ""},
		{"another thing leaves", give, 2, `{"collection":"DEED","id":"1","to":"bob"}`, false, ""},
		{"nothing leaves", give, 3, `{"collection":"DEED","id":"1","to":"bob"}`, false, ""},
		{"the recipient may take all", give, 4, `{"collection":"DEED","id":"1","to":"bob"}`, true, ""},
		{"it goes to somebody else", give, 5, `{"collection":"DEED","id":"1","to":"bob"}`, false, ""},
		{"an approval is one of all", allow, 4, `{"collection":"DEED","id":"1","spender":"bob"}`, true, ""},
		{"an approval takes the next thing", allow, 1, `{"collection":"DEED","id":"1","spender":"bob"}`, false, ""},
		{"it is no collection", give, 6, `{"collection":"DEED","id":"1","to":"bob"}`, false, "token_mismatch"},
		{"it is somebody else's", give, 0, `{"collection":"DEED","id":"5","to":"alice"}`, false, "not_owner"},
		{"it does not exist", give, 0, `{"collection":"DEED","id":"9","to":"alice"}`, false, "no_thing"},
		{"the recipient takes no things", give, 0, `{"collection":"DEED","id":"1","to":"` +
			devchain.Book().Tokens["USDC"].Address.Hex() + `"}`, false, "reverted"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			k := kits[tt.kind]
			in := k.read(tt.tool, tt.args)
			seen, err := k.tools[tt.tool].(tools.Chain).Simulate(t.Context(), in)
			if e, ok := errors.AsType[*tools.Error](err); ok && e.Code == tt.code {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			f, moved, err := tools.ReadForeseen(seen, in.Args)
			if err != nil || f.Code != tt.code || tt.code == "" && (!moved.Differs(in.Args) || (moved.Foreign > 0) != tt.foreign) {
				t.Errorf("got %s: %+v, %v", seen, moved, err)
			}
		})
	}
}

// A collection is no token: what counts tokens does not read it, and what names a thing reads no token.
func TestACollectionIsNoToken(t *testing.T) {
	k := startDeeds(t, dial(t), common.Address{19: 7})
	for _, tt := range []struct{ tool, args, want string }{
		{"erc20.approve", `{"token":"DEED","spender":"bob","amount":"1"}`, "bad_thing"},
		{"erc20.transfer", `{"token":"DEED","to":"bob","amount":"1"}`, "bad_thing"},
		{"wallet.transfer", `{"token":"DEED","to":"bob","amount":"1"}`, "bad_thing"},
		{"erc721.transfer", `{"collection":"USDC","to":"bob","id":"1"}`, "bad_thing"},
		{"erc721.approve", `{"collection":"USDC","spender":"bob","id":"1"}`, "bad_thing"},
		{"erc721.transfer", `{"collection":"DEED","to":"bob","id":"01"}`, "bad_argument"},
		{"erc721.transfer", `{"collection":"DEED","to":"bob","id":"-1"}`, "bad_argument"},
		{"erc721.transfer", `{"collection":"DEED","to":"bob","id":"1","amount":"2"}`, "bad_argument"},
		{"erc721.transfer", `{"collection":"DEED","to":"bob","id":"1","from":"alice"}`, "unknown_argument"},
		{"wallet.erc721.transfer", `{"collection":"DEED","to":"bob","id":"` + strings.Repeat("9", 78) + `"}`, "bad_argument"},
	} {
		d, err := tools.Compile(k.tools[tt.tool].Spec())
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Read([]byte(tt.args))
		if e, ok := errors.AsType[*tools.Error](err); !ok || e.Code != tt.want {
			t.Errorf("%s %s: got %v, want %s", tt.tool, tt.args, err, tt.want)
		}
	}
}
