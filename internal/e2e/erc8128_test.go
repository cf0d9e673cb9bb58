package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program whose session key is an Ethereum account signs each request by itself (ERC-8128), with viem: the server is
// shown no secret, the signed request is what is recorded, and an auditor verifies it. What is changed, late, taken
// before, or somebody else's is refused, after a restart too.
func TestARequestSignedByAnAccountIsARun(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	node(t, "erc8128.mjs") // or it is skipped
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
	cmd := exec.CommandContext(t.Context(), bin, "key", "new", "--ethereum", "--server", r.URL, "--key", "file:"+wallet, "--yes", "--json")
	cmd.Env = append(os.Environ(), "WRIT_HOME="+home)
	made, err := cmd.Output()
	var key struct{ Key, Session, Signer string }
	if err != nil || json.Unmarshal(made, &key) != nil {
		t.Fatalf("writ key new: %v: %s", err, made)
	}
	type result struct {
		Status    int
		Run, Text string
	}
	sign := func(args ...string) map[string]result {
		t.Helper()
		out, err := node(t, "erc8128.mjs", append([]string{r.URL, key.Session, key.Key, "0x" + strings.Repeat("0", 62) + "78"}, args...)...).Output()
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
	run := got["signed"].Run
	for name, tt := range map[string]struct {
		status int
		says   string
	}{
		"signed":                      {200, ""},
		"once more":                   {401, "was taken before"},
		"the same with another nonce": {200, ""},
		"another body":                {401, "not that of the body"},
		"another key":                 {401, "another account than the session's key"},
		"the wallet":                  {401, "was not made by"},
		"another path":                {401, "was not made by"},
		"a method that is not signed": {404, "Only run.start and run.cancel"},
		"no session":                  {400, "names no session"},
		"a query":                     {401, ""},
		"a signed query":              {401, "another path"},
		"expired":                     {401, "has expired"},
		"of a time to come":           {401, "a time to come"},
		"good for too long":           {401, "longer than 300 seconds"},
		"another scheme":              {401, "was not made by"},
		"without the digest":          {401, "does not cover content-digest"},
		"delegated":                   {401, "the tag"},
		"a key besides":               {400, "do one of them"},
		"not signed":                  {401, "Sign the request"},
		"with parts in another order": {200, ""},
	} {
		if x := got[name]; x.Status != tt.status || !strings.Contains(x.Text, tt.says) || strings.Contains(x.Text, key.Key) {
			t.Errorf("%s: %+v, want %d %q", name, x, tt.status, tt.says)
		}
	}
	if run == "" || got["the same with another nonce"].Run != run || got["with parts in another order"].Run == run {
		t.Errorf("an idempotency key stands for one run: %v", got)
	}
	file, keys := filepath.Join(home, "run.car"), filepath.Join(home, "run.keys")
	for _, args := range [][]string{
		{"export", run, "--data", data, "--out", file, "--keys", keys},
		{"verify", file, "--keys", keys, "--operator-key", filepath.Join(data, "operator.pub")},
	} {
		if out, err := exec.CommandContext(t.Context(), bin, args...).CombinedOutput(); err != nil {
			t.Errorf("writ %s: %v: %s", args[0], err, out)
		}
	}
	reader, err := filepath.Abs(filepath.Join(root, "web/reader/reader.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := node(t, reader, file, "--keys", keys).Output(); err != nil || !strings.Contains(string(out), `"request"`) {
		t.Errorf("the second reader says %s, %v", out, err)
	}
	stop()
	r, stop = startServer(t, env, bin, home, append(args, "--listen", strings.TrimPrefix(r.URL, "http://"))...)
	t.Cleanup(stop)
	if x := sign(got["first"].Text)["after a restart"]; x.Status != 401 || !strings.Contains(x.Text, "was taken before") {
		t.Errorf("after a restart: %+v", x)
	}
}
