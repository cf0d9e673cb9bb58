// Package keylock has locks that are found by name.
package keylock

import "sync"

// Locks has a lock for each name that was ever locked. The zero Locks is ready, and safe for use by many goroutines.
type Locks struct {
	mu    sync.Mutex // guards named
	named map[string]*sync.Mutex
}

// Lock waits until nobody else has the name, and returns what lets the next one.
func (l *Locks) Lock(name string) (unlock func()) {
	l.mu.Lock()
	m := l.named[name]
	if m == nil {
		if l.named == nil {
			l.named = map[string]*sync.Mutex{}
		}
		m = new(sync.Mutex)
		l.named[name] = m
	}
	l.mu.Unlock()
	m.Lock()
	return m.Unlock
}
