package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The pages of the examples in a real browser, each by its one command: a person signs in at a page of another origin than
// the server's, asks, approves, and is denied by a rule.
func TestThePagesOfTheExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts servers and a browser")
	}
	chromium := browser(t)
	for _, name := range []string{"chat-browser", "react-chat", "ai-sdk-usechat"} {
		t.Run(name, func(t *testing.T) {
			nodeOfSDK(t, "build.mjs") // the page in React is built with its packages
			drive := node(t, "chat.mjs", openExample(t, name), chromium)
			out, err := drive.Output()
			if err != nil {
				t.Fatalf("%v: %.2000s", err, drive.Stderr)
			}
			var got struct {
				Balance, Paid, Denied string
				Faults                []string
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatal(err)
			}
			if len(got.Faults) > 0 || !strings.Contains(got.Balance, "alice holds 1,000 USDC") || !strings.Contains(got.Paid, "5 USDC") ||
				!strings.Contains(got.Denied, "50 USDC") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// The auditor as WebAssembly says in a page, offline, what the command says, word for word, of a good file and of one with a
// bit flipped.
func TestTheAuditorPage(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds WebAssembly, and starts a server and a browser")
	}
	chromium := browser(t)
	r, bin, home := dev(t)
	folder := t.TempDir()
	good, flipped := filepath.Join(folder, "good.car"), filepath.Join(folder, "flipped.car")
	keys := filepath.Join(folder, "keys.json")
	p := &person{t: t, bin: bin, home: home, server: r.URL}
	p.must(0, "run", "send 0.5 USDC to bob")
	run, _, _ := strings.Cut(p.must(0, "runs", "ls"), " ")
	p.must(0, "export", run, "--out", good, "--keys", keys)
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(flipped, data, 0o600); err != nil {
		t.Fatal(err)
	}
	operator, err := os.ReadFile(filepath.Join(home, "dev", "operator.pub"))
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(operator))
	drive := node(t, "auditor.mjs", openExample(t, "auditor-page"), chromium, key, keys, good, flipped)
	out, err := drive.Output()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, drive.Stderr)
	}
	var got struct {
		Said   [][2]string
		Faults []string
	}
	if err := json.Unmarshal(out, &got); err != nil || len(got.Said) != 2 || len(got.Faults) > 0 {
		t.Fatalf("the page says %s (%v)", out, err)
	}
	for i, file := range []string{good, flipped} {
		audit := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(bin), "writ-audit"), "verify", file, "--keys", keys,
			"--operator-key", key)
		want, _ := audit.Output()
		state := fmt.Sprintf("Done; writ-audit would end with %d.", audit.ProcessState.ExitCode())
		if got.Said[i] != [2]string{state, string(want)} || len(want) < 100 {
			t.Errorf("of %s the page says %q, the command %q", filepath.Base(file), got.Said[i], want)
		}
	}
}

// openExample runs an example until the test ends, and returns the address that it says to open.
func openExample(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(root, "examples", name, "run.sh"))
	var says bytes.Buffer
	cmd.Stderr = &says
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended with %v and said: %s", name, err, &says)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := regexp.MustCompile(`^open (\S+) `).FindStringSubmatch(lines.Text()); m != nil {
			return m[1]
		}
	}
	t.Fatalf("%s ended without an address and said: %s", name, &says)
	return ""
}
