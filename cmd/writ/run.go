package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/runs"
	"github.com/writ-run/writ/internal/cli/teller"
	"github.com/writ-run/writ/internal/client"
)

// A runResult is how a run stands when the command ends.
type runResult struct {
	Run     string   `json:"run"`
	Status  string   `json:"status"` // "parked" if it waits for the wallet, else why it closed
	Said    string   `json:"said"`
	Steps   uint64   `json:"steps"`
	Last    string   `json:"last,omitempty"` // CID of the newest step seen
	Waiting []string `json:"waiting,omitempty"`
	Outcome string   `json:"outcome"` // the same, as exit codes name it: "waiting" if it is parked
	// Fault is the failure that it ended by, if one did; and whether, and when, the same may work.
	Fault        string `json:"fault,omitempty"`
	Whose        string `json:"whose,omitempty"`
	Retryable    bool   `json:"retryable,omitempty"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
	// WaitingRuns are the runs of sub-agents that wait for the wallet.
	WaitingRuns []string `json:"waiting_runs,omitempty"`
	// Asks is what the run asks its user, if Outcome is "asks".
	Asks    *wire.Question `json:"asks,omitempty"`
	Receipt string         `json:"receipt,omitempty"` // file with the proof that the newest head stands in the server's log
}

func runCommand(a *app) *cobra.Command {
	var server, agent, key, thread string
	var files []string
	var approve bool
	c := &cobra.Command{
		Use: "run TEXT", Short: "Ask an agent for something, and watch it",
		Long: `Starts a run and tells on standard error what tools have done, what waits and what was refused; with --verbose
each step, as it becomes durable: which model was chosen and why, what policies decided, which tools were called. The
answer goes to standard output; on a terminal as it is written.

Where the agent asks you something, you are asked on a terminal; otherwise the run waits, and ` + "`writ send`" + ` answers.

Where the wallet must approve a call, its exact content is shown. On a terminal you are asked; with --yes-approve the
wallet signs without asking; otherwise the run waits, and ` + "`writ approve`" + ` goes on with it, from anywhere.`,
		Args: cobra.MatchAll(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			cl, s, err := a.connectFor(c.Context(), server, agent)
			if err != nil {
				return err
			}
			defer cl.Close()
			if agent == "" {
				agent = s.Agent
			}
			text := strings.Join(args, " ")
			if strings.TrimSpace(text) == "" {
				return cli.Usage(`say what you want: writ run "what is alice's USDC balance?"`)
			}
			named, err := client.Attach(c.Context(), cl, files)
			if err != nil {
				return explainFile(err)
			}
			p := wire.StartParams{Agent: agent, Input: text, Key: key, Thread: thread, Files: named}
			started, err := cl.Start(c.Context(), p)
			if err != nil {
				return err
			}
			return a.watchRun(c.Context(), cl, s, started.Run, approve, nil)
		},
	}
	f := c.Flags()
	f.StringVar(&server, "server", "", "`URL` of the server")
	f.StringVar(&agent, "agent", "", "which agent (default: the session's)")
	f.StringVar(&key, "idempotency-key", "", "the same `key` and text start the run only once, after signing in anew too")
	f.StringArrayVar(&files, "attach", nil, "attach a text or an image, by the `file`'s path; may be given again")
	f.StringVar(&thread, "thread", "", "go on with what was said under this `name`, or begin it")
	f.StringVar(&a.PasswordFile, "password-file", "", "`file` with the password of the wallet's key file, to approve")
	f.BoolVar(&approve, "yes-approve", false, "approve with the wallet's key without asking")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "tell each step")
	return c
}

// explainFile says what to do about a file that is not taken.
func explainFile(err error) error {
	if f, ok := errors.AsType[*attach.FileError](err); ok {
		return cli.Usage("--attach: %s", f.Says)
	}
	return err
}

// A watcher follows one run.
type watcher struct {
	*app
	client  *client.Client
	session cli.SavedSession
	run     string
	approve bool // with the wallet's key, without asking
	teller  *teller.Teller
	result  runResult
	below   map[wire.Ref]bool // open calls of sub-agents
	asked   map[string]bool   // of what those wait for
	typed   string            // of an answer, while it is written; only on a terminal
	place   uint64            // in the queue of the model, that was told
}

// watchRun follows a run, from its start or after from, until it closes or waits for a wallet that does not sign here.
// What the sub-agents that it calls ask of the wallet is asked here too. While it watches the session does not end for
// want of use; it still ends at its time.
func (a *app) watchRun(
	ctx context.Context, cl *client.Client, s cli.SavedSession, run string, approve bool, from *wire.From,
) error {
	p := cli.Paint(a.Color(a.Err))
	if !a.JSON {
		a.Note("%s %s", p.Dim("run"), run)
	}
	w := &watcher{
		app: a, client: cl, session: s, run: run, approve: approve, result: runResult{Run: run, Status: "running"},
		teller: &teller.Teller{Paint: p, Brief: !a.verbose, Say: func(line string) { a.Note("%s", line) }},
		below:  map[wire.Ref]bool{}, asked: map[string]bool{},
	}
	updates, stop := pumpUpdates(ctx, cl, run, from)
	defer stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case u, open := <-updates:
			if open {
				parked, err := w.takeUpdate(ctx, u)
				if err != nil {
					return err
				}
				if !parked {
					continue
				}
			}
			w.result.Receipt = a.keepReceipt(ctx, cl, run)
			return a.reportEnd(w.result)
		case <-tick.C:
			if left, err := w.askForSubAgents(ctx); err != nil {
				return err
			} else if left {
				return a.reportEnd(w.result)
			}
		}
	}
}

// watchNew follows a run from its start.
func watchNew(a *app) runs.Watch {
	return func(ctx context.Context, cl *client.Client, s cli.SavedSession, run string, approve bool) error {
		return a.watchRun(ctx, cl, s, run, approve, nil)
	}
}

// A watched is one update of client.Client.Events.
type watched struct {
	client.Update
	err error
}

// pumpUpdates sends a run's updates until it closes or stop is called, which waits for the end.
func pumpUpdates(
	ctx context.Context, cl *client.Client, run string, from *wire.From,
) (updates chan watched, stop func()) {
	pumping, cancel := context.WithCancel(ctx)
	updates = make(chan watched)
	var pump sync.WaitGroup
	pump.Go(func() {
		defer close(updates)
		for u, err := range cl.Events(pumping, run, from) {
			select {
			case updates <- watched{u, err}:
			case <-pumping.Done():
				return
			}
		}
	})
	return updates, func() {
		cancel()
		pump.Wait()
	}
}

// askForSubAgents keeps the session in use, and asks for what the sub-agents of the run wait for. It says whether some
// of it is left waiting.
func (w *watcher) askForSubAgents(ctx context.Context) (left bool, err error) {
	if err := w.keepAlive(ctx, w.client, w.run); err != nil || len(w.below) == 0 {
		return false, err
	}
	runs, err := w.seekBelow(ctx, w.client, w.session, w.run, w.approve, w.asked)
	if err != nil || len(runs) == 0 {
		return false, err
	}
	w.result.WaitingRuns, w.result.Status = runs, "parked"
	return true, nil
}

// takeUpdate tells what has happened, and asks for approvals. It says whether the run is parked, since the wallet does
// not sign here.
func (w *watcher) takeUpdate(ctx context.Context, u watched) (parked bool, err error) {
	switch {
	case u.err != nil:
		return false, overWhileWatched(u.err, w.run)
	case u.Void:
		w.result = runResult{Run: w.run, Status: "running"}
		return false, nil
	case u.Event == nil:
		w.typeText(u.Delta)
		return false, nil // the step that follows has the whole text
	}
	ev := u.Event
	w.endTyping(ev)
	w.result.Steps, w.result.Last = ev.Seq+1, ev.CID
	w.teller.Tell(ev)
	if ev.Event.Of != nil {
		delete(w.below, *ev.Event.Of)
	}
	for i := range ev.Does {
		if err := w.takeEffect(ctx, wire.Ref{Seq: ev.Seq, Index: uint64(i)}, &ev.Does[i]); err != nil {
			return false, err
		}
	}
	if len(w.result.Waiting) == 0 && w.result.Asks == nil {
		return false, nil
	}
	now, err := w.client.Run(ctx, w.run)
	if err != nil || now.Status != "parked" || now.Steps != w.result.Steps {
		return false, nil // it goes on, and its next update says how
	}
	w.result.Status = "parked"
	return true, nil
}

// typeText shows a piece of an answer while it is written, to somebody who looks.
func (w *watcher) typeText(d *wire.RunDelta) {
	if d == nil || w.JSON || w.Quiet || !cli.IsTerminal(w.Out) {
		return
	}
	if d.Place > 0 && (w.place == 0 || d.Place <= w.place/2) { // a line of each place would be too many
		w.place = d.Place
		fmt.Fprintf(w.Err, "waits for the model: number %d in its queue\n", d.Place)
	}
	w.typed += d.Text
	fmt.Fprint(w.Out, cli.Paint(w.Color(w.Out)).Dim(cli.Plain(d.Text)))
}

// endTyping ends the line of an answer that was written; the step that follows says what of it holds.
func (w *watcher) endTyping(ev *wire.RunEvent) {
	if w.typed != "" && ev.Event.Kind == "reply" {
		fmt.Fprintln(w.Out)
		w.typed = ""
	}
}

// takeEffect notes what an effect of the newest step says of the run.
func (w *watcher) takeEffect(ctx context.Context, at wire.Ref, e *wire.Effect) error {
	switch e.Kind {
	case "call":
		if strings.HasPrefix(e.Tool, "agent.") {
			w.below[at] = true
		}
		if e.Phase == "ask" {
			return w.askUser(ctx, at, e.Args)
		}
	case "say":
		if w.result.Said != "" {
			w.result.Said += "\n"
		}
		w.result.Said += e.Text
	case "close":
		w.result.Status, w.result.Fault, w.result.Whose = e.Reason, e.Code, e.Whose
		w.result.Retryable, w.result.RetryAfterMS = e.Retryable, e.RetryAfterMS
	case "seek":
		left, err := w.seekApproval(ctx, w.client, w.session, w.run, at, w.approve)
		if err != nil {
			return err
		}
		if left {
			w.result.Waiting = append(w.result.Waiting, fmt.Sprintf("%d.%d", at.Seq, at.Index))
		}
	}
	return nil
}

// overWhileWatched says what is left to do when the session has ended before the run.
func overWhileWatched(err error, run string) error {
	f := cli.FailureOf(err)
	if f.Exit != cli.ExitSignIn {
		return err
	}
	why := "your session has ended"
	e, _ := errors.AsType[*wire.Error](err)
	switch code := wire.Code(f.Code); {
	case e != nil && e.Data.Reason == "session.idle":
		why = "your session was not used for too long and has ended"
	case code == wire.CodeExpired:
		why = "your session has reached the end that the wallet signed"
	case code == wire.CodeRevoked:
		why = "your session was revoked"
	}
	return cli.Failf(cli.ExitSignIn, f.Code,
		"%s while the run was watched; sign in again (writ login) and see what came of it: writ runs show %s", why, run)
}

// keepAlive renews the session where it would soon end for want of use. A renewal gives nothing else: what the wallet
// allowed, and until when, stays as it was signed.
func (a *app) keepAlive(ctx context.Context, cl *client.Client, run string) error {
	now := time.Now()
	if a.renewAt.IsZero() || now.Before(a.renewAt) {
		return nil
	}
	s, err := cl.Renew(ctx)
	if err != nil {
		a.renewAt = now.Add(time.Minute)
		if cli.FailureOf(err).Exit == cli.ExitSignIn {
			return overWhileWatched(err, run)
		}
		return nil // the server does not answer now; the events say so if it stays away
	}
	a.renewLater(s)
	return nil
}

// renewLater notes when a session is to be renewed: half way to its end for want of use, if that is not its end anyway.
func (a *app) renewLater(s wire.Session) {
	a.renewAt = time.Time{}
	if s.Idle < s.Expires {
		a.renewAt = time.Now().Add(time.Until(time.UnixMilli(s.Idle)) / 2)
	}
}

// seekBelow asks for what the sub-agents below a run wait for, each once. It returns the runs that are left waiting.
func (a *app) seekBelow(
	ctx context.Context, cl *client.Client, s cli.SavedSession, run string, approve bool, asked map[string]bool,
) (left []string, err error) {
	all, err := cl.Approvals(ctx)
	if err != nil {
		return nil, overWhileWatched(err, run)
	}
	for _, w := range all {
		id := fmt.Sprintf("%s/%d.%d", w.Run, w.Effect.Seq, w.Effect.Index)
		if !slices.Contains(w.Callers, run) || asked[id] {
			continue
		}
		asked[id] = true
		a.Note("a sub-agent waits for the wallet, in run %s", w.Run)
		waits, err := a.seekApproval(ctx, cl, s, w.Run, w.Effect, approve)
		if err != nil {
			return nil, err
		}
		if waits {
			left = append(left, w.Run)
		}
	}
	return left, nil
}

// reportEnd prints how a run ended. Each outcome has an exit code of its own; only an answer is a success.
func (a *app) reportEnd(r runResult) error {
	text := func(w io.Writer) {
		if r.Said != "" {
			fmt.Fprintln(w, cli.Plain(r.Said))
		}
	}
	outcome, exit := cli.OutcomeOf(r.Status)
	if r.Asks != nil && r.Status == "parked" {
		outcome, exit = "asks", cli.ExitAsks
	}
	if r.Outcome = outcome; exit == cli.ExitOK {
		return a.Done(r, text)
	}
	if !a.JSON {
		text(a.Out)
	}
	f := cli.Failf(exit, outcome, "the run ended: %s; see: writ runs show %s", outcome, r.Run)
	switch {
	case outcome == "asks":
		f.Message = "the run asks you something; answer it with: writ send " + r.Run + " ANSWER"
	case outcome == "running":
		f.Message = "the run goes on at the server; follow it with: writ runs show " + r.Run
	case outcome == "waiting":
		f.Message = "the run waits for the wallet; approve or refuse it with: writ approve " + r.Run
	case r.Fault != "":
		f.Message = fmt.Sprintf("the run ended: %s (%s); see: writ runs show %s", outcome, r.Fault, r.Run)
	}
	f.Result = r
	return f
}

// seekApproval asks for an approval where the wallet is at hand. It says whether the call is left waiting.
func (a *app) seekApproval(
	ctx context.Context, cl *client.Client, s cli.SavedSession, run string, ref wire.Ref, approve bool,
) (left bool, err error) {
	all, err := cl.Approvals(ctx)
	if err != nil {
		return false, err
	}
	for _, w := range all {
		if w.Run != run || w.Effect != ref {
			continue
		}
		if _, err := a.showCard(s, w); err != nil {
			return false, err
		}
		switch {
		case s.Wallet == "":
			return true, nil
		case approve:
		case a.JSON || !cli.IsTerminal(a.In):
			return true, nil
		default:
			if ok, err := a.Ask(ctx, "Approve with the wallet "+s.Account+"?"); err != nil {
				return false, err
			} else if !ok {
				return false, cl.Refuse(ctx, w, "refused by the user")
			}
		}
		return false, a.signApproval(ctx, cl, s, s.Wallet, w)
	}
	return false, nil // answered already, from elsewhere or before
}
