package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestField gives the real programs what was found in the field: streams of models, answers of endpoints, tokens, orders,
// policy sets and record files. `make field` runs it alone.
func TestField(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs and starts servers")
	}
	bin := build(t)
	for _, part := range []struct {
		name string
		test func(*testing.T, string)
	}{
		{"models", testModelsOfTheField},
		{"failures", testNobodysFailuresAreOthers},
		{"endpoints", testEndpointsOfTheField},
		{"orders", testOrdersOfTheField},
		{"tokens", testTokensOfTheField},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.test(t, bin)
		})
	}
	t.Run("floods", func(t *testing.T) { testFloodsThroughAProxy(t, bin) }) // before the others go on, alone
}

// A person has a home of their own, and so a session.
type person struct {
	t                 *testing.T
	bin, home, server string
}

// signIn makes a person who is signed in at a server with a new wallet.
func signIn(t *testing.T, bin, server, agent string) *person {
	t.Helper()
	p := &person{t: t, bin: filepath.Join(bin, "writ"), home: t.TempDir(), server: server}
	key := filepath.Join(p.home, "key")
	p.must(0, "wallet", "new", key)
	p.must(0, "login", "--key", "file:"+key, "--agent", agent, "--yes")
	return p
}

// writ runs a command and returns what it said on standard output, and its exit code.
func (p *person) writ(args ...string) (out string, exit int) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.bin, args...)
	cmd.Env = append(os.Environ(), "WRIT_HOME="+p.home, "WRIT_SERVER="+p.server)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	var ended *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &ended) {
		p.t.Fatalf("writ %q: %v", args, err)
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

func (p *person) must(exit int, args ...string) string {
	p.t.Helper()
	out, got := p.writ(args...)
	if got != exit {
		p.t.Fatalf("writ %q: exit code %d, want %d: %s", args, got, exit, out)
	}
	return out
}

// An ended is what `writ run --json` prints.
type ended struct {
	Ok      bool
	Error   struct{ Code, Message string }
	Said    string
	Outcome string
	Run     string
	Exit    int `json:"-"`
	Waiting []string
}

func (p *person) run(args ...string) (e ended) {
	p.t.Helper()
	out, exit := p.writ(append([]string{"run", "--json", "--quiet"}, args...)...)
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		p.t.Fatalf("writ run %q: %v: %s", args, err, out)
	}
	e.Exit = exit
	return e
}

// A modelQuestion is what a model's server reads of a request.
type modelQuestion struct {
	Messages []struct {
		Role    string
		Content words
	}
}

// words are what a message says: a text, or parts as they stand there.
type words string

func (w *words) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = string(b)
	}
	*w = words(s)
	return nil
}

// asked returns what the user asks for, and the results of tools that stand after it.
func (q modelQuestion) asked() (request string, results []string) {
	for _, m := range q.Messages {
		switch m.Role {
		case "user":
			request, results = string(m.Content), nil
		case "tool":
			results = append(results, string(m.Content))
		}
	}
	return request, results
}

// startModel starts a model's server that answers by what the user asks and how far the turn is.
func startModel(t *testing.T, answer func(w http.ResponseWriter, request string, results []string)) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q modelQuestion
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the server took the question back
		}
		if !strings.HasSuffix(r.URL.Path, "/chat/completions") || json.Unmarshal(body, &q) != nil {
			http.NotFound(w, r)
			return
		}
		request, results := q.asked()
		answer(w, request, results)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

// say answers with one text.
func say(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	b, _ := json.Marshal(text)
	_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":`+string(b)+`},"finish_reason":"stop"}]}`+
		"\n\ndata: [DONE]\n\n")
}

// A fieldAgent may do more than those that come with writ, so that one session is enough for many cases.
const fieldAgent = `schema: writ/agent/1
name: fielder
about: Reads balances and pays, for tests.
instructions: |
  Do as the user says.
tools: [chain.balance, chain.block, chain.tx, erc20.balance, erc20.transfer]
routes:
  - {id: model, when: 'true', use: model}
  - {id: rules, when: 'true', use: rules}
limits: {turns: 8, calls: 16, tokens: 100000, usd: "5", wall: 1h}
grant:
  assets: {USDC: 6}
  max_total: {USDC: "1000"}
  max_per_call: {USDC: "10"}
  approve_above: {USDC: "1"}
  max_calls: 10000
  max_tokens: 10000000
  max_usd: "100"
`

func writeAgent(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fielder.yaml")
	if err := os.WriteFile(file, []byte(fieldAgent), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A shape is a stream of the file that the adapter is tested by, and what is to be made of it.
type shape struct{ name, body, want string }

func readShapes(t *testing.T) (out []shape) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "agent/model/openai/testdata/shapes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split("\n"+string(b), "\n== ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		body, want, _ := strings.Cut(body, "\n-> ")
		out = append(out, shape{name, body, strings.TrimSpace(want)})
	}
	if len(out) < 80 {
		t.Fatalf("only %d shapes", len(out))
	}
	return out
}

