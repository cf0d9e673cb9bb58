// Package waiting keeps what runs wait for, so that a run is read once for it, and not each time that somebody asks.
package waiting

import (
	"sync"

	"github.com/writ-run/writ/provenance"
)

// maxRuns bounds of how many runs it is kept, of all owners: some 2 KB each. Beyond, any one is read again.
const maxRuns = 8192

// A Book keeps lists by their runs, each as of the run's newest step. It forgets a run that goes on: what is erased
// later must not be here. The zero Book is empty. It is safe for concurrent use; lists must not be changed.
type Book[T any] struct {
	mu sync.Mutex
	of map[provenance.Link]*page[T]
}

// A page is being read until it has a list.
type page[T any] struct {
	last provenance.Link
	list []T
	read bool
}

// At returns the list of a run whose newest step is last. Unless it is here, it is read, and kept if that does not
// fail; what read returns beside an error is returned too.
func (b *Book[T]) At(run, last provenance.Link, read func() ([]T, error)) ([]T, error) {
	b.mu.Lock()
	p := b.of[run]
	if p != nil && p.read && p.last == last {
		b.mu.Unlock()
		return p.list, nil
	}
	p = &page[T]{last: last}
	b.put(run, p)
	b.mu.Unlock()

	list, err := read()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.of[run] != p: // forgotten or read by another meanwhile
	case err != nil:
		delete(b.of, run)
	default:
		p.list, p.read = list, true
	}
	return list, err
}

// put is called with the lock held.
func (b *Book[T]) put(run provenance.Link, p *page[T]) {
	if b.of == nil {
		b.of = map[provenance.Link]*page[T]{}
	}
	if _, there := b.of[run]; !there && len(b.of) >= maxRuns {
		for any := range b.of {
			delete(b.of, any)
			break
		}
	}
	b.of[run] = p
}

// Forget forgets a run, also if it is being read.
func (b *Book[T]) Forget(run provenance.Link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.of, run)
}
