package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

var errClosing = errors.New("the socket is closing")

// An outbox is the only thing that writes messages to a socket. It holds a bounded queue, and a goroutine while there
// is something in it.
type outbox struct {
	ws     *websocket.Conn
	limits *Limits
	wg     *sync.WaitGroup // of the socket
	fail   func(error)     // called once if a write fails; ends the socket

	mu      sync.Mutex
	queue   []message     // guarded by mu
	bytes   int           // guarded by mu: of all that is queued
	writing bool          // guarded by mu: the goroutine is there
	closed  bool          // guarded by mu: nothing more is taken
	room    chan struct{} // guarded by mu: closed when there is room again; nil if nobody waits
}

// A message is what one WebSocket frame holds.
type message struct {
	kind int // of the websocket package
	data []byte
}

// waitAndQueue queues a text message, and waits for room first. It fails when ctx or the socket ends, or ended is
// closed, which may be nil.
func (o *outbox) waitAndQueue(ctx context.Context, data []byte, ended <-chan struct{}) error {
	for {
		o.mu.Lock()
		if o.closed {
			o.mu.Unlock()
			return errClosing
		}
		// A message larger than the bound goes through alone.
		if len(o.queue) == 0 || len(o.queue) < o.limits.QueueItems && o.bytes+len(data) <= o.limits.QueueBytes {
			o.appendMessage(message{websocket.TextMessage, data})
			o.mu.Unlock()
			return nil
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ended:
			return errClosing
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// queueIfRoom queues a message if at most half of the queue is used, and else drops it.
func (o *outbox) queueIfRoom(kind int, data []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || len(o.queue) >= o.limits.QueueItems/2 || o.bytes+len(data) > o.limits.QueueBytes/2 {
		return false
	}
	o.appendMessage(message{kind, data})
	return true
}

// queueClose queues a close frame behind what is there, and takes nothing more. The client then has two seconds to
// answer.
func (o *outbox) queueClose(code int, why string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.appendMessage(message{websocket.CloseMessage, websocket.FormatCloseMessage(code, why)})
	o.refuseMore()
}

// dropQueue drops what is queued and takes nothing more.
func (o *outbox) dropQueue() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue, o.bytes = nil, 0
	o.refuseMore()
}

func (o *outbox) isClosed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}

// appendMessage needs mu.
func (o *outbox) appendMessage(m message) {
	o.queue = append(o.queue, m)
	o.bytes += len(m.data)
	if !o.writing {
		o.writing = true
		o.wg.Go(o.writeQueue)
	}
}

// refuseMore needs mu.
func (o *outbox) refuseMore() {
	o.closed = true
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// writeQueue writes until the queue is empty.
func (o *outbox) writeQueue() {
	for {
		o.mu.Lock()
		if len(o.queue) == 0 {
			o.queue, o.writing = nil, false
			o.mu.Unlock()
			return
		}
		m := o.queue[0]
		o.queue[0] = message{}
		o.queue = o.queue[1:]
		o.mu.Unlock()

		deadline := time.Now().Add(o.limits.Stall)
		var err error
		if m.kind == websocket.TextMessage {
			if err = o.ws.SetWriteDeadline(deadline); err == nil {
				err = o.ws.WriteMessage(m.kind, m.data)
			}
		} else {
			err = o.ws.WriteControl(m.kind, m.data, deadline)
		}
		if m.kind == websocket.CloseMessage && err == nil {
			err = o.ws.SetReadDeadline(time.Now().Add(2 * time.Second))
		}

		o.mu.Lock()
		o.bytes = max(0, o.bytes-len(m.data)) // abandon may have set it to 0
		if o.room != nil {
			close(o.room)
			o.room = nil
		}
		o.mu.Unlock()
		if err != nil {
			o.dropQueue()
			o.fail(err)
		}
	}
}
