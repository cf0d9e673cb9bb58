package runner_test

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// The whole of a decision about a payment: the reply that asks for it is taken in, both sets judge the call and the spend,
// the step is sealed, encoded and committed with its reservations in three ledgers. What it takes at the 99th of 100 is
// reported: in memory, one after another; and on SQLite with 64 at once, where commits are grouped and wait for the disk.
func BenchmarkWholeDecision(b *testing.B) {
	b.Run("memory", func(b *testing.B) { wholeDecision(b, storetest.Memory(b), 1) })
	b.Run("sqlite64", func(b *testing.B) {
		db, err := store.Open(b.Context(), store.Config{DSN: store.SQLite(filepath.Join(b.TempDir(), "writ.db"))})
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		wholeDecision(b, db, 64)
	})
}

func wholeDecision(b *testing.B, s journal.Store, writers int) {
	kept := &keeper{Store: s}
	bench := openWith(b, replies{calls(pay("1", "bob", "0.000001")), text("done")}, func(c *runner.Config) {
		c.Store = kept
	})
	run := bench.start("pay")
	bench.until(run, provenance.CloseAnswered)
	views, err := bench.r.Steps(b.Context(), run, 0, 2)
	if err != nil {
		b.Fatal(err)
	}
	m := bench.machine(run)
	// Each decision is of a run of its own, which is opened before it is timed.
	type opened struct {
		run   provenance.Link
		state loop.State
		prev  provenance.Link
	}
	open := func(n int) opened {
		rec := &provenance.Run{Agent: run, Grant: run, Rules: run, Runtime: run, Opened: start.UnixMilli(), Nonce: [32]byte{1, byte(n), byte(n >> 8), byte(n >> 16), byte(writers)}}
		root, err := provenance.Encode(rec)
		if err != nil {
			b.Fatal(err)
		}
		ask := views[0].Step
		state, next, err := m.Step(loop.State{Run: root.CID}, ask.At, ask.Event, ask.Facts)
		if err != nil {
			b.Fatal(err)
		}
		step, err := provenance.Encode(&provenance.Step{Run: root.CID, At: ask.At, Event: ask.Event, Facts: ask.Facts, Does: next.Does})
		if err != nil {
			b.Fatal(err)
		}
		c := kept.commits[0]
		o := *c.Open
		o.Key = fmt.Sprint("decide", writers, n)
		c.Run, c.Head, c.Open, c.Step, c.Blocks, c.Leaves = root.CID, nil, &o, step, []provenance.Block{root}, nil
		if err := s.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
		return opened{root.CID, state, step.CID}
	}
	said := views[1].Step
	args, _ := said.Event.(*provenance.Reply).Model.Calls[0].Args.Bytes()
	decide := func(x opened) error {
		mc := *said.Event.(*provenance.Reply).Model
		mc.Calls = slices.Clone(mc.Calls)
		mc.Calls[0].Args = provenance.NewPayload(args)
		step := &provenance.Step{
			Run: x.run, Seq: 1, Prev: x.prev, At: said.At, Event: &provenance.Reply{Of: said.Event.(*provenance.Reply).Of, Model: &mc}, Facts: said.Facts,
		}
		_, next, err := m.Step(x.state, step.At, step.Event, step.Facts)
		if err != nil {
			return err
		}
		step.Does, step.Decisions = next.Does, next.Decisions
		c := kept.commits[1]
		c.Run, c.Head, c.Blocks, c.Leaves, c.Fence, c.Settle = x.run, nil, nil, nil, 1, nil
		for _, p := range provenance.Payloads(step) {
			var k provenance.LeafKey
			rand.Read(k[:])
			leaf, err := p.Seal(k)
			if err != nil {
				return err
			}
			c.Blocks, c.Leaves = append(c.Blocks, leaf), append(c.Leaves, provenance.Leaf{CID: leaf.CID, Key: k})
		}
		if c.Step, err = provenance.Encode(step); err != nil {
			return err
		}
		return s.Commit(b.Context(), c)
	}
	if len(kept.commits[1].Reserve) != 5 {
		b.Fatalf("the payment reserves %v, want five: calls, allowance, unasked in all and to the recipient, total",
			kept.commits[1].Reserve)
	}
	for i := range kept.commits[1].Reserve { // room for all of them
		r := &kept.commits[1].Reserve[i]
		r.Cap = money.Of(r.Cap.Asset(), 1<<62)
	}
	const batch = 256
	var mu sync.Mutex
	var took []time.Duration
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		ready := make([]opened, batch)
		for i := range ready {
			ready[i] = open(n)
			n++
		}
		b.StartTimer()
		var wg sync.WaitGroup
		for k := range writers {
			wg.Go(func() {
				own := make([]time.Duration, 0, batch)
				for i := k; i < batch; i += writers {
					before := time.Now()
					if err := decide(ready[i]); err != nil {
						b.Error(err)
						return
					}
					own = append(own, time.Since(before))
				}
				mu.Lock()
				took = append(took, own...)
				mu.Unlock()
			})
		}
		wg.Wait()
	}
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	at := func(share float64) float64 { return float64(took[int(share*float64(len(took)-1))].Nanoseconds()) / 1e3 }
	b.ReportMetric(at(0.5), "p50-us")
	b.ReportMetric(at(0.99), "p99-us")
	b.ReportMetric(0, "ns/op")
}