// testModelsOfTheField has each stream that the adapter knows come over a socket to a server, whose user asks by the
// command line: what is usable is an answer or that many calls, what is not has its own exit code.
func testModelsOfTheField(t *testing.T, bin string) {
	shapes := readShapes(t)
	bodies := map[string]string{}
	for _, s := range shapes {
		bodies["case "+s.name] = s.body
	}
	var mu sync.Mutex
	made := map[string]int{} // calls of tools that a case came to
	url := startModel(t, func(w http.ResponseWriter, request string, results []string) {
		body, ok := bodies[request]
		switch {
		case !ok:
			say(w, "The answer is 4.")
		case len(results) > 0:
			mu.Lock()
			made[request] = len(results)
			mu.Unlock()
			say(w, "Done.")
		default:
			w.Header().Set("Content-Type", "text/event-stream")
			for ; body != ""; body = body[min(11, len(body)):] {
				_, _ = io.WriteString(w, body[:min(11, len(body))])
				w.(http.Flusher).Flush()
			}
		}
	})
	r := serve(t, filepath.Join(bin, "writ"), t.TempDir(), "dev", "--model", url, "--model-name", "small",
		"--agent-file", writeAgent(t))
	p := signIn(t, bin, r.URL, "fielder")
	for _, s := range shapes {
		got := p.run("case " + s.name)
		mu.Lock()
		calls := made["case "+s.name]
		mu.Unlock()
		checkShape(t, s, got, calls)
		// What a provider does wrong is not to keep the model from the next case.
		if strings.HasPrefix(s.want, "fault") {
			if e := p.run("anything"); e.Exit != 0 {
				t.Errorf("after %s: %+v", s.name, e)
			}
		}
	}
}

func checkShape(t *testing.T, s shape, got ended, calls int) {
	t.Helper()
	stop, rest, _ := strings.Cut(s.want, " ")
	text := ""
	if _, quoted, ok := strings.Cut(rest, `text "`); ok {
		text, _, _ = strings.Cut(quoted, `"`)
		text = strings.ReplaceAll(text, `\n`, "\n")
	}
	bad := false
	switch stop {
	case "tools":
		if s.name == "unknown-tool" { // the model is told, and what it says then is no success
			bad = got.Ok || got.Exit != 21
			break
		}
		bad = got.Exit != 0 || !strings.Contains(got.Said, "Done.") || calls != strings.Count(s.want, " call ")
	case "end":
		bad = text != "" && (got.Exit != 0 || got.Said != text) || text == "" && got.Exit == 0
	case "length":
		bad = got.Exit != 22
	case "filter":
		bad = got.Exit != 23
	case "fault":
		bad = got.Ok || got.Exit == 0
	default:
		t.Fatalf("%s: no such end: %s", s.name, s.want)
	}
	if bad {
		t.Errorf("%s: got %+v, %d calls; want %s", s.name, got, calls, s.want)
	}
}

// testNobodysFailuresAreOthers has one user fail in each way that is the user's own, more often than a model may fail,
// and others go on being answered by the model.
func testNobodysFailuresAreOthers(t *testing.T, bin string) {
	const long = `{"error":{"message":"This model's maximum context length is 8192 tokens","type":"invalid_request_error",` +
		`"code":"context_length_exceeded"}}`
	url := startModel(t, func(w http.ResponseWriter, request string, _ []string) {
		switch {
		case strings.HasPrefix(request, "long"):
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, long)
		case strings.HasPrefix(request, "broken"):
			w.WriteHeader(http.StatusInternalServerError)
		case strings.HasPrefix(request, "declined"):
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":{"message":"content management policy","code":"content_filter"}}`)
		default:
			say(w, "The answer is 4.")
		}
	})
	r := serve(t, filepath.Join(bin, "writ"), t.TempDir(), "dev", "--model", url, "--model-name", "small",
		"--agent-file", writeAgent(t))
	one, other := signIn(t, bin, r.URL, "fielder"), signIn(t, bin, r.URL, "fielder")
	for _, request := range []string{"long", "declined", "broken"} {
		for range 5 {
			if e := one.run(request); e.Exit == 0 || e.Ok {
				t.Errorf("%s: got %+v, want a failure", request, e)
			}
		}
		if e := other.run("how much is 2 and 2"); e.Exit != 0 || e.Said != "The answer is 4." {
			t.Errorf("after another's %s: got %+v, want the model's answer", request, e)
		}
	}
}
