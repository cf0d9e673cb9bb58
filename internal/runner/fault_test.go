package runner_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A faulty store fails its k-th write, either before it is done or after.
type faulty struct {
	journal.Store
	n, at   atomic.Int64
	written bool
	hit     func()
}

var errDisk = errors.New("disk on fire")

func (f *faulty) write(do func() error) error {
	if f.n.Add(1) != f.at.Load() {
		return do()
	}
	f.hit()
	if f.written {
		return errors.Join(do(), errDisk)
	}
	return errDisk
}

func (f *faulty) Commit(ctx context.Context, c journal.Commit) error {
	return f.write(func() error { return f.Store.Commit(ctx, c) })
}

func (f *faulty) PutBlocks(ctx context.Context, b []provenance.Block, l []provenance.Leaf) error {
	return f.write(func() error { return f.Store.PutBlocks(ctx, b, l) })
}

func (f *faulty) PutSession(ctx context.Context, s journal.Session) error {
	return f.write(func() error { return f.Store.PutSession(ctx, s) })
}

func (f *faulty) Claim(ctx context.Context, run provenance.Link, owner string, until int64) (fence uint64, err error) {
	err = f.write(func() error { fence, err = f.Store.Claim(ctx, run, owner, until); return err })
	return fence, err
}

// world is the config of the crash sweep: one effect of each class, the last with an approval.
func world(s journal.Store, dir string) runner.Config {
	var now atomic.Int64
	now.Store(start.UnixMilli())
	args := `{"token":"USDC","to":"bob","amount":"%s"}`
	c := config(nil, s, replies{
		calls(call("1", "world.keyed", fmt.Sprintf(args, "1"))),
		calls(call("2", "world.once", fmt.Sprintf(args, "1"))),
		calls(call("3", "world.chain", fmt.Sprintf(args, "5"))),
		text("all done"),
	}, &now, new(atomic.Int64))
	c.Tools = []tools.Tool{
		keyedOutside{outside{dir, "world.keyed", tools.Keyed}}, onceOutside{outside{dir, "world.once", tools.Once}},
		chainOutside{outside{dir, "world.chain", tools.ChainTx}},
	}
	c.Agents[0].Tools = []string{"world.keyed", "world.once", "world.chain"}
	return c
}

// Each write fails once, before it is done and after; the process lives, is stopped and started again.
func TestAFaultAtEveryWrite(t *testing.T) {
	sweep := func(k int64, written bool) (head, effects string, writes int64) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "effects"), 0o700); err != nil {
			t.Fatal(err)
		}
		mem := storetest.MemoryAt(t, func() time.Time { return start })
		s := &faulty{Store: mem, written: written}
		s.at.Store(k)
		hit, done := context.WithCancel(t.Context())
		s.hit = done
		defer done()
		first := &client{store: s, config: world(s, dir)}
		err := first.open(hit)
		if err == nil {
			err = first.drive(hit)
		}
		if err != nil && hit.Err() == nil {
			t.Fatalf("fault at write %d: the first start says %v", k, err)
		}
		if first.r != nil {
			first.r.Close()
		}
		if writes = s.n.Load(); writes < k {
			t.Fatalf("there were %d writes, not %d", writes, k)
		}
		if k > 0 {
			second := &client{store: s, config: world(s, dir)}
			if err := second.open(t.Context()); err != nil {
				t.Fatalf("fault at write %d, written %v: the second start: %v", k, written, err)
			}
			if err := second.drive(t.Context()); err != nil {
				t.Fatalf("fault at write %d, written %v: %v", k, written, err)
			}
			second.r.Close()
		}
		runs, err := mem.Runs(t.Context(), [20]byte{}, 10)
		if err != nil || len(runs) != 1 {
			t.Fatalf("fault at write %d, written %v: %d runs, %v; want one", k, written, len(runs), err)
		}
		files, err := os.ReadDir(filepath.Join(dir, "effects"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			effects += f.Name() + " "
		}
		return runs[0].Status + " " + runs[0].Head.String(), effects, writes
	}
	want, done, n := sweep(0, false)
	if n < 15 {
		t.Fatalf("the run made %d writes; the sweep would prove little", n)
	}
	for k := int64(1); k <= n; k++ {
		for _, written := range []bool{false, true} {
			if got, effects, _ := sweep(k, written); got != want || effects != done {
				t.Errorf("fault at write %d, written %v:\ngot  %s, %s\nwant %s, %s", k, written, got, effects, want, done)
			}
		}
	}
	t.Logf("%d writes, %d faults", n, 2*n)
}

