package costs

import (
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
)

// An address on another chain is another wallet if a contract stands for it, and the same one if a key does.
func TestAWalletIsShownItsOwnUsage(t *testing.T) {
	address := common.Address{7}
	of := func(method string, chain uint64) journal.RunInfo {
		return journal.RunInfo{Account: address, Method: method, Chain: chain, Opened: 5}
	}
	runs := []journal.RunInfo{
		of(auth.MethodEOA, 1), of(auth.MethodEOA, 8453), of(auth.MethodEIP1271, 1), of(auth.MethodEIP1271, 8453),
	}
	for _, tt := range []struct {
		name, owner string
		since       int64
		want        int
	}{
		{"a key", auth.Identity(auth.MethodEOA, 1, address), 0, 2},
		{"a contract on one chain", auth.Identity(auth.MethodEIP1271, 1, address), 0, 1},
		{"on the other", auth.Identity(auth.MethodEIP1271, 8453, address), 5, 1},
		{"on a third", auth.Identity(auth.MethodEIP1271, 10, address), 0, 0},
		{"later", auth.Identity(auth.MethodEOA, 1, address), 6, 0},
		{"everybody's", "", 0, 4},
	} {
		scope, n := Scope{Account: address, Owner: tt.owner, Since: tt.since}, 0
		for _, r := range runs {
			if scope.includes(r) {
				n++
			}
		}
		if n != tt.want {
			t.Errorf("%s: %d runs, want %d", tt.name, n, tt.want)
		}
	}
}
