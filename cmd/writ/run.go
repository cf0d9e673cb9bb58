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

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
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
	// WaitingRuns are the runs of sub-agents that wait for the wallet.
	WaitingRuns []string `json:"waiting_runs,omitempty"`
	Receipt     string   `json:"receipt,omitempty"` // file with the proof that the newest head stands in the server's log
}

func (a *app) runCommand() *cobra.Command {
	var server, agent, key string
	var approve bool
	c := &cobra.Command{
		Use: "run TEXT", Short: "Ask an agent for something, and watch it",
		Long: `Starts a run and shows its steps on standard error as they become durable: which model was chosen and why, what
policies decided, which tools were called. The answer goes to standard output.

Where the wallet must approve a call, its exact content is shown. On a terminal you are asked; with --yes-approve the
wallet signs without asking; otherwise the run waits, and ` + "`writ approve`" + ` goes on with it, from anywhere.`,
		Args: cobra.MatchAll(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			cl, s, err := a.connect(c.Context(), server)
			if err != nil {
				return err
			}
			defer cl.Close()
			if agent == "" {
				agent = s.Agent
			}
			text := strings.Join(args, " ")
			if strings.TrimSpace(text) == "" {
				return usage(`say what you want: writ run "what is alice's USDC balance?"`)
			}
			started, err := cl.Start(c.Context(), wire.StartParams{Agent: agent, Input: text, Key: key})
			if err != nil {
				return err
			}
			return a.watch(c.Context(), cl, s, started.Run, approve, nil)
		},
	}
	f := c.Flags()
	f.StringVar(&server, "server", "", "`URL` of the server")
	f.StringVar(&agent, "agent", "", "which agent (default: the session's)")
	f.StringVar(&key, "idempotency-key", "", "the same `key` and text start the run only once")
	f.StringVar(&a.passwordFile, "password-file", "", "`file` with the password of the wallet's key file, to approve")
	f.BoolVar(&approve, "yes-approve", false, "approve with the wallet's key without asking")
	return c
}

// A watched is one update of client.Client.Events.
type watched struct {
	client.Update
	err error
}

// watch follows a run, from its start or after from, until it closes or waits for a wallet that does not sign here. What
// the sub-agents that it calls ask of the wallet is asked here too. While it watches the session does not end for want of
// use; it still ends at its time.
func (a *app) watch(ctx context.Context, cl *client.Client, s saved, run string, approve bool, from *wire.From) error {
	p := paint(a.color(a.err))
	if !a.json {
		a.note("%s %s", p.dim("run"), run)
	}
	r := runResult{Run: run, Status: "running"}
	t := &teller{paint: p, say: func(line string) { a.note("%s", line) }}
	pumping, stop := context.WithCancel(ctx)
	updates := make(chan watched)
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
	defer pump.Wait()
	defer stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	out := map[wire.Ref]bool{} // open calls of sub-agents
	asked := map[string]bool{} // of what they wait for
	for open := true; open; {
		var u watched
		select {
		case u, open = <-updates:
			if !open {
				continue
			}
		case <-tick.C:
			if err := a.keepAlive(ctx, cl, run); err != nil {
				return err
			}
			if len(out) == 0 {
				continue
			}
			left, err := a.seekBelow(ctx, cl, s, run, approve, asked)
			if err != nil {
				return err
			}
			if len(left) > 0 {
				r.WaitingRuns, r.Status = left, "parked"
				return a.finish(r)
			}
			continue
		}
		if u.err != nil {
			return overWhileWatched(u.err, run)
		}
		switch {
		case u.Void:
			r = runResult{Run: run, Status: "running"}
			continue
		case u.Event == nil:
			continue // the step that follows has the whole text
		}
		ev := u.Event
		r.Steps, r.Last = ev.Seq+1, ev.CID
		t.tell(ev)
		if ev.Event.Of != nil {
			delete(out, *ev.Event.Of)
		}
		for i, e := range ev.Does {
			switch e.Kind {
			case "call":
				if strings.HasPrefix(e.Tool, "agent.") {
					out[wire.Ref{Seq: ev.Seq, Index: uint64(i)}] = true
				}
			case "say":
				if r.Said != "" {
					r.Said += "\n"
				}
				r.Said += e.Text
			case "close":
				r.Status = e.Reason
			case "seek":
				left, err := a.seek(ctx, cl, s, run, wire.Ref{Seq: ev.Seq, Index: uint64(i)}, approve)
				if err != nil {
					return err
				}
				if left {
					r.Waiting = append(r.Waiting, fmt.Sprintf("%d.%d", ev.Seq, i))
				}
			}
		}
		if len(r.Waiting) > 0 {
			if now, err := cl.Run(ctx, run); err == nil && now.Status == "parked" && now.Steps == r.Steps {
				r.Status = "parked"
				break
			}
		}
	}
	r.Receipt = a.keepReceipt(ctx, cl, run)
	return a.finish(r)
}

