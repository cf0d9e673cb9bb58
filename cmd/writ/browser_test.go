package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/cli"
)

// A page that is cancelled ends the command, which says so.
func TestALoginCancelledInTheBrowser(t *testing.T) {
	a, _, _ := testApp(t, nil)
	urls, progress := io.Pipe()
	a.Err = progress
	go func() {
		b := make([]byte, 4096)
		n, _ := io.ReadAtLeast(urls, b, 80)
		_, rest, _ := strings.Cut(string(b[:n]), "http://")
		url, _, _ := strings.Cut(rest, "\n")
		host, code, _ := strings.Cut(url, "/#")
		r, err := http.NewRequest(http.MethodPost, "http://"+host+"/cancel", strings.NewReader("{}"))
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Origin", "http://"+host)
		r.Header.Set("X-Writ-Code", code)
		if resp, err := http.DefaultClient.Do(r); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("cancel: %v, %v", resp, err)
		}
		io.Copy(io.Discard, urls)
	}()
	exit := a.main(t.Context(), []string{"login", "--browser", "--no-open", "--server", "http://127.0.0.1:1"})
	if exit != cli.ExitDenied {
		t.Errorf("got exit code %d, want %d", exit, cli.ExitDenied)
	}
}
