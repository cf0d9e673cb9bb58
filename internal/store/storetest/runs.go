package storetest

import (
	"crypto/sha256"
	"errors"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

func testOpenRuns(t *testing.T, b *bench) {
	session := func(account common.Address, chain uint64, method string) journal.Session {
		s := journal.Session{ID: b.newBlock().CID, Account: account, Chain: chain, Method: method, Opened: start,
			Expires: start + 3600_000, Message: []byte("m"), Sig: []byte("s")}
		b.must(b.PutSession(b.ctx, s))
		return s
	}
	first, second := session(alice, 1, auth.MethodEOA), session(alice, 2, auth.MethodEOA)
	contract, elsewhere := session(alice, 1, auth.MethodEIP1271), session(alice, 2, auth.MethodEIP1271)
	other := session(bob, 1, auth.MethodEOA)
	at := int64(start)
	open := func(s journal.Session, status string) provenance.Link {
		c := b.newOpening(s)
		at++
		c.At, c.Status = at, status
		b.must(b.Commit(b.ctx, c))
		return c.Run
	}
	var runs []provenance.Link
	for _, s := range []journal.Session{first, second, contract, elsewhere, other, first} {
		runs = append(runs, open(s, "parked"))
	}
	open(first, "answered")
	check := func(what string, got []journal.RunInfo, err error, want ...provenance.Link) {
		t.Helper()
		b.must(err)
		var ids []provenance.Link
		for _, r := range got {
			ids = append(ids, r.ID)
			full, err := b.Run(b.ctx, r.ID)
			if b.must(err); !reflect.DeepEqual(r, full) {
				t.Errorf("%s: got %+v, want %+v", what, r, full)
			}
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%s: got %v, want %v", what, ids, want)
		}
	}
	owner := func(what string, s journal.Session, want ...provenance.Link) {
		t.Helper()
		got, err := b.OpenRunsOfOwner(b.ctx, s)
		check(what, got, err, want...)
	}
	owner("a key's, of all its sessions", second, runs[0], runs[1], runs[5])
	owner("a contract's", contract, runs[2])
	owner("a contract's on another chain", elsewhere, runs[3])
	owner("another's", other, runs[4])
	owner("nobody's", journal.Session{Account: common.HexToAddress("0x01"), Method: auth.MethodEOA})
	ofSession := func(what string, id provenance.Link, want ...provenance.Link) {
		t.Helper()
		got, err := b.OpenRunsOfSession(b.ctx, id)
		check(what, got, err, want...)
	}
	ofSession("a session's", first.ID, runs[0], runs[5])
	ofSession("a session's with the same account", contract.ID, runs[2])
	ofSession("an unknown session's", b.newBlock().CID)
}

func testRun(t *testing.T, b *bench) {
	s := b.newSession(alice)
	c := b.newOpening(s)
	leaf := provenance.NewRaw([]byte("leaf of the first step"))
	c.Blocks = append(c.Blocks, leaf)
	c.Leaves = []provenance.Leaf{{CID: leaf.CID, Key: provenance.LeafKey{7}}}
	b.must(b.Commit(b.ctx, c))
	first := c.Step
	want := journal.RunInfo{ID: c.Run, Session: s.ID, Account: alice, Chain: s.Chain, Method: s.Method,
		Agent: "treasurer", Opened: start, Steps: 1,
		Last: first.CID, Status: "running"}
	wantRun := func() {
		t.Helper()
		if got, err := b.Run(b.ctx, c.Run); err != nil || got != want {
			t.Errorf("run: got %+v, %v, want %+v", got, err, want)
		}
	}
	wantRun()

	c = b.nextCommit(c)
	head := b.newBlock()
	c.Head, c.Status = &head, "parked"
	b.must(b.Commit(b.ctx, c))
	second := c.Step
	want.Steps, want.Last, want.Head, want.Status = 2, second.CID, head.CID, "parked"
	wantRun()

	c = b.nextCommit(c)
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
	if open, err := b.OpenRuns(b.ctx); err != nil || len(open) != 0 {
		t.Errorf("unfinished: got %v, %v", open, err)
	}
	_, err := b.Run(b.ctx, b.newBlock().CID)
	b.wantErr("unknown run", err, journal.ErrNotFound)
	_, err = b.Steps(b.ctx, b.newBlock().CID, 0, 1)
	b.wantErr("steps of an unknown run", err, journal.ErrNotFound)
}

func testByKey(t *testing.T, b *bench) {
	s, other := b.newSession(alice), b.newSession(alice)
	hash := sha256.Sum256([]byte("the request"))
	c := b.newOpening(s)
	c.Open.Key, c.Open.Hash = "k", hash
	_, err := b.RunByKey(b.ctx, s.ID, "k", hash)
	b.wantErr("before", err, journal.ErrNotFound)
	b.must(b.Commit(b.ctx, c))
	run, err := b.RunByKey(b.ctx, s.ID, "k", hash)
	b.must(err)
	if run != c.Run {
		t.Errorf("by key: got %s, want %s", run, c.Run)
	}
	_, err = b.RunByKey(b.ctx, s.ID, "k", [32]byte{})
	b.wantErr("another request", err, journal.ErrConflict)
	_, err = b.RunByKey(b.ctx, s.ID, "", hash)
	b.wantErr("another key", err, journal.ErrNotFound)
	if run, err = b.RunByKey(b.ctx, other.ID, "k", hash); err != nil || run != c.Run {
		t.Errorf("by key, in another session of the owner: got %s, %v, want %s", run, err, c.Run)
	}
	_, err = b.RunByKey(b.ctx, other.ID, "k", [32]byte{})
	b.wantErr("another request in another session", err, journal.ErrConflict)

	again := b.newOpening(s)
	again.Open.Key = "k"
	b.wantErr("a second run with the key", b.Commit(b.ctx, again), journal.ErrConflict)
	again.Open.Session = other.ID
	b.wantErr("a run with the key in another session", b.Commit(b.ctx, again), journal.ErrConflict)
	again.Open.Hash = hash
	b.wantErr("the same run in another session", b.Commit(b.ctx, again), journal.ErrConflict)

	elsewhere := s // a contract with the same address on another chain is somebody else
	elsewhere.ID, elsewhere.Chain = b.newBlock().CID, s.Chain+1
	b.must(b.PutSession(b.ctx, elsewhere))
	for _, stranger := range []journal.Session{b.newSession(bob), elsewhere} {
		_, err = b.RunByKey(b.ctx, stranger.ID, "k", hash)
		b.wantErr("another owner", err, journal.ErrNotFound)
		theirs := b.newOpening(stranger)
		theirs.Open.Key, theirs.Open.Hash = "k", hash
		b.must(b.Commit(b.ctx, theirs))
		if run, err := b.RunByKey(b.ctx, stranger.ID, "k", hash); err != nil || run != theirs.Run {
			t.Errorf("another owner's: got %s, %v, want %s", run, err, theirs.Run)
		}
	}
	b.openRun(s)
	b.openRun(s) // without a key there may be many

	var opened atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			c := b.newOpening(s)
			c.Open.Key = "race"
			switch err := b.Commit(b.ctx, c); {
			case err == nil:
				opened.Add(1)
			case !errors.Is(err, journal.ErrConflict):
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
	c := b.openRun(b.newSession(alice)) // node 1 until start + 10 s
	claim := func(owner string, until int64) uint64 {
		t.Helper()
		fence, err := b.Claim(b.ctx, c.Run, owner, until)
		b.must(err)
		return fence
	}
	_, err := b.Claim(b.ctx, c.Run, "node 2", start+20_000)
	b.wantErr("while the lease runs", err, journal.ErrFenced)
	if f := claim("node 1", start+15_000); f != 1 {
		t.Errorf("renewed: got fence %d, want 1", f)
	}
	b.must(b.Commit(b.ctx, c))
	c = b.nextCommit(c)

	b.now.Store(start + 14_999)
	_, err = b.Claim(b.ctx, c.Run, "node 2", start+20_000)
	b.wantErr("just before the lease runs out", err, journal.ErrFenced)
	b.now.Store(start + 15_000)
	if f := claim("node 2", start+20_000); f != 2 {
		t.Errorf("taken over: got fence %d, want 2", f)
	}
	b.wantErr("a commit of the old owner", b.Commit(b.ctx, c), journal.ErrFenced)
	_, err = b.Claim(b.ctx, c.Run, "node 1", start+30_000)
	b.wantErr("a claim of the old owner", err, journal.ErrFenced)
	c.Fence = 3
	b.wantErr("a fence that was never given", b.Commit(b.ctx, c), journal.ErrFenced)
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
	_, err = b.Claim(b.ctx, b.newBlock().CID, "node 1", start)
	b.wantErr("unknown run", err, journal.ErrNotFound)
}

func testSeqRace(t *testing.T, b *bench) {
	c := b.openRun(b.newSession(alice))
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			c := c
			c.Step = b.newBlock()
			switch err := b.Commit(b.ctx, c); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, journal.ErrSeq):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d commits of step 1 were admitted", won.Load())
	}
}
