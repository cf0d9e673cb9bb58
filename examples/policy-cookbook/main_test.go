package cookbook

import (
	"os/exec"
	"strings"
	"testing"
)

// The example runs by its one command: every set is in order, each mistake in one is noticed, and a cap holds.
func TestPolicyCookbook(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	said := string(out)
	if err != nil || strings.Count(said, ", 0 findings\n") != 4 || strings.Count(said, "\nmistakes noticed: ") != 4 ||
		!strings.Contains(said, "each") {
		t.Errorf("%v: %s", err, out)
	}
}
