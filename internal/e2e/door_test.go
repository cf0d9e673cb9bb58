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
	t.Parallel()
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

// postPatiently posts a body; one address is given only so many refusals at once, and that limit is waited for.
func postPatiently(t *testing.T, key, url, idempotency, body string) (*http.Response, string) {
	t.Helper()
	for tries := 0; ; tries++ {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", idempotency)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusTooManyRequests || tries == 60 {
			return res, string(b)
		}
		time.Sleep(time.Second) // the server's clock is the machine's
	}
}

// Every answer names its run and its last step, whole or streamed, and so does the error of a run that failed; what is no
// request is refused in its dialect's form, and nothing is behind other paths.
func TestEveryAnswerOfTheDoorHasItsReceipt(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	r, bin, home := dev(t)
	key := newAPIKey(t, bin, home, r.URL)
	post := func(key, path, body string) (*http.Response, string) {
		return postPatiently(t, key, r.URL+path, "", body)
	}
	const chat, responses, messages = "/v1/chat/completions", "/v1/responses", "/v1/messages"
	said := `"messages":[{"role":"user","content":"what is the latest block?"}]`
	for path, x := range map[string]struct{ ask, form string }{
		chat:      {said, `"response_format":{"type":"json_object"}`},
		responses: {`"input":"what is the latest block?"`, `"text":{"format":{"type":"json_schema","schema":{"type":"object"}}}`},
		messages:  {`"max_tokens":9,` + said, `"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`},
	} {
		ask := `{"model":"treasurer",` + x.ask
		if res, body := post(key, path, ask+"}"); res.StatusCode != 200 || res.Header.Get("X-Writ-Run") == "" ||
			!strings.Contains(body, `"cid":"`+res.Header.Get("X-Writ-Cid")+`"`) {
			t.Errorf("%s: %d %v %s", path, res.StatusCode, res.Header, body)
		}
		if res, body := post(key, path, ask+`,"stream":true}`); res.StatusCode != 200 || res.Header.Get("X-Writ-Run") == "" ||
			res.Trailer.Get("X-Writ-Cid") == "" || !strings.Contains(body, `"cid":"`+res.Trailer.Get("X-Writ-Cid")+`"`) {
			t.Errorf("%s, streamed: %d %v %v %s", path, res.StatusCode, res.Header, res.Trailer, body)
		}
		if res, body := post(key, path, ask+","+x.form+"}"); res.StatusCode != 200 || res.Header.Get("X-Writ-Run") == "" ||
			res.Header.Get("X-Writ-Cid") == "" || !strings.Contains(body, "nothing was done") { // rules answer in no form
			t.Errorf("%s, of a form: %d %v %s", path, res.StatusCode, res.Header, body)
		}
		for name, bad := range map[string]struct {
			key, body string
			status    int
		}{
			"another key":    {key[:20] + "A" + key[21:], ask + "}", 401},
			"no JSON":        {key, ask, 400},
			"a list":         {key, "[]", 400},
			"a wrong type":   {key, `{"model":7}`, 400},
			"a huge body":    {key, ask + `,"user":"` + strings.Repeat("x", 13<<20) + `"}`, 413},
			"a deep one":     {key, ask + `,"metadata":` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + "}", 400},
			"a strange tool": {key, ask + `,"tools":[{"type":"function","name":"a b\u0000","function":{"name":"a b\u0000"}}]}`, 400},
		} {
			res, body := post(bad.key, path, bad.body)
			var e struct {
				Type  string
				Error struct{ Type, Message string }
			}
			if err := json.Unmarshal([]byte(body), &e); err != nil || res.StatusCode != bad.status || e.Error.Message == "" ||
				(e.Type == "error") != (path == messages) || strings.Contains(body, key) {
				t.Errorf("%s, %s: %d %.300s", path, name, res.StatusCode, body)
			}
		}
	}
	// What a key began is the same run to it, at each path; to another key of the wallet it is none, and nothing begins.
	again := `{"model":"treasurer",` + said + "}"
	first, _ := postPatiently(t, key, r.URL+chat, "once", again)
	second, _ := postPatiently(t, key, r.URL+messages, "once", `{"model":"treasurer","max_tokens":9,`+said+"}")
	if run := first.Header.Get("X-Writ-Run"); first.StatusCode != 200 || run == "" || second.Header.Get("X-Writ-Run") != run {
		t.Errorf("once more is %d %v, first it was %d %v", second.StatusCode, second.Header, first.StatusCode, first.Header)
	}
	other := newAPIKey(t, bin, home, r.URL)
	if res, body := postPatiently(t, other, r.URL+chat, "once", again); res.StatusCode != 404 || res.Header.Get("X-Writ-Run") != "" {
		t.Errorf("by another key of the wallet: %d %v %s", res.StatusCode, res.Header, body)
	}
	// bifrost#2873: a key goes nowhere that its limits do not.
	for _, path := range []string{"/v1/embeddings", "/v1/completions", "/openai/v1/chat/completions", "/anthropic/v1/messages",
		"/v1/messages/batches", "/v1/../v1/x"} {
		if res, body := post(key, path, `{"model":"treasurer"}`); res.StatusCode != 404 && res.StatusCode != 405 {
			t.Errorf("%s: %d %.200s", path, res.StatusCode, body)
		}
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
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
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
