package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/ownwallet"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// Calls of class wallet are sent by the user's own wallet. A run that has come to the signing of one waits until the
// chain shows what the wallet has sent. That somebody says under which hash is a hint, and nothing more.

const walletTime = 15 * time.Minute // that a wallet has to send

// enterBook has a call known to wait for its wallet, if it does, until it is performed.
func (c *toolCall) enterBook() {
	if c.call.Phase != provenance.PhaseSign || tools.Class(c.call.Class) != tools.WalletTx {
		return
	}
	code, _ := c.findTool()
	if payer, ok := c.tool.(tools.Payer); ok && code == "" {
		account := fmt.Sprintf("eip155:%d:%s", c.machine.Grant().Chain, c.input.Wallet.Hex())
		c.inBook = c.runs.sent.Begin(ownwallet.Key{Run: c.run.ID, Effect: c.ref},
			ownwallet.Call{Account: account, Opened: c.run.Opened, Payer: payer, Input: c.input})
	}
}

// awaitWallet waits until the chain has the call's transaction, and returns it as one that was signed here.
func (c *toolCall) awaitWallet(ctx context.Context) (o outcome) {
	if c.inBook != nil {
		return outcome{err: c.inBook}
	}
	s, said, err := c.runs.sent.Await(ctx, ownwallet.Key{Run: c.run.ID, Effect: c.ref}, func(err error) {
		c.runs.log.WarnContext(ctx, "what a wallet has sent is not looked for; it is tried again",
			"run", c.run.ID, "err", err)
	})
	switch {
	case err == nil:
		o.out, o.err = json.Marshal(s)
		o.after = func() { c.runs.sent.Release(s) }
		return o
	case isExplained(err):
		return outcome{err: err}
	}
	return endOfWait(ctx.Err(), said, errors.Is(err, tools.ErrUnsent))
}

// endOfWait says what a wait comes to that has found nothing. Only the chain's own word that nothing was sent is one: a
// wallet that says a hash may have sent it, and of a chain that could not be asked, or whose transaction cannot be
// recorded, nobody knows.
func endOfWait(ended error, hash string, unsent bool) (o outcome) {
	if o.inDoubt = errors.Is(ended, context.DeadlineExceeded) && (hash != "" || !unsent); !o.inDoubt {
		o.err = &tools.Error{Code: "not_sent", Message: "The wallet has not sent it in time; do not send it any more."}
	}
	return o
}

// A WalletCall is a call that waits for the user's own wallet to send it.
type WalletCall struct {
	Run     provenance.Link
	Effect  provenance.Ref
	Summary approval.Summary // what an approval of it would say
	Wanted  tools.Wanted
	Sent    string // the hash that was said of it last, or ""
}

// OwnWallets are the users' own wallets, as far as a Runner's runs wait for them to send something.
type OwnWallets struct{ runs *runs }

// OwnWalletsOf returns those of a Runner.
func OwnWalletsOf(r *Runner) OwnWallets { return OwnWallets{r.runs} }

// Calls lists what the runs of a session's owner wait for the wallet to send, oldest run first.
func (w OwnWallets) Calls(ctx context.Context, of journal.Session) (out []WalletCall, err error) {
	r := w.runs
	open, err := r.cfg.Store.OpenRunsOfOwner(ctx, of)
	if err != nil {
		return nil, fmt.Errorf("list what wallets are asked to send: %w", err)
	}
	found := r.sent.Found() // before the runs are read: it goes on record there
	for _, info := range open {
		h, err := r.loadRun(ctx, info.ID, true)
		if err != nil { // one run that cannot be read must not hide what the others wait for
			r.log.ErrorContext(ctx, "run not read", "run", info.ID, "err", err)
			continue
		}
		for _, ref := range h.state.OpenEffects() {
			payer, in, err := w.callAt(h, ref)
			if err != nil || found[ownwallet.Key{Run: info.ID, Effect: ref}] {
				continue // it waits for something else, or for nothing
			}
			wanted, err := payer.Ask(ctx, in)
			sent, unread := r.cfg.Store.SentHash(ctx, info.ID, ref)
			if err = errors.Join(err, unread); err != nil { // the others are not hidden by it
				r.log.WarnContext(ctx, "what a wallet is asked to send is not known", "run", info.ID, "err", err)
				continue
			}
			out = append(out, WalletCall{info.ID, ref, loop.DescribeSend(h.machine, h.state, ref), wanted, sent})
		}
	}
	return out, nil
}

// callAt returns the tool and the input of a call that waits for a wallet to send it.
func (w OwnWallets) callAt(h *history, ref provenance.Ref) (tools.Payer, tools.Input, error) {
	call, ok := h.effects[ref].(*provenance.Call)
	if !ok || call.Phase != provenance.PhaseSign {
		return nil, tools.Input{}, loop.ErrLate
	}
	name, args, err := h.machine.Arguments(call)
	if err != nil {
		return nil, tools.Input{}, err
	}
	payer, ok := w.runs.catalog.implementations[name].(tools.Payer)
	if !ok || w.runs.catalog.tools[name] != call.Tool {
		return nil, tools.Input{}, loop.ErrLate
	}
	return payer, tools.Input{
		Args: args, Foreseen: h.state.Foreseen(ref), Wallet: h.machine.Grant().WalletOn(payer.Spec().Book.Chain),
	}, nil
}

// Sent takes in that the wallet has sent a call under a hash. A transaction that the chain knows and that is not
// the call is an error, and the run goes on waiting; one that may have paid it all the same leaves it in doubt, unless
// the call's own comes.
func (w OwnWallets) Sent(ctx context.Context, run provenance.Link, effect provenance.Ref, hash string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("take in what a wallet has sent: %w", err)
		}
	}()
	h, err := w.runs.loadRun(ctx, run, true)
	if err != nil {
		return err
	}
	payer, in, err := w.callAt(h, effect)
	if err != nil {
		return err
	}
	wrong := payer.CheckSent(ctx, in, hash)
	if wrong == nil {
		key := ownwallet.Key{Run: run, Effect: effect}
		wrong = w.runs.sent.CheckSaid(ctx, key, ownwallet.Call{Payer: payer, Input: in}, hash)
	}
	if e, ok := errors.AsType[*tools.Error](wrong); wrong != nil && (!ok || e.Code != tools.PaidOtherwise) {
		return wrong
	}
	// What may have paid otherwise stays counted. Who is told of it does not say it again, so it must be kept by then.
	return cmp.Or(w.runs.cfg.Store.NoteSent(ctx, run, effect, hash), wrong)
}
