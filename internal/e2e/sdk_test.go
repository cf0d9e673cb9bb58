package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// nodeOfSDK returns a command that runs a program of web/sdk.
func nodeOfSDK(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := node(t, script, args...)
	dir, err := filepath.Abs(filepath.Join(root, "web/sdk"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules/esbuild")); err != nil {
		missing(t, "web/sdk has no packages: run npm ci there, or make test")
	}
	cmd.Dir = dir
	return cmd
}

// A page's own compiler, as strict as it likes and with either way of finding modules, reads the types that are built.
const strangersPage = `import { connect, WritError, type CallSummary } from 'writ-sdk'
import { toAGUI } from 'writ-sdk/ag-ui'
import { attach } from 'writ-sdk/attach'
import { writTransport } from 'writ-sdk/ai-sdk'
import { pay, payments } from 'writ-sdk/pay'
import { useRun } from 'writ-sdk/react'
import { send } from 'writ-sdk/send'
import { mockWallet } from 'writ-sdk/test'
import { verify, type Reading } from 'writ-sdk/verify'

const client = await connect('https://writ.example')
const session = await client.signIn(mockWallet(), { agent: 'treasurer' })
for await (const u of session.run('send 5 USDC to bob')) {
  if (u.kind === 'approval') {
    const summary: CallSummary = u.approval.summary
    console.log(summary.text.length, u.approval.typed_data.domain)
    await u.approval.approve()
  }
  if (u.kind === 'delta' && u.place !== undefined) console.log(u.place - 1)
}
console.log(await pay(session, mockWallet(), await payments(session)))
console.log(await session.run('and this?', { attach: await attach(session, [new File(['x'], 'x.md')], { onProgress: console.log }) }))
const reading: Reading = await verify(new Uint8Array())
console.log(WritError, toAGUI, writTransport, useRun, send, reading.left)
`

func TestAPageReadsTheTypes(t *testing.T) {
	sdk := nodeOfSDK(t, "").Dir
	dir := t.TempDir()
	modules := filepath.Join(dir, "node_modules")
	if err := os.MkdirAll(filepath.Join(modules, "@types"), 0o700); err != nil {
		t.Fatal(err)
	}
	for at, to := range map[string]string{"writ-sdk": "", "react": "node_modules/react", "@types/react": "node_modules/@types/react"} {
		if err := os.Symlink(filepath.Join(sdk, to), filepath.Join(modules, at)); err != nil {
			t.Fatal(err)
		}
	}
	page := filepath.Join(dir, "page.mts")
	if err := os.WriteFile(page, []byte(strangersPage), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, way := range [][2]string{{"esnext", "bundler"}, {"nodenext", "nodenext"}} {
		tsc := nodeOfSDK(t, "node_modules/typescript/bin/tsc", "--ignoreConfig", "--strict", "--noEmit", "--target", "es2022", "--lib",
			"dom,es2023,dom.asynciterable", "--types", "", "--module", way[0], "--moduleResolution", way[1], page)
		if out, err := tsc.Output(); err != nil {
			t.Errorf("%s: %v: %s", way[1], err, out)
		}
	}
}

// A run that waits in the queue of its model tells its place, and no more once something is written.
func TestARunTellsItsPlaceInTheQueue(t *testing.T) {
	const page = `
import { build } from 'esbuild'
const made = await build({ entryPoints: ['src/run.ts'], bundle: true, format: 'esm', write: false })
const { Run } = await import('data:text/javascript;base64,' + Buffer.from(made.outputFiles[0].contents).toString('base64'))
const delta = (more) => ({ method: 'run.delta', params: { sub: 's', run: 'r', after_seq: 0, text: '', ...more } })
const link = {
  follow: async (_, on) => {
    setTimeout(() => {
      for (const note of [delta({ place: 3 }), delta({ place: 1 }), delta({ text: 'hi' })]) on(note)
      on({ method: 'run.event', params: { seq: 0, event: { kind: 'reply' }, does: [{ kind: 'close', reason: 'answered' }] } })
      on({ method: 'run.receipt', params: { receipt: 'x', head: 'y' } })
    })
    return { sub: 's', epoch: 'e', recovered: true }
  },
  unfollow () {}
}
const out = []
for await (const u of new Run({ link: async () => link }, Promise.resolve('r'))) if (u.kind === 'delta') out.push([u.text, u.place ?? 0])
console.log(JSON.stringify(out))
`
	out, err := nodeOfSDK(t, "--input-type=module", "-e", page).Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != `[["",3],["",1],["hi",0]]` {
		t.Errorf("%v: %s", err, got)
	}
}

// What is committed is what the sources make, the types are those of the protocol, and all of it is small.
func TestTheSDKIsBuiltFromItsSources(t *testing.T) {
	types := nodeOfSDK(t, "types.mjs")
	wire := filepath.Join(types.Dir, "src/wire.ts")
	before, err := os.ReadFile(wire)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := types.Output(); err != nil {
		t.Fatalf("types.mjs: %v: %s", err, out)
	}
	after, err := os.ReadFile(wire)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("web/sdk/src/wire.ts was not made from agent/wire/openrpc.json; it is now: commit it")
	}
	if out, err := nodeOfSDK(t, "node_modules/typescript/bin/tsc").Output(); err != nil {
		t.Errorf("the types do not hold: %v: %s", err, out)
	}
	made := t.TempDir()
	if out, err := nodeOfSDK(t, "build.mjs", made).Output(); err != nil {
		t.Fatalf("build.mjs: %v: %s", err, out)
	}
	files, err := os.ReadDir(made)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		want, err := os.ReadFile(filepath.Join(made, f.Name()))
		got, gone := os.ReadFile(filepath.Join(types.Dir, "dist", f.Name()))
		if err != nil || gone != nil || !bytes.Equal(got, want) {
			t.Errorf("web/sdk/dist/%s is not what the sources make (%v): run npm run build there", f.Name(), gone)
		}
	}
	all := 0 // of what a page may load; test.js is for tests
	for name, most := range map[string]int{
		"index.js": 4096, "signin.js": 1000, "react.js": 1100, "send.js": 400, "attach.js": 1600, "pay.js": 1300, "mandate.js": 800, "ag-ui.js": 1000, "ai-sdk.js": 1200,
		"verify.js": 15 << 10, "curves.js": 3400, "log.js": 1900, // verify.js loads curves.js, and log.js if it knows a log
		"files.js": 900, // likewise, if a request has files
	} {
		want, err := os.ReadFile(filepath.Join(made, name))
		if err != nil {
			t.Fatal(err)
		}
		n := gzipped(t, want)
		if all += n; n > most {
			t.Errorf("%s has %d bytes after gzip, more than %d", name, n, most)
		}
	}
	if all > 32<<10 {
		t.Errorf("all of it has %d bytes after gzip, more than 32 KiB", all)
	}
}

