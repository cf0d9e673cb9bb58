package main

import (
	"fmt"
	"io"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
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

func (a *app) delegationsCommand() *cobra.Command {
	var server, session, reason string
	var by revoker
	list := &cobra.Command{
		Use: "ls", Short: "List what your agents have delegated to sub-agents, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, _, err := a.connect(c.Context(), server)
			if err != nil {
				return err
			}
			defer cl.Close()
			all, err := delegations(c, cl)
			if err != nil {
				return err
			}
			return a.done(map[string]any{"delegations": all}, func(w io.Writer) {
				for _, d := range all {
					fmt.Fprintf(w, "%s  %-10s %-12s run %s\n", d.Delegation, d.Status, d.Agent, d.Run)
				}
				if len(all) == 0 {
					fmt.Fprintln(w, "no sub-agent was called")
				}
			})
		},
	}
	revoke := &cobra.Command{
		Use: "revoke DELEGATION", Short: "End a sub-agent's run and those that it has called",
		Long: `Ends one delegation: the sub-agent's run that acts under it and the runs of those that it has called stop, calls under
way are cancelled, and nothing under it spends any more. The run that called goes on and is told; so does the session,
which ` + "`writ sessions revoke`" + ` ends. The session that you are signed in with may end any of the same wallet. Without it, the
wallet itself (--key, --keystore) or the operator (--operator, the server's data folder) signs, and --session says whose
delegation it is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := cid.Decode(args[0])
			if err != nil {
				return usage("%q is not a delegation; writ delegations ls lists them", args[0])
			}
			if by != (revoker{}) {
				of, err := cid.Decode(session)
				if err != nil {
					return usage("say with --session which session the delegation comes from")
				}
				text, err := auth.DelegationEndText(of, id, reason, time.Now().UTC().Truncate(time.Second))
				if err != nil {
					return usage("%s", err)
				}
				err = a.revokeWith(c.Context(), server, wire.RevokeParams{Session: session, Delegation: args[0]}, text, by)
				if err != nil {
					return err
				}
			} else {
				cl, _, err := a.connect(c.Context(), server)
				if err != nil {
					return err
				}
				defer cl.Close()
				all, err := delegations(c, cl)
				if err != nil {
					return err
				}
				for _, d := range all {
					if d.Delegation == args[0] {
						session = d.Session
					}
				}
				if session == "" {
					return failf(exitIncomplete, "not_found", "%s is none of your delegations; see: writ delegations ls", args[0])
				}
				if err := cl.RevokeDelegation(c.Context(), session, args[0], reason); err != nil {
					return err
				}
			}
			return a.done(map[string]any{"delegation": args[0]}, func(w io.Writer) { fmt.Fprintln(w, "revoked") })
		},
	}
	f := revoke.Flags()
	f.StringVar(&reason, "reason", "", "why, for the record")
	f.StringVar(&session, "session", "", "the `session` that it comes from, for who is not signed in")
	f.StringVar(&by.key, "key", "", "where the wallet's private key is: file:PATH or env:NAME")
	f.StringVar(&by.keystore, "keystore", "", "encrypted key `file` of the wallet")
	f.StringVar(&by.operator, "operator", "", "data `folder` of the server, whose key signs")
	g := group("delegations", "List and revoke what agents have delegated to sub-agents", list, revoke)
	g.PersistentFlags().StringVar(&server, "server", "", "`URL` of the server")
	return g
}

// delegations lists those behind the newest thousand runs of the wallet.
func delegations(c *cobra.Command, cl *client.Client) ([]delegationInfo, error) {
	runs, err := cl.Runs(c.Context(), 1000)
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
