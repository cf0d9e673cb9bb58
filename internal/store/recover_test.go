package store

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // another reader of the file

	"github.com/writ-run/writ/internal/journal"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A teller commits runs of real records: steps that follow on each other and heads that are signed.
type teller struct {
	db   *DB
	name string
	run  provenance.Block
	prev provenance.Link
	seq  uint64
	acks []provenance.Link // by seq
	free bool              // what was reserved is settled as unused
}

var tellerKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))

func newTeller(ctx context.Context, db *DB, name string) (*teller, error) {
	nonce := sha256.Sum256([]byte(name))
	s := journal.Session{ID: record("session of %s", name).CID, Expires: 1 << 60}
	link := record("any").CID
	run, err := provenance.Encode(&provenance.Run{Agent: link, Grant: s.ID, Rules: link, Runtime: link, Nonce: nonce,
		Opened: 1})
	if err != nil {
		return nil, err
	}
	return &teller{db: db, name: name, run: run}, db.PutSession(ctx, s)
}

// tell commits the next step, which reserves 1 in ledger "l" and settles what the step before has reserved; with a head
// if it is said so, and closing the run if status says so.
func (r *teller) tell(ctx context.Context, head bool, status string) error {
	step, err := provenance.Encode(&provenance.Step{
		Run: r.run.CID, Seq: r.seq, Prev: r.prev, At: int64(r.seq + 1),
		Event: &provenance.Lapse{Why: provenance.LapseCancelled},
		Does:  []provenance.Effect{&provenance.Close{Reason: provenance.CloseAnswered}},
	})
	if err != nil {
		return err
	}
	c := journal.Commit{Run: r.run.CID, Fence: 1, Seq: r.seq, At: 1, Step: step, Status: status}
	if r.seq == 0 {
		c.Blocks = []provenance.Block{r.run}
		c.Open = &journal.Opening{Session: record("session of %s", r.name).CID, Owner: "o", Until: 1 << 60}
	}
	one := money.Of(usd, 1)
	c.Reserve = []journal.Reservation{{Ledger: "l", Ref: provenance.Ref{Seq: r.seq}, Amount: one,
		Cap: money.Of(usd, 1<<40)}}
	if r.seq > 0 {
		c.Settle = []journal.Settlement{{Ledger: "l", Ref: provenance.Ref{Seq: r.seq - 1}, Used: one}}
		if r.free {
			c.Settle[0].Used = money.Of(usd, 0)
		}
	}
	if head {
		h := &provenance.Head{Run: r.run.CID, Seq: r.seq, Step: step.CID, At: int64(r.seq + 1)}
		if err := h.Sign(tellerKey); err != nil {
			return err
		}
		block, err := provenance.Encode(h)
		if err != nil {
			return err
		}
		c.Head = &block
	}
	if err := r.db.Commit(ctx, c); err != nil {
		return err
	}
	r.acks = append(r.acks, step.CID)
	r.prev, r.seq = step.CID, r.seq+1
	return nil
}

// tales fills a store with a closed run, an open one of six steps whose last head is of step 3, and a run that has
// parked; it returns the open one.
func tales(t *testing.T, db *DB) *teller {
	t.Helper()
	var open *teller
	for _, x := range []struct {
		name   string
		steps  int
		heads  []int
		status string
	}{{"closed", 3, []int{0, 2}, "answered"}, {"open", 6, []int{0, 3}, "running"}, {"parked", 2, []int{0, 1}, "parked"}} {
		r, err := newTeller(t.Context(), db, x.name)
		for i := 0; i < x.steps && err == nil; i++ {
			status := "running"
			if i == x.steps-1 {
				status = x.status
			}
			err = r.tell(t.Context(), slices.Contains(x.heads, i), status)
		}
		if err != nil {
			t.Fatal(err)
		}
		if x.name == "open" {
			open = r
		}
	}
	return open
}

