package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/door"
)

// keyFrom makes a key that is bound to where it may be used from, as its user does.
func keyFrom(t *testing.T, bin, home, server string, from ...string) string {
	t.Helper()
	wallet := filepath.Join(home, "bound.key")
	if err := os.WriteFile(wallet, []byte(strings.Repeat("0", 62)+"77"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"key", "new", "--server", server, "--key", "file:" + wallet, "--yes", "--json"}
	for _, f := range from {
		args = append(args, "--from", f)
	}
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Env = append(os.Environ(), "WRIT_HOME="+home)
	out, err := cmd.Output()
	var made struct{ Key string }
	if err != nil || json.Unmarshal(out, &made) != nil || made.Key == "" {
		t.Fatalf("writ key new --from %v: %v", from, err)
	}
	return made.Key
}

// A key that was stolen is worth nothing elsewhere than where its wallet said it is used: at no door, over no transport,
// whatever a client writes into the header that proxies extend, and not after a restart either.
func TestAKeyIsGoodOnlyWhereItsWalletSaid(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	bin, home := filepath.Join(build(t), "writ"), t.TempDir()
	behind := []string{"WRIT_LIMITS_RATE=1000", "WRIT_LIMITS_BURST=1000", "WRIT_PROXIES_TRUSTED=127.0.0.0/8",
		"WRIT_PROXIES_HEADER=x-forwarded-for", "WRIT_ORIGINS=https://app.example,https://other.example"}
	chain := serve(t, bin, t.TempDir(), "dev").Chain
	args := []string{"serve", "--chain", chain, "--data", filepath.Join(home, "data")}
	r, stop := startServer(t, behind, bin, home, args...)
	const network = "203.0.113.0/24"
	bound, paged := keyFrom(t, bin, home, r.URL, network), keyFrom(t, bin, home, r.URL, "https://app.example")
	said := `"messages":[{"role":"user","content":"what is the latest block?"}]`
	var ask func(key, path string, h http.Header) (int, string)
	ask = func(key, path string, h http.Header) (int, string) {
		body := `{"model":"treasurer",` + said + "}"
		switch path {
		case "/v1/responses":
			body = `{"model":"treasurer","input":"what is the latest block?"}`
		case "/v1/messages":
			body = `{"model":"treasurer","max_tokens":9,` + said + "}"
		case "/mcp":
			body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_runs","arguments":{}}}`
		case "/a2a":
			body = `{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":{}}`
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = h.Clone()
		if path == "/v1/messages" {
			req.Header.Set("X-Api-Key", key)
		} else {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		req.Header.Set("A2A-Version", "1.0")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode == http.StatusTooManyRequests { // refusals are counted, too
			time.Sleep(200 * time.Millisecond) // the server's clock is the machine's
			return ask(key, path, h)
		}
		return res.StatusCode, string(b)
	}
	try := func(when string) {
		t.Helper()
		for _, path := range []string{"/v1/chat/completions", "/v1/responses", "/v1/messages"} {
			for name, tt := range map[string]struct {
				key    string
				header http.Header
				status int
			}{
				"from its network":               {bound, http.Header{"X-Forwarded-For": {"203.0.113.7"}}, 200},
				"over IPv6 that is IPv4":         {bound, http.Header{"X-Forwarded-For": {"::ffff:203.0.113.7"}}, 200},
				"from elsewhere":                 {bound, http.Header{"X-Forwarded-For": {"198.51.100.7"}}, 403},
				"from this machine":              {bound, http.Header{}, 403},
				"by its own word":                {bound, http.Header{"X-Forwarded-For": {"203.0.113.7, 198.51.100.7"}}, 403},
				"by its own word, in two":        {bound, http.Header{"X-Forwarded-For": {"203.0.113.7", "198.51.100.7"}}, 403},
				"by a header that nobody trusts": {bound, http.Header{"Forwarded": {"for=203.0.113.7"}}, 403},
				"by what is no address":          {bound, http.Header{"X-Forwarded-For": {"203.0.113.7, x"}}, 403},
				"by its page":                    {paged, http.Header{"Origin": {"https://app.example"}}, 200},
				"by another page":                {paged, http.Header{"Origin": {"https://other.example"}}, 403},
				"by no page":                     {paged, http.Header{}, 403},
			} {
				status, body := ask(tt.key, path, tt.header)
				if status != tt.status || (status == 403) != strings.Contains(body, "may not be used from here") {
					t.Errorf("%s, %s, %s: %d %s", when, path, name, status, body)
				}
				if status == 403 && path != "/v1/messages" && !strings.Contains(body, `"code":"session_elsewhere"`) {
					t.Errorf("%s, %s, %s: the code is another: %s", when, path, name, body)
				}
				if status == 403 && (strings.Contains(body, "203.0.113") || strings.Contains(body, tt.key)) {
					t.Errorf("%s, %s, %s: a thief is told where the key is good: %s", when, path, name, body)
				}
			}
		}
		for _, path := range []string{"/mcp", "/a2a"} {
			if status, body := ask(bound, path, http.Header{}); !strings.Contains(body, "may not be used from here") {
				t.Errorf("%s, %s from elsewhere: %d %s", when, path, status, body)
			}
			if status, body := ask(bound, path, http.Header{"X-Forwarded-For": {"203.0.113.7"}}); status != 200 {
				t.Errorf("%s, %s from its network: %d %s", when, path, status, body)
			}
		}
		// What is in the key is a session key, so it is tried as one too.
		key, err := door.ParseKey(bound)
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.Dial(t.Context(), r.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Resume(t.Context(), key.Session.String(), key.Secret)
		if e, ok := errors.AsType[*wire.Error](err); !ok || e.Data.Code != wire.CodeElsewhere {
			t.Errorf("%s, as a session on a socket: %v", when, err)
		}
	}
	try("at first")
	stop()
	r, stop = startServer(t, behind, bin, home, append(args, "--listen", strings.TrimPrefix(r.URL, "http://"))...)
	t.Cleanup(stop)
	try("after a restart")
}
