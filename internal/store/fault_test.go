package store

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

var usd = money.Asset{Symbol: "USD", Decimals: 9}

func openAt(t testing.TB, c Config) *DB {
	t.Helper()
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func record(format string, args ...any) provenance.Block {
	data := fmt.Appendf(nil, format, args...)
	return provenance.Block{CID: provenance.Sum(cid.DagCBOR, data), Data: data}
}

// grow opens a run called name in a session of its own, or makes its next step, which reserves 1 in ledger "l".
func grow(ctx context.Context, db *DB, name string, seq uint64) (run provenance.Link, err error) {
	r := record("run %s", name)
	c := journal.Commit{Run: r.CID, Fence: 1, Seq: seq, At: 1, Step: record("run %s step %d", name, seq),
		Status: "running"}
	if seq == 0 {
		s := journal.Session{ID: record("session of %s", name).CID, Expires: 1 << 60}
		if err := db.PutSession(ctx, s); err != nil {
			return run, err
		}
		c.Blocks = []provenance.Block{r}
		c.Open = &journal.Opening{Session: s.ID, Owner: "o", Until: 1 << 60}
	} else {
		c.Reserve = []journal.Reservation{{Ledger: "l", Ref: provenance.Ref{Seq: seq}, Amount: money.Of(usd, 1),
			Cap: money.Of(usd, 1<<40)}}
	}
	return r.CID, db.Commit(ctx, c)
}

// set changes how the writer's connection works.
func set(t *testing.T, db *DB, pragma string) {
	t.Helper()
	err := db.write(t.Context(), 0, func(ctx context.Context, tx *transaction) error { return tx.exec(ctx, pragma) })
	if err != nil {
		t.Fatal(err)
	}
}

// checkWhole says what of a store contradicts itself: runs without their steps, amounts without their step.
func checkWhole(t *testing.T, db *DB) (runs []journal.RunInfo) {
	t.Helper()
	runs, err := db.Runs(t.Context(), [20]byte{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var reserved uint64
	for _, r := range runs {
		steps, err := db.Steps(t.Context(), r.ID, 0, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if uint64(len(steps)) != r.Steps || steps[len(steps)-1].CID != r.Last {
			t.Errorf("run %s has %d steps and says %d", r.ID, len(steps), r.Steps)
		}
		if _, err := db.Block(t.Context(), r.ID); err != nil {
			t.Error(err)
		}
		reserved += r.Steps - 1
	}
	l, err := db.Ledgers(t.Context(), []string{"l"})
	if err != nil {
		t.Fatal(err)
	}
	if got := l[0].Reserved.Uint256().Uint64(); got != reserved {
		t.Errorf("%d are reserved by steps of %d", got, reserved)
	}
	return runs
}

// TestKilled kills a process that commits as fast as it can, and looks for every step that it said was committed.
// The operating system lives on, so this says nothing of power loss: that is what synchronous=FULL is for.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "writ.db")
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledChild$")
		cmd.Env = append(os.Environ(), "WRIT_STORE_CHILD="+path, "WRIT_STORE_ROUND="+strconv.Itoa(round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acked := map[string]uint64{} // run -> steps
		lines := 0
		for in := bufio.NewScanner(out); in.Scan(); lines++ {
			if lines == 200+50*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			var run string
			var seq uint64
			if _, err := fmt.Sscanf(in.Text(), "ack %s %d.", &run, &seq); err == nil && strings.HasSuffix(in.Text(), ".") {
				acked[run] = max(acked[run], seq+1)
			}
		}
		if err := cmd.Wait(); err == nil || len(acked) == 0 {
			t.Fatalf("the child ended by itself after %d lines", lines)
		}

		db := openAt(t, Config{DSN: SQLite(path)})
		found := 0
		for _, r := range checkWhole(t, db) {
			if want, there := acked[r.ID.String()]; there {
				found++
				if r.Steps < want {
					t.Errorf("run %s: %d steps were acknowledged, %d are there", r.ID, want, r.Steps)
				}
			}
		}
		if found != len(acked) {
			t.Errorf("%d runs were acknowledged, %d are there", len(acked), found)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledChild is the process that [TestKilled] kills.
func TestKilledChild(t *testing.T) {
	path := os.Getenv("WRIT_STORE_CHILD")
	if path == "" {
		t.Skip("runs only as the child of TestKilled")
	}
	db := openAt(t, Config{DSN: SQLite(path)})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for seq := range uint64(1 << 20) {
				run, err := grow(t.Context(), db, fmt.Sprintf("%s/%d", os.Getenv("WRIT_STORE_ROUND"), i), seq)
				if err != nil {
					t.Error(err)
					return
				}
				fmt.Printf("ack %s %d.\n", run, seq)
			}
		})
	}
	wg.Wait()
}

// TestTruncated cuts the write-ahead log at many places, as a crash of the machine may: what is left is a prefix of
// what was committed, whole steps only.
func TestTruncated(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, Config{DSN: SQLite(filepath.Join(dir, "writ.db"))})
	for seq := range uint64(30) {
		if _, err := grow(t.Context(), db, "r", seq); err != nil {
			t.Fatal(err)
		}
	}
	main, err := os.ReadFile(filepath.Join(dir, "writ.db"))
	if err != nil {
		t.Fatal(err)
	}
	wal, err := os.ReadFile(filepath.Join(dir, "writ.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	last := uint64(0)
	for i := range 25 {
		n := len(wal) * i / 24
		n -= n % 4 * (i % 2) // some at odd places
		path := filepath.Join(t.TempDir(), "writ.db")
		if err := errors.Join(os.WriteFile(path, main, 0o600), os.WriteFile(path+"-wal", wal[:n], 0o600)); err != nil {
			t.Fatal(err)
		}
		cut, err := Open(t.Context(), Config{DSN: SQLite(path)})
		if err != nil {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(wal), err)
		}
		steps := uint64(0)
		for _, r := range checkWhole(t, cut) {
			steps = r.Steps
		}
		if steps < last {
			t.Errorf("cut to %d bytes: %d steps, %d with less", n, steps, last)
		}
		last = steps
		if err := cut.Close(); err != nil {
			t.Error(err)
		}
	}
	if last != 30 {
		t.Errorf("the whole log has %d steps, want 30", last)
	}
}

func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "writ.db")
	db := openAt(t, Config{DSN: SQLite(path)})
	set(t, db, "PRAGMA max_page_count = 40")
	seq := uint64(0)
	var full error
	for ; full == nil; seq++ {
		_, full = grow(t.Context(), db, "r", seq)
	}
	acked := seq - 1
	if !errors.Is(full, journal.ErrFull) || !strings.Contains(full.Error(), "the disk is full; free some space") {
		t.Errorf("got %v", full)
	}
	if err := db.Fence(t.Context()); !errors.Is(err, journal.ErrFull) || errors.Is(err, journal.ErrHeld) {
		t.Errorf("the store's health: %v, want that the disk is full", err)
	}
	// The store reads on, nothing is torn, and what needs no new page can still be written.
	if runs := checkWhole(t, db); len(runs) != 1 || runs[0].Steps != acked {
		t.Errorf("got %+v, want %d steps", runs, acked)
	}
	if err := db.RevokeSession(t.Context(), record("session of r").CID, 5, record("revocation").CID); err != nil {
		t.Errorf("revoke on a full disk: %v", err)
	}
	if err := db.Fence(t.Context()); err != nil {
		t.Errorf("the store's health once a write has found room: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	db = openAt(t, Config{DSN: SQLite(path)})
	if _, err := grow(t.Context(), db, "s", 0); err != nil {
		t.Errorf("with room again: %v", err)
	}
	checkWhole(t, db)
}

func TestFailedDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "writ.db")
	var broken atomic.Bool
	smoke := errors.New("smoke")
	db := openAt(t, Config{DSN: SQLite(path), faults: func() error {
		if broken.Swap(false) { // once only: the store must not try again
			return smoke
		}
		return nil
	}})
	for seq := range uint64(3) {
		if _, err := grow(t.Context(), db, "r", seq); err != nil {
			t.Fatal(err)
		}
	}
	broken.Store(true)
	for range 3 {
		_, err := grow(t.Context(), db, "r", 3)
		if !errors.Is(err, journal.ErrFull) || !errors.Is(err, smoke) {
			t.Errorf("got %v, want no more writes", err)
		}
	}
	if runs := checkWhole(t, db); len(runs) != 1 || runs[0].Steps != 3 {
		t.Errorf("got %+v, want 3 steps", runs)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	db = openAt(t, Config{DSN: SQLite(path)})
	if _, err := grow(t.Context(), db, "r", 3); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// TestGroup holds the writer, lets many callers queue up, and counts the transactions that they need.
func TestGroup(t *testing.T) {
	const callers = 100
	var groups atomic.Int64
	held, release := make(chan struct{}), make(chan struct{})
	var hold atomic.Bool
	db := openAt(t, Config{DSN: SQLite(filepath.Join(t.TempDir(), "writ.db")), Queue: callers, faults: func() error {
		groups.Add(1)
		if hold.Swap(false) {
			close(held)
			<-release
		}
		return nil
	}})
	for i := range callers {
		if _, err := grow(t.Context(), db, fmt.Sprint(i), 0); err != nil {
			t.Fatal(err)
		}
	}
	hold.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := db.PutBlocks(t.Context(), nil, nil); err != nil {
			t.Error(err)
		}
	})
	<-held
	groups.Store(0)
	var refused atomic.Int64
	for i := range callers {
		wg.Go(func() {
			seq := uint64(1)
			if i%10 == 0 {
				seq = 7 // refused, which must not touch the others
			}
			_, err := grow(t.Context(), db, fmt.Sprint(i), seq)
			if i%10 == 0 && errors.Is(err, journal.ErrSeq) {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	for len(db.queue) < callers {
		if t.Failed() {
			break
		}
		runtime.Gosched()
	}
	if err := db.PutBlocks(t.Context(), nil, nil); !errors.Is(err, journal.ErrFull) {
		t.Errorf("with a full queue: got %v", err)
	}
	close(release)
	wg.Wait()
	if refused.Load() != 10 || groups.Load() != 1 {
		t.Errorf("%d were refused and %d transactions were made, want 10 and 1", refused.Load(), groups.Load())
	}
	checkWhole(t, db)
}

// TestBusy has another process hold the file: writes are refused for that time, and only for that time.
func TestBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "writ.db")
	db := openAt(t, Config{DSN: SQLite(path)})
	set(t, db, "PRAGMA busy_timeout = 0")
	other, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	do := func(query string) {
		t.Helper()
		if _, err := other.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	do("BEGIN IMMEDIATE")
	if _, err := grow(t.Context(), db, "r", 0); !errors.Is(err, journal.ErrFull) ||
		!strings.Contains(err.Error(), "another process has locked the file; try again later") {
		t.Errorf("got %v", err)
	}
	checkWhole(t, db) // reads go on
	do("ROLLBACK")
	if _, err := grow(t.Context(), db, "r", 0); err != nil {
		t.Errorf("with the file free again: %v", err)
	}
}

// A clock that was set back leaves a holder's row from far ahead. It is taken over once it has stood as long as a holder
// may go without renewing it; one that is renewed meanwhile is not.
func TestAHolderFromAfterNowIsTakenOver(t *testing.T) {
	dsn := SQLite(filepath.Join(t.TempDir(), "writ.db"))
	beside := openAt(t, Config{DSN: dsn, Shared: true})
	ahead := time.Now().Add(365 * 24 * time.Hour).UnixMilli()
	set(t, beside, fmt.Sprintf("INSERT INTO holder VALUES (1, 'gone', 'another machine', %d)", ahead))
	renewed := make(chan error, 1)
	go func() {
		time.Sleep(300 * time.Millisecond)
		renewed <- beside.write(context.Background(), 0, func(ctx context.Context, tx *transaction) error {
			return tx.exec(ctx, "UPDATE holder SET until = until + 1")
		})
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	db, err := Open(ctx, Config{DSN: dsn, Owner: "next", Shared: true, hold: 500 * time.Millisecond})
	if err == nil {
		db.Close()
	}
	if !errors.Is(err, journal.ErrHeld) {
		t.Errorf("while the row is renewed: %v, want that it is held", err)
	}
	if err := <-renewed; err != nil {
		t.Fatal(err)
	}
	db, err = Open(ctx, Config{DSN: dsn, Owner: "next", Shared: true, hold: 500 * time.Millisecond})
	if err != nil {
		t.Fatalf("the row stands still: %v", err)
	}
	db.Close()
}

func TestNonceFlood(t *testing.T) {
	var now atomic.Int64
	now.Store(1_800_000_000_000)
	clock := func() time.Time { return time.UnixMilli(now.Load()) }
	db := openAt(t, Config{DSN: SQLite(filepath.Join(t.TempDir(), "writ.db")), Now: clock, nonces: 5})
	put := func(nonce string) error { return db.PutNonce(t.Context(), nonce, nil, clock().Add(time.Minute)) }
	for i := range 5 {
		if err := put(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := put("one more"); !errors.Is(err, journal.ErrFull) {
			t.Errorf("with 5 nonces: got %v", err)
		}
	}
	if _, err := db.TakeNonce(t.Context(), "3", clock()); err != nil {
		t.Errorf("take one of them: %v", err)
	}
	if err := put("one more"); err != nil {
		t.Errorf("with one taken: %v", err)
	}
	if err := put("another"); !errors.Is(err, journal.ErrFull) {
		t.Errorf("with that one put: got %v", err)
	}
	now.Add(2 * time.Hour.Milliseconds())
	if err := put("later"); err != nil {
		t.Errorf("after they expired: %v", err)
	}
}

func TestCorrupt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "writ.db")
	db := openAt(t, Config{DSN: SQLite(path)})
	run, err := grow(t.Context(), db, "r", 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	change := func(query string) {
		t.Helper()
		if _, err := raw.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	bad := record("run r step 0").CID
	wants := func(err error) {
		t.Helper()
		if !errors.Is(err, journal.ErrCorrupt) || !strings.Contains(err.Error(), bad.String()) {
			t.Errorf("got %v, want the corrupt block's name", err)
		}
	}
	change("UPDATE blocks SET data = data || x'00'")
	_, err = db.Block(t.Context(), bad)
	wants(err)
	_, err = db.Steps(t.Context(), run, 0, 9)
	wants(err)
	change("DELETE FROM blocks")
	_, err = db.Steps(t.Context(), run, 0, 9)
	wants(err)
}

func TestErased(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, Config{DSN: SQLite(filepath.Join(dir, "writ.db"))})
	leaf := provenance.Leaf{CID: record("leaf").CID, Key: provenance.LeafKey([]byte("thirty-two bytes that must be go"))}
	if err := db.PutBlocks(t.Context(), nil, []provenance.Leaf{leaf}); err != nil {
		t.Fatal(err)
	}
	traces := func() (n int) {
		for _, name := range []string{"writ.db", "writ.db-wal"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			n += bytes.Count(data, leaf.Key[:])
		}
		return n
	}
	if traces() == 0 {
		t.Fatal("the key was never in the file")
	}
	if err := db.EraseLeaf(t.Context(), leaf.CID); err != nil {
		t.Fatal(err)
	}
	if n := traces(); n != 0 {
		t.Errorf("the erased key is still in the file, %d times", n)
	}
}

func TestEpoch(t *testing.T) {
	one := openAt(t, Config{DSN: SQLite(filepath.Join(t.TempDir(), "writ.db"))})
	two := openAt(t, Config{DSN: SQLite(filepath.Join(t.TempDir(), "writ.db"))})
	if one.epoch == two.epoch || len(one.epoch) != 32 {
		t.Errorf("two stores have the epochs %q and %q", one.epoch, two.epoch)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := func(name string, statements string) string {
		path := filepath.Join(dir, name)
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(statements); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := filepath.Join(dir, "newer.db")
	openAt(t, Config{DSN: SQLite(newer)}).Close()
	database("newer.db", "INSERT INTO migrations VALUES (99, 0)")

	for _, test := range []struct{ name, path, want string }{
		{"no path", "", "no path is given"},
		{"a folder that is not there", filepath.Join(dir, "no", "writ.db"), "its folder does not exist; create it first"},
		{"a folder", dir, "is a directory"},
		{"a text", write("text.db", strings.Repeat("not a database ", 100)), "not a writ store"},
		{"a database of someone else", database("other.db", "CREATE TABLE t (x)"), "not a writ store"},
		{"a store of a newer writ", newer, "update writ"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(t.Context(), Config{DSN: SQLite(test.path)})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, test.want)
			}
		})
	}

	odd := filepath.Join(dir, "50% of what? #1 & more.db")
	openAt(t, Config{DSN: SQLite(odd)}).Close()
	info, err := os.Stat(odd)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, although it holds keys", info.Mode())
	}
}

// Who asks for sign-ins at the full rate and answers none must not keep others out for longer than a nonce lives.
func TestExpiredNoncesMakeRoom(t *testing.T) {
	var now atomic.Int64
	now.Store(1_800_000_000_000)
	clock := func() time.Time { return time.UnixMilli(now.Load()) }
	db := openAt(t, Config{DSN: SQLite(filepath.Join(t.TempDir(), "writ.db")), Now: clock, nonces: 5})
	put := func(nonce string) error { return db.PutNonce(t.Context(), nonce, nil, clock().Add(auth.NonceLife)) }
	for i := range 5 {
		if err := put(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	now.Add((auth.NonceLife + auth.Skew + time.Second).Milliseconds())
	if err := put("mine"); err != nil {
		t.Errorf("after their time: %v", err)
	}
}
