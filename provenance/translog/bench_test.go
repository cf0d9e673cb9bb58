package translog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"

	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// A benched log is one over a real journal on the same disk.
type benched struct {
	b   *testing.B
	db  *store.DB
	log *Log
	s   journal.Session
	n   atomic.Int64
}

func newBenched(b *testing.B) *benched {
	db, err := store.Open(b.Context(), store.Config{DSN: store.SQLite(filepath.Join(b.TempDir(), "writ.db"))})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	x := &benched{b: b, db: db, s: journal.Session{ID: link("session"), Expires: 1 << 60}}
	if err := db.PutSession(b.Context(), x.s); err != nil {
		b.Fatal(err)
	}
	x.log, err = Open(b.Context(), Config{
		Dir: filepath.Join(b.TempDir(), "log"), Store: db, Key: key("log"), Origin: "example.com/log",
		Interval: 100 * time.Millisecond,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(x.log.Close)
	run, c := x.head() // the first is slower: files are made
	if err := db.Commit(b.Context(), c); err != nil {
		b.Fatal(err)
	}
	x.log.Added()
	if _, err := x.log.Await(b.Context(), run); err != nil {
		b.Fatal(err)
	}
	return x
}

// head makes a run's first step with its signed head.
func (x *benched) head() (run provenance.Link, c journal.Commit) {
	n := x.n.Add(1)
	run = link(fmt.Sprint("run ", n))
	step, err := provenance.Encode(&provenance.PolicySet{Name: "stands for a step", Source: fmt.Sprintf("%0600d", n)})
	if err != nil {
		x.b.Fatal(err)
	}
	h := &provenance.Head{Run: run, Step: step.CID, At: n}
	if err := h.Sign(key("operator")); err != nil {
		x.b.Fatal(err)
	}
	hb, err := provenance.Encode(h)
	if err != nil {
		x.b.Fatal(err)
	}
	return run, journal.Commit{Run: run, Step: step, Head: &hb, Status: "running",
		Open: &journal.Opening{Session: x.s.ID, Owner: "bench"}}
}

// fsyncs appends 256 bytes n times to a file, each with an fsync: the floor.
func fsyncs(b *testing.B, n int) time.Duration {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	line := make([]byte, 256)
	begun := time.Now()
	for range n {
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begun)
}

func BenchmarkLogged1Writer(b *testing.B)   { benchLogged(b, 1) }
func BenchmarkLogged64Writers(b *testing.B) { benchLogged(b, 64) }

// benchLogged commits steps with heads, each until the log has its head on the disk, and reports heads/s and how many
// times the rate of lone appends with fsync that is, measured between them.
func benchLogged(b *testing.B, writers int) {
	x := newBenched(b)
	floor, appends := time.Duration(0), 0
	for b.Loop() {
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				_, c := x.head()
				if err := x.db.Commit(b.Context(), c); err != nil {
					b.Error(err)
					return
				}
				x.log.Added()
				if err := x.log.Wait(b.Context(), c.Head.CID); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		b.StopTimer()
		floor += fsyncs(b, 20)
		appends += 20
		b.StartTimer()
	}
	rate := float64(b.N*writers) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "heads/s")
	b.ReportMetric(rate/(float64(appends)/floor.Seconds()), "x-floor")
}

// BenchmarkReceipt: from a head's commit until its receipt is with who watches the run, at a checkpoint every 100 ms.
// 20 heads come within 500 ms, each when it comes. It reports the middle and the 99th of 100.
func BenchmarkReceipt(b *testing.B) {
	x := newBenched(b)
	var mu sync.Mutex
	var took []time.Duration
	for b.Loop() {
		var wg sync.WaitGroup
		for range 20 {
			run, c := x.head()
			wg.Go(func() {
				time.Sleep(rand.N(500 * time.Millisecond)) // not in step with checkpoints
				news, stop := x.log.Watch(run)
				defer stop()
				begun := time.Now()
				if err := x.db.Commit(b.Context(), c); err != nil {
					b.Error(err)
					return
				}
				x.log.Added()
				<-news
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(begun))
			})
		}
		wg.Wait()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
}
