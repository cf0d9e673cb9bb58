package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// nodeOfConsole returns a command that runs a program of web/console.
func nodeOfConsole(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := node(t, script, args...)
	dir, err := filepath.Abs(filepath.Join(root, "web/console"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules/preact")); err != nil {
		missing(t, "web/console has no packages: run npm ci there, or make test")
	}
	cmd.Dir = dir
	return cmd
}

// What the program serves is what the sources make, and a first view is small.
func TestTheConsoleIsBuiltFromItsSources(t *testing.T) {
	if out, err := nodeOfConsole(t, "node_modules/typescript/bin/tsc").Output(); err != nil {
		t.Errorf("the types do not hold: %v: %s", err, out)
	}
	made := t.TempDir()
	if out, err := nodeOfConsole(t, "build.mjs", made).Output(); err != nil {
		t.Fatalf("build.mjs: %v: %s", err, out)
	}
	committed, err := os.ReadDir(filepath.Join(root, "internal/console/dist"))
	if err != nil {
		t.Fatal(err)
	}
	built, err := os.ReadDir(made)
	if err != nil || len(built) != len(committed) {
		t.Errorf("%d files are made, and %d are in internal/console/dist (%v)", len(built), len(committed), err)
	}
	for _, entry := range built {
		name := entry.Name()
		want, err := os.ReadFile(filepath.Join(made, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(root, "internal/console/dist", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("internal/console/dist/%s is not what the sources make (%v): run npm run build in web/console", name, err)
		}
	}
	total := 0
	for name := range firstView(t, made) {
		data, err := os.ReadFile(filepath.Join(made, name))
		if err != nil {
			t.Fatal(err)
		}
		total += gzipped(t, data)
	}
	if total > 30<<10 {
		t.Errorf("a first view has %d bytes after gzip, more than 30 KiB", total)
	}
}

// firstView names the files that the page loads before anything is asked for: those that its script imports, and what
// these import. Pages that are opened later are imported by a function.
func firstView(t *testing.T, dir string) map[string]bool {
	t.Helper()
	all := map[string]bool{"index.html": true, "style.css": true}
	imports := regexp.MustCompile(`(?:from|import)\s*"\./([\w.-]+)"`)
	var add func(name string)
	add = func(name string) {
		if all[name] {
			return
		}
		all[name] = true
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range imports.FindAllSubmatch(data, -1) {
			add(string(m[1]))
		}
	}
	if add("main.js"); len(all) < 4 {
		t.Fatalf("a first view is %v: where is what the script imports?", all)
	}
	return all
}

// gzipped returns how many bytes data has after gzip.
func gzipped(t *testing.T, data []byte) int {
	t.Helper()
	var small bytes.Buffer
	w, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return small.Len()
}

// opsLink has the operator's command make a link to the operations page.
func opsLink(t *testing.T, bin, home, url string) string {
	t.Helper()
	code, says := command(t, bin, home, "ops", "--json", "--data", filepath.Join(home, "dev"), "--server", url)
	var link struct{ URL string }
	if err := json.Unmarshal([]byte(says), &link); code != 0 || err != nil {
		t.Fatalf("writ ops ended with %d (%v): %s", code, err, says)
	}
	return link.URL
}

// A person with a wallet in a real browser: connects, narrows, rejects and signs, asks, approves after the page was
// loaded again, refuses, stops, looks back, takes the record away and revokes. The browser complains of nothing, asks
// nobody else, and axe finds nothing in any state, light or dark.
func TestTheConsole(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and a browser")
	}
	t.Parallel()
	cmd := nodeOfConsole(t, "e2e.mjs")
	chromium := browser(t)
	r, bin, home := dev(t)
	folder := t.TempDir()
	cmd.Args = append(cmd.Args, r.URL, chromium, folder, opsLink(t, bin, home, r.URL))
	if pictures := os.Getenv("WRIT_E2E_PICTURES"); pictures != "" {
		cmd.Args = append(cmd.Args, pictures)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.3000s", err, cmd.Stderr)
	}
	var got struct {
		Faults, Foreign, Axe []string
		States               int
		Files                map[string]string
		Seen                 struct {
			Narrowed, Answer, Moves, Refused, After string
			Checked                                 int
			Flipped                                 string
			Exact, Signed, Revoked                  bool
			Runs, Found, Compared                   int
			Finds, Outcomes, RefusedRun, Session    string
			Ops, OpsAddress, Margin, Needs          string
			PassRefused                             bool
			Wide                                    []string
			SpelledOut                              int
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Faults)+len(got.Foreign)+len(got.Axe) > 0 {
		t.Errorf("the browser complains of %q, asks others for %q, and axe finds %q", got.Faults, got.Foreign, got.Axe)
	}
	s := got.Seen
	if s.Narrowed != "20USDC" || !s.Exact || !s.Signed || !s.Revoked || s.Moves != "5 USDC to bob" || s.Runs != 5 || s.Found != 3 {
		t.Errorf("got %+v", s)
	}
	if !strings.Contains(s.Finds, "The first payment to bob, as the operator’s address book calls this address") &&
		!strings.Contains(s.Finds, "The first payment to bob, as the operator's address book calls this address") {
		t.Errorf("before the first payment is said: %q", s.Finds)
	}
	if s.Outcomes != "Cancelled,Refused by you,Answered,Denied,Answered" || !strings.Contains(s.RefusedRun, "send 2 USDC to bob") ||
		s.Compared < 5 || !strings.Contains(s.Session, "15 left of 20") || !strings.Contains(s.Session, "Chrome on Linux") {
		t.Errorf("looked back: outcomes %q, refused %q, compared %d, session %q", s.Outcomes, s.RefusedRun, s.Compared, s.Session)
	}
	if s.SpelledOut > 0 {
		t.Errorf("of the page's own sentences about a run, %d characters are spelled out as a stranger's", s.SpelledOut)
	}
	if len(s.Wide) > 0 {
		t.Errorf("pages of /docs are wider than a screen of 320: %q", s.Wide)
	}
	if !s.PassRefused || s.OpsAddress != r.URL+"/#ops" || !strings.Contains(s.Ops, "1 denied, 1 refused by a wallet") ||
		!strings.Contains(s.Ops, "Moved 5 USDC") || !strings.Contains(s.Margin, "100% of 3 USD that users pay") {
		t.Errorf("the operator, whose pass was refused once (%v), sees at %s: %q, with a price %q", s.PassRefused, s.OpsAddress,
			s.Ops, s.Margin)
	}
	if !strings.Contains(s.Needs, "above the operator's limit for fees. 1 more wait behind it.") ||
		!strings.Contains(s.Needs, "small failed in 9 of 40 calls, mostly model.rate") {
		t.Errorf("what needs the operator is told as %q", s.Needs)
	}
	if s.Answer == "" || s.After != "bob holds 30 USDC [step 2, block 2]." || got.States < 10 {
		t.Errorf("got %+v in %d states", s, got.States)
	}
	if s.Checked < 4 || !strings.Contains(s.Flipped, "block.hash") {
		t.Errorf("checked in the page: %d kinds of checks, and with a bit flipped %q", s.Checked, s.Flipped)
	}
	verify := exec.CommandContext(t.Context(), bin, "verify", got.Files["car"], "--keys", got.Files["keys.json"],
		"--receipt", got.Files["receipt.txt"], "--operator-key", filepath.Join(home, "dev", "operator.pub"))
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("what the page gave does not hold: %v: %s", err, out)
	}
}
