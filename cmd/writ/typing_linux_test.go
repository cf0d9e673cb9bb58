package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/teller"
)

// openTerminal returns a terminal, and the end of it that a person looks at.
func openTerminal(t *testing.T) (terminal, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	var number int
	control, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = control.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return terminal, person
}

// An answer is shown on a terminal piece by piece, as it is written and plain, and once more by nobody; with --quiet,
// with --json and into a file nothing is shown before it is whole.
func TestAnAnswerIsShownAsItIsWritten(t *testing.T) {
	for _, test := range []struct {
		what        string
		json, quiet bool
		shown       bool
	}{{"a terminal", false, false, true}, {"--quiet", false, true, false}, {"--json", true, false, false}} {
		terminal, person := openTerminal(t)
		var progress bytes.Buffer
		a := &app{Shell: &cli.Shell{Out: terminal, Err: &progress, JSON: test.json, Quiet: test.quiet, Env: func(k string) string {
			if k == "NO_COLOR" {
				return "1"
			}
			return ""
		}}}
		w := &watcher{app: a, teller: &teller.Teller{Brief: true, Say: func(string) {}}}
		read := make(chan string)
		go func() {
			buf := make([]byte, 1024)
			for {
				n, err := person.Read(buf)
				if err != nil {
					return
				}
				read <- string(buf[:n])
			}
		}()
		seen := ""
		for _, piece := range []struct{ text, end string }{{"bob holds ", "holds "}, {"25 \x1b[31mUSDC", "USDC"}} {
			if _, err := w.takeUpdate(t.Context(), watchedDelta(piece.text)); err != nil {
				t.Fatal(err)
			}
			for test.shown && !strings.HasSuffix(seen, piece.end) { // before the next piece comes
				select {
				case s := <-read:
					seen += s
				case <-time.After(10 * time.Second):
					t.Fatalf("%s: after %q only %q is shown", test.what, piece.text, seen)
				}
			}
		}
		if strings.Contains(seen, "\x1b") || test.shown && !strings.HasPrefix(seen, "bob holds 25 ") {
			t.Errorf("%s: shown is %q", test.what, seen)
		}
		if !test.shown {
			select {
			case s := <-read:
				t.Errorf("%s: %q is shown", test.what, s)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	var file bytes.Buffer
	w := &watcher{app: &app{Shell: &cli.Shell{Out: &file, Err: &file, Env: func(string) string { return "" }}}}
	if _, err := w.takeUpdate(t.Context(), watchedDelta("bob")); err != nil || file.Len() > 0 {
		t.Errorf("a file has %q before the answer is whole, %v", file.String(), err)
	}
}

func watchedDelta(text string) (u watched) {
	u.Delta = &wire.RunDelta{Text: text}
	return u
}
