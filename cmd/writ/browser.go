package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/walletpage"
	"github.com/writ-run/writ/internal/datadir"
)

// showPage says where the page is, and opens it in the browser.
func (a *app) showPage(page *walletpage.Page, what string, noOpen bool) {
	fmt.Fprintf(a.Err, "%s with the wallet of your browser, within five minutes:\n\n  %s\n\n", what, page.URL())
	if noOpen {
		return
	}
	if err := page.Show(a.Env("BROWSER")); err != nil {
		a.Note("no browser could be opened (%s): open the address yourself", cli.OneLine(err))
	}
}

// browserLogin signs in with the wallet of a browser.
func (a *app) browserLogin(ctx context.Context, server string, p loginPlan) (cli.SavedSession, error) {
	page, closePage, err := walletpage.Open(ctx, walletpage.Purpose{Again: "writ login"})
	if err != nil {
		return cli.SavedSession{}, fmt.Errorf("serve the page to sign in: %w", err)
	}
	defer closePage()
	a.showPage(page, "Sign in", p.noOpen)
	ctx, stop := context.WithDeadlineCause(ctx, page.Until(), errLoginLate)
	defer stop()
	account, err := page.AwaitAccount(ctx)
	if err != nil {
		return cli.SavedSession{}, sayCancelled(err, errLoginCancelled)
	}
	s, err := a.openSession(ctx, server, p, account, "", func(message []byte) ([]byte, error) {
		m, err := auth.Parse(message)
		if err != nil {
			return nil, err
		}
		t := walletpage.Text{Account: account.Hex(), Domain: m.Domain, Message: string(message)}
		if m.Statement != nil {
			t.Limits, _, _ = strings.Cut(*m.Statement, " I further authorize")
		}
		sig, err := page.AwaitSignature(ctx, t)
		return sig, sayCancelled(err, errLoginCancelled)
	})
	if err != nil {
		page.End(walletpage.Reply{Message: cli.FailureOf(err).Message})
		return cli.SavedSession{}, err
	}
	page.End(walletpage.Reply{Account: s.Account})
	return s, nil
}

// sayCancelled returns the failure that a cancelled page is, or the error as it is.
func sayCancelled(err error, cancelled *cli.Failure) error {
	if errors.Is(err, walletpage.ErrCancelled) {
		return cancelled
	}
	return err
}

var (
	errLoginCancelled = cli.Failf(cli.ExitDenied, "user_rejected",
		"the sign-in was cancelled in the browser; nothing has changed")
	errLoginLate = cli.Failf(cli.ExitSignature, "login_expired",
		"nobody signed in the browser within five minutes; run writ login again")
)

// textFile writes the text to sign to a file, all of it at once, or to standard output.
func (a *app) textFile(file string, message []byte) error {
	if file == "-" {
		_, err := a.Out.Write(message)
		return err
	}
	return datadir.WriteSecret(file, message)
}

// signatureFile waits until somebody has written a signature into a file, a whole line of it.
func (a *app) signatureFile(ctx context.Context, file string) ([]byte, error) {
	ctx, stop := context.WithTimeoutCause(ctx, auth.NonceLife,
		cli.Failf(cli.ExitSignature, "login_expired", "no signature came to %s within five minutes; run writ login again",
			file))
	defer stop()
	for {
		b, err := a.ReadText(file)
		if s := strings.TrimSpace(string(b)); err == nil && s != "" &&
			(strings.HasSuffix(string(b), "\n") || len(s) >= 2+2*auth.SigSize) {
			return auth.ParseContractSig(s)
		}
		select {
		case <-time.After(200 * time.Millisecond): // another program writes it; there is nothing to wait on
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
