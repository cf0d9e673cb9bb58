package store

import (
	"context"
	"time"
)

// TakeHold makes owner the holder of a store, as another process would that has waited long enough.
func TakeHold(db *DB, owner string) error {
	return db.write(context.Background(), 0, func(ctx context.Context, tx *transaction) error {
		return tx.exec(ctx, "UPDATE holder SET owner = ?, until = ?", owner, time.Now().Add(holdFor).UnixMilli())
	})
}
