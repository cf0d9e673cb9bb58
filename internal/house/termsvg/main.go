// Command termsvg runs a command and draws what it really printed, colours included, as an SVG of a terminal.
//
//	go run ./internal/house/termsvg -o docs/demo.svg -show '^4 ..on chain' -show 'VERIFIED' bin/writ demo
//
// Each -show picks the lines from the first that matches one expression to the next that matches another, or one line,
// in the order of the output. What lies between is left out and marked. Nothing is changed but line breaks: a line
// that is too wide is broken at a space.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "termsvg:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("termsvg", flag.ContinueOnError)
	out := fs.String("o", "-", "the file to write; - is standard output")
	cols := fs.Int("cols", 110, "columns of the terminal")
	most := fs.Int("lines", 60, "the most lines that a picture may have")
	timeout := fs.Duration("timeout", 2*time.Minute, "how long the command may take")
	var show []span
	fs.Func("show", "lines to show: `from..to`, both regular expressions, or one expression for one line",
		func(s string) error {
			sp, err := parseSpan(s)
			show = append(show, sp)
			return err
		})
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return errors.New("which command? Give it after the flags")
	}
	if *cols < 20 {
		return errors.New("-cols wants at least 20 columns")
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	text, err := runCommand(ctx, fs.Args(), *cols)
	if err != nil {
		return err
	}
	lines, err := crop(read(text), show)
	if err != nil {
		return err
	}
	var broken []line
	for _, l := range lines {
		broken = append(broken, l.wrap(*cols)...)
	}
	if len(broken) > *most {
		return fmt.Errorf("the picture would have %d lines, more than %d; show less", len(broken), *most)
	}
	title := strings.Join(append([]string{filepath.Base(fs.Arg(0))}, fs.Args()[1:]...), " ")
	svg := draw(title, broken, *cols)
	if *out == "-" {
		_, err = os.Stdout.WriteString(svg)
		return err
	}
	return os.WriteFile(*out, []byte(svg), 0o644)
}

// runCommand returns what a command prints on a terminal with so many columns.
func runCommand(ctx context.Context, args []string, cols int) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CLICOLOR_FORCE=1", fmt.Sprintf("COLUMNS=%d", cols))
	cmd.WaitDelay = 5 * time.Second
	text, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return string(text), nil
}

// A span is a range of lines: from the first that matches from to the next that matches to.
type span struct{ from, to *regexp.Regexp }

func parseSpan(s string) (span, error) {
	from, to, ok := strings.Cut(s, "..")
	if !ok {
		to = ""
	}
	a, err := regexp.Compile(from)
	if err != nil {
		return span{}, err
	}
	b, err := regexp.Compile(to) // "" matches the line itself
	return span{a, b}, err
}

// crop returns the lines of the spans in order, with a mark between two that do not meet. Without spans it is all.
func crop(lines []line, show []span) ([]line, error) {
	if len(show) == 0 {
		return lines, nil
	}
	var out []line
	at := 0
	for _, s := range show {
		first := slices.IndexFunc(lines[at:], func(l line) bool { return s.from.MatchString(l.text()) })
		if first < 0 {
			return nil, fmt.Errorf("no line matches %q after line %d of the output", s.from, at)
		}
		first += at
		last := slices.IndexFunc(lines[first:], func(l line) bool { return s.to.MatchString(l.text()) })
		if last < 0 {
			return nil, fmt.Errorf("no line matches %q after line %d of the output", s.to, first)
		}
		last += first + 1
		if len(out) > 0 && first > at {
			if text(lines[at:first]) != "" {
				out = append(out, line{{text: "  ...", style: dim}})
			}
			if lines[first-1].text() == "" {
				out = append(out, nil)
			}
		}
		out = append(out, lines[first:last]...)
		at = last
	}
	return out, nil
}

func text(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.text())
	}
	return b.String()
}
