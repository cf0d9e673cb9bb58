package chain_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/tools/chain"
)

// A flaky client fails its first sends and looks: once "failed and not done", once "failed but done".
type flaky struct {
	chain.Client
	lost  atomic.Int32 // sends that reach nobody
	mute  atomic.Int32 // sends that arrive, but whose answer is lost
	blind atomic.Int32 // receipts that fail
	bare  atomic.Int32 // receipts without a block
	stale atomic.Int32 // receipts of a block that the chain has replaced
	blank atomic.Int32 // receipts that the node has not indexed yet
}

var errNetwork = errors.New("connection reset")

func (f *flaky) SendTransaction(ctx context.Context, tx *types.Transaction) error {
	if f.lost.Add(-1) >= 0 {
		return errNetwork
	}
	err := f.Client.SendTransaction(ctx, tx)
	if f.mute.Add(-1) >= 0 {
		return errNetwork
	}
	return err
}

func (f *flaky) TransactionReceipt(ctx context.Context, hash common.Hash) (*types.Receipt, error) {
	if f.blind.Add(-1) >= 0 {
		return nil, errNetwork
	}
	r, err := f.Client.TransactionReceipt(ctx, hash)
	if err == nil && f.blank.Add(-1) >= 0 {
		return nil, ethereum.NotFound
	}
	if err == nil && f.bare.Add(-1) >= 0 {
		r.BlockNumber, r.BlockHash = nil, common.Hash{}
	} else if err == nil && f.stale.Add(-1) >= 0 {
		r.BlockHash[0]++
	}
	return r, err
}

func TestSendThroughFailures(t *testing.T) {
	client := dial(t)
	for nonce, tt := range []struct {
		rule                                  string
		lost, mute, blind, bare, stale, blank int32
	}{
		{"a send that reached nobody is repeated", 2, 0, 0, 0, 0, 0},
		{"an answer that is lost changes nothing", 0, 1, 0, 0, 0, 0},
		{"a receipt that cannot be read is asked for again", 0, 0, 3, 0, 0, 0},
		{"a receipt without a block is none yet", 0, 0, 0, 2, 0, 0},
		{"a receipt of a block that the chain has not is none yet", 0, 0, 0, 0, 2, 0},
		{"a receipt that is not there yet is not another's nonce", 0, 0, 0, 0, 0, 9},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			f := &flaky{Client: client}
			f.lost.Store(tt.lost)
			f.mute.Store(tt.mute)
			f.blind.Store(tt.blind)
			f.bare.Store(tt.bare)
			f.stale.Store(tt.stale)
			f.blank.Store(tt.blank)
			k := start(t, client, func(c *chain.Config) { c.Client = f })
			r := k.send(k.sign(`{"token":"USDC","to":"bob","amount":"1"}`, uint64(nonce)))
			if r["status"] != "ok" {
				t.Errorf("receipt %v", r)
			}
			if n, err := strconv.ParseUint(fmt.Sprint(r["block"]), 10, 64); err != nil || n == 0 || f.bare.Load() > 0 || f.stale.Load() > 0 || f.blank.Load() > 0 {
				t.Errorf("taken from a receipt of block %v", r["block"])
			}
			if got, want := k.display("bob", "USDC"), fmt.Sprintf("%d USDC", 26+nonce); got != want {
				t.Errorf("bob has %s, want %s", got, want)
			}
		})
	}
	t.Run("a send that reached nobody until the time is up stays open", func(t *testing.T) {
		f := &flaky{Client: client}
		f.lost.Store(1000)
		k := start(t, client, func(c *chain.Config) { c.Client = f })
		s := k.sign(`{"token":"USDC","to":"bob","amount":"1"}`, 0)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := k.transfer().Send(ctx, s); !errors.Is(err, errNetwork) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want both causes", err)
		}
		f.lost.Store(0)
		if r := k.send(s); r["status"] != "ok" {
			t.Errorf("sent again later: receipt %v", r)
		}
	})
}

// A boaster says that an account has sent more than it has.
type boaster struct{ chain.Client }

func (b boaster) NonceAt(context.Context, common.Address, *big.Int) (uint64, error) { return 100, nil }

// Who says that a nonce is used may be wrong: the bytes are sent all the same, and the receipt tells.
func TestBytesAreSentThoughTheNonceIsSaidToBeUsed(t *testing.T) {
	k := start(t, dial(t), func(c *chain.Config) { c.Client = boaster{c.Client} })
	if r := k.send(k.sign(`{"token":"USDC","to":"bob","amount":"1"}`, 0)); r["status"] != "ok" {
		t.Errorf("receipt %v", r)
	}
}
