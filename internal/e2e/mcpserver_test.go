package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// bearing adds a key to each request.
type bearing string

func (b bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// toolsOf connects the official client.
func toolsOf(t *testing.T, transport mcp.Transport) *mcp.ClientSession {
	t.Helper()
	s, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// askTool calls a tool and returns its result as an object, and whether it is an error.
func askTool(t *testing.T, s *mcp.ClientSession, name string, args any) (out map[string]any, failed bool) {
	t.Helper()
	r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: args})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := json.Unmarshal([]byte(r.Content[0].(*mcp.TextContent).Text), &out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out, r.IsError
}

// The official client of the Model Context Protocol runs an agent over HTTP and over standard streams.
func TestAnAgentIsAServerOfTools(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	r, bin, home := dev(t)
	key := newAPIKey(t, bin, home, r.URL)
	over := map[string]mcp.Transport{}
	over["http"] = &mcp.StreamableClientTransport{Endpoint: r.URL + "/mcp", HTTPClient: &http.Client{Transport: bearing(key)}}
	stdio := exec.Command(bin, "mcp", "--server", r.URL)
	stdio.Env = append(os.Environ(), "WRIT_KEY="+key, "WRIT_HOME="+home)
	over["stdio"] = &mcp.CommandTransport{Command: stdio}
	for _, name := range slices.Sorted(maps.Keys(over)) {
		t.Run(name, func(t *testing.T) { runOverMCP(t, toolsOf(t, over[name]), name) })
	}
	t.Run("hostile", func(t *testing.T) { hostileMCP(t, r.URL+"/mcp", key) })
}

func runOverMCP(t *testing.T, s *mcp.ClientSession, over string) {
	var names []string
	for tool, err := range s.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	want := "[cancel_run get_record list_approvals list_runs read_run run_agent verify_run watch_run]"
	if fmt.Sprint(names) != want {
		t.Errorf("the tools are %v, want %s", names, want)
	}
	const ask = "What is the USDC balance of alice?"
	out, failed := askTool(t, s, "run_agent", map[string]any{"input": ask, "idempotency_key": over, "wait_seconds": 300})
	if failed || out["status"] != "answered" || !strings.HasPrefix(out["text"].(string), "alice holds ") {
		t.Fatalf("run_agent: %v", out)
	}
	run := out["run"].(string)
	if again, _ := askTool(t, s, "run_agent", map[string]any{"input": ask, "idempotency_key": over}); again["run"] != run {
		t.Errorf("the same key is another run: %v", again)
	}
	if out, _ := askTool(t, s, "watch_run", map[string]any{"run": run}); out["status"] != "answered" || out["cid"] == "" {
		t.Errorf("watch_run: %v", out)
	}
	out, failed = askTool(t, s, "read_run", map[string]any{"run": run})
	if steps, _ := out["steps"].([]any); failed || len(steps) < 4 {
		t.Errorf("read_run: %v", out)
	}
	if out, _ := askTool(t, s, "read_run", map[string]any{"run": run, "after": 1}); out["steps"].([]any)[0].(map[string]any)["seq"] != 2.0 {
		t.Errorf("read_run after 1: %v", out)
	}
	out, failed = askTool(t, s, "verify_run", map[string]any{"run": run})
	if verdict := out["verdict"]; failed || verdict == "failed" || verdict == "unread" || verdict == nil {
		t.Errorf("verify_run: %v", out)
	}
	out, failed = askTool(t, s, "get_record", map[string]any{"run": run})
	if failed || out["head"] == "" {
		t.Fatalf("get_record: %v", out)
	}
	// What waits is told with the place where a person approves, and with nothing to sign.
	out, failed = askTool(t, s, "run_agent", map[string]any{"input": "send 5 USDC to bob", "wait_seconds": 300})
	if failed || out["status"] != "waiting" || !strings.HasSuffix(fmt.Sprint(out["approve_url"]), "/#approvals") {
		t.Fatalf("a payment: %v", out)
	}
	paying := out["run"].(string)
	if out, _ := askTool(t, s, "watch_run", map[string]any{"run": paying, "wait_seconds": 300}); out["status"] != "waiting" {
		t.Errorf("watch_run of what waits: %v", out)
	}
	out, _ = askTool(t, s, "list_approvals", nil)
	if text := fmt.Sprint(out); !strings.Contains(text, paying) || strings.Contains(text, "typed_data") {
		t.Errorf("list_approvals: %v", out)
	}
	if out, failed := askTool(t, s, "cancel_run", map[string]any{"run": paying}); failed {
		t.Errorf("cancel_run: %v", out)
	}
	if out, _ := askTool(t, s, "watch_run", map[string]any{"run": paying, "wait_seconds": 300}); out["status"] != "cancelled" {
		t.Errorf("a cancelled run: %v", out)
	}
	if out, _ := askTool(t, s, "list_runs", map[string]any{"outcome": "cancelled", "limit": 1}); !strings.Contains(fmt.Sprint(out), paying) {
		t.Errorf("list_runs: %v", out)
	}
	// What is asked wrongly is told in words.
	for args, want := range map[string]string{
		`{"run":"nonsense"}`:            "CID",
		`{"run":"` + run + `","x":1}`:   "x",
		`{"run":7}`:                     "run",
		`{"run":null}`:                  "null",
		`{}`:                            "run",
		`{"run":"` + run + `","RUN":1}`: "RUN",
		`{"run":"bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"}`: "not",
	} {
		out, failed := askTool(t, s, "watch_run", json.RawMessage(args))
		e, _ := out["error"].(map[string]any)
		if text := fmt.Sprint(e["message"]); !failed || e["code"] == "internal" || !strings.Contains(text, want) {
			t.Errorf("%s: %v", args, out)
		}
	}
	for _, args := range []any{
		map[string]any{"input": ""}, map[string]any{"input": strings.Repeat("x", 70_000)}, map[string]any{"input": ask, "wait_seconds": -1},
		map[string]any{"input": ask, "wait_seconds": 1e6}, map[string]any{"input": ask, "wait_seconds": 1.5},
	} {
		if out, failed := askTool(t, s, "run_agent", args); !failed || out["error"].(map[string]any)["code"] == "internal" {
			t.Errorf("%.60v: %v", args, out)
		}
	}
	if _, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "approve"}); err == nil {
		t.Error("a tool that there is not can be called")
	}
}

