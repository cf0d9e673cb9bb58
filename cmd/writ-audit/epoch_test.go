package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/writ-run/writ/provenance/logproof"
)

// A log that ended is followed into the one that goes on, by the statement: what is remembered of it must be there. What
// the statement says was lost is not shown, and a forged statement is refused.
func TestALogIsFollowedIntoItsNextEpoch(t *testing.T) {
	const name = "example.com/log"
	dir := t.TempDir()
	old := newLoggingKey(t, name, "log")
	next := newLoggingKey(t, logproof.EpochOrigin(name, 2, [4]byte{1}), "log")
	at := func(name string) string { return filepath.Join(dir, name) }
	other := numbered(9)
	other[2] = []byte("another past")
	old.log(t, at("old-5"), numbered(5))
	old.log(t, at("old-7"), numbered(7))
	next.log(t, at("new"), numbered(9))
	next.log(t, at("other"), other)
	raw, err := os.ReadFile(filepath.Join(at("old-5"), "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := logproof.ParseCheckpoint(raw)
	if err != nil {
		t.Fatal(err)
	}
	e := logproof.Epoch{N: 2, Log: name, Next: next.vkey, Size: kept.Size, Root: kept.Root, At: "now", Why: "a test"}
	for file, signer := range map[string]string{"statement": "log", "forged": "forger"} {
		text, err := e.Sign(seeded(signer))
		if err == nil {
			err = os.WriteFile(at(file), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		known, log, statement string
		exit                  int
		code                  string
	}{
		{"old-5", "new", "statement", 0, ""},
		{"old-5", "other", "statement", 2, "log.consistency"},
		{"old-7", "new", "statement", 20, ""}, // it lost two of them
		{"old-5", "new", "forged", 2, "log.epoch"},
		{"old-5", "new", "", 2, "log.origin"},
	} {
		args := []string{"log", filepath.Join(at(tt.known), "checkpoint"), at(tt.log), "--log-key", old.vkey}
		if tt.statement != "" {
			args = append(args, "--log-epoch", at(tt.statement))
		}
		exit, out := auditJSON(t, t.Context(), args...)
		code, _ := out[0]["code"].(string)
		if e, ok := out[0]["error"].(map[string]any); ok && code == "" {
			code, _ = e["code"].(string)
		}
		if exit != tt.exit || code != tt.code {
			t.Errorf("%s, then %s, by %q: exit %d %v; want %d %q", tt.known, tt.log, tt.statement, exit, out, tt.exit, tt.code)
		}
	}
}
