package runner_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// threadTurns is how long the thread is that the design has goals for.
const threadTurns = 200

// An essayist says a kilobyte each time, and never the same.
type essayist struct{ n int }

func (m *essayist) Reply(context.Context, model.Prompt) (model.Reply, error) {
	m.n++
	return text(words(fmt.Sprintf("answer %d", m.n), 1024)), nil
}

// words repeats some until they are so many bytes.
func words(some string, n int) string { return strings.Repeat(some+", ", n/len(some)+1)[:n] }

// talk opens a thread on a file and has turns of 2 KB each in it. It returns the last run.
func talk(t testing.TB, turns int) (b *bench, last provenance.Link) {
	t.Helper()
	b = openWith(t, new(essayist), func(c *runner.Config) {
		d := &c.Agents[0]
		d.Limits = agentfile.Limits{Turns: 8, Calls: 8, Tokens: 1e9, Cost: 1 << 40, Wall: 24 * time.Hour}
		d.Grant.MaxCalls, d.Grant.MaxTokens = 1000, 1e9
		db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(t.TempDir() + "/writ.db")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		c.Store = db
	})
	for n := range turns {
		info, err := b.say(words(fmt.Sprintf("question %d", n), 1024), fmt.Sprintf("key-of-%04d", n), "plans")
		if err != nil {
			t.Fatal(err)
		}
		b.until(info.ID, provenance.CloseAnswered)
		last = info.ID
	}
	return b, last
}

// sizeOfThread returns how many bytes a thread takes in a file, and how many of its payloads, each once.
func (b *bench) sizeOfThread(last provenance.Link) (stored, payloads int) {
	b.Helper()
	var car bytes.Buffer
	if _, err := archive.Export(b.Context(), b.store, &car, last); err != nil {
		b.Fatal(err)
	}
	seen := map[provenance.Link]bool{}
	for run := last; ; run = b.runBefore(run) {
		views, err := b.r.Steps(b.Context(), run, 0, 64)
		if err != nil {
			b.Fatal(err)
		}
		for _, v := range views {
			for _, p := range provenance.Payloads(v.Step) {
				if plain, ok := p.Bytes(); ok && !seen[p.Leaf()] {
					seen[p.Leaf()] = true
					payloads += len(plain)
				}
			}
		}
		if !views[0].Step.Event.(*provenance.Ask).After.Defined() {
			return car.Len(), payloads
		}
	}
}

// A thread of 200 turns is one file, in which every prompt can be made again.
func TestALongThreadIsCheckedWhole(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes 200 runs on a disk, and judges each")
	}
	b, last := talk(t, threadTurns)
	src, o := b.exported(last)
	rep := audit.Verify(src, o)
	if rep.Verdict != provenance.Verified || rep.Status(provenance.CheckContext).Status != provenance.Pass {
		t.Errorf("%s %s %s: %v", rep.Verdict, rep.Code, rep.Detail, rep.Status(provenance.CheckContext))
	}
	for _, u := range rep.Unproven {
		if strings.Contains(u, "turns") || strings.Contains(u, "of the thread") {
			t.Errorf("unproven: %s", u)
		}
	}
	if told := readEarlier(t, b, last); told.Place != threadTurns-1 || told.Shown < 10 {
		t.Errorf("the last run is number %d, and is told of %d", told.Place, told.Shown)
	}
	// Besides the payloads a turn has a run, two steps with what the ledgers show, a signed request, a signed head, the
	// CIDs and lengths of nine blocks, seals and padding.
	stored, payloads := b.sizeOfThread(last)
	more := (stored - payloads) / threadTurns
	t.Logf("%d turns: %d bytes of payloads, %d stored (%.2fx); a turn adds %d besides its payloads",
		threadTurns, payloads, stored, float64(stored)/float64(payloads), more)
	if more > 3200 {
		t.Errorf("a turn adds %d bytes besides its payloads, want at most 3,200", more)
	}
}

// Of a run that was kept in memory for the next one nothing is told any more once a leaf of it is erased.
func TestWhatIsErasedIsToldNoMore(t *testing.T) {
	l := &listener{}
	b := openWith(t, l, func(c *runner.Config) { onDisk(t, c) })
	var runs []provenance.Link
	for n, want := range []string{
		"user: q0", "user: q0\nassistant: answer x\nuser: q1",
		"system: This conversation began earlier: its first 1 requests and their answers are left out here.\n" +
			"user: q1\nassistant: answer xx\nuser: q2",
	} {
		if n == 2 {
			_, _, err := archive.Erase(t.Context(), b.store.(archive.Eraser), b.config.Key,
				archive.EraseRequest{Run: runs[0], Now: b.config.Now, Early: true})
			if err != nil {
				t.Fatal(err)
			}
		}
		info, err := b.say(fmt.Sprint("q", n), fmt.Sprint("key-of-q", n), "plans")
		if err != nil {
			t.Fatal(err)
		}
		b.until(info.ID, provenance.CloseAnswered)
		runs = append(runs, info.ID)
		if got := l.last(); got != want {
			t.Errorf("run %d was told\n%s\nwant\n%s", n, got, want)
		}
	}
}

// What the model of turn 200 is told of the turns before it is made of their steps, out of a file: as in a server that
// has made these turns, and as in one that has just begun.
func BenchmarkThreadContext(b *testing.B) {
	rig, last := talk(b, threadTurns-1)
	q := rig.requestIn(words("question", 1024), "key-of-the-last", "plans")
	assemble := func(b *testing.B) {
		if _, err := rig.r.AssembleContext(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("known", func(b *testing.B) {
		assemble(b)
		for b.Loop() {
			assemble(b)
		}
		stored, payloads := rig.sizeOfThread(last)
		b.ReportMetric(float64(stored)/float64(payloads), "x-payloads")
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			rig.r.ForgetSaid()
			b.StartTimer()
			assemble(b)
		}
	})
}
