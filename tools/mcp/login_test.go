package mcp

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/tools/mcp/mcptest"
)

// A guarded server is one that wants somebody to sign in.
type guarded struct {
	*mcptest.Guarded
	url string
}

func newGuarded(t *testing.T) guarded {
	g := guarded{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	g.Guarded, g.url = mcptest.NewGuarded(s.URL, time.Hour), s.URL+"/mcp"
	return g
}

func (g guarded) config(login string) Config {
	return Config{Name: "tracker", URL: g.url, Login: login, Gate: reach.Gate{Private: true}}
}

// browse goes where the address leads, as a browser does, up to the address of this machine.
func browse(_ context.Context, address string) (string, error) {
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Get(address)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	return res.Header.Get("Location"), nil
}

func signInTo(t *testing.T, g guarded, show func(context.Context, string) (string, error)) (Login, error) {
	t.Helper()
	return SignInAt(t.Context(), g.config(""), SignIn{Redirect: "http://127.0.0.1:1/signed-in", Show: show})
}

// listNames asks a server for its tools as the product does.
func listNames(t *testing.T, c Config) ([]string, error) {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, _, err := s.List(t.Context())
	names := make([]string, len(list))
	for i, d := range list {
		names[i] = d.Name
	}
	return names, err
}

func TestASignInIsKeptAndMadeAnew(t *testing.T) {
	g := newGuarded(t)
	file := filepath.Join(t.TempDir(), "tracker.login.json")
	if _, err := listNames(t, g.config(file)); err == nil || !strings.Contains(err.Error(), "writ tools login tracker") {
		t.Fatalf("before anybody has signed in: %v", err)
	}
	l, err := signInTo(t, g, browse)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Write(file); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("others may read the tokens: %v, %v", info.Mode(), err)
	}
	if names, err := listNames(t, g.config(file)); err != nil || !slices.Equal(names, []string{"whoami"}) {
		t.Fatalf("signed in: %v, %v", names, err)
	}
	if g.Made() != 1 {
		t.Errorf("%d tokens were made while one was good", g.Made())
	}

	// Its time is over: one more is made, and kept, since the refresh token that made it is of no use any more.
	l.Expires = time.Now().Add(-time.Minute)
	if err := l.Write(file); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if names, err := listNames(t, g.config(file)); err != nil || len(names) != 1 {
			t.Fatalf("with a token made anew: %v, %v", names, err)
		}
	}
	now, err := ReadLogin(file, g.url)
	if err != nil || g.Made() != 2 || now.Refresh == l.Refresh || now.Access == l.Access {
		t.Errorf("%d tokens were made, %v", g.Made(), err)
	}

	// The sign-in was taken back there, while a session is open and after it.
	open, err := New(g.config(file))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, _, err := open.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.Revoke()
	if _, _, err := open.List(t.Context()); err == nil || !strings.Contains(err.Error(), "writ tools login tracker") {
		t.Errorf("taken back while a session is open: %v", err)
	}
	now.Expires = time.Now().Add(-time.Minute)
	if err := now.Write(file); err != nil {
		t.Fatal(err)
	}
	_, err = listNames(t, g.config(file))
	if err == nil || !strings.Contains(err.Error(), "writ tools login tracker") || strings.Contains(err.Error(), "secret") {
		t.Errorf("after it was taken back: %v", err)
	}
}

// Two programs with one file make tokens anew at once: the one that comes second takes up what the first has made.
func TestTwoProgramsWithOneSignIn(t *testing.T) {
	g := newGuarded(t)
	file := filepath.Join(t.TempDir(), "tracker.login.json")
	l, err := signInTo(t, g, browse)
	if err != nil {
		t.Fatal(err)
	}
	l.Expires = time.Now().Add(-time.Minute)
	if err := l.Write(file); err != nil {
		t.Fatal(err)
	}
	servers := make([]*Server, 2)
	for i := range servers {
		if servers[i], err = New(g.config(file)); err != nil {
			t.Fatal(err)
		}
		defer servers[i].Close()
	}
	first, err := servers[0].newSignIn()
	if err != nil {
		t.Fatal(err)
	}
	second, err := servers[1].newSignIn()
	if err != nil {
		t.Fatal(err)
	}
	a, err := first.kept.Token()
	if err != nil {
		t.Fatal(err)
	}
	b, err := second.kept.Token()
	if err != nil || a.AccessToken != b.AccessToken || g.Made() != 2 {
		t.Errorf("the second: %v, and %d tokens were made", err, g.Made())
	}
}

