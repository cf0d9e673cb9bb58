package runner_test

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// Many runs at once, each of which wants 1 USDC for bob or for mallory, against a cap of 7 a day and of 4 a day for each
// of them. Whatever fails on the way, 7 are paid in the end, 4 at most to one, and nothing stays reserved.
const (
	dayCap = 7
	each   = 4
)

var windowRules = strings.Replace(strings.Replace(operatorRules, "scope: agent}\n", fmt.Sprintf(`scope: agent}
  - {id: daily, cap: 'usdc("%d")', scope: wallet, window: day, zone: Europe/Berlin}
  - {id: each, cap: 'usdc("%d")', scope: wallet, window: day, per: recipient}
`, dayCap, each), 1), "reserve: {budget: allowance}", "reserve: [{budget: allowance}, {budget: daily}, {budget: each}]", 1)

// spender is a model that asks for one payment, to whom the request says.
type spender struct{}

func (spender) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	asked := p.Messages[0].Text
	if len(p.Messages) > 1 {
		return text("done"), nil
	}
	_, to, _ := strings.Cut(asked, " ")
	return calls(call("1", "world.keyed", `{"token":"USDC","to":"`+to+`","amount":"1"}`)), nil
}

// spends is the config of such runs, whose payments are files in dir.
func spends(s journal.Store, dir string) runner.Config {
	var now atomic.Int64
	now.Store(start.UnixMilli())
	c := config(nil, s, spender{}, &now, new(atomic.Int64))
	c.Policy.Source = []byte(windowRules)
	c.Rand = nil // chance: no run of a later start may have the name of an earlier one
	c.Tools = []tools.Tool{keyedOutside{outside{dir, "world.keyed", tools.Keyed}}}
	c.Agents[0].Tools = []string{"world.keyed"}
	c.Agents[0].Grant.MaxTotal = []money.Amount{money.Of(usdc, 1_000_000_000)}
	asksAbove(1_000_000_000)(&c)
	c.Agents[0].Grant.MaxCalls = 5000
	return c
}

// spendAll starts n runs and waits until all are closed. It may be called again after any failure.
func (c *client) spendAll(ctx context.Context, n int) error {
	requests := make([]runner.StartRequest, n)
	for i := range requests {
		var err error
		if requests[i], err = c.user.request("pay "+[]string{"bob", "mallory"}[i%2], fmt.Sprintf("spend-%06d", i)); err != nil {
			return err
		}
	}
	failed := make([]error, n)
	var wg sync.WaitGroup
	for i, req := range requests {
		wg.Go(func() {
			info, err := c.r.Start(ctx, req)
			for end := time.Now().Add(time.Minute); err == nil && (info.Status == "running" || info.Status == "parked"); {
				if time.Now().After(end) {
					err = fmt.Errorf("run %d is still %s", i, info.Status)
					break
				}
				hints, _, stop := c.r.Subscribe(info.ID)
				select {
				case <-hints:
				case <-time.After(20 * time.Millisecond): // a run that a fault has stopped gives no hint
				case <-ctx.Done():
					err = ctx.Err()
				}
				stop()
				if err == nil {
					info, err = c.r.Run(ctx, info.ID)
				}
			}
			failed[i] = err
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// admitted checks what came of it, in the store and in the world.
func admitted(t *testing.T, s journal.Store, dir string, who user, n int) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(dir, "effects"))
	if err != nil || len(files) != dayCap {
		t.Errorf("%d payments of %d runs, %v; want %d", len(files), n, err, dayCap)
	}
	runs, err := s.Runs(t.Context(), [20]byte{}, n+1)
	if err != nil || len(runs) != n {
		t.Fatalf("%d runs, %v; want %d", len(runs), err, n)
	}
	paid := 0
	for i, run := range runs {
		switch run.Status {
		case provenance.CloseAnswered:
			if paid++; paid < 3 {
				verified(t, s, run.ID)
			}
		case provenance.CloseDenied:
			if i < 3 {
				verified(t, s, run.ID)
			}
		default:
			t.Errorf("a run ended as %q", run.Status)
		}
	}
	if paid != dayCap {
		t.Errorf("%d runs say that they have paid, want %d", paid, dayCap)
	}
	key := "wallet/" + who.session.Owner() + "/operator/"
	day := key + "each@2026-11-23#"
	ls, err := s.Ledgers(t.Context(), []string{key + "daily@2026-11-23", day + book().Names["bob"].Hex(), day + book().Names["mallory"].Hex()})
	if err != nil {
		t.Fatal(err)
	}
	want := money.Of(usdc, dayCap*1_000_000)
	both, err := ls[1].Spent.Add(ls[2].Spent)
	if err != nil || ls[0].Spent != want || both != want {
		t.Errorf("%s a day, %s to bob, %s to mallory, %v; want %s in all", ls[0].Spent, ls[1].Spent, ls[2].Spent, err, want)
	}
	for _, l := range ls {
		if over, err := l.Spent.Cmp(money.Of(usdc, dayCap*1_000_000)); err != nil || over > 0 || !l.Reserved.IsZero() {
			t.Errorf("%s: %s spent, %s reserved; want nothing reserved", l.Key, l.Spent, l.Reserved)
		}
	}
	for _, l := range ls[1:] {
		if over, err := l.Spent.Cmp(money.Of(usdc, each*1_000_000)); err != nil || over > 0 {
			t.Errorf("%s: %s spent, want at most %d USDC", l.Key, l.Spent, each)
		}
	}
}

// A flaky store fails one commit in so many, before it is done or after.
type flaky struct {
	journal.Store
	mu   sync.Mutex
	rnd  *rand.Rand
	one  int // in so many; 0 is never
	hits int
}

func (f *flaky) Commit(ctx context.Context, c journal.Commit) error {
	f.mu.Lock()
	fails, written := f.one > 0 && f.rnd.IntN(f.one) == 0, f.rnd.IntN(2) == 0
	if fails {
		f.hits++
	}
	f.mu.Unlock()
	switch {
	case !fails:
		return f.Store.Commit(ctx, c)
	case written:
		return errors.Join(f.Store.Commit(ctx, c), errDisk)
	}
	return errDisk
}

func TestAThousandSpendsInWindows(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 200
	}
	for name, one := range map[string]int{"nothing fails": 0, "one commit in 40 fails, written or not": 40} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "effects"), 0o700); err != nil {
				t.Fatal(err)
			}
			mem := storetest.MemoryAt(t, func() time.Time { return start })
			s := &flaky{Store: mem, rnd: rand.New(rand.NewPCG(1, uint64(one)))}
			c := &client{store: s, config: spends(s, dir)}
			if err := c.open(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.one = one
			for range 3 { // a start that failed is told, and asked again; a run that stopped goes on with the next start
				if one == 0 {
					break
				}
				short, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				c.spendAll(short, n)
				cancel()
				c.r.Close()
				s.mu.Lock()
				s.one = 0 // a start in which nothing fails, and then again
				s.mu.Unlock()
				c = &client{store: s, config: spends(s, dir)}
				if err := c.open(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.mu.Lock()
				s.one = one
				s.mu.Unlock()
			}
			s.mu.Lock()
			s.one = 0
			s.mu.Unlock()
			c.r.Close()
			c = &client{store: s, config: spends(s, dir)}
			if err := c.open(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer c.r.Close()
			if err := c.spendAll(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			if one > 0 && s.hits < n/40 {
				t.Errorf("only %d commits failed", s.hits)
			}
			admitted(t, mem, dir, c.user, n)
		})
	}
}

