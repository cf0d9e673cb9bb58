package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/ownwallet"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// Wallets are the users' own wallets, as far as runs wait for them to send something. [runner.OwnWallets] is one.
type Wallets interface {
	Calls(ctx context.Context, of journal.Session) ([]runner.WalletCall, error)
	Sent(ctx context.Context, run provenance.Link, effect provenance.Ref, hash string) error
}

// listWalletCalls lists what the wallet itself is asked to send.
func listWalletCalls(c *Call, ctx context.Context, _ wire.None) (any, error) {
	out := wire.WalletCalls{Calls: []wire.WalletCall{}}
	if c.api.cfg.Wallets == nil {
		return out, nil
	}
	list, err := c.api.cfg.Wallets.Calls(ctx, c.seat.session)
	if err == nil {
		list, err = keepReached(ctx, c, list, walletRun)
	}
	if err != nil {
		return nil, err
	}
	for _, w := range list {
		summary, err := w.Summary.Encode()
		if err != nil {
			return nil, fmt.Errorf("summary of what the wallet is asked to send: %w", err)
		}
		call := wire.WalletCall{
			Run: w.Run.String(), Effect: wire.Ref(w.Effect), Tool: w.Summary.Tool, Text: w.Summary.Text,
			Summary: summary, Chain: w.Wanted.Chain, From: w.Wanted.From, To: w.Wanted.To, Value: w.Wanted.Value,
			Data: w.Wanted.Data, Sent: w.Sent,
		}
		for _, p := range w.Wanted.Parts {
			call.Parts = append(call.Parts, wire.WalletPart(p))
		}
		out.Calls = append(out.Calls, call)
	}
	return out, nil
}

// noteSent takes in under which hash the wallet has sent a call.
func noteSent(c *Call, ctx context.Context, p wire.SentParams) (any, error) {
	info, err := c.findOwnRun(ctx, p.Run)
	if err != nil {
		return nil, err
	}
	if c.api.cfg.Wallets == nil {
		return nil, loop.ErrLate
	}
	if len(p.Hash) != 66 {
		return nil, wire.Errorf(wire.CodeParams, "The hash of a transaction is 0x and 64 hex digits.")
	}
	err = c.api.cfg.Wallets.Sent(ctx, info.ID, provenance.Ref(p.Effect), p.Hash)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, loop.ErrLate // the run is there: it has ended, or nothing waits at this place of it
	}
	if e, ok := errors.AsType[*tools.Error](err); ok {
		refused := wire.Errorf(wire.CodeApproval, "%s", e.Message)
		if e.Code == ownwallet.Counted || e.Code == tools.PaidOtherwise {
			refused.Data.Reason = e.Code
		}
		return nil, refused
	}
	return wire.None{}, err
}
