package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/writ-run/writ/internal/eth/devchain"
)

var update = flag.Bool("update", false, "write what commands print into the scripts' expectations")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"writ": func() { os.Exit(Main()) }, "toolserver": toolServer, "guardedserver": guardedServer, "agreeing": agreeingBrowser,
	})
}

// TestScripts runs every script of testdata/script. Each is the manual of what its name says. Besides testscript's own
// commands they have:
//
//	exits CODE writ ARGS...      run, and expect this exit code
//	waitfile FILE                wait until a program in the background has written it
//	get VAR FILE KEY [KEY...]    set a variable to a value of a JSON file; FILE may be stdout
//	fetch URL FILE               write what a URL answers with 200 to a file
//	firstleaf VAR FILE OTHER     set a variable to the first leaf of a key file that is not in the other
//	flip FILE OFFSET             change one bit, counted from the end
//	cut FILE BYTES               cut bytes off the end
//	kubo VAR                     start a Kubo node of the script's own, and set a variable to its RPC's URL
//	pinned FILE.car OUT.car      wait until it has pinned the head of a file, and write what it exports of it
//
// The program toolserver is a server of tools, guardedserver one that wants somebody to sign in, and agreeing a browser
// whose user agrees to everything; see toolServer and what follows it.
//
// The condition kubo says whether there is a Kubo.
//
//	policyof FILE LINE...        write a policy file that asks for all witnesses of the lines
//	until TEXT PROGRAM ARGS...   run again and again, for a minute, until it prints the text and ends with 0
//	readurl VAR FILE             set a variable to what a file says
//	truncate DIR                 cut every file of a folder to half
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Condition: func(c string) (bool, error) {
			if c != "kubo" {
				return false, fmt.Errorf("unknown condition %q", c)
			}
			return haveKubo(), nil
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("WRIT_HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("MALLORY", hex.EncodeToString(crypto.FromECDSA(devchain.Accounts()["mallory"].Key))) // of the dev chain, which is public
			examples, err := filepath.Abs("../../examples")
			e.Setenv("EXAMPLES", examples)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"until": untilItSays, "policyof": policyOfWitnesses, "truncate": truncateAll,
			"exits": exits, "waitfile": waitfile, "get": get, "flip": flip, "cut": cut, "fetch": fetch, "firstleaf": firstLeaf,
			"kubo": kubo, "pinned": pinned, "stranger": stranger, "holder": holderOfRun, "absent": absent, "tail": tailOf,
			"questioner": questioner, "looker": looker, "showdoor": showDoor, "readurl": readURL,
		},
	})
}

// readURL sets a variable to what a file says: readurl VAR FILE.
func readURL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: readurl VAR FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// tailOf sets a variable to the last characters of a text: tail VAR TEXT COUNT.
func tailOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: tail VAR TEXT COUNT")
	}
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Setenv(args[0], args[1][len(args[1])-n:])
}

func firstLeaf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: firstleaf VAR FILE OTHER")
	}
	var f, other struct{ Keys map[string]string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &f))
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[2])), &other))
	for leaf := range other.Keys {
		delete(f.Keys, leaf)
	}
	ts.Setenv(args[0], slices.Min(slices.Collect(maps.Keys(f.Keys))))
}

func fetch(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: fetch URL FILE")
	}
	r, err := http.Get(args[0])
	ts.Check(err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	ts.Check(err)
	if (r.StatusCode == http.StatusOK) == neg {
		ts.Fatalf("status %d: %s", r.StatusCode, body)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), body, 0o600))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("got exit code %d, want %d", got, want)
	}
}

func waitfile(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: waitfile FILE")
	}
	for end := time.Now().Add(time.Minute); ; {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s was not written in a minute", args[0])
		}
		time.Sleep(10 * time.Millisecond) // another process writes it; there is nothing to wait on
	}
}

func get(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: get VAR FILE KEY...")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &v))
	for _, key := range args[2:] {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			i, err := strconv.Atoi(key)
			ts.Check(err)
			if i >= len(x) {
				ts.Fatalf("there is no element %d", i)
			}
			v = x[i]
		}
		if v == nil {
			ts.Fatalf("%s has no %s", args[1], key)
		}
	}
	if n, ok := v.(float64); ok { // in plain digits
		v = strconv.FormatFloat(n, 'f', -1, 64)
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

func flip(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b[len(b)-1-at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

func policyOfWitnesses(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: policyof FILE LINE...")
	}
	text, group := "", "group everyone all"
	for _, line := range args[1:] {
		text += line + "\n"
		if f := strings.Fields(line); f[0] == "witness" {
			group += " " + f[1]
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text+group+"\nquorum everyone\n"), 0o600))
}

func untilItSays(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until TEXT PROGRAM ARGS...")
	}
	for end := time.Now().Add(time.Minute); ; {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("it did not print %q in a minute", args[0])
		}
		time.Sleep(200 * time.Millisecond) // another process does what is waited for
	}
}

func truncateAll(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: truncate DIR")
	}
	names, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*"))
	ts.Check(err)
	for _, name := range names {
		info, err := os.Stat(name)
		ts.Check(err)
		ts.Check(os.Truncate(name, info.Size()/2))
	}
}

func cut(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: cut FILE BYTES")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), info.Size()-n))
}
