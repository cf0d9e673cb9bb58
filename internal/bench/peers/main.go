// Command peers asks four engines the same: writ's policies, expr alone, cel-go and cedar-go. The same twenty rules
// with a set of 1,000 addresses, the same requests, in one run beside each other.
//
//	make bench-peers
//
// It is a module of its own, so that the product depends on none of them. Before anything is measured all engines
// must give the same answers, by the same rules; if they do not, it prints no figure and fails.
//
// Each engine gets what it offers to be fast: expr its optimizer and one virtual machine that is used again, cel-go
// constant folding and OptOptimize with the set in the program's constants, cedar-go the folding that it does by
// itself. Each may take the request in the form it likes best, which is made outside of the measured loop; "with the
// request" is measured with that form made anew, from the same Go struct.
package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// A request is what is asked. Amounts are in units of USDC: no peer has a type for money, so they count in 64 bits
// and would wrap.
type request struct {
	tool, class, asset, to            string
	amount, chain, now, expires, turn int64
}

// An answer is what an engine says. rules are sorted; of a deny they are the forbids that matched.
type answer struct {
	permit bool
	rules  []string
}

func (a answer) String() string {
	word := "deny"
	if a.permit {
		word = "permit"
	}
	return word + " by [" + strings.Join(a.rules, " ") + "]"
}

// An engine has loaded the rules.
type engine interface {
	// ready puts a request into the engine's own form.
	ready(*request) any
	// decide says whether the request is permitted, without finding out why.
	decide(any) bool
	// answer says why too.
	answer(any) answer
}

// engines are asked in this order. load compiles the rules.
var engines = []struct {
	name string
	load func() (engine, error)
}{
	{"writ", loadWrit}, {"expr alone", loadExpr}, {"cel-go", loadCEL}, {"cedar-go", loadCedar},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// runs is how often each figure is measured; the best counts, as the machine may be busy.
const runs = 7

func run() error {
	loaded := make([]engine, len(engines))
	for i, e := range engines {
		var err error
		if loaded[i], err = e.load(); err != nil {
			return fmt.Errorf("load %s: %w", e.name, err)
		}
	}
	if err := agree(loaded); err != nil {
		return err
	}
	q := permitted()
	var ready, whole, load []figure
	for range runs { // by turns, so that a slow second meets all of them
		for i, e := range loaded {
			x := e.ready(&q)
			ready = best(ready, i, measure(100*time.Millisecond, func() { e.decide(x) }))
			whole = best(whole, i, measure(100*time.Millisecond, func() { e.decide(e.ready(&q)) }))
			load = best(load, i, measure(50*time.Millisecond, func() {
				if _, err := engines[i].load(); err != nil {
					panic(err)
				}
			}))
		}
	}
	fmt.Printf("%s %s/%s, %d CPUs; CPU time of the process, collector included, the best of %d\n", runtime.Version(),
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runs)
	fmt.Printf("%d rules, a set of %d members; all engines agree on %d requests\n\n", len(rules), members, len(requests()))
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tdecide\tallocs\tx writ\twith the request\tallocs\tx writ\tload\tx writ\t")
	for i, e := range engines {
		fmt.Fprintf(t, "%s\t%s\t%d\t%.1f\t%s\t%d\t%.1f\t%s\t%.2f\t\n", e.name,
			ready[i].time, ready[i].allocs, ratio(ready, i), whole[i].time, whole[i].allocs, ratio(whole,
				i), load[i].time, ratio(load, i))
	}
	return t.Flush()
}

// agree asks all engines all requests.
func agree(loaded []engine) error {
	for _, q := range requests() {
		var first answer
		for i, e := range loaded {
			x := e.ready(&q)
			got := e.answer(x)
			if got.permit != e.decide(x) {
				return fmt.Errorf("%s contradicts itself: %s", engines[i].name, got)
			}
			if i == 0 {
				first = got
			}
			if got.permit != first.permit || !slices.Equal(got.rules, first.rules) {
				return fmt.Errorf("they disagree on %+v: %s says %s, %s says %s", q, engines[0].name, first, engines[i].name, got)
			}
		}
	}
	return nil
}

// A figure is what one call costs.
type figure struct {
	time   time.Duration
	allocs uint64
}

func best(list []figure, i int, f figure) []figure {
	if i == len(list) {
		return append(list, f)
	}
	list[i].time, list[i].allocs = min(list[i].time, f.time), min(list[i].allocs, f.allocs)
	return list
}

func ratio(list []figure, i int) float64 { return float64(list[i].time) / float64(list[0].time) }

// measure calls f for about so long and returns the CPU time of one call.
func measure(about time.Duration, f func()) figure {
	for n := 1; ; n *= 2 {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := cpu()
		for range n {
			f()
		}
		used := cpu() - start
		if used < about && n < 1<<30 {
			continue
		}
		runtime.ReadMemStats(&after)
		return figure{time: used / time.Duration(n), allocs: (after.Mallocs - before.Mallocs) / uint64(n)}
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
