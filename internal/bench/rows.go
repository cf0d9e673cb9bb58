package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/writ-run/writ/"

// A row is a figure that the design has a goal for.
type row struct {
	what  string
	bench string // "package Benchmark"
	unit  string // of bench, to show
	floor string // "package Benchmark", or a unit in which bench itself reports its ratio, or none
	than  string // what the floor is, in a few words
	over  string // the unit in which the ratio is taken; unit if ""
	goals string // "unit <= bound", "ratio >= bound"; several with ";"
}

const own = "x-floor" // the unit of a benchmark that measures its floor between its own rounds

// rows follow the design's list of numbers.
var rows = []row{
	{"pure loop: 1 tool, 2 model calls, policies", "internal/bench BenchmarkMachine", "ns/op",
		"internal/runner BenchmarkFloorLoop", "a loop by hand", "", "ns/op <= 8000; allocs/op <= 60"},
	{"the same, recorded, sealed, signed, in memory", "internal/runner BenchmarkRun", "ns/op",
		"internal/runner BenchmarkFloorLoop", "a loop by hand", "", "ns/op <= 30000; allocs/op <= 150"},
	{"encode + CID of a 2 KB step", "provenance BenchmarkEncodeCID", "ns/op",
		"provenance BenchmarkSHA256Floor", "its SHA-256", "", "ratio <= 1.5"},
	{"durable steps, 1 writer", "internal/store BenchmarkCommit1Writer", "steps/s",
		own, "appends with fsync", "", ""},
	{"durable steps, 64 writers", "internal/store BenchmarkCommit64Writers", "steps/s",
		own, "appends with fsync", "", "ratio >= 5"},
	{"a head in journal and log, 1 writer", "provenance/translog BenchmarkLogged1Writer", "heads/s",
		own, "appends with fsync", "", ""},
	{"a head in journal and log, 64 writers", "provenance/translog BenchmarkLogged64Writers", "heads/s",
		own, "appends with fsync", "", ""},
	{"receipt to client, checkpoint each 100 ms", "provenance/translog BenchmarkReceipt", "ms-p50", "", "", "",
		"ms-p50 <= 100"},
	{"sign-in of an account", "auth BenchmarkSignIn", "ns/op",
		"auth BenchmarkEcrecoverFloor", "bare Ecrecover", "", "ratio <= 1.15"},
	{"strict parse of a message, 15 lines", "auth BenchmarkParsePlain", "ns/op",
		"auth BenchmarkParseFloor", "EIP-55's Keccak", "", "ns/op <= 2000; allocs/op <= 8"},
	{"refusing a message of 1 MB", "auth BenchmarkRefuseOneMegabyte", "ns/op", "", "", "", "ns/op <= 10000"},
	{"asking a contract wallet that loops", "internal/eth BenchmarkAsk/loops", "ns/op",
		"internal/eth BenchmarkAsk/wallet", "an honest one", "", "ns/op <= 30e6"},
	{"a signed request's check, Ed25519", "auth BenchmarkFrame/ed25519", "ns/op",
		"auth BenchmarkFrameFloor/ed25519", "bare verify", "", "ratio <= 1.1"},
	{"a signed request's check, P-256", "auth BenchmarkFrame/p256", "ns/op",
		"auth BenchmarkFrameFloor/p256", "bare verify", "", "ratio <= 1.1"},
	{"a signed request's check, secp256k1", "auth BenchmarkFrame/secp256k1", "ns/op",
		"auth BenchmarkFrameFloor/secp256k1", "bare verify", "", "ratio <= 1.1"},
	{"decision: 20 rules, a set of 1,000", "policies BenchmarkDecide20Rules1000Set", "ns/op",
		"internal/bench BenchmarkRulesInGo", "the rules as Go", "", "ns/op <= 2000; allocs/op <= 2"},
	{"loading that set, all checks", "policies BenchmarkLoad", "ns/op",
		"policies BenchmarkLoadFloor", "YAML and bare expr", "", "ns/op <= 5e6"},
	{"decide, reserve, record: p99, in memory", "internal/runner BenchmarkWholeDecision/memory", "p99-us", "", "", "",
		"p99-us <= 50"},
	{"the same on SQLite, 64 at once", "internal/runner BenchmarkWholeDecision/sqlite64", "p99-us", "", "", "", ""},
	{"what turn 200 of a thread is told", "internal/runner BenchmarkThreadContext/known", "ns/op", "", "", "",
		"ns/op <= 2e6; x-payloads <= 1.25"},
	{"the same, right after a start", "internal/runner BenchmarkThreadContext/read", "ns/op", "", "", "", ""},
	{"verify 10,000 decisions, CPU", "agent/audit BenchmarkVerifyDecisions", "cpu-ms/10k-decisions", "", "", "",
		"cpu-ms/10k-decisions <= 1000"},
	{"verify a file, one core", "provenance BenchmarkVerifySteps", "steps/s",
		"provenance BenchmarkSHA256Floor", "SHA-256, bytes/s", "MB/s", "steps/s >= 250000"},
	{"the front door's own part of a request, fsyncs apart", "internal/node BenchmarkDoor", "ms-rest",
		own, "a reverse proxy in Go", "", "ms-rest <= 0.44"},
	{"the same with them, on the disk", "internal/node BenchmarkDoor", "ms-whole", "", "", "", ""},
	{"the front door at 500 requests a second", "internal/node BenchmarkDoorAt500", "ms-p50",
		own, "a reverse proxy in Go", "", "refused <= 0"},
	{"idle connection", "internal/server BenchmarkIdleSocket", "B/socket", "", "", "", "B/socket <= 8000"},
}

