package journal

import (
	"context"

	"github.com/writ-run/writ/provenance"
)

// OwnWallets is the part of a store that knows what users say that their own wallets have sent, and which transactions
// belong to calls.
type OwnWallets interface {
	// NoteSent keeps under which hash somebody says that a call of a run went out, in the place of what was said before.
	// ErrNotFound if there is no such run.
	NoteSent(ctx context.Context, run provenance.Link, call provenance.Ref, hash string) error
	// SentHash returns what was said of a call, or "".
	SentHash(ctx context.Context, run provenance.Link, call provenance.Ref) (string, error)
	// IsNonceUsed says whether a commit has used the transaction nonce of an account (CAIP-10).
	IsNonceUsed(ctx context.Context, account string, nonce uint64) (bool, error)
}
