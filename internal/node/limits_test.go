package node_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/quota"
)

// TestTheTimeToDrainCountsOnce: limits.drain is for the runs; connections that wait for nothing get no second one.
func TestTheTimeToDrainCountsOnce(t *testing.T) {
	for _, tt := range []struct{ set, sockets time.Duration }{
		{0, 0}, {3 * time.Second, 3 * time.Second}, {time.Minute, 10 * time.Second},
	} {
		c := config.Default()
		c.Limits.Drain = tt.set
		c.Chain.RPC = []string{"http://127.0.0.1:1"} // not asked here
		got, err := node.Configure(&c, node.Given{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if got.Drain != tt.set || got.Limits.Drain != tt.sockets {
			t.Errorf("limits.drain %s gives runs %s and sockets %s, want %s", tt.set, got.Drain, got.Limits.Drain,
				tt.sockets)
		}
	}
}

// An address is shared by more people than a wallet is.
func TestQuotasOfTheSettings(t *testing.T) {
	var l config.Limits
	if got := node.QuotaOf(l); got.Wallet.Runs != 200 || got.Address.Runs != 800 || got.Wallet.PerHour != 3000 ||
		got.Address.PerHour != 12000 || got.Wallet.PerDay != 512<<20 || got.Address.PerDay != 2<<30 {
		t.Errorf("the defaults are %+v", got)
	}
	l.Wallet, l.Address = config.Quota{Runs: 1, PerHour: 2, PerDay: 3}, config.Quota{Runs: 4, PerHour: 5, PerDay: 6}
	want := node.Quota{
		Wallet: quota.Limits{Runs: 1, PerHour: 2, PerDay: 3}, Address: quota.Limits{Runs: 4, PerHour: 5, PerDay: 6},
	}
	if got := node.QuotaOf(l); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