// results are the figures of a run of go test.
type results struct {
	cpu    string
	values map[string]map[string][]float64 // "package Benchmark" to unit to a value for each count
}

// parse reads what go test -bench prints: "pkg:" and "cpu:" lines, and lines of a name, a count, and values with units.
func parse(r io.Reader) (*results, error) {
	found := &results{values: make(map[string]map[string][]float64)}
	pkg := ""
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		line := sc.Text()
		if rest, ok := strings.CutPrefix(line, "pkg: "); ok {
			pkg = strings.TrimPrefix(rest, module)
			continue
		}
		if rest, ok := strings.CutPrefix(line, "cpu: "); ok {
			found.cpu = rest
			continue
		}
		f := strings.Fields(line)
		if len(f) < 4 || len(f)%2 != 0 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		// The number of CPUs is glued to the name, but only if it is not 1.
		name := f[0]
		if i := strings.LastIndexByte(name, '-'); i > 0 && strings.Trim(name[i+1:], "0123456789") == "" {
			name = name[:i]
		}
		units := found.values[pkg+" "+name]
		if units == nil {
			units = make(map[string][]float64)
			found.values[pkg+" "+name] = units
		}
		for i := 2; i < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return nil, fmt.Errorf("the line %q of go test: %w", line, err)
			}
			units[f[i+1]] = append(units[f[i+1]], v)
		}
	}
	return found, sc.Err()
}

// best returns the figure that counts: the least of a cost and the most of a rate, since whatever else the machine
// did can only make them worse; the middle of a ratio, which can err both ways.
func (r *results) best(bench, unit string) (float64, error) {
	v := slices.Sorted(slices.Values(r.values[bench][unit]))
	switch {
	case len(v) == 0:
		return 0, fmt.Errorf("%s reported no %s", bench, unit)
	case unit == own:
		return v[len(v)/2], nil
	case strings.HasSuffix(unit, "/s"):
		return v[len(v)-1], nil
	}
	return v[0], nil
}

func (r row) judge(found *results) (Line, error) {
	l := Line{What: r.what, Unit: r.unit, Floor: r.than}
	var err error
	if l.Value, err = found.best(r.bench, r.unit); err != nil {
		return l, err
	}
	if l.Ratio, err = r.ratio(found); err != nil {
		return l, err
	}
	l.Goals = []Goal{}
	for text := range strings.SplitSeq(r.goals, ";") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		g, err := r.judgeGoal(text, l.Ratio, found)
		if err != nil {
			return l, err
		}
		l.Goals = append(l.Goals, g)
	}
	return l, nil
}

// ratio returns how the benchmark compares with its floor; 0 if it has none.
func (r row) ratio(found *results) (float64, error) {
	switch r.floor {
	case "":
		return 0, nil
	case own:
		return found.best(r.bench, own)
	}
	unit := cmp.Or(r.over, r.unit)
	value, err := found.best(r.bench, unit)
	if err != nil {
		return 0, err
	}
	floor, err := found.best(r.floor, unit)
	if err == nil && floor == 0 {
		err = fmt.Errorf("%s reported a floor of 0 %s", r.floor, unit)
	}
	return value / floor, err
}

// judgeGoal says whether a goal, `unit <= bound` or `unit >= bound`, is met.
func (r row) judgeGoal(text string, ratio float64, found *results) (g Goal, err error) {
	unit, rest, _ := strings.Cut(text, " ")
	op, bound, _ := strings.Cut(rest, " ")
	g = Goal{Goal: text, Got: ratio}
	if unit != "ratio" {
		if g.Got, err = found.best(r.bench, unit); err != nil {
			return g, err
		}
	}
	want, err := strconv.ParseFloat(bound, 64)
	if err != nil || op != "<=" && op != ">=" {
		return g, fmt.Errorf("the goal %q of %s is not `unit <= bound`", text, r.what)
	}
	g.Met = op == "<=" && g.Got <= want || op == ">=" && g.Got >= want
	return g, nil
}
