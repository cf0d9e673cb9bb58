package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// browser returns the path of Chromium. Without one the test does not run; see missing.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "there is no Chromium here: install the package chromium")
	return ""
}

// notingBrowser returns a program that stands for a browser and writes down what it is to open.
func notingBrowser(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "browser")
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho \"$1\" >$OPENED.half && mv $OPENED.half $OPENED\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// A wallet of a real browser signs in on the page of `writ login --browser`, or declines, or is not there.
func TestBrowserSignsIn(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and a browser")
	}
	t.Parallel()
	node(t, "login.mjs")
	chromium := browser(t)
	r, bin, home := dev(t)
	for _, c := range []struct {
		does string
		exit int
		says string
	}{
		{"sign", 0, "Signed in as 0x"},
		{"again", 0, "Signed in as 0x"},
		{"reload", 0, "Signed in as 0x"},
		{"decline", 5, "Cancelled. Nothing was signed"},
		{"none", 5, "Cancelled. Nothing was signed"},
	} {
		login := exec.CommandContext(t.Context(), bin, "login", "--browser", "--server", r.URL, "--json")
		opened := filepath.Join(t.TempDir(), "opened")
		login.Env = append(os.Environ(), "WRIT_HOME="+home, "BROWSER="+notingBrowser(t), "OPENED="+opened)
		var answer bytes.Buffer
		login.Stdout = &answer
		progress, err := login.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := login.Start(); err != nil {
			t.Fatal(err)
		}
		url := ""
		lines := bufio.NewScanner(progress)
		for url == "" && lines.Scan() {
			if s := strings.TrimSpace(lines.Text()); strings.HasPrefix(s, "http://127.0.0.1:") {
				url = s
			}
		}
		if c.does == "sign" { // as the program opens it; in the others by the address that it prints
			until(t, "the browser is started", func() bool {
				file, err := os.ReadFile(opened)
				url = "file://" + strings.TrimSpace(string(file))
				return err == nil
			})
		}
		args := []string{url, c.does, chromium}
		if dir := os.Getenv("WRIT_E2E_PICTURES"); dir != "" && c.does == "sign" {
			args = append(args, dir+"/login.png")
		} else if dir != "" && c.does == "again" {
			args = append(args, dir+"/login-dark.png")
		}
		cmd := node(t, "login.mjs", args...)
		out, err := cmd.Output()
		if err != nil {
			login.Process.Kill()
			login.Wait()
			t.Fatalf("%s: %v: %s", c.does, err, cmd.Stderr)
		}
		for lines.Scan() {
		}
		login.Wait()
		var page struct {
			Account, Limits, Text, Second, Declined, Status string
			Faults                                          []string
		}
		if err := json.Unmarshal(out, &page); err != nil {
			t.Fatal(err)
		}
		if got := login.ProcessState.ExitCode(); got != c.exit || !strings.Contains(page.Status, c.says) {
			t.Errorf("%s: exit code %d and %q, want %d and %q; %s", c.does, got, page.Status, c.exit, c.says, &answer)
		}
		if len(page.Faults) > 0 {
			t.Errorf("%s: the browser complains: %q", c.does, page.Faults)
		}
		if c.does == "none" {
			continue
		}
		if !strings.Contains(page.Limits, "It may spend at most ") || !strings.Contains(page.Text, page.Limits) || !strings.Contains(page.Text, page.Account) {
			t.Errorf("%s: the page shows %q of %q", c.does, page.Limits, page.Text)
		}
		if c.exit == 0 && !strings.Contains(answer.String(), page.Account) {
			t.Errorf("%s: signed in as %s, want %s", c.does, &answer, page.Account)
		}
		if c.does == "again" && !strings.Contains(page.Second, "used already") {
			t.Errorf("the address opened twice: got %q", page.Second)
		}
		if c.does == "decline" && !strings.Contains(page.Declined, "You declined in the wallet") {
			t.Errorf("declined: got %q", page.Declined)
		}
	}
}
