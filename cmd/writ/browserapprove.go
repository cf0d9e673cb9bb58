package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/client"
)

// browserApprove has the wallet of a browser approve one call, on a page as that of `writ login --browser`. What the page
// shows and the wallet signs is made here, from the one message that was checked; nothing of it comes from the server as
// it is. rows are what the page shows.
func (a *app) browserApprove(ctx context.Context, cl *client.Client, s saved, w wire.Approval, rows [][2]string, noOpen bool) error {
	p, err := readApproval(s, w)
	if err != nil {
		return err
	}
	typed, err := p.TypedData()
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serve the page to approve: %w", err)
	}
	page := newLoginPage(ln.Addr().String(), time.Now)
	page.approve, page.again = common.HexToAddress(s.Account), "writ approve "+w.Run
	if p.NotAfter.Before(page.until) {
		page.until = p.NotAfter
	}
	defer page.serve(ctx, ln)()
	a.show(page, "Approve", noOpen)
	ctx, stop := context.WithDeadlineCause(ctx, page.until, errApproveLate)
	defer stop()
	select {
	case <-page.accounts:
	case <-page.cancelled:
		return errApproveCancelled
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	page.texts <- loginText{Ticket: page.ticket, Account: s.Account, Typed: typed, Chain: p.Chain, Rows: rows}
	select {
	case sig := <-page.signatures:
		if err := cl.Approve(ctx, w, sig); err != nil {
			page.end(loginReply{Message: failureOf(err).message})
			return err
		}
	case <-page.cancelled:
		return errApproveCancelled
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	page.end(loginReply{Done: "Approved: exactly this call. Go on in the terminal; this page can be closed."})
	a.note("approved: the wallet %s signed exactly this call", s.Account)
	return nil
}

var (
	errApproveCancelled = failf(exitDenied, "user_rejected", "not approved: it was cancelled in the browser; the run still waits")
	errApproveLate      = failf(exitSignature, string(auth.CodeApprovalLate), "nobody approved in the browser in time; writ approve lists what still waits")
)
