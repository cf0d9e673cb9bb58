package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
)

const (
	maxNonces    = 100_000                                  // that may be outstanding
	clocksDiffer = int64(auth.Skew / time.Millisecond)      // an expired nonce is kept so long
	nonceLife    = int64(auth.NonceLife / time.Millisecond) // none expires later than that, unless the clock was set back
)

// PutNonce stores data under a nonce until it is taken or expires. A nonce that is there already is auth.ErrNonce; with
// 100,000 outstanding the answer is journal.ErrFull.
func (db nonces) PutNonce(ctx context.Context, nonce string, data []byte, expires time.Time) error {
	err := checkNonce(nonce, data)
	if err == nil {
		err = db.write(ctx, len(data), func(ctx context.Context, tx *transaction) error {
			return tx.putNonce(ctx, nonce, data, expires.UnixMilli())
		})
	}
	if err != nil {
		return fmt.Errorf("put nonce: %w", err)
	}
	return nil
}

func checkNonce(nonce string, data []byte) error {
	if nonce == "" || len(nonce) > maxName || len(data) > maxSigned {
		return fmt.Errorf("nonce of %d bytes with %d bytes of data is out of bounds", len(nonce), len(data))
	}
	return nil
}

var errNonceThere = fmt.Errorf("the nonce is there already: %w", auth.ErrNonce)

func (tx *transaction) putNonce(ctx context.Context, nonce string, data []byte, expires int64) error {
	if tx.nonces < 0 {
		if err := tx.readRow(ctx, "SELECT count(*) FROM nonces", nil, &tx.nonces); err != nil {
			return err
		}
	}
	gone, err := tx.execCount(ctx, "DELETE FROM nonces WHERE expires < ? OR expires > ?", tx.now()-clocksDiffer,
		tx.now()+nonceLife+clocksDiffer)
	if err != nil {
		return err
	}
	if tx.nonces -= gone; tx.nonces >= tx.most {
		tx.nonces = -1 // this refusal takes the deletion back
		return fmt.Errorf("%w: %d sign-ins are waiting; try again later", journal.ErrFull, tx.most)
	}
	added, err := tx.execCount(ctx, "INSERT INTO nonces VALUES (?, ?, ?) ON CONFLICT DO NOTHING", nonce, notNil(data),
		expires)
	if err == nil && added == 0 {
		err = errNonceThere
	}
	if err != nil {
		tx.nonces = -1
		return err
	}
	tx.nonces++
	return nil
}

// TakeNonce returns the data of a nonce and deletes it, so that of many callers at once one gets it. auth.ErrNonce if
// it was never there, was taken before, or is expired at now, and then it is gone too.
func (db nonces) TakeNonce(ctx context.Context, nonce string, now time.Time) ([]byte, error) {
	var data []byte
	var good bool
	err := db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
		var expires int64
		err := tx.readRow(ctx, "DELETE FROM nonces WHERE nonce = ? RETURNING data, expires", []any{nonce}, &data, &expires)
		if errors.Is(err, journal.ErrNotFound) {
			return nil
		}
		tx.nonces = max(tx.nonces-1, -1)
		good = err == nil && now.UnixMilli() < expires
		return err
	})
	if err == nil && !good {
		err = auth.ErrNonce
	}
	if err != nil {
		return nil, fmt.Errorf("take nonce: %w", err)
	}
	return data, nil
}
