package researcher

import (
	"os/exec"
	"strings"
	"testing"
)

// The example runs by its one command, and ends in a verified run.
func TestResearcher(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || !strings.HasPrefix(lines[len(lines)-1], "VERIFIED ") {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{
		"[1.1] “Audits of contracts may cost up to 40 USDC a quarter.", "audits.html, Audits ",
		"agent holds ", "Nothing was found in the documents that you may read.",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	if strings.Contains(string(out), "mallory") {
		t.Errorf("what the page hides was shown: %s", out)
	}
}
