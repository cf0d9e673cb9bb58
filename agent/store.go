package agent

import (
	"context"
	"errors"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// Errors of a [Store]. Each is wrapped with what was being done.
var (
	ErrNotFound  = errors.New("not found")
	ErrFenced    = errors.New("another process owns this run")
	ErrSeq       = errors.New("the journal is elsewhere") // the step's seq is not the next one
	ErrBudget    = errors.New("the budget has no room")   // a reservation does not fit any more; decide again
	ErrStale     = errors.New("the session has changed")  // revoked or expired since the facts were read; decide again
	ErrIdle      = errors.New("the session was not used for too long")
	ErrNonceUsed = errors.New("the transaction nonce is taken")
	ErrConflict  = errors.New("the idempotency key was used for another request")
	ErrFull      = errors.New("the store accepts no more writes") // disk full, or closed
)

// MaxSessions is how many sessions a [Store] lists at once.
const MaxSessions = 1000

// A Store keeps the journal, the blocks and the ledger. Every method may be called by many goroutines at once, and
// returns only when what it wrote is durable. internal/store has one in SQL and one in memory; storetest is the
// suite that both pass.
type Store interface {
	// Epoch names this store's incarnation; a client that resumes with another epoch must start over.
	Epoch(ctx context.Context) (string, error)

	// PutBlocks stores blocks and leaf keys that belong to no step: agents, tools, policy sets, runtimes, grants.
	// Blocks that are there already are left as they are.
	PutBlocks(ctx context.Context, blocks []provenance.Block, leaves []provenance.Leaf) error
	// Block returns the bytes of a block, or ErrNotFound. The hash has been checked on this read. A leaf that is held
	// back is provenance.ErrWithheld: it is for nobody but its run.
	Block(ctx context.Context, c provenance.Link) ([]byte, error)
	// Held returns the bytes of a leaf that is held back, or ErrNotFound if there is none or its run has closed.
	Held(ctx context.Context, c provenance.Link) ([]byte, error)
	// LeafKey returns the key of a sealed leaf, or ErrNotFound if it was erased or never known here.
	LeafKey(ctx context.Context, c provenance.Link) (provenance.LeafKey, error)

	// PutSession stores a session. Storing the same one again changes nothing.
	PutSession(ctx context.Context, s Session) error
	Session(ctx context.Context, id provenance.Link) (Session, error)
	// Sessions lists an account's sessions that were opened at until, in ms UTC, or before, newest first; the zero account
	// lists all. At most [MaxSessions].
	Sessions(ctx context.Context, account common.Address, until int64) ([]Session, error)
	// OpenSessions lists the sessions of all accounts that are not revoked and expire after the time at, as Sessions does:
	// opened at until or before, newest first, at most [MaxSessions].
	OpenSessions(ctx context.Context, at, until int64) ([]Session, error)
	// Revoke ends a session at the time at (ms UTC) by the record that by names, and is ordered with Commit: no
	// reservation of the session commits after it. Revoking twice keeps the first time and record.
	Revoke(ctx context.Context, id provenance.Link, at int64, by provenance.Link) error
	// RevokeDelegation ends a delegation as Revoke does a session: no reservation commits under it after that.
	RevokeDelegation(ctx context.Context, id provenance.Link, at int64, by provenance.Link) error
	// RevokedDelegation returns the revocation of the first of some delegations that has one, and its time; undefined if
	// none has.
	RevokedDelegation(ctx context.Context, ids []provenance.Link) (by provenance.Link, at int64, err error)
	// Use notes that a session's key has signed a request, by the store's clock, and returns the session. ErrIdle if it
	// was not used for idle before; ErrStale if it is revoked or over. What was noted may be a sixteenth of idle old.
	Use(ctx context.Context, id provenance.Link, idle time.Duration) (Session, error)

	// Commit appends one step with everything that belongs to it, all or nothing. See [Commit].
	Commit(ctx context.Context, c Commit) error
	Run(ctx context.Context, id provenance.Link) (RunInfo, error)
	// Runs lists the runs of an account, newest first; the zero account lists all. At most limit.
	Runs(ctx context.Context, account common.Address, limit int) ([]RunInfo, error)
	// Steps returns the blocks of a run's steps from seq on, in order, at most limit.
	Steps(ctx context.Context, run provenance.Link, from uint64, limit int) ([]provenance.Block, error)
	// Unfinished lists the runs that have no close, oldest first.
	Unfinished(ctx context.Context) ([]provenance.Link, error)
	// ByKey returns the run that was opened with an idempotency key in a session, or ErrNotFound. ErrConflict if
	// hash is not the one stored with it.
	ByKey(ctx context.Context, session provenance.Link, key string, hash [32]byte) (provenance.Link, error)

	// Claim makes owner the one writer of a run until the time until (ms UTC, by the store's clock) and returns the
	// fence that its commits must carry. ErrFenced if another owner's lease has not run out.
	Claim(ctx context.Context, run provenance.Link, owner string, until int64) (fence uint64, err error)

	// Ledgers returns the state of the named ledgers; one that was never drawn on is zero. The order is that of keys.
	Ledgers(ctx context.Context, keys []string) ([]Ledger, error)
	// NextNonce returns one above the highest transaction nonce that a commit has used for the account (CAIP-10), or 0.
	NextNonce(ctx context.Context, account string) (uint64, error)

	Entries
}

// A Session is a grant in use.
type Session struct {
	ID      provenance.Link // of the provenance.Grant
	Account common.Address
	Chain   uint64
	Key     string // did:key of the session key
	Agent   string // the agent's name
	Opened  int64  // ms UTC
	Expires int64  // ms UTC
	Revoked int64  // ms UTC; 0 if it is not
	Used    int64  // ms UTC by the store's clock: when its key last signed a request
	Message []byte // the exact SIWE bytes
	Sig     []byte
	Method  string // how Sig was checked: auth.MethodEOA, or a contract wallet's

	Revocation provenance.Link // *provenance.Revocation; undefined if it is not revoked
}

// A RunInfo is the index entry of a run.
type RunInfo struct {
	ID      provenance.Link // of the provenance.Run
	Session provenance.Link
	Account common.Address
	Chain   uint64 // of the session
	Method  string // of the session
	Agent   string
	Opened  int64           // ms UTC
	Steps   uint64          // committed so far
	Last    provenance.Link // the newest step
	Head    provenance.Link // the newest head; undefined before the first
	Status  string          // "running", "parked", [StatusCut], or the reason of its close
}

// StatusCut is the status of an open run whose damaged end was cut off. It ends with its next step: what the lost steps
// have done is not known, so nothing more is.
const StatusCut = "cut"

// A Commit is one step and everything that becomes true with it. A Store applies all of it or nothing, in one
// transaction, after these checks in this order:
//
//	the run exists iff Open is nil                    ErrNotFound, ErrConflict
//	Fence is the run's newest and its owner's         ErrFenced    (not for Open)
//	Seq is the number of steps so far                 ErrSeq
//	the session is neither revoked nor expired at At,
//	nor is any delegation of Under revoked            ErrStale     (only if Reserve is not empty, or with a Nonce)
//	each reservation fits its cap                     ErrBudget
//	Nonce was never used                              ErrNonceUsed
type Commit struct {
	Run   provenance.Link
	Fence uint64
	Seq   uint64
	At    int64 // ms UTC
	Step  provenance.Block
	// Blocks are the other blocks that the step brings: leaves, and at Seq 0 the run's. Leaves are their keys; those
	// that end with the run are deleted by the commit that closes it.
	Blocks []provenance.Block
	Leaves []provenance.Leaf
	Head   *provenance.Block // a new head, which gets the next place in the log; optional
	Status string            // as RunInfo.Status

	Reserve []Reservation
	Settle  []Settlement
	Nonce   *TxNonce // optional

	Under []provenance.Link // the delegations that the run acts under; at most provenance.MaxDelegations

	Open *Opening // set for the first step only
}

// An Opening makes a run.
type Opening struct {
	Session provenance.Link
	Account common.Address
	Agent   string
	Key     string   // idempotency key, unique within the session
	Hash    [32]byte // of the request, so that one key cannot stand for two requests
	Owner   string   // claims the run at once, with fence 1
	Until   int64    // ms UTC
}

// A Ledger is what is used of one budget of one session, wallet or agent.
type Ledger struct {
	Key             string // e.g. "session/<cid>/grant/total"
	Spent, Reserved money.Amount
}

// A Reservation holds an amount back in a ledger, for one effect. Spent + Reserved + Amount must not exceed Cap.
type Reservation struct {
	Ledger string
	Ref    provenance.Ref // the effect of this run that it belongs to
	Amount money.Amount
	Cap    money.Amount
}

// A Settlement ends all reservations of one effect in one ledger: what was really used becomes spent, the rest is
// free again. Used is never more than what was reserved.
type Settlement struct {
	Ledger string
	Ref    provenance.Ref
	Used   money.Amount
}

// A TxNonce says that a step signed a transaction.
type TxNonce struct {
	Account string // CAIP-10
	Nonce   uint64
}
