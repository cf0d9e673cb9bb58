// Package storetest is the suite that every agent.Store passes: each method, each error in its stated order, and what
// must hold when a thousand callers come at once.
package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A Store is what the suite tests.
type Store interface {
	agent.Store
	auth.Nonces
	io.Closer
	// EraseLeaf deletes the key of a sealed leaf.
	EraseLeaf(ctx context.Context, c provenance.Link) error
}

// A Config says how to get a store.
type Config struct {
	// Open opens the store that path names, or makes it, with now as the clock of its leases.
	Open func(t testing.TB, path string, now func() time.Time) Store
	// Volatile says that nothing is left of the store once it is closed.
	Volatile bool
}

// Run runs the suite.
func Run(t *testing.T, c Config) {
	for _, test := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"a block comes back with its bytes", testBlocks},
		{"an erased leaf has no key", testErase},
		{"leaves that end with their run end with it", testFleeting},
		{"an erasure is of a closed run, and whole", testErasure},
		{"a session is stored once", testSessions},
		{"sessions and runs are listed newest first", testLists},
		{"a revocation keeps its first time", testRevoke},
		{"a run grows step by step", testRun},
		{"a commit is checked in the stated order", testOrder},
		{"a refused commit leaves nothing", testAtomic},
		{"a commit that is not well-formed is refused", testMalformed},
		{"one idempotency key opens one run", testByKey},
		{"a newest head is to be pushed until that is noted", testPushed},
		{"a lease has one owner, and an old fence is shut out", testClaim},
		{"ledgers add up to the last unit of 256 bits", testLedger},
		{"what one step frees it may reserve", testSettleFirst},
		{"a transaction nonce is used once", testTxNonce},
		{"heads have their places in the log in the order of commits", testLog},
		{"of 64 commits at once each head has a place of its own", testLogRace},
		{"a sign-in nonce is taken once", testNonce},
		{"of 1,000 callers one gets the nonce", testNonceRace},
		{"of 1,000 reservations 10 fit a cap worth 10", testCapRace},
		{"each window and each recipient has a ledger of its own", testWindows},
		{"of 1,000 reservations in windows as many fit as the tightest has room for", testWindowRace},
		{"of 64 commits of one step one wins", testSeqRace},
		{"no reservation commits after a revocation", testRevokeRace},
		{"a delegation ends by itself, and with what was delegated from it", testRevokeDelegation},
		{"no reservation commits under a revoked delegation", testRevokeDelegationRace},
		{"every history of a budget and a nonce is that of one caller at a time", testLinear},
		{"a session that is not used ends", testUse},
		{"what ends before its turn leaves nothing", testCancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.Store = c.Open(t, filepath.Join(t.TempDir(), "writ.db"), b.clock)
			t.Cleanup(func() {
				if err := b.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test.test(t, b)
		})
	}
	if !c.Volatile {
		t.Run("everything is there after closing and opening", func(t *testing.T) { testReopen(t, c) })
	}
}

// A bench is a store with the things that tests are made of.
type bench struct {
	Store
	t   testing.TB
	ctx context.Context
	now atomic.Int64 // ms UTC, the store's clock
	n   atomic.Int64 // makes blocks differ
}

const start = 1_800_000_000_000 // ms UTC

var (
	usdc  = money.Asset{Symbol: "USDC", Decimals: 6}
	eth   = money.Asset{Symbol: "ETH", Decimals: 18}
	alice = common.HexToAddress("0xa11ce00000000000000000000000000000000001")
	bob   = common.HexToAddress("0xb0b0000000000000000000000000000000000002")
)

func newBench(t testing.TB) *bench {
	b := &bench{t: t, ctx: t.Context()}
	b.now.Store(start)
	return b
}

func (b *bench) clock() time.Time { return time.UnixMilli(b.now.Load()) }

// block returns a block that no other is equal to.
func (b *bench) block() provenance.Block {
	data := fmt.Appendf([]byte{0x78}, "%s %d", b.t.Name(), b.n.Add(1))
	return provenance.Block{CID: provenance.Sum(cid.DagCBOR, data), Data: data}
}

// session stores a new session of the account that lasts for an hour.
func (b *bench) session(account common.Address) agent.Session {
	b.t.Helper()
	s := agent.Session{
		ID: b.block().CID, Account: account, Chain: 31337, Method: "eip1271", Key: "did:key:z6Mk", Agent: "treasurer",
		Opened: start, Expires: start + 3600_000, Message: []byte("example.com wants you"), Sig: []byte{1, 2, 3},
		Used: b.now.Load(),
	}
	b.must(b.PutSession(b.ctx, s))
	return s
}

// opening returns the first commit of a new run.
func (b *bench) opening(s agent.Session) agent.Commit {
	run := b.block()
	return agent.Commit{
		Run: run.CID, Fence: 1, At: start, Step: b.block(), Blocks: []provenance.Block{run}, Status: "running",
		Open: &agent.Opening{Session: s.ID, Account: s.Account, Agent: s.Agent, Owner: "node 1", Until: start + 10_000},
	}
}

// run opens a run and returns its next commit.
func (b *bench) run(s agent.Session) agent.Commit {
	b.t.Helper()
	c := b.opening(s)
	b.must(b.Commit(b.ctx, c))
	return b.next(c)
}