// hostileMCP sends what no good client does: each is refused, and the server goes on.
func hostileMCP(t *testing.T, url, key string) {
	call := func(name string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `","arguments":{}}}`
	}
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	deep := strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000)
	for _, tt := range []struct {
		what, method, key, body string
		header                  http.Header
		status                  int    // 0 for any refusal
		says                    string // that an answer must not be without
	}{
		{what: "no key", body: list, status: 401},
		{what: "no key of this kind", key: "sk-1234", body: list, status: 401},
		{what: "a key that was cut", key: key[:len(key)-3], body: list, status: 401},
		{what: "another page", key: key, body: list, header: http.Header{"Origin": {"https://evil.example"}}, status: 403},
		{what: "no page", key: key, body: list, header: http.Header{"Origin": {"null"}}, status: 403},
		{what: "another host", key: key, body: list, header: http.Header{"Host": {"evil.example"}}},
		{what: "a question by GET", method: "GET", key: key},
		{what: "an end of a session that there is not", method: "DELETE", key: key},
		{what: "PUT", method: "PUT", key: key, body: list},
		{what: "nothing", key: key},
		{what: "no JSON", key: key, body: "{{{"},
		{what: "a megabyte", key: key, body: `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("x", 1<<20) + `"}`},
		{what: "depth", key: key, body: `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":` + deep + `}`},
		{what: "bytes that are no text", key: key, body: "\xff\xfe"},
		{what: "no type", key: key, body: list, header: http.Header{"Content-Type": {"text/plain"}}},
		{what: "nothing is accepted", key: key, body: list, header: http.Header{"Accept": {"image/png"}}},
		{what: "another method", key: key, body: `{"jsonrpc":"2.0","id":1,"method":"approval.decide"}`},
		{what: "a tool that there is not", key: key, body: call("approve_all"), says: "error"},
	} {
		method := tt.method
		if method == "" {
			method = http.MethodPost
		}
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		if tt.key != "" {
			req.Header.Set("Authorization", "Bearer "+tt.key)
		}
		for k, v := range tt.header {
			req.Header[k] = v
		}
		if host := tt.header.Get("Host"); host != "" {
			req.Host = host
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", tt.what, err)
		}
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		res.Body.Close()
		stop()
		switch {
		case err != nil || strings.Contains(string(body), key):
			t.Errorf("%s: %v, %s", tt.what, err, body)
		case tt.says != "":
			if !strings.Contains(string(body), tt.says) {
				t.Errorf("%s: %d %s", tt.what, res.StatusCode, body)
			}
		case tt.status != 0 && res.StatusCode != tt.status || tt.status == 0 && (res.StatusCode < 400 || res.StatusCode >= 500):
			t.Errorf("%s: %d %.300s", tt.what, res.StatusCode, body)
		}
	}
}
