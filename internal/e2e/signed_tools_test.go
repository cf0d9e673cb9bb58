package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/auth/httpsig"
)

// A signer signs requests in the form of other APIs by the key of a session.
type signer struct {
	server, session string
	wallet          *auth.Wallet
}

// post signs a request and returns the response, whose body is still to be read.
func (s *signer) post(ctx context.Context, t *testing.T, path, body string) *http.Response {
	t.Helper()
	host := strings.TrimPrefix(s.server, "http://")
	r := httpsig.Request{
		Method: "POST", Scheme: "http", Authority: host, Path: path, Body: []byte(body),
		Header: map[string][]string{"Content-Type": {"application/json"}},
	}
	if !strings.HasPrefix(path, "/v1/sessions/") {
		r.Header["X-Writ-Session"] = []string{s.session}
	}
	digest, input, base := httpsig.Prepare(r, httpsig.Claims{
		Created: time.Now().Unix(), Expires: time.Now().Unix() + 60, Nonce: rand.Text(),
		Account: "eip155:1:" + strings.ToLower(s.wallet.Address().Hex()),
	})
	sig, err := s.wallet.SignText([]byte(base))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, "POST", s.server+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = r.Header
	req.Header.Set("Content-Digest", digest)
	req.Header.Set("Signature-Input", input)
	req.Header.Set("Signature", "eth=:"+base64.StdEncoding.EncodeToString(sig)+":")
	resp, err := http.DefaultClient.Do(req)
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	return resp
}

// ask posts a request and reads the answer whole.
func (s *signer) ask(t *testing.T, path, body string) (status int, run, answer string) {
	t.Helper()
	resp := s.post(t.Context(), t, path, body)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("X-Writ-Run"), string(b)
}

// What a signed body offers, wants and reports is what the agent is told: the client's tools, the form of the answer and the
// results of calls; a client that goes away ends its run. Each run verifies.
func TestSignedBodiesHaveToolsAndForms(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	bin, home := build(t)+"/writ", t.TempDir()
	r := serve(t, bin, home, "dev", "--model", scriptedServer(t), "--model-name", "scripted")
	cmd := exec.CommandContext(t.Context(), bin, "key", "new", "--ethereum", "--server", r.URL, "--yes", "--json")
	cmd.Env = append(os.Environ(), "WRIT_HOME="+home)
	made, err := cmd.Output()
	var key struct{ Key, Session, Agent string }
	if err != nil || json.Unmarshal(made, &key) != nil {
		t.Fatalf("writ key new: %v: %s", err, made)
	}
	wallet, err := auth.ParseWallet(key.Key)
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{r.URL, key.Session, wallet}
	const chat = "/v1/chat/completions"
	const salt = `"metadata":{"writ_salt":"c2FsdCBvZiBhIGJvZHkuLi"},`
	const tools = `"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object"}}}]`
	status, run, answer := s.ask(t, chat, `{`+salt+`"model":"`+key.Agent+`","messages":[{"role":"user","content":"how is Rome?"}],`+tools+`}`)
	var called struct {
		Choices []struct {
			Message struct {
				Calls json.RawMessage `json:"tool_calls"`
			}
		}
	}
	if json.Unmarshal([]byte(answer), &called) != nil || status != 200 || !strings.Contains(answer, "get_weather") {
		t.Fatalf("a tool of the client: %d %s", status, answer)
	}
	var calls []struct{ ID string }
	if json.Unmarshal(called.Choices[0].Message.Calls, &calls) != nil || len(calls) != 1 {
		t.Fatalf("a tool of the client: %s", answer)
	}
	status, again, answer := s.ask(t, chat, `{`+salt+`"model":"`+key.Agent+`","messages":[{"role":"user","content":"how is Rome?"},`+
		`{"role":"assistant","content":null,"tool_calls":`+string(called.Choices[0].Message.Calls)+`},`+
		`{"role":"tool","tool_call_id":"`+calls[0].ID+`","content":"sunny"}],`+tools+`}`)
	if status != 200 || again != run || !strings.Contains(answer, "sunny") {
		t.Errorf("what came of it: %d, run %s and not %s: %s", status, again, run, answer)
	}
	verifyRun(t, bin, home, run)
	status, run, answer = s.ask(t, "/v1/responses", `{`+salt+`"model":"`+key.Agent+`","input":"who?","text":{"format":{"type":"json_schema",`+
		`"name":"person","schema":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}}}}`)
	if status != 200 || !strings.Contains(answer, `{\"name\":\"bob\"}`) {
		t.Errorf("a form of the answer: %d %s", status, answer)
	}
	verifyRun(t, bin, home, run)
	for path, body := range map[string]string{
		"/v1/messages": `{` + salt + `"model":"` + key.Agent + `","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"slow"}]}`,
		"/v1/sessions/" + key.Session + "/run.start": `{"agent":"` + key.Agent + `","input":"slow, natively","idempotency_key":"slow-native-1"}`,
	} {
		ctx, leave := context.WithTimeout(t.Context(), 2*time.Second)
		if resp := s.post(ctx, t, path, body); resp != nil {
			io.Copy(io.Discard, resp.Body) // until it leaves
			resp.Body.Close()
		}
		leave()
	}
	// The first is cancelled; the other, which has a key to come back by, goes on until it is.
	for end, ended := time.Now().Add(20*time.Second), false; ; time.Sleep(100 * time.Millisecond) {
		cmd := exec.CommandContext(t.Context(), bin, "runs", "ls", "--json", "--server", r.URL)
		cmd.Env = append(os.Environ(), "WRIT_HOME="+home)
		out, err := cmd.Output()
		var list struct {
			Runs []struct{ Run, Status string }
		}
		if err == nil {
			err = json.Unmarshal(out, &list)
		}
		cancelled, open := 0, ""
		for _, x := range list.Runs {
			switch x.Status {
			case "cancelled":
				cancelled++
			case "running":
				open = x.Run
			}
		}
		switch {
		case err == nil && cancelled == 2 && ended:
			return
		case err == nil && cancelled == 1 && open != "" && !ended:
			ended = true
			status, _, answer := s.ask(t, "/v1/sessions/"+key.Session+"/run.cancel", `{"run":"`+open+`"}`)
			if status != 200 {
				t.Fatalf("run.cancel: %d %s", status, answer)
			}
		case time.Now().After(end):
			t.Fatalf("the runs of clients that went away: %v: %s", err, out)
		}
	}
}
