package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestSubagents(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "run", ".").CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil || !strings.Contains(text, "sunny in Rome") || !strings.Contains(text, "with 1 runs of sub-agents") || !strings.HasSuffix(text, " verified") {
		t.Errorf("%v: %s", err, out)
	}
}
