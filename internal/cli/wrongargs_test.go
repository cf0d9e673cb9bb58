package cli

import (
	"bytes"
	"context"
	"testing"

	"github.com/spf13/cobra"
)

func TestWrongArgumentsAreOneSentenceWithTheNextStep(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"serv"}, `unknown command "serv" for "writ"; did you mean "serve"?; see: writ help`},
		{[]string{"revoke"}, `unknown command "revoke" for "writ"; did you mean "sessions"?; see: writ help`},
		{[]string{"nosuch"}, `unknown command "nosuch" for "writ"; see: writ help`},
		{[]string{"export"}, "writ export was given no argument; write it as: writ export RUN; see: writ export --help"},
		{[]string{"export", "a", "b"}, "writ export was given 2 arguments; write it as: writ export RUN; see: writ export --help"},
		{[]string{"ask"}, "writ ask was given no argument; write it as: writ ask WHAT...; see: writ ask --help"},
		{[]string{"serve", "a"}, `writ serve takes no arguments, and was given "a"; see: writ serve --help`},
		{[]string{"serve", "--nosuch"}, "unknown flag: --nosuch; see: writ serve --help"},
	} {
		nothing := func(*cobra.Command, []string) error { return nil }
		root := &cobra.Command{Use: "writ"}
		root.AddCommand(
			&cobra.Command{Use: "serve", Args: cobra.NoArgs, RunE: nothing, DisableFlagsInUseLine: true},
			&cobra.Command{Use: "export RUN", Args: cobra.ExactArgs(1), RunE: nothing, DisableFlagsInUseLine: true},
			&cobra.Command{Use: "ask WHAT...", Args: cobra.MinimumNArgs(1), RunE: nothing, DisableFlagsInUseLine: true},
			&cobra.Command{Use: "sessions", SuggestFor: []string{"revoke"}, RunE: nothing},
		)
		var out bytes.Buffer
		s := Shell{Out: &out, Err: &out, Env: func(string) string { return "" }}
		if exit := s.Run(context.Background(), root, c.args, ""); exit != ExitUsage {
			t.Errorf("%q: exit %d, want %d", c.args, exit, ExitUsage)
		}
		if got, want := out.String(), "writ: "+c.want+"\n"; got != want {
			t.Errorf("%q:\n got %s want %s", c.args, got, want)
		}
	}
}
