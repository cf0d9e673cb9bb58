package api

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/news"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A Stream is one run's durable events from a place on, for one caller. It reads the journal only when it is asked for
// the next update, so the transport decides what a slow client costs: it may wait, or close and let the client resume.
// One goroutine pulls it; Close may be called by any.
type Stream struct {
	answer wire.Subscription
	caller *Caller
	run    provenance.Link
	next   uint64 // seq of the next event
	window uint64 // 0 for none

	steps    <-chan news.Step // committed since it began; what is not there the journal has
	hints    <-chan struct{}
	pieces   <-chan news.Piece
	receipts <-chan journal.Receipt // nil if there is no log
	stop     func()                 // ends the four
	ended    chan struct{}          // closed by end

	acks  chan uint64 // the newest ack, of one place
	acked uint64      // events dealt with: seq + 1

	page   []runner.StepView // read and not given yet
	stale  bool              // the journal may have more than page
	piece  news.Piece        // waits for the events that were committed before it
	told   news.Piece        // Of: the model call of which text was given; From: how much
	heard  uint64            // seq + 1 of the newest step whose model call has its reply
	closed bool              // the event that closes the run was given

	calls     []string // tool names of the newest reply seen
	callsStep uint64   // its seq + 1; 0 if there is none
	sumStep   uint64   // seq + 1 of the newest step that asks for a summary; 0 if there is none
}

// An Update is what a [Stream] gives. Exactly one field is set. Events are durable: each comes once and in order.
// Receipts can be had again by provenance.get. A delta is for the eye only, and may be dropped.
type Update struct {
	Event   *wire.RunEvent
	Receipt *wire.RunReceipt
	Delta   *wire.RunDelta
}

