package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
)

// A program that reads --json sees ok only if the run has done what was asked, with the word and the exit code of its end.
func TestOnlyAnAnswerIsOK(t *testing.T) {
	for status, want := range map[string]int{
		"answered": cli.ExitOK, "denied": cli.ExitDenied, "parked": cli.ExitWaiting, "failed": cli.ExitFailed,
		"truncated": cli.ExitTruncated, "declined": cli.ExitDeclined, "limit": cli.ExitLimit, "timeout": cli.ExitTimeout,
		"cancelled": cli.ExitCancelled, "revoked": cli.ExitRevoked, "in_doubt": cli.ExitInDoubt, "running": cli.ExitIncomplete,
	} {
		var out bytes.Buffer
		a := &app{Shell: &cli.Shell{Out: &out, Err: io.Discard}}
		ended := runResult{Run: "r", Status: status, Said: "words", Fault: "tool.setup", Whose: "us"}
		root := &cobra.Command{Use: "writ", RunE: func(*cobra.Command, []string) error { return a.reportEnd(ended) }}
		got := a.Run(t.Context(), root, []string{"--json"}, "")
		var end struct {
			OK                   bool
			Outcome, Said, Whose string
			Error                struct{ Code, Message string }
		}
		if err := json.Unmarshal(out.Bytes(), &end); err != nil {
			t.Fatalf("%s: %v: %s", status, err, out.String())
		}
		outcome, _ := cli.OutcomeOf(status)
		if got != want || end.OK != (status == "answered") || end.Outcome != outcome || end.Said != "words" || end.Whose != "us" ||
			!end.OK && end.Error.Code != outcome || status == "running" && strings.Contains(end.Error.Message, "ended") {
			t.Errorf("%s: exit code %d, want %d; %s", status, got, want, out.String())
		}
	}
}
