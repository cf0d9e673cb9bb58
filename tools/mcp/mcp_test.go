package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/tools"
)

func startChild() string {
	cmd := exec.Command("sleep", "300")
	if cmd.Start() != nil {
		return "0"
	}
	return strconv.Itoa(cmd.Process.Pid)
}

// stubServer returns a server that is this program in a mode, and the file in which it notes calls.
func stubServer(t *testing.T, mode string, change func(*Config)) (*Server, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	calls := filepath.Join(t.TempDir(), "calls")
	c := Config{Name: "stub", Command: []string{self}, Env: []string{"MODE=" + mode, "CALLS=" + calls}}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, calls
}

// accept makes a tool of what the good server says of it.
func accept(t *testing.T, s *Server, definition string, u Use) *Tool {
	t.Helper()
	d, err := ParseDefinition([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	tool, err := s.Tool(d, u)
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

func call(t *testing.T, tool *Tool, args string) (string, error) {
	t.Helper()
	def, err := tools.Compile(tool.Spec())
	if err != nil {
		t.Fatal(err)
	}
	read, err := def.Read([]byte(args))
	if err != nil {
		t.Fatal(err)
	}
	out, err := tool.Call(t.Context(), tools.Input{Args: read, Key: [32]byte{1}})
	return string(out), err
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*tools.Error](err); ok {
		return e.Code
	}
	if err != nil {
		return "unknown"
	}
	return ""
}

func callsIn(file string) (out []string) {
	b, _ := os.ReadFile(file)
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' })
}

var reads = Use{Class: tools.Read}

func TestAToolIsCalledAsItWasAccepted(t *testing.T) {
	s, calls := stubServer(t, "good", nil)
	tool := accept(t, s, echoTool, reads)
	spec := tool.Spec()
	if spec.Name != "stub.echo" || !spec.Foreign || spec.Output != nil || spec.Definition != tool.accepted.CID.String() {
		t.Errorf("the tool is %+v", spec)
	}
	if once := accept(t, s, writeTool, Use{}).Spec(); once.Class != tools.Once {
		t.Errorf("what nobody has said of its class is %s", once.Class)
	}
	out, err := call(t, tool, `{"text":"hi"}`)
	if err != nil || out != `{"text":"you said hi"}` {
		t.Errorf("got %s, %v", out, err)
	}
	got := callsIn(calls)
	if len(got) != 1 || !strings.Contains(got[0], `"arguments":{"text":"hi"}`) || !strings.Contains(got[0], KeyMeta+`":"0100`) {
		t.Errorf("the server got %q", got)
	}
}

func TestAListInPagesIsReadWhole(t *testing.T) {
	s, _ := stubServer(t, "pages", nil)
	defs, faults, err := s.List(t.Context())
	if err != nil || len(faults) > 0 || len(defs) != 2 || defs[1].Name != "write" {
		t.Errorf("got %v, %v, %v", defs, faults, err)
	}
	if want, err := ParseDefinition([]byte(writeTool)); err != nil || defs[1].CID != want.CID {
		t.Errorf("the definition is %s, %v", defs[1].JSON, err)
	}
}

// A definition that changes under way is not called: the first call brings the change, and the second is refused.
func TestAChangedToolIsNotCalled(t *testing.T) {
	s, calls := stubServer(t, "changed", nil)
	tool := accept(t, s, echoTool, reads)
	if _, err := call(t, tool, `{"text":"a"}`); err != nil {
		t.Fatal(err)
	}
	_, err := call(t, tool, `{"text":"b"}`)
	if codeOf(err) != "definition_changed" || !strings.Contains(err.Error(), "writ tools diff stub") {
		t.Errorf("got %v", err)
	}
	if _, err := call(t, accept(t, s, writeTool, Use{}), `{"text":"c"}`); err != nil {
		t.Errorf("the tool that did not change: %v", err)
	}
	if got := callsIn(calls); len(got) != 2 {
		t.Errorf("the server got %q", got)
	}
}

func TestProgressGivesACallMoreTime(t *testing.T) {
	s, _ := stubServer(t, "busy", func(c *Config) { c.Timeout = 400 * time.Millisecond })
	out, err := call(t, accept(t, s, echoTool, reads), `{"text":"a"}`)
	if err != nil || !strings.Contains(out, "done at last") {
		t.Errorf("got %s, %v", out, err)
	}
}

// A server that never answers is told that the call is cancelled, and is started anew after three of them. Of what it
// may have done nothing is certain, unless it only reads.
func TestAServerThatNeverAnswers(t *testing.T) {
	s, calls := stubServer(t, "never", func(c *Config) { c.Timeout = 50 * time.Millisecond })
	for i, want := range []string{"timeout", "timeout", "timeout", "server_down"} {
		if _, err := call(t, accept(t, s, echoTool, reads), `{"text":"a"}`); codeOf(err) != want {
			t.Errorf("call %d: %v, want %s", i, err, want)
		}
	}
	if got := callsIn(calls); len(got) < 4 { // 3 calls, and that they were cancelled, as far as it read that
		t.Errorf("the server got %q", got)
	}
	s, _ = stubServer(t, "never", func(c *Config) { c.Timeout = 50 * time.Millisecond })
	if _, err := call(t, accept(t, s, writeTool, Use{}), `{"text":"a"}`); codeOf(err) != "unknown" {
		t.Errorf("a call that may have been made: %v", err)
	}
}

func TestADeadServerHasItsSentence(t *testing.T) {
	s, _ := stubServer(t, "good", func(c *Config) { c.Command = []string{"/no/such/program"} })
	_, err := call(t, accept(t, s, echoTool, reads), `{"text":"a"}`)
	if codeOf(err) != "server_down" || !strings.Contains(err.Error(), "there is no program /no/such/program") {
		t.Errorf("got %v", err)
	}
	if _, err = call(t, accept(t, s, echoTool, reads), `{"text":"a"}`); !strings.Contains(err.Error(), "tried again in a moment") {
		t.Errorf("at once again: %v", err)
	}
	s, _ = stubServer(t, "good", func(c *Config) { c.Command = []string{"sh", "-c", "echo no key >&2; exit 1"} })
	if _, _, err = s.List(t.Context()); err == nil || !strings.Contains(err.Error(), `it said: "no key"`) {
		t.Errorf("one that ends at once: %v", err)
	}
	s, _ = stubServer(t, "never lists", func(c *Config) { c.Start = 200 * time.Millisecond })
	if _, err = call(t, accept(t, s, echoTool, reads), `{"text":"a"}`); codeOf(err) != "server_down" {
		t.Errorf("one that does not list its tools: %v", err)
	}
}

// A server that dies in a call is started again by the next. What it was doing is not known.
func TestAServerThatDiesInACallIsStartedAgain(t *testing.T) {
	now := time.Now()
	s, calls := stubServer(t, "dies", func(c *Config) { c.now = func() time.Time { return now } })
	write := accept(t, s, writeTool, Use{})
	for range 2 {
		if _, err := call(t, write, `{"text":"a"}`); codeOf(err) != "unknown" {
			t.Errorf("got %v, want that nothing is known", err)
		}
		now = now.Add(time.Hour)
	}
	if got := callsIn(calls); len(got) != 2 {
		t.Errorf("the server got %q", got)
	}
}

func TestAProcessEndsWithItsChildren(t *testing.T) {
	s, _ := stubServer(t, "child", nil)
	out, err := call(t, accept(t, s, echoTool, reads), `{"text":"a"}`)
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ Text string }
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(said.Text)
	if pid == 0 || syscall.Kill(pid, 0) != nil {
		t.Fatalf("there is no child: %s", out)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 200 { // an orphan is gone once init has taken its end
		stat, err := os.ReadFile("/proc/" + said.Text + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the child %d outlives its server", pid)
}

func TestAProcessGetsNoSecretsOfOurs(t *testing.T) {
	t.Setenv("WRIT_SECRET", "s3cret")
	s, _ := stubServer(t, "env", func(c *Config) { c.Env = append(c.Env, "MINE=yes") })
	out, err := call(t, accept(t, s, echoTool, reads), `{"text":"a"}`)
	if err != nil || strings.Contains(out, "s3cret") || !strings.Contains(out, "MINE=yes") {
		t.Errorf("got %s, %v", out, err)
	}
}

func TestAProcessHasABoundOnItsMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/limits"); err != nil {
		t.Skip("only Linux bounds it")
	}
	s, _ := stubServer(t, "memory", func(c *Config) { c.Memory = 256 << 20 })
	if _, err := call(t, accept(t, s, echoTool, reads), `{"text":"a"}`); codeOf(err) == "" {
		t.Error("it has taken 1 GiB")
	}
}

// The official server, over HTTP: as both revisions of the protocol have it.
func TestServersOverHTTP(t *testing.T) {
	for name, options := range map[string]*sdk.StreamableHTTPOptions{"2025-11-25": nil, "2026-07-28": {Stateless: true}} {
		t.Run(name, func(t *testing.T) {
			var tokens []string
			srv := sdk.NewServer(&sdk.Implementation{Name: "adder", Version: "1"}, nil)
			sdk.AddTool(srv, &sdk.Tool{Name: "add", Description: "Adds."},
				func(_ context.Context, _ *sdk.CallToolRequest, in struct{ A, B int }) (*sdk.CallToolResult, struct{ Sum int }, error) {
					return nil, struct{ Sum int }{in.A + in.B}, nil
				})
			h := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return srv }, options)
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tokens = append(tokens, r.Header.Get("Authorization"))
				h.ServeHTTP(w, r)
			}))
			defer web.Close()
			s, err := New(Config{Name: "adder", URL: web.URL, Token: "s3cret", Gate: reach.Gate{Private: true}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			defs, _, err := s.List(t.Context())
			if err != nil || len(defs) != 1 {
				t.Fatalf("got %v, %v", defs, err)
			}
			out, err := call(t, accept(t, s, string(defs[0].JSON), reads), `{"A":2,"B":3}`)
			if err != nil || !strings.Contains(out, `"structured":{"Sum":5}`) || tokens[0] != "Bearer s3cret" {
				t.Errorf("got %s, %v, with the tokens %q", out, err, tokens)
			}
		})
	}
}

