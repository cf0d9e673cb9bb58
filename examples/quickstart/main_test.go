package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestQuickstart(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "run", ".").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "sunny in Rome") || !strings.HasSuffix(strings.TrimSpace(string(out)), " verified") {
		t.Errorf("%v: %s", err, out)
	}
}
