package translog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/provenance"
)

// waitUnfed waits for a head of which the feeding of the tree is not told.
func (r *rig) waitUnfed(l *Log, head provenance.Link) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	r.must(l.Wait(ctx, head))
}

// stopFeeding leaves the tree as it is.
func stopFeeding(l *Log) {
	l.stop()
	l.wg.Wait()
}

// TestWhatIsWaitedForIsNotForgotten: the log knows of an entry that something waited for, though its tree did not have
// it when everything stopped, and so a journal that has lost it is found out.
func TestWhatIsWaitedForIsNotForgotten(t *testing.T) {
	r := newRig(t)
	r.head()
	l := r.open()
	run, first := r.head()
	l.Added()
	r.waitUnfed(l, first)
	r.await(l, run)
	stopFeeding(l)
	_, head := r.head()
	r.waitUnfed(l, head)
	l.Close()
	if size, _, err := readTreeState(r.cfg.Dir); err != nil || size != 2 {
		t.Fatalf("the tree has %d entries, %v; want the 2 that it was told of", size, err)
	}
	full := r.store
	for heads, want := range map[int]error{2: ErrBehind, 3: nil, 4: nil} {
		r.store, r.n = storetest.Memory(t), 0
		r.must(r.store.PutSession(t.Context(), r.session))
		for range heads {
			r.head()
		}
		c := r.cfg
		c.Store = r.store
		c.Dir = filepath.Join(t.TempDir(), "log")
		check(t, os.CopyFS(c.Dir, os.DirFS(r.cfg.Dir)))
		l, err := Open(t.Context(), c)
		if !errors.Is(err, want) {
			t.Errorf("a journal of %d heads: %v, want %v", heads, err, want)
		}
		if err == nil {
			l.Close()
		}
	}
	other := storetest.Memory(t)
	r.store, r.n = other, 0
	r.must(other.PutSession(t.Context(), r.session))
	r.head()
	r.head()
	r.n = 100
	r.head() // in the place of what was noted
	r.cfg.Store = other
	if _, err := Open(t.Context(), r.cfg); !errors.Is(err, ErrForked) {
		t.Errorf("a journal with another head in the place of the one that was noted: %v", err)
	}
	r.cfg.Store = full
	l = r.open()
	defer l.Close()
	if size, _, err := readTreeState(r.cfg.Dir); err != nil || size != 3 {
		t.Errorf("the tree has %d entries, %v: a note was overwritten that the tree has not", size, err)
	}
}

// TestNotesOfAnotherLogCountForNothing, nor does one that was cut short.
func TestNotesOfAnotherLogCountForNothing(t *testing.T) {
	dir := t.TempDir()
	a, err := openAhead(dir, "one", 4)
	check(t, err)
	defer a.close()
	none := func() uint64 { return 0 }
	for i := range uint64(3) {
		check(t, a.add(entryAt(i), none))
	}
	for name, want := range map[string]int{"one": 3, "another": 0} {
		if got, err := readAhead(dir, name); err != nil || len(got) != want {
			t.Errorf("%s: %d notes, %v", name, len(got), err)
		}
	}
	_, err = a.file.WriteAt([]byte{1, 2, 3}, noteSize+20)
	check(t, err)
	got, err := readAhead(dir, "one")
	if err != nil || len(got) != 2 || got[0] != entryAt(0) || got[1] != entryAt(2) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestNotesAreOverwrittenOnceTheTreeHasThem, and not before.
func TestNotesAreOverwrittenOnceTheTreeHasThem(t *testing.T) {
	dir := t.TempDir()
	a, err := openAhead(dir, "one", 4)
	check(t, err)
	defer a.close()
	size := uint64(0)
	for i := range uint64(4) {
		check(t, a.add(entryAt(i), func() uint64 { return size }))
	}
	if err := a.add(entryAt(4), func() uint64 { return size }); !errors.Is(err, errNoRoom) {
		t.Errorf("a fifth of four: %v", err)
	}
	size = 2
	for i := range uint64(2) {
		check(t, a.add(entryAt(4+i), func() uint64 { return size }))
	}
	if err := a.add(entryAt(6), func() uint64 { return size }); !errors.Is(err, errNoRoom) {
		t.Errorf("a third with the tree at 2: %v", err)
	}
	var sum uint64
	got, err := readAhead(dir, "one")
	for _, e := range got {
		sum += e.Index
	}
	if err != nil || len(got) != 4 || sum != 2+3+4+5 {
		t.Errorf("%+v, %v", got, err)
	}
	info, err := os.Stat(aheadPath(dir))
	if err != nil || info.Size() != 4*noteSize {
		t.Errorf("%v, %v", info, err)
	}
}

// TestNotesThatComeTogetherAreAllThere: each is on the disk when its add returns.
func TestNotesThatComeTogetherAreAllThere(t *testing.T) {
	dir := t.TempDir()
	a, err := openAhead(dir, "one", 256)
	check(t, err)
	defer a.close()
	var wg sync.WaitGroup
	for i := range uint64(200) {
		wg.Go(func() {
			if err := a.add(entryAt(i), func() uint64 { return 0 }); err != nil {
				t.Error(err)
			}
			got, err := readAhead(dir, "one")
			if err != nil {
				t.Error(err)
			}
			for _, e := range got {
				if e == entryAt(i) {
					return
				}
			}
			t.Errorf("note %d is not there", i)
		})
	}
	wg.Wait()
}

// TestAWaitWithoutRoomForNotesWaitsForTheTree.
func TestAWaitWithoutRoomForNotesWaitsForTheTree(t *testing.T) {
	r := newRig(t)
	l := r.open()
	defer l.Close()
	stopFeeding(l)
	l.ahead.writing.Lock()
	l.ahead.failed = errNoRoom
	l.ahead.writing.Unlock()
	_, head := r.head()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Wait(short, head); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the tree was told: %v", err)
	}
	if _, err := l.takeBatch(t.Context(), l.tree); err != nil {
		t.Fatal(err)
	}
	r.waitUnfed(l, head)
	if size, _, err := readTreeState(r.cfg.Dir); err != nil || size != 1 {
		t.Errorf("the tree has %d entries, %v", size, err)
	}
}

func entryAt(i uint64) journal.Entry {
	return journal.Entry{Index: i, Logged: provenance.NewLogEntry(link("run"), i, link("head"))}
}