func (c *Call) subscribe(ctx context.Context, p wire.SubscribeParams) (any, error) {
	if !c.caller.transport.Streams && !c.streams {
		return nil, wire.Errorf(wire.CodeMethod,
			"Events come as a stream: post this with the header Accept: text/event-stream, or subscribe at /ws.")
	}
	if p.From == nil {
		p.From = c.from
	}
	id, err := cid.Decode(p.Run)
	if err != nil {
		return nil, wire.Errorf(wire.CodeParams, "run is not a CID.")
	}
	epoch, err := c.api.cfg.Runner.Epoch(ctx)
	if err != nil {
		return nil, err
	}
	s := &Stream{
		caller: c.caller, run: id, window: p.Window, ended: make(chan struct{}), acks: make(chan uint64, 1),
	}
	// The news comes before anything is read: what is committed in between is then hinted at.
	s.listenForNews()
	s.takeNews()
	info, err := s.findRun(ctx, c)
	if err != nil {
		s.stop()
		return nil, err
	}
	s.answer = wire.Subscription{Recovered: true, Epoch: epoch, Head: info.Steps - 1}
	if p.From != nil {
		if p.From.Epoch == epoch && p.From.Seq < info.Steps {
			s.next = p.From.Seq + 1
		} else {
			s.answer.Recovered = false
		}
	}
	if s.next > 0 {
		s.page = nil
	}
	s.acked = s.next
	s.stale = len(s.page) == 0 // else its first step is here, and what follows it is told
	if err := c.caller.addStream(s); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// findRun finds the stream's run as [Call.findOwnRun] does. Of one that the caller has just started, and that has its
// first step alone, since that was told, it is known how it stands.
func (s *Stream) findRun(ctx context.Context, c *Call) (journal.RunInfo, error) {
	c.caller.mu.Lock()
	info := c.caller.started
	c.caller.mu.Unlock()
	if len(s.page) > 0 && info.ID == s.run && c.seat != nil && c.seat.session.ID == info.Session {
		return info, nil
	}
	return c.findOwnRun(ctx, s.run.String())
}

// listenForNews asks for news of the run.
func (s *Stream) listenForNews() {
	cfg := &s.caller.api.cfg
	s.steps, s.hints, s.pieces, s.stop = cfg.Runner.Follow(s.run)
	if cfg.HeadLog == nil {
		return
	}
	receipts, stopReceipts := cfg.HeadLog.Watch(s.run)
	stopHints := s.stop
	s.receipts, s.stop = receipts, func() { stopHints(); stopReceipts() }
}

// addStream names the stream and keeps it for run.unsubscribe and run.ack.
func (c *Caller) addStream(s *Stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if most := c.api.cfg.Limits.Subscriptions; len(c.streams) >= most {
		return wire.Errorf(wire.CodeTooMany, "This connection has %d subscriptions; end one.", most)
	}
	c.named++
	s.answer.Sub = "s" + strconv.Itoa(c.named)
	if c.streams == nil {
		c.streams = map[string]*Stream{}
	}
	c.streams[s.answer.Sub] = s
	return nil
}

func (c *Call) unsubscribe(_ context.Context, p wire.UnsubscribeParams) (any, error) {
	c.caller.mu.Lock()
	defer c.caller.mu.Unlock()
	if s, ok := c.caller.streams[p.Sub]; ok {
		delete(c.caller.streams, p.Sub)
		close(s.ended)
	}
	return wire.None{}, nil // a subscription that ended by itself is also gone
}

func (c *Call) acknowledge(_ context.Context, p wire.AckParams) (any, error) {
	c.caller.mu.Lock()
	defer c.caller.mu.Unlock()
	s, ok := c.caller.streams[p.Sub]
	if !ok {
		return wire.None{}, nil
	}
	select { // the newest counts; mu keeps others from putting one in between
	case old := <-s.acks:
		p.Seq = max(p.Seq, old)
	default:
	}
	s.acks <- p.Seq
	return wire.None{}, nil
}

// Close ends the stream. The caller may then have another one in its place.
func (s *Stream) Close() {
	s.stop()
	s.caller.mu.Lock()
	defer s.caller.mu.Unlock()
	if s.caller.streams[s.answer.Sub] == s {
		delete(s.caller.streams, s.answer.Sub)
		close(s.ended)
	}
}

// IsFollowed says whether any caller has a stream of a run.
func (a *API) IsFollowed(run string) bool {
	return slices.ContainsFunc(a.listCallers(), func(c *Caller) bool { return c.follows(run) })
}

func (c *Caller) follows(run string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.streams {
		if s.run.String() == run {
			return true
		}
	}
	return false
}

// Ended is closed when the caller has ended the stream.
func (s *Stream) Ended() <-chan struct{} { return s.ended }

// Run names the run that the stream is of.
func (s *Stream) Run() provenance.Link { return s.run }

// Next waits for the next update. The error is io.EOF when the run has closed and all was given, or the caller ended
// the stream; ctx's; or the journal's, after which the client should resume elsewhere.
func (s *Stream) Next(ctx context.Context) (Update, error) {
	for {
		select {
		case <-s.ended:
			return Update{}, io.EOF
		default:
		}
		if s.closed {
			return s.lastReceipt(ctx)
		}
		ev, err := s.nextEvent(ctx)
		if err != nil {
			return Update{}, err
		}
		if ev != nil {
			return Update{Event: ev}, nil
		}
		if p := s.piece; s.takePiece() {
			return Update{Delta: &wire.RunDelta{
				Sub: s.answer.Sub, Run: s.run.String(), After: s.next - 1, Text: p.Text, Place: uint64(max(p.Place, 0)),
			}}, nil
		}
		if receipt, err := s.waitForNews(ctx); receipt != nil || err != nil {
			return Update{Receipt: receipt}, err
		}
	}
}

// takePiece says whether the piece that waits is still to be given: it is of a model call that has no reply yet, and
// its text goes on where the one before ended. Behind what was dropped on the way nothing follows until the event.
func (s *Stream) takePiece() bool {
	p := s.piece
	if s.piece = (news.Piece{}); p == (news.Piece{}) || s.next == 0 || p.Of < s.heard {
		return false
	}
	if p.Text == "" {
		return true
	}
	if p.Of != s.told.Of {
		s.told = news.Piece{Of: p.Of}
	}
	if p.From != s.told.From {
		return false
	}
	s.told.From += len(p.Text)
	return true
}

// waitForNews returns when there may be more to give, with the receipt if that is what came.
func (s *Stream) waitForNews(ctx context.Context) (*wire.RunReceipt, error) {
	poll := time.NewTimer(s.caller.api.cfg.Limits.Poll)
	defer poll.Stop()
	steps := s.steps
	if len(s.page) > 0 { // an ack is waited for; what finds no room meanwhile is read from the journal
		steps = nil
	}
	select {
	case <-s.hints:
		s.stale = true
	case step := <-steps:
		s.takeStep(step)
	case s.piece = <-s.pieces: // it is sent after the events that were committed before it, which nextEvent looks for
	case r := <-s.receipts:
		return s.viewReceipt(r), nil
	case seq := <-s.acks:
		s.acked = max(s.acked, seq+1)
	case <-poll.C:
		s.stale = true
	case <-s.ended:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return nil, nil
}

// nextEvent returns the next event that is in the journal and within the window, or nil.
func (s *Stream) nextEvent(ctx context.Context) (*wire.RunEvent, error) {
	limit := s.caller.api.cfg.Limits.Page
	if s.window > 0 {
		open := s.next - min(s.acked, s.next)
		if open >= s.window {
			return nil, nil // an ack will bring us back
		}
		limit = min(limit, int(s.window-open))
	}
	if len(s.page) == 0 {
		s.takeNews()
	}
	if len(s.page) == 0 && s.stale {
		page, err := s.caller.api.cfg.Runner.Steps(ctx, s.run, s.next, limit)
		if err != nil {
			return nil, err
		}
		s.page, s.stale = page, len(page) >= limit
	}
	if len(s.page) == 0 {
		return nil, nil
	}
	v := s.page[0]
	if v.Step.Seq != s.next {
		return nil, fmt.Errorf("the journal gave step %d for %d", v.Step.Seq, s.next)
	}
	ev, err := s.viewStep(ctx, v)
	if err != nil { // it is asked for again, if it was only the time that was over
		return nil, err
	}
	s.page = s.page[1:]
	s.next++
	if r, is := v.Step.Event.(*provenance.Reply); is {
		s.heard = r.Of.Seq + 1
	}
	if n := len(v.Step.Does); n > 0 {
		_, s.closed = v.Step.Does[n-1].(*provenance.Close)
	}
	return &ev, nil
}

// takeNews takes what was told and not looked at yet.
func (s *Stream) takeNews() {
	select {
	case <-s.hints:
		s.stale = true
	default:
	}
	for len(s.page) == 0 && !s.stale {
		select {
		case step := <-s.steps:
			s.takeStep(step)
		default:
			return
		}
	}
}

// takeStep takes a step that was told: the next one as it is. Where one is missing, the journal has it.
func (s *Stream) takeStep(step news.Step) {
	switch next := s.next + uint64(len(s.page)); {
	case step.Step.Seq == next:
		s.page = append(s.page, runner.StepView{CID: step.CID, Step: step.Step})
	case step.Step.Seq > next:
		s.stale = true
	}
}

// lastReceipt gives the receipt of the closing head, once the log has published it, and then io.EOF.
func (s *Stream) lastReceipt(ctx context.Context) (Update, error) {
	log := s.caller.api.cfg.HeadLog
	if log == nil || s.receipts == nil {
		return Update{}, io.EOF
	}
	s.receipts = nil
	ctx, cancel := context.WithTimeout(ctx, s.caller.api.cfg.Limits.Receipt)
	defer cancel()
	r, err := log.Await(ctx, s.run)
	if err != nil { // the client can still ask for it with provenance.get
		return Update{}, io.EOF
	}
	return Update{Receipt: s.viewReceipt(r)}, nil
}

func (s *Stream) viewReceipt(r journal.Receipt) *wire.RunReceipt {
	return &wire.RunReceipt{
		Sub: s.answer.Sub, Run: s.run.String(), Seq: r.Seq, Head: r.Head.String(), Receipt: string(r.Text),
	}
}
