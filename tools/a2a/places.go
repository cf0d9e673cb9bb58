package a2a

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// places are those of the calls that are under way. Who waits for one has no turn, and is told if none comes free.
type places struct {
	mu    sync.Mutex
	taken int            // guarded by mu
	of    map[string]int // by wallet; guarded by mu
	freed chan struct{}  // closed when a place comes free; guarded by mu
}

// enter waits for a place, for maxEntry at most. The error says whose calls are too many.
func (p *places) enter(ctx context.Context, wallet string) (leave func(), err error) {
	late := time.NewTimer(maxEntry)
	defer late.Stop()
	for {
		freed, full := p.take(wallet)
		if full == nil {
			return func() { p.leave(wallet) }, nil
		}
		select {
		case <-freed:
		case <-late.C:
			return nil, full
		case <-ctx.Done():
			return nil, full
		}
	}
}

// take takes a place. If there is none it says why, and returns what is closed when one comes free.
func (p *places) take(wallet string) (freed <-chan struct{}, full error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.of[wallet] >= maxOfOne:
		full = fmt.Errorf("this wallet has %d calls of it under way, as many as it may", maxOfOne)
	case p.taken >= maxFlying:
		full = fmt.Errorf("it is busy with other calls, at most %d at a time", maxFlying)
	default:
		if p.of == nil {
			p.of = map[string]int{}
		}
		p.taken, p.of[wallet] = p.taken+1, p.of[wallet]+1
		return nil, nil
	}
	if p.freed == nil {
		p.freed = make(chan struct{})
	}
	return p.freed, full
}

func (p *places) leave(wallet string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.of[wallet]--; p.of[wallet] == 0 {
		delete(p.of, wallet)
	}
	if p.freed != nil {
		close(p.freed)
		p.freed = nil
	}
}