func TestADamagedEndIsCut(t *testing.T) {
	ofStep := func(seq int, of string) string {
		return fmt.Sprintf("(SELECT cid FROM steps WHERE seq = %d AND run = (SELECT id FROM runs WHERE %s))", seq, of)
	}
	open, closed := "status = 'running'", "status = 'answered'"
	for _, test := range []struct {
		name, damage string
		left         uint64 // steps of the open run; 6 are whole
		kept         uint64 // rows aside
		why          string // of the cut, or of the refusal
		refused      error
	}{
		{"no damage", "", 6, 0, "", nil},
		{"changed bytes", "UPDATE blocks SET data = data || x'00' WHERE cid = " + ofStep(5, open), 5, 1,
			"the bytes of step 5 do not match its CID", nil},
		{"a block that is gone", "DELETE FROM blocks WHERE cid = " + ofStep(4, open), 4, 2,
			"the block of step 4 is missing", nil},
		{"a row that is gone", "DELETE FROM steps WHERE cid = " + ofStep(5, open), 5, 0,
			"it has 5 steps and its entry says 6", nil},
		{"a row in the middle that is gone", "DELETE FROM steps WHERE cid = " + ofStep(4, open), 4, 1, "step 4 is missing",
			nil},
		{"an entry that lags behind", "UPDATE runs SET steps = 5, last = " + ofStep(4, open) + " WHERE " + open, 6, 0,
			"it has 6 steps and its entry says 5", nil},
		{"a name that is none", "UPDATE steps SET cid = x'00' WHERE cid = " + ofStep(5, open), 5, 1,
			"the block of step 5 is missing", nil},
		{"another step in its place", "UPDATE steps SET cid = " + ofStep(2, open) + " WHERE cid = " + ofStep(4, open), 4, 2,
			"step 4 does not follow on the one before", nil},
		{"another record in its place",
			"UPDATE steps SET cid = (SELECT cid FROM runs WHERE " + open + ") WHERE cid = " + ofStep(4, open), 4, 2,
			"step 4 is not a step", nil},
		{"under a head", "DELETE FROM blocks WHERE cid = " + ofStep(3, open), 6, 0, "the block of step 3 is missing",
			journal.ErrSigned},
		{"the first step", "DELETE FROM blocks WHERE cid = " + ofStep(0, open), 6, 0, "the block of step 0 is missing",
			journal.ErrSigned},
		{"all steps", "DELETE FROM steps WHERE run = (SELECT id FROM runs WHERE " + open + ")", 6, 0,
			"it has 0 steps and its entry says 6", journal.ErrSigned},
		{"the end of a closed run", "DELETE FROM blocks WHERE cid = " + ofStep(2, closed), 6, 0,
			"the block of step 2 is missing", journal.ErrSigned},
		{"a head", "UPDATE blocks SET data = x'00' WHERE cid = (SELECT head FROM runs WHERE " + open + ")", 6, 0,
			"do not match their CID", journal.ErrCorrupt},
		{"a head that is gone", "DELETE FROM blocks WHERE cid = (SELECT head FROM runs WHERE " + open + ")", 6, 0,
			"is gone", journal.ErrCorrupt},
		{"a head of another run", "UPDATE runs SET head = (SELECT head FROM runs WHERE " + closed + ") WHERE " + open, 6, 0,
			"its head is of step 2 of", journal.ErrCorrupt},
		{"an older entry of the log", "UPDATE blocks SET data = x'00' WHERE cid = (SELECT cid FROM log WHERE idx = 0)", 6,
			0, "an entry of the log", journal.ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "writ.db")
			db := openAt(t, Config{DSN: SQLite(path)})
			run := tales(t, db)
			if test.damage != "" {
				damage(t, path, test.damage)
			}
			before := dump(t, path)
			got, err := db.Recover(t.Context())
			if test.refused != nil {
				if !errors.Is(err, test.refused) || !strings.Contains(err.Error(), test.why) || !strings.Contains(err.Error(),
					"restore") {
					t.Errorf("got %v, want %v with %q and what to do", err, test.refused, test.why)
				}
				if after := dump(t, path); after != before {
					t.Errorf("a refusal has changed the store:\n%s\nbefore:\n%s", after, before)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			info, err := db.Run(t.Context(), run.run.CID)
			if err != nil {
				t.Fatal(err)
			}
			if info.Steps != test.left || info.Last != run.acks[test.left-1] {
				t.Errorf("%d steps are left, want %d", info.Steps, test.left)
			}
			if test.why == "" {
				if len(got.Cuts) != 0 || got.Runs != 3 || dump(t, path) != before {
					t.Errorf("a whole store was changed: %+v", got)
				}
				return
			}
			if len(got.Cuts) != 1 || got.Cuts[0].Run != run.run.CID || got.Cuts[0].Why != test.why ||
				got.Cuts[0].Steps != test.left {
				t.Errorf("cut %+v, want %d steps of %s, since %s", got.Cuts, test.left, run.run.CID, test.why)
			}
			if info.Status != journal.StatusCut {
				t.Errorf("its status is %q", info.Status)
			}
			if steps, err := db.Steps(t.Context(), run.run.CID, 0, 100); err != nil || uint64(len(steps)) != test.left {
				t.Errorf("%d steps can be read, %v", len(steps), err)
			}
			if _, err := db.Block(t.Context(), run.run.CID); err != nil {
				t.Error(err)
			}
			// What was reserved by the lost steps is spent: the cap holds, come what may.
			l, err := db.Ledgers(t.Context(), []string{"l"})
			if err != nil {
				t.Fatal(err)
			}
			sum, err := l[0].Spent.Add(l[0].Reserved)
			if err != nil || sum != money.Of(usd, 3+6+2) {
				t.Errorf("%s and %s are used, want 11 of the 11 steps", l[0].Spent, l[0].Reserved)
			}
			// It goes on from there: what the last step left is settled though a lost step had settled it already.
			run.prev, run.seq, run.acks = info.Last, info.Steps, run.acks[:info.Steps]
			if err := run.tell(t.Context(), true, "cancelled"); err != nil {
				t.Errorf("the step after the cut: %v", err)
			}
			if again, err := db.Recover(t.Context()); err != nil || len(again.Cuts) != 0 {
				t.Errorf("a second look: %+v, %v", again, err)
			}
			var kept int
			if err := db.readRow(t.Context(), "SELECT count(*) FROM cuts", nil, &kept); err != nil {
				t.Fatal(err)
			}
			if uint64(kept) != test.kept || got.Cuts[0].Lost != 6-test.left {
				t.Errorf("%d steps are kept aside, want %d, of %d lost", kept, test.kept, got.Cuts[0].Lost)
			}
		})
	}
}

