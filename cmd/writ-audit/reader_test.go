package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/eth/devchain"
)

const operatorOfVectors = "cf52c4c3eb15998fa496cff09ed54920a9c17dbcc725c2c316beabf3e6bf4e86"

// A reading is what the second reader says of a file.
type reading struct {
	OK                     bool
	Error, Root, Wallet    string
	Steps, Blocks, Records int
	Leaves                 struct{ Opened, Sealed, Withheld, Reopened int }
	Checked, Left          []string
	Log                    *struct{ Index, Size int }
}

// runReader runs a program of web/reader, which is written in another language and with other libraries. Without Node or
// its packages the test is skipped, unless CI is set: there it must run.
func runReader(t *testing.T, program string, args ...string) *json.Decoder {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("there is no Node here: install Node 20 or later")
	}
	if _, err := os.Stat("../../web/reader/node_modules/multiformats"); err != nil {
		missing("web/reader has no packages: run npm ci there, or make test")
	}
	cmd := exec.CommandContext(t.Context(), node, append([]string{"../../web/reader/" + program}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 2 {
		t.Fatalf("%v: %s", err, errs.String())
	}
	return json.NewDecoder(&out)
}

// secondReader reads files with it.
func secondReader(t *testing.T, files []string, args ...string) []reading {
	t.Helper()
	var readings []reading
	for dec := runReader(t, "reader.mjs", append(slices.Clone(files), args...)...); dec.More(); {
		var r reading
		check(t, dec.Decode(&r))
		readings = append(readings, r)
	}
	if len(readings) != len(files) {
		t.Fatalf("%d answers to %d files", len(readings), len(files))
	}
	return readings
}

func TestASecondReaderReadsARunOfTheRuntime(t *testing.T) {
	dev, err := devchain.Start(t.Context(), devchain.Config{})
	check(t, err)
	defer dev.Close()
	car := filepath.Join(t.TempDir(), "run.car")
	pay(t, dev.URL(), car)
	r := secondReader(t, []string{car}, "--keys", strings.TrimSuffix(car, ".car")+".keys.json")[0]
	file, f, err := openCAR(car)
	check(t, err)
	defer f.Close()
	if got := strings.Join(r.Checked, " "); got != "grant cover request arguments" { // without the operator's key, not the head
		t.Errorf("it has checked %s", got)
	}
	if !r.OK || r.Root != file.Root().String() || r.Blocks != file.Len() || r.Steps < 6 || !strings.HasPrefix(r.Wallet, "0x") ||
		r.Leaves.Opened < 5 || r.Leaves.Sealed+r.Leaves.Withheld != 0 {
		t.Errorf("%+v", r)
	}
}

// leftToGo are the codes, or families of them, that the second reader does not look for, and says so at its head.
var leftToGo = []string{
	"decisions.", "context.", "replies.", "totals.", "transfers.", // the loop, the rules, the dialects of providers
	"schema.key", "schema.type", "schema.range", "schema.order", // it reads what it needs of a record
	"fork.told", "fork.shared", // what shared steps say and decide, as of any steps
	"history.call", "cover.chain",
	"delegation.form", "delegation.wider", "delegation.limits", "delegation.input", "delegation.label", "delegation.handed",
	"delegation.child", "delegation.later", "delegation.stopped",
	"car.varint", // its CAR library reads any spelling of a length
}

// TestASecondReaderAgreesOnTheVectors: it refuses every lie but those of the codes that it leaves to Go, and nothing that is
// honest. Of what wallets and session keys have signed it must find the same fault.
func TestASecondReaderAgreesOnTheVectors(t *testing.T) {
	vectors := vectorFolder(t)
	b, err := os.ReadFile(vectors + "vectors.json")
	check(t, err)
	var list struct {
		Vectors []struct {
			Name, File, Keys, Verdict, Code string
		}
	}
	check(t, json.Unmarshal(b, &list))
	var files, names, codes []string
	for _, v := range list.Vectors {
		if v.Keys == "keys.json" {
			files, names, codes = append(files, vectors+v.File), append(names, v.Name), append(codes, v.Code)
		}
	}
	refused := 0
	for i, r := range secondReader(t, files, "--keys", vectors+"keys.json", "--operator-key", operatorOfVectors) {
		// Files are held to the request that names them.
		ofFile := codes[i] == "decisions.event" && strings.HasPrefix(names[i], "attached-")
		left := !ofFile && slices.ContainsFunc(leftToGo, func(family string) bool { return strings.HasPrefix(codes[i], family) })
		family, _, _ := strings.Cut(codes[i], ".")
		same := ofFile || slices.Contains([]string{"grant", "approvals", "cover", "fork"}, family) || codes[i] == "block.hash"
		switch {
		case strings.HasPrefix(r.Error, "crash"):
			t.Errorf("%s: %s", names[i], r.Error)
		case codes[i] == "" && !r.OK:
			t.Errorf("%s: an honest file is refused: %s", names[i], r.Error)
		case codes[i] != "" && !left && r.OK:
			t.Errorf("%s (%s) is not refused", names[i], codes[i])
		case !r.OK && same && !strings.HasPrefix(r.Error, codes[i]):
			t.Errorf("%s: %s, want %s", names[i], r.Error, codes[i])
		}
		if !r.OK {
			refused++
		}
	}
	if refused < 90 {
		t.Errorf("%d files were refused", refused)
	}
}

// TestASecondReaderAgreesOnTheLog: with the log's key it finds each lie about where a head stands, but for those that take
// witnesses, epochs, anchors or the key's binding, which are left to Go.
func TestASecondReaderAgreesOnTheLog(t *testing.T) {
	vectors := vectorFolder(t)
	b, err := os.ReadFile(vectors + "log-vectors.json")
	check(t, err)
	var list struct {
		Vectors []struct {
			Name, File, Policy, Anchor, Code string
			Receipts, Epochs                 []string
		}
	}
	check(t, json.Unmarshal(b, &list))
	found := map[string]int{}
	for _, v := range list.Vectors {
		if v.File == "" || v.Epochs != nil || v.Anchor != "" || len(v.Receipts) > 1 {
			continue
		}
		policy, err := os.ReadFile(vectors + cmp.Or(v.Policy, "log.policy"))
		check(t, err)
		first, _, _ := strings.Cut(string(policy), "\n")
		args := []string{"--log-key", strings.TrimPrefix(first, "log ")}
		for _, r := range v.Receipts {
			args = append(args, "--receipt", vectors+r)
		}
		r := secondReader(t, []string{vectors + v.File}, args...)[0]
		want := v.Code
		if strings.HasPrefix(want, "head.") || want == "log.witness" || want == "log.binding" {
			want = "" // what it does not look at
		}
		got, _, _ := strings.Cut(r.Error, ":")
		if got != want || r.OK != (want == "") || r.OK && (r.Log == nil || !slices.Contains(r.Checked, "log")) {
			t.Errorf("%s: %+v, want %q", v.Name, r, want)
		}
		found[got]++
	}
	for _, code := range []string{"", "log.form", "log.origin", "log.key", "log.proof", "log.receipt", "log.cut", "log.branch"} {
		if found[code] == 0 {
			t.Errorf("no vector comes to %q: %v", code, found)
		}
	}
}

// TestASecondReaderAgreesOnWhatIsSigned: texts, ReCaps, sentences, signatures, frames and approvals, over all vectors of
// package auth, and the spelling of arguments, over those of package tools. It must say yes to the same ones, and no for the same reason, but for those that it names otherwise.
func TestASecondReaderAgreesOnWhatIsSigned(t *testing.T) {
	n := 0
	for dec := runReader(t, "vectors.mjs", "../../tools/testdata/vectors"); dec.More(); n++ {
		var v struct{ File, Name, Code, Got string }
		if check(t, dec.Decode(&v)); v.Got != v.Code {
			t.Errorf("%s, %s: %q, want %q", v.File, v.Name, v.Got, v.Code)
		}
	}
	if n < 40 {
		t.Errorf("%d cases of arguments", n)
	}
	n = 0
	for dec := runReader(t, "vectors.mjs", "../../auth/testdata/vectors"); dec.More(); n++ {
		var v struct{ File, Name, Code, Got string }
		check(t, dec.Decode(&v))
		wordsOnly := func(code string) bool { // of a ReCap it says less exactly what is wrong; siwe-go is none of its readers
			return strings.HasPrefix(code, "recap.") || strings.HasPrefix(code, "second.") || code == "caveats.range" || code == "expect.missing"
		}
		if (v.Code == "") != (v.Got == "") || strings.HasPrefix(v.Got, "crash") || v.Got != v.Code && !wordsOnly(v.Code) {
			t.Errorf("%s, %s: %q, want %q", v.File, v.Name, v.Got, v.Code)
		}
	}
	if n < 550 {
		t.Errorf("%d cases", n)
	}
}

// TestASecondReaderReadsWhatIsLogged: a file that begins with a receipt, as an export of a server does, is read from the head
// that the receipt is of. The log's proof it leaves to Go.
func TestASecondReaderReadsWhatIsLogged(t *testing.T) {
	vectors := vectorFolder(t)
	b, err := os.ReadFile(vectors + "log-vectors.json")
	check(t, err)
	var list struct {
		Vectors []struct{ Name, File, Verdict string }
	}
	check(t, json.Unmarshal(b, &list))
	var files, names []string
	for _, v := range list.Vectors {
		if v.Verdict == "verified" && v.File != "" { // a vector of the log alone has no file
			files, names = append(files, vectors+v.File), append(names, v.Name)
		}
	}
	if len(files) < 3 {
		t.Fatalf("only %d files are in a log", len(files))
	}
	for i, r := range secondReader(t, files, "--keys", vectors+"keys.json", "--operator-key", operatorOfVectors) {
		if !r.OK || !slices.Contains(r.Left, "log") || !slices.Contains(r.Checked, "request") {
			t.Errorf("%s: %+v", names[i], r)
		}
	}
}
