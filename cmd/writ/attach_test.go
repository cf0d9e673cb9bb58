package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/writ-run/writ/agent/attach"
)

// looker starts a model's server that says which images and files it was shown, and writes its address into a file:
// looker FILE.
func looker(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: looker FILE")
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Messages []struct {
				Role    string
				Content json.RawMessage
			}
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &q) != nil || len(q.Messages) == 0 {
			http.NotFound(w, r)
			return
		}
		images, files := 0, 0
		for _, m := range q.Messages {
			images += strings.Count(string(m.Content), "data:image/png;base64,iVBORw0KGg")
			files += strings.Count(string(m.Content), "The user attached a file")
		}
		w.Header().Set("Content-Type", "text/event-stream")
		says := fmt.Sprintf(`{"content":"I see %d images and %d texts."},"finish_reason":"stop"`, images, files)
		_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":`+says+"}]}\n\ndata: [DONE]\n\n")
	}))
	ts.Defer(s.Close)
	file := ts.MkAbs(args[0])
	b, err := os.ReadFile(file)
	ts.Check(err)
	ts.Check(os.WriteFile(file, []byte(strings.ReplaceAll(string(b), "MODEL_URL", s.URL+"/v1")), 0o600))
	// A text archive has no place for these bytes.
	ts.Check(os.WriteFile(ts.MkAbs("chart.png"), []byte("\x89PNG\r\n\x1a\n and so on"), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("fake.png"), []byte("GIF, he said"), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("tool.bin"), []byte("\x7fELF\x00\x01"), 0o600))
}

// showDoor puts a file by HTTP and asks about an image as programs for OpenAI's and Anthropic's APIs do, with the key on
// standard output: showdoor URL.
func showDoor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: showdoor URL")
	}
	key := strings.TrimSpace(ts.ReadFile("stdout"))
	ask := func(method, path, body string) (int, string) {
		r, err := http.NewRequest(method, args[0]+path, strings.NewReader(body))
		ts.Check(err)
		r.Header.Set("Authorization", "Bearer "+key)
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/json")
		}
		resp, err := http.DefaultClient.Do(r)
		ts.Check(err)
		defer resp.Body.Close()
		said, err := io.ReadAll(resp.Body)
		ts.Check(err)
		return resp.StatusCode, string(said)
	}
	picture := "\x89PNG\r\n\x1a\n" + strings.Repeat("much of it ", 40_000) // several pieces, and a body beyond the small bound
	cid := attach.CIDOf([]byte(picture))
	data := base64.StdEncoding.EncodeToString([]byte(picture))
	for _, x := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"PUT", "/v1/blobs/" + cid, picture, 200, `"whole":true,"type":"image/png"`},
		{"PUT", "/v1/blobs/" + cid, picture, 200, `"whole":true`}, // again
		{"PUT", "/v1/blobs/" + cid, "other", 400, "The body's CID is b"},
		{"PUT", "/v1/blobs/" + attach.CIDOf(nil), "", 400, "it is empty"},
		{"PUT", "/v1/blobs/" + cid, strings.Repeat("x", attach.MaxImage+1), 400, "more than 4194304 bytes"},
		{"POST", "/v1/chat/completions", `{"model":"looker","messages":[{"role":"user","content":[{"type":"text","text":"what is it"},` +
			`{"type":"image_url","image_url":{"url":"data:image/png;base64,` + data + `"}}]}]}`, 200, "I see 1 images and 0 texts"},
		{"POST", "/v1/messages", `{"model":"looker","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":` +
			`{"type":"base64","media_type":"image/png","data":"` + data + `"}},{"type":"text","text":"what is it"}]}]}`, 200,
			"I see 1 images and 0 texts"},
		{"POST", "/v1/responses", `{"model":"looker","input":[{"role":"user","content":[{"type":"input_text","text":"what is it"},` +
			`{"type":"input_image","image_url":"https://a.example/a.png"}]}]}`, 400, "this server fetches nothing for a request"},
	} {
		if status, said := ask(x.method, x.path, x.body); status != x.status || !strings.Contains(said, x.says) {
			ts.Fatalf("%s %s: %d %s", x.method, x.path, status, said)
		}
	}
	key = "writ_nobody"
	if status, said := ask("PUT", "/v1/blobs/"+cid, picture); status != http.StatusUnauthorized {
		ts.Fatalf("without a key: %d %s", status, said)
	}
}
