package api

import (
	"context"
	"errors"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/tools"
)

// Mandates are delegations of ERC-7710 by which wallets' accounts let the agents' account pay. [mandates.Desk] is one.
// A [*tools.Error] is for the caller.
type Mandates interface {
	Ask(ctx context.Context, s journal.Session, p wire.MandateAskParams) (wire.MandateAsk, error)
	Put(ctx context.Context, s journal.Session, p wire.MandatePutParams) (wire.GivenMandate, error)
	List(ctx context.Context, s journal.Session) ([]wire.GivenMandate, error)
	Forget(ctx context.Context, s journal.Session, hash string) error
}

var errNoMandates = wire.Errorf(wire.CodeForbidden,
	"This server's agents pay from no account but their own; its operator sets chain.mandates.")

func askMandate(c *Call, ctx context.Context, p wire.MandateAskParams) (any, error) {
	if c.api.cfg.Mandates == nil {
		return nil, errNoMandates
	}
	out, err := c.api.cfg.Mandates.Ask(ctx, c.seat.session, p)
	return out, explainMandate(err)
}

func putMandate(c *Call, ctx context.Context, p wire.MandatePutParams) (any, error) {
	if c.api.cfg.Mandates == nil {
		return nil, errNoMandates
	}
	out, err := c.api.cfg.Mandates.Put(ctx, c.seat.session, p)
	return out, explainMandate(err)
}

func listMandates(c *Call, ctx context.Context, _ wire.None) (any, error) {
	out := wire.GivenMandates{Mandates: []wire.GivenMandate{}}
	if c.api.cfg.Mandates == nil {
		return out, nil
	}
	list, err := c.api.cfg.Mandates.List(ctx, c.seat.session)
	out.Mandates = append(out.Mandates, list...)
	return out, explainMandate(err)
}

func forgetMandate(c *Call, ctx context.Context, p wire.MandateForgetParams) (any, error) {
	if c.api.cfg.Mandates == nil {
		return nil, errNoMandates
	}
	return wire.None{}, explainMandate(c.api.cfg.Mandates.Forget(ctx, c.seat.session, p.Hash))
}

// explainMandate tells the caller what is meant for it.
func explainMandate(err error) error {
	e, ok := errors.AsType[*tools.Error](err)
	if !ok {
		return err
	}
	out := wire.Errorf(wire.CodeParams, "%s", e.Message)
	out.Data.Reason = e.Code
	return out
}
