package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"
)

// A subscription sends one run's events to one socket.
type subscription struct {
	answer wire.Subscription
	run    provenance.Link
	next   uint64 // seq of the next event
	window uint64 // 0 for none

	hints  <-chan struct{}
	deltas <-chan string
	pump   func() // sends until it ends
	end    func() // ends it

	acks  chan uint64 // the newest ack, of one place
	acked uint64      // events dealt with: seq + 1

	calls     []string // tool names of the newest reply seen
	callsStep uint64   // its seq + 1; 0 if there is none
}

func runSubscribe(ctx context.Context, c *conn, call call, p wire.SubscribeParams) (any, error) {
	id, err := cid.Decode(p.Run)
	if err != nil {
		return nil, wire.Errorf(wire.CodeParams, "run is not a CID.")
	}
	epoch, err := c.srv.cfg.Runner.Epoch(ctx)
	if err != nil {
		return nil, err
	}
	// Watch before anything is read: what is committed in between is then hinted at.
	hints, deltas, stop := c.srv.cfg.Runner.Watch(id)
	info, err := c.own(ctx, call, p.Run)
	if err != nil {
		stop()
		return nil, err
	}
	live, end := context.WithCancel(ctx)
	sub := &subscription{
		run: info.ID, window: p.Window, hints: hints, deltas: deltas, end: end, acks: make(chan uint64, 1),
		answer: wire.Subscription{Recovered: true, Epoch: epoch, Head: info.Steps - 1},
	}
	if p.From != nil {
		if p.From.Epoch == epoch && p.From.Seq < info.Steps {
			sub.next = p.From.Seq + 1
		} else {
			sub.answer.Recovered = false
		}
	}
	sub.acked = sub.next
	sub.pump = func() {
		c.pump(live, sub)
		end()
		stop()
		c.mu.Lock()
		delete(c.subs, sub.answer.Sub)
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if most := c.srv.cfg.Limits.Subscriptions; len(c.subs) >= most {
		end()
		stop()
		return nil, wire.Errorf(wire.CodeTooMany, "This connection has %d subscriptions; end one.", most)
	}
	c.named++
	sub.answer.Sub = "s" + strconv.Itoa(c.named)
	if c.subs == nil {
		c.subs = map[string]*subscription{}
	}
	c.subs[sub.answer.Sub] = sub
	return sub, nil
}

func runUnsubscribe(_ context.Context, c *conn, _ call, p wire.UnsubscribeParams) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sub, ok := c.subs[p.Sub]; ok {
		delete(c.subs, p.Sub)
		sub.end()
	}
	return wire.None{}, nil // one that has ended by itself is gone too
}

func runAck(_ context.Context, c *conn, _ call, p wire.AckParams) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sub, ok := c.subs[p.Sub]
	if !ok {
		return wire.None{}, nil
	}
	select { // the newest counts; mu keeps others from putting one in between
	case old := <-sub.acks:
		p.Seq = max(p.Seq, old)
	default:
	}
	sub.acks <- p.Seq
	return wire.None{}, nil
}

// pump sends a subscription's events until the run closes, or the client or the socket ends it.
func (c *conn) pump(ctx context.Context, sub *subscription) {
	poll := time.NewTimer(c.srv.cfg.Limits.Poll)
	defer poll.Stop()
	var receipts <-chan agent.Receipt
	if log := c.srv.cfg.HeadLog; log != nil {
		news, stop := log.Watch(sub.run)
		defer stop()
		receipts = news
	}
	for delta := ""; ; {
		closed, err := c.catchUp(ctx, sub)
		if closed {
			c.lastReceipt(ctx, sub)
		}
		if closed || ctx.Err() != nil {
			return
		}
		if err != nil {
			// The client must not wait for events that do not come: let it resume.
			c.srv.log.ErrorContext(ctx, "subscription not served", "run", sub.run, "err", err)
			c.out.close(websocket.CloseInternalServerErr, "events could not be read; connect again and resume")
			return
		}
		if delta != "" {
			c.delta(sub, delta)
			delta = ""
		}
		select {
		case <-sub.hints:
		case delta = <-sub.deltas:
			// Its turn comes after the events that were committed before it.
		case r := <-receipts:
			c.receipt(ctx, sub, r)
		case seq := <-sub.acks:
			sub.acked = max(sub.acked, seq+1)
		case <-poll.C:
			poll.Reset(c.srv.cfg.Limits.Poll)
		case <-ctx.Done():
			return
		}
	}
}

// catchUp sends what is in the journal and was not sent, and says whether the run's close was among it.
func (c *conn) catchUp(ctx context.Context, sub *subscription) (closed bool, err error) {
	for {
		limit := c.srv.cfg.Limits.Page
		if sub.window > 0 {
			open := sub.next - min(sub.acked, sub.next)
			if open >= sub.window {
				return false, nil // an ack will bring us back
			}
			limit = min(limit, int(sub.window-open))
		}
		steps, err := c.srv.cfg.Runner.Steps(ctx, sub.run, sub.next, limit)
		if err != nil {
			return false, err
		}
		for _, s := range steps {
			if s.Step.Seq != sub.next {
				return false, fmt.Errorf("the journal gave step %d for %d", s.Step.Seq, sub.next)
			}
			ev, err := c.view(ctx, sub, s)
			if err != nil {
				return false, err
			}
			if err := c.notify(ctx, wire.NoteEvent, ev); err != nil {
				return false, err
			}
			c.srv.metrics.events.Inc()
			sub.next++
			if n := len(s.Step.Does); n > 0 {
				if _, ok := s.Step.Does[n-1].(*provenance.Close); ok {
					return true, nil
				}
			}
		}
		if len(steps) < limit {
			return false, nil
		}
	}
}

// receipt sends one. What is lost with the socket can be had again by provenance.get.
func (c *conn) receipt(ctx context.Context, sub *subscription, r agent.Receipt) {
	_ = c.notify(ctx, wire.NoteReceipt, wire.RunReceipt{ // it fails only with the socket
		Sub: sub.answer.Sub, Run: sub.run.String(), Seq: r.Seq, Head: r.Head.String(), Receipt: string(r.Text),
	})
}

// lastReceipt sends the receipt of the closing head, once the log has published it.
func (c *conn) lastReceipt(ctx context.Context, sub *subscription) {
	if c.srv.cfg.HeadLog == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.srv.cfg.Limits.Receipt)
	defer cancel()
	if r, err := c.srv.cfg.HeadLog.Await(ctx, sub.run); err == nil {
		c.receipt(ctx, sub, r)
	}
}

func (c *conn) delta(sub *subscription, text string) {
	if sub.next == 0 {
		return
	}
	data, err := json.Marshal(note(wire.NoteDelta, wire.RunDelta{
		Sub: sub.answer.Sub, Run: sub.run.String(), After: sub.next - 1, Text: text,
	}))
	if err != nil || !c.out.offer(websocket.TextMessage, data) {
		c.srv.metrics.dropped.Inc()
	}
}
