package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
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
	t.Parallel()
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

// askAnAgent runs a program that asks an agent as a model and prints what came of it. All runs that it names verify, and
// those that it left have been cancelled.
func askAnAgent(t *testing.T, least int, program func(ctx context.Context) *exec.Cmd) map[string]any {
	t.Helper()
	bin, home := filepath.Join(build(t), "writ"), t.TempDir()
	r := serve(t, bin, home, "dev", "--model", scriptedServer(t), "--model-name", "scripted")
	cmd := program(t.Context())
	cmd.Env = append(os.Environ(), "WRIT_KEY="+newAPIKey(t, bin, home, r.URL), "WRIT_URL="+r.URL)
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
	runs := got["runs"].([]any)
	if delete(got, "runs"); len(runs) < least {
		t.Errorf("%d runs are named in the answers' headers", len(runs))
	}
	for _, x := range got {
		of := x.(map[string]any)
		waitForStatus(t, bin, home, of["cancelled"].(string), "cancelled")
		delete(of, "cancelled")
	}
	for _, run := range runs {
		verifyRun(t, bin, home, run.(string))
	}
	return got
}

// LangChain and the AI SDK, unmodified, in three dialects each: text, streams, tools, a conversation that goes on,
// structured output in the ways that they have, errors and what is cancelled; each run verifies.
func TestFrameworksSpeakToAnAgent(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	t.Parallel()
	dir := filepath.Join(root, "web/sdks")
	if _, err := os.Stat(filepath.Join(dir, "node_modules/ai")); err != nil {
		missing(t, "web/sdks has no packages: run npm ci there, or make test")
	}
	got := askAnAgent(t, 48, func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "node", "frameworks.mjs", "treasurer")
		cmd.Dir = dir
		return cmd
	})
	const hello, told = "Hello from the model.", `It was told: "21 degrees in Rome"`
	bob := map[string]any{"name": "bob"}
	langchain := map[string]any{"text": hello, "stream": hello, "tools": told, "called": "Rome", "again": hello,
		"formed": bob, "formedByCall": bob, "broken": 503.0, "key": 401.0, "model": 404.0}
	ai := map[string]any{"text": hello, "stream": hello, "tools": told, "toolStream": told, "called": "Rome", "again": hello,
		"formed": bob, "broken": 503.0, "key": 401.0, "model": 404.0}
	want := map[string]any{
		"langchain chat": langchain, "langchain responses": langchain, "langchain messages": langchain,
		"ai chat": ai, "ai responses": ai, "ai messages": ai,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The official Go SDKs, unmodified, which are a module of their own: the same of them.
func TestTheGoSDKsSpeakToAnAgent(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and may fetch Go's modules")
	}
	t.Parallel()
	program := filepath.Join(t.TempDir(), "gosdks")
	// Without optimisation the largest of its packages compile in half the time; the others main has compiled.
	compile := exec.CommandContext(t.Context(), "go", "build", "-gcflags=github.com/anthropics/...=-N -l",
		"-o", program, ".")
	compile.Dir = filepath.Join(root, "web/sdks/go")
	if out, err := compile.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("main.go:")) {
			t.Fatalf("%v: %s", err, out)
		}
		t.Skipf("the Go SDKs' modules cannot be had here: %v: %.200s", err, out)
	}
	got := askAnAgent(t, 18, func(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, program, "treasurer") })
	each := map[string]any{"text": "Hello from the model.", "stream": "Hello from the model.", "formed": `{"name":"bob"}`,
		"tools": `It was told: "21 degrees"`, "broken": 503.0, "key": 401.0, "model": 404.0, "unformed": 400.0}
	if want := (map[string]any{"chat": each, "responses": each, "messages": each}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The official Python SDKs, unmodified: the same of them.
func TestThePythonSDKsSpeakToAnAgent(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and may fetch Python's packages")
	}
	t.Parallel()
	dir := filepath.Join(root, "web/sdks/python")
	interpreter := python(t, dir)
	got := askAnAgent(t, 18, func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, interpreter, "ask.py", "treasurer")
		cmd.Dir = dir
		return cmd
	})
	each := map[string]any{"text": "Hello from the model.", "stream": "Hello from the model.", "formed": `{"name":"bob"}`,
		"tools": `It was told: "21 degrees"`, "broken": 503.0, "key": 401.0, "model": 404.0, "unformed": 400.0}
	if want := (map[string]any{"chat": each, "responses": each, "messages": each}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

const llmModels = `- model_id: writ
  model_name: treasurer
  api_base: %s/v1
  api_key_name: writ
  supports_tools: true
  supports_schema: true
`

// The command-line tool llm, unmodified: the same of it, and a conversation that it keeps.
func TestLLMSpeaksToAnAgent(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and may fetch Python's packages")
	}
	t.Parallel()
	llm := filepath.Join(filepath.Dir(python(t, filepath.Join(root, "web/sdks/llm"))), "llm")
	bin, home := filepath.Join(build(t), "writ"), t.TempDir()
	r := serve(t, bin, home, "dev", "--model", scriptedServer(t), "--model-name", "scripted")
	key := newAPIKey(t, bin, home, r.URL)
	if err := os.WriteFile(filepath.Join(home, "extra-openai-models.yaml"), fmt.Appendf(nil, llmModels, r.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(key string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), llm, append([]string{"-m", "writ", "--key", key}, args...)...)
		cmd.Env = append(os.Environ(), "LLM_USER_PATH="+home)
		return cmd
	}
	const weather = "def get_weather(city: str) -> str:\n    \"Tells the weather.\"\n    return f'21 degrees in {city}'\n"
	slow := ask(key, "be slow")
	out, err := slow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("One moment"))); err != nil {
		t.Fatal(err)
	}
	if err := slow.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = slow.Wait() // it says that it was interrupted
	waitForStatus(t, bin, home, runsOf(t, bin, home)[0].Run, "cancelled")
	for _, x := range []struct{ want, key, args string }{
		{"Hello from the model.", key, "--no-stream|hello"},
		{"Hello from the model.", key, "hello"},
		{`It was told: "21 degrees in Rome"`, key, "--functions|" + weather + "|how is the weather in Rome?"},
		{"Hello from the model.", key, "-c|and hello again"},
		{`{"name":"bob"}`, key, `--schema|{"type":"object","properties":{"name":{"type":"string"}}}|--no-stream|who?`},
		{"Error: Error code: 401", "writ_nothing", "--no-stream|hello"},
		// Last, since llm asks three times, and a model that failed so often is left alone.
		{"Error: Error code: 503 - The run failed (model.error); ", key, "--no-stream|be broken"},
	} {
		out, err := ask(x.key, strings.Split(x.args, "|")...).CombinedOutput()
		if !strings.Contains(string(out), x.want) || (err != nil) != strings.HasPrefix(x.want, "Error") {
			t.Errorf("llm %s: got %q, %v; want %q", x.args, out, err, x.want)
		}
	}
	for _, x := range runsOf(t, bin, home) {
		verifyRun(t, bin, home, x.Run)
	}
}

// A listedRun is one that writ runs ls tells of.
type listedRun struct{ Run, Status string }

// runsOf lists the runs.
func runsOf(t *testing.T, bin, home string) []listedRun {
	t.Helper()
	list, err := listRuns(t, bin, home)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func listRuns(t *testing.T, bin, home string) ([]listedRun, error) {
	cmd := exec.CommandContext(t.Context(), bin, "runs", "ls", "--json", "--limit", "100")
	cmd.Env = append(os.Environ(), "WRIT_HOME="+home)
	var progress bytes.Buffer
	cmd.Stderr = &progress
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("writ runs ls: %w: %s", err, &progress)
	}
	var list struct{ Runs []listedRun }
	return list.Runs, json.Unmarshal(out, &list)
}

// waitForStatus waits until a run has a status, which other processes bring about.
func waitForStatus(t *testing.T, bin, home, run, want string) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		list, err := listRuns(t, bin, home) // a machine that is busy may be too slow for it
		i := slices.IndexFunc(list, func(x listedRun) bool { return x.Run == run })
		if i >= 0 && list[i].Status == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("run %s is not %s: %v, %v", run, want, list, err)
		}
	}
}
