// Command writ runs AI agents for wallets, talks to them, and checks what they did.
//
// Main reads the arguments, calls what does the work (a server is internal/node's), and turns whatever comes back into
// one answer: text for people or, with --json, exactly one JSON object on standard output, on success and on failure.
// Results go to standard output, progress and errors to standard error, and the exit code says what kind of end it
// was (exit.go; `writ help exit-codes`). Each command has a file of its own, and a script in testdata/script that
// reads as its manual.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/accounting"
	"github.com/writ-run/writ/internal/cli/beside"
	"github.com/writ-run/writ/internal/cli/bridge"
	"github.com/writ-run/writ/internal/cli/contexts"
	"github.com/writ-run/writ/internal/cli/demo"
	"github.com/writ-run/writ/internal/cli/disclosing"
	"github.com/writ-run/writ/internal/cli/doctor"
	"github.com/writ-run/writ/internal/cli/keep"
	"github.com/writ-run/writ/internal/cli/mandating"
	"github.com/writ-run/writ/internal/cli/overlook"
	"github.com/writ-run/writ/internal/cli/owntools"
	"github.com/writ-run/writ/internal/cli/pay"
	"github.com/writ-run/writ/internal/cli/payments"
	"github.com/writ-run/writ/internal/cli/routing"
	"github.com/writ-run/writ/internal/cli/runs"
	"github.com/writ-run/writ/internal/cli/settling"
	"github.com/writ-run/writ/internal/cli/shelf"
	"github.com/writ-run/writ/internal/cli/showrecord"
	"github.com/writ-run/writ/internal/cli/talk"
)

func main() { os.Exit(Main()) }

// Main runs writ with the process's arguments and returns its exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	a := &app{Shell: &cli.Shell{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv}}
	return a.main(ctx, os.Args[1:])
}

// An app is one run of the program.
type app struct {
	*cli.Shell

	verbose bool      // each step of a run is told
	renewAt time.Time // when the session is to be renewed while something is watched; zero for never
}

func (a *app) main(ctx context.Context, args []string) int {
	return a.Run(ctx, a.root(), args, "what was started on a server goes on there: writ runs ls")
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "writ",
		Short: "AI agents that act only within what a wallet signed, and leave proof of it",
		Long: `writ runs AI agents that can do nothing outside a wallet-signed permission and nothing unrecorded.

  writ dev                       a server with a chain of its own, on this machine, for trying things out
  writ run "send 5 USDC to bob"  ask an agent for something
  writ export RUN --out run.car  take the proof with you
  writ verify run.car            check it as a stranger would, without any server`,
	}
	root.AddCommand(
		demo.Command(a.Shell), devCommand(a), serveCommand(a), beside.Devchain(a.Shell), initCommand(a), loginCommand(a),
		logoutCommand(a), whoamiCommand(a), sessionsCommand(a), delegationsCommand(a), authCommand(a),
		runCommand(a), sendCommand(a), runs.Fork(a.Shell, a.connectSaved, &a.verbose, watchNew(a)),
		runs.Command(a.Shell, a.connectSaved, settling.Command(a.Shell)),
		talk.Command(a.Shell, a.connectSaved), shelf.Command(a.Shell),
		approveCommand(a), pay.Command(a.Shell, a.connectSaved), mandating.Command(a.Shell, a.connectSaved), keyCommand(a),
		bridge.Command(a.Shell, version), exportCommand(a), importCommand(a),
		beside.Gateway(a.Shell), beside.Witness(a.Shell), beside.Anchor(a.Shell),
		disclosing.Disclose(a.Shell, discloseOnline(a)), disclosing.Erase(a.Shell),
		holdCommand(a), accounting.Costs(a.Shell, a.connectSaved), accounting.Prices(a.Shell), accounting.Replay(a.Shell),
		keep.Backup(a.Shell, version), keep.Restore(a.Shell), keep.Log(a.Shell), keep.Webhooks(a.Shell),
		showrecord.Command(a.Shell), showrecord.Verify(a.Shell),
		policyCommand(a), routing.Command(a.Shell), agentsCommand(a), owntools.Command(a.Shell),
		walletCommand(a), payments.Command(a.Shell), overlook.Command(a.Shell), contexts.Command(a.Shell),
		configCommand(a),
		doctor.Command(a.Shell), doctor.Attention(a.Shell), versionCommand(a), cli.ExitCodesTopic(),
	)
	return root
}
