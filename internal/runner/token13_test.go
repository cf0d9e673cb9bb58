package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/contracts"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/chain"
)

var tok = money.Asset{Symbol: "TOK", Decimals: 6}

// A node without eth_simulateV1.
type plainNode struct{ chain.Client }

// A tokenWorld is a dev chain with a token of one kind, of which the agent's account has 100 and bob nothing.
type tokenWorld struct {
	*testing.T
	client *ethclient.Client
	token  common.Address
	abi    abi.ABI
	names  map[string]common.Address // more of the address book
}

func startTokenWorld(t *testing.T) *tokenWorld {
	t.Helper()
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	c, err := ethclient.DialContext(t.Context(), d.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &tokenWorld{T: t, client: c}
}

// deploy makes a token of a kind. Its owner, to whom fees go, is the account of that name.
func (w *tokenWorld) deploy(kind int64, owner string) {
	w.Helper()
	var out struct {
		ABI      abi.ABI `json:"abi"`
		Bytecode string  `json:"bytecode"`
	}
	if err := json.Unmarshal(contracts.Token13, &out); err != nil {
		w.Fatal(err)
	}
	w.abi = out.ABI
	supply := big.NewInt(100_000_000)
	args, err := out.ABI.Pack("", big.NewInt(kind), uint8(6), supply)
	if err != nil {
		w.Fatal(err)
	}
	who := devchain.Accounts()[owner]
	w.token = w.transact(who, nil, append(hexutil.MustDecode(out.Bytecode), args...)).ContractAddress
	if owner != "agent" {
		data, err := out.ABI.Pack("transfer", devchain.Accounts()["agent"].Address, supply)
		if err != nil {
			w.Fatal(err)
		}
		w.transact(who, &w.token, data)
	}
}

func (w *tokenWorld) transact(who devchain.Account, to *common.Address, data []byte) *types.Receipt {
	w.Helper()
	ctx := w.Context()
	nonce, err := w.client.PendingNonceAt(ctx, who.Address)
	if err != nil {
		w.Fatal(err)
	}
	id := big.NewInt(devchain.ID)
	tx, err := types.SignNewTx(who.Key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: to, Data: data, Gas: 2_000_000, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11),
	})
	if err == nil {
		err = w.client.SendTransaction(ctx, tx)
	}
	if err != nil {
		w.Fatal(err)
	}
	for range 500 {
		newest, _ := w.client.BlockNumber(ctx) // a receipt is served a moment before the newest state is that of its block
		if r, err := w.client.TransactionReceipt(ctx, tx.Hash()); err == nil && newest >= r.BlockNumber.Uint64() {
			if r.Status != 1 {
				w.Fatalf("reverted: %x", data[:4])
			}
			return r
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.Fatal("not mined")
	return nil
}

// open starts a runner whose agent may send the token: 20 at once, 50 in all, asking above 10.
func (w *tokenWorld) open(client chain.Client, m runner.Model, change func(*auth.Caveats)) *bench {
	w.Helper()
	return w.openFor(client, m, []money.Asset{tok}, change)
}

// openFor is open with rules that permit spending these assets.
func (w *tokenWorld) openFor(client chain.Client, m runner.Model, assets []money.Asset, change func(*auth.Caveats)) *bench {
	w.Helper()
	book := devchain.Book()
	book.Tokens["TOK"] = tools.Token{Address: w.token, Decimals: 6}
	maps.Copy(book.Names, w.names)
	book.Names["dead"] = common.HexToAddress("0x000000000000000000000000000000000000dEaD")
	list, err := chain.New(chain.Config{Client: client, Book: book, Key: devchain.Accounts()["agent"].Key})
	if err != nil {
		w.Fatal(err)
	}
	limits := caveats()
	limits.MaxTotal, limits.MaxPerCall = []money.Amount{money.Of(tok, 50e6)}, []money.Amount{money.Of(tok, 20e6)}
	limits.ApproveAbove = []money.Amount{money.Of(tok, 10e6)}
	if change != nil {
		change(&limits)
	}
	return openWith(w.T, m, func(c *runner.Config) {
		c.Tools = append(c.Tools, list...)
		c.Agents[0].Tools = append(c.Agents[0].Tools, "erc20.transfer")
		c.Agents[0].Grant = limits
		var rules strings.Builder
		rules.WriteString("schema: writ/policies/1\nname: test\nassets: {USDC: 6, TOK: 6}\nbudgets:\n")
		for _, a := range assets {
			fmt.Fprintf(&rules, "  - {id: allowance_%[1]s, cap: '%[1]s(\"1000\")', scope: agent}\n", strings.ToLower(a.Symbol))
		}
		rules.WriteString("rules:\n  - {id: tools, at: tool.call, effect: permit}\n")
		for _, a := range assets {
			fmt.Fprintf(&rules, "  - {id: spends_%[2]s, at: spend, effect: permit, when: 'asset == \"%[1]s\"', reserve: {budget: allowance_%[2]s}}\n",
				a.Symbol, strings.ToLower(a.Symbol))
		}
		rules.WriteString("  - {id: models, at: model.route, effect: permit}\n  - {id: answers, at: output, effect: permit}\n")
		c.Policy.Source = []byte(rules.String())
	})
}

func (w *tokenWorld) balance(of string) string {
	w.Helper()
	data, err := w.abi.Pack("balanceOf", devchain.Accounts()[of].Address)
	if err != nil {
		w.Fatal(err)
	}
	h, err := w.client.HeaderByNumber(w.Context(), nil)
	if err != nil {
		w.Fatal(err)
	}
	out, err := w.client.CallContractAtHash(w.Context(), ethereum.CallMsg{To: &w.token, Data: data}, h.Hash())
	if err != nil {
		w.Fatal(err)
	}
	n := new(big.Int).SetBytes(out)
	return money.Of(tok, n.Uint64()).String()
}

// spentOf returns what the session has spent of its total, as the ledger has it.
func (b *bench) spentOf(ledger string) string {
	b.Helper()
	ls, err := b.store.Ledgers(context.Background(), []string{"session/" + b.session.ID.String() + "/grant/" + ledger})
	if err != nil {
		b.Fatal(err)
	}
	return ls[0].Spent.String()
}

func (b *bench) approveAll() {
	b.Helper()
	pending, err := b.r.Approvals(b.Context(), journal.Session{Account: b.wallet.Address(), Method: auth.MethodEOA})
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range pending {
		if err := b.approve(b.Context(), b.r, p); err != nil {
			b.Fatal(err)
		}
	}
}

// Each behaviour of a token ends in a right figure or a refusal: what is told, what is counted and what the auditor finds
// is what the chain shows.
func TestWhatATokenDoesIsWhatIsCountedAndTold(t *testing.T) {
	for _, tt := range []struct {
		rule    string
		kind    int64
		owner   string // agent if empty
		to      string // bob if empty
		asks    string // what the wallet is told; it is not asked if empty
		over    string // what would leave beyond the call, as the approval's fields say it
		others  int64  // how many transfers are to others
		says    string // in the answer
		refused string // in what the model reads
		spent   string // as counted
		bob     string
	}{
		{rule: "0 as it should be", spent: "5 TOK", bob: "5 TOK"},
		{rule: "1 no return value", kind: 1, spent: "5 TOK", bob: "5 TOK"},
		{rule: "2 a fee on transfer", kind: 2, owner: "deployer", asks: "5 TOK would leave the account and 4.75 TOK would arrive",
			says: "5 TOK left the account and 4.75 TOK arrived", spent: "5 TOK", bob: "4.75 TOK"},
		{rule: "2 a fee that comes back", kind: 2, asks: "4.75 TOK would leave the account and 4.75 TOK would arrive",
			says: "4.75 TOK left the account and 4.75 TOK arrived", spent: "4.75 TOK", bob: "4.75 TOK"},
		{rule: "3 returns false", kind: 3, refused: "the token answered false", spent: "0 TOK", bob: "0 TOK"},
		{rule: "4 balances that are 110 %", kind: 4, over: "0.5 TOK", asks: "5.5 TOK would leave the account and 5.5 TOK would arrive",
			says: "5.5 TOK left the account and 5.5 TOK arrived", spent: "5.5 TOK", bob: "5.5 TOK"},
		{rule: "5 balances that are one short", kind: 5, asks: "5 TOK would leave the account and 4.999999 TOK would arrive",
			says: "5 TOK left the account and 4.999999 TOK arrived", spent: "5 TOK", bob: "4.999999 TOK"},
		{rule: "6 no decimals", kind: 6, refused: "error", spent: "0 TOK", bob: "0 TOK"},
		{rule: "7 impossible decimals", kind: 7, refused: "300 decimals on the chain", spent: "0 TOK", bob: "0 TOK"},
		{rule: "8 pays somebody else", kind: 8, asks: "0 TOK would leave the account and 0 TOK would arrive",
			says: "0 TOK left the account and 0 TOK arrived", spent: "0 TOK", bob: "0 TOK"},
		{rule: "9 refuses one recipient", kind: 9, to: "dead", refused: "the token refused it", spent: "0 TOK", bob: "0 TOK"},
		{rule: "9 and pays another", kind: 9, spent: "5 TOK", bob: "5 TOK"},
		{rule: "10 returns 2", kind: 10, refused: "neither true nor false", spent: "0 TOK", bob: "0 TOK"},
		{rule: "11 returns too much", kind: 11, refused: "neither true nor false", spent: "0 TOK", bob: "0 TOK"},
		{rule: "12 takes twice", kind: 12, over: "5 TOK", asks: "10 TOK would leave the account and 5 TOK would arrive",
			says: "10 TOK left the account and 5 TOK arrived", spent: "10 TOK", bob: "5 TOK"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			w := startTokenWorld(t)
			owner, to := tt.owner, tt.to
			if owner == "" {
				owner = "agent"
			}
			if to == "" {
				to = "bob"
			}
			w.deploy(tt.kind, owner)
			b := w.open(w.client, replies{
				calls(call("1", "erc20.transfer", `{"token":"TOK","to":"`+to+`","amount":"5"}`)), text("Sent 5 TOK."),
			}, nil)
			run := b.start("Send 5 TOK to " + to + ".")
			if tt.asks != "" {
				b.until(run, "parked")
				pending, err := b.r.Approvals(t.Context(), journal.Session{Account: b.wallet.Address(), Method: auth.MethodEOA})
				if err != nil || len(pending) != 1 || !strings.Contains(pending[0].Approval.Summary, tt.asks) {
					t.Fatalf("asks %+v, %v; want %q", pending, err, tt.asks)
				}
				var sum approval.Summary
				if err := json.Unmarshal(pending[0].Summary, &sum); err != nil || sum.Asked != "5 TOK" || sum.Over != tt.over || sum.Others != tt.others {
					t.Errorf("the approval says asked %q, over %q, others %d (%v); want 5 TOK, %q, %d", sum.Asked, sum.Over, sum.Others, err,
						tt.over, tt.others)
				}
				b.approveAll()
			}
			b.ended(run)
			if said := b.said(run); !strings.Contains(said, tt.says) || tt.says == "" && tt.refused == "" && said != "Sent 5 TOK." {
				t.Errorf("said %q, want %q", said, tt.says)
			}
			if tt.refused != "" && !b.reads(run, tt.refused) {
				t.Errorf("was not refused by %q", tt.refused)
			}
			if got := b.spentOf("max_total_tok"); got != tt.spent && !(tt.spent == "0 TOK" && got == "0") {
				t.Errorf("counted %s, want %s", got, tt.spent)
			}
			if got := w.balance("bob"); got != tt.bob {
				t.Errorf("bob has %s, want %s", got, tt.bob)
			}
			b.verified(run)
		})
	}
}

