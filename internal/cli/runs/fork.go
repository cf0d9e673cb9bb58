package runs

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/client"
)

// A Watch follows a run to its end, as writ run does. approve has the wallet's key approve without asking.
type Watch func(ctx context.Context, cl *client.Client, s cli.SavedSession, run string, approve bool) error

// Fork returns writ fork. verbose is set if each step is to be told.
func Fork(s *cli.Shell, connect Connector, verbose *bool, watch Watch) *cobra.Command {
	var server, key string
	var approve bool
	c := &cobra.Command{
		Use: "fork RUN STEP TEXT", Short: "Go on from a step of a run, in a run of its own",
		Long: `Starts a run that goes on from a step of another one, which has ended or waits: its agent is told all that was said and
done up to there, and then TEXT. What these steps did is done, and is not done again; what they spent is spent; and an
order in them is none of the new run's. The steps are shared and not copied. writ runs show RUN has their numbers.`,
		Args: cobra.MinimumNArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			seq, err := strconv.ParseUint(args[1], 10, 32)
			if err != nil {
				return cli.Usage("%q is not the number of a step; writ runs show %s has them", args[1], args[0])
			}
			text := strings.TrimSpace(strings.Join(args[2:], " "))
			if text == "" {
				return cli.Usage("say what the agent is to do from there: writ fork %s %d TEXT", args[0], seq)
			}
			cl, session, err := connect(c.Context(), server)
			if err != nil {
				return err
			}
			defer cl.Close()
			run, err := Find(c.Context(), cl, args[0])
			if err != nil {
				return err
			}
			step, agent, err := findStep(c.Context(), cl, run, seq)
			if err != nil {
				return err
			}
			p := wire.ForkParams{Agent: agent, Input: text, Key: key, Step: step}
			started, err := client.Fork(c.Context(), cl, p)
			if err != nil {
				return err
			}
			return watch(c.Context(), cl, session, started.Run, approve)
		},
	}
	f := c.Flags()
	f.StringVar(&server, "server", "", "`URL` of the server")
	f.StringVar(&key, "idempotency-key", "", "the same `key` and text start the run only once, after signing in anew too")
	f.StringVar(&s.PasswordFile, "password-file", "", "`file` with the password of the wallet's key file, to approve")
	f.BoolVar(&approve, "yes-approve", false, "approve with the wallet's key without asking")
	f.BoolVarP(verbose, "verbose", "v", false, "tell each step")
	return c
}

// findStep returns the CID of a step of a run, and the run's agent.
func findStep(ctx context.Context, cl *client.Client, run string, seq uint64) (step, agent string, err error) {
	info, err := cl.Run(ctx, run)
	if err != nil {
		return "", "", err
	}
	if seq >= info.Steps {
		return "", "", cli.Usage("the run has the steps 0 to %d; writ runs show %s lists them", info.Steps-1, run)
	}
	for u, err := range cl.Events(ctx, run, nil) {
		if err != nil {
			return "", "", err
		}
		if u.Event != nil && u.Event.Seq == seq {
			return u.Event.CID, info.Agent, nil
		}
	}
	return "", "", ctx.Err()
}
