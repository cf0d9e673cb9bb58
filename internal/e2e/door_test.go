package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// newAPIKey makes a key as its user does.
func newAPIKey(t *testing.T, bin, home, server string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, "key", "new", "--server", server, "--life", "1h", "--max-usd", "0.50", "--yes")
	cmd.Env = append(os.Environ(), "WRIT_HOME="+home)
	var progress bytes.Buffer
	cmd.Stderr = &progress
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("writ key new: %v: %s", err, &progress)
	}
	if !strings.Contains(progress.String(), "0.5 USD model cost") {
		t.Errorf("the text that the wallet signs does not say the limit: %s", &progress)
	}
	return strings.TrimSpace(string(out))
}

// The official SDKs, unmodified: text, streams, refusals, what waits, and errors by their names.
func TestTheSDKsOfProvidersSpeakToAnAgent(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and may fetch Python's packages")
	}
	example := filepath.Join(root, "examples/openai-sdk")
	interpreter := python(t, example)
	r, bin, home := dev(t)
	key := newAPIKey(t, bin, home, r.URL)
	cmd := exec.CommandContext(t.Context(), interpreter, "ask.py", "treasurer")
	cmd.Dir = example
	cmd.Env = append(os.Environ(), "OPENAI_API_KEY="+key, "OPENAI_BASE_URL="+r.URL+"/v1",
		"ANTHROPIC_API_KEY="+key, "ANTHROPIC_BASE_URL="+r.URL)
	var progress bytes.Buffer
	cmd.Stderr = &progress
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &progress)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	const balance = "alice holds 1,000 USDC [step 2, block 1]."
	for _, name := range []string{"chat", "chat stream", "response", "response stream", "message", "message stream"} {
		if got[name] != balance {
			t.Errorf("%s: got %q, want %q", name, got[name], balance)
		}
	}
	if m := fmt.Sprint(got["models"]); m != "[treasurer treasurer]" {
		t.Errorf("the models are %s", m)
	}
	if got["finish"] != "stop" || got["usage"] != 0.0 || got["waiting"] != "waiting" ||
		!strings.HasPrefix(got["denied"].(string), "Not done: ") ||
		!strings.HasPrefix(got["waits"].(string), "This waits for the wallet's approval: erc20.transfer: 5 USDC to ") {
		t.Errorf("got %v", got)
	}
	want := map[string]any{
		"key": "AuthenticationError 401", "model": "NotFoundError 404", "tools": "BadRequestError 400", "n": "BadRequestError 400",
		"empty": "BadRequestError 400", "claude key": "AuthenticationError 401", "claude model": "NotFoundError 404",
	}
	if !maps.Equal(got["errors"].(map[string]any), want) {
		t.Errorf("got errors %v, want %v", got["errors"], want)
	}
	// The run that the header named is one like any other.
	file, keys := filepath.Join(home, "run.car"), filepath.Join(home, "run.keys")
	for _, args := range [][]string{
		{"export", got["run"].(string), "--data", filepath.Join(home, "dev"), "--out", file, "--keys", keys},
		{"verify", file, "--keys", keys, "--operator-key", filepath.Join(home, "dev", "operator.pub")},
	} {
		if out, err := exec.CommandContext(t.Context(), bin, args...).CombinedOutput(); err != nil {
			t.Errorf("writ %s: %v: %s", args[0], err, out)
		}
	}
	revoke := exec.CommandContext(t.Context(), bin, "sessions", "ls", "--json")
	revoke.Env = append(os.Environ(), "WRIT_HOME="+home)
	if out, err := revoke.Output(); err != nil || !bytes.Contains(out, []byte("treasurer")) {
		t.Errorf("the key's session is not listed: %v: %s", err, out)
	}
}

// A client that goes away in the middle of an answer ends its run.
func TestAClientThatGoesAwayEndsItsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	asked, over := make(chan struct{}, 8), make(chan struct{})
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			io.WriteString(w, `{"object":"list","data":[{"id":"slow"}]}`)
			return
		}
		asked <- struct{}{}
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, `data: {"id":"1","model":"slow","choices":[{"index":0,"delta":{"content":"One moment"}}]}`+"\n\n")
		w.(http.Flusher).Flush()
		<-over
	}))
	t.Cleanup(func() { close(over); model.Close() })
	bin, home := filepath.Join(build(t), "writ"), t.TempDir()
	r := serve(t, bin, home, "dev", "--model", model.URL+"/v1", "--model-name", "slow")
	key := newAPIKey(t, bin, home, r.URL)
	body := `{"model":"treasurer","stream":true,"messages":[{"role":"user","content":"tell me a story"}]}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	run := res.Header.Get("X-Writ-Run")
	<-asked
	res.Body.Close()
	status := func() string {
		cmd := exec.CommandContext(t.Context(), bin, "runs", "ls", "--json")
		cmd.Env = append(os.Environ(), "WRIT_HOME="+home)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("writ runs ls: %v", err)
		}
		var list struct {
			Runs []struct{ Run, Status string }
		}
		if err := json.Unmarshal(out, &list); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list.Runs, func(x struct{ Run, Status string }) bool { return x.Run == run })
		if i < 0 {
			return "not listed"
		}
		return list.Runs[i].Status
	}
	end := time.Now().Add(time.Minute)
	for status() != "cancelled" {
		if time.Now().After(end) {
			t.Fatalf("a minute after its client has gone the run is %s", status())
		}
		time.Sleep(100 * time.Millisecond) // other processes end it
	}
}
