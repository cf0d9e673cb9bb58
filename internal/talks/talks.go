// Package talks is what one server keeps in memory of threads: who waits in line for one, and what the runs of those
// that go on have said. All of it can be lost: a line is asked for again, and what was said is read again.
package talks

import (
	"container/list"
	"slices"
	"sync"

	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/provenance"
)

// MaxWaiting bounds the requests that wait for the run before them in one thread.
const MaxWaiting = 8

// A Name names a thread.
type Name struct{ Owner, Agent, Thread string }

// Lines lets requests for one thread wait in the order in which they came. It is safe for use by many goroutines.
type Lines struct {
	mu      sync.Mutex // guards waiting
	waiting map[Name][]chan struct{}
}

// NewLines returns Lines in which nobody waits.
func NewLines() *Lines { return &Lines{waiting: map[Name][]chan struct{}{}} }

// Enter takes a place in a thread's line. turn is closed when it is the first; leave gives the place up. ok is false if
// the line is full.
func (w *Lines) Enter(n Name) (turn <-chan struct{}, leave func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := w.waiting[n]
	if len(line) > MaxWaiting { // the first one in line is just opening its run
		return nil, nil, false
	}
	place := make(chan struct{})
	if len(line) == 0 {
		close(place)
	}
	w.waiting[n] = append(line, place)
	return place, func() { w.leave(n, place) }, true
}

func (w *Lines) leave(n Name, place chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := w.waiting[n]
	i := slices.Index(line, place)
	if line = slices.Delete(line, i, i+1); len(line) == 0 {
		delete(w.waiting, n)
		return
	}
	if w.waiting[n] = line; i == 0 {
		close(line[0])
	}
}

// maxKept bounds the bytes of what was said that are kept.
const maxKept = 16 << 20

// A Said is what a run that has closed tells later ones of its thread.
type Said struct {
	Run    provenance.Link
	Head   provenance.Link // the run's, as it was read: a newer one says that something of it was erased since
	Before provenance.Link // the head of the run before it; undefined of the first
	Turn   thread.Turn
}

// Memory keeps what runs have said by the head that later runs name, those that were asked for last. It is safe for use
// by many goroutines.
type Memory struct {
	mu    sync.Mutex // guards the rest
	said  map[provenance.Link]*list.Element
	order *list.List // of kept, the one that was asked for last at the front
	size  int64
}

type kept struct {
	at provenance.Link
	Said
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{said: map[provenance.Link]*list.Element{}, order: list.New()}
}

// Recall returns what is kept under a head. Whether it may still be told is for the caller to find out.
func (m *Memory) Recall(at provenance.Link) (s Said, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.said[at]
	if !ok {
		return s, false
	}
	m.order.MoveToFront(e)
	return e.Value.(kept).Said, true
}

// Keep keeps what is said under a head, and forgets what was asked for least lately if that is too much.
func (m *Memory) Keep(at provenance.Link, s Said) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(m.said[at])
	m.said[at] = m.order.PushFront(kept{at, s})
	for m.size += sizeOf(s); m.size > maxKept; {
		m.forget(m.order.Back())
	}
}

// Forget forgets what is kept under a head.
func (m *Memory) Forget(at provenance.Link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(m.said[at])
}

func (m *Memory) forget(e *list.Element) {
	if e == nil {
		return
	}
	k := m.order.Remove(e).(kept)
	delete(m.said, k.at)
	m.size -= sizeOf(k.Said)
}

// sizeOf returns how much of the bound a run takes: its words, and what is kept besides them.
func sizeOf(s Said) int64 { return s.Turn.Size() + 1024 }
