package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/tamper"
)

// records makes a file of a run with a payment, and the same with a bit flipped.
func records(t *testing.T, bin, home, server string) (keys, operator string, cars []string) {
	t.Helper()
	folder := t.TempDir()
	good, flipped := filepath.Join(folder, "good.car"), filepath.Join(folder, "flipped.car")
	keys = filepath.Join(folder, "keys.json")
	p := &person{t: t, bin: bin, home: home, server: server}
	p.must(0, "run", "send 0.5 USDC to bob")
	run, _, _ := strings.Cut(p.must(0, "runs", "ls"), " ")
	p.must(0, "export", run, "--out", good, "--keys", keys)
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(flipped, data, 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(home, "dev", "operator.pub"))
	if err != nil {
		t.Fatal(err)
	}
	return keys, strings.TrimSpace(string(key)), []string{good, flipped}
}

// sayOfAuditor returns what writ-audit verify prints of a file, and how it ends.
func sayOfAuditor(t *testing.T, car, keys, operator string) (string, int) {
	t.Helper()
	said, _, exit := askAuditor(t, car, keys, operator)
	return said, exit
}

// askAuditor returns what it writes about an error too.
func askAuditor(t *testing.T, car, keys, operator string) (said, failed string, exit int) {
	t.Helper()
	args := []string{"verify", car, "--operator-key", operator}
	if keys != "" {
		args = append(args, "--keys", keys)
	}
	audit := exec.CommandContext(t.Context(), filepath.Join(build(t), "writ-audit"), args...)
	var errs bytes.Buffer
	audit.Stderr = &errs
	out, _ := audit.Output()
	return string(out), errs.String(), audit.ProcessState.ExitCode()
}

// The auditor as WebAssembly says in a page, offline, what the command says, word for word, of a good file and of one with a
// bit flipped.
func TestTheAuditorPage(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds WebAssembly, and starts a server and a browser")
	}
	chromium := browser(t)
	r, bin, home := dev(t)
	keys, operator, cars := records(t, bin, home, r.URL)
	drive := node(t, "auditor.mjs", slices.Concat([]string{openExample(t, "auditor-page"), chromium, operator, keys}, cars)...)
	out, err := drive.Output()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, drive.Stderr)
	}
	var got struct {
		Said   [][2]string
		Faults []string
	}
	if err := json.Unmarshal(out, &got); err != nil || len(got.Said) != 2 || len(got.Faults) > 0 {
		t.Fatalf("the page says %s (%v)", out, err)
	}
	for i, file := range cars {
		want, exit := sayOfAuditor(t, file, keys, operator)
		state := fmt.Sprintf("Done; writ-audit would end with %d.", exit)
		if got.Said[i] != [2]string{state, want} || len(want) < 100 {
			t.Errorf("of %s the page says %q, the command %q", filepath.Base(file), got.Said[i], want)
		}
	}
}

// buildAuditor builds web/auditor as `make build` does.
func buildAuditor(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	if out, err := exec.Command(filepath.Join(root, "web/auditor/build.sh"), folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return folder
}

// withAuditor compiles writ as `make build` does, with the auditor for its page. Nothing is written into the tree.
func withAuditor(t *testing.T) (bin string) {
	t.Helper()
	made, replace := buildAuditor(t), map[string]string{}
	there, err := filepath.Abs(filepath.Join(root, "internal/console/auditor"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"auditor.js", "auditor.wasm.gz"} {
		replace[filepath.Join(there, name)] = filepath.Join(made, name)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(made, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	bin = filepath.Join(made, "writ")
	if out, err := exec.Command("go", "build", "-overlay", list, "-tags", "auditor", "-o", bin, "../../cmd/writ").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bin
}

// The console makes every decision again in the page, and goes on when its server is gone: what it says of a file, of one with
// a bit flipped, and of the first again, is what the command says, word for word. One that was built without the auditor
// names the command.
func TestTheConsoleAudits(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds WebAssembly, and starts servers and a browser")
	}
	t.Parallel()
	chromium := browser(t)
	without, bin, home := dev(t)
	keys, operator, cars := records(t, bin, home, without.URL)
	server, stop := serveUntil(t, withAuditor(t), t.TempDir(), "dev")
	drive := node(t, "console-audits.mjs", slices.Concat([]string{server.URL, without.URL, chromium, operator, keys}, cars)...)
	in, err := drive.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := drive.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := drive.Start(); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(out)
	var got struct {
		Said                 [][2]string
		Without              string
		Faults, Axe, Foreign []string
	}
	var loaded bool
	if err := dec.Decode(&loaded); err != nil || !loaded {
		t.Fatalf("the auditor is not loaded: %v: %.2000s", err, drive.Stderr)
	}
	stop()
	if _, err := io.WriteString(in, "the server is gone\n"); err != nil {
		t.Fatal(err)
	}
	if err := dec.Decode(&got); err != nil {
		t.Fatalf("%v: %.2000s", err, drive.Stderr)
	}
	if err := drive.Wait(); err != nil {
		t.Errorf("%v: %.2000s", err, drive.Stderr)
	}
	if len(got.Faults)+len(got.Axe)+len(got.Foreign) > 0 {
		t.Errorf("the browser complains of %q, asks others for %q, and axe finds %q", got.Faults, got.Foreign, got.Axe)
	}
	if len(got.Said) != 3 || !strings.Contains(got.Without, "was built without it") || !strings.Contains(got.Without, "writ-audit verify good.car") {
		t.Fatalf("the page says %q, and without the auditor %q", got.Said, got.Without)
	}
	for i, file := range []string{cars[0], cars[1], cars[0]} {
		want, exit := sayOfAuditor(t, file, keys, operator)
		if got.Said[i] != [2]string{fmt.Sprint(exit), want} || len(want) < 100 {
			t.Errorf("of %s the page says %q, the command %q with %d", filepath.Base(file), got.Said[i], want, exit)
		}
	}
}

// The auditor as WebAssembly says of every published vector what the command says of it, word for word.
func TestTheAuditorForPagesAgreesOnTheVectors(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds WebAssembly, and reads every vector twice")
	}
	t.Parallel()
	folder := t.TempDir()
	if err := tamper.Write(folder); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(folder, "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Key     string `json:"operator_key"`
		Vectors []struct{ Name, File, Keys string }
	}
	if err := json.Unmarshal(list, &all); err != nil || len(all.Vectors) < 150 {
		t.Fatalf("%d vectors: %v", len(all.Vectors), err)
	}
	drive := node(t, "auditor-vectors.mjs", buildAuditor(t), folder)
	var faults bytes.Buffer
	drive.Stderr = &faults
	out, err := drive.Output()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, &faults)
	}
	var got []struct {
		Text, Error string
		Exit        int
	}
	if err := json.Unmarshal(out, &got); err != nil || len(got) != len(all.Vectors) {
		t.Fatalf("%d answers to %d vectors: %v", len(got), len(all.Vectors), err)
	}
	for i, v := range all.Vectors {
		keys := v.Keys
		if keys != "" {
			keys = filepath.Join(folder, keys)
		}
		want, failed, exit := askAuditor(t, filepath.Join(folder, v.File), keys, all.Key)
		_, wrong, _ := strings.Cut(got[i].Error, "the file of keys: ") // which the command says on its other output
		if g := got[i]; g.Text != want || g.Exit != exit || (g.Error == "") != (failed == "") || !strings.Contains(failed, wrong) {
			t.Errorf("%s: as WebAssembly %+v, the command %q, %q with %d", v.Name, g, want, failed, exit)
		}
	}
}
