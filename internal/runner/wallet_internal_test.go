package runner

import (
	"context"
	"testing"
)

// What nobody could look at is not called unsent.
func TestOnlyTheChainSaysThatNothingWasSent(t *testing.T) {
	for _, tt := range []struct {
		rule    string
		ended   error
		hash    string
		unsent  bool
		inDoubt bool
	}{
		{"the chain has nothing of it", context.DeadlineExceeded, "", true, false},
		{"the chain could not be asked, or its transaction not be recorded", context.DeadlineExceeded, "", false, true},
		{"the wallet says that it has sent it", context.DeadlineExceeded, "0x1", true, true},
		{"the server stops, and the wait begins anew", context.Canceled, "", false, false},
	} {
		if o := endOfWait(tt.ended, tt.hash, tt.unsent); o.inDoubt != tt.inDoubt || (o.err == nil) != tt.inDoubt {
			t.Errorf("%s: in doubt %t, %v", tt.rule, o.inDoubt, o.err)
		}
	}
}
