package storetest

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

func testSessions(t *testing.T, b *bench) {
	s := b.newSession(alice)
	b.must(b.PutSession(b.ctx, s))
	got, err := b.Session(b.ctx, s.ID)
	b.must(err)
	if !reflect.DeepEqual(got, s) {
		t.Errorf("session: got %+v, want %+v", got, s)
	}
	b.must(b.NameDevice(b.ctx, s.ID, "Firefox on Linux"))
	b.must(b.NameDevice(b.ctx, s.ID, "another name"))
	if got, err = b.Session(b.ctx, s.ID); err != nil || got.Device != "Firefox on Linux" {
		t.Errorf("device: got %q, %v", got.Device, err)
	}
	b.wantErr("the device of an unknown session", b.NameDevice(b.ctx, b.newBlock().CID, "x"), journal.ErrNotFound)
	other := s
	other.Expires++
	b.wantRefusal("another session with the same id", b.PutSession(b.ctx, other))
	_, err = b.Session(b.ctx, b.newBlock().CID)
	b.wantErr("unknown session", err, journal.ErrNotFound)
	_, err = b.Session(b.ctx, provenance.Link{})
	b.wantErr("undefined session", err, journal.ErrNotFound)
	b.wantRefusal("a session without id", b.PutSession(b.ctx, journal.Session{}))
}