// reads says whether a text is in what tools returned or in why something was denied.
func (b *bench) reads(run provenance.Link, text string) bool {
	b.Helper()
	views, err := b.r.Steps(b.Context(), run, 0, 256)
	if err != nil {
		b.Fatal(err)
	}
	found := false
	for _, v := range views {
		provenance.EachPayload(v.Step, func(p *provenance.Payload) {
			t, _ := p.Bytes()
			found = found || bytes.Contains(t, []byte(text))
		})
	}
	return found
}

// An endpoint that does not simulate cannot foresee what a token does. What left is counted all the same, the answer says
// so, and the cap holds from then on: a token that takes twice gets one payment more than it may, not twenty-five.
func TestAComputedSimulationIsMadeGoodByTheBlock(t *testing.T) {
	w := startTokenWorld(t)
	w.deploy(12, "agent")
	pay := calls(call("1", "erc20.transfer", `{"token":"TOK","to":"bob","amount":"1"}`))
	var script replies
	for range 25 {
		script = append(script, pay)
	}
	b := w.open(plainNode{w.client}, append(script, text("Sent 25 TOK.")), func(c *auth.Caveats) {
		c.MaxTotal, c.MaxPerCall = []money.Amount{money.Of(tok, 5e6)}, []money.Amount{money.Of(tok, 5e6)}
		c.ApproveAbove = []money.Amount{money.Of(tok, 5e6)}
	})
	run := b.start("Send 1 TOK to bob, 25 times.")
	for range 20 {
		if info := b.wait(run, func(s string) bool { return s != "running" }); info.Status != "parked" {
			break
		}
		b.approveAll()
		time.Sleep(20 * time.Millisecond)
	}
	b.ended(run)
	if got := b.spentOf("max_total_tok"); got != "6 TOK" {
		t.Errorf("counted %s, want 6 TOK: three payments, of which the third was within the cap by its call", got)
	}
	if got := w.balance("agent"); got != "94 TOK" {
		t.Errorf("the account has %s, want 94 TOK", got)
	}
	if said := b.said(run); !strings.Contains(said, "2 TOK left the account and 1 TOK arrived") ||
		!strings.Contains(said, "more than the 1 TOK that were reserved") {
		t.Errorf("said %q", said)
	}
	if !b.reads(run, `"simulated":"computed"`) {
		t.Error("the record does not say that the simulation was computed")
	}
	b.verified(run)
}
