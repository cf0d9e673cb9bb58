package runner_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/chain"
	"github.com/writ-run/writ/tools/mandate"
)

// oneMandate is what every session has handed over.
type oneMandate struct{ *mandate.Mandate }

func (m oneMandate) Find(context.Context, string, common.Address) (*mandate.Mandate, error) {
	return m.Mandate, nil
}

// openMandate starts a chain on which alice lets the agent pay from her account, and returns the tools of the agent.
func openMandate(t *testing.T) (*bankChain, []tools.Tool) {
	t.Helper()
	l, all := openChain(t), devchain.Accounts()
	w := mandate.Wish{
		Chain: devchain.ID, Delegator: all["alice"].Address, Delegate: all["agent"].Address,
		Token: devchain.Book().Tokens["USDC"].Address, Total: money.Of(usdc, 500_000_000), Calls: 1000,
		Until: time.Now().Add(time.Hour), Session: "any",
	}
	m, err := w.Mandate(1)
	if err != nil {
		t.Fatal(err)
	}
	hash := m.Digest()
	if m.Signature, err = crypto.Sign(hash[:], all["alice"].Key); err != nil {
		t.Fatal(err)
	}
	m.Signature[64] += 27
	list, err := chain.New(chain.Config{
		Client: l.client, Book: devchain.Book(), Key: all["agent"].Key, Mandates: oneMandate{m},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, list
}

// A run whose store ends at any of its writes pays once by a delegation: what was signed is sent again, and nothing else
// is.
func TestACutAtEveryWriteOfWhatIsPaidByAMandate(t *testing.T) {
	l, list := openMandate(t)
	cut := 0
	for n, whole := int64(0), 0; whole < 3 && !t.Failed(); n++ {
		if whole++; cutMandateOnce(t, l, list, n, 1+n/2, n%2 == 0) {
			cut, whole = cut+1, 0
		}
	}
	if t.Logf("%d cuts", cut); cut < 12 {
		t.Errorf("%d cuts prove little", cut)
	}
}

// cutMandateOnce has a run whose store ends at its k-th write, and what goes on over what it has.
func cutMandateOnce(t *testing.T, l *bankChain, list []tools.Tool, n, k int64, done bool) bool {
	name := fmt.Sprintf("cut at write %d, which is done: %t", k, done)
	begins := time.Now().Truncate(time.Second) // the runner's time stands still, the chain's does not
	mem := storetest.MemoryAt(t, func() time.Time { return begins })
	store := &cutStore{Store: mem, done: done}
	store.at.Store(k)
	hit, stop := context.WithCancel(t.Context())
	defer stop()
	store.hit = stop
	alice, err := auth.ParseWallet(hex.EncodeToString(crypto.FromECDSA(devchain.Accounts()["alice"].Key)))
	if err != nil {
		t.Fatal(err)
	}
	before := l.holdings(t)
	run := func(ctx context.Context, s journal.Store) error {
		cfg := config(nil, s, replies{
			calls(call("1", "mandate.transfer", `{"amount":"5","token":"USDC","to":"bob"}`)), text("all done"),
		}, new(atomic.Int64), new(atomic.Int64))
		cfg.Now = func() time.Time { return begins }
		cfg.Tools, cfg.Agents[0].Tools = list, []string{"mandate.transfer"}
		c := &client{store: s, config: cfg, user: user{
			wallet: alice, begins: begins, nonce: fmt.Sprintf("abcdefgh%08d", n), // else all would be one run, paid once
		}}
		err := c.open(ctx)
		if err == nil {
			err = c.drive(ctx)
		}
		if c.r != nil {
			c.r.Close()
		}
		return err
	}
	if err := run(hit, store); err != nil && hit.Err() == nil {
		t.Fatalf("%s: %v", name, err)
	}
	if hit.Err() != nil {
		if err := run(t.Context(), mem); err != nil {
			t.Fatalf("%s: the second start: %v", name, err)
		}
	}
	after := l.holdings(t)
	if after[0] != before[0] || after[1]-before[1] != -5_000_000 || after[2]-before[2] != 5_000_000 {
		t.Errorf("%s: the agent has %d more, alice %d, bob %d", name, after[0]-before[0], after[1]-before[1],
			after[2]-before[2])
	}
	runs, err := mem.Runs(t.Context(), [20]byte{}, 10)
	if err != nil || len(runs) != 1 || runs[0].Status != provenance.CloseAnswered {
		t.Fatalf("%s: %+v, %v; want one run that is answered", name, runs, err)
	}
	ledgers, err := mem.Ledgers(t.Context(), []string{"session/" + runs[0].Session.String() + "/grant/max_total_usdc"})
	if err != nil || ledgers[0].Spent != money.Of(usdc, 5_000_000) || !ledgers[0].Reserved.IsZero() {
		t.Errorf("%s: the grant's ledger is %v, %v", name, ledgers, err)
	}
	verified(t, mem, runs[0].ID)
	return hit.Err() != nil
}
