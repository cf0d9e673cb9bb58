package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// questioner starts a model's server that asks its user whom something is for, and then says whom; and writes its
// address into a file: questioner FILE.
func questioner(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: questioner FILE")
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Messages []struct{ Role, Content string }
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &q) != nil || len(q.Messages) == 0 {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		says := `{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"user__ask",` +
			`"arguments":"{\"question\":\"To whom?\",\"choices\":[\"bob\",\"carol\"]}"}}]},"finish_reason":"tool_calls"`
		if last := q.Messages[len(q.Messages)-1]; last.Role == "tool" {
			var told struct{ Answer string }
			_ = json.Unmarshal([]byte(last.Content), &told) // else nobody was chosen
			says = `{"content":"The user chose ` + told.Answer + `."},"finish_reason":"stop"`
		}
		_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":`+says+"}]}\n\ndata: [DONE]\n\n")
	}))
	ts.Defer(s.Close)
	file := ts.MkAbs(args[0])
	b, err := os.ReadFile(file)
	ts.Check(err)
	ts.Check(os.WriteFile(file, []byte(strings.ReplaceAll(string(b), "MODEL_URL", s.URL+"/v1")), 0o600))
}