func TestSignInsThatComeToNothing(t *testing.T) {
	g := newGuarded(t)
	g.Refuse(true)
	if _, err := signInTo(t, g, browse); err == nil || !strings.Contains(err.Error(), "server of tools tracker") {
		t.Errorf("refused: %v", err)
	}
	g.Refuse(false)
	changed := func(part, to string) func(context.Context, string) (string, error) {
		return func(ctx context.Context, address string) (string, error) {
			back, err := browse(ctx, address)
			u, _ := url.Parse(back)
			q := u.Query()
			q.Set(part, to)
			u.RawQuery = q.Encode()
			return u.String(), err
		}
	}
	for _, part := range []string{"state", "iss", "code"} {
		if l, err := signInTo(t, g, changed(part, "another")); err == nil || l.Access != "" {
			t.Errorf("with another %s: %v", part, err)
		}
	}
	gone := errors.New("nobody is there")
	if _, err := signInTo(t, g, func(context.Context, string) (string, error) { return "", gone }); err == nil {
		t.Error("nobody has signed in, and all is well")
	}
	open := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server {
		s := mcp.NewServer(&mcp.Implementation{Name: "open", Version: "1"}, nil)
		mcp.AddTool(s, &mcp.Tool{Name: "a", Description: "A."},
			func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
				return &mcp.CallToolResult{}, nil, nil
			})
		return s
	}, nil))
	defer open.Close()
	_, err := SignInAt(t.Context(), Config{Name: "open", URL: open.URL, Gate: reach.Gate{Private: true}},
		SignIn{Redirect: "http://127.0.0.1:1/signed-in", Show: browse})
	if !errors.Is(err, ErrNoSignIn) {
		t.Errorf("a server that lets everybody in: %v", err)
	}
}

func TestAFileThatIsNoSignInAtTheServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "login.json")
	if _, err := ReadLogin(file, "https://a.example/mcp"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for content, says := range map[string]string{
		``: "is no sign-in", `{`: "is no sign-in", `[]`: "is no sign-in", `{"server":"https://a.example/mcp"}`: "is no sign-in",
		`{"access_token":"very-secret","server":7}`:                        "is no sign-in",
		`{"access_token":"very-secret","server":"https://b.example/mcp"}`:  "is a sign-in at https://b.example/mcp",
		`{"access_token":"` + strings.Repeat("x", 128<<10) + `"}`:          "is no sign-in",
		`{"access_token":"very-secret","server":"https://a.example/mcp/"}`: "and not at https://a.example/mcp",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := ReadLogin(file, "https://a.example/mcp")
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "very-secret") || l.Access != "" {
			t.Errorf("%.60s: %v", content, err)
		}
	}
}

// A token that is not taken, and a server that wants a sign-in nobody has thought of, say what to do.
func TestWhoIsNotLetInIsToldWhatToDo(t *testing.T) {
	g := newGuarded(t)
	for name, tt := range map[string]struct {
		c    Config
		says string
	}{
		"a token":    {Config{Token: "old"}, "it does not take the token"},
		"a sign-in":  {Config{Login: "/nowhere"}, "writ tools login tracker"},
		"no thought": {Config{}, "set login to a file for it"},
	} {
		tt.c.Name, tt.c.URL, tt.c.Gate = "tracker", g.url, reach.Gate{Private: true}
		if _, err := listNames(t, tt.c); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
