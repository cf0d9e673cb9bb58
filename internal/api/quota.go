package api

import (
	"context"
	"errors"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/quota"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

type addressKey struct{}

// WithAddress says in a context which address a request comes from, for what is counted by address. Transports call it.
func WithAddress(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, addressKey{}, address)
}

func addressOf(ctx context.Context) string {
	address, _ := ctx.Value(addressKey{}).(string)
	return address
}

// ChargeBytes counts what came from the address of a context, unless it has had its share. What begins as a call is
// counted by Begin; transports charge what is none.
func (a *API) ChargeBytes(ctx context.Context, n int) error {
	return a.charge(quota.Client{Address: addressOf(ctx)}, n)
}

func (a *API) charge(c quota.Client, n int) error {
	if a.cfg.Quota == nil {
		return nil
	}
	return a.cfg.Quota.Send(time.Now(), c, int64(n)+framePrice)
}

// framePrice is what a request counts besides its params, in bytes.
const framePrice = 128

// size is what the call counts, in bytes, besides the framePrice.
func (c *Call) size() int { return len(c.req.Params) + len(c.req.ID) }

// chargeBytes counts a call for its address, and for the wallet if it was proven to be the wallet's. Nobody is kept
// from signing in and ending what goes on.
func (c *Call) chargeBytes(ctx context.Context) error {
	who := quota.Client{Address: addressOf(ctx)}
	if c.seat != nil && (c.caller.transport.Private || c.frame.Method != "") {
		who.Wallet = c.seat.session.Owner()
	}
	err := c.api.charge(who, c.size())
	switch c.req.Method {
	case wire.SessionOpen, wire.SessionRevoke, wire.RunCancel:
		return nil
	}
	return err
}

// startWithinQuota starts a run if wallet and address may have one more.
func (c *Call) startWithinQuota(ctx context.Context, q runner.StartRequest) (journal.RunInfo, error) {
	book := c.api.cfg.Quota
	if book == nil {
		return c.api.cfg.Runner.Start(ctx, q)
	}
	who := quota.Client{Wallet: q.Session.Owner(), Address: addressOf(ctx)}
	if err := c.countRun(ctx, book, who); err != nil {
		return journal.RunInfo{}, err
	}
	var started provenance.Link
	defer func() { // a panic must not keep the place taken
		if started.Defined() {
			book.Started(time.Now(), who, started)
		} else {
			book.NotStarted(time.Now(), who)
		}
	}()
	info, err := c.api.cfg.Runner.Start(ctx, q)
	if err == nil {
		started = info.ID
	}
	return info, err
}

// countRun counts one more run. The book is not told when runs end, so who has too many is looked at first.
func (c *Call) countRun(ctx context.Context, book *quota.Book, who quota.Client) error {
	for _, run := range book.Unsure(time.Now(), who) {
		info, err := c.api.cfg.Runner.Run(ctx, run)
		if errors.Is(err, journal.ErrNotFound) || err == nil && !info.IsOpen() {
			book.Ended(run)
		}
	}
	return book.Start(time.Now(), who)
}
