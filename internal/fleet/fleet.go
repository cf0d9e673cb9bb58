// Package fleet knows how the models of a server have answered of late.
//
// A [Fleet] is told of each attempt as it begins ([Fleet.Begin]) and as it ends, and says three things of it: which
// models are passed over ([Fleet.Down]), what routes may know of each ([Fleet.Facts]), and how long the next attempt
// may take ([Attempt.Patience]). It decides nothing itself: what it says becomes the facts of a step, and agent/route
// chooses by these.
//
// Only a provider's own faults count, and those that one account alone has met count for that account alone: what
// somebody asks for may well be what makes a provider fail, and nobody else is to go without a model for it. What no
// request can bring about, a server that is not there, counts for all, and for all models of that endpoint.
package fleet

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/throttle"
	"github.com/writ-run/writ/provenance"
)

// A model that failed this often in a row is passed over for so long. After that one attempt at a time is let through,
// until one is answered.
const (
	failuresDown = 3
	downFor      = 30 * time.Second
)

// What failed for some accounts may be their doing, so one that has not met a failure itself may try a model that is
// passed over for all of them much sooner: its attempt decides. The wait doubles with each such attempt that fails.
const trialAfter = 2 * time.Second

// maxStreaks bounds the accounts whose failures are told apart; those of more are one account's.
const maxStreaks = 4096

// A Fleet is the models of one server. It may be used by many goroutines at once.
type Fleet struct {
	now  func() time.Time
	gate *throttle.Gate

	mu        sync.Mutex // guards what follows
	models    map[string]*pulse
	endpoints map[string]*streak // that could not be reached, by their names
	again     retryShare
}

// A Model is one that the fleet watches.
type Model struct {
	Name     string
	Endpoint string // where it answers: models that share one are out of reach together; empty if it is alone there
	Asked    string // its name there: those of one endpoint that share it share its provider's limits too
}

// New returns a Fleet of which nothing is known yet.
func New(now func() time.Time, models []Model) *Fleet {
	f := &Fleet{now: now, gate: throttle.New(time.Now), models: map[string]*pulse{}, endpoints: map[string]*streak{}}
	for _, m := range models {
		at := m.Endpoint
		if at == "" {
			at = "model " + m.Name
		}
		if f.endpoints[at] == nil {
			f.endpoints[at] = new(streak)
		}
		f.models[m.Name] = &pulse{endpoint: f.endpoints[at], lane: at + "\n" + m.Asked, of: map[string]*streak{}}
	}
	return f
}

// A pulse is what is known of one model.
type pulse struct {
	endpoint *streak
	lane     string             // in which questions wait for it
	of       map[string]*streak // by account, since it last answered
	all      streak             // the sum, once more than one account has met them
	trial    time.Time          // from when on an account that has met none tries a model that all pass over
	pause    time.Duration      // between two such tries
	underWay uint64             // attempts
	hedges   int                // hundredths of questions to another model beside one to this
	window
}

// A streak is a number of failures in a row.
type streak struct {
	failures int
	until    time.Time // passed over until then
	probing  bool      // the one attempt that is let through after that is under way
}

// States of a breaker, as facts have them.
const (
	closed   = provenance.BreakerClosed
	open     = provenance.BreakerOpen
	halfOpen = provenance.BreakerHalfOpen
)

// stateAt says whether attempts are let through.
func (s *streak) stateAt(now time.Time) string {
	switch {
	case s.until.IsZero():
		return closed
	case now.Before(s.until) || s.probing:
		return open
	}
	return halfOpen
}

// stateOf returns the state of one of those streaks for an account.
func (p *pulse) stateOf(s *streak, account string, now time.Time) string {
	state := s.stateAt(now)
	if s != &p.all || state != open || s.probing || now.Before(p.trial) {
		return state
	}
	if own := p.of[account]; own != nil && own.failures > 0 {
		return state
	}
	return halfOpen
}

// streaksFor returns the streaks that an account's attempt at a model depends on.
func (p *pulse) streaksFor(account string) []*streak {
	out := []*streak{p.endpoint, &p.all}
	if own := p.of[account]; own != nil {
		out = append(out, own)
	}
	return out
}

// stateFor returns the strictest state of a model for an account.
func (p *pulse) stateFor(account string, now time.Time) string {
	state := closed
	for _, s := range p.streaksFor(account) {
		switch p.stateOf(s, account, now) {
		case open:
			return open
		case halfOpen:
			state = halfOpen
		}
	}
	return state
}

