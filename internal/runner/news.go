package runner

import (
	"sync"

	"github.com/writ-run/writ/provenance"
)

// news tells the subscribers in this process what runs do.
type news struct {
	mu          sync.Mutex // guards subscribers
	subscribers map[provenance.Link]map[*subscriber]struct{}
}

// A subscriber is one subscription to a run.
type subscriber struct {
	hints  chan struct{} // one is enough: a reader catches up from the journal
	deltas chan string
}

// deltaBuffer bounds the text pieces that wait for one subscriber. Deltas are for the eye: those that do not fit are
// dropped, and the step that follows holds the whole text.
const deltaBuffer = 64

// Subscribe tells of news of a run: a hint after each committed step, and a model's text as it comes. A hint may stand
// for several steps; read [Runner.Steps]. To miss nothing, subscribe first and read the journal after. stop ends it.
func (r *Runner) Subscribe(run provenance.Link) (hints <-chan struct{}, deltas <-chan string, stop func()) {
	s := &subscriber{hints: make(chan struct{}, 1), deltas: make(chan string, deltaBuffer)}
	r.news.addSubscriber(run, s)
	return s.hints, s.deltas, func() { r.news.removeSubscriber(run, s) }
}

func (n *news) addSubscriber(run provenance.Link, s *subscriber) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.subscribers[run] == nil {
		n.subscribers[run] = map[*subscriber]struct{}{}
	}
	n.subscribers[run][s] = struct{}{}
}

func (n *news) removeSubscriber(run provenance.Link, s *subscriber) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.subscribers[run], s)
	if len(n.subscribers[run]) == 0 {
		delete(n.subscribers, run)
	}
}

// publishStep says that a step of the run is committed.
func (n *news) publishStep(run provenance.Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.subscribers[run] {
		select {
		case s.hints <- struct{}{}:
		default:
		}
	}
}

// publishText shows a piece of a model's text.
func (n *news) publishText(run provenance.Link, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.subscribers[run] {
		select {
		case s.deltas <- text:
		default:
		}
	}
}
