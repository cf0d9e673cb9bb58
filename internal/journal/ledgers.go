package journal

import (
	"context"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// Ledgers is the part of a store that counts what is used: amounts under their caps, and transaction nonces. Both
// change by [Runs] Commit only.
type Ledgers interface {
	// Ledgers returns the state of the named ledgers; one in which nothing was ever reserved is zero. The order is that
	// of keys.
	Ledgers(ctx context.Context, keys []string) ([]Ledger, error)
	// SentBefore returns what counts as spent under a ledger that has no count yet: what was sent between a backup and
	// its restoration.
	SentBefore(ctx context.Context, key string, asset money.Asset) (money.Amount, error)
	// NextNonce returns one above the highest transaction nonce that a commit has used for the account (CAIP-10), or 0.
	NextNonce(ctx context.Context, account string) (uint64, error)
	// Senders returns the runs that have used the account's newest nonces, so many at most, the newest first. One that has
	// used several is there once.
	Senders(ctx context.Context, account string, nonces int) ([]provenance.Link, error)
}

// A Ledger is what is used of one budget of one session, wallet or agent.
type Ledger struct {
	Key             string // e.g. "session/<cid>/grant/total"
	Spent, Reserved money.Amount
}

// A Reservation reserves an amount in a ledger, for one effect. Spent + Reserved + Amount must not exceed Cap.
type Reservation struct {
	Ledger string
	Ref    provenance.Ref // the effect of this run that it belongs to
	Amount money.Amount
	Cap    money.Amount
}

// A Settlement ends all reservations of one effect in one ledger: what was really used becomes spent, the rest is
// free again. Used may be more than what was reserved, since what really left an account counts, cap or no cap.
type Settlement struct {
	Ledger string
	Ref    provenance.Ref
	Used   money.Amount
	// Doubt is the call of which it is not known whether it happened, so that Used may turn out to be nothing; see
	// [Assertions]. Optional.
	Doubt *provenance.Ref
}

// A TxNonce says that a step signed a transaction.
type TxNonce struct {
	Account string // CAIP-10
	Nonce   uint64
}
