// Package modelrace decides which of two questions to models, that are put side by side for one turn, answers it: the
// first whose model speaks. The other one ends at once, and what its model says is shown to nobody.
package modelrace

import (
	"context"
	"sync"
	"time"

	"github.com/writ-run/writ/provenance"
)

// A Race is the questions of one turn that are open together. The zero Race is one without any.
type Race struct {
	mu    sync.Mutex // guards what follows
	spoke bool
	first provenance.Ref // that spoke
	ends  map[provenance.Ref]context.CancelFunc
}

// Of returns the race of a run's open effects: *last while more than one of them is a question to a model, else a new
// one, which it puts there. alone says that there is one question.
func Of(last **Race, open map[provenance.Ref]provenance.Effect) (r *Race, alone bool) {
	n := 0
	for _, e := range open {
		if _, is := e.(*provenance.AskModel); is {
			n++
		}
	}
	if *last == nil || n < 2 {
		*last = new(Race)
	}
	return *last, n < 2
}

// Enter returns the context of a question, which ends when another one has spoken. leave must be called once it has
// ended.
func (r *Race) Enter(ctx context.Context, q provenance.Ref) (_ context.Context, leave func()) {
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ends == nil {
		r.ends = map[provenance.Ref]context.CancelFunc{}
	}
	if r.ends[q] = cancel; r.spoke && r.first != q {
		cancel()
	}
	return ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.ends, q)
		cancel()
	}
}

// Speak notes that a question's model has begun to answer, and says whether it was the first.
func (r *Race) Speak(q provenance.Ref) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spoke {
		return r.first == q
	}
	r.spoke, r.first = true, q
	for other, end := range r.ends {
		if other != q {
			end()
		}
	}
	return true
}

// IsLost says whether another question was the first.
func (r *Race) IsLost(q provenance.Ref) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spoke && r.first != q
}

// Watch calls slow if nothing was said for so long. stop ends that, and returns once slow has.
func (r *Race) Watch(ctx context.Context, d time.Duration, slow func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(d):
		}
		r.mu.Lock()
		spoke := r.spoke
		r.mu.Unlock()
		if !spoke {
			slow(ctx)
		}
	})
	return func() { cancel(); wg.Wait() }
}
