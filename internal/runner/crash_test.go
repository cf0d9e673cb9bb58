package runner_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/tools/toolstest"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// The sweep: one run with three effects of three classes and one approval, in a process of its own, which kills
// itself with SIGKILL at its k-th write, once just before the write and once just after; then it is started again.
// How many writes there are is counted, so new ones are swept without a change here.

func TestMain(m *testing.M) {
	if dir := os.Getenv("WRIT_CRASH_DIR"); dir != "" {
		child := crashChild
		if os.Getenv("WRIT_CRASH_SPENDS") != "" {
			child = spendChild
		}
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestKillAtEveryWrite(t *testing.T) { killAtEveryWrite(t, "") }

// The same of an agent whose sub-agent does all of it: killed at any write of either run, both go on where they were.
// The three effects happen once, no step is lost, and the caller gets its sub-agent's outcome once.
func TestKillAtEveryWriteOfASubAgent(t *testing.T) { killAtEveryWrite(t, "boss") }

func killAtEveryWrite(t *testing.T, caller string) {
	if testing.Short() {
		t.Skip("starts about a hundred processes")
	}
	runChild := func(t *testing.T, dir string, k int, when string) error { return runChild(t, dir, caller, k, when) }
	whole := t.TempDir()
	if err := runChild(t, whole, 0, ""); err != nil {
		t.Fatal(err)
	}
	want := outcome(t, whole)
	if caller == "talker" {
		checkTalked(t, whole)
	} else if got := len(strings.Fields(want.heads)); caller != "" && (got != 2 || want.brought != 1) {
		t.Fatalf("%d runs, and %d outcomes of a sub-agent; want a caller's and a sub-agent's, and one", got, want.brought)
	}
	n := lines(t, filepath.Join(whole, "writes"))
	if len(n) < 15 {
		t.Fatalf("the run made %d writes; the sweep would prove little", len(n))
	}
	slots := make(chan struct{}, 3)
	var wg sync.WaitGroup
	for k := 1; k <= len(n); k++ {
		for _, when := range []string{"before", "after"} {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				dir := t.TempDir()
				name := fmt.Sprintf("killed %s write %d", when, k)
				if err := runChild(t, dir, k, when); err == nil {
					t.Errorf("%s: the process was not killed", name)
					return
				}
				if err := runChild(t, dir, 0, ""); err != nil {
					t.Errorf("%s: the second start: %v", name, err)
					return
				}
				got := outcome(t, dir)
				if got.heads != want.heads {
					t.Errorf("%s: the runs' roots are %s, want %s", name, got.heads, want.heads)
				}
				if got.brought != want.brought {
					t.Errorf("%s: %d outcomes of a sub-agent, want %d", name, got.brought, want.brought)
				}
				if got.effects != want.effects {
					t.Errorf("%s: effects %s, want %s", name, got.effects, want.effects)
				}
				for _, l := range lines(t, filepath.Join(dir, "acked")) {
					if l != "" && !got.steps[l] {
						t.Errorf("%s: the acknowledged step %s is not in the journal", name, l)
					}
				}
			})
		}
	}
	wg.Wait()
	t.Logf("%d writes, %d kills", len(n), 2*len(n))
}

func runChild(t *testing.T, dir, caller string, k int, when string) error {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "WRIT_CRASH_DIR="+dir, "WRIT_CRASH_CALLER="+caller, fmt.Sprintf("WRIT_CRASH_AT=%d", k), "WRIT_CRASH_WHEN="+when)
	out, err := cmd.CombinedOutput()
	if err != nil && k == 0 {
		return fmt.Errorf("%w: %s", err, out)
	}
	return err
}

type swept struct {
	heads   string // of the runs, newest first
	effects string
	steps   map[string]bool // as they are acknowledged: "RUN SEQ CID"
	brought int             // results that are a sub-agent's outcome
}