// damage changes a store behind its back.
func damage(t *testing.T, path, query string) {
	t.Helper()
	raw, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if r, err := raw.Exec(query); err != nil {
		t.Fatal(err)
	} else if n, _ := r.RowsAffected(); n == 0 {
		t.Fatalf("nothing was damaged by %s", query)
	}
}

// dump returns what the journal's tables hold.
func dump(t *testing.T, path string) string {
	t.Helper()
	raw, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var out strings.Builder
	for _, table := range []string{"runs", "steps", "blocks", "ledgers", "reservations", "log", "cuts", "meta", "sessions"} {
		rows, err := raw.Query("SELECT * FROM " + table + " ORDER BY 1, 2")
		if err != nil {
			t.Fatal(err)
		}
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			row, to := make([]any, len(names)), make([]any, len(names))
			for i := range row {
				to[i] = &row[i]
			}
			if err := rows.Scan(to...); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&out, table, row)
		}
		rows.Close()
	}
	return out.String()
}

// TestADamagedLogIsKeptAside garbles bytes of the write-ahead log at many places. What is behind them is lost to
// SQLite, which says nothing of it: the store must.
func TestADamagedLogIsKeptAside(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, Config{DSN: SQLite(filepath.Join(dir, "writ.db"))})
	open := tales(t, db)
	files := map[string][]byte{}
	for _, name := range []string{"writ.db", "writ.db-wal", "writ.db-mark"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	wal := files["writ.db-wal"]
	chance := rand.New(rand.NewPCG(1, 2))
	for i := range 30 {
		at, what := 0, "garbled"
		bad := bytes.Clone(wal)
		switch {
		case i == 0:
			what = "untouched"
		case i == 1: // the header: SQLite would begin with nothing
			bad[17] ^= 1
		case i%5 == 2: // cut inside a frame: as a kill leaves it
			at, what = 32+chance.IntN(len(bad)-32), "cut"
			bad = bad[:at]
		default:
			at = 32 + chance.IntN(len(bad)-32-4096-24) // not in the last frame, whose end would be garbled too
			bad[at] ^= byte(1 + chance.IntN(255))
		}
		path := filepath.Join(t.TempDir(), "writ.db")
		if err := errors.Join(os.WriteFile(path, files["writ.db"], 0o600), os.WriteFile(path+"-wal", bad, 0o600),
			os.WriteFile(path+"-mark", files["writ.db-mark"], 0o600)); err != nil {
			t.Fatal(err)
		}
		db, err := Open(t.Context(), Config{DSN: SQLite(path)})
		if err != nil { // nothing of the schema is left, or half of it
			t.Errorf("%s at %d: %v", what, at, err)
			continue
		}
		r, err := db.Recover(t.Context())
		if err != nil {
			t.Errorf("%s at %d: %v", what, at, err)
		}
		kept, _ := filepath.Glob(path + "-wal.damaged-*")
		if what != "garbled" {
			if len(kept) != 0 || r.Log != "" || r.Behind != (what == "cut") {
				t.Errorf("%s at %d: taken for damage: %+v", what, at, r)
			}
			db.Close()
			continue
		}
		if len(kept) != 1 || kept[0] != r.Log || r.Lost == 0 {
			t.Errorf("%s at %d: got %+v, kept %v", what, at, r, kept)
		} else if data, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(data, bad) {
			t.Errorf("%s at %d: what is kept is not what was there", what, at)
		}
		open, err := db.OpenRuns(t.Context())
		if err != nil {
			t.Error(err)
		}
		for _, run := range open {
			if info, err := db.Run(t.Context(), run); err != nil || info.Status != journal.StatusCut {
				t.Errorf("%s at %d: an open run goes on: %+v %v", what, at, info, err)
			}
		}
		sessions, err := db.Sessions(t.Context(), [20]byte{}, math.MaxInt64)
		if err != nil {
			t.Error(err)
		}
		for _, s := range sessions {
			if s.Expires > db.now().UnixMilli() {
				t.Errorf("%s at %d: a session goes on", what, at)
			}
		}
		if again, err := db.Recover(t.Context()); err != nil || again.Log != "" {
			t.Errorf("%s at %d: a second look: %+v, %v", what, at, again, err)
		}
		db.Close()
	}
	if info, err := db.Run(t.Context(), open.run.CID); err != nil || info.Steps != 6 {
		t.Error("the store itself was touched")
	}
}

