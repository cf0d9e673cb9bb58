package fleet

import (
	"slices"
	"time"

	"github.com/writ-run/writ/agent/model"
)

// What a model did counts for so long, and no more than so many attempts of it.
const (
	windowFor  = 10 * time.Minute
	maxSamples = 200
)

// A sample is how one attempt went.
type sample struct {
	at         time.Time
	account    string
	failed     bool
	ttft, took time.Duration // 0 if not known
}

// A window is the newest samples of a model.
type window struct {
	ring []sample
	next int
}

func (w *window) add(s sample) {
	if len(w.ring) < maxSamples {
		w.ring = append(w.ring, s)
		return
	}
	w.ring[w.next] = s
	w.next = (w.next + 1) % maxSamples
}

// sorted returns what of takes of the samples that still count, in ascending order, without those that are not known.
func (w *window) sorted(now time.Time, of func(*sample) time.Duration) []time.Duration {
	var out []time.Duration
	for i := range w.ring {
		if s := &w.ring[i]; now.Sub(s.at) < windowFor && of(s) > 0 {
			out = append(out, of(s))
		}
	}
	slices.Sort(out)
	return out
}

// percentile returns the nearest-rank percentile, 0 of no values.
func percentile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}

// percentiles returns the median and the 95th percentile of the time to the first content, in ms; 0 if not known.
func (w *window) percentiles(now time.Time) (p50, p95 int64) {
	all := w.sorted(now, func(s *sample) time.Duration { return s.ttft })
	return percentile(all, 50).Milliseconds(), percentile(all, 95).Milliseconds()
}

// errorsFor returns how many of 1,000 attempts failed by the provider's fault, as an account may be told: what one
// other account alone has met says nothing to it.
func (w *window) errorsFor(account string, now time.Time) uint64 {
	var own, all, attempts uint64
	met := map[string]bool{}
	for i := range w.ring {
		s := &w.ring[i]
		if now.Sub(s.at) >= windowFor {
			continue
		}
		attempts++
		if !s.failed {
			continue
		}
		all++
		met[s.account] = true
		if s.account == account || s.account == "" {
			own++
		}
	}
	if len(met) < 2 {
		all = own
	}
	if attempts == 0 {
		return 0
	}
	return all * 1000 / attempts
}

// A limit is a multiple of a percentile, and never below its least.
const (
	timesFirst, leastFirst = 3, 5 * time.Second
	timesStall, leastStall = 3, 10 * time.Second
	timesTotal, leastTotal = 4, 30 * time.Second

	// enoughSamples are what a limit is made of; before, a model's own limits are all there is.
	enoughSamples = 20
)

// patienceAt returns how long the next attempt may take. Between two pieces no more time may pass than to the first,
// which includes the reading of the whole request. A limit that was missed is a sample as long as itself, so that the
// next ones are longer until a slower model is waited for again.
func (w *window) patienceAt(now time.Time) (p model.Patience) {
	first := w.sorted(now, func(s *sample) time.Duration { return s.ttft })
	if len(first) < enoughSamples {
		return p
	}
	p95 := percentile(first, 95)
	p.First, p.Stall = max(timesFirst*p95, leastFirst), max(timesStall*p95, leastStall)
	took := w.sorted(now, func(s *sample) time.Duration { return s.took })
	p.Total = max(timesTotal*percentile(took, 95), leastTotal, p.First+p.Stall)
	return p
}

// A second model is asked in the same turn, after a provider's failure, for at most a tenth of the turns and some more,
// so that a fleet that fails is not asked twice as much as one that works.
const (
	budgetFor    = 10 * time.Second
	againFree    = 20 // in budgetFor, of all accounts
	againOfOne   = 10 // in budgetFor, of one account
	againPercent = 10
	maxAgain     = 4096 // accounts that are told apart
)

// A retryShare counts the attempts of one span of time.
type retryShare struct {
	from  time.Time
	first int
	all   int
	of    map[string]int
}

func (b *retryShare) roll(now time.Time) {
	if b.of == nil || now.Sub(b.from) >= budgetFor {
		*b = retryShare{from: now, of: map[string]int{}}
	}
}

func (b *retryShare) note(account string, again bool, now time.Time) {
	b.roll(now)
	if !again {
		b.first++
		return
	}
	if len(b.of) < maxAgain || b.of[account] > 0 {
		b.of[account]++
	}
	b.all++
}

func (b *retryShare) isSpent(account string, now time.Time) bool {
	b.roll(now)
	return b.of[account] >= againOfOne || b.all >= againFree+b.first*againPercent/100
}
