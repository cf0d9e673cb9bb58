package runner_test

import (
	"context"
	"encoding/hex"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A deafStore does not keep what wallets say while it is deaf.
type deafStore struct {
	journal.Store
	deaf atomic.Bool
}

func (d *deafStore) NoteSent(ctx context.Context, run provenance.Link, of provenance.Ref, hash string) error {
	if d.deaf.Load() {
		return errDisk
	}
	return d.Store.NoteSent(ctx, run, of, hash)
}

// That a wallet has paid in another form is told once it is kept: until then it is to be said again, or the call would
// count as not sent.
func TestWhatAWalletPaidOtherwiseIsKeptBeforeItIsTold(t *testing.T) {
	l := openChain(t)
	alice := devchain.Accounts()["alice"]
	s := &deafStore{}
	b := openAs(t, replies{calls(call("1", "wallet.transfer", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
		func(c *runner.Config) {
			s.Store = c.Store
			c.Store, c.Tools, c.Agents[0].Tools = s, l.tools, []string{"wallet.transfer"}
		}, func(u *user) {
			var err error
			if u.wallet, err = auth.ParseWallet(hex.EncodeToString(crypto.FromECDSA(alice.Key))); err != nil {
				t.Fatal(err)
			}
		})
	b.start("pay")
	wallets := runner.OwnWalletsOf(b.r)
	var list []runner.WalletCall
	for len(list) == 0 {
		var err error
		if list, err = wallets.Calls(t.Context(), b.session); err != nil || t.Context().Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // the node is asked over HTTP
	}
	w := list[0]
	to := common.HexToAddress(w.Wanted.To)
	nonce, err := l.client.PendingNonceAt(t.Context(), alice.Address)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := l.send(t.Context(), alice, nonce, &to, append(common.FromHex(w.Wanted.Data), 1))
	if err != nil {
		t.Fatal(err)
	}
	s.deaf.Store(true)
	err = wallets.Sent(t.Context(), w.Run, w.Effect, hash.Hex())
	if _, told := errors.AsType[*tools.Error](err); told || !errors.Is(err, errDisk) {
		t.Errorf("while it cannot be kept: %v", err)
	}
	s.deaf.Store(false)
	err = wallets.Sent(t.Context(), w.Run, w.Effect, hash.Hex())
	if e, _ := errors.AsType[*tools.Error](err); e == nil || e.Code != tools.PaidOtherwise {
		t.Errorf("got %v, want %s", err, tools.PaidOtherwise)
	}
	if said, err := s.SentHash(t.Context(), w.Run, w.Effect); err != nil || said != hash.Hex() {
		t.Errorf("kept %q, %v", said, err)
	}
}