func TestAServerOnAPrivateNetworkIsNotReachedUnlessItIsMeant(t *testing.T) {
	if _, err := New(Config{Name: "x", URL: "http://127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "must be https") {
		t.Errorf("got %v", err)
	}
	reached := false
	web := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer web.Close()
	s, err := New(Config{Name: "x", URL: web.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.List(t.Context()); err == nil || reached {
		t.Errorf("got %v, reached: %v", err, reached)
	}
}

// A redirect could lead the token to somebody else.
func TestARedirectIsNotFollowed(t *testing.T) {
	var stolen []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stolen = append(stolen, r.Header.Get("Authorization"))
	}))
	defer thief.Close()
	web := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer web.Close()
	s, err := New(Config{Name: "x", URL: web.URL, Token: "s3cret", Gate: reach.Gate{Private: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.List(t.Context()); err == nil || len(stolen) > 0 {
		t.Errorf("got %v; the other server got %q", err, stolen)
	}
}

func TestToolNames(t *testing.T) {
	for tool, want := range map[string]string{
		"echo": "s.echo", "get-sum": "s.get_sum", "readFile": "s.readfile", "2fast": "s.t2fast", "___": "s.tool", "": "s.tool",
		"Ünï": "s.n_", "a/b.c": "s.a_b_c", strings.Repeat("x", 200): "s." + strings.Repeat("x", 62),
	} {
		if got := ToolName("s", tool); got != want {
			t.Errorf("%q: got %s, want %s", tool, got, want)
		}
	}
}

// Value moves by arguments that the policies read, whatever else the tool takes.
func TestAToolMaySpend(t *testing.T) {
	pay := `{"name":"pay","inputSchema":{"type":"object","required":["sum","coin","whom"],"properties":{"sum":{"type":"string"},` +
		`"coin":{"type":"string"},"whom":{"type":"string"},"note":{"type":"string"}}}}`
	s, _ := stubServer(t, "good", nil)
	book, err := tools.ParseBook([]byte(`{"chain":1,"names":{"bob":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8"},` +
		`"tokens":{"USDC":{"address":"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48","decimals":6}}}`))
	if err != nil {
		t.Fatal(err)
	}
	tool := accept(t, s, pay, Use{Book: book, Spend: &tools.Spend{Amount: "sum", Asset: "coin", To: "whom"}})
	def, err := tools.Compile(tool.Spec())
	if err != nil {
		t.Fatal(err)
	}
	args, err := def.Read([]byte(`{"sum":"5","coin":"USDC","whom":"bob"}`))
	if err != nil || args.Amount.Decimal() != "5" {
		t.Errorf("got %+v, %v", args, err)
	}
	d, _ := ParseDefinition([]byte(echoTool))
	if _, err := s.Tool(d, Use{Book: book, Spend: &tools.Spend{Amount: "text", Asset: "coin", To: "whom"}}); err == nil {
		t.Error("a spend of arguments that are not there: no error")
	}
}
