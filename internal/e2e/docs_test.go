package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Each command of these pages is run, in its order, by a person who reads one page in a folder of their own. A comment says
// with which code a command exits, if it is not 0; RUN is the newest run, and what ends in & is `writ dev`.
func TestCommandsOfThePagesRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server for each page")
	}
	for page, least := range map[string]int{"concepts": 8, "permissions": 12, "chains": 7, "threat-model": 5} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(filepath.Join(root, "docs", page+".md"))
			if err != nil {
				t.Fatal(err)
			}
			r := reader{t: t, dir: t.TempDir(), bin: build(t)}
			for _, b := range blocks.FindAllStringSubmatch(string(source), -1) {
				if b[2] != "sh" {
					continue
				}
				for line := range strings.Lines(b[3]) {
					r.do(strings.TrimSpace(line))
				}
			}
			if r.commands < least {
				t.Errorf("%d commands were run, want %d at least; has the page's form changed?", r.commands, least)
			}
		})
	}
}

// A reader does what a page says.
type reader struct {
	t        *testing.T
	dir, bin string
	server   string // its address, once it runs
	commands int
}

var exitsWith = regexp.MustCompile(`\s+# exits (\d+)(?::.*)?$`)

func (r *reader) do(line string) {
	r.t.Helper()
	r.commands++
	if line == "writ dev &" {
		r.server = serve(r.t, filepath.Join(r.bin, "writ"), filepath.Join(r.dir, "home"), "dev").URL
		return
	}
	want := 0
	if m := exitsWith.FindStringSubmatch(line); m != nil {
		want, _ = strconv.Atoi(m[1]) // it is digits
		line = strings.TrimSuffix(line, m[0])
	}
	if strings.Contains(line, "RUN") {
		line = strings.ReplaceAll(line, "RUN", r.newest())
	}
	out, code := r.run(line)
	if code != want {
		r.t.Fatalf("%s: exits with %d, want %d: %s", line, code, want, out)
	}
}

func (r *reader) run(line string) (out string, code int) {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = r.dir
	cmd.Env = slices.Concat(os.Environ(), []string{"PATH=" + r.bin + ":" + os.Getenv("PATH"), "WRIT_HOME=" + filepath.Join(r.dir, "home")})
	if r.server != "" {
		cmd.Env = append(cmd.Env, "WRIT_SERVER="+r.server)
	}
	b, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		r.t.Fatalf("%s: %v", line, err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

func (r *reader) newest() string {
	var list struct{ Runs []struct{ Run string } }
	out, _ := r.run("writ runs ls --json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Runs) == 0 {
		r.t.Fatalf("writ runs ls --json: %v: %s", err, out)
	}
	return list.Runs[0].Run
}

// The code of docs/sdk.md is one program: a strict compiler reads it, and it does what it says against a server.
func TestTheProgramOfTheSDKsPage(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	sdk := nodeOfSDK(t, "").Dir
	node(t, "") // whose WebSocket it takes
	source, err := os.ReadFile(filepath.Join(root, "docs/sdk.md"))
	if err != nil {
		t.Fatal(err)
	}
	var program strings.Builder
	pieces := 0
	for _, b := range blocks.FindAllStringSubmatch(string(source), -1) {
		if b[2] == "ts" {
			program.WriteString(b[3])
			pieces++
		}
	}
	if pieces < 9 {
		t.Fatalf("the page has %d pieces of code; has its form changed?", pieces)
	}
	dir := t.TempDir()
	modules := filepath.Join(dir, "node_modules")
	if err := os.MkdirAll(modules, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(sdk, filepath.Join(modules, "writ-sdk")); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "page.mts")
	text := "import { mockWallet } from 'writ-sdk/test'\nconst wallet = mockWallet()\n" + program.String() + "console.log(reason, read, past, owed)\n"
	if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tsc := nodeOfSDK(t, "node_modules/typescript/bin/tsc", "--ignoreConfig", "--strict", "--noEmit", "--target", "es2022", "--lib",
		"dom,dom.iterable,es2023,dom.asynciterable", "--types", "", "--module", "nodenext", "--moduleResolution", "nodenext", page)
	if out, err := tsc.Output(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	e2e, err := filepath.Abs(filepath.Join(root, "web/e2e"))
	if err != nil {
		t.Fatal(err)
	}
	r, _, _ := dev(t)
	// Node reads it as it stands, since nothing in it is of TypeScript alone; what a browser has of itself is given before.
	before := "import { createRequire } from 'node:module'\nimport { mockWallet } from 'writ-sdk/test'\n" +
		"const { WebSocket } = createRequire('" + e2e + "/package.json')('ws')\n" +
		"Object.assign(globalThis, { WebSocket, confirm: () => true, File: (await import('node:buffer')).File })\nconst wallet = mockWallet()\n"
	after := "process.stdout.write('\\n' + JSON.stringify({ reason, text, outcome: outcome.reason, talk: (await talk).reason, " +
		"read: read.reason, runs: past.length, owed: owed.length, ok: reading.ok, left: reading.left.length }))\n"
	js := strings.ReplaceAll(before+program.String()+after, "https://writ.example", r.URL)
	if err := os.WriteFile(filepath.Join(dir, "page.mjs"), []byte(js), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", filepath.Join(dir, "page.mjs"))
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %.3000s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var got struct {
		Reason, Text, Outcome, Talk, Read string
		Runs, Owed, Left                  int
		OK                                bool
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got.Reason != "answered" || got.Outcome != "answered" || got.Talk != "answered" || got.Read != "answered" || got.Runs != 4 ||
		got.Owed != 0 || !got.OK || got.Left == 0 || !strings.Contains(string(out), "invalid_params") {
		t.Errorf("got %+v: %s", got, out)
	}
}
