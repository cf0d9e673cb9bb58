package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/cli/demo"
)

// The demo is the product's main job; here it is run as a newcomer runs it, both binaries built from this tree.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds both binaries")
	}
	bin := cmp.Or(os.Getenv("TEST_BIN"), t.TempDir())
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "./", "../writ-audit").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	dir := filepath.Join(t.TempDir(), "demo")
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "writ"), "demo", "--json", "--dir", dir)
	var story strings.Builder
	cmd.Stderr = &story
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, story.String())
	}
	var r struct {
		OK bool
		demo.Report
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("not one JSON object: %v: %s", err, out)
	}
	if !r.OK || !r.Verified || !r.Replayed || r.Tampered == "" {
		t.Errorf("ok %t, verified %t, replayed %t, tampered %q", r.OK, r.Verified, r.Replayed, r.Tampered)
	}
	if !r.Complete {
		t.Error("completeness is not established")
	}
	if r.Seconds > 60 {
		t.Errorf("it took %.0f s", r.Seconds)
	}
	var outcomes []string
	for _, run := range r.Runs {
		outcomes = append(outcomes, run.Outcome)
		if run.Steps == 0 || run.CID == "" {
			t.Errorf("run %q: %d steps, head %q", run.Asked, run.Steps, run.CID)
		}
	}
	if got := strings.Join(outcomes, " "); got != "answered approved denied recovered" {
		t.Errorf("outcomes: %s", got)
	}
	for _, said := range []struct {
		run  int
		want string
	}{{0, "1,000 USDC [step 2, block 1]"}, {1, "Sent 5 USDC to bob"}, {2, "grant/max_per_call_usdc"}, {3, "Sent 2 USDC to alice"}} {
		if !strings.Contains(r.Runs[said.run].Said, said.want) {
			t.Errorf("run %d said %q, want it to hold %q", said.run, r.Runs[said.run].Said, said.want)
		}
	}
	for _, want := range []string{"bob had 25 USDC, and has 30 USDC", "alice had 1000 USDC, and has 1002 USDC", "wants you to sign in", "VERIFIED", "completeness established", "killed"} {
		if !strings.Contains(strings.ReplaceAll(story.String(), "1,0", "10"), want) {
			t.Errorf("the story does not say %q", want)
		}
	}
	for _, car := range r.CAR {
		if _, err := os.Stat(car); err != nil {
			t.Error(err)
		}
		sameReport(t, bin, car)
		sameReport(t, bin, car, "--operator-key", strings.Repeat("11", 32))
	}
	sameReport(t, bin, "demo_test.go")
}

// sameReport checks that both programs print the same report on a file, but for the time.
func sameReport(t *testing.T, bin, file string, args ...string) {
	t.Helper()
	var reports []string
	for _, program := range []string{"writ", "writ-audit"} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, program), append([]string{"verify", file, "--json"}, args...)...)
		out, err := cmd.Output()
		if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
			t.Fatal(err)
		}
		out = regexp.MustCompile(`"checked_at":"[^"]*"`).ReplaceAll(out, nil)
		reports = append(reports, fmt.Sprintf("%d %s", cmd.ProcessState.ExitCode(), out))
	}
	if reports[0] != reports[1] || !strings.Contains(reports[0], `"schema":"writ/report/1"`) {
		t.Errorf("%s %v:\nwrit:       %s\nwrit-audit: %s", file, args, reports[0], reports[1])
	}
}
