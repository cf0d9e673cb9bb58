package agent

import (
	"github.com/writ-run/writ/provenance"
)

// A watcher is one subscription to a run, in this process.
type watcher struct {
	hints  chan struct{} // one is enough: a reader catches up from the journal
	deltas chan string
}

// deltaBuffer bounds the text pieces that wait for one watcher. Deltas are for the eye: those that do not fit are
// dropped, and the step that follows holds the whole text.
const deltaBuffer = 64

// Watch tells of news of a run: a hint after each committed step, and a model's text as it comes. A hint may stand
// for several steps; read [Runner.Steps]. To miss nothing, watch first and read the journal after. stop ends it.
func (r *Runner) Watch(run provenance.Link) (hints <-chan struct{}, deltas <-chan string, stop func()) {
	w := &watcher{hints: make(chan struct{}, 1), deltas: make(chan string, deltaBuffer)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watchers[run] == nil {
		r.watchers[run] = map[*watcher]struct{}{}
	}
	r.watchers[run][w] = struct{}{}
	return w.hints, w.deltas, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers[run], w)
		if len(r.watchers[run]) == 0 {
			delete(r.watchers, run)
		}
	}
}

func (r *Runner) notify(run provenance.Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for w := range r.watchers[run] {
		select {
		case w.hints <- struct{}{}:
		default:
		}
	}
}

func (r *Runner) delta(run provenance.Link, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for w := range r.watchers[run] {
		select {
		case w.deltas <- text:
		default:
		}
	}
}