// The same in a process that is killed between reserve and settle, on the disk: at a random write of a hundred spends at
// once, and again at another of what was left.
func TestKilledSpendsInWindows(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	const n, kills = 100, 3
	rnd := rand.New(rand.NewPCG(5, 4))
	dir := t.TempDir()
	for i := range kills + 1 {
		at := 20 + rnd.IntN(150)
		if i == kills {
			at = 0
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "WRIT_CRASH_DIR="+dir, "WRIT_CRASH_SPENDS="+strconv.Itoa(n), "WRIT_CRASH_AT="+strconv.Itoa(at),
			"WRIT_CRASH_WHEN="+[]string{"before", "after"}[i%2])
		out, err := cmd.CombinedOutput()
		if at == 0 && err != nil {
			t.Fatalf("the last start: %v: %s", err, out)
		}
		if at > 0 && (err == nil || cmd.ProcessState.ExitCode() != -1) {
			t.Fatalf("start %d, write %d: %v: %s; want it killed", i, at, err, out)
		}
	}
	db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(dir, "writ.db")), Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all, err := db.Sessions(t.Context(), [20]byte{}, math.MaxInt64)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d sessions, %v; want one", len(all), err)
	}
	admitted(t, db, dir, user{session: all[0]}, n)
}

// spendChild is the process of TestKilledSpendsInWindows.
func spendChild(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "effects"), 0o700); err != nil {
		return err
	}
	n, err := strconv.Atoi(os.Getenv("WRIT_CRASH_SPENDS"))
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(os.Getenv("WRIT_CRASH_AT"), 10, 64)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	owner := crand.Text()
	db, err := store.Open(ctx, store.Config{
		DSN: store.SQLite(filepath.Join(dir, "writ.db")), Owner: owner, Now: func() time.Time { return start },
	})
	if err != nil {
		return err
	}
	defer db.Close()
	s := killer{Store: db, dir: dir, at: at, when: os.Getenv("WRIT_CRASH_WHEN"), n: new(atomic.Int64)}
	c := &client{store: s, config: spends(s, dir)}
	c.config.Owner = owner
	if err := c.open(ctx); err != nil {
		return err
	}
	defer c.r.Close()
	return c.spendAll(ctx, n)
}
