// Command mutants puts a small mistake into a copy of one source file at a time, and runs the test that must notice it.
//
//	go run ./internal/mutants [NAME...]
//
// The tree is never changed: the go command reads the copy in the file's place. A mutant that no test notices, or whose
// text is not there just once, is an error.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed mutants.txt
var table string

// A mutant is one mistake.
type mutant struct {
	name, what, file, old, new string
	packages                   []string
	run                        string
}

// readTable reads the list of mutants.
func readTable(text string) (list []mutant, err error) {
	unescape := strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace
	for i, line := range strings.Split(text, "\n") {
		key, value, _ := strings.Cut(line, " ")
		if line == "" || key == "#" || strings.HasPrefix(line, "#") {
			continue
		}
		if key == "mutant" {
			name, what, _ := strings.Cut(value, " ")
			list = append(list, mutant{name: name, what: strings.TrimSpace(what)})
			continue
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("mutants.txt:%d: a mutant begins with its name", i+1)
		}
		m := &list[len(list)-1]
		switch key {
		case "file":
			m.file = value
		case "test":
			words := strings.Fields(value)
			m.packages, m.run = words[:len(words)-1], words[len(words)-1]
		case "old":
			m.old = unescape(value)
		case "new":
			m.new = unescape(value)
		default:
			return nil, fmt.Errorf("mutants.txt:%d: %q is none of mutant, file, test, old and new", i+1, key)
		}
	}
	return list, nil
}

// source returns the file of root with the mistake in it.
func (m *mutant) source(root string) ([]byte, error) {
	src, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(src, []byte(m.old)); n != 1 || m.old == "" {
		return nil, fmt.Errorf("%s: %q is %d times in %s, and must be there once", m.name, m.old, n, m.file)
	}
	return bytes.Replace(src, []byte(m.old), []byte(m.new), 1), nil
}

// errSurvived is of a mistake that the test did not notice.
var errSurvived = errors.New("survived")

// kill runs the test on the mutant, and returns nil if it fails.
func (m *mutant) kill(root, dir string) error {
	src, err := m.source(root)
	if err != nil {
		return err
	}
	was, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		return err
	}
	is, overlay := filepath.Join(dir, m.name+".go"), filepath.Join(dir, m.name+".json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {was: is}})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(is, src, 0o600), os.WriteFile(overlay, list, 0o600)); err != nil {
		return err
	}
	args := append([]string{"test", "-overlay", overlay, "-count=1", "-timeout", "10m", "-run", m.run}, m.packages...)
	out, err := goCommand(root, args...)
	switch {
	case err == nil:
		return errSurvived
	case bytes.Contains(out, []byte("[build failed]")), bytes.Contains(out, []byte("[setup failed]")):
		return fmt.Errorf("it does not build, which proves nothing:\n%s", out)
	case !bytes.Contains(out, []byte("FAIL")):
		return fmt.Errorf("the test did not run: %w\n%s", err, out)
	}
	return nil
}

func goCommand(root string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	return cmd.CombinedOutput()
}

func main() {
	if err := runAll(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func runAll(names []string) error {
	list, err := readTable(table)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	killed, bad := 0, 0
	for _, m := range list {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		begun := time.Now()
		word := "killed"
		if err := m.kill(".", dir); err != nil {
			word = err.Error()
			bad++
		} else {
			killed++
		}
		fmt.Printf("%-14s %-55s %5.1f s  %s\n", m.name, m.what, time.Since(begun).Seconds(), word)
	}
	fmt.Printf("%d mutants: %d killed, %d not\n", killed+bad, killed, bad)
	if bad > 0 || killed == 0 {
		return fmt.Errorf("%d mutants are not killed", bad)
	}
	return nil
}
