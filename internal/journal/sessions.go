package journal

import (
	"context"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// MaxSessions is how many sessions [Sessions] lists at once.
const MaxSessions = 1000

// Sessions is the part of a store that keeps sessions and what was revoked.
type Sessions interface {
	// PutSession stores a session. Storing the same one again changes nothing.
	PutSession(ctx context.Context, s Session) error
	Session(ctx context.Context, id provenance.Link) (Session, error)
	// Sessions lists an account's sessions that were opened at until, in ms UTC, or before, newest first; the zero
	// account lists all. At most [MaxSessions].
	Sessions(ctx context.Context, account common.Address, until int64) ([]Session, error)
	// OpenSessions lists the sessions of all accounts that are not revoked and expire after the time at, as Sessions
	// does: opened at until or before, newest first, at most [MaxSessions].
	OpenSessions(ctx context.Context, at, until int64) ([]Session, error)
	// UseSession notes that a session's key has signed a request, by the store's clock, and returns the session. ErrIdle
	// if it was not used for idle before; ErrStale if it is revoked or over. What was noted may be a sixteenth of idle
	// old.
	UseSession(ctx context.Context, id provenance.Link, idle time.Duration) (Session, error)

	// NameDevice notes what the client of a session calls itself, at most 64 bytes. The first name stays.
	NameDevice(ctx context.Context, id provenance.Link, device string) error

	// RevokeSession ends a session at the time at (ms UTC) by the record that by names, and is ordered with Commit: no
	// reservation of the session commits after it. Revoking twice keeps the first time and record.
	RevokeSession(ctx context.Context, id provenance.Link, at int64, by provenance.Link) error
	// RevokeDelegation ends a delegation as RevokeSession does a session: no reservation commits under it after that.
	RevokeDelegation(ctx context.Context, id provenance.Link, at int64, by provenance.Link) error
	// RevokedDelegation returns the revocation of the first of some delegations that has one, and its time; undefined
	// if none has.
	RevokedDelegation(ctx context.Context, ids []provenance.Link) (by provenance.Link, at int64, err error)
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
	Device  string // what the client that opened it calls itself; nothing proves it

	Revocation provenance.Link // *provenance.Revocation; undefined if it is not revoked
}

// Owner returns whose session it is; see [auth.Identity]. Everything that is somebody's is compared by it, never by
// the bare address.
func (s Session) Owner() string { return auth.Identity(s.Method, s.Chain, s.Account) }