// next returns the commit after c, which reserves and settles nothing.
func (b *bench) next(c agent.Commit) agent.Commit {
	return agent.Commit{Run: c.Run, Fence: c.Fence, Seq: c.Seq + 1, At: c.At + 1, Step: b.block(), Status: "running", Under: c.Under}
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) wants(what string, got, want error) {
	b.t.Helper()
	if want == nil && got != nil || !errors.Is(got, want) {
		b.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// refused wants an error that asks nobody to decide again.
func (b *bench) refused(what string, err error) {
	b.t.Helper()
	for _, e := range []error{agent.ErrFull, agent.ErrBudget, agent.ErrStale, agent.ErrSeq, agent.ErrNonceUsed} {
		if err == nil || errors.Is(err, e) {
			b.t.Errorf("%s: got %v, want a refusal for good", what, err)
			return
		}
	}
}

func (b *bench) ledger(key string) agent.Ledger {
	b.t.Helper()
	l, err := b.Ledgers(b.ctx, []string{key})
	b.must(err)
	if len(l) != 1 || l[0].Key != key {
		b.t.Fatalf("ledgers: got %v", l)
	}
	return l[0]
}

func (b *bench) wantLedger(key string, spent, reserved money.Amount) {
	b.t.Helper()
	if l := b.ledger(key); l.Spent != spent || l.Reserved != reserved {
		b.t.Errorf("ledger %s: got %s spent and %s reserved, want %s and %s", key, l.Spent, l.Reserved, spent, reserved)
	}
}

func (b *bench) wantSteps(run provenance.Link, from uint64, limit int, want ...provenance.Block) {
	b.t.Helper()
	got, err := b.Steps(b.ctx, run, from, limit)
	b.must(err)
	if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		b.t.Errorf("steps from %d, at most %d: got %d, want %d", from, limit, len(got), len(want))
	}
}

func testBlocks(t *testing.T, b *bench) {
	one, two := b.block(), provenance.NewRaw([]byte("raw"))
	empty := provenance.NewRaw([]byte{})
	b.must(b.PutBlocks(b.ctx, []provenance.Block{one, two, empty}, nil))
	b.must(b.PutBlocks(b.ctx, []provenance.Block{one}, nil))
	for _, want := range []provenance.Block{one, two, empty} {
		got, err := b.Block(b.ctx, want.CID)
		b.must(err)
		if string(got) != string(want.Data) {
			t.Errorf("block %s: got %q, want %q", want.CID, got, want.Data)
		}
	}
	_, err := b.Block(b.ctx, b.block().CID)
	b.wants("unknown block", err, agent.ErrNotFound)
	b.wants("unknown block, to a reader of records", err, provenance.ErrAbsent)
	_, err = b.Block(b.ctx, provenance.Link{})
	b.wants("undefined link", err, agent.ErrNotFound)
	_, err = b.Block(b.ctx, provenance.Sum(cid.Raw, one.Data))
	b.wants("the same hash under another codec", err, agent.ErrNotFound)
	b.refused("wrong hash", b.PutBlocks(b.ctx, []provenance.Block{{CID: one.CID, Data: []byte("other")}}, nil))
	b.refused("no CID", b.PutBlocks(b.ctx, []provenance.Block{{Data: []byte("other")}}, nil))
	b.refused("too large", b.PutBlocks(b.ctx, []provenance.Block{provenance.NewRaw(make([]byte, provenance.MaxBlock+1))}, nil))

	e1, err := b.Epoch(b.ctx)
	b.must(err)
	e2, err := b.Epoch(b.ctx)
	b.must(err)
	if e1 == "" || e1 != e2 {
		t.Errorf("epoch: got %q, then %q", e1, e2)
	}
}

func testErase(t *testing.T, b *bench) {
	leaf := provenance.Leaf{CID: provenance.NewRaw([]byte("sealed")).CID, Key: provenance.LeafKey{1, 2, 3}}
	b.must(b.PutBlocks(b.ctx, []provenance.Block{provenance.NewRaw([]byte("sealed"))}, []provenance.Leaf{leaf}))
	k, err := b.LeafKey(b.ctx, leaf.CID)
	b.must(err)
	if k != leaf.Key {
		t.Error("the leaf has another key")
	}
	b.must(b.EraseLeaf(b.ctx, leaf.CID))
	b.must(b.EraseLeaf(b.ctx, leaf.CID))
	_, err = b.LeafKey(b.ctx, leaf.CID)
	b.wants("erased leaf", err, agent.ErrNotFound)
	_, err = b.Block(b.ctx, leaf.CID)
	b.wants("its ciphertext", err, nil)
}

func testFleeting(t *testing.T, b *bench) {
	c, other := b.run(b.session(alice)), b.run(b.session(bob))
	lasting, ends, held, kept := provenance.NewRaw([]byte("lasts")), provenance.NewRaw([]byte("ends")),
		provenance.NewRaw([]byte("held")), provenance.NewRaw([]byte("another run's"))
	key := provenance.LeafKey{1}
	c.Blocks = []provenance.Block{lasting, ends}
	c.Leaves = []provenance.Leaf{{CID: lasting.CID, Key: key}, {CID: ends.CID, Key: key, Ends: true},
		{CID: held.CID, Key: key, Ends: true, Held: held.Data}}
	b.must(b.Commit(b.ctx, c))
	other.Leaves = []provenance.Leaf{{CID: kept.CID, Key: key, Ends: true, Held: kept.Data}}
	b.must(b.Commit(b.ctx, other))
	look := func(l provenance.Block, block, heldBack, keyed error) {
		t.Helper()
		_, err := b.Block(b.ctx, l.CID)
		b.wants("block of the leaf that is "+string(l.Data), err, block)
		data, err := b.Held(b.ctx, l.CID)
		b.wants("what is held of the leaf that is "+string(l.Data), err, heldBack)
		if err == nil && string(data) != string(l.Data) {
			t.Errorf("held bytes %q, want %q", data, l.Data)
		}
		_, err = b.LeafKey(b.ctx, l.CID)
		b.wants("key of the leaf that is "+string(l.Data), err, keyed)
	}
	look(lasting, nil, agent.ErrNotFound, nil)
	look(ends, nil, agent.ErrNotFound, nil)
	look(held, provenance.ErrWithheld, nil, nil)
	c = b.next(c)
	c.Status = "answered"
	b.must(b.Commit(b.ctx, c))
	look(lasting, nil, agent.ErrNotFound, nil)
	look(ends, nil, agent.ErrNotFound, agent.ErrNotFound)
	look(held, provenance.ErrWithheld, agent.ErrNotFound, agent.ErrNotFound)
	look(kept, provenance.ErrWithheld, nil, nil)
	b.refused("a leaf that ends with a run that there is not", b.PutBlocks(b.ctx, nil, []provenance.Leaf{{CID: ends.CID, Key: key, Ends: true}}))
	other = b.next(other)
	other.Leaves = []provenance.Leaf{{CID: ends.CID, Key: key, Ends: true, Held: []byte("other bytes")}}
	b.refused("held bytes of another leaf", b.Commit(b.ctx, other))
	other.Leaves = []provenance.Leaf{{CID: held.CID, Key: key, Held: held.Data}}
	b.refused("a held leaf that stays", b.Commit(b.ctx, other))
}

func testErasure(t *testing.T, b *bench) {
	db, ok := b.Store.(agent.Eraser)
	if !ok {
		t.Skip("this store has no erasures")
	}
	s := b.session(alice)
	c := b.run(s)
	leaf, head := provenance.NewRaw([]byte("sealed")), b.block()
	c.Blocks, c.Leaves, c.Head = []provenance.Block{leaf}, []provenance.Leaf{{CID: leaf.CID, Key: provenance.LeafKey{1}}}, &head
	b.must(b.Commit(b.ctx, c))
	e := agent.Erasure{Run: c.Run, Old: head.CID, Head: b.block(), Record: b.block(), Leaves: []provenance.Link{leaf.CID}}
	b.wants("a run that is not closed", db.Erase(b.ctx, e), agent.ErrConflict)
	c = b.next(c)
	c.Status = "answered"
	b.must(b.Commit(b.ctx, c))
	wrong := e
	wrong.Old = e.Head.CID
	b.wants("another head", db.Erase(b.ctx, wrong), agent.ErrConflict)
	if _, err := b.LeafKey(b.ctx, leaf.CID); err != nil {
		t.Errorf("a refused erasure took the key: %v", err)
	}
	sibling := b.run(s)
	b.must(b.Commit(b.ctx, sibling))
	e.Shared = true
	b.wants("what an open run of the session shares", db.Erase(b.ctx, e), agent.ErrShared)
	if info, err := b.Run(b.ctx, c.Run); err != nil || info.Head != head.CID {
		t.Errorf("a refused erasure moved the head to %v, %v", info.Head, err)
	}
	sibling = b.next(sibling)
	sibling.Status = "answered"
	b.must(b.Commit(b.ctx, sibling))
	b.must(db.Erase(b.ctx, e))
	_, err := b.LeafKey(b.ctx, leaf.CID)
	b.wants("the key", err, agent.ErrNotFound)
	if info, err := b.Run(b.ctx, c.Run); err != nil || info.Head != e.Head.CID {
		t.Errorf("head %v, %v, want %s", info.Head, err, e.Head.CID)
	}
	for _, l := range []provenance.Link{leaf.CID, head.CID, e.Head.CID, e.Record.CID} {
		if _, err := b.Block(b.ctx, l); err != nil {
			t.Errorf("block %s: %v", l, err)
		}
	}
	b.wants("the same again", db.Erase(b.ctx, e), agent.ErrConflict)
}

func testSessions(t *testing.T, b *bench) {
	s := b.session(alice)
	b.must(b.PutSession(b.ctx, s))
	got, err := b.Session(b.ctx, s.ID)
	b.must(err)
	if !reflect.DeepEqual(got, s) {
		t.Errorf("session: got %+v, want %+v", got, s)
	}
	other := s
	other.Expires++
	b.refused("another session with the same id", b.PutSession(b.ctx, other))
	_, err = b.Session(b.ctx, b.block().CID)
	b.wants("unknown session", err, agent.ErrNotFound)
	_, err = b.Session(b.ctx, provenance.Link{})
	b.wants("undefined session", err, agent.ErrNotFound)
	b.refused("a session without id", b.PutSession(b.ctx, agent.Session{}))
}

func testLists(t *testing.T, b *bench) {
	var runs, unfinished []provenance.Link
	var sessions []provenance.Link
	for i := range 6 {
		s := agent.Session{ID: b.block().CID, Account: alice, Opened: start + int64(i/2), Expires: start + 3600_000,
			Message: []byte("m"), Sig: []byte("s")}
		if i%3 == 2 {
			s.Account = bob
		}
		b.must(b.PutSession(b.ctx, s))
		c := b.opening(s)
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
	got, err := b.Unfinished(b.ctx)
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
	b.must(b.Revoke(b.ctx, sessions[1], start+10, b.block().CID))
	short := agent.Session{ID: b.block().CID, Account: bob, Opened: start + 2, Expires: start + 100, Message: []byte("m"), Sig: []byte("s")}
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
	equal("open before the short one is over", open(start+99, math.MaxInt64), append([]provenance.Link{short.ID}, unrevoked...))
	equal("open when the short one is over", open(start+100, math.MaxInt64), unrevoked)
	equal("open of those that were opened early", open(start+100, start), sessions[4:])
	equal("open when all are over", open(start+3600_000, math.MaxInt64), nil)
	// However many have come and gone since, a page has those that are open.
	many := agent.MaxSessions + 1
	if testing.Short() {
		many = 3
	}
	gone := make(chan agent.Session, many)
	for range many {
		gone <- agent.Session{ID: b.block().CID, Account: alice, Opened: start + 3, Expires: start + 4, Message: []byte("m"), Sig: []byte("s")}
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
	s := b.session(alice)
	b.refused("a revocation without time", b.Revoke(b.ctx, s.ID, 0, b.block().CID))
	by := b.block().CID
	b.refused("a revocation without record", b.Revoke(b.ctx, s.ID, start, provenance.Link{}))
	b.must(b.Revoke(b.ctx, s.ID, start+5, by))
	b.must(b.Revoke(b.ctx, s.ID, start+9, b.block().CID))
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
	b.wants("unknown session", b.Revoke(b.ctx, b.block().CID, start, b.block().CID), agent.ErrNotFound)
}

func testRun(t *testing.T, b *bench) {
	s := b.session(alice)
	c := b.opening(s)
	leaf := provenance.NewRaw([]byte("leaf of the first step"))
	c.Blocks = append(c.Blocks, leaf)
	c.Leaves = []provenance.Leaf{{CID: leaf.CID, Key: provenance.LeafKey{7}}}
	b.must(b.Commit(b.ctx, c))
	first := c.Step
	want := agent.RunInfo{ID: c.Run, Session: s.ID, Account: alice, Chain: s.Chain, Method: s.Method, Agent: "treasurer", Opened: start, Steps: 1,
		Last: first.CID, Status: "running"}
	wantRun := func() {
		t.Helper()
		if got, err := b.Run(b.ctx, c.Run); err != nil || got != want {
			t.Errorf("run: got %+v, %v, want %+v", got, err, want)
		}
	}
	wantRun()

	c = b.next(c)
	head := b.block()
	c.Head, c.Status = &head, "parked"
	b.must(b.Commit(b.ctx, c))
	second := c.Step
	want.Steps, want.Last, want.Head, want.Status = 2, second.CID, head.CID, "parked"
	wantRun()

	c = b.next(c)
	c.Status = "answered"
	b.must(b.Commit(b.ctx, c))
	third := c.Step
	want.Steps, want.Last, want.Status = 3, third.CID, "answered" // and the head stays
	wantRun()

	b.wantSteps(c.Run, 0, 100, first, second, third)
	b.wantSteps(c.Run, 1, 1, second)
	b.wantSteps(c.Run, 2, 100, third)
	b.wantSteps(c.Run, 3, 100)
	b.wantSteps(c.Run, 1<<63, 100)
	b.wantSteps(c.Run, 0, 0)
	for _, block := range []provenance.Block{first, second, third, head, leaf} {
		if got, err := b.Block(b.ctx, block.CID); err != nil || string(got) != string(block.Data) {
			t.Errorf("block of the run: got %q, %v, want %q", got, err, block.Data)
		}
	}
	if k, err := b.LeafKey(b.ctx, leaf.CID); err != nil || k != (provenance.LeafKey{7}) {
		t.Errorf("key of its leaf: %v", err)
	}
	if open, err := b.Unfinished(b.ctx); err != nil || len(open) != 0 {
		t.Errorf("unfinished: got %v, %v", open, err)
	}
	_, err := b.Run(b.ctx, b.block().CID)
	b.wants("unknown run", err, agent.ErrNotFound)
	_, err = b.Steps(b.ctx, b.block().CID, 0, 1)
	b.wants("steps of an unknown run", err, agent.ErrNotFound)
}

func testPushed(t *testing.T, b *bench) {
	q, ok := b.Store.(interface {
		Unpushed(ctx context.Context, limit int) ([]store.Push, error)
		Pushed(ctx context.Context, run, head provenance.Link) error
	})
	if !ok {
		t.Skip("this store is not pushed from")
	}
	wants := func(what string, limit int, want ...store.Push) {
		t.Helper()
		if got, err := q.Unpushed(b.ctx, limit); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", what, got, err, want)
		}
	}
	s := b.session(alice)
	c, other := b.run(s), b.run(s)
	wants("runs without a head", 9)
	first, second, third := b.block(), b.block(), b.block()
	c.Head = &first
	b.must(b.Commit(b.ctx, c))
	other.Head = &second
	b.must(b.Commit(b.ctx, other))
	wants("two heads", 9, store.Push{Run: c.Run, Head: first.CID}, store.Push{Run: other.Run, Head: second.CID})
	wants("no more than asked for", 1, store.Push{Run: c.Run, Head: first.CID})
	b.must(q.Pushed(b.ctx, c.Run, first.CID))
	b.must(q.Pushed(b.ctx, c.Run, first.CID))
	wants("one is pushed", 9, store.Push{Run: other.Run, Head: second.CID})
	c = b.next(c)
	c.Head = &third
	b.must(b.Commit(b.ctx, c))
	b.must(q.Pushed(b.ctx, other.Run, second.CID))
	wants("a newer head", 9, store.Push{Run: c.Run, Head: third.CID, Old: first.CID})
	b.must(q.Pushed(b.ctx, b.block().CID, first.CID)) // a run that is not there
	b.must(q.Pushed(b.ctx, c.Run, third.CID))
	wants("all is pushed", 9)
}

// testOrder breaks a commit in every way at once and mends it check by check.
func testOrder(t *testing.T, b *bench) {
	s := b.session(alice)
	other := b.run(s)
	other.Nonce = &agent.TxNonce{Account: "eip155:1:0xa", Nonce: 3}
	b.must(b.Commit(b.ctx, other))
	good := b.run(s)
	b.must(b.Revoke(b.ctx, s.ID, start+1, b.block().CID))
	fresh := b.session(alice)
	alive := b.run(fresh)

	c := good
	c.Run, c.Fence, c.Seq, c.Nonce = b.block().CID, 9, 9, other.Nonce
	c.Reserve = []agent.Reservation{{Ledger: "l", Amount: money.Of(usdc, 2), Cap: money.Of(usdc, 1)}}
	b.wants("unknown run", b.Commit(b.ctx, c), agent.ErrNotFound)
	c.Run = good.Run
	b.wants("wrong fence", b.Commit(b.ctx, c), agent.ErrFenced)
	c.Fence = good.Fence
	b.wants("wrong seq", b.Commit(b.ctx, c), agent.ErrSeq)
	c.Seq = good.Seq
	b.wants("revoked session", b.Commit(b.ctx, c), agent.ErrStale)
	c.Run = alive.Run
	c.At = fresh.Expires
	b.wants("expired session", b.Commit(b.ctx, c), agent.ErrStale)
	c.At--
	b.wants("cap", b.Commit(b.ctx, c), agent.ErrBudget)
	c.Reserve[0].Cap = money.Of(usdc, 2)
	b.wants("transaction nonce", b.Commit(b.ctx, c), agent.ErrNonceUsed)
	c.Nonce = nil
	b.wants("all is well", b.Commit(b.ctx, c), nil)
	b.wants("the same step again", b.Commit(b.ctx, c), agent.ErrSeq)

	good.At = fresh.Expires
	b.wants("a revoked session may go on as long as it reserves nothing", b.Commit(b.ctx, good), nil)

	open := b.opening(fresh)
	open.Run, open.Seq = alive.Run, 1
	b.wants("a run that is there", b.Commit(b.ctx, open), agent.ErrConflict)
	open = b.opening(fresh)
	open.Seq = 1
	b.wants("a run that opens in the middle", b.Commit(b.ctx, open), agent.ErrSeq)
	open.Seq = 0
	open.Open.Session = b.block().CID
	b.wants("a run of an unknown session", b.Commit(b.ctx, open), agent.ErrNotFound)
	open.Open.Session = s.ID
	open.Reserve = []agent.Reservation{{Ledger: "l", Amount: money.Of(usdc, 1), Cap: money.Of(usdc, 100)}}
	b.wants("an opening that reserves in a revoked session", b.Commit(b.ctx, open), agent.ErrStale)
}

func testAtomic(t *testing.T, b *bench) {
	c := b.run(b.session(alice))
	head, leaf := b.block(), b.block()
	c.Head, c.Status = &head, "answered"
	c.Blocks = []provenance.Block{leaf}
	c.Leaves = []provenance.Leaf{{CID: leaf.CID, Key: provenance.LeafKey{1}}}
	c.Reserve = []agent.Reservation{
		{Ledger: "fits", Amount: money.Of(usdc, 1), Cap: money.Of(usdc, 1)},
		{Ledger: "does not", Amount: money.Of(usdc, 2), Cap: money.Of(usdc, 1)},
	}
	c.Nonce = &agent.TxNonce{Account: "a", Nonce: 0}
	before, err := b.Run(b.ctx, c.Run)
	b.must(err)
	b.wants("over the cap", b.Commit(b.ctx, c), agent.ErrBudget)
	if after, err := b.Run(b.ctx, c.Run); err != nil || after != before {
		t.Errorf("run: got %+v, %v, want %+v", after, err, before)
	}
	for _, block := range []provenance.Block{c.Step, head, leaf} {
		_, err := b.Block(b.ctx, block.CID)
		b.wants("a block of it", err, agent.ErrNotFound)
	}
	_, err = b.LeafKey(b.ctx, leaf.CID)
	b.wants("a leaf of it", err, agent.ErrNotFound)
	b.wantLedger("fits", money.Amount{}, money.Amount{})
	if n, err := b.NextNonce(b.ctx, "a"); err != nil || n != 0 {
		t.Errorf("next nonce: got %d, %v, want 0", n, err)
	}
	open := b.opening(agent.Session{ID: b.block().CID})
	b.wants("an opening without session", b.Commit(b.ctx, open), agent.ErrNotFound)
	_, err = b.Run(b.ctx, open.Run)
	b.wants("its run", err, agent.ErrNotFound)
}

func testMalformed(t *testing.T, b *bench) {
	s := b.session(alice)
	good := b.run(s)
	for _, bad := range []struct {
		name string
		do   func(*agent.Commit)
	}{
		{"a step that does not match its CID", func(c *agent.Commit) { c.Step.Data = []byte("x") }},
		{"no step", func(c *agent.Commit) { c.Step = provenance.Block{} }},
		{"no run", func(c *agent.Commit) { c.Run = provenance.Link{} }},
		{"a leaf that does not match its CID", func(c *agent.Commit) {
			c.Blocks = []provenance.Block{{CID: c.Step.CID, Data: []byte("x")}}
		}},
		{"a head that does not match its CID", func(c *agent.Commit) { c.Head = &provenance.Block{CID: c.Step.CID} }},
		{"no status", func(c *agent.Commit) { c.Status = "" }},
		{"a reservation of no asset", func(c *agent.Commit) { c.Reserve = []agent.Reservation{{Ledger: "m"}} }},
		{"a cap in another asset", func(c *agent.Commit) {
			c.Reserve = []agent.Reservation{{Ledger: "m", Amount: money.Of(usdc, 1), Cap: money.Of(eth, 1)}}
		}},
		{"one ledger in two assets", func(c *agent.Commit) {
			c.Reserve = []agent.Reservation{
				{Ledger: "m", Amount: money.Of(usdc, 1), Cap: money.Of(usdc, 9)},
				{Ledger: "m", Amount: money.Of(eth, 1), Cap: money.Of(eth, 9)},
			}
		}},
		{"a settlement of what was never reserved", func(c *agent.Commit) {
			c.Settle = []agent.Settlement{{Ledger: "m", Used: money.Of(usdc, 1)}}
		}},
		{"a nonce beyond 63 bits", func(c *agent.Commit) { c.Nonce = &agent.TxNonce{Account: "a", Nonce: 1 << 63} }},
		{"too many reservations", func(c *agent.Commit) { c.Reserve = make([]agent.Reservation, 10_000) }},
	} {
		c := good
		bad.do(&c)
		b.refused(bad.name, b.Commit(b.ctx, c))
	}
	b.must(b.Commit(b.ctx, good))
}

func testByKey(t *testing.T, b *bench) {
	s, other := b.session(alice), b.session(alice)
	hash := sha256.Sum256([]byte("the request"))
	c := b.opening(s)
	c.Open.Key, c.Open.Hash = "k", hash
	_, err := b.ByKey(b.ctx, s.ID, "k", hash)
	b.wants("before", err, agent.ErrNotFound)
	b.must(b.Commit(b.ctx, c))
	run, err := b.ByKey(b.ctx, s.ID, "k", hash)
	b.must(err)
	if run != c.Run {
		t.Errorf("by key: got %s, want %s", run, c.Run)
	}
	_, err = b.ByKey(b.ctx, s.ID, "k", [32]byte{})
	b.wants("another request", err, agent.ErrConflict)
	_, err = b.ByKey(b.ctx, s.ID, "", hash)
	b.wants("another key", err, agent.ErrNotFound)
	_, err = b.ByKey(b.ctx, other.ID, "k", hash)
	b.wants("another session", err, agent.ErrNotFound)

	again := b.opening(s)
	again.Open.Key = "k"
	b.wants("a second run with the key", b.Commit(b.ctx, again), agent.ErrConflict)
	again.Open.Session = other.ID
	b.wants("a run with the key in another session", b.Commit(b.ctx, again), nil)
	b.run(s)
	b.run(s) // without a key there may be many

	var opened atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			c := b.opening(s)
			c.Open.Key = "race"
			switch err := b.Commit(b.ctx, c); {
			case err == nil:
				opened.Add(1)
			case !errors.Is(err, agent.ErrConflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if opened.Load() != 1 {
		t.Errorf("%d runs were opened with one key", opened.Load())
	}
}

func testClaim(t *testing.T, b *bench) {
	c := b.run(b.session(alice)) // node 1 until start + 10 s
	claim := func(owner string, until int64) uint64 {
		t.Helper()
		fence, err := b.Claim(b.ctx, c.Run, owner, until)
		b.must(err)
		return fence
	}
	_, err := b.Claim(b.ctx, c.Run, "node 2", start+20_000)
	b.wants("while the lease runs", err, agent.ErrFenced)
	if f := claim("node 1", start+15_000); f != 1 {
		t.Errorf("renewed: got fence %d, want 1", f)
	}
	b.must(b.Commit(b.ctx, c))
	c = b.next(c)

	b.now.Store(start + 14_999)
	_, err = b.Claim(b.ctx, c.Run, "node 2", start+20_000)
	b.wants("just before the lease runs out", err, agent.ErrFenced)
	b.now.Store(start + 15_000)
	if f := claim("node 2", start+20_000); f != 2 {
		t.Errorf("taken over: got fence %d, want 2", f)
	}
	b.wants("a commit of the old owner", b.Commit(b.ctx, c), agent.ErrFenced)
	_, err = b.Claim(b.ctx, c.Run, "node 1", start+30_000)
	b.wants("a claim of the old owner", err, agent.ErrFenced)
	c.Fence = 3
	b.wants("a fence that was never given", b.Commit(b.ctx, c), agent.ErrFenced)
	c.Fence = 2
	b.must(b.Commit(b.ctx, c))

	claim("node 2", start) // given up
	if f := claim("node 1", start+30_000); f != 3 {
		t.Errorf("after the lease was given up: got fence %d, want 3", f)
	}
	b.now.Store(start + 40_000)
	if f := claim("node 1", start+50_000); f != 4 {
		t.Errorf("late: got fence %d, want 4, since another may have thought it free", f)
	}
	_, err = b.Claim(b.ctx, b.block().CID, "node 1", start)
	b.wants("unknown run", err, agent.ErrNotFound)
}

func testLedger(t *testing.T, b *bench) {
	s := b.session(alice)
	c := b.run(s)
	top, err := money.FromUnits(eth, "115792089237316195423570985008687907853269984665640564039457584007913129639935")
	b.must(err)
	half, err := money.FromUnits(eth, "57896044618658097711785492504343953926634992332820282019728792003956564819968")
	b.must(err)
	rest, err := top.Sub(half)
	b.must(err)
	ref := func(i uint64) provenance.Ref { return provenance.Ref{Seq: 1, Index: i} }
	commit := func(reserve []agent.Reservation, settle []agent.Settlement) error {
		c.Reserve, c.Settle = reserve, settle
		err := b.Commit(b.ctx, c)
		if err == nil {
			c = b.next(c)
		}
		return err
	}
	none := money.Of(eth, 0)

	b.wantLedger("big", money.Amount{}, money.Amount{})
	b.must(commit([]agent.Reservation{{Ledger: "big", Ref: ref(0), Amount: half, Cap: top}}, nil))
	b.wants("half and half is one more than there is",
		commit([]agent.Reservation{{Ledger: "big", Ref: ref(1), Amount: half, Cap: top}}, nil), agent.ErrBudget)
	b.must(commit([]agent.Reservation{{Ledger: "big", Ref: ref(1), Amount: rest, Cap: top}}, nil))
	b.wantLedger("big", none, top)
	b.wants("one more", commit([]agent.Reservation{{Ledger: "big", Ref: ref(2), Amount: money.Of(eth, 1), Cap: top}}, nil),
		agent.ErrBudget)
	b.must(commit([]agent.Reservation{{Ledger: "big", Ref: ref(2), Amount: none, Cap: top}}, nil))
	b.refused("a settlement above the reservation", commit(nil, []agent.Settlement{{Ledger: "big", Ref: ref(0), Used: top}}))
	b.refused("a settlement of another effect",
		commit(nil, []agent.Settlement{{Ledger: "big", Ref: ref(7), Used: money.Of(eth, 1)}}))
	b.must(commit(nil, []agent.Settlement{{Ledger: "big", Ref: ref(0), Used: half}}))
	b.wantLedger("big", half, rest)
	b.must(commit(nil, []agent.Settlement{{Ledger: "big", Ref: ref(1), Used: money.Of(eth, 1)}}))
	spent, err := half.Add(money.Of(eth, 1))
	b.must(err)
	b.wantLedger("big", spent, none)
	b.refused("a second settlement", commit(nil, []agent.Settlement{{Ledger: "big", Ref: ref(1), Used: money.Of(eth, 1)}}))
	b.must(commit(nil, []agent.Settlement{{Ledger: "big", Ref: ref(1), Used: none}})) // nothing of nothing

	// Two reservations of one effect in one ledger end together; another run's effect of the same name does not.
	two := []agent.Reservation{
		{Ledger: "usd", Ref: ref(0), Amount: money.Of(usdc, 3), Cap: money.Of(usdc, 10)},
		{Ledger: "usd", Ref: ref(0), Amount: money.Of(usdc, 4), Cap: money.Of(usdc, 10)},
	}
	b.must(commit(two, nil))
	d := b.run(s)
	d.Reserve = []agent.Reservation{{Ledger: "usd", Ref: ref(0), Amount: money.Of(usdc, 3), Cap: money.Of(usdc, 10)}}
	b.must(b.Commit(b.ctx, d))
	b.wantLedger("usd", money.Of(usdc, 0), money.Of(usdc, 10))
	b.must(commit(nil, []agent.Settlement{{Ledger: "usd", Ref: ref(0), Used: money.Of(usdc, 5)}}))
	b.wantLedger("usd", money.Of(usdc, 5), money.Of(usdc, 3))

	both, err := b.Ledgers(b.ctx, []string{"usd", "never", "big", "usd"})
	b.must(err)
	if len(both) != 4 || both[0].Key != "usd" || both[1].Key != "never" || both[2].Key != "big" || both[3] != both[0] ||
		both[2].Spent != spent || both[1] != (agent.Ledger{Key: "never"}) {
		t.Errorf("ledgers in the order of their keys: got %v", both)
	}
	if none, err := b.Ledgers(b.ctx, nil); err != nil || len(none) != 0 {
		t.Errorf("no ledgers: got %v, %v", none, err)
	}
}

func testSettleFirst(t *testing.T, b *bench) {
	c := b.run(b.session(alice))
	full := money.Of(usdc, 10)
	c.Reserve = []agent.Reservation{{Ledger: "l", Ref: provenance.Ref{Seq: 1}, Amount: full, Cap: full}}
	b.must(b.Commit(b.ctx, c))
	c = b.next(c)
	c.Settle = []agent.Settlement{{Ledger: "l", Ref: provenance.Ref{Seq: 1}, Used: money.Of(usdc, 4)}}
	c.Reserve = []agent.Reservation{{Ledger: "l", Ref: provenance.Ref{Seq: 2}, Amount: money.Of(usdc, 7), Cap: full}}
	b.wants("more than is free", b.Commit(b.ctx, c), agent.ErrBudget)
	c.Reserve[0].Amount = money.Of(usdc, 6)
	b.must(b.Commit(b.ctx, c))
	b.wantLedger("l", money.Of(usdc, 4), money.Of(usdc, 6))
}

func testTxNonce(t *testing.T, b *bench) {
	c := b.run(b.session(alice))
	next := func(account string, want uint64) {
		t.Helper()
		if n, err := b.NextNonce(b.ctx, account); err != nil || n != want {
			t.Errorf("next nonce: got %d, %v, want %d", n, err, want)
		}
	}
	next("a", 0)
	for _, n := range []uint64{0, 1, 5} {
		c.Nonce = &agent.TxNonce{Account: "a", Nonce: n}
		b.must(b.Commit(b.ctx, c))
		c = b.next(c)
		next("a", n+1) // a gap was used by someone else, and is never handed out
	}
	c.Nonce = &agent.TxNonce{Account: "a", Nonce: 1}
	b.wants("a nonce that was used", b.Commit(b.ctx, c), agent.ErrNonceUsed)
	c.Nonce.Account = "b"
	b.must(b.Commit(b.ctx, c))
	next("a", 6)
	next("b", 2)
}

func testNonce(t *testing.T, b *bench) {
	now := b.clock()
	b.must(b.PutNonce(b.ctx, "n", []byte("data"), now.Add(time.Minute)))
	b.refused("the same nonce again", b.PutNonce(b.ctx, "n", []byte("other"), now.Add(time.Minute)))
	data, err := b.TakeNonce(b.ctx, "n", now.Add(time.Minute-time.Millisecond))
	b.must(err)
	if string(data) != "data" {
		t.Errorf("data: got %q", data)
	}
	_, err = b.TakeNonce(b.ctx, "n", now)
	b.wants("a second time", err, auth.ErrNonce)
	_, err = b.TakeNonce(b.ctx, "never", now)
	b.wants("never given", err, auth.ErrNonce)
	b.must(b.PutNonce(b.ctx, "e", nil, now.Add(time.Minute)))
	_, err = b.TakeNonce(b.ctx, "e", now.Add(time.Minute))
	b.wants("expired", err, auth.ErrNonce)
	_, err = b.TakeNonce(b.ctx, "e", now)
	b.wants("expired, and asked for by a clock that is behind", err, auth.ErrNonce)
	b.refused("no nonce", b.PutNonce(b.ctx, "", nil, now))
	b.now.Add(2 * time.Hour.Milliseconds())
	b.must(b.PutNonce(b.ctx, "f", nil, b.clock().Add(time.Minute)))
}

func testNonceRace(t *testing.T, b *bench) {
	b.must(b.PutNonce(b.ctx, "n", []byte("data"), b.clock().Add(time.Minute)))
	var got atomic.Int64
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			data, err := b.TakeNonce(b.ctx, "n", b.clock())
			switch {
			case err == nil && string(data) == "data":
				got.Add(1)
			case !errors.Is(err, auth.ErrNonce):
				t.Errorf("got %q, %v", data, err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 {
		t.Errorf("%d callers got the nonce", got.Load())
	}
}

func testCapRace(t *testing.T, b *bench) {
	s := b.session(alice)
	var commits []agent.Commit
	for range 50 {
		commits = append(commits, b.run(s))
	}
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			// Each a step of its own; those of one run compete for their seq too.
			c := commits[i%len(commits)]
			c.Step = b.block()
			c.Reserve = []agent.Reservation{{Ledger: "cap", Ref: provenance.Ref{Seq: 1}, Amount: money.Of(usdc, 100),
				Cap: money.Of(usdc, 1000)}}
			switch err := b.Commit(b.ctx, c); {
			case err == nil:
				admitted.Add(1)
			case !errors.Is(err, agent.ErrBudget) && !errors.Is(err, agent.ErrSeq):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if admitted.Load() != 10 {
		t.Errorf("%d reservations were admitted, want 10", admitted.Load())
	}
	b.wantLedger("cap", money.Of(usdc, 0), money.Of(usdc, 1000))
}

func testSeqRace(t *testing.T, b *bench) {
	c := b.run(b.session(alice))
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			c := c
			c.Step = b.block()
			switch err := b.Commit(b.ctx, c); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, agent.ErrSeq):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d commits of step 1 were admitted", won.Load())
	}
}

// testRevokeRace lets a spender and a revocation meet 10,000 times, many at once so that they share a writer's groups,
// each in a session and a ledger of its own.
func testRevokeRace(t *testing.T, b *bench) { testRaces(t, b, false) }

// testRevokeDelegationRace is the same with a delegation: the one that the run acts under, or one above it.
func testRevokeDelegationRace(t *testing.T, b *bench) { testRaces(t, b, true) }

func testRaces(t *testing.T, b *bench, delegated bool) {
	races := 10_000
	if testing.Short() {
		races = 500
	}
	todo := make(chan int)
	var spent, none atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for n := range todo {
				switch before := b.race(t, n, delegated); before {
				case 0:
					none.Add(1)
				default:
					spent.Add(before)
				}
			}
		})
	}
	for n := range races {
		todo <- n
	}
	close(todo)
	wg.Wait()
	t.Logf("%d races: %d spends before the revocation, in %d races none", races, spent.Load(), none.Load())
}

// testRevokeDelegation ends delegations one by one.
func testRevokeDelegation(t *testing.T, b *bench) {
	s := b.session(alice)
	outer, inner, other, by := b.block().CID, b.block().CID, b.block().CID, b.block().CID
	b.refused("a revocation without time", b.RevokeDelegation(b.ctx, outer, 0, by))
	b.refused("a revocation without record", b.RevokeDelegation(b.ctx, outer, start, provenance.Link{}))
	if got, at, err := b.RevokedDelegation(b.ctx, []provenance.Link{outer, inner}); err != nil || got.Defined() || at != 0 {
		t.Errorf("before: %s at %d, %v", got, at, err)
	}
	b.must(b.RevokeDelegation(b.ctx, outer, start+5, by))
	b.must(b.RevokeDelegation(b.ctx, outer, start+9, b.block().CID)) // the first one stands
	if got, at, err := b.RevokedDelegation(b.ctx, []provenance.Link{inner, outer}); err != nil || got != by || at != start+5 {
		t.Errorf("after: %s at %d, %v; want %s at %d", got, at, err, by, int64(start+5))
	}
	spend := func(under ...provenance.Link) error {
		c := b.run(s)
		c.Under = under
		c.Reserve = []agent.Reservation{{Ledger: "x", Ref: provenance.Ref{Seq: c.Seq}, Amount: money.Of(usdc, 1), Cap: money.Of(usdc, 1<<40)}}
		return b.Commit(b.ctx, c)
	}
	b.wants("under the revoked one", spend(outer), agent.ErrStale)
	b.wants("under one that comes from it", spend(outer, inner), agent.ErrStale)
	b.wants("under another", spend(other), nil)
	b.wants("under none", spend(), nil)
	idle := b.run(s)
	idle.Under = []provenance.Link{outer}
	b.wants("without a reservation", b.Commit(b.ctx, idle), nil)
	five := b.run(s)
	five.Under = []provenance.Link{other, other, other, other, other}
	b.refused("five delegations", b.Commit(b.ctx, five))
	if got, err := b.Session(b.ctx, s.ID); err != nil || got.Revoked != 0 {
		t.Errorf("the session was revoked at %d, %v", got.Revoked, err)
	}
}

// race revokes a session, or a delegation of it, while one of its runs spends, and returns how often it has spent.
func (b *bench) race(t *testing.T, n int, delegated bool) (spends int64) {
	s := b.session(alice)
	c := b.run(s)
	ends, revoke := s.ID, b.Revoke
	if delegated {
		c.Under = []provenance.Link{b.block().CID, b.block().CID}
		ends, revoke = c.Under[n%2], b.RevokeDelegation
	}
	ledger := fmt.Sprint("race ", n)
	var revoked atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			for spends >= 8 && !revoked.Load() { // enough for one race
				runtime.Gosched()
			}
			late := revoked.Load()
			c.Reserve = []agent.Reservation{{Ledger: ledger, Ref: provenance.Ref{Seq: c.Seq}, Amount: money.Of(usdc, 1),
				Cap: money.Of(usdc, 1<<40)}}
			err := b.Commit(b.ctx, c)
			if errors.Is(err, agent.ErrStale) {
				return
			}
			if err != nil || late {
				t.Errorf("race %d: after the revocation: %v; a commit before it: %v", n, late, err)
				return
			}
			spends++
			c = b.next(c)
		}
	}()
	for range n % 4 { // sooner or later
		runtime.Gosched()
	}
	by := b.block().CID
	if err := revoke(b.ctx, ends, start+1, by); err != nil {
		t.Errorf("race %d: %v", n, err)
	}
	revoked.Store(true)
	at, err := b.Ledgers(b.ctx, []string{ledger}) // what was spent when the revocation was there
	<-done
	after, err2 := b.Ledgers(b.ctx, []string{ledger})
	if err != nil || err2 != nil || at[0].Reserved != after[0].Reserved {
		t.Errorf("race %d: %v held at the revocation, %v after it (%v, %v)", n, at[0].Reserved, after[0].Reserved, err, err2)
	}
	return spends
}

