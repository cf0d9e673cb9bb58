package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// start runs the built service and returns its address.
func start(t *testing.T, binary, db string) (url string, stop func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "-listen", "127.0.0.1:0", "-db", db)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if _, after, ok := strings.Cut(lines.Text(), "listening on "); ok {
			return after, func() {
				cmd.Process.Signal(os.Interrupt)
				io.Copy(io.Discard, stderr)
				if err := cmd.Wait(); err != nil {
					t.Errorf("the service ended with %v", err)
				}
			}
		}
	}
	t.Fatal("the service did not listen")
	return "", nil
}

func call(t *testing.T, method, url, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v: %s", method, url, resp.Status, err, raw)
	}
	var out map[string]any
	if err := json.Unmarshal(bytes.TrimSpace(raw), &out); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return out
}

func TestWhatWaitsOutlivesTheService(t *testing.T) {
	dir := t.TempDir()
	binary, db := filepath.Join(dir, "service"), filepath.Join(dir, "service.db")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	url, stop := start(t, binary, db)
	asked := call(t, "POST", url+"/ask", `{"ask": "tell bob hello"}`)
	if asked["outcome"] != "waiting" {
		t.Fatalf("got %v", asked)
	}
	stop()
	url, stop = start(t, binary, db)
	defer stop()
	done := call(t, "POST", url+"/waiting/"+asked["run"].(string), `{"approve": true}`)
	if done["outcome"] != "answered" || !strings.Contains(done["text"].(string), "sent to bob") {
		t.Errorf("got %v", done)
	}
}
