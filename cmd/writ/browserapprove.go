package main

import (
	"context"
	"fmt"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/approval"
	"github.com/writ-run/writ/internal/cli/walletpage"
	"github.com/writ-run/writ/internal/client"
)

// browserApprove has the wallet of a browser approve one call, on a page as that of `writ login --browser`. What the
// page shows and the wallet signs is made here, from the one message that was checked; nothing of it comes from the
// server as it is. rows are what the page shows.
func (a *app) browserApprove(
	ctx context.Context, cl *client.Client, s cli.SavedSession, w wire.Approval, rows [][2]string, noOpen bool,
) error {
	p, err := approval.Read(s.Account, w)
	if err != nil {
		return err
	}
	typed, err := p.TypedData()
	if err != nil {
		return err
	}
	page, closePage, err := walletpage.Open(ctx, walletpage.Purpose{
		Again: "writ approve " + w.Run, Account: common.HexToAddress(s.Account), Until: p.NotAfter,
	})
	if err != nil {
		return fmt.Errorf("serve the page to approve: %w", err)
	}
	defer closePage()
	a.showPage(page, "Approve", noOpen)
	ctx, stop := context.WithDeadlineCause(ctx, page.Until(), errApproveLate)
	defer stop()
	if _, err := page.AwaitAccount(ctx); err != nil {
		return sayCancelled(err, errApproveCancelled)
	}
	sig, err := page.AwaitSignature(ctx, walletpage.Text{Account: s.Account, Typed: typed, Chain: p.Chain, Rows: rows})
	if err != nil {
		return sayCancelled(err, errApproveCancelled)
	}
	if err := cl.Approve(ctx, w, sig); err != nil {
		page.End(walletpage.Reply{Message: cli.FailureOf(err).Message})
		return err
	}
	page.End(walletpage.Reply{Done: "Approved: exactly this call. Go on in the terminal; this page can be closed."})
	a.Note("approved: the wallet %s signed exactly this call", s.Account)
	return nil
}

var (
	errApproveCancelled = cli.Failf(cli.ExitDenied, "user_rejected",
		"not approved: it was cancelled in the browser; the run still waits")
	errApproveLate = cli.Failf(cli.ExitSignature, string(auth.CodeApprovalLate),
		"nobody approved in the browser in time; writ approve lists what still waits")
)