// testUse: a session that is not used for too long is over for its key, by the store's clock, and a use carries it no
// further than its time.
func testUse(t *testing.T, b *bench) {
	const idle = 16 * time.Minute
	s := b.session(alice)
	use := func(after time.Duration, want error) {
		t.Helper()
		b.now.Store(start + after.Milliseconds())
		got, err := b.Use(b.ctx, s.ID, idle)
		b.wants(fmt.Sprintf("used after %s", after), err, want)
		if age := start + after.Milliseconds() - got.Used; want == nil && (age < 0 || age >= idle.Milliseconds()/16) {
			t.Errorf("used after %s: noted %d ms before", after, age)
		}
	}
	use(0, nil)
	use(59*time.Second, nil)
	use(15*time.Minute, nil)
	use(15*time.Minute+30*time.Second, nil) // not written down: it is less than a sixteenth
	use(31*time.Minute-time.Millisecond, nil)
	use(47*time.Minute-time.Millisecond, agent.ErrIdle)
	use(46*time.Minute, nil)
	use(59*time.Minute, nil)
	use(time.Hour, agent.ErrStale)
	other := b.session(bob)
	b.now.Store(start + idle.Milliseconds())
	if _, err := b.Use(b.ctx, other.ID, idle); err != nil {
		t.Errorf("a session just stored: %v", err)
	}
	b.must(b.Revoke(b.ctx, other.ID, start+1, b.block().CID))
	_, err := b.Use(b.ctx, other.ID, idle)
	b.wants("a revoked session", err, agent.ErrStale)
	_, err = b.Use(b.ctx, b.block().CID, idle)
	b.wants("an unknown session", err, agent.ErrNotFound)
}

