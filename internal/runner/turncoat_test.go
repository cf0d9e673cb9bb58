package runner_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/contracts"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
)

// deployTurncoat makes a token that changes when its deployer says so, of which the agent's account has 100, and returns
// what says so, and a recipient that passes on to mallory what it is paid.
func (w *tokenWorld) deployTurncoat() (change func(method string, args ...any), passes common.Address) {
	w.Helper()
	var out struct {
		Contracts map[string]struct {
			ABI      abi.ABI `json:"abi"`
			Bytecode string  `json:"bytecode"`
		}
	}
	if err := json.Unmarshal(contracts.Turncoat, &out); err != nil {
		w.Fatal(err)
	}
	accounts := devchain.Accounts()
	deploy := func(name string, args ...any) common.Address {
		c := out.Contracts[name]
		packed, err := c.ABI.Pack("", args...)
		if err != nil {
			w.Fatal(err)
		}
		return w.transact(accounts["deployer"], nil, append(hexutil.MustDecode(c.Bytecode), packed...)).ContractAddress
	}
	w.abi = out.Contracts["Turncoat"].ABI
	w.token = deploy("Turncoat", big.NewInt(100_000_000))
	passes = deploy("Passes", accounts["mallory"].Address)
	change = func(method string, args ...any) {
		w.Helper()
		data, err := w.abi.Pack(method, args...)
		if err != nil {
			w.Fatal(err)
		}
		w.transact(accounts["deployer"], &w.token, data)
	}
	change("transfer", accounts["agent"].Address, big.NewInt(100_000_000))
	return change, passes
}

// A token that changes after it was looked at (its decimals, its balances, its code) and a recipient that is called in the
// middle of a payment end in a right figure or a refusal, as the 13 behaviours do.
func TestATokenThatChangesIsLookedAtAgain(t *testing.T) {
	number := func(n int64) *big.Int { return big.NewInt(n) }
	type changes func(method string, args ...any)
	for _, tt := range []struct {
		rule    string
		before  func(changes) // the request
		parked  func(changes) // while the wallet is asked
		to      string        // bob if empty
		asks    string
		refused string
		says    string
		spent   string
		bob     string
	}{
		{rule: "as it should be", spent: "12 TOK", bob: "12 TOK", asks: "12 TOK to"},
		{rule: "other decimals before", before: func(c changes) { c("setDecimals", uint8(8)) }, refused: "8 decimals on the chain", spent: "0 TOK", bob: "0 TOK"},
		{rule: "other decimals while the wallet is asked", parked: func(c changes) { c("setDecimals", uint8(2)) }, asks: "12 TOK to",
			refused: "2 decimals on the chain", spent: "0 TOK", bob: "0 TOK"},
		{rule: "upgraded while the wallet is asked", parked: func(c changes) { c("setKind", number(1)) }, asks: "12 TOK to",
			refused: "Nothing was sent; ask again", spent: "0 TOK", bob: "0 TOK"},
		{rule: "halved while the wallet is asked", parked: func(c changes) { c("rebase", number(1), number(2)) }, asks: "12 TOK to",
			spent: "12 TOK", bob: "12 TOK"},
		{rule: "too little is left after a rebase", parked: func(c changes) { c("rebase", number(1), number(10)) }, asks: "12 TOK to",
			refused: "holds 10 TOK, which is less than 12 TOK", spent: "0 TOK", bob: "0 TOK"},
		{rule: "it shrinks all balances with the payment", before: func(c changes) { c("setKind", number(3)) },
			asks: "20.8 TOK would leave the account and 10.8 TOK would arrive", says: "20.8 TOK left the account and 10.8 TOK arrived",
			spent: "20.8 TOK", bob: "10.8 TOK"},
		{rule: "it grows all balances with the payment", before: func(c changes) { c("setKind", number(2)) },
			asks: "12 TOK would leave the account and 13.2 TOK would arrive", says: "12 TOK left the account and 13.2 TOK arrived",
			spent: "12 TOK", bob: "13.2 TOK"},
		{rule: "the recipient passes it on at once", before: func(c changes) { c("setKind", number(4)) }, to: "passes",
			asks: "12 TOK would leave the account and 0 TOK would arrive", says: "12 TOK left the account and 0 TOK arrived",
			spent: "12 TOK", bob: "0 TOK"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			w := startTokenWorld(t)
			change, passes := w.deployTurncoat()
			to := tt.to
			if to == "" {
				to = "bob"
			}
			pay := func(amount string) replies {
				return replies{calls(call("1", "erc20.transfer", `{"token":"TOK","to":"`+to+`","amount":"`+amount+`"}`)), text("Done.")}
			}
			w.names = map[string]common.Address{"passes": passes}
			b := w.open(w.client, pay("12"), func(c *auth.Caveats) { c.MaxPerCall[0] = c.MaxTotal[0] })
			if tt.before != nil {
				tt.before(change)
			}
			run := b.start("Send 12 TOK to " + to + ".")
			if tt.asks != "" {
				b.until(run, "parked")
				pending, err := b.r.Approvals(t.Context(), journal.Session{Account: b.wallet.Address(), Method: auth.MethodEOA})
				if err != nil || len(pending) != 1 || !strings.Contains(pending[0].Approval.Summary, tt.asks) {
					t.Fatalf("asks %+v, %v; want %q", pending, err, tt.asks)
				}
				if tt.parked != nil {
					tt.parked(change)
				}
				b.approveAll()
			}
			b.ended(run)
			if said := b.said(run); !strings.Contains(said, tt.says) {
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

// A threshold is of one asset. An approval of a payment in another asset ends no count, so that small payments in turn,
// each asset below its own threshold, are asked about as if each stood alone.
func TestAThresholdIsNotSplitOverAssets(t *testing.T) {
	w := startTokenWorld(t)
	w.deploy(0, "agent")
	pay := func(id, token string) model.Reply {
		return calls(call(id, "erc20.transfer", `{"token":"`+token+`","to":"bob","amount":"0.6"}`))
	}
	b := w.openFor(w.client, replies{pay("1", "TOK"), pay("2", "USDC"), pay("3", "TOK"), pay("4", "USDC"), pay("5", "USDC"), text("Done.")},
		[]money.Asset{tok, usdc}, func(c *auth.Caveats) {
			c.MaxTotal = []money.Amount{money.Of(tok, 20e6), money.Of(usdc, 20e6)}
			c.MaxPerCall = c.MaxTotal
			c.ApproveAbove = []money.Amount{money.Of(tok, 1e6), money.Of(usdc, 1e6)}
		})
	run := b.start("Pay bob in turn.")
	for _, want := range []string{"0.6 TOK", "0.6 USDC"} { // the third call, and the fourth; the fifth is the first since
		b.until(run, "parked")
		pending, err := b.r.Approvals(t.Context(), journal.Session{Account: b.wallet.Address(), Method: auth.MethodEOA})
		if err != nil || len(pending) != 1 || !strings.Contains(pending[0].Approval.Summary, want) {
			t.Fatalf("asks %+v, %v; want %s", pending, err, want)
		}
		b.approveAll()
	}
	b.ended(run)
	for _, ledger := range []string{"max_total_tok", "max_total_usdc"} {
		want := map[string]string{"max_total_tok": "1.2 TOK", "max_total_usdc": "1.8 USDC"}[ledger]
		if got := b.spentOf(ledger); got != want {
			t.Errorf("%s: %s, want %s", ledger, got, want)
		}
	}
	b.verified(run)
}
