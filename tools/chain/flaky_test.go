package chain_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

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
	return f.Client.TransactionReceipt(ctx, hash)
}

func TestSendThroughFailures(t *testing.T) {
	client := dial(t)
	for nonce, tt := range []struct {
		rule              string
		lost, mute, blind int32
	}{
		{"a send that reached nobody is repeated", 2, 0, 0},
		{"an answer that is lost changes nothing", 0, 1, 0},
		{"a receipt that cannot be read is asked for again", 0, 0, 3},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			f := &flaky{Client: client}
			f.lost.Store(tt.lost)
			f.mute.Store(tt.mute)
			f.blind.Store(tt.blind)
			k := start(t, client, func(c *chain.Config) { c.Client = f })
			r := k.send(k.sign(`{"token":"USDC","to":"bob","amount":"1"}`, uint64(nonce)))
			if r["status"] != "ok" {
				t.Errorf("receipt %v", r)
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
