package chainwatch

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/big"
	"testing"
	"time"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// waitingTool sees its transaction wait, with what the account sends next.
type waitingTool struct {
	tools.Follower
	next  uint64
	block *uint64
}

func (w waitingTool) Follow(_ context.Context, list []tools.Signed, _ tools.Finality) (tools.Standing, error) {
	*w.block++
	return tools.Standing{State: tools.StandsWaiting, Offer: &tools.Offer{
		Nonce: list[0].Nonce, Next: w.next, Cap: big.NewInt(2), Base: big.NewInt(1), Block: *w.block,
	}}, nil
}

// A payment whose nonce is above what its account sends next, with nothing of ours between, waits for ever: it is told
// of as stuck, and not outbid. One that comes after another that is waited for is only behind.
func TestAPaymentAfterAGapIsTold(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var told []tools.Stuck
	w := New(Config{
		Now: func() time.Time { now = now.Add(time.Second); return now }, Log: slog.New(slog.DiscardHandler),
		Pause: time.Second, StuckAfter: 3 * time.Second, Raise: true,
		Start: func(func(context.Context)) error { return nil },
		Deliver: func(_ context.Context, _ provenance.Link, ev provenance.Event) error {
			var s tools.Stuck
			out, _ := ev.(*provenance.Result).Output.Bytes()
			if err := json.Unmarshal(out, &s); err != nil {
				return err
			}
			told = append(told, s)
			return nil
		},
	})
	block := uint64(10)
	follow := func(run string, nonce uint64) *followed {
		f := &followed{
			followKey: followKey{run: provenance.Sum(0x71, []byte(run))}, tool: waitingTool{next: 5, block: &block},
			attempts: []tools.Attempt{{Signed: tools.Signed{Account: "eip155:1337:0xaa", Nonce: nonce, Hash: "0x" + run}}},
			phase:    provenance.PhaseSend,
		}
		if err := w.follow(f); err != nil {
			t.Fatal(err)
		}
		return f
	}
	behind, first := follow("behind", 6), follow("first", 5)
	for range 5 {
		w.look(t.Context(), behind)
	}
	if len(told) != 0 || behind.view().State != TxBehind {
		t.Errorf("one that is behind another is told of: %+v, %s", told, behind.view().State)
	}
	w.Forget(first.run, first.ref)
	w.Forget(behind.run, behind.ref)
	alone := follow("alone", 100)
	for n := 0; n < 9 && len(told) == 0; n++ { // once it is told its run follows it anew
		w.look(t.Context(), alone)
	}
	if len(told) != 1 || told[0].Why != tools.StuckGap || told[0].Hash != "0xalone" {
		t.Errorf("told %+v", told)
	}
	if v := alone.view(); v.State != TxStuck || v.Why != tools.StuckGap {
		t.Errorf("it is listed as %s, %s", v.State, v.Why)
	}
}

// The step that takes in what became of a transaction may follow it anew for a later effect of its run, before it is
// forgotten for the earlier one. It is one transaction all the while.
func TestATransactionIsFollowedOnce(t *testing.T) {
	now, block := time.Unix(1_800_000_000, 0), uint64(10)
	tool := waitingTool{next: 5, block: &block}
	one := []tools.Attempt{{Signed: tools.Signed{Account: "eip155:1337:0xaa", Nonce: 5, Hash: "0x1"}}}
	other := []tools.Attempt{{Signed: tools.Signed{Account: "eip155:1337:0xaa", Nonce: 6, Hash: "0x2"}}}
	run := provenance.Sum(0x71, []byte("run"))
	var w *Watch
	during := -1
	w = New(Config{
		Now: func() time.Time { now = now.Add(time.Second); return now }, Log: slog.New(slog.DiscardHandler),
		Pause: time.Second, StuckAfter: 3 * time.Second,
		Start: func(func(context.Context)) error { return nil },
		Deliver: func(context.Context, provenance.Link, provenance.Event) error {
			err := w.Follow(Order{Run: run, Effect: provenance.Ref{Seq: 2}, Tool: tool, Attempts: one, Told: true,
				Phase: provenance.PhaseSend})
			during = len(w.List())
			return err
		},
	})
	for i, list := range [][]tools.Attempt{one, other} { // of two calls of one run
		if err := w.Follow(Order{Run: run, Effect: provenance.Ref{Seq: 1, Index: uint64(i)}, Tool: tool, Attempts: list,
			Phase: provenance.PhaseSend}); err != nil {
			t.Fatal(err)
		}
	}
	first := w.followed[followKey{run, provenance.Ref{Seq: 1}}]
	for n := 0; n < 9 && during < 0; n++ {
		w.look(t.Context(), first)
	}
	if list := w.List(); during != 2 || len(list) != 2 || list[0].Behind != 1 {
		t.Errorf("two transactions are %d while one is told of, and %+v after it", during, list)
	}
}
