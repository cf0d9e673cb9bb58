package bridge

import (
	"bytes"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/cli"
)

func TestAKeyGoesOnlyWhereItIsSafe(t *testing.T) {
	for _, tt := range []struct{ server, want string }{
		{"https://agents.example", "https://agents.example/mcp"},
		{"https://agents.example/writ/", "https://agents.example/writ/mcp"},
		{"http://127.0.0.1:8420", "http://127.0.0.1:8420/mcp"},
		{"http://localhost:8420", "http://localhost:8420/mcp"},
		{"http://[::1]:8420", "http://[::1]:8420/mcp"},
		{"http://agents.example", ""},
		{"http://127.0.0.1.agents.example", ""},
		{"http://user@127.0.0.1", ""},
		{"ftp://127.0.0.1", ""},
		{"agents.example", ""},
		{"", ""},
	} {
		got, err := endpointOf(tt.server)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: got %q, %v; want %q", tt.server, got, err, tt.want)
		}
	}
}

func TestWithoutAKeyItSaysSo(t *testing.T) {
	s := &cli.Shell{In: strings.NewReader(""), Out: new(bytes.Buffer), Err: new(bytes.Buffer), Env: func(string) string { return "" }}
	err := serve(t.Context(), s, "http://127.0.0.1:1", "env:WRIT_KEY", "test")
	if err == nil || !strings.Contains(err.Error(), "WRIT_KEY is empty") {
		t.Errorf("got %v", err)
	}
	s.Env = func(string) string { return "writ_secret" }
	err = serve(t.Context(), s, "http://127.0.0.1:1", "env:WRIT_KEY", "test")
	if err == nil || !strings.Contains(err.Error(), "look at the address and the key") || strings.Contains(err.Error(), "writ_secret") {
		t.Errorf("got %v", err)
	}
}
