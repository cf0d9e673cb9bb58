package backup

import (
	"context"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/internal/store"
)

// A payer sends transactions of the dev chain's agent, one after the other.
type payer struct {
	*testing.T
	*pool.Pool
	nonce uint64
}

func (p *payer) pay(to common.Address, value int64, data []byte) {
	p.Helper()
	tx, err := types.SignNewTx(devchain.Accounts()["agent"].Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)),
		&types.DynamicFeeTx{
			ChainID: big.NewInt(devchain.ID), Nonce: p.nonce, To: &to, Value: big.NewInt(value), Data: data, Gas: 100_000,
			GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
		})
	if err != nil {
		p.Fatal(err)
	}
	if err := p.SendTransaction(p.Context(), tx); err != nil {
		p.Fatal(err)
	}
	p.nonce++
	ctx, cancel := context.WithTimeout(p.Context(), 30*time.Second)
	defer cancel()
	for {
		mined, err := p.NonceAt(ctx, devchain.Accounts()["agent"].Address, nil)
		if err == nil && mined >= p.nonce {
			return
		}
		if ctx.Err() != nil {
			p.Fatalf("%s is not mined: %v", tx.Hash(), err)
		}
		time.Sleep(5 * time.Millisecond) // the node mines by itself and is asked over HTTP
	}
}

// transferData is a call of transfer(address,uint256).
func transferData(to common.Address, units int64) []byte {
	data := append(common.FromHex("a9059cbb"), common.LeftPadBytes(to[:], 32)...)
	return append(data, common.LeftPadBytes(big.NewInt(units).Bytes(), 32)...)
}

// A stalled chain says that transactions are under way.
type stalled struct{ *pool.Pool }

func (s stalled) PendingNonceAt(context.Context, common.Address) (uint64, error) { return 99, nil }

// What an account has sent since a backup is what the chain has of it from the backup's nonce on: tokens and fees, and
// all of the chain's own money where a transaction says too little. What is under way, or elsewhere, is refused.
func TestWhatWasSentSince(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a chain")
	}
	d, err := devchain.Start(t.Context(), devchain.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	asked, err := pool.New(pool.Config{URLs: []string{d.URL()}, Chain: devchain.ID, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	book, accounts := devchain.Book(), devchain.Accounts()
	agent, bob, alice := accounts["agent"].Address, accounts["bob"].Address, accounts["alice"].Address
	chain := &Chain{Ask: asked, Book: book, Account: agent}
	since := func(nonce uint64) string {
		t.Helper()
		m := Manifest{Made: time.Now().UTC().Format(time.RFC3339)}
		if nonce > 0 {
			m.Holds = store.Contents{Nonces: map[string]uint64{"eip155:1337:" + agent.Hex(): nonce}}
		}
		all, err := chain.sentSince(t.Context(), m)
		if err != nil {
			return err.Error()
		}
		var out []string
		for _, s := range all {
			v := viewSent(s)
			if v.To == "" && strings.HasPrefix(v.Amount, "0.") {
				v.Amount = "fees"
			}
			out = append(out, strings.TrimSpace(v.Amount+" "+v.To))
		}
		return strings.Join(out, ", ")
	}
	usdc := book.Tokens["USDC"].Address
	p := &payer{T: t, Pool: asked}
	if got := since(0); got != "" {
		t.Errorf("before anything: %s", got)
	}
	p.pay(usdc, 0, transferData(bob, 2e6))
	p.pay(usdc, 0, transferData(alice, 3e6))
	p.pay(usdc, 0, transferData(bob, 4e6))
	for nonce, want := range map[uint64]string{
		0: "fees, 3 USDC " + alice.Hex() + ", 6 USDC " + bob.Hex(),
		1: "fees, 3 USDC " + alice.Hex() + ", 4 USDC " + bob.Hex(),
		2: "fees, 4 USDC " + bob.Hex(), 3: "", 4: "", // it had signed one that was never sent
	} {
		if got := since(nonce); got != want {
			t.Errorf("since nonce %d: %s; want %s", nonce, got, want)
		}
	}
	chain.Ask = stalled{asked}
	if got := since(3); !strings.Contains(got, "96 transactions under way; wait until they are mined") {
		t.Errorf("while some are under way: %s", got)
	}
	chain.Ask = asked
	p.pay(bob, 5, nil) // the chain's own money leaves no log
	if got := since(3); got != "all ETH" {
		t.Errorf("since a payment of ETH: %s", got)
	}
	if got := since(2); got != "all ETH, 4 USDC "+bob.Hex() {
		t.Errorf("since USDC and ETH: %s", got)
	}
	book.Chain++
	if got := since(3); !strings.Contains(got, "is not on the chain of the settings") {
		t.Errorf("asked of another chain: %s", got)
	}
}
