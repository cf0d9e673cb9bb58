package runner

import (
	"context"
	"sync"
)

// A background owns the goroutines that no caller waits for. There is no other goroutine in this package:
//
//	a run's actor                           background
//	an effect of a run                      its actor, before it leaves
//	the timer of a parked run, when it rings background
//	the round of contract wallets           background
//	a question to one wallet's chain        the round
//	the looks at transactions               background, while there are any
//	the end of a withdrawn session          background
//	what a sub-agent's run came to          background
//	the end of a sub-agent's run            background
type background struct {
	ctx      context.Context // ends with stop
	cancel   context.CancelFunc
	draining chan struct{} // closed by drain
	drains   sync.Once

	mu sync.Mutex // held to start a goroutine, and to stop: none starts after that
	wg sync.WaitGroup
}

func newBackground(ctx context.Context) *background {
	b := &background{draining: make(chan struct{})}
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return b
}

// start runs do in a goroutine of its own, or returns ErrClosed. do must return soon after its context ends.
func (b *background) start(do func(context.Context)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isStopped() {
		return ErrClosed
	}
	b.wg.Go(func() { do(b.ctx) })
	return nil
}

// drain says that no run gets an actor any more, and that actors begin nothing new. It also comes before stop.
func (b *background) drain() { b.drains.Do(func() { close(b.draining) }) }

func (b *background) isDraining() bool {
	select {
	case <-b.draining:
		return true
	default:
		return false
	}
}

// stop ends the context of all goroutines and lets no more start.
func (b *background) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancel()
}

func (b *background) isStopped() bool { return b.ctx.Err() != nil }

// wait returns once all goroutines have ended.
func (b *background) wait() { b.wg.Wait() }
