package fleet

import "time"

// A second model is asked beside one that has not begun to answer within its own 95th percentile, no sooner and no
// later than these, for at most so many of a hundred questions to it, and so many at once that went without.
const (
	leastHedge, mostHedge = 500 * time.Millisecond, 10 * time.Second

	hedgePercent = 5
	hedgesSaved  = 5
)

// HedgeAfter returns how long a question waits for a model's first content before another model may be asked beside it.
// It is false while too little is known of the model.
func (f *Fleet) HedgeAfter(name string) (time.Duration, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.models[name]
	if p == nil {
		return 0, false
	}
	first := p.sorted(f.now(), func(s *sample) time.Duration { return s.ttft })
	if len(first) < enoughSamples {
		return 0, false
	}
	return min(max(percentile(first, 95), leastHedge), mostHedge), true
}

// TakeHedge says whether another model may be asked beside a question to this one, and counts it.
func (f *Fleet) TakeHedge(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.models[name]
	if p == nil || p.hedges < 100 {
		return false
	}
	p.hedges -= 100
	return true
}