// The SDK against a real server: five kinds of wallets, approvals, refusals, a page that was loaded again, and sockets
// that are cut at random while runs go on.
func TestTheSDK(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server")
	}
	t.Parallel()
	cmd := nodeOfSDK(t, "e2e.mjs")
	r, _, _ := dev(t)
	const cuts = 60
	cmd.Args = append(cmd.Args, r.URL, "1337", strconv.Itoa(cuts))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, cmd.Stderr)
	}
	var got struct {
		Wallets map[string][]string
		Codes   map[string]string
		AGUI    struct{ Types, Bad []string }
		UI      struct {
			Chunks       int
			Bad, Tools   []string
			Text, Reason string
		}
		Files struct {
			Put, Refused            []string
			Pieces, Again, Recorded int
			Forked                  int
			Rises                   bool
			Sent, Stopped           string
		}
		Cuts   struct{ Done, Events, Lost, Doubled int }
		States []string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(got.Wallets)); len(names) != 5 {
		t.Errorf("got wallets %v, want 5", names)
	}
	for name, reasons := range got.Wallets {
		if strings.Join(reasons, " ") != "answered answered" {
			t.Errorf("%s: asked and paid, got %v", name, reasons)
		}
	}
	want := map[string]string{
		"refused": "denied", "rejected": "user_rejected", "foreign": "not_found", "denied": "denied", "cancelled": "cancelled",
		"agent": "not_found", "resumed": "answered", "steered": "answered true", "over": "approval_late", "absent": "not_found", "unpaid": "invalid_params",
		"revoked": "session_revoked", "closed": "disconnected",
	}
	if !maps.Equal(got.Codes, want) {
		t.Errorf("got %v, want %v", got.Codes, want)
	}
	types := got.AGUI.Types
	if n := len(types); len(got.AGUI.Bad) > 0 || n == 0 || types[0] != "RUN_STARTED" || types[n-1] != "RUN_FINISHED" ||
		!slices.Contains(types, "TOOL_CALL_RESULT") || !slices.Contains(types, "CUSTOM") {
		t.Errorf("as AG-UI the runs are %+v", got.AGUI)
	}
	if u := got.UI; u.Chunks < 5 || len(u.Bad) > 0 || u.Reason != "answered" || !strings.Contains(u.Text, "0.5 USDC") ||
		!slices.Contains(u.Tools, "erc20.transfer output-available") {
		t.Errorf("as a UI message stream the run is %+v", u)
	}
	f := got.Files
	put := []string{" image/png 400000", "a  terms .md text/markdown 12", " application/json 7"}
	if !slices.Equal(f.Put, put) || f.Pieces != 11 || !f.Rises || f.Again != 2 || f.Recorded != 3 || f.Forked != 2 ||
		f.Sent != "answered" || f.Stopped != "AbortError" {
		t.Errorf("files: %+v", f)
	}
	for i, says := range []string{
		"accepted", "it has 300000 bytes; of a text, at most 262144 are taken", "it is neither PNG, JPEG, WebP or GIF nor text",
		`"large.png" has 5242880 bytes; of a file, at most 4194304`, "it is empty", "8 files at most, not 9",
		`"a.JSON" is called JSON, and is not`, "9437184 bytes together; at most 8388608",
	} {
		if i >= len(f.Refused) || !strings.Contains(f.Refused[i], says) ||
			i > 0 && !strings.HasPrefix(f.Refused[i], "invalid_params: A file cannot be attached: ") {
			t.Errorf("files: %q, want %q", f.Refused, says)
			break
		}
	}
	if c := got.Cuts; c.Done != cuts || c.Events == 0 || c.Lost+c.Doubled != 0 {
		t.Errorf("after cuts: %+v, want %d and none lost or doubled", c, cuts)
	}
	if !slices.Contains(got.States, "lost") {
		t.Errorf("the page was told of %v, and never that the connection was lost", got.States)
	}
}
