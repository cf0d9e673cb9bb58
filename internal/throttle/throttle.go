// Package throttle lets questions through to models no faster than their providers say that they take them.
//
// What a provider takes is what it says itself, in the headers of its answers: how many requests and tokens a minute,
// how many are left, and when all of them are there again ([Limit]). Until it has said anything, nothing waits.
// A [Gate] has a queue for each model of each endpoint. It is shared fairly by wallets, and within a wallet by agents,
// however much one of them asks: each has its turns in proportion to the tokens it takes (weighted fair queueing), and
// a route's priority makes its questions so much cheaper, so that no priority starves anybody. The queue is bounded,
// in all and for each wallet, and so is the wait: a question that would wait for longer is refused at once, with when
// to come again.
package throttle

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Bounds of a queue.
const (
	maxWaiting  = 512              // questions that wait for one model
	maxOfWallet = 64               // of one wallet
	maxWait     = 30 * time.Second // of one question
	maxFlows    = 4096             // wallets and agents whose turns are told apart
	// MaxPriority is the highest priority of a route.
	MaxPriority = 9
)

// A Gate is the queues of one server. It may be used by many goroutines at once.
type Gate struct {
	now func() time.Time

	mu    sync.Mutex
	lanes map[string]*lane // guarded by mu
}

// New returns a Gate at which nothing waits yet.
func New(now func() time.Time) *Gate { return &Gate{now: now, lanes: map[string]*lane{}} }

// An Ask is one question.
type Ask struct {
	Lane          string // the endpoint and the model
	Wallet, Agent string // whose it is
	Priority      int    // of its route, 0 to [MaxPriority]
	Tokens        int64  // that it may take, about
}

// A FullError says that a question is refused since too many wait, and when to come again.
type FullError struct{ After time.Duration }

func (e *FullError) Error() string {
	return fmt.Sprintf("too many questions wait for the model; come again in %v", e.After.Round(time.Second))
}

// A lane is one model of one endpoint.
type lane struct {
	requests, tokens allowance
	passed           int64 // requests that were let through and whose answers have not begun
	passedTokens     int64
	queue            []*ticket
	clock            float64            // the tag of the newest question that was let through
	turns            map[string]float64 // the last tags of wallets, and of agents within them
	seq              uint64
	wake             *time.Timer
}

// An allowance is what a provider has said of one kind of limit.
type allowance struct {
	limit int64     // 0 if it has said nothing
	left  int64     // at
	at    time.Time //
	full  time.Time // when all of it is there again
}

// leftAt is how much there is of it, as it comes back evenly until all is there; passed is what has been taken since.
func (a *allowance) leftAt(now time.Time, passed int64) int64 {
	switch span := a.full.Sub(a.at); {
	case a.limit == 0:
		return 1 << 40
	case span <= 0 || !now.Before(a.full):
		return a.limit - passed
	default:
		back := float64(a.limit-a.left) * float64(now.Sub(a.at)) / float64(span)
		return a.left + int64(back) - passed
	}
}

// wait is how long it takes until n of it are there.
func (a *allowance) wait(now time.Time, n, passed int64) time.Duration {
	n = a.atMost(n)
	if a.limit == 0 || a.leftAt(now, passed) >= n {
		return 0
	}
	rest := a.full.Sub(now)
	if rest <= 0 { // what was passed has to come back first, which the next answer tells
		return time.Second
	}
	missing, back := n-a.leftAt(now, passed), max(a.limit-a.left, 1)
	span := a.full.Sub(a.at)
	return min(time.Duration(float64(span)*float64(missing)/float64(back))+time.Millisecond, max(rest, time.Second))
}

// atMost is how much of it is waited for: for more than there ever is, all of it.
func (a *allowance) atMost(n int64) int64 {
	if a.limit == 0 {
		return n
	}
	return min(n, a.limit)
}

// A Limit is what a provider says of one kind of what it takes, as package model has it.
type Limit struct {
	Limit int64         // that it takes in one span; 0 if it has not said
	Left  int64         // of that
	Full  time.Duration // until all of it is there again
}