// TestAnEndThatIsMissingIsSeen cuts the write-ahead log at the end of a transaction, which leaves no trace in the
// database: the mark beside it tells.
func TestAnEndThatIsMissingIsSeen(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, Config{DSN: SQLite(filepath.Join(dir, "writ.db"))})
	run, err := newTeller(t.Context(), db, "r")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var ends []int
	var older []byte
	for i := range 5 {
		var err error
		if i == 4 { // the newest write is no step
			err = db.RevokeSession(t.Context(), record("session of r").CID, 7, record("a revocation").CID)
		} else {
			err = run.tell(t.Context(), run.seq == 0, "running")
		}
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(read("writ.db-wal")))
		if i == 2 {
			older = read("writ.db-mark")
		}
	}
	main, wal, newest := read("writ.db"), read("writ.db-wal"), read("writ.db-mark")
	torn := func(slots ...int) []byte {
		b := bytes.Clone(newest)
		for _, slot := range slots {
			b[slot*markGap+9] ^= 1
		}
		return b
	}
	last := int(newest[7]) % 2 // the slot that was written last
	if newest[markGap+7] > newest[7] {
		last = 1
	}
	former := bytes.Repeat([]byte{1, 0x71, 0x12, 0x20}, 20) // as long as the one that named a step
	for _, test := range []struct {
		name   string
		wal    int
		mark   []byte // nil if there is none
		behind bool
	}{
		{"whole", ends[4], newest, false},
		{"the revocation is missing", ends[3], newest, true},
		{"a step is missing", ends[2], newest, true},
		{"four are missing", ends[0], newest, true},
		{"an older mark", ends[4], older, false},
		{"the last write of the mark was cut short", ends[4], torn(last), false},
		{"cut short, and the end is missing", ends[3], torn(last), true},
		{"the other slot is damaged, and the end is missing", ends[3], torn(1 - last), true},
		{"no slot holds", ends[4], torn(0, 1), true},
		{"half a mark", ends[3], newest[:30], true},
		{"an empty mark", ends[4], []byte{}, true},
		{"another's mark", ends[4], former, true},
		{"no mark", ends[4], nil, true},
	} {
		path := filepath.Join(t.TempDir(), "writ.db")
		err := errors.Join(os.WriteFile(path, main, 0o600), os.WriteFile(path+"-wal", wal[:test.wal], 0o600))
		if test.mark != nil {
			err = errors.Join(err, os.WriteFile(path+"-mark", test.mark, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		if db, err := Open(t.Context(),
			Config{DSN: SQLite(path)}); err != nil { // by somebody who recovers nothing, and writes
			t.Fatal(err)
		} else if err := errors.Join(db.PutSession(t.Context(),
			journal.Session{ID: record("another").CID}), db.Close()); err != nil {
			t.Fatal(err)
		}
		db := openAt(t, Config{DSN: SQLite(path)})
		r, err := db.Recover(t.Context())
		if err != nil || r.Behind != test.behind || r.Unknown() != test.behind || r.Log != "" {
			t.Errorf("%s: %+v, %v", test.name, r, err)
		}
		info, err := db.Run(t.Context(), run.run.CID)
		if err != nil || (info.Status == journal.StatusCut) != test.behind {
			t.Errorf("%s: the run is %q, %v", test.name, info.Status, err)
		}
		if r, err := db.Recover(t.Context()); err != nil || r.Unknown() {
			t.Errorf("%s: a second look: %+v, %v", test.name, r, err)
		}
	}
}

// TestWhatMayHaveBeenPaidIsSpent loses the step that followed on a reservation: what it did with it is not known, so
// the end of the run, which takes it for unused, frees nothing.
func TestWhatMayHaveBeenPaidIsSpent(t *testing.T) {
	for _, test := range []struct {
		name  string
		spent uint64
		lose  func(t *testing.T, path string, wal, all []byte)
	}{
		{"the log's end is lost", 3, func(t *testing.T, path string, wal, _ []byte) {
			if err := os.WriteFile(path+"-wal", wal, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"the run's end is damaged", 4, func(t *testing.T, path string, _, all []byte) {
			if err := os.WriteFile(path+"-wal", all, 0o600); err != nil {
				t.Fatal(err)
			}
			damage(t, path, "UPDATE blocks SET data = x'00' WHERE cid = (SELECT last FROM runs)")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			from, path := filepath.Join(t.TempDir(), "writ.db"), filepath.Join(t.TempDir(), "writ.db")
			run, err := newTeller(t.Context(), openAt(t, Config{DSN: SQLite(from)}), "r")
			var wal, all []byte
			for i := 0; i < 4 && err == nil; i++ {
				wal = all
				if err = run.tell(t.Context(), i == 0, "running"); err == nil {
					all, err = os.ReadFile(from + "-wal")
				}
			}
			for _, name := range []string{"", "-mark"} {
				b, e := os.ReadFile(from + name)
				err = errors.Join(err, e, os.WriteFile(path+name, b, 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			test.lose(t, path, wal, all)
			run.db = openAt(t, Config{DSN: SQLite(path)})
			if r, err := run.db.Recover(t.Context()); err != nil || len(r.Cuts) == 0 && !r.Unknown() {
				t.Fatalf("nothing is lost: %+v, %v", r, err)
			}
			want := func(spent, reserved uint64) {
				t.Helper()
				l, err := run.db.Ledgers(t.Context(), []string{"l"})
				if err != nil || l[0].Spent != money.Of(usd, spent) || l[0].Reserved != money.Of(usd, reserved) {
					t.Errorf("%v, %v; want %d spent and %d reserved", l, err, spent, reserved)
				}
			}
			want(test.spent-1, 1)
			run.prev, run.seq, run.free = run.acks[2], 3, true
			if err := run.tell(t.Context(), false, "running"); err != nil {
				t.Fatal(err)
			}
			want(test.spent, 1)
			if err := run.tell(t.Context(), true, "cancelled"); err != nil {
				t.Fatal(err)
			}
			want(test.spent, 1) // its own, which was unused, is free again, and it reserves another
		})
	}
}

// A database from before its groups were counted has a mark that says nothing, or none: it is not behind, and from then
// on it is counted.
func TestAnOlderDatabaseIsNotBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "writ.db")
	db, err := Open(t.Context(), Config{DSN: SQLite(path)})
	if err != nil {
		t.Fatal(err)
	}
	tales(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	damage(t, path, "UPDATE meta SET value = '1' WHERE key = 'writes'") // as the migration leaves it
	if err := os.WriteFile(path+"-mark", bytes.Repeat([]byte{1, 0x71, 0x12, 0x20}, 20), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, behind := range []bool{false, true} {
		db, err := Open(t.Context(), Config{DSN: SQLite(path)})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := db.Recover(t.Context()); err != nil || r.Behind != behind {
			t.Errorf("opened %d times: %+v, %v", i+1, r, err)
		}
		if err := errors.Join(db.PutSession(t.Context(), journal.Session{ID: record("another").CID}), db.Close(),
			os.Remove(path+"-mark")); err != nil {
			t.Fatal(err)
		}
	}
}
