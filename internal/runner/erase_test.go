package runner_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// onDisk gives a bench a store that can erase.
func onDisk(t *testing.T, c *runner.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(t.TempDir(), "writ.db")), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c.Store = db
	return db
}

// hasKeys says of how many payloads of a record the key is here.
func (b *bench) hasKeys(id provenance.Link, rec provenance.Record) (n int, leaves []provenance.Link) {
	b.Helper()
	data, err := b.store.Block(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	if err := provenance.Decode(data, rec); err != nil {
		b.Fatal(err)
	}
	for _, l := range provenance.Links(rec) {
		if l.Prefix().Codec != 0x55 {
			continue
		}
		leaves = append(leaves, l)
		if _, err := b.store.LeafKey(b.Context(), l); err == nil {
			n++
		} else if !errors.Is(err, journal.ErrNotFound) {
			b.Fatal(err)
		}
	}
	return n, leaves
}

// What ends one run ends others too, and so does what permits it: the hold on one keeps what it shares with the rest.
func TestARunUnderAHoldKeepsWhatItShares(t *testing.T) {
	var db *store.DB
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")},
		func(c *runner.Config) { db = onDisk(t, c) })
	held, other := b.start("pay bob"), b.start("pay bob again")
	b.until(held, "parked")
	b.until(other, "parked")
	second := b.user
	second.nonce, second.seq = "another123456789", 0
	if err := second.signIn(t.Context(), b.r); err != nil {
		t.Fatal(err)
	}
	if second.session.ID == b.session.ID {
		t.Fatal("one session")
	}
	q := runner.RevokeRequest{Session: b.session.ID, Method: provenance.RevokedSession, Frame: auth.Frame{
		Session: second.session.ID, Channel: [32]byte{1}, Seq: 1, Method: wire.SessionRevoke,
		Params: fmt.Appendf(nil, `{"session":%q,"reason":"enough"}`, b.session.ID),
	}}
	q.Message = q.Frame.Params
	var err error
	if q.Sig, err = second.key.SignFrame(q.Frame); err != nil {
		t.Fatal(err)
	}
	first := b.user
	b.user = second
	elsewhere := b.start("pay bob from here") // a run of the session whose key ends the other
	b.until(elsewhere, "parked")
	if err := b.r.Cancel(t.Context(), elsewhere); err != nil {
		t.Fatal(err)
	}
	b.until(elsewhere, provenance.CloseCancelled)
	b.user = first
	if err := b.r.Revoke(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	b.until(held, provenance.CloseRevoked)
	b.until(other, provenance.CloseRevoked)
	s, err := b.r.Session(t.Context(), b.session.ID)
	if err != nil {
		t.Fatal(err)
	}
	hold, err := db.AddHold(t.Context(), journal.Hold{Run: held, By: "counsel", Why: "case 17"})
	if err != nil {
		t.Fatal(err)
	}
	before, err := b.r.Keys(t.Context(), held)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := archive.Sweep(t.Context(), db, b.config.Key, archive.RetentionFloor, clockAt(after(185*days)), slog.New(slog.DiscardHandler))
	if err != nil || sum.Runs != 2 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if leaves, n := b.erasedOf(other); n != 1 || leaves.Erased == 0 {
		t.Errorf("the run that is not held: %v, %d erasures", leaves, n)
	}
	if keys, err := b.r.Keys(t.Context(), held); err != nil || len(keys) != len(before) {
		t.Errorf("of the run under a hold %d of %d keys are left, %v", len(keys), len(before), err)
	}
	shared := []struct {
		id  provenance.Link
		rec provenance.Record
	}{{b.session.ID, &provenance.Grant{}}, {s.Revocation, &provenance.Revocation{}}, {second.session.ID, &provenance.Grant{}}}
	for i, x := range shared {
		if n, _ := b.hasKeys(x.id, x.rec); n != 2 {
			t.Errorf("%T %d: %d keys are left, want 2", x.rec, i, n)
		}
	}
	byName := func(run provenance.Link, i int) error {
		_, leaves := b.hasKeys(shared[i].id, shared[i].rec)
		_, _, err := archive.Erase(t.Context(), db, b.config.Key, archive.EraseRequest{
			Run: run, Leaves: leaves, Now: clockAt(after(185 * days)), Why: "asked for",
		})
		return err
	}
	for i := range 2 {
		if err := byName(other, i); !errors.Is(err, journal.ErrShared) {
			t.Errorf("%T by name, while another run of it is under a hold: %v", shared[i].rec, err)
		}
	}
	if err := byName(other, 2); !errors.Is(err, archive.ErrNoLeaf) {
		t.Errorf("by name, the permission of the session that has ended this one: %v", err)
	}
	if err := byName(elsewhere, 2); !errors.Is(err, journal.ErrShared) {
		t.Errorf("the permission of the key that has ended a run under a hold, by name: %v", err)
	}
	if err := db.RemoveHold(t.Context(), hold.ID, "counsel", "settled"); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := byName(other, i); err != nil {
			t.Errorf("%T by name, when nobody needs it: %v", shared[i].rec, err)
		}
		if n, _ := b.hasKeys(shared[i].id, shared[i].rec); n != 0 {
			t.Errorf("%T: %d keys are left", shared[i].rec, n)
		}
	}
}