// Down lists the models that are passed over now for an account, sorted.
func (f *Fleet) Down(account string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name, p := range f.models {
		if p.stateFor(account, f.now()) == open {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Facts returns what an account's routes may know of models, in the order of their names.
func (f *Fleet) Facts(account string, names []string) []provenance.ModelFact {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	out := make([]provenance.ModelFact, 0, len(names))
	for _, name := range names {
		fact := provenance.ModelFact{Name: name, Breaker: closed}
		if p := f.models[name]; p != nil {
			fact.Breaker, fact.Queue = p.stateFor(account, now), p.underWay+uint64(f.gate.Waiting(p.lane))
			fact.P50, fact.P95 = p.percentiles(now)
			fact.Errors = p.errorsFor(account, now)
		}
		out = append(out, fact)
	}
	return out
}

// AsksOnce says whether an account's turns ask no second real model after a provider's failure for now: too many did.
func (f *Fleet) AsksOnce(account string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.again.isSpent(account, f.now())
}

// An Attempt is one question to a model. Exactly one of its Answered, Failed and Abandon is called.
type Attempt struct {
	f       *Fleet
	p       *pulse
	account string
	begun   time.Time
	probes  []*streak // that wait for how it ends
	limits  model.Patience
}

// Begin notes that an account's question goes to a model; again says that it is not the first of its turn, and the one
// before failed by its provider's fault. It is false if the model is passed over by now, which the facts that the
// choice was made by could not know.
func (f *Fleet) Begin(name, account string, again bool) (*Attempt, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, p := f.now(), f.models[name]
	if p == nil || p.stateFor(account, now) == open {
		return nil, false
	}
	a := &Attempt{f: f, p: p, account: account, begun: now, limits: p.patienceAt(now)}
	for _, s := range p.streaksFor(account) {
		if p.stateOf(s, account, now) == halfOpen {
			s.probing = true
			a.probes = append(a.probes, s)
		}
	}
	p.underWay++
	p.hedges = min(p.hedges+hedgePercent, 100*hedgesSaved)
	f.again.note(account, again, now)
	return a, true
}

// Patience returns how long the attempt may take.
func (a *Attempt) Patience() model.Patience { return a.limits }

// end is called with the lock.
func (a *Attempt) end() {
	a.p.underWay--
	for _, s := range a.probes {
		s.probing = false
	}
}

// Abandon ends an attempt of which nothing was learned, since nobody waits for it any more.
func (a *Attempt) Abandon() {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	a.end()
}

// Answered ends an attempt that was answered: ttft is how long it took to the first content, 0 if not known.
func (a *Attempt) Answered(ttft time.Duration) {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	a.end()
	now, p := a.f.now(), a.p
	p.add(sample{at: now, account: a.account, ttft: ttft, took: now.Sub(a.begun)})
	*p.endpoint, p.all, p.pause = streak{}, streak{}, 0
	maps.DeleteFunc(p.of, func(account string, s *streak) bool { return s.failures > 0 || account == a.account })
}

// Failed ends an attempt that failed.
func (a *Attempt) Failed(why *fault.Fault) {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	a.end()
	now := a.f.now()
	if why.Code == fault.ModelRate && why.After > 0 { // who asked too often waits as long as the provider says
		a.p.streakOf(a.account).passOver(now.Add(why.After))
	}
	if why.Code.Whose() != fault.Provider {
		return
	}
	s := sample{at: now, account: a.account, failed: true}
	if why.Code == fault.ModelTimeout { // so that a model which has become slower is waited for longer
		s.ttft, s.took = now.Sub(a.begun), now.Sub(a.begun)
	}
	if why.Code == fault.ModelUnreachable {
		s.account = ""
		a.p.endpoint.note(now)
	}
	a.p.add(s)
	a.p.noteFailure(s.account, now)
}

// noteFailure counts a provider's failure that an account has met; of one that counts for all, the account is "".
func (p *pulse) noteFailure(account string, now time.Time) {
	own := p.streakOf(account)
	own.note(now)
	if p.all.failures++; p.all.failures >= failuresDown && len(p.of) > 1 {
		p.all.passOver(now.Add(downFor))
		p.pause = min(max(2*p.pause, trialAfter), downFor)
		p.trial = now.Add(p.pause)
	}
}

// streakOf returns the streak of an account.
func (p *pulse) streakOf(account string) *streak {
	if p.of[account] == nil && len(p.of) >= maxStreaks {
		account = ""
	}
	if p.of[account] == nil {
		p.of[account] = new(streak)
	}
	return p.of[account]
}

func (s *streak) note(now time.Time) {
	if s.failures++; s.failures >= failuresDown {
		s.passOver(now.Add(downFor))
	}
}

// passOver has a model passed over until a time, or longer if it is already.
func (s *streak) passOver(until time.Time) {
	if until.After(s.until) {
		s.until = until
	}
}