func testCancelled(t *testing.T, b *bench) {
	c := b.run(b.session(alice))
	gone := errors.New("the caller has gone")
	ctx, cancel := context.WithCancelCause(b.ctx)
	cancel(gone)
	b.wants("commit", b.Commit(ctx, c), gone)
	b.wants("put blocks", b.PutBlocks(ctx, []provenance.Block{c.Step}, nil), gone)
	if r, err := b.Run(b.ctx, c.Run); err != nil || r.Steps != 1 {
		t.Errorf("run: got %+v, %v", r, err)
	}
	b.must(b.Commit(b.ctx, c))

	// Callers that give up at any moment have either committed or left nothing, and know which.
	c = b.next(c)
	for range 200 {
		ctx, cancel := context.WithCancelCause(b.ctx)
		var wg sync.WaitGroup
		wg.Go(func() { cancel(gone) })
		err := b.Commit(ctx, c)
		wg.Wait()
		r, rerr := b.Run(b.ctx, c.Run)
		b.must(rerr)
		switch {
		case err == nil && r.Steps == c.Seq+1:
			c = b.next(c)
		case errors.Is(err, gone) && r.Steps == c.Seq:
		default:
			t.Fatalf("step %d: got %v with %d steps", c.Seq, err, r.Steps)
		}
	}
}

