// Command claims runs the command beside each claim of CLAIMS.md and says which hold.
//
//	go run ./internal/house/claims [-timeout 10m] [-v] [word ...]
//
// With words, only claims that contain one of them are run. A command that several claims share runs once. The exit
// code is 1 if a claim does not hold.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"time"
)

const document = "CLAIMS.md"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	each := flag.Duration("timeout", 10*time.Minute, "how long one command may take")
	verbose := flag.Bool("v", false, "print the commands")
	flag.Parse()
	src, err := os.ReadFile(document)
	if err != nil {
		fmt.Fprintf(os.Stderr, "claims: %v; run it from the root of the repository\n", err)
		os.Exit(1)
	}
	claims, err := parse(string(src))
	if err != nil {
		fmt.Fprintf(os.Stderr, "claims: %s: %v\n", document, err)
		os.Exit(1)
	}
	if !check(ctx, os.Stdout, chosen(claims, flag.Args()), *each, *verbose) {
		os.Exit(1)
	}
}

// A claim is one row of the document.
type claim struct {
	line    int
	text    string
	command string
}

// parse reads the rows "| claim | `command` |" of a document; other lines are prose. A bar inside a command is
// written as "\|", as Markdown wants it.
func parse(src string) ([]claim, error) {
	var claims []claim
	n := 0
	for line := range strings.Lines(src) {
		n++
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "| claim ") {
			continue
		}
		const bar = "\x00"
		cells := strings.Split(strings.ReplaceAll(line, `\|`, bar), "|")
		if len(cells) != 4 || cells[3] != "" {
			return nil, fmt.Errorf("line %d: a row has a claim and a command, and ends with a bar", n)
		}
		text, command := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])
		bare := strings.Trim(command, "`")
		if text == "" || bare == "" || command != "`"+bare+"`" {
			return nil, fmt.Errorf("line %d: a row has a claim and one command in backticks", n)
		}
		unbar := strings.NewReplacer(bar, "|")
		claims = append(claims, claim{n, unbar.Replace(text), unbar.Replace(bare)})
	}
	if len(claims) == 0 {
		return nil, errors.New("there is no claim in it")
	}
	return claims, nil
}

func chosen(claims []claim, words []string) []claim {
	if len(words) == 0 {
		return claims
	}
	return slices.DeleteFunc(claims, func(c claim) bool {
		return !slices.ContainsFunc(words, func(w string) bool {
			return strings.Contains(strings.ToLower(c.text), strings.ToLower(w))
		})
	})
}

// check runs the claims in order and reports whether all of them hold.
func check(ctx context.Context, w io.Writer, claims []claim, each time.Duration, verbose bool) bool {
	failed := 0
	seen := make(map[string]error)
	for _, c := range claims {
		began := time.Now()
		err, again := seen[c.command]
		if !again {
			err = run(ctx, c.command, each)
			seen[c.command] = err
		}
		verdict := "ok  "
		if err != nil {
			verdict = "FAIL"
			failed++
		}
		fmt.Fprintf(w, "%s %6.1fs  %s\n", verdict, time.Since(began).Seconds(), c.text)
		if verbose || err != nil {
			fmt.Fprintf(w, "               %s\n", c.command)
		}
		if err != nil && !again {
			fmt.Fprintf(w, "%v\n", err)
		}
		if ctx.Err() != nil {
			fmt.Fprintln(w, "interrupted")
			return false
		}
	}
	fmt.Fprintf(w, "\n%d of %d claims hold\n", len(claims)-failed, len(claims))
	return failed == 0
}

// run runs a command and returns an error that holds the end of its output if it failed, or if it tested nothing.
func run(ctx context.Context, command string, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err == nil && strings.Contains(string(out), "[no tests to run]") {
		err = errors.New("it runs no test")
	}
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) > 20 {
		lines = append([]string{"..."}, lines[len(lines)-20:]...)
	}
	return fmt.Errorf("    %w\n    %s", err, strings.Join(lines, "\n    "))
}
