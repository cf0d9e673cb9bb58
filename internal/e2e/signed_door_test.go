package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A program whose session key is an Ethereum account signs requests in the form of OpenAI's and Anthropic's APIs
// (ERC-8128), with viem. The bodies are recorded as they were signed, and an auditor reads in them what was asked. What
// is changed, late, taken before, or for somebody else is refused in the form of the API, after a restart too.
func TestAProvidersRequestIsSignedByAnAccount(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	node(t, "signed-door.mjs") // or it is skipped
	bin, home := filepath.Join(build(t), "writ"), t.TempDir()
	env := []string{"WRIT_LIMITS_RATE=1000", "WRIT_LIMITS_BURST=1000"}
	chain := serve(t, bin, t.TempDir(), "dev").Chain
	data := filepath.Join(home, "data")
	args := []string{"serve", "--chain", chain, "--data", data}
	r, stop := startServer(t, env, bin, home, args...)
	wallet := filepath.Join(home, "wallet.key")
	if err := os.WriteFile(wallet, []byte(strings.Repeat("0", 62)+"77"), 0o600); err != nil {
		t.Fatal(err)
	}
	var keys [2]struct{ Key, Session string }
	for i := range keys {
		cmd := exec.CommandContext(t.Context(), bin, "key", "new", "--ethereum", "--server", r.URL, "--key", "file:"+wallet,
			"--yes", "--json")
		cmd.Env = append(os.Environ(), "WRIT_HOME="+home)
		if made, err := cmd.Output(); err != nil || json.Unmarshal(made, &keys[i]) != nil {
			t.Fatalf("writ key new: %v: %s", err, made)
		}
	}
	type result struct {
		Status    int
		Run, Text string
	}
	sign := func(args ...string) map[string]result {
		t.Helper()
		args = append([]string{r.URL, keys[0].Session, keys[0].Key, keys[1].Key, keys[1].Session}, args...)
		out, err := node(t, "signed-door.mjs", args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal(out, &all); err != nil {
			t.Fatal(err)
		}
		results := map[string]result{}
		for name, raw := range all {
			var x result
			if json.Unmarshal(raw, &x) != nil {
				_ = json.Unmarshal(raw, &x.Text) // the headers of the first request
			}
			results[name] = x
		}
		return results
	}
	got := sign()
	const answer = "alice holds 1,000 USDC"
	openai := func(code string) string { return `{"error":{"code":"` + code + `","message":` }
	const claude = `{"error":{"message":`
	for name, tt := range map[string]struct {
		status       int
		form, within string // how the body begins, and what is in it
	}{
		"chat":                                {200, `{"choices":`, answer},
		"chat, streamed":                      {200, "data: {", answer},
		"responses":                           {200, `{"created_at":`, answer},
		"messages":                            {200, `{"content":`, answer},
		"messages, streamed":                  {200, "event: message_start", answer},
		"under a key":                         {200, `{"choices":`, answer},
		"under the key again":                 {200, `{"choices":`, answer},
		"twenty":                              {1, "", "200 401"},
		"once more":                           {401, openai("invalid_api_key"), "was taken before"},
		"another body":                        {401, claude, "not that of the body"},
		"another form":                        {401, openai("invalid_api_key"), "was not made by"},
		"another key":                         {401, openai("invalid_api_key"), "another account than the session's key"},
		"another session":                     {401, openai("invalid_api_key"), "another account than the session's key"},
		"another session in the header alone": {401, openai("invalid_api_key"), ""},
		"a session that is not signed":        {401, openai("invalid_api_key"), "X-Writ-Session is not signed"},
		"no session":                          {400, openai("invalid_params"), "names no session"},
		"no digest":                           {401, claude, "Content-Digest must be there"},
		"expired":                             {401, claude, "has expired"},
		"a key that is not signed":            {401, openai("invalid_api_key"), "Idempotency-Key is not signed"},
		"a key besides":                       {400, claude, "do one of them"},
		"natively with more":                  {401, openai("invalid_api_key"), "a header that says nothing there"},
		"what refers to an answer":            {400, openai("invalid_params"), "says all by itself"},
		"without chance":                      {400, claude, "writ_salt"},
		"gone":                                {200, "", ""},
	} {
		if x := got[name]; x.Status != tt.status || !strings.HasPrefix(x.Text, tt.form) || !strings.Contains(x.Text, tt.within) ||
			strings.Contains(x.Text, keys[0].Key) {
			t.Errorf("%s: %+v, want %d %s %q", name, x, tt.status, tt.form, tt.within)
		}
	}
	if run := got["under a key"].Run; run == "" || got["under the key again"].Run != run || got["chat"].Run == run {
		t.Error("a signed idempotency key does not stand for one run")
	}
	for _, name := range []string{"chat", "responses", "messages, streamed", "gone"} {
		file, leaves := filepath.Join(home, name+".car"), filepath.Join(home, name+".keys")
		for _, args := range [][]string{
			{"export", got[name].Run, "--data", data, "--out", file, "--keys", leaves},
			{"verify", file, "--keys", leaves, "--operator-key", filepath.Join(data, "operator.pub")},
		} {
			out, err := exec.CommandContext(t.Context(), bin, args...).CombinedOutput()
			if err != nil {
				t.Errorf("writ %s of %s: %v: %s", args[0], name, err, out)
			}
			if name == "gone" && args[0] == "verify" && !strings.Contains(string(out), "cancelled") {
				t.Errorf("the run of a client that went away: %s", out)
			}
		}
	}
	stop()
	r, stop = startServer(t, env, bin, home, slices.Concat(args, []string{"--listen", strings.TrimPrefix(r.URL, "http://")})...)
	t.Cleanup(stop)
	if x := sign(got["first"].Text)["after a restart"]; x.Status != 401 || !strings.Contains(x.Text, "was taken before") {
		t.Errorf("after a restart: %+v", x)
	}
}