// take notes what a provider has said, unless it leaves more than there can be: answers come in another order than
// their provider has counted them, and an older one must not hide what a newer one has taken.
func (a *allowance) take(l Limit, now time.Time) {
	left := min(max(l.Left, 0), l.Limit)
	if l.Limit <= 0 || l.Limit == a.limit && left > a.leftAt(now, 0) {
		return
	}
	a.limit, a.left, a.at, a.full = l.Limit, left, now, now.Add(l.Full)
}

// A ticket is a question that waits.
type ticket struct {
	ask      Ask
	tag, own float64 // its place among all, and among its wallet's
	seq      uint64
	passed   chan struct{} // closed when it is let through
	place    chan int      // the newest place in the queue, 1 for the next
	said     int
}

// A Pass is a question that was let through. Its Done must be called once it has ended.
type Pass struct {
	g      *Gate
	l      *lane
	tokens int64
	once   sync.Once
}

// Enter waits until a question may go to its model. place is told how many are before it, itself included, each time
// that this changes; it is not called for one that need not wait. The error is a [*FullError], or ctx's.
func (g *Gate) Enter(ctx context.Context, a Ask, place func(int)) (*Pass, error) {
	g.mu.Lock()
	l := g.laneOf(a.Lane)
	t := l.makeTicket(a)
	if len(l.queue) == 0 && l.waitFor(g.now(), a.Tokens, 1) == 0 {
		defer g.mu.Unlock()
		return g.pass(l, t), nil
	}
	if err := l.refuse(g.now(), t); err != nil {
		g.mu.Unlock()
		return nil, err
	}
	l.queue = append(l.queue, t)
	slices.SortFunc(l.queue, compareTickets)
	g.move(l)
	g.mu.Unlock()
	late := time.NewTimer(maxWait)
	defer late.Stop()
	for {
		select {
		case <-t.passed:
			return &Pass{g: g, l: l, tokens: a.Tokens}, nil
		case n := <-t.place:
			place(n)
		case <-ctx.Done():
			return g.leave(l, t, ctx.Err())
		case <-late.C:
			return g.leave(l, t, &FullError{maxWait})
		}
	}
}

// leave takes a question out of the queue, unless it has just been let through.
func (g *Gate) leave(l *lane, t *ticket, why error) (*Pass, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(l.queue, t)
	if i < 0 {
		p := &Pass{g: g, l: l, tokens: t.ask.Tokens}
		if _, full := why.(*FullError); full {
			return p, nil
		}
		p.once.Do(func() { l.give(p.tokens) })
		g.move(l)
		return nil, why
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	g.move(l)
	return nil, why
}

// Waiting is how many questions wait for a model.
func (g *Gate) Waiting(lane string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.lanes[lane]; l != nil {
		return len(l.queue)
	}
	return 0
}

// Take notes what the provider says with an answer to the question.
func (p *Pass) Take(requests, tokens Limit) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.once.Do(func() { p.l.give(p.tokens) }) // the provider has counted it by now
	now := p.g.now()
	p.l.requests.take(requests, now)
	p.l.tokens.take(tokens, now)
	p.g.move(p.l)
}

// Done says that the question has ended.
func (p *Pass) Done() {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.once.Do(func() { p.l.give(p.tokens) })
	p.g.move(p.l)
}

// give takes back what was counted of a question that its provider counts from now on. It needs the lock.
func (l *lane) give(tokens int64) { l.passed, l.passedTokens = l.passed-1, l.passedTokens-tokens }

// laneOf needs the lock. There are as many lanes as the settings have models.
func (g *Gate) laneOf(name string) *lane {
	if g.lanes[name] == nil {
		g.lanes[name] = &lane{turns: map[string]float64{}}
	}
	return g.lanes[name]
}

// makeTicket gives a question its place: behind what its wallet, and within that its agent, has had.
func (l *lane) makeTicket(a Ask) *ticket {
	if len(l.turns) > maxFlows {
		for k, tag := range l.turns {
			if tag <= l.clock || len(l.queue) == 0 {
				delete(l.turns, k)
			}
		}
	}
	cost := float64(max(a.Tokens, 1)) / float64(1+min(max(a.Priority, 0), MaxPriority))
	l.seq++
	t := &ticket{ask: a, seq: l.seq, passed: make(chan struct{}), place: make(chan int, 1)}
	wallet, agent := a.Wallet, a.Wallet+"\n"+a.Agent
	t.tag, t.own = max(l.clock, l.turns[wallet])+cost, l.turns[agent]+cost
	l.turns[wallet], l.turns[agent] = t.tag, t.own
	return t
}

