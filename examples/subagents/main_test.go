package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/agentfile"
)

// The example's agent file is one that is read, and its delegate may do what it says.
func TestDesk(t *testing.T) {
	src, err := os.ReadFile("desk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := agentfile.Parse(src, 1337)
	if err != nil {
		t.Fatal(err)
	}
	if g := d.Delegates[0].Grant; len(g.Recipients) != 2 || g.MaxCalls != 10 || g.MaxTotal[0].Decimal() != "8" || g.MaxPerCall[0].Decimal() != "8" {
		t.Errorf("the delegate's grant is %s", g.JSON())
	}
}

func TestSubagents(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "run", ".").CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil || !strings.Contains(text, "sunny in Rome") || !strings.Contains(text, "with 1 runs of sub-agents") || !strings.HasSuffix(text, " verified") {
		t.Errorf("%v: %s", err, out)
	}
}
