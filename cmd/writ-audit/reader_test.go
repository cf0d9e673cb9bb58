package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/chain"
	"github.com/writ-run/writ/provenance"
)

const operatorOfVectors = "cf52c4c3eb15998fa496cff09ed54920a9c17dbcc725c2c316beabf3e6bf4e86"

// A reading is what the second reader says of a file.
type reading struct {
	OK                     bool
	Error, Root, Wallet    string
	Steps, Blocks, Records int
	Leaves                 struct{ Opened, Sealed, Withheld int }
	Checked                []string
}

// secondReader runs web/reader, which is written in another language and with other libraries, on files. Without Node or
// its packages the test is skipped, unless CI is set: there it must run.
func secondReader(t *testing.T, files []string, args ...string) []reading {
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
	cmd := exec.CommandContext(t.Context(), node, append(append([]string{"../../web/reader/reader.mjs"}, files...), args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 2 {
		t.Fatalf("%v: %s", err, errs.String())
	}
	var readings []reading
	for dec := json.NewDecoder(&out); dec.More(); {
		var r reading
		check(t, dec.Decode(&r))
		readings = append(readings, r)
	}
	if len(readings) != len(files) {
		t.Fatalf("%d answers to %d files: %s", len(readings), len(files), errs.String())
	}
	return readings
}

func TestASecondReaderReadsARunOfTheRuntime(t *testing.T) {
	dev, err := chain.StartDev(t.Context(), chain.DevConfig{})
	check(t, err)
	defer dev.Close()
	car := filepath.Join(t.TempDir(), "run.car")
	pay(t, dev.URL(), car)
	r := secondReader(t, []string{car}, "--keys", strings.TrimSuffix(car, ".car")+".keys.json")[0]
	file, f, err := open(car)
	check(t, err)
	defer f.Close()
	if got := strings.Join(r.Checked, " "); got != "grant request" { // without the operator's key, not the head
		t.Errorf("it has checked %s", got)
	}
	if !r.OK || r.Root != file.Root().String() || r.Blocks != file.Len() || r.Steps < 6 || !strings.HasPrefix(r.Wallet, "0x") ||
		r.Leaves.Opened < 5 || r.Leaves.Sealed+r.Leaves.Withheld != 0 {
		t.Errorf("%+v", r)
	}
}

// TestASecondReaderAgreesOnTheVectors: what it checks it must refuse too, and nothing that is honest.
func TestASecondReaderAgreesOnTheVectors(t *testing.T) {
	b, err := os.ReadFile(vectors + "vectors.json")
	check(t, err)
	var list struct {
		Vectors []struct {
			Name, File, Keys, Verdict, Code string
		}
	}
	check(t, json.Unmarshal(b, &list))
	// Bytes, links, order of the steps, leaves, the head, erasures, sub-agents and signatures are what it looks at.
	looksAt := []string{"car.", "block.", "codec.", "link.", "links.", "leaf.", "head.", "history.seq", "history.run",
		"history.clock", "history.ask", "history.of", "history.twice", "history.head", "schema.version", "grant.signature", "grant.agent", "grant.rules",
		"grant.request", "delegation.issuer", "delegation.signature", "delegation.agent", "delegation.call", "delegation.from"}
	misses := map[string]bool{
		"length-long": true, // its CAR library reads any spelling of a length
	}
	var files, names, codes []string
	for _, v := range list.Vectors {
		if v.Keys == "keys.json" {
			files, names, codes = append(files, vectors+v.File), append(names, v.Name), append(codes, v.Code)
		}
	}
	for i, r := range secondReader(t, files, "--keys", vectors+"keys.json", "--operator-key", operatorOfVectors) {
		refuses := false
		for _, family := range looksAt {
			refuses = refuses || codes[i] != "" && strings.HasPrefix(codes[i], family)
		}
		if codes[i] == "" && !r.OK {
			t.Errorf("%s: an honest file is refused: %s", names[i], r.Error)
		}
		if refuses && r.OK != misses[names[i]] {
			t.Errorf("%s (%s): refused %t, want %t", names[i], codes[i], !r.OK, !misses[names[i]])
		}
		if codes[i] == string(provenance.CodeBlockHash) && !strings.HasPrefix(r.Error, codes[i]) {
			t.Errorf("%s: %s, want %s", names[i], r.Error, codes[i])
		}
	}
}