// A permission is not erased by name while a run of its session is open; and a hold on a wallet is on runs that start later.
func TestAnOpenRunKeepsItsPermission(t *testing.T) {
	var db *store.DB
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")},
		func(c *runner.Config) { db = onDisk(t, c) })
	run, open := b.start("pay bob"), b.start("pay bob again")
	b.until(open, "parked")
	b.until(run, "parked")
	if err := b.r.Cancel(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	b.until(run, provenance.CloseCancelled)
	_, leaves := b.hasKeys(b.session.ID, &provenance.Grant{})
	erase := func(run provenance.Link, leaves ...provenance.Link) error {
		_, _, err := archive.Erase(t.Context(), db, b.config.Key, archive.EraseRequest{
			Run: run, Leaves: leaves, Now: clockAt(after(days)), Early: true, Why: "asked for",
		})
		return err
	}
	if err := erase(run, leaves...); !errors.Is(err, journal.ErrShared) {
		t.Errorf("while another run of the session is open: %v", err)
	}
	if _, err := db.AddHold(t.Context(), journal.Hold{Wallet: b.wallet.Address(), By: "counsel", Why: "case 17"}); err != nil {
		t.Fatal(err)
	}
	later := b.start("pay bob later")
	b.until(later, "parked")
	if err := b.r.Cancel(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	b.until(later, provenance.CloseCancelled)
	if err := erase(later); !errors.Is(err, journal.ErrOnHold) {
		t.Errorf("a run that began after its wallet was put under a hold: %v", err)
	}
}

// A head says the time at which it was made, however long the sweep before it took.
func TestAnErasureHasItsOwnTime(t *testing.T) {
	b, db, boss, payer, _ := kept(t)
	now := after(185 * days)
	clock := func() time.Time { now += time.Minute.Milliseconds(); return time.UnixMilli(now) }
	if _, err := archive.Sweep(t.Context(), db, b.config.Key, archive.RetentionFloor, clock, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	var at []int64
	for _, run := range []provenance.Link{boss, payer} {
		var head provenance.Head
		b.hasKeys(b.info(run).Head, &head)
		at = append(at, head.At)
	}
	if at[0] <= after(185*days) || at[1] <= at[0] || at[1] > now {
		t.Errorf("heads of a sweep that began at %d and ended at %d say %v", after(185*days), now, at)
	}
}

// What was recorded of a contract wallet at its sign-in is not erased with a run of it. Where it was erased by name,
// there is nothing to compare the wallet with, and after a restart its session moves no value.
func TestAContractWalletWithoutItsRecordMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &oracle{verdict: auth.Accepted}
		var db *store.DB
		b := openWith(t, paying, func(cfg *runner.Config) {
			bubbled(cfg)
			cfg.Contracts, c.now = c, cfg.Now
			db = onDisk(t, cfg)
		})
		u := b.signInAs(theContract, 1337)
		run := b.startFor(&u, "pay")
		b.until(run, provenance.CloseAnswered)
		var g provenance.Grant
		b.hasKeys(u.session.ID, &g)
		erase := func(leaves ...provenance.Link) {
			t.Helper()
			_, _, err := archive.Erase(t.Context(), db, b.config.Key, archive.EraseRequest{
				Run: run, Leaves: leaves, Now: b.config.Now, Early: true, Why: "asked for",
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		erase()
		n, leaves := b.hasKeys(g.Verification, &provenance.Verification{})
		if n != 1 {
			t.Fatal("the record of the sign-in went with a run")
		}
		erase(leaves...)
		b.r.Close()
		b.restart()
		b.ended(b.startFor(&u, "pay again"))
		c.say(func() { c.owners++ })
		b.ended(b.startFor(&u, "and again"))
		if n := b.paid.Load(); n != 1 {
			t.Errorf("paid %d times, want once: before the restart", n)
		}
	})
}
