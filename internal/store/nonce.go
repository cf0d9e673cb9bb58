package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/auth"
)

const (
	maxNonces = 100_000                             // that may be outstanding
	nonceKept = int64(auth.Skew / time.Millisecond) // for which an expired nonce is kept, so that clocks may differ
)

// PutNonce stores data under a nonce until it is taken or expires. A nonce that is there already is an error; with
// 100,000 outstanding the answer is agent.ErrFull.
func (db *DB) PutNonce(ctx context.Context, nonce string, data []byte, expires time.Time) error {
	err := checkNonce(nonce, data)
	if err == nil {
		err = db.do(ctx, len(data), func(ctx context.Context, w *writer) error {
			return w.putNonce(ctx, nonce, data, expires.UnixMilli())
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

var errNonceThere = errors.New("the nonce is there already")

func (w *writer) putNonce(ctx context.Context, nonce string, data []byte, expires int64) error {
	if w.nonces < 0 {
		if err := w.row(ctx, "SELECT count(*) FROM nonces", nil, &w.nonces); err != nil {
			return err
		}
	}
	gone, err := w.changed(ctx, "DELETE FROM nonces WHERE expires < ?", w.now()-nonceKept)
	if err != nil {
		return err
	}
	if w.nonces -= gone; w.nonces >= w.most {
		w.nonces = -1 // this refusal takes the deletion back
		return fmt.Errorf("%w: %d sign-ins are waiting; try again later", agent.ErrFull, w.most)
	}
	added, err := w.changed(ctx, "INSERT INTO nonces VALUES (?, ?, ?) ON CONFLICT DO NOTHING", nonce, notNil(data), expires)
	if err == nil && added == 0 {
		err = errNonceThere
	}
	if err != nil {
		w.nonces = -1
		return err
	}
	w.nonces++
	return nil
}

// TakeNonce returns the data of a nonce and deletes it, so that of many callers at once one gets it. auth.ErrNonce if
// it was never there, was taken before, or is expired at now, and then it is gone too.
func (db *DB) TakeNonce(ctx context.Context, nonce string, now time.Time) ([]byte, error) {
	var data []byte
	var good bool
	err := db.do(ctx, 0, func(ctx context.Context, w *writer) error {
		var expires int64
		err := w.row(ctx, "DELETE FROM nonces WHERE nonce = ? RETURNING data, expires", []any{nonce}, &data, &expires)
		if errors.Is(err, agent.ErrNotFound) {
			return nil
		}
		w.nonces = max(w.nonces-1, -1)
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