func testLists(t *testing.T, b *bench) {
	var runs, unfinished []provenance.Link
	var sessions []provenance.Link
	for i := range 6 {
		s := journal.Session{ID: b.newBlock().CID, Account: alice, Opened: start + int64(i/2), Expires: start + 3600_000,
			Message: []byte("m"), Sig: []byte("s")}
		if i%3 == 2 {
			s.Account = bob
		}
		b.must(b.PutSession(b.ctx, s))
		c := b.newOpening(s)
		c.At = s.Opened
		if i == 1 {
			c.Status = "answered"
		} else {
			unfinished = append(unfinished, c.Run)
		}
		b.must(b.Commit(b.ctx, c))
		runs = append([]provenance.Link{c.Run}, runs...)
		sessions = append([]provenance.Link{s.ID}, sessions...)
	}
	list := func(account common.Address, limit int) (ids []provenance.Link) {
		infos, err := b.Runs(b.ctx, account, limit)
		b.must(err)
		for _, r := range infos {
			ids = append(ids, r.ID)
		}
		return ids
	}
	equal := func(what string, got, want []provenance.Link) {
		t.Helper()
		if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	equal("all runs", list(common.Address{}, 100), runs)
	equal("the two newest", list(common.Address{}, 2), runs[:2])
	equal("none", list(common.Address{}, 0), nil)
	equal("less than none", list(common.Address{}, -1), nil)
	equal("runs of bob", list(bob, 100), []provenance.Link{runs[0], runs[3]})
	equal("runs of nobody", list(common.HexToAddress("0x01"), 100), nil)
	before := func(account common.Address, run provenance.Link, limit int) (ids []provenance.Link) {
		infos, err := b.RunsBefore(b.ctx, account, run, limit)
		b.must(err)
		for _, r := range infos {
			ids = append(ids, r.ID)
		}
		return ids
	}
	for i := range runs { // two of them were opened in the same millisecond
		equal("the runs before one", before(common.Address{}, runs[i], 100), runs[i+1:])
	}
	equal("the two before one", before(common.Address{}, runs[1], 2), runs[2:4])
	equal("runs of bob before one of alice", before(bob, runs[1], 100), []provenance.Link{runs[3]})
	if _, err := b.RunsBefore(b.ctx, bob, sessions[0], 1); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("runs before no run: got %v", err)
	}
	got, err := b.OpenRuns(b.ctx)
	b.must(err)
	equal("unfinished", got, unfinished)

	all, err := b.Sessions(b.ctx, common.Address{}, math.MaxInt64)
	b.must(err)
	var ids []provenance.Link
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	equal("all sessions", ids, sessions)
	ofBob, err := b.Sessions(b.ctx, bob, math.MaxInt64)
	b.must(err)
	if len(ofBob) != 2 || ofBob[0].Account != bob {
		t.Errorf("sessions of bob: got %v", ofBob)
	}
	early, err := b.Sessions(b.ctx, common.Address{}, start)
	b.must(err)
	if len(early) != 2 || early[0].ID != sessions[4] || early[1].ID != sessions[5] {
		t.Errorf("sessions that were opened at the start or before: got %v", early)
	}

	// Open are those that are neither revoked nor over.
	b.must(b.RevokeSession(b.ctx, sessions[1], start+10, b.newBlock().CID))
	short := journal.Session{ID: b.newBlock().CID, Account: bob, Opened: start + 2, Expires: start + 100,
		Message: []byte("m"), Sig: []byte("s")}
	b.must(b.PutSession(b.ctx, short))
	open := func(at, until int64) (ids []provenance.Link) {
		all, err := b.OpenSessions(b.ctx, at, until)
		b.must(err)
		for _, s := range all {
			ids = append(ids, s.ID)
		}
		return ids
	}
	unrevoked := slices.Concat(sessions[:1], sessions[2:])
	equal("open before the short one is over", open(start+99, math.MaxInt64),
		append([]provenance.Link{short.ID}, unrevoked...))
	equal("open when the short one is over", open(start+100, math.MaxInt64), unrevoked)
	equal("open of those that were opened early", open(start+100, start), sessions[4:])
	equal("open when all are over", open(start+3600_000, math.MaxInt64), nil)
	// However many have come and gone since, a page has those that are open.
	many := journal.MaxSessions + 1
	if testing.Short() {
		many = 3
	}
	gone := make(chan journal.Session, many)
	for range many {
		gone <- journal.Session{ID: b.newBlock().CID, Account: alice, Opened: start + 3, Expires: start + 4,
			Message: []byte("m"), Sig: []byte("s")}
	}
	close(gone)
	var wg sync.WaitGroup
	for range 64 { // commits at once are one write
		wg.Go(func() {
			for s := range gone {
				if err := b.PutSession(b.ctx, s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	equal("open behind many that are over", open(start+100, math.MaxInt64), unrevoked)
}

func testRevoke(t *testing.T, b *bench) {
	s := b.newSession(alice)
	b.wantRefusal("a revocation without time", b.RevokeSession(b.ctx, s.ID, 0, b.newBlock().CID))
	by := b.newBlock().CID
	b.wantRefusal("a revocation without record", b.RevokeSession(b.ctx, s.ID, start, provenance.Link{}))
	b.must(b.RevokeSession(b.ctx, s.ID, start+5, by))
	b.must(b.RevokeSession(b.ctx, s.ID, start+9, b.newBlock().CID))
	got, err := b.Session(b.ctx, s.ID)
	b.must(err)
	if got.Revoked != start+5 || got.Revocation != by {
		t.Errorf("revoked: got %d, want %d", got.Revoked, start+5)
	}
	b.must(b.PutSession(b.ctx, s)) // the same session as it was opened; it stays revoked
	got, err = b.Session(b.ctx, s.ID)
	b.must(err)
	if got.Revoked != start+5 {
		t.Errorf("revoked, and stored again: got %d, want %d", got.Revoked, start+5)
	}
	b.wantErr("unknown session", b.RevokeSession(b.ctx, b.newBlock().CID, start, b.newBlock().CID), journal.ErrNotFound)
}

// testRevokeDelegation ends delegations one by one.
func testRevokeDelegation(t *testing.T, b *bench) {
	s := b.newSession(alice)
	outer, inner, other, by := b.newBlock().CID, b.newBlock().CID, b.newBlock().CID, b.newBlock().CID
	b.wantRefusal("a revocation without time", b.RevokeDelegation(b.ctx, outer, 0, by))
	b.wantRefusal("a revocation without record", b.RevokeDelegation(b.ctx, outer, start, provenance.Link{}))
	if got, at, err := b.RevokedDelegation(b.ctx, []provenance.Link{outer,
		inner}); err != nil || got.Defined() || at != 0 {
		t.Errorf("before: %s at %d, %v", got, at, err)
	}
	b.must(b.RevokeDelegation(b.ctx, outer, start+5, by))
	b.must(b.RevokeDelegation(b.ctx, outer, start+9, b.newBlock().CID)) // the first one stands
	if got, at, err := b.RevokedDelegation(b.ctx, []provenance.Link{inner,
		outer}); err != nil || got != by || at != start+5 {
		t.Errorf("after: %s at %d, %v; want %s at %d", got, at, err, by, int64(start+5))
	}
	spend := func(under ...provenance.Link) error {
		c := b.openRun(s)
		c.Under = under
		c.Reserve = []journal.Reservation{{Ledger: "x", Ref: provenance.Ref{Seq: c.Seq}, Amount: money.Of(usdc, 1),
			Cap: money.Of(usdc, 1<<40)}}
		return b.Commit(b.ctx, c)
	}
	b.wantErr("under the revoked one", spend(outer), journal.ErrStale)
	b.wantErr("under one that comes from it", spend(outer, inner), journal.ErrStale)
	b.wantErr("under another", spend(other), nil)
	b.wantErr("under none", spend(), nil)
	idle := b.openRun(s)
	idle.Under = []provenance.Link{outer}
	b.wantErr("without a reservation", b.Commit(b.ctx, idle), nil)
	five := b.openRun(s)
	five.Under = []provenance.Link{other, other, other, other, other}
	b.wantRefusal("five delegations", b.Commit(b.ctx, five))
	if got, err := b.Session(b.ctx, s.ID); err != nil || got.Revoked != 0 {
		t.Errorf("the session was revoked at %d, %v", got.Revoked, err)
	}
}

// testUse: a session that is not used for too long is over for its key, by the store's clock, and a use carries it no
// further than its time.
func testUse(t *testing.T, b *bench) {
	const idle = 16 * time.Minute
	s := b.newSession(alice)
	use := func(after time.Duration, want error) {
		t.Helper()
		b.now.Store(start + after.Milliseconds())
		got, err := b.UseSession(b.ctx, s.ID, idle)
		b.wantErr(fmt.Sprintf("used after %s", after), err, want)
		if age := start + after.Milliseconds() - got.Used; want == nil && (age < 0 || age >= idle.Milliseconds()/16) {
			t.Errorf("used after %s: noted %d ms before", after, age)
		}
	}
	use(0, nil)
	use(59*time.Second, nil)
	use(15*time.Minute, nil)
	use(15*time.Minute+30*time.Second, nil) // not written down: it is less than a sixteenth
	use(31*time.Minute-time.Millisecond, nil)
	use(47*time.Minute-time.Millisecond, journal.ErrIdle)
	use(46*time.Minute, nil)
	use(59*time.Minute, nil)
	use(time.Hour, journal.ErrStale)
	other := b.newSession(bob)
	b.now.Store(start + idle.Milliseconds())
	if _, err := b.UseSession(b.ctx, other.ID, idle); err != nil {
		t.Errorf("a session just stored: %v", err)
	}
	b.must(b.RevokeSession(b.ctx, other.ID, start+1, b.newBlock().CID))
	_, err := b.UseSession(b.ctx, other.ID, idle)
	b.wantErr("a revoked session", err, journal.ErrStale)
	_, err = b.UseSession(b.ctx, b.newBlock().CID, idle)
	b.wantErr("an unknown session", err, journal.ErrNotFound)
}

// testClockSetBack: times that were noted before the clock was set back count for nothing. A session from after now is
// refused, for its key and for what it would reserve; a use from after now does not keep one alive; a sign-in message
// from after now takes no room.
func testClockSetBack(t *testing.T, b *bench) {
	const ahead, idle = 10 * 24 * 3600_000, 16 * time.Minute
	old := b.newSession(alice)
	b.now.Add(ahead)
	later := journal.Session{ID: b.newBlock().CID, Account: bob, Key: "k", Agent: "a", Opened: b.now.Load(),
		Expires: b.now.Load() + 3600_000, Message: []byte("m"), Sig: []byte("s")}
	b.must(b.PutSession(b.ctx, later))
	c := b.openRun(later)
	b.must(b.PutNonce(b.ctx, "from after now", nil, b.clock().Add(time.Minute)))
	long := b.newSession(alice) // used from after now on
	reserve := []journal.Reservation{{Ledger: "l", Amount: money.Of(usdc, 1), Cap: money.Of(usdc, 100)}}

	b.now.Store(start + 60_000)
	_, err := b.UseSession(b.ctx, later.ID, idle)
	b.wantErr("a session from after now", err, journal.ErrEarly)
	b.wantErr("which is one that acts no more", err, journal.ErrStale)
	c.At, c.Reserve = later.Opened+1, reserve
	b.wantErr("a reservation of a run from after now", b.Commit(b.ctx, c), journal.ErrEarly)
	if _, err := b.UseSession(b.ctx, old.ID, idle); err != nil {
		t.Errorf("a session from before: %v", err)
	}
	if s, err := b.UseSession(b.ctx, long.ID, idle); err != nil || s.Used != start+60_000 {
		t.Errorf("a use from after now was noted as %d, %v; want %d", s.Used, err, start+60_000)
	}
	b.now.Store(start + 60_000 + idle.Milliseconds())
	_, err = b.UseSession(b.ctx, long.ID, idle)
	b.wantErr("not used since", err, journal.ErrIdle)
	b.must(b.PutNonce(b.ctx, "another", nil, b.clock().Add(time.Minute)))
	if _, err := b.TakeNonce(b.ctx, "from after now", b.clock()); !errors.Is(err, auth.ErrNonce) {
		t.Errorf("a message from after now: %v, want none", err)
	}

	b.now.Store(later.Opened - 60_000) // as far as clocks differ
	if _, err := b.UseSession(b.ctx, later.ID, idle); err != nil {
		t.Errorf("a minute before it was opened: %v", err)
	}
	b.wantErr("a minute before, it reserves", b.Commit(b.ctx, c), nil)
	b.now.Store(later.Opened - 60_001)
	_, err = b.UseSession(b.ctx, later.ID, idle)
	b.wantErr("more than a minute before", err, journal.ErrEarly)
}
