package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/client"
)

// A delegationInfo is what a sub-agent's run acts under.
type delegationInfo struct {
	Delegation string `json:"delegation"`
	Session    string `json:"session"`
	Agent      string `json:"agent"`
	Run        string `json:"run"`
	Caller     string `json:"caller"` // the run whose agent called
	Status     string `json:"status"` // of the run
}

// A delegationRevoker performs writ delegations revoke; its fields are the command's flags.
type delegationRevoker struct {
	*app
	server, session, reason string
	by                      revoker
}

func delegationsCommand(a *app) *cobra.Command {
	r := &delegationRevoker{app: a}
	list := &cobra.Command{
		Use: "ls", Short: "List what your agents have delegated to sub-agents, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.listDelegations(c.Context(), r.server) },
	}
	revoke := &cobra.Command{
		Use: "revoke DELEGATION", Short: "End a sub-agent's run and those that it has called",
		Long: `Ends one delegation: the sub-agent's run that acts under it and the runs of those that it has called stop,
calls under way are cancelled, and nothing under it spends any more. The run that called goes on and is told; so does
the session, which ` + "`writ sessions revoke`" + ` ends. The session that you are signed in with may end any of the
same wallet. Without it, the wallet itself (--key, --keystore) or the operator (--operator, the server's data folder)
signs, and --session says whose delegation it is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return r.revokeDelegation(c.Context(), args[0]) },
	}
	f := revoke.Flags()
	f.StringVar(&r.reason, "reason", "", "why, for the record")
	f.StringVar(&r.session, "session", "", "the `session` that it comes from, for who is not signed in")
	f.StringVar(&r.by.key, "key", "", "where the wallet's private key is: file:PATH or env:NAME")
	f.StringVar(&r.by.keystore, "keystore", "", "encrypted key `file` of the wallet")
	f.StringVar(&r.by.operator, "operator", "", "data `folder` of the server, whose key signs")
	g := cli.Group("delegations", "List and revoke what agents have delegated to sub-agents", list, revoke)
	g.PersistentFlags().StringVar(&r.server, "server", "", "`URL` of the server")
	return g
}

func (a *app) listDelegations(ctx context.Context, server string) error {
	cl, _, err := a.connectSaved(ctx, server)
	if err != nil {
		return err
	}
	defer cl.Close()
	all, err := findDelegations(ctx, cl)
	if err != nil {
		return err
	}
	return a.Done(map[string]any{"delegations": all}, func(w io.Writer) {
		for _, d := range all {
			fmt.Fprintf(w, "%s  %-10s %-12s run %s\n", d.Delegation, d.Status, d.Agent, d.Run)
		}
		if len(all) == 0 {
			fmt.Fprintln(w, "no sub-agent was called")
		}
	})
}

// revokeDelegation ends a delegation, by the saved session's word or as the flags say.
func (r *delegationRevoker) revokeDelegation(ctx context.Context, delegation string) error {
	id, err := cid.Decode(delegation)
	if err != nil {
		return cli.Usage("%q is not a delegation; writ delegations ls lists them", delegation)
	}
	if r.by == (revoker{}) {
		err = r.revokeAsSession(ctx, delegation)
	} else {
		err = r.revokeAsSigner(ctx, id)
	}
	if err != nil {
		return err
	}
	return r.Done(map[string]any{"delegation": delegation}, func(w io.Writer) { fmt.Fprintln(w, "revoked") })
}

// revokeAsSigner has the wallet or the operator sign the end of the delegation.
func (r *delegationRevoker) revokeAsSigner(ctx context.Context, id cid.Cid) error {
	of, err := cid.Decode(r.session)
	if err != nil {
		return cli.Usage("say with --session which session the delegation comes from")
	}
	text, err := auth.DelegationEndText(of, id, r.reason, time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return cli.Usage("%s", err)
	}
	return r.revokeWith(ctx, r.server, wire.RevokeParams{Session: r.session, Delegation: id.String()}, text, r.by)
}

// revokeAsSession has the saved session end a delegation of the same wallet.
func (r *delegationRevoker) revokeAsSession(ctx context.Context, delegation string) error {
	cl, _, err := r.connectSaved(ctx, r.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	all, err := findDelegations(ctx, cl)
	if err != nil {
		return err
	}
	session := r.session
	for _, d := range all {
		if d.Delegation == delegation {
			session = d.Session
		}
	}
	if session == "" {
		return cli.Failf(cli.ExitIncomplete, "not_found", "%s is none of your delegations; see: writ delegations ls",
			delegation)
	}
	return cl.RevokeDelegation(ctx, session, delegation, r.reason)
}

// findDelegations lists those behind the newest thousand runs of the wallet.
func findDelegations(ctx context.Context, cl *client.Client) ([]delegationInfo, error) {
	runs, err := cl.Runs(ctx, 1000)
	if err != nil {
		return nil, err
	}
	out := []delegationInfo{}
	for _, r := range runs {
		if r.Delegation != "" {
			out = append(out, delegationInfo{r.Delegation, r.Session, r.Agent, r.ID, r.Caller, r.Status})
		}
	}
	return out, nil
}
