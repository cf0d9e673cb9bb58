package openai

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/internal/fault"
)

// Each shape of testdata/shapes.txt is sent by a real server, in pieces of 7 bytes up to its end, and read as the file
// says, by the adapter and again by whoever has only the bytes. What comes with [DONE] is sent with it: what comes later
// is not waited for.
func TestShapesOfServersAreReadOrRefused(t *testing.T) {
	const file = "testdata/shapes.txt"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split("\n"+string(b), "\n== ")
	out := strings.TrimPrefix(parts[0], "\n")
	if len(parts) < 60 {
		t.Fatalf("only %d shapes", len(parts))
	}
	for _, part := range parts[1:] {
		name, body, _ := strings.Cut(part, "\n")
		body, want, _ := strings.Cut(body, "\n-> ")
		got := ""
		t.Run(name, func(t *testing.T) {
			got = readShape(t, body)
			if want = strings.TrimSpace(want); got != want && !*update {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
		out += "\n== " + name + "\n" + strings.TrimRight(body, "\n") + "\n\n-> " + got + "\n"
	}
	if *update {
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func readShape(t *testing.T, body string) string {
	p := prompt()
	for _, name := range []string{"erc20.transfer", "chain.block"} {
		p.Tools = append(p.Tools, model.Tool{Name: name})
	}
	m := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for rest := body; rest != ""; {
			n := min(7, len(rest))
			if strings.HasPrefix(rest, "data: [DONE]") {
				n = len(rest)
			} else if end := strings.Index(rest, "data: [DONE]"); end > 0 {
				n = min(n, end)
			}
			_, _ = io.WriteString(w, rest[:n])
			w.(http.Flusher).Flush()
			rest = rest[n:]
		}
	})
	shown := ""
	r, err := m.Stream(t.Context(), p, func(s string) { shown += s })
	var f *fault.Fault
	if errors.As(err, &f) {
		return "fault " + string(f.Code)
	} else if err != nil {
		t.Fatalf("%v is no fault", err)
	}
	again, _, err := dialect.Read(dialect.Chat, r.Response, dialect.Question{
		Model: "small", Tools: []string{"erc20.balance", "erc20.transfer", "chain.block"},
	})
	if got, want := describeReply(again), describeReply(r); err != nil || got != want {
		t.Errorf("read again: %s, %v, want %s", got, err, want)
	}
	if !strings.HasPrefix(r.Text, shown) && !strings.HasSuffix(shown, r.Text) {
		t.Errorf("shown %q, said %q", shown, r.Text)
	}
	return describeReply(r)
}

func describeReply(r model.Reply) string {
	s := r.Stop
	if r.Text != "" {
		s += fmt.Sprintf(" text %q", r.Text)
	}
	for _, c := range r.Calls {
		id := c.ID
		if len(id) > 16 {
			id = fmt.Sprintf("(%d bytes)", len(id))
		}
		s += fmt.Sprintf(" call %s %s %s", id, c.Tool, c.Args)
	}
	if u := r.Usage; u.In+u.Out > 0 {
		s += fmt.Sprintf(" tokens %d %d %d", u.In, u.Out, u.CachedIn)
	}
	return s
}
