// Package cli is what commands of a program stand on: where they read and write, how they end, and who is asked.
//
// A command prints its result on standard output: text for people or, with --json, exactly one JSON object, on success
// and on failure. Progress and errors go to standard error, and the exit code says what kind of end it was; see
// [FailureOf]. Secrets come by reference ([Shell.RevealSecret]) and never as an argument.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/config"
)

// A Shell is one run of a program: its streams, its environment, and the flags that all commands have.
type Shell struct {
	In       io.Reader
	Out, Err io.Writer
	Env      func(string) string

	JSON  bool // one object on Out and nothing else
	Quiet bool // no progress on Err

	PasswordFile string // of a key file; see OpenWallet
	UntilSignal  bool   // the command runs until a signal, which then is no error

	called bool        // the arguments were in order, and a command has begun
	lines  chan string // of In, once somebody was asked for one; see ReadLine
}

// Run calls the command that the arguments name and returns the exit code. hint is what one may do after an interrupt.
func (s *Shell) Run(ctx context.Context, root *cobra.Command, args []string, hint string) int {
	s.called = false
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentPreRun = func(c *cobra.Command, _ []string) {
		s.called = true
		s.warnOfUnknown(c)
	}
	root.PersistentFlags().BoolVar(&s.JSON, "json", false, "print one JSON object, on failure too")
	root.PersistentFlags().BoolVarP(&s.Quiet, "quiet", "q", false, "print no progress")
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	if !s.called { // cobra found the arguments wrong, before it could read --json perhaps
		s.JSON = s.JSON || slices.Contains(args, "--json")
		err = wrongArguments(root, args, err)
	}
	if ctx.Err() != nil && !s.UntilSignal && errors.Is(err, context.Canceled) {
		err = Failf(ExitInterrupt, "interrupted", "interrupted; %s", hint)
	}
	f := FailureOf(err)
	switch {
	case s.JSON:
		s.printObject(map[string]any{"code": f.Code, "message": f.Message}, f.Result)
	case f.Message != "":
		fmt.Fprintf(s.Err, "%s: %s\n", root.Name(), f.Message)
	}
	return f.Exit
}

// warnOfUnknown tells of variables of the environment that nothing reads. writ serve refuses them by itself.
func (s *Shell) warnOfUnknown(c *cobra.Command) {
	if c.CommandPath() == "writ serve" || len(config.UnknownVariables(os.Environ(), nil)) == 0 {
		return
	}
	cfg, err := config.Load(config.Sources{Env: os.LookupEnv})
	if err != nil {
		cfg = nil // whoever reads the settings says so
	}
	for _, v := range config.UnknownVariables(os.Environ(), cfg) {
		s.Note("%s", Plain(v.String()))
	}
}

// Group is a command that only holds others; called bare or with a wrong name it says which there are.
func Group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return Usage("say which: %s; see: writ %s --help", subcommands(c), use)
		}
		return Usage("there is no command %q in writ %s; there are: %s", args[0], use, subcommands(c))
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

// IsTerminal says whether a person is at the other end of a stream.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(f.Fd())
}
