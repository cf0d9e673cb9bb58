package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Who reads the log of a server goes away, as a program that turns log files over does when it starts again: the server
// goes on.
func TestAServerOutlivesTheReaderOfItsLog(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	bin, home := filepath.Join(build(t), "writ"), t.TempDir()
	file := filepath.Join(home, "ready.json")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "dev", "--listen", "127.0.0.1:0", "--ready-file", file)
	cmd.Env = append(os.Environ(), "WRIT_HOME="+home)
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var r ready
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) { // another process writes the file
		if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &r) == nil {
			break
		}
		if time.Now().After(end) {
			cmd.Process.Kill()
			t.Fatal("the server is not ready after two minutes")
		}
	}
	read.Close()
	for range 2 { // each run is told in the log
		ask := exec.CommandContext(t.Context(), bin, "run", "--server", r.URL, "What is the USDC balance of alice?")
		ask.Env = cmd.Env
		if out, err := ask.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil { // what comes of it is told in the log, too
		t.Error(err)
	}
	time.Sleep(200 * time.Millisecond) // a signal has no answer
	res, err := http.Get(r.URL + "/healthz")
	if err != nil {
		t.Errorf("the server is gone: %v", err)
	} else {
		res.Body.Close()
	}
	cmd.Process.Signal(os.Interrupt)
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}
