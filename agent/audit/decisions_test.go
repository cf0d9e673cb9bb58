//go:build unix

package audit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/writ-run/writ/provenance"
)

// A decided is one run of testdata/decisions.gz: evidence that an earlier version has left, under each policy set of
// the repository. go generate ./internal/tamper makes it anew.
type decided struct {
	name string
	car  []byte
	keys map[provenance.Link]provenance.LeafKey
}

func decidedRuns(t testing.TB) (runs []decided) {
	t.Helper()
	f, err := os.Open("testdata/decisions.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(z)
	for {
		var parts [3][]byte
		for i := range parts {
			n, err := binary.ReadUvarint(r)
			if i == 0 && errors.Is(err, io.EOF) {
				return runs
			}
			if err != nil || n > 1<<20 {
				t.Fatalf("the corpus is damaged: %d bytes, %v", n, err)
			}
			parts[i] = make([]byte, n)
			if _, err := io.ReadFull(r, parts[i]); err != nil {
				t.Fatal(err)
			}
		}
		keys, err := provenance.ReadKeys(bytes.NewReader(parts[2]))
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, decided{string(parts[0]), parts[1], keys})
	}
}

func (d *decided) open(t testing.TB) *provenance.CAR {
	t.Helper()
	car, err := provenance.OpenCAR(bytes.NewReader(d.car), int64(len(d.car)))
	if err != nil {
		t.Fatal(err)
	}
	return car
}

// Every recorded decision comes out bit for bit as it was recorded: whatever changes in this program or below it, an
// auditor of today finds right what was decided right then. A difference here is a break of the promise; a change of
// the record format makes the corpus anew.
func TestRecordedDecisionsComeOutTheSame(t *testing.T) {
	runs := decidedRuns(t)
	n, judged, points, outcomes := 0, 0, map[string]int{}, map[string]int{}
	for _, d := range runs {
		trial := Judge(d.open(t), Options{Keys: d.keys})
		check := trial.Report.Status(provenance.CheckDecisions)
		if trial.Report.Code != "" || check.Status != provenance.Pass || check.Note != "recomputed from the events" {
			t.Errorf("%s: %s %s: %s %s", d.name, trial.Report.Verdict, trial.Report.Code, trial.Report.Detail,
				check.Note)
			continue
		}
		n += check.Count
		judged += len(trial.Judged)
		for _, j := range trial.Judged {
			points[string(j.Request.Point)]++
			outcomes[string(j.Decision.Outcome)]++
		}
	}
	t.Logf("%d runs, %d recorded decisions, %d made: %v, %v", len(runs), n, judged, points, outcomes)
	if n < 1000 {
		t.Errorf("only %d recorded decisions; want at least 1,000", n)
	}
	for _, o := range []string{"permit", "approve", "deny"} {
		if outcomes[o] < 50 {
			t.Errorf("only %d decisions are %s", outcomes[o], o)
		}
	}
}

// BenchmarkVerifyDecisions verifies whole records, hashes and signatures included, until 10,000 recorded decisions were
// made again, and reports the CPU time.
func BenchmarkVerifyDecisions(b *testing.B) {
	runs := decidedRuns(b)
	var cars []*provenance.CAR
	for i := range runs {
		cars = append(cars, runs[i].open(b))
	}
	var auditor Auditor
	var spent time.Duration
	var records, total int
	for b.Loop() {
		before := cpu()
		n := 0
		for i := 0; n < 10_000; i = (i + 1) % len(runs) {
			rep := auditor.Verify(cars[i], Options{Keys: runs[i].keys})
			if rep.Code != "" {
				b.Fatalf("%s: %s", runs[i].name, rep.Detail)
			}
			n += rep.Status(provenance.CheckDecisions).Count
			records++
		}
		spent += cpu() - before
		total += n
	}
	b.ReportMetric(spent.Seconds()*1e3*10_000/float64(total), "cpu-ms/10k-decisions")
	b.ReportMetric(float64(total)/float64(records), "decisions/record")
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
