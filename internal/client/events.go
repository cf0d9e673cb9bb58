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
	updates chan Update
}

func (l *link) feed(sub string, u Update) {
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
			err := c.follow(ctx, run, &from, yield)
			if from != before {
				try = 0 // it went on
			}
			switch e, ok := errors.AsType[*wire.Error](err); {
			case err == nil || errors.Is(err, errStopped):
				return
			case !ok || try >= attempts || !(e.Data.Code == wire.CodeDown || e.Data.Code == wire.CodeRate || e.Data.Code == wire.CodeOverload):
				yield(Update{}, err)
				return
			}
			if !pause(ctx, backoff(try)) {
				yield(Update{}, ctx.Err())
				return
			}
		}
	}
}

// follow yields events from one socket, moving from. It returns nil when the run has closed.
func (c *Client) follow(ctx context.Context, run string, from **wire.From, yield func(Update, error) bool) error {
	l, err := c.live(ctx)
	if err != nil {
		return err
	}
	f := &feed{updates: make(chan Update, window+spare)}
	var sub wire.Subscription
	err = l.call(ctx, wire.RunSubscribe, wire.SubscribeParams{Run: run, From: *from, Window: window}, nil, nil,
		func(result json.RawMessage) error { // in the reader: no event can come before the feed is there
			if err := json.Unmarshal(result, &sub); err != nil {
				return err
			}
			l.mu.Lock()
			l.feeds[sub.Sub] = f
			l.mu.Unlock()
			return nil
		})
	if err != nil {
		return err
	}
	defer func() {
		l.mu.Lock()
		delete(l.feeds, sub.Sub)
		l.mu.Unlock()
		if l.alive() {
			_ = l.send(`"end"`, wire.RunUnsubscribe, wire.UnsubscribeParams{Sub: sub.Sub}, nil) // it ends with the socket too
		}
	}()
	if !sub.Recovered {
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
		var u Update
		select {
		case u = <-f.updates:
		default:
			select {
			case u = <-f.updates:
			case <-l.done:
				return l.cause()
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if u.Event == nil {
			if !yield(u, nil) {
				return errStopped
			}
			continue
		}
		if u.Event.Seq < next {
			continue
		}
		if u.Event.Seq > next {
			return wire.Errorf(wire.CodeDown, "The server left out event %d.", next)
		}
		next++
		*from = &wire.From{Epoch: sub.Epoch, Seq: u.Event.Seq}
		if !yield(u, nil) {
			return errStopped
		}
		if n := len(u.Event.Does); n > 0 && u.Event.Does[n-1].Kind == "close" {
			return nil
		}
		if unacked++; unacked >= window/2 {
			unacked = 0
			if err := l.send(`"ack"`, wire.RunAck, wire.AckParams{Sub: sub.Sub, Seq: u.Event.Seq}, nil); err != nil {
				return err
			}
		}
	}
}
