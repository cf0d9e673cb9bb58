package journal

import (
	"context"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// A RunReader finds runs and their steps.
type RunReader interface {
	Run(ctx context.Context, id provenance.Link) (RunInfo, error)
	// Runs lists the runs of an account, newest first; the zero account lists all. At most limit.
	Runs(ctx context.Context, account common.Address, limit int) ([]RunInfo, error)
	// RunsBefore is Runs for those that come after the run before in that list. ErrNotFound if there is no such run.
	RunsBefore(ctx context.Context, account common.Address, before provenance.Link, limit int) ([]RunInfo, error)
	// OpenRuns lists the runs that have no close, oldest first.
	OpenRuns(ctx context.Context) ([]provenance.Link, error)
	// OpenRunsOfOwner lists the runs of a session's owner that have no close, of whichever session of the owner, oldest
	// first. See [Session.Owner].
	OpenRunsOfOwner(ctx context.Context, of Session) ([]RunInfo, error)
	// OpenRunsOfSession lists the runs of a session that have no close, oldest first.
	OpenRunsOfSession(ctx context.Context, session provenance.Link) ([]RunInfo, error)
	// RunByKey returns the run that a session's owner has opened with an idempotency key, in whichever session, or
	// ErrNotFound. ErrConflict if hash is not the one stored with it. See [Session.Owner].
	RunByKey(ctx context.Context, session provenance.Link, key string, hash [32]byte) (provenance.Link, error)
	// Steps returns the blocks of a run's steps from seq on, in order, at most limit.
	Steps(ctx context.Context, run provenance.Link, from uint64, limit int) ([]provenance.Block, error)
}

// Runs is the part of a store that is the journal: runs, their steps, and who may write them.
type Runs interface {
	RunReader
	// Commit appends one step with everything that belongs to it, all or nothing. See [Commit].
	Commit(ctx context.Context, c Commit) error
	// Claim makes owner the one writer of a run until the time until (ms UTC, by the store's clock) and returns the
	// fence that its commits must carry. ErrFenced if another owner's lease has not run out.
	Claim(ctx context.Context, run provenance.Link, owner string, until int64) (fence uint64, err error)
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

// IsOpen says whether the run goes on.
func (r RunInfo) IsOpen() bool {
	return r.Status == "running" || r.Status == "parked" || r.Status == StatusCut
}

// StatusCut is the status of an open run whose damaged end was cut off. It ends with its next step: what the lost steps
// have done is not known, so nothing more is.
const StatusCut = "cut"

// Owner returns whose run it is; see [auth.Identity].
func (r RunInfo) Owner() string { return auth.Identity(r.Method, r.Chain, r.Account) }

// A Commit is one step and everything that becomes true with it. A store applies all of it or nothing, in one
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
	Ends  []DelegationEnd   // delegations that end with the step, at At, as by RevokeDelegation

	Open *Opening // set for the first step only
}

// A DelegationEnd ends a delegation.
type DelegationEnd struct {
	Delegation provenance.Link
	By         provenance.Link // the revocation, which is stored or among the commit's Blocks
}

// An Opening makes a run.
type Opening struct {
	Session provenance.Link
	Account common.Address
	Agent   string
	Key     string       // idempotency key, unique among the runs of the session's owner
	Hash    [32]byte     // of the request, so that one key cannot stand for two requests
	Thread  *ThreadPlace // optional
	Owner   string       // claims the run at once, with fence 1
	Until   int64        // ms UTC
}
