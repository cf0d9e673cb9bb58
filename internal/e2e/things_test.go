package e2e

import (
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/contracts"
)

const keepersAgent = `schema: writ/agent/1
name: keeper
about: Keeps things of a collection.
instructions: Send what is asked.
tools: [erc721.owner, erc721.transfer, erc721.approve]
routes:
  - {id: rules, when: 'true', use: rules}
grant:
  assets: {DEED: 0}
  max_total: {DEED: "2"}
  max_per_call: {DEED: "1"}
  approve_above: {DEED: "1"}
  things: ["erc721:%[1]s/1", "erc721:%[1]s/2", "erc721:%[1]s/3"]
  max_calls: 40
  max_tokens: 200000
  max_usd: "1.00"
`

const keepersRules = `schema: writ/policies/1
name: keeper
assets: {DEED: 0}
rules:
  - {id: models, at: model.route, effect: permit}
  - {id: tools, at: tool.call, effect: permit}
  - {id: things, at: spend, effect: permit, when: 'asset == "DEED" && thing != ""'}
  - {id: answers, at: output, effect: permit}
`

// An agent gives away things of a collection within what the wallet has signed: those that it names, and as many. To let
// somebody take one asks the wallet. What happened is proven to a stranger, and not where a permission ends.
func TestAnAgentGivesAwayThings(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a server and starts it, with a chain")
	}
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	client, err := ethclient.DialContext(t.Context(), d.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	all := devchain.Accounts()
	deeds := deployDeeds(t, client, all["mallory"], all["agent"].Address)
	bin, home := build(t), t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(home, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := write("agent.key", hexutil.Encode(crypto.FromECDSA(all["agent"].Key)))
	agent := write("keeper.yaml", fmt.Sprintf(keepersAgent, deeds.Hex()))
	settings := write("writ.yaml", fmt.Sprintf(`data: %s
wallets: [any]
policies: %s
agents: [%s]
chain:
  id: 1337
  rpc: [%s]
  tokens: [{symbol: ETH, decimals: 18}, {symbol: DEED, address: "%s", standard: erc721}]
  names: [{name: bob, address: "%s"}]
  key: file:%s
`, filepath.Join(home, "data"), write("rules.yaml", keepersRules), agent, d.URL(), deeds.Hex(),
		all["bob"].Address.Hex(), key))
	r := serve(t, filepath.Join(bin, "writ"), home, "serve", "--config", settings)
	p := signIn(t, bin, r.URL, "keeper")
	owner := func(id int64) common.Address {
		t.Helper()
		data := append(crypto.Keccak256([]byte("ownerOf(uint256)"))[:4], common.LeftPadBytes(big.NewInt(id).Bytes(), 32)...)
		out, err := client.CallContract(t.Context(), ethereum.CallMsg{To: &deeds, Data: data}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return common.BytesToAddress(out)
	}

	first := p.run("send DEED 1 to bob")
	if first.Exit != 0 || first.Outcome != "answered" || owner(1) != all["bob"].Address {
		t.Errorf("the first thing: %+v, and it is of %s", first, owner(1))
	}
	p.audit(bin, first.Run)
	if e := p.run("send DEED 4 to bob"); e.Exit == 0 || !strings.Contains(fmt.Sprintf("%+v", e), "grant/things") ||
		owner(4) != all["agent"].Address {
		t.Errorf("a thing that the wallet did not name: %+v, and it is of %s", e, owner(4))
	}
	if e := p.run("send DEED 1 to bob"); e.Exit == 0 {
		t.Errorf("a thing that is bob's already: %+v", e)
	}
	second := p.run("--yes-approve", "let bob take DEED 2")
	if second.Exit != 0 || second.Outcome != "answered" || owner(2) != all["agent"].Address {
		t.Errorf("an approval: %+v, and the thing is of %s", second, owner(2))
	}
	p.audit(bin, second.Run)
	if e := p.run("send DEED 3 to bob"); e.Exit == 0 || !strings.Contains(fmt.Sprintf("%+v", e), "grant/max_total_deed") ||
		owner(3) != all["agent"].Address {
		t.Errorf("a third thing: %+v, and it is of %s", e, owner(3))
	}
}

// deployDeeds deploys a collection whose things 1 to 4 are somebody's.
func deployDeeds(t *testing.T, client *ethclient.Client, from devchain.Account, of common.Address) common.Address {
	t.Helper()
	var compiled struct {
		ABI      abi.ABI
		Bytecode hexutil.Bytes
	}
	if err := json.Unmarshal(contracts.Deeds, &compiled); err != nil {
		t.Fatal(err)
	}
	args, err := compiled.ABI.Pack("", new(big.Int), []common.Address{of, of, of, of})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := types.SignNewTx(from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Data: append(compiled.Bytecode, args...), Gas: 3_000_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	if err == nil {
		err = client.SendTransaction(t.Context(), tx)
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the collection is there", func() bool {
		receipt, err := client.TransactionReceipt(t.Context(), tx.Hash())
		return err == nil && receipt.Status == types.ReceiptStatusSuccessful
	})
	return crypto.CreateAddress(from.Address, 0)
}
