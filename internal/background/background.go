// Package background owns goroutines that no caller waits for, and ends them in good order.
package background

import (
	"context"
	"sync"
)

// A Group is such goroutines. Its methods may be called by many goroutines at once.
type Group struct {
	ctx      context.Context // ends with Stop
	cancel   context.CancelFunc
	closed   error         // what Start returns once it is stopped
	draining chan struct{} // closed by Drain
	drains   sync.Once

	mu sync.Mutex // held to start a goroutine, and to stop: none starts after that
	wg sync.WaitGroup
}

// New returns a Group that starts nothing after Stop, but returns closed.
func New(ctx context.Context, closed error) *Group {
	b := &Group{closed: closed, draining: make(chan struct{})}
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return b
}

// Start runs do in a goroutine of its own, or returns the error that says it is closed. do must return soon after its
// context ends.
func (b *Group) Start(do func(context.Context)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.IsStopped() {
		return b.closed
	}
	b.wg.Go(func() { do(b.ctx) })
	return nil
}

// Drain says that nothing new is to be begun. It also comes before Stop.
func (b *Group) Drain() { b.drains.Do(func() { close(b.draining) }) }

// IsDraining says whether it was drained.
func (b *Group) IsDraining() bool {
	select {
	case <-b.draining:
		return true
	default:
		return false
	}
}

// Stop ends the context of all goroutines and lets no more start.
func (b *Group) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancel()
}

// Draining is closed once it is drained.
func (b *Group) Draining() <-chan struct{} { return b.draining }

// Done is closed once it is stopped.
func (b *Group) Done() <-chan struct{} { return b.ctx.Done() }

// IsStopped says whether nothing starts any more.
func (b *Group) IsStopped() bool { return b.ctx.Err() != nil }

// Wait returns once all goroutines have ended.
func (b *Group) Wait() { b.wg.Wait() }
