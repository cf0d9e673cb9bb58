//go:build unix

package policies

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Each hostile source is judged in a process of its own, which is this test binary again: it reads the source from its
// standard input, and says what became of it and what that cost. A death or a hang is then seen from outside.

const hostileEnv = "WRIT_HOSTILE_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(hostileEnv) != "" {
		os.Exit(hostileChild())
	}
	os.Exit(m.Run())
}

// A hostileCost is what one source took under one profile.
type hostileCost struct {
	Untrusted bool
	Got       string // refused, error, true or false
	Micros    int64  // CPU time of the whole process, of loading and deciding
	Bytes     uint64 // allocated
}

// ReadTests reads a set's tests. Package workshop, which does, stands on this one.
var ReadTests func(*Set) error

func hostileChild() int {
	src, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 1
	}
	// What is done once for all sources is not this one's cost.
	if s, err := Load([]byte(hostileSet("tool == \"x\" && amount < usdc(\"1\")")), Options{Layer: "operator"}); err == nil {
		Layers{s}.Decide(hostileRequest())
	}
	var costs []hostileCost
	for _, untrusted := range []bool{false, true} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := cpu()
		c := hostileCost{Untrusted: untrusted, Got: "refused"}
		s, err := Load(src, Options{Layer: "operator", Untrusted: untrusted})
		if err == nil {
			err = ReadTests(s)
		}
		if err == nil {
			d := Layers{s}.Decide(hostileRequest())
			switch {
			case strings.Contains(d.Message, "could not be evaluated"):
				c.Got = "error"
			case d.Outcome == Permit:
				c.Got = "true"
			default:
				c.Got = "false"
			}
		} else if le, ok := errors.AsType[*LoadError](err); !ok || len(le.Problems) == 0 {
			c.Got = fmt.Sprintf("an error that is no LoadError: %v", err)
		}
		c.Micros = (cpu() - began).Microseconds()
		runtime.ReadMemStats(&after)
		c.Bytes = after.TotalAlloc - before.TotalAlloc
		costs = append(costs, c)
	}
	if json.NewEncoder(os.Stdout).Encode(costs) != nil {
		return 1
	}
	return 0
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type hostileSource struct{ name, want, source string }

// hostileSources reads the corpus: conditions, conditions that repeat something many times, and whole sources.
func hostileSources(t *testing.T) (out []hostileSource) {
	t.Helper()
	each := func(file string, do func(want, rest string)) {
		f, err := os.Open("testdata/hostile/" + file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			line := lines.Text()
			if line == "" || line[0] == '#' {
				continue
			}
			want, rest, _ := strings.Cut(line, " ")
			do(want, strings.TrimLeft(rest, " "))
		}
	}
	each("conditions.txt", func(want, rest string) {
		out = append(out, hostileSource{rest, want, hostileSet(rest)})
	})
	each("repeated.txt", func(want, rest string) {
		out = append(out, hostileSource{rest, want, hostileSet(spellOut(t, rest))})
	})
	each("sources.txt", func(want, rest string) {
		out = append(out, hostileSource{rest, want, spellOut(t, rest)})
	})
	return out
}

// spellOut reads Go strings, each with a number of times before it or not: 3*"(" "true".
func spellOut(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		n := 1
		if i := strings.IndexAny(s, "*\"`"); i > 0 && s[i] == '*' {
			var err error
			if n, err = strconv.Atoi(s[:i]); err != nil {
				t.Fatalf("%.60s: %v", s, err)
			}
			s = s[i+1:]
		}
		q, err := strconv.QuotedPrefix(s)
		if err != nil {
			t.Fatalf("%.60s: %v", s, err)
		}
		text, _ := strconv.Unquote(q)
		b.WriteString(strings.Repeat(text, n))
		s = s[len(q):]
	}
	return b.String()
}

// Bounds on what a hostile source may take.
const maxHostileMicros = 10_000

func TestHostileSourcesInProcessesOfTheirOwn(t *testing.T) {
	sources := hostileSources(t)
	if len(sources) < 300 {
		t.Errorf("only %d hostile sources", len(sources))
	}
	if testing.Short() { // every sixth
		var few []hostileSource
		for i := 0; i < len(sources); i += 6 {
			few = append(few, sources[i])
		}
		sources = few
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	deaths, hangs, most, slowest := 0, 0, uint64(0), int64(0)
	judge := func(s hostileSource) (costs []hostileCost) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		c := exec.CommandContext(ctx, self)
		c.Env = append(os.Environ(), hostileEnv+"=1", "GOMAXPROCS=1")
		c.Stdin = strings.NewReader(s.source)
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		err := c.Run()
		mu.Lock()
		defer mu.Unlock()
		switch {
		case ctx.Err() != nil:
			hangs++
			t.Errorf("%.80q hangs", s.name)
		case err != nil || json.Unmarshal(out.Bytes(), &costs) != nil:
			deaths++
			t.Errorf("%.80q killed its process: %v\n%.500s", s.name, err, errs.String())
		}
		return costs
	}
	var wg sync.WaitGroup
	todo := make(chan hostileSource)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for s := range todo {
				costs := judge(s)
				over := func(c hostileCost) bool { return c.Micros > maxHostileMicros }
				// A busy machine can charge a process for what others do to its caches: ask again before it counts.
				for range 3 {
					if len(costs) == 2 && (over(costs[0]) || over(costs[1])) {
						costs = judge(s)
					}
				}
				mu.Lock()
				for _, c := range costs {
					most, slowest = max(most, c.Bytes), max(slowest, c.Micros)
					if c.Got != s.want {
						t.Errorf("%.80q (untrusted %v): %s, want %s", s.name, c.Untrusted, c.Got, s.want)
					}
					if over(c) {
						t.Errorf("%.80q (untrusted %v) took %d us of CPU, more than %d", s.name, c.Untrusted, c.Micros, maxHostileMicros)
					}
					if c.Bytes > maxHostileBytes {
						t.Errorf("%.80q (untrusted %v) took %d bytes, more than %d", s.name, c.Untrusted, c.Bytes, maxHostileBytes)
					}
				}
				mu.Unlock()
			}
		})
	}
	for _, s := range sources {
		todo <- s
	}
	close(todo)
	wg.Wait()
	t.Logf("%d sources under 2 profiles: %d deaths, %d hangs, at most %d us of CPU and %d bytes", len(sources), deaths, hangs, slowest, most)
}
