// Package news tells who listens in this process what runs do.
package news

import (
	"sync"

	"github.com/writ-run/writ/provenance"
)

// A Board holds the subscriptions to runs. Its methods may be called by many goroutines at once.
type Board struct {
	mu          sync.Mutex // guards the rest
	subscribers map[provenance.Link]map[*subscriber]struct{}

	// The first steps of runs that nobody has followed yet and that have no second one: who starts a run follows it at
	// once, and cannot before it knows its name.
	first  map[provenance.Link]Step
	begun  [firstKept]provenance.Link
	oldest int
}

// firstKept bounds the first steps that are kept.
const firstKept = 64

// New returns a Board to which nobody listens yet.
func New() *Board {
	return &Board{
		subscribers: map[provenance.Link]map[*subscriber]struct{}{}, first: make(map[provenance.Link]Step, firstKept),
	}
}

// A subscriber is one subscription to a run.
type subscriber struct {
	hints  chan struct{} // one is enough: a reader catches up from the journal
	steps  chan Step     // nil for one that reads the journal for each
	sizes  []int         // of the newest steps that were put there, as many as wait or more
	pieces chan Piece
}

// A Step is a committed step with its payloads in plain text, as whoever committed it has it. Nobody changes it.
type Step struct {
	CID  provenance.Link
	Step *provenance.Step
	size int // in bytes, about
}

// StepOf returns what is told of a commit of a step: nothing if it has leaves that end with their run, since whether
// these can still be read only the journal says. brings are the blocks that it comes with, its sealed payloads.
func StepOf(step *provenance.Step, as provenance.Block, brings []provenance.Block, leaves []provenance.Leaf) *Step {
	for _, l := range leaves {
		if l.Ends {
			return nil
		}
	}
	size := len(as.Data)
	for _, b := range brings {
		size += len(b.Data)
	}
	return &Step{as.CID, step, size}
}

// Bounds of the steps that wait for one subscriber: how many, and their bytes unless it is one alone. For those that do
// not fit there is a hint.
const (
	stepBuffer = 8
	stepBytes  = 256 << 10
)

// A Piece is something of a run that is for the eye, and is not kept.
type Piece struct {
	Of    uint64 // the step that asks the model
	Text  string // that it writes
	From  int    // bytes of it that came before
	Place int    // in the queue of the run's model, 1 for the next; 0 if it does not wait
}

// pieceBuffer bounds the pieces that wait for one subscriber. Those that do not fit are dropped, which their places in
// the text tell, and the step that follows holds the whole text.
const pieceBuffer = 64

// Subscribe tells of news of a run: a hint after each committed step, and a model's text as it comes. A hint may stand
// for several steps. stop ends it.
func (n *Board) Subscribe(run provenance.Link) (hints <-chan struct{}, pieces <-chan Piece, stop func()) {
	s := &subscriber{hints: make(chan struct{}, 1), pieces: make(chan Piece, pieceBuffer)}
	n.addSubscriber(run, s)
	return s.hints, s.pieces, func() { n.removeSubscriber(run, s) }
}

// Follow is Subscribe for one who is given the steps themselves, if they can be had: then there is no hint for them.
// They are in order, and some may be missing, for which there is a hint. The first who follows a run that has just
// begun is given its first step, too.
func (n *Board) Follow(
	run provenance.Link,
) (steps <-chan Step, hints <-chan struct{}, pieces <-chan Piece, stop func()) {
	s := &subscriber{
		hints: make(chan struct{}, 1), steps: make(chan Step, stepBuffer), pieces: make(chan Piece, pieceBuffer),
	}
	n.mu.Lock()
	if step, there := n.first[run]; there {
		s.give(step) // there is room
		delete(n.first, run)
	}
	n.addLocked(run, s)
	n.mu.Unlock()
	return s.steps, s.hints, s.pieces, func() { n.removeSubscriber(run, s) }
}

func (n *Board) addSubscriber(run provenance.Link, s *subscriber) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addLocked(run, s)
}

// addLocked adds a subscriber. mu is held.
func (n *Board) addLocked(run provenance.Link, s *subscriber) {
	if n.subscribers[run] == nil {
		n.subscribers[run] = map[*subscriber]struct{}{}
	}
	n.subscribers[run][s] = struct{}{}
}

func (n *Board) removeSubscriber(run provenance.Link, s *subscriber) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.subscribers[run], s)
	if len(n.subscribers[run]) == 0 {
		delete(n.subscribers, run)
	}
}

// PublishStep says that a step of the run is committed, and which, unless it is nil.
func (n *Board) PublishStep(run provenance.Link, step *Step) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if delete(n.first, run); step != nil && step.Step.Seq == 0 && len(n.subscribers[run]) == 0 {
		n.keepFirst(run, *step)
	}
	for s := range n.subscribers[run] {
		if step != nil && s.steps != nil && s.give(*step) {
			continue
		}
		select {
		case s.hints <- struct{}{}:
		default:
		}
	}
}

// keepFirst keeps the first step of a run in the place of the oldest one. mu is held.
func (n *Board) keepFirst(run provenance.Link, step Step) {
	delete(n.first, n.begun[n.oldest])
	n.first[run], n.begun[n.oldest] = step, run
	n.oldest = (n.oldest + 1) % firstKept
}

// give hands over a step if there is room. Nobody else puts one in meanwhile; some may be taken.
func (s *subscriber) give(step Step) bool {
	s.sizes = s.sizes[len(s.sizes)-len(s.steps):]
	waiting := step.size
	for _, n := range s.sizes {
		waiting += n
	}
	if len(s.sizes) > 0 && waiting > stepBytes {
		return false
	}
	select {
	case s.steps <- step:
		s.sizes = append(s.sizes, step.size)
		return true
	default:
		return false
	}
}

// PublishPiece shows a piece.
func (n *Board) PublishPiece(run provenance.Link, p Piece) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.subscribers[run] {
		select {
		case s.pieces <- p:
		default:
		}
	}
}
