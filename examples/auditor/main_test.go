package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/tamper"
)

func TestTheScriptPassesAnHonestRunAndStopsAtALie(t *testing.T) {
	vectors, err := tamper.Files()
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		OperatorKey string `json:"operator_key"`
	}
	if err := json.Unmarshal(vectors["vectors.json"], &v); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, car, keys, last string }{
		{"an honest run passes", "base.car", "base.keys.json", "VERIFIED 10 steps"},
		{"a lie of the operator does not", "decision-flipped.car", "keys.json", "FAILED decisions.outcome"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for from, to := range map[string]string{tt.car: "run.car", tt.keys: "run.keys.json"} {
				if err := os.WriteFile(filepath.Join(dir, to), vectors[from], 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.CommandContext(t.Context(), "./ci.sh", v.OperatorKey, dir).Output()
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			honest := strings.HasPrefix(tt.last, "VERIFIED")
			if !strings.HasPrefix(lines[len(lines)-1], tt.last) || (err == nil) != honest {
				t.Errorf("got %v and %q, want %q", err, lines[len(lines)-1], tt.last)
			}
		})
	}
}