func compareTickets(a, b *ticket) int {
	switch {
	case a.tag < b.tag || a.tag == b.tag && a.seq < b.seq:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// refuse says why a question does not wait.
func (l *lane) refuse(now time.Time, t *ticket) error {
	ahead, tokens, own := int64(1), l.tokens.atMost(t.ask.Tokens), 0
	for _, x := range l.queue {
		if x.ask.Wallet == t.ask.Wallet {
			own++
		}
		if compareTickets(x, t) < 0 {
			ahead, tokens = ahead+1, tokens+l.tokens.atMost(x.ask.Tokens)
		}
	}
	wait := l.waitForAll(now, tokens, ahead)
	if len(l.queue) < maxWaiting && own < maxOfWallet && wait <= maxWait {
		return nil
	}
	// It has had no turn: what it would have taken is not held against who asks.
	wallet, agent := t.ask.Wallet, t.ask.Wallet+"\n"+t.ask.Agent
	cost := float64(max(t.ask.Tokens, 1)) / float64(1+min(max(t.ask.Priority, 0), MaxPriority))
	l.turns[wallet], l.turns[agent] = t.tag-cost, t.own-cost
	return &FullError{max(wait, time.Second)}
}

// waitFor is how long it takes until a question may pass, whose tokens are these.
func (l *lane) waitFor(now time.Time, tokens, requests int64) time.Duration {
	return max(l.requests.wait(now, requests, l.passed), l.tokens.wait(now, tokens, l.passedTokens))
}

// waitForAll is how long it takes until so many have passed, in which what there is at most comes back several times.
func (l *lane) waitForAll(now time.Time, tokens, requests int64) time.Duration {
	of := func(a *allowance, n, passed int64) time.Duration {
		missing := n - a.leftAt(now, passed)
		if a.limit == 0 || missing <= 0 {
			return 0
		}
		back := max(a.limit-a.left, 1)
		span := max(a.full.Sub(a.at), time.Second)
		return time.Duration(float64(span) * float64(missing) / float64(back))
	}
	return max(of(&l.requests, requests, l.passed), of(&l.tokens, tokens, l.passedTokens))
}

// pass lets a question through. It needs the lock.
func (g *Gate) pass(l *lane, t *ticket) *Pass {
	l.passed, l.passedTokens = l.passed+1, l.passedTokens+t.ask.Tokens
	l.clock = max(l.clock, t.tag)
	return &Pass{g: g, l: l, tokens: t.ask.Tokens}
}

// move lets through what may pass now, tells the others their places, and comes again when the next may. It needs the
// lock.
func (g *Gate) move(l *lane) {
	now, wait := g.now(), time.Duration(0)
	for len(l.queue) > 0 {
		t := l.next()
		if wait = l.waitFor(now, t.ask.Tokens, 1); wait > 0 {
			break
		}
		l.queue = slices.DeleteFunc(l.queue, func(x *ticket) bool { return x == t })
		g.pass(l, t)
		close(t.passed)
	}
	if l.wake != nil {
		l.wake.Stop()
		l.wake = nil
	}
	if len(l.queue) == 0 {
		return
	}
	for i, t := range l.queue {
		t.tell(i + 1)
	}
	l.wake = time.AfterFunc(wait, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.move(l)
	})
}

// next returns the question whose turn it is: it is the turn of the first's wallet, and within that of the agent that
// has had least. The two change places.
func (l *lane) next() *ticket {
	first := l.queue[0]
	at, least := 0, first
	for i, t := range l.queue {
		if t.ask.Wallet == first.ask.Wallet && t.own < least.own {
			at, least = i, t
		}
	}
	first.tag, least.tag = least.tag, first.tag
	l.queue[0], l.queue[at] = least, first
	return least
}

// tell puts the newest place in the place of one that was not read yet.
func (t *ticket) tell(place int) {
	if t.said == place {
		return
	}
	t.said = place
	select {
	case <-t.place:
	default:
	}
	t.place <- place
}
