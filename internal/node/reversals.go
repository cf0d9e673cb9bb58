package node

import (
	"context"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/internal/reversal"
	"github.com/writ-run/writ/tools"
)

// ReversibleAccount returns the account (CAIP-10) whose final payments are looked after; "" if there is none: agents
// pay nothing, or the chain's first word counts as its last, as of one that begins anew with each start.
func (c Chain) ReversibleAccount() string {
	rule, err := tools.ParseFinality(c.Final)
	if c.Key == nil || err != nil || rule.IsInstant() {
		return ""
	}
	return fmt.Sprintf("eip155:%d:%s", c.Book.Chain, crypto.PubkeyToAddress(c.Key.PublicKey).Hex())
}

// watchReversals looks after the payments that were final.
func (n *Node) watchReversals(ctx context.Context, c *Config) (func() error, error) {
	account := c.Chain.ReversibleAccount()
	if account == "" {
		return nil, nil
	}
	w := reversal.NewWatch(reversal.Config{Store: n.db, Chain: n.pool, Account: account, Now: time.Now, Log: c.Log})
	if c.Meters != nil {
		gauge := func(name, help string, states ...string) {
			c.Meters.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() (n float64) {
				for _, s := range states {
					n += float64(w.Count(s))
				}
				return n
			}))
		}
		gauge("writ_tx_returned", "Payments that were final, that no block has now, and that are to be in one again.",
			reversal.Returned, reversal.Held)
		gauge("writ_tx_reversed", "Payments that were final and never can be in a block again.", reversal.Reversed)
	}
	return runUntilClosed(ctx, w.Run), nil
}
