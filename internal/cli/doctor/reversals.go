package doctor

import (
	"context"
	"time"

	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/reversal"
)

// examineReversals tells of each payment that is on record as final and that the chain does not have any more.
func (l *look) examineReversals(ctx context.Context, db journal.Database) error {
	c, err := node.ChainOf(l.cfg)
	if err != nil || c.ReversibleAccount() == "" || len(c.URLs) == 0 {
		return nil // another finding says so
	}
	payments, err := reversal.NewReader(db).Read(ctx, c.ReversibleAccount(), l.now.Add(-reversal.Window))
	if err != nil || len(payments) == 0 {
		return err
	}
	chain, err := pool.New(pool.Config{URLs: c.URLs, Chain: c.Book.Chain, Timeout: 3 * time.Second})
	if err != nil {
		return nil
	}
	defer chain.Close()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	found, err := reversal.Look(ctx, chain, payments)
	if err != nil {
		return nil // a chain that does not answer is told of as an endpoint
	}
	for _, f := range found {
		if f.At >= l.from {
			l.add(need{needReversal, f.Run.String(), &f.Seq, f.At, f.Says(), f.Next()})
		}
	}
	return nil
}
