package paidapi

import (
	"os/exec"
	"strings"
	"testing"
)

// The example runs by its one command: it buys, tells what dishonest servers have done, and ends in a verified run.
func TestPaidAPI(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || !strings.HasPrefix(lines[len(lines)-1], "VERIFIED ") {
		t.Errorf("%v: %s", err, out)
	}
	for _, want := range []string{
		"It costs 0.01 USDC to", "sunny, 21 degrees", "It was paid, and the server answered 500",
		"The server wants something else than the call says: 0.011 USDC", "The server says that it was paid, and the chain does not show it",
		"transfers  pass             1", "1 found on the chain",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q: %s", want, out)
		}
	}
}
