package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
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
	t.Parallel()
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
				Early                 bool // who has not signed in is asked for a request
				Faults                []string
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatal(err)
			}
			if len(got.Faults) > 0 || got.Early || !strings.Contains(got.Balance, "alice holds 1,000 USDC") || !strings.Contains(got.Paid, "5 USDC") ||
				!strings.Contains(got.Denied, "50 USDC") {
				t.Errorf("got %+v", got)
			}
		})
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