// outcome reads what a directory's runs came to.
func outcome(t *testing.T, dir string) swept {
	db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(dir, "writ.db"))})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	runs, err := db.Runs(t.Context(), [20]byte{}, 10)
	if err != nil || len(runs) == 0 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	s := swept{steps: map[string]bool{}}
	for _, run := range runs {
		if run.Status != provenance.CloseAnswered {
			t.Fatalf("a run ended as %q", run.Status)
		}
		s.heads += run.Head.String() + " "
		blocks, err := db.Steps(t.Context(), run.ID, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range blocks {
			s.steps[fmt.Sprintf("%s %d %s", run.ID, i, b.CID)] = true
			var step provenance.Step
			if err := provenance.Decode(b.Data, &step); err != nil {
				t.Fatal(err)
			}
			if r, ok := step.Event.(*provenance.Result); ok && r.Child.Defined() {
				s.brought++
			}
		}
		verified(t, db, run.ID)
	}
	done, err := os.ReadDir(filepath.Join(dir, "effects"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range done {
		s.effects += d.Name() + " "
	}
	return s
}

// verified has a stranger judge a run, from its file alone.
func verified(t *testing.T, s journal.Store, run provenance.Link) {
	t.Helper()
	var car bytes.Buffer
	if _, err := archive.Export(t.Context(), s, &car, run); err != nil {
		t.Fatal(err)
	}
	keys, err := archive.Keys(t.Context(), s, run)
	if err != nil {
		t.Fatal(err)
	}
	src, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if rep := audit.Verify(src, audit.Options{Keys: keys}); rep.Verdict == provenance.Failed {
		t.Errorf("run %s: %s %s", run, rep.Code, rep.Detail)
	}
}

func lines(t *testing.T, path string) []string {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// A killer is a Store that ends the process at its k-th write.
type killer struct {
	journal.Store
	dir  string
	at   int64
	when string
	n    *atomic.Int64
}

func (k killer) write(do func() error) error {
	n := k.n.Add(1)
	die := func() { syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }
	if n == k.at && k.when == "before" {
		die()
	}
	err := do()
	if n == k.at && k.when == "after" {
		die()
	}
	if err == nil {
		appendLine(filepath.Join(k.dir, "writes"), strconv.FormatInt(n, 10))
	}
	return err
}

func (k killer) Commit(ctx context.Context, c journal.Commit) error {
	err := k.write(func() error { return k.Store.Commit(ctx, c) })
	if err == nil { // from here on the caller may rely on it
		appendLine(filepath.Join(k.dir, "acked"), fmt.Sprintf("%s %d %s", c.Run, c.Seq, c.Step.CID))
	}
	return err
}

func (k killer) PutBlocks(ctx context.Context, b []provenance.Block, l []provenance.Leaf) error {
	return k.write(func() error { return k.Store.PutBlocks(ctx, b, l) })
}

func (k killer) PutSession(ctx context.Context, s journal.Session) error {
	return k.write(func() error { return k.Store.PutSession(ctx, s) })
}

func (k killer) Claim(ctx context.Context, run provenance.Link, owner string, until int64) (f uint64, err error) {
	err = k.write(func() error { f, err = k.Store.Claim(ctx, run, owner, until); return err })
	return f, err
}

func appendLine(path, s string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		w := bufio.NewWriter(f)
		w.WriteString(s + "\n")
		err = errors.Join(w.Flush(), f.Close())
	}
	if err != nil {
		panic(err)
	}
}

// An outside is the world beyond the process: an effect is a file, and a second one of the same name would show.
type outside struct {
	dir   string
	name  string
	class tools.Class
}

func (o outside) Spec() tools.Spec {
	s := (&payTool{class: o.class}).Spec()
	s.Name = o.name
	return s
}

func (o outside) do(what string) error {
	f, err := os.OpenFile(filepath.Join(o.dir, "effects", o.name+"-"+what), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return os.ErrExist
	}
	return errors.Join(err, f.Close())
}

// A keyed receiver does one thing once for one key.
type keyedOutside struct{ outside }

func (o keyedOutside) Call(_ context.Context, in tools.Input) ([]byte, error) {
	if err := o.do(hex.EncodeToString(in.Key[:])); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return []byte(`{"status":"ok"}`), nil
}

// A once receiver knows no keys: every call is another effect.
type onceOutside struct{ outside }

func (o onceOutside) Call(_ context.Context, _ tools.Input) ([]byte, error) {
	for i := 0; ; i++ {
		if err := o.do(strconv.Itoa(i)); !errors.Is(err, os.ErrExist) {
			return []byte(`{"status":"ok"}`), err
		}
	}
}

func (o onceOutside) Reconcile(_ context.Context, _ tools.Input) ([]byte, bool, error) {
	_, err := os.Stat(filepath.Join(o.dir, "effects", o.name+"-0"))
	return []byte(`{"status":"ok"}`), err == nil, nil
}

// A chain receiver includes a transaction once; another signing would be another transaction.
type chainOutside struct{ outside }

func (o chainOutside) Call(context.Context, tools.Input) ([]byte, error) {
	return nil, errors.New("never called")
}
func (o chainOutside) Simulate(_ context.Context, in tools.Input) ([]byte, error) {
	return simulate(in), nil
}
func (o chainOutside) Account() string {
	return "eip155:1337:" + sender
}
func (o chainOutside) Sign(_ context.Context, in tools.Input, floor uint64) (tools.Signed, error) {
	return signTransfer(in, floor), nil
}
func (o chainOutside) Send(_ context.Context, s tools.Signed) ([]byte, error) {
	if err := o.do(s.Hash); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return toolstest.ReceiptOf(s, usdc), nil
}

func crashChild(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "effects"), 0o700); err != nil {
		return err
	}
	at, err := strconv.ParseInt(os.Getenv("WRIT_CRASH_AT"), 10, 64)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	clock := func() time.Time { return start }
	owner := rand.Text() // each process has a name of its own, and takes over from the one that was killed
	db, err := store.Open(ctx, store.Config{DSN: store.SQLite(filepath.Join(dir, "writ.db")), Now: clock, Owner: owner})
	if err != nil {
		return err
	}
	defer db.Close()
	s := killer{Store: db, dir: dir, at: at, when: os.Getenv("WRIT_CRASH_WHEN"), n: new(atomic.Int64)}

	var now atomic.Int64
	now.Store(start.UnixMilli())
	args := `{"token":"USDC","to":"bob","amount":"%s"}`
	script := replies{
		calls(call("1", "world.keyed", fmt.Sprintf(args, "1"))),
		calls(call("2", "world.once", fmt.Sprintf(args, "1"))),
		calls(call("3", "world.chain", fmt.Sprintf(args, "5"))),
		text("all done"),
	}
	caller := os.Getenv("WRIT_CRASH_CALLER")
	c := config(nil, s, cast{"Pay what is asked.": script, "payer": script, caller: replies{
		calls(call("1", "agent.payer", `{"input":"do it all"}`)), text("my sub-agent has done it"),
	}}, &now, new(atomic.Int64))
	c.Tools = []tools.Tool{
		keyedOutside{outside{dir, "world.keyed", tools.Keyed}}, onceOutside{outside{dir, "world.once", tools.Once}},
		chainOutside{outside{dir, "world.chain", tools.ChainTx}},
	}
	c.Agents[0].Tools = []string{"world.keyed", "world.once", "world.chain"}
	c.Owner = owner
	b := &client{store: s, config: c}
	switch {
	case isTalk():
		ramble(&b.config)
	case caller != "":
		withDelegates(&b.config, caller)
		b.user.agent = caller
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	defer b.r.Close()
	if isTalk() {
		return b.driveTalk(ctx)
	}
	return b.drive(ctx)
}

// A client is the wallet's user, who asks once and approves what comes.
type client struct {
	store  journal.Store
	config runner.Config
	r      *runner.Runner
	user
}

func (c *client) open(ctx context.Context) (err error) {
	if c.r, err = runner.New(ctx, c.config); err != nil {
		return err
	}
	if _, err = c.r.Resume(ctx); err != nil {
		return err
	}
	return c.user.signIn(ctx, c.r)
}

func (c *client) drive(ctx context.Context) error {
	req, err := c.user.request("do it all", "sweep-0001")
	if err != nil {
		return err
	}
	info, err := c.r.Start(ctx, req)
	if err != nil {
		return err
	}
	for { // a run that waits for its sub-agent gives no hint when that one waits for the wallet
		if info, err = c.r.Run(ctx, info.ID); err != nil {
			return err
		}
		if info.Status != "running" && info.Status != "parked" {
			return nil
		}
		// An actor that has just parked its run takes an approval without a claim, and so makes a write less. The wallet
		// waits until nobody is there, so that every sweep has the same writes.
		if c.r.IsAtRest() {
			if err := c.approveAll(ctx); err != nil {
				return err
			}
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// approveAll approves what waits for the wallet.
func (c *client) approveAll(ctx context.Context) error {
	pending, err := c.r.Approvals(ctx, journal.Session{Account: c.wallet.Address(), Method: auth.MethodEOA})
	for _, p := range pending {
		err = errors.Join(err, c.user.approve(ctx, c.r, p))
	}
	return err
}
