package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A scriptedServer is a model behind Chat Completions that does what the request's last words say.
func scriptedServer(t *testing.T) string {
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			io.WriteString(w, `{"object":"list","data":[{"id":"scripted"}]}`)
			return
		}
		answerByScript(w, r, over)
	}))
	t.Cleanup(func() { close(over); s.Close() })
	return s.URL + "/v1"
}

func answerByScript(w http.ResponseWriter, r *http.Request, over chan struct{}) {
	var body struct {
		Messages []struct{ Role, Content string }
		Tools    []struct{ Function struct{ Name string } }
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	last, asked, formed := body.Messages[len(body.Messages)-1], "", false
	for _, m := range body.Messages {
		if m.Role == "user" {
			asked = m.Content
		}
		formed = formed || strings.Contains(m.Content, "fits this JSON Schema")
	}
	mended := strings.Contains(last.Content, "does not fit the JSON Schema")
	offered := len(body.Tools) > 0 && body.Tools[len(body.Tools)-1].Function.Name == "get_weather"
	say := func(words ...string) {
		for _, word := range words {
			sendChunk(w, map[string]any{"content": word}, nil)
		}
		sendChunk(w, map[string]any{}, "stop")
	}
	if strings.Contains(asked, "broken") {
		http.Error(w, `{"error":{"message":"disk on fire"}}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	switch {
	case strings.Contains(asked, "slow"):
		sendChunk(w, map[string]any{"content": "One moment"}, nil)
		w.(http.Flusher).Flush()
		select {
		case <-over:
		case <-r.Context().Done():
		}
	case last.Role == "tool":
		say("It was told: ", last.Content)
	case formed && (strings.Contains(asked, "always wrong") || strings.Contains(asked, "wrong at first") && !mended):
		say("It is ", "bob.")
	case formed:
		say(`{"name":`, `"bob"}`)
	case offered:
		call := map[string]any{"index": 0, "id": "c1", "type": "function",
			"function": map[string]any{"name": "get_weather", "arguments": `{"city":"Rome"}`}}
		sendChunk(w, map[string]any{"tool_calls": []any{call}}, nil)
		sendChunk(w, map[string]any{}, "tool_calls")
	default:
		say("Hello ", "from the model.")
	}
	io.WriteString(w, `data: {"id":"r1","model":"scripted","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}`+
		"\n\ndata: [DONE]\n\n")
}

func sendChunk(w io.Writer, delta map[string]any, finish any) {
	b, err := json.Marshal(map[string]any{"id": "r1", "model": "scripted", "choices": []any{
		map[string]any{"index": 0, "delta": delta, "finish_reason": finish},
	}})
	if err != nil {
		panic(err) // it is made of texts
	}
	fmt.Fprintf(w, "data: %s\n\n", b)
}

// verifyRun exports a run and has a stranger verify it.
func verifyRun(t *testing.T, bin, home, run string) {
	t.Helper()
	file, keys := filepath.Join(home, "run.car"), filepath.Join(home, "run.keys")
	for _, args := range [][]string{
		{"export", run, "--data", filepath.Join(home, "dev"), "--out", file, "--keys", keys},
		{"verify", file, "--keys", keys, "--operator-key", filepath.Join(home, "dev", "operator.pub")},
	} {
		if out, err := exec.CommandContext(t.Context(), bin, args...).CombinedOutput(); err != nil {
			t.Errorf("writ %s: %v: %s", args[0], err, out)
		}
	}
}

// The SDKs for Node, unmodified: text, streams, the client's own tools, structured output, errors and what is cancelled;
// each run verifies.
func TestTheNodeSDKsSpeakToAnAgent(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	dir := filepath.Join(root, "web/sdks")
	if _, err := os.Stat(filepath.Join(dir, "node_modules/openai")); err != nil {
		missing(t, "web/sdks has no packages: run npm ci there, or make test")
	}
	bin, home := filepath.Join(build(t), "writ"), t.TempDir()
	r := serve(t, bin, home, "dev", "--model", scriptedServer(t), "--model-name", "scripted")
	key := newAPIKey(t, bin, home, r.URL)
	cmd := exec.CommandContext(t.Context(), "node", "ask.mjs", "treasurer")
	cmd.Dir = dir
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
	const hello = "Hello from the model."
	bob := map[string]any{"name": "bob"}
	for name, want := range map[string]map[string]any{
		"chat": {
			"text": hello, "stream": hello, "usage": 10.0, "tools": `It was told: "21 degrees in Rome"`,
			"toolStream": []any{"tool_calls", "get_weather", `{"city":"Rome"}`}, "toolNext": `It was told: {"degrees":22}`,
			"again": "ConflictError 409", "formed": bob, "mended": bob, "unformed": "BadRequestError 400",
			"broken": "InternalServerError 503",
		},
		"responses": {
			"text": hello, "stream": hello, "toolStream": []any{"get_weather", `{"city":"Rome"}`, true},
			"toolNext": `It was told: "23 degrees"`, "formed": bob, "unformed": "BadRequestError 400",
		},
		"messages": {
			"text": hello, "stream": hello, "toolStream": []any{"tool_use", "get_weather", `{"city":"Rome"}`},
			"toolNext": `It was told: "24 degrees"`, "formed": bob, "unformed": "BadRequestError 400",
		},
		"errors": {
			"key": "AuthenticationError 401", "model": "NotFoundError 404", "n": "BadRequestError 400",
			"claudeKey": "AuthenticationError 401", "claudeModel": "NotFoundError 404",
		},
	} {
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
	waitForStatus(t, bin, home, got["cancelled"].(string), "cancelled")
	runs := got["runs"].([]any)
	if len(runs) < 16 {
		t.Errorf("%d runs are named in the answers' headers", len(runs))
	}
	for _, run := range runs {
		verifyRun(t, bin, home, run.(string))
	}
}

// waitForStatus waits until a run has a status, which other processes bring about.
func waitForStatus(t *testing.T, bin, home, run, want string) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
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
		status := ""
		for _, x := range list.Runs {
			if x.Run == run {
				status = x.Status
			}
		}
		if status == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("run %s is %q, want %q", run, status, want)
		}
	}
}