// A store that fails for a moment costs a run nothing: the same signed request again takes it up where it is.
func TestTheSameRequestTakesUpARunWhoseStartFailed(t *testing.T) {
	s := &faulty{Store: storetest.Memory(t), written: true, hit: func() {}}
	b := openWith(t, replies{text("hello")}, func(c *runner.Config) { c.Store = s })
	req, err := b.request("hi", "key-00001")
	if err != nil {
		t.Fatal(err)
	}
	s.at.Store(s.n.Load() + 1)
	if _, err := b.r.Start(t.Context(), req); !errors.Is(err, errDisk) {
		t.Fatalf("the first start: %v, want the fault", err)
	}
	info, err := b.r.Start(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	b.until(info.ID, provenance.CloseAnswered)
}

// Two processes on one store: the lease says who writes a run, and the other can neither decide nor repeat.
func TestTwoRunnersOnOneStore(t *testing.T) {
	b := open(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")})
	run := b.start("pay 5")
	b.until(run, "parked")
	other := b.config
	other.Owner = "another node"
	r2, err := runner.New(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	defer r2.Close()
	if _, err := r2.Resume(t.Context()); err != nil {
		t.Fatalf("a run of another process is left to it: %v", err)
	}
	pending, err := b.r.Approvals(t.Context(), journal.Session{Account: b.wallet.Address(), Method: auth.MethodEOA})
	if err != nil || len(pending) != 1 {
		t.Fatalf("approvals: %v, %v; want one", pending, err)
	}
	if err := b.approve(t.Context(), r2, pending[0]); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("a process without the lease decides: %v, want journal.ErrFenced", err)
	}
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		r := []*runner.Runner{b.r, r2}[i%2]
		wg.Go(func() {
			err := b.approve(t.Context(), r, pending[0])
			if err == nil {
				won.Add(1)
			}
			if err == nil && r == r2 {
				t.Error("a process without the lease decided")
			}
		})
	}
	wg.Wait()
	b.until(run, provenance.CloseAnswered)
	if won.Load() != 1 || b.paid.Load() != 1 {
		t.Errorf("%d decisions were taken, %d payments made; want 1 and 1", won.Load(), b.paid.Load())
	}
	if _, err := r2.Resume(t.Context()); err != nil {
		t.Error(err)
	}
	b.verified(run)
}

// When the lease has run out another process takes the run over. The first may still be alive: its late answer must
// not be written.
func TestATakeover(t *testing.T) {
	clock := new(atomic.Int64)
	clock.Store(start.UnixMilli())
	mem := storetest.MemoryAt(t, func() time.Time { return time.UnixMilli(clock.Load()) })
	begun, release := make(chan struct{}, 2), make(chan struct{})
	stalled := &stall{payTool: payTool{class: tools.Keyed, n: new(atomic.Int64)}, begun: begun, until: release}
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("paid")},
		func(c *runner.Config) {
			c.Store = mem
			c.Tools[0] = stalled
			c.Agents[0].Limits.Wall = 60 * 24 * time.Hour // or the first would end the run by itself
		})
	run := b.start("pay 1")
	<-begun
	clock.Store(b.now.Add((31 * 24 * time.Hour).Milliseconds()))
	other := b.config
	other.Owner = "another node"
	r2, err := runner.New(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	defer r2.Close()
	if n, err := r2.Resume(t.Context()); n != 1 || err != nil {
		t.Fatalf("takeover: %d runs, %v", n, err)
	}
	close(release)
	hints, _, stop := r2.Subscribe(run)
	defer stop()
	for {
		info, err := r2.Run(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		if info.Status != "running" {
			break
		}
		select {
		case <-hints:
		case <-time.After(20 * time.Second):
			t.Fatal("the run does not end")
		}
	}
	b.r.Close()
	views, err := r2.Steps(t.Context(), run, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	answers := map[provenance.Ref]int{}
	for _, v := range views {
		if e, ok := v.Step.Event.(*provenance.Result); ok {
			answers[e.Of]++
		}
	}
	for ref, n := range answers {
		if n != 1 {
			t.Errorf("%d results of %v", n, ref)
		}
	}
	if n := len(stalled.keys()); n != 1 {
		t.Errorf("%d idempotency keys were used, want 1", n)
	}
}

// A stall is a tool that waits before it answers.
type stall struct {
	payTool
	begun chan<- struct{}
	until <-chan struct{}

	mu   sync.Mutex
	seen map[[32]byte]bool
}

func (s *stall) keys() map[[32]byte]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

func (s *stall) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	s.mu.Lock()
	if s.seen == nil {
		s.seen = map[[32]byte]bool{}
	}
	s.seen[in.Key] = true
	s.mu.Unlock()
	select {
	case s.begun <- struct{}{}:
	default:
	}
	select {
	case <-s.until:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.payTool.Call(ctx, in)
}
