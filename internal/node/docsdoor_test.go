package node

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/shelfdoor"
)

// Documents are kept from elsewhere with a pass for that, on this machine; a pass to look is none, and it lets nobody look.
func TestALinkToLookKeepsNoDocuments(t *testing.T) {
	var data string
	_, server := runNode(t, func(c *Config) { data, c.Library.On = c.Data, true })
	key, err := datadir.OperatorKey(data)
	if err != nil {
		t.Fatal(err)
	}
	passes := map[string]string{}
	for name, sign := range map[string]func(time.Time) (string, error){
		"look":     func(at time.Time) (string, error) { return SignPass(key, at) },
		"docs":     func(at time.Time) (string, error) { return SignDocsPass(key, at) },
		"docs, it": func(at time.Time) (string, error) { return SignDocsPass(key, at.Add(-2*time.Hour)) },
	} {
		if passes[name], err = sign(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	put := `{"do":"put","source":"a","name":"a.md","media":"text/markdown"}` + "\nPay Bob. " + strings.Repeat("So it is. ", 10_000)
	for _, c := range []struct {
		name, pass, header string
		status             int
		says               string
	}{
		{"a pass to keep", "docs", "", 200, `"changed":1`},
		{"a pass to look", "look", "", 403, "no pass that the operator's key of this server has signed; writ docs pass,"},
		{"none", "", "", 403, "no pass"},
		{"one that is over", "docs, it", "", 403, "this pass is over"},
		{"by a proxy", "docs", "X-Forwarded-For", 403, "not through a proxy"},
		{"by a page", "docs", "Origin", 403, "not through a proxy"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server+shelfdoor.Path, bytes.NewReader([]byte(put)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+passes[c.pass])
		if c.header != "" {
			r.Header.Set(c.header, "http://127.0.0.1")
		}
		status, text := tell(t, r)
		if status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, text, c.status, c.says)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server+passPath+"?window=day", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+passes["docs"])
	if status, text := tell(t, r); status != http.StatusForbidden {
		t.Errorf("a pass to keep documents shows figures: %d %s", status, text)
	}
}

func tell(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
