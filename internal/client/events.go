package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"

	"github.com/writ-run/writ/agent/wire"
)

// An Update is one piece of a run's story. Exactly one field is set.
type Update struct {
	Event *wire.RunEvent // a step: durable, each once and in order
	Delta *wire.RunDelta // text as it is written; for the eye, some may be missing
	Void  bool           // the log is another one: forget all events so far, they start anew at 0
}

const (
	window = 256 // events that the server may send ahead of what was dealt with
	spare  = 64  // places for deltas
)

// A feed is where the reader of a link puts a subscription's updates. Events always find room: the server sends no
// more than the window.
type feed struct {
	sub     wire.Subscription
	updates chan Update
}

func (l *link) passUpdate(sub string, u Update) {
	l.mu.Lock()
	f := l.feeds[sub]
	l.mu.Unlock()
	if f == nil || u.Delta != nil && len(f.updates) >= spare {
		return
	}
	select {
	case f.updates <- u:
	default:
		l.ws.Close() // the server overran its window; resume
	}
}

var errStopped = errors.New("the caller has seen enough")

// Events yields a run's events from its start, or after from, and ends after the one that closes the run. Lost
// connections are mended: each event comes once and in order. The last pair holds the error, if there is one.
func (c *Client) Events(ctx context.Context, run string, from *wire.From) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		for try := 0; ; try++ {
			before := from
			err := c.followOnce(ctx, run, &from, yield)
			if from != before {
				try = 0 // it went on
			}
			switch e, ok := errors.AsType[*wire.Error](err); {
			case err == nil || errors.Is(err, errStopped):
				return
			case !ok || try >= attempts || !mayResume(e.Data.Code):
				yield(Update{}, err)
				return
			}
			if !waitFor(ctx, backoffDelay(try)) {
				yield(Update{}, ctx.Err())
				return
			}
		}
	}
}

// mayResume says whether a stream that ended with a code can go on over a new socket.
func mayResume(c wire.Code) bool {
	return c == wire.CodeDown || c == wire.CodeRate || c == wire.CodeOverload
}

// followOnce yields events from one socket, moving from. It returns nil when the run has closed.
func (c *Client) followOnce(
	ctx context.Context, run string, from **wire.From, yield func(Update, error) bool,
) error {
	l, err := c.liveLink(ctx)
	if err != nil {
		return err
	}
	f, err := l.subscribe(ctx, run, *from)
	if err != nil {
		return err
	}
	defer l.unsubscribe(f.sub.Sub)
	if !f.sub.Recovered {
		*from = nil
		if !yield(Update{Void: true}, nil) {
			return errStopped
		}
	}
	next := uint64(0)
	if *from != nil {
		next = (*from).Seq + 1
	}
	for unacked := 0; ; {
		u, err := l.nextUpdate(ctx, f)
		if err != nil {
			return err
		}
		switch {
		case u.Event != nil && u.Event.Seq < next:
			continue
		case u.Event != nil && u.Event.Seq > next:
			return wire.Errorf(wire.CodeDown, "The server left out event %d.", next)
		case u.Event != nil:
			next++
			*from = &wire.From{Epoch: f.sub.Epoch, Seq: u.Event.Seq}
		}
		if !yield(u, nil) {
			return errStopped
		}
		if u.Event == nil {
			continue
		}
		if n := len(u.Event.Does); n > 0 && u.Event.Does[n-1].Kind == "close" {
			return nil
		}
		if unacked++; unacked >= window/2 {
			unacked = 0
			p := wire.AckParams{Sub: f.sub.Sub, Seq: u.Event.Seq}
			if err := l.sendRequest(`"ack"`, wire.RunAck, p, nil); err != nil {
				return err
			}
		}
	}
}

// subscribe asks for a run's events and returns where they come.
func (l *link) subscribe(ctx context.Context, run string, from *wire.From) (*feed, error) {
	f := &feed{updates: make(chan Update, window+spare)}
	p := wire.SubscribeParams{Run: run, From: from, Window: window}
	err := l.callAndWait(ctx, wire.RunSubscribe, p, nil, nil, func(result json.RawMessage) error {
		// This runs in the reader, so that no event can come before the feed is there.
		if err := json.Unmarshal(result, &f.sub); err != nil {
			return err
		}
		l.mu.Lock()
		l.feeds[f.sub.Sub] = f
		l.mu.Unlock()
		return nil
	})
	return f, err
}

func (l *link) unsubscribe(sub string) {
	l.mu.Lock()
	delete(l.feeds, sub)
	l.mu.Unlock()
	if l.isAlive() {
		// If this fails, the subscription ends with the socket.
		_ = l.sendRequest(`"end"`, wire.RunUnsubscribe, wire.UnsubscribeParams{Sub: sub}, nil)
	}
}

// nextUpdate waits for an update. Those that came before the socket ended are given first.
func (l *link) nextUpdate(ctx context.Context, f *feed) (Update, error) {
	select {
	case u := <-f.updates:
		return u, nil
	default:
	}
	select {
	case u := <-f.updates:
		return u, nil
	case <-l.done:
		return Update{}, l.closeCause()
	case <-ctx.Done():
		return Update{}, ctx.Err()
	}
}
