package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// The floor of a durable step: 256 bytes appended to a file on the same disk, and one fsync.
func BenchmarkFsyncFloor(b *testing.B) {
	took := appendSync(b, b.N)
	b.ReportMetric(float64(b.N)/took.Seconds(), "appends/s")
}

func BenchmarkCommit1Writer(b *testing.B)   { benchCommits(b, 1) }
func BenchmarkCommit64Writers(b *testing.B) { benchCommits(b, 64) }

// BenchmarkCommitMemory is the same step without a disk.
func BenchmarkCommitMemory(b *testing.B) {
	w := newWorkload(b, storetest.Memory(b), 1)
	b.ReportAllocs()
	for b.Loop() {
		w.step(0)
	}
}

// benchCommits commits steps of 700 bytes with a sealed leaf of 300, in runs of 100 steps, and reports steps/s and how
// many times the floor that is. The floor is measured in slices between the commits, since a disk's mood changes.
func benchCommits(b *testing.B, writers int) {
	db, err := store.Open(b.Context(), store.Config{DSN: store.SQLite(filepath.Join(b.TempDir(), "writ.db"))})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	w := newWorkload(b, db, writers)
	floor, appends := time.Duration(0), 0
	b.ResetTimer()
	for done := 0; done < b.N; {
		slice := min(b.N-done, 500*writers)
		var left atomic.Int64
		left.Store(int64(slice))
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					w.step(i)
				}
			})
		}
		wg.Wait()
		done += slice
		b.StopTimer()
		floor += appendSync(b, 200)
		appends += 200
		b.StartTimer()
	}
	rate := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "steps/s")
	b.ReportMetric(rate/(float64(appends)/floor.Seconds()), "x-floor")
}

// A workload is runs that grow, one a writer.
type workload struct {
	b     *testing.B
	store journal.Store
	s     journal.Session
	n     atomic.Int64
	next  []journal.Commit
}

func newWorkload(b *testing.B, s journal.Store, writers int) *workload {
	w := &workload{b: b, store: s, next: make([]journal.Commit, writers)}
	w.s = journal.Session{ID: w.block(100).CID, Expires: 1 << 60}
	if err := s.PutSession(b.Context(), w.s); err != nil {
		b.Fatal(err)
	}
	for i := range w.next {
		w.next[i].Seq = 100
		w.step(i)
	}
	return w
}

func (w *workload) block(size int) provenance.Block {
	data := fmt.Appendf(make([]byte, size), "%d", w.n.Add(1))
	return provenance.Block{CID: provenance.Sum(cid.DagCBOR, data), Data: data}
}

func (w *workload) step(i int) {
	c := w.next[i]
	leaf := w.block(300)
	if c.Seq == 100 {
		run := w.block(200)
		c = journal.Commit{Run: run.CID, Fence: 1, Open: &journal.Opening{Session: w.s.ID, Owner: "b", Until: 1 << 60},
			Blocks: []provenance.Block{run}}
	}
	c.At, c.Status, c.Step = 1, "running", w.block(700)
	c.Blocks = append(c.Blocks, leaf)
	c.Leaves = []provenance.Leaf{{CID: leaf.CID}}
	if err := w.store.Commit(w.b.Context(), c); err != nil {
		w.b.Error(err)
	}
	w.next[i] = journal.Commit{Run: c.Run, Fence: 1, Seq: c.Seq + 1}
}

// BenchmarkReserve is a step that also reserves and settles an amount, with 64 writers on one ledger.
func BenchmarkReserve64Writers(b *testing.B) {
	db, err := store.Open(b.Context(), store.Config{DSN: store.SQLite(filepath.Join(b.TempDir(), "writ.db"))})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	w := newWorkload(b, db, 64)
	usd := money.Asset{Symbol: "USD", Decimals: 9}
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range w.next {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				n := &w.next[i]
				ref := provenance.Ref{Seq: n.Seq}
				n.Reserve = []journal.Reservation{{Ledger: "hot", Ref: ref, Amount: money.Of(usd, 5), Cap: money.Of(usd, 1<<60)}}
				if n.Seq > 1 && n.Seq < 100 {
					n.Settle = []journal.Settlement{{Ledger: "hot", Ref: provenance.Ref{Seq: n.Seq - 1}, Used: money.Of(usd, 2)}}
				}
				w.step(i)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "steps/s")
}

// appendSync appends 256 bytes n times to a file, each with an fsync, and returns how long that took.
func appendSync(b *testing.B, n int) time.Duration {
	b.Helper()
	f, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("writ-floor-%d", os.Getpid())),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	began := time.Now()
	for range n {
		if _, err := f.Write(make([]byte, 256)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}