func testReopen(t *testing.T, c Config) {
	b := newBench(t)
	path := filepath.Join(t.TempDir(), "writ.db")
	b.Store = c.Open(t, path, b.clock)
	s := b.session(alice)
	first := b.opening(s)
	first.Open.Key, first.Open.Hash = "k", [32]byte{1}
	b.must(b.Commit(b.ctx, first))
	next := b.next(first)
	head := b.block()
	next.Head, next.Status = &head, "parked"
	next.Leaves = []provenance.Leaf{{CID: next.Step.CID, Key: provenance.LeafKey{1}}}
	next.Reserve = []agent.Reservation{{Ledger: "l", Ref: provenance.Ref{Seq: 1}, Amount: money.Of(usdc, 7),
		Cap: money.Of(usdc, 10)}}
	next.Nonce = &agent.TxNonce{Account: "a", Nonce: 4}
	b.must(b.Commit(b.ctx, next))
	b.must(b.Revoke(b.ctx, s.ID, start+3, b.block().CID))
	b.must(b.PutNonce(b.ctx, "n", []byte("data"), b.clock().Add(time.Minute)))
	epoch, err := b.Epoch(b.ctx)
	b.must(err)
	run, err := b.Run(b.ctx, first.Run)
	b.must(err)
	b.must(b.Close())
	b.must(b.Close())
	b.wants("a write after closing", b.PutBlocks(b.ctx, nil, nil), agent.ErrFull)

	b.Store = c.Open(t, path, b.clock)
	defer func() { b.must(b.Close()) }()
	if e, err := b.Epoch(b.ctx); err != nil || e != epoch {
		t.Errorf("epoch: got %q, %v, want %q", e, err, epoch)
	}
	if r, err := b.Run(b.ctx, first.Run); err != nil || r != run {
		t.Errorf("run: got %+v, %v, want %+v", r, err, run)
	}
	b.wantSteps(first.Run, 0, 9, first.Step, next.Step)
	if e, err := b.Entries(b.ctx, 0, 9); err != nil || len(e) != 1 || e[0].CID != head.CID {
		t.Errorf("log: got %+v, %v", e, err)
	}
	if got, err := b.Session(b.ctx, s.ID); err != nil || got.Revoked != start+3 {
		t.Errorf("session: got %+v, %v", got, err)
	}
	b.wantLedger("l", money.Of(usdc, 0), money.Of(usdc, 7))
	if _, err := b.LeafKey(b.ctx, next.Step.CID); err != nil {
		t.Error(err)
	}
	if n, err := b.NextNonce(b.ctx, "a"); err != nil || n != 5 {
		t.Errorf("next nonce: got %d, %v, want 5", n, err)
	}
	if id, err := b.ByKey(b.ctx, s.ID, "k", [32]byte{1}); err != nil || id != first.Run {
		t.Errorf("by key: got %s, %v", id, err)
	}
	if open, err := b.Unfinished(b.ctx); err != nil || len(open) != 1 {
		t.Errorf("unfinished: got %v, %v", open, err)
	}
	_, err = b.Claim(b.ctx, first.Run, "node 2", start+20_000)
	b.wants("its lease", err, agent.ErrFenced)
	c2 := b.next(next)
	c2.Settle = []agent.Settlement{{Ledger: "l", Ref: provenance.Ref{Seq: 1}, Used: money.Of(usdc, 2)}}
	b.must(b.Commit(b.ctx, c2))
	b.wantLedger("l", money.Of(usdc, 2), money.Of(usdc, 0))
	if data, err := b.TakeNonce(b.ctx, "n", b.clock()); err != nil || string(data) != "data" {
		t.Errorf("nonce: got %q, %v", data, err)
	}
}
