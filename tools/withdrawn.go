package tools

import (
	"context"
	"errors"
)

var errWithdrawn = errors.New("the run has ended")

// Withdrawal returns the cause with which the contexts of calls end: that their run has ended, and nobody wants their
// results any more, if closed is set. Else it is nil: this program stops, and the run goes on with its next start.
func Withdrawal(closed bool) error {
	if closed {
		return errWithdrawn
	}
	return nil
}

// IsWithdrawn says whether the context of a call has ended because its run has. What the call has begun elsewhere, and
// can end there, is ended then; of any other end it is not.
func IsWithdrawn(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errWithdrawn) }
