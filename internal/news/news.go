// Package news tells who listens in this process what runs do.
package news

import (
	"sync"

	"github.com/writ-run/writ/provenance"
)

// A Board holds the subscriptions to runs. Its methods may be called by many goroutines at once.
type Board struct {
	mu          sync.Mutex // guards subscribers
	subscribers map[provenance.Link]map[*subscriber]struct{}
}

// New returns a Board to which nobody listens yet.
func New() *Board { return &Board{subscribers: map[provenance.Link]map[*subscriber]struct{}{}} }

// A subscriber is one subscription to a run.
type subscriber struct {
	hints  chan struct{} // one is enough: a reader catches up from the journal
	pieces chan Piece
}

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

func (n *Board) addSubscriber(run provenance.Link, s *subscriber) {
	n.mu.Lock()
	defer n.mu.Unlock()
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

// PublishStep says that a step of the run is committed.
func (n *Board) PublishStep(run provenance.Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.subscribers[run] {
		select {
		case s.hints <- struct{}{}:
		default:
		}
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