// overWhileWatched says what is left to do when the session has ended before the run.
func overWhileWatched(err error, run string) error {
	f := failureOf(err)
	if f.exit != exitSignIn {
		return err
	}
	why := "your session has ended"
	e, _ := errors.AsType[*wire.Error](err)
	switch code := wire.Code(f.code); {
	case e != nil && e.Data.Reason == "session.idle":
		why = "your session was not used for too long and has ended"
	case code == wire.CodeExpired:
		why = "your session has reached the end that the wallet signed"
	case code == wire.CodeRevoked:
		why = "your session was revoked"
	}
	return failf(exitSignIn, f.code, "%s while the run was watched; sign in again (writ login) and see what came of it: writ runs show %s", why, run)
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
		if failureOf(err).exit == exitSignIn {
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
func (a *app) seekBelow(ctx context.Context, cl *client.Client, s saved, run string, approve bool, asked map[string]bool) (left []string, err error) {
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
		a.note("a sub-agent waits for the wallet, in run %s", w.Run)
		waits, err := a.seek(ctx, cl, s, w.Run, w.Effect, approve)
		if err != nil {
			return nil, err
		}
		if waits {
			left = append(left, w.Run)
		}
	}
	return left, nil
}

// finish prints how a run ended. A refusal has an exit code of its own.
func (a *app) finish(r runResult) error {
	text := func(w io.Writer) {
		if r.Said != "" {
			fmt.Fprintln(w, plain(r.Said))
		}
	}
	switch r.Status {
	case "answered":
		return a.done(r, text)
	case "parked":
		a.note("the run waits for the wallet; approve or refuse it with: writ approve %s", r.Run)
		return a.done(r, text)
	}
	if !a.json {
		text(a.out)
	}
	f := failf(exitInternal, r.Status, "the run ended: %s; see: writ runs show %s", r.Status, r.Run)
	switch r.Status {
	case "denied", "revoked":
		f.exit = exitDenied
	case "limit", "timeout", "cancelled":
		f.exit = exitIncomplete
	}
	f.result = r
	return f
}

// seek asks for an approval where the wallet is at hand. It says whether the call is left waiting.
func (a *app) seek(ctx context.Context, cl *client.Client, s saved, run string, ref wire.Ref, approve bool) (left bool, err error) {
	all, err := cl.Approvals(ctx)
	if err != nil {
		return false, err
	}
	for _, w := range all {
		if w.Run != run || w.Effect != ref {
			continue
		}
		if _, err := a.card(s, w); err != nil {
			return false, err
		}
		switch {
		case s.Wallet == "":
			return true, nil
		case approve:
		case a.json || !isTerminal(a.in):
			return true, nil
		default:
			if ok, err := a.ask(ctx, "Approve with the wallet "+s.Account+"?"); err != nil {
				return false, err
			} else if !ok {
				return false, cl.Refuse(ctx, w, "refused by the user")
			}
		}
		return false, a.sign(ctx, cl, s, s.Wallet, w)
	}
	return false, nil // answered already, from elsewhere or before
}

func (a *app) runsCommand() *cobra.Command {
	var server string
	var limit int
	list := &cobra.Command{
		Use: "ls", Short: "List the wallet's runs, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, _, err := a.connect(c.Context(), server)
			if err != nil {
				return err
			}
			defer cl.Close()
			all, err := cl.Runs(c.Context(), limit)
			if err != nil {
				return err
			}
			return a.done(wire.Runs{Runs: all}, func(w io.Writer) {
				for _, r := range all {
					fmt.Fprintf(w, "%s  %-10s %3d steps  %s  %s\n", r.ID, r.Status, r.Steps, r.Agent, clock(r.Opened))
				}
			})
		},
	}
	list.Flags().IntVar(&limit, "limit", 20, "how many at most")
	show := &cobra.Command{
		Use: "show RUN", Short: "Show a run's steps", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := isCID(args[0]); err != nil {
				return err
			}
			cl, _, err := a.connect(c.Context(), server)
			if err != nil {
				return err
			}
			defer cl.Close()
			info, err := cl.Run(c.Context(), args[0])
			if err != nil {
				return err
			}
			var events []*wire.RunEvent
			for u, err := range cl.Events(c.Context(), args[0], nil) {
				if err != nil {
					return err
				}
				if u.Event != nil {
					events = append(events, u.Event)
				}
				if uint64(len(events)) >= info.Steps {
					break
				}
			}
			v := struct {
				wire.Run
				Events []*wire.RunEvent `json:"events"`
			}{info, events}
			return a.done(v, func(w io.Writer) {
				fmt.Fprintf(w, "run %s: %s\n", info.ID, info.Status)
				t := &teller{paint: paint(a.color(a.out)), say: func(line string) { fmt.Fprintln(w, line) }, all: true}
				for _, ev := range events {
					t.tell(ev)
				}
			})
		},
	}
	cancel := &cobra.Command{
		Use: "cancel RUN", Short: "End a run; what it did stays done and recorded", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := isCID(args[0]); err != nil {
				return err
			}
			cl, _, err := a.connect(c.Context(), server)
			if err != nil {
				return err
			}
			defer cl.Close()
			if err := cl.Cancel(c.Context(), args[0]); err != nil {
				return err
			}
			return a.done(map[string]any{"run": args[0]}, func(w io.Writer) { fmt.Fprintln(w, "cancelled") })
		},
	}
	g := group("runs", "List, show and cancel runs", list, show, cancel)
	g.PersistentFlags().StringVar(&server, "server", "", "`URL` of the server")
	return g
}

func isCID(s string) error {
	if _, err := cid.Decode(s); err != nil {
		return usage("%q is not a CID; writ runs ls shows those of your runs", s)
	}
	return nil
}
