// Command writ runs AI agents for wallets, talks to them, and checks what they did.
//
// Main reads the arguments, builds the parts from the leaves up (compose.go), and turns whatever comes back into one
// answer: text for people or, with --json, exactly one JSON object on standard output, on success and on failure.
// Results go to standard output, progress and errors to standard error, and the exit code says what kind of end it
// was (exit.go; `writ help exit-codes`). Each command has a file of its own, and a script in testdata/script that
// reads as its manual.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"
)

func main() { os.Exit(Main()) }

// Main runs writ with the process's arguments and returns its exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
	return a.main(ctx, os.Args[1:])
}

// An app is one run of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string

	passwordFile string // of a key file; see keystore

	renewAt time.Time // when the session is to be renewed while something is watched; zero for never

	json        bool        // one object on out and nothing else
	quiet       bool        // no progress on err
	called      bool        // the arguments were in order, and a command has begun
	untilSignal bool        // the command runs until a signal, which then is no error
	lines       chan string // of in, once somebody was asked for one; see line
}

func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !a.called { // cobra found the arguments wrong, before it could read --json perhaps
		a.json = a.json || slices.Contains(args, "--json")
		err = usage("%s; see: writ help", err)
	}
	if ctx.Err() != nil && !a.untilSignal && errors.Is(err, context.Canceled) {
		err = &failure{exit: exitInterrupt, code: "interrupted", message: "interrupted; what was started on a server goes on there: writ runs ls"}
	}
	f := failureOf(err)
	switch {
	case a.json:
		a.object(map[string]any{"code": f.code, "message": f.message}, f.result)
	case f.message != "":
		fmt.Fprintln(a.err, "writ:", f.message)
	}
	return f.exit
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
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { a.called = true },
	}
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print one JSON object, on failure too")
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "print no progress")
	root.AddCommand(
		a.demoCommand(), a.devCommand(), a.serveCommand(), a.devchainCommand(), a.initCommand(),
		a.loginCommand(), a.logoutCommand(), a.whoamiCommand(), a.sessionsCommand(), a.delegationsCommand(), a.authCommand(),
		a.runCommand(), a.runsCommand(), a.approveCommand(),
		a.keyCommand(), a.exportCommand(), a.importCommand(), a.gatewayCommand(), a.witnessCommand(), a.anchorCommand(), a.discloseCommand(), a.eraseCommand(), a.holdCommand(), a.catCommand(), a.verifyCommand(),
		a.policyCommand(), a.agentsCommand(), a.configCommand(), a.doctorCommand(), a.versionCommand(),
		exitCodesTopic(),
	)
	return root
}

// group is a command that only holds others; called bare or with a wrong name it says which there are.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage("say which: %s; see: writ %s --help", subcommands(c), use)
		}
		return usage("there is no command %q in writ %s; there are: %s", args[0], use, subcommands(c))
	}
	c.AddCommand(commands...)
	return c
}

func subcommands(c *cobra.Command) string {
	s := ""
	for i, sub := range c.Commands() {
		if i > 0 {
			s += ", "
		}
		s += sub.Name()
	}
	return s
}

// isTerminal says whether a person is at the other end of a stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(f.Fd())
}
