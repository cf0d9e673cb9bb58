package router

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The example runs by its one command: each request goes where its rule says, and past a model that fails.
func TestModelRouter(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	said := string(out)
	if err != nil || len(regexp.MustCompile(`(?m)^taken +(planned|small|premium) `).FindAllString(said, -1)) != 3 ||
		!strings.Contains(said, "The model small answers.") || !strings.Contains(said, "The model premium answers.") ||
		!regexp.MustCompile(`(?m)^small +2 `).MatchString(said) || !strings.Contains(said, "\nVERIFIED ") {
		t.Errorf("%v: %s", err, said)
	}
}
