package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/cli"
)

// A wallet of a real browser signs in, and then approves one call on the page of `writ approve --browser`, or declines.
// What it signs is the EIP-712 ToolApproval of exactly that call.
func TestBrowserApproves(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and a browser")
	}
	t.Parallel()
	node(t, "approve.mjs")
	chromium := browser(t)
	r, bin, home := dev(t)
	env := append(os.Environ(), "WRIT_HOME="+home, "WRIT_E2E_KEY=0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
	// onPage runs a command that opens a page, lets the script act on it, and returns what both said.
	onPage := func(script, does string, args ...string) (exit int, answer string, page []byte) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), bin, args...)
		cmd.Env = env
		var out bytes.Buffer
		cmd.Stdout = &out
		progress, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		url, said := "", ""
		lines := bufio.NewScanner(progress)
		for url == "" && lines.Scan() {
			said += lines.Text() + "\n"
			if s := strings.TrimSpace(lines.Text()); strings.HasPrefix(s, "http://127.0.0.1:") {
				url = s
			}
		}
		if url == "" {
			cmd.Wait()
			t.Fatalf("%s %v opened no page: %s", does, args, said)
		}
		browsing := []string{url, does, chromium}
		if dir := os.Getenv("WRIT_E2E_PICTURES"); dir != "" && script == "approve.mjs" {
			name := map[string]string{"sign": "/approve.png", "decline": "/approve-dark.png"}[does]
			browsing = append(browsing, dir+name)
		}
		visit := node(t, script, browsing...)
		visit.Env = env
		page, err = visit.Output()
		if err != nil {
			cmd.Process.Kill()
			cmd.Wait()
			t.Fatalf("%s: %v: %s", does, err, visit.Stderr)
		}
		for lines.Scan() {
		}
		cmd.Wait()
		return cmd.ProcessState.ExitCode(), out.String(), page
	}
	if exit, answer, _ := onPage("login.mjs", "sign", "login", "--browser", "--no-open", "--server", r.URL, "--json"); exit != 0 {
		t.Fatalf("sign in: %d %s", exit, answer)
	}
	run := exec.CommandContext(t.Context(), bin, "run", "--json", "--server", r.URL, "send 5 USDC to bob")
	run.Env = env
	b, err := run.Output()
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != cli.ExitWaiting {
		t.Fatalf("it waits for the wallet: %v, %s", err, b)
	}
	var parked struct{ Run, Status string }
	if err := json.Unmarshal(b, &parked); err != nil || parked.Status != "parked" {
		t.Fatalf("%s: %v", b, err)
	}
	for _, c := range []struct {
		does       string
		exit       int
		says, ends string
	}{
		{"decline", 5, "Cancelled. Nothing was signed", "the run still waits"},
		{"sign", 0, "Approved: exactly this call", "Sent 5 USDC to bob"},
	} {
		exit, answer, out := onPage("approve.mjs", c.does, "approve", parked.Run, "--browser", "--no-open", "--server", r.URL, "--json")
		var page struct {
			Other, Rows, Text, Declined, Status string
			Typed                               struct {
				PrimaryType string
				Message     map[string]any
			}
			Faults []string
		}
		if err := json.Unmarshal(out, &page); err != nil {
			t.Fatal(err)
		}
		if exit != c.exit || !strings.Contains(page.Status, c.says) || !strings.Contains(answer, c.ends) {
			t.Errorf("%s: exit code %d, %q and %s; want %d, %q and %q", c.does, exit, page.Status, answer, c.exit, c.says, c.ends)
		}
		if len(page.Faults) > 0 {
			t.Errorf("%s: the browser complains: %q", c.does, page.Faults)
		}
		if !strings.Contains(page.Other, "Only the account 0x") {
			t.Errorf("%s: with another account chosen the page says %q", c.does, page.Other)
		}
		for _, want := range []string{"5 USDC", "erc20.transfer", "bob", "simulated", "until"} {
			if !strings.Contains(page.Rows, want) {
				t.Errorf("%s: the page does not show %q: %s", c.does, want, page.Rows)
			}
		}
		if c.does == "decline" {
			if !strings.Contains(page.Declined, "You declined in the wallet") {
				t.Errorf("declined: got %q", page.Declined)
			}
			continue
		}
		if page.Typed.PrimaryType != "ToolApproval" || page.Typed.Message["tool"] != "erc20.transfer" || page.Typed.Message["maxAmount"] != "5000000" {
			t.Errorf("the wallet signed %+v", page.Typed)
		}
	}
}
