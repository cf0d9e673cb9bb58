// Command bench runs the benchmarks that the design has goals for, in one go on one machine, and prints each as a
// ratio to its floor: the least that anybody could do for the same result, measured in the same run.
//
//	go run ./internal/bench [-json] [-count 3] [-benchtime 200ms]
//
// A goal that is missed is printed as missed and is no failure: these figures inform, and tests do not time. The
// command fails only if a benchmark does.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(progress)
	asJSON := fs.Bool("json", false, "print one JSON object instead of a table")
	count := fs.Int("count", 3, "how often each benchmark runs; the best counts")
	each := fs.Duration("benchtime", 200*time.Millisecond, "how long each run of a benchmark lasts")
	most := fs.Duration("timeout", 4*time.Minute, "end the whole after this time")
	if err := fs.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *most)
	defer cancel()
	found, err := measure(ctx, *count, each.String(), progress)
	if err != nil {
		return err
	}
	report := Report{Go: runtime.Version(), CPU: found.cpu, CPUs: runtime.NumCPU(), Count: *count}
	for _, r := range rows {
		l, err := r.judge(found)
		if err != nil {
			return err
		}
		report.Lines = append(report.Lines, l)
	}
	if *asJSON {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		return e.Encode(report)
	}
	return report.print(out)
}

// measure runs every benchmark that rows name, each of count times for as long as each says, as -benchtime of go test
// has it. One call of go test runs its packages' benchmarks one after the other.
func measure(ctx context.Context, count int, each string, progress io.Writer) (*results, error) {
	var packages, names []string
	for _, r := range rows {
		for _, ref := range []string{r.bench, r.floor} {
			if pkg, name, ok := strings.Cut(ref, " "); ok {
				packages = append(packages, "./"+pkg)
				name, _, _ = strings.Cut(name, "/")
				names = append(names, name)
			}
		}
	}
	slices.Sort(packages)
	slices.Sort(names)
	packages, names = slices.Compact(packages), slices.Compact(names)
	fmt.Fprintf(progress, "running %d benchmarks of %d packages, %d times each\n", len(names), len(packages), count)

	args := []string{"test", "-run", "^$", "-bench", "^(" + strings.Join(names, "|") + ")$", "-benchmem",
		"-benchtime", each, "-count", fmt.Sprint(count)}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, &headings{to: progress}), progress
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("stopped before the benchmarks were done: %w; give -timeout more time", ctx.Err())
		}
		return nil, fmt.Errorf("go test: %w\n%s", err, failures(out.String()))
	}
	return parse(&out)
}

// headings passes on which package is at work, and nothing else.
type headings struct {
	to   io.Writer
	rest []byte
}

func (h *headings) Write(b []byte) (int, error) {
	h.rest = append(h.rest, b...)
	for {
		line, rest, ok := bytes.Cut(h.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		if name, ok := bytes.CutPrefix(line, []byte("pkg: "+module)); ok {
			fmt.Fprintf(h.to, "  %s\n", name)
		}
		h.rest = rest
	}
}

// failures returns the lines of go test that are no figures.
func failures(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "Benchmark") || strings.Contains(line, "FAIL") {
			b.WriteString(line)
		}
	}
	return strings.TrimSpace(b.String())
}

// A Report is what one run found.
type Report struct {
	Go    string `json:"go"`
	CPU   string `json:"cpu"`
	CPUs  int    `json:"cpus"`
	Count int    `json:"count"`
	Lines []Line `json:"lines"`
}

// A Line is one figure with its floor and goals.
type Line struct {
	What  string  `json:"what"`
	Value float64 `json:"value"` // in Unit
	Unit  string  `json:"unit"`
	Floor string  `json:"floor,omitempty"` // what it is compared with
	Ratio float64 `json:"ratio,omitempty"` // 0 if there is no floor
	Goals []Goal  `json:"goals"`
}

// A Goal is one bound of the design and what was measured.
type Goal struct {
	Goal string  `json:"goal"`
	Got  float64 `json:"got"`
	Met  bool    `json:"met"`
}

func (r *Report) print(w io.Writer) error {
	fmt.Fprintf(w, "%s, %s, %d CPUs; the best of %d\n\n", r.Go, r.CPU, r.CPUs, r.Count)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tMEASURED\tx FLOOR\tFLOOR\tGOAL\t")
	met, all := 0, 0
	for _, l := range r.Lines {
		ratio := ""
		if l.Floor != "" {
			ratio = short(l.Ratio)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t", l.What, human(l.Value, l.Unit), ratio, l.Floor)
		if len(l.Goals) == 0 {
			fmt.Fprint(t, "\t\n")
		}
		for i, g := range l.Goals {
			if i > 0 {
				fmt.Fprint(t, "\t\t\t\t")
			}
			verdict := "missed"
			if all++; g.Met {
				met++
				verdict = "met"
			}
			unit, _, _ := strings.Cut(g.Goal, " ")
			fmt.Fprintf(t, "%s\t%s: %s\n", g.Goal, verdict, human(g.Got, unit))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d of %d goals met\n", met, all)
	return err
}

// human writes a figure as a person would.
func human(v float64, unit string) string {
	switch {
	case unit == "ratio":
		return short(v) + " x"
	case unit != "ns/op":
		return short(v) + " " + unit
	case v >= 1e6:
		return short(v/1e6) + " ms"
	case v >= 1e3:
		return short(v/1e3) + " us"
	}
	return short(v) + " ns"
}

// short writes three digits or all that are before the point.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
