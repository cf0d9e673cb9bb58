// Package storetest is the suite that every store passes: each method, each error in its stated order, and what
// must hold when a thousand callers come at once.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A Config says how to get a store.
type Config struct {
	// Open opens the store that is in the folder dir, or makes it, with now as the clock of its leases.
	Open func(t testing.TB, dir string, now func() time.Time) journal.Database
	// Volatile says that nothing is left of the store once it is closed.
	Volatile bool
	// Crash returns a folder with what the store in dir would leave if its process were killed now; optional.
	Crash func(t testing.TB, dir string) (left string)
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
		{"an assertion frees what did not happen, once", testAssert},
		{"a hold keeps payloads until it is removed", testHolds},
		{"what has ended is swept once", testRetention},
		{"a session is stored once", testSessions},
		{"sessions and runs are listed newest first", testLists},
		{"runs follow on each other in threads, one at a time", testThreads},
		{"the open runs of an owner or a session are those and no others", testOpenRuns},
		{"a revocation keeps its first time", testRevoke},
		{"a run grows step by step", testRun},
		{"a commit is checked in the stated order", testOrder},
		{"a refused commit leaves nothing", testAtomic},
		{"a commit that is not well-formed is refused", testMalformed},
		{"one idempotency key opens one run", testByKey},
		{"a newest head is to be pushed until that is noted", testPushed},
		{"an anchoring is there from before it is sent", testAnchors},
		{"a store without damage is left as it is", testRecover},
		{"a lease has one owner, and an old fence is shut out", testClaim},
		{"ledgers add up to the last unit of 256 bits", testLedger},
		{"what one step frees it may reserve", testSettleFirst},
		{"a transaction nonce is used once", testTxNonce},
		{"what a wallet is said to have sent is kept", testOwnWallets},
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
		{"a clock that was set back", testClockSetBack},
		{"what ends before its turn leaves nothing", testCancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.Database = c.Open(t, t.TempDir(), b.clock)
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
	if c.Crash != nil {
		t.Run("everything that was acknowledged is there after a crash", func(t *testing.T) { testCrash(t, c) })
	}
}

// A bench is a store with the things that tests are made of.
type bench struct {
	journal.Database
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

// newBlock returns a block that no other is equal to.
func (b *bench) newBlock() provenance.Block {
	data := fmt.Appendf([]byte{0x78}, "%s %d", b.t.Name(), b.n.Add(1))
	return provenance.Block{CID: provenance.Sum(cid.DagCBOR, data), Data: data}
}

// newSession stores a new session of the account that lasts for an hour.
func (b *bench) newSession(account common.Address) journal.Session {
	b.t.Helper()
	s := journal.Session{
		ID: b.newBlock().CID, Account: account, Chain: 31337, Method: "eip1271", Key: "did:key:z6Mk", Agent: "treasurer",
		Opened: start, Expires: start + 3600_000, Message: []byte("example.com wants you"), Sig: []byte{1, 2, 3},
		Used: b.now.Load(),
	}
	b.must(b.PutSession(b.ctx, s))
	return s
}

// newOpening returns the first commit of a new run.
func (b *bench) newOpening(s journal.Session) journal.Commit {
	run := b.newBlock()
	return journal.Commit{
		Run: run.CID, Fence: 1, At: start, Step: b.newBlock(), Blocks: []provenance.Block{run}, Status: "running",
		Open: &journal.Opening{Session: s.ID, Account: s.Account, Agent: s.Agent, Owner: "node 1", Until: start + 10_000},
	}
}

// openRun opens a run and returns its next commit.
func (b *bench) openRun(s journal.Session) journal.Commit {
	b.t.Helper()
	c := b.newOpening(s)
	b.must(b.Commit(b.ctx, c))
	return b.nextCommit(c)
}

// nextCommit returns the commit after c, which reserves and settles nothing.
func (b *bench) nextCommit(c journal.Commit) journal.Commit {
	return journal.Commit{Run: c.Run, Fence: c.Fence, Seq: c.Seq + 1, At: c.At + 1, Step: b.newBlock(),
		Status: "running", Under: c.Under}
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) wantErr(what string, got, want error) {
	b.t.Helper()
	if want == nil && got != nil || !errors.Is(got, want) {
		b.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// wantRefusal wants an error that asks nobody to decide again.
func (b *bench) wantRefusal(what string, err error) {
	b.t.Helper()
	for _, e := range []error{journal.ErrFull, journal.ErrBudget, journal.ErrStale, journal.ErrSeq, journal.ErrNonceUsed} {
		if err == nil || errors.Is(err, e) {
			b.t.Errorf("%s: got %v, want a refusal for good", what, err)
			return
		}
	}
}

func (b *bench) readLedger(key string) journal.Ledger {
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
	if l := b.readLedger(key); l.Spent != spent || l.Reserved != reserved {
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
