package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/strictjson"
)

// A run's events over plain HTTP are server-sent events: a posted run.subscribe that accepts text/event-stream is
// answered by a stream, whose first event is the response and each further one a notification. The id of an event is
// its place, "epoch:seq"; who posts again with it in Last-Event-ID gets what follows.

// eventStream is the media type of server-sent events.
const eventStream = "text/event-stream"

// lastEventID is the header that says where to go on.
const lastEventID = "Last-Event-Id"

// acceptsEvents says whether a request wants a stream of events.
func acceptsEvents(h http.Header) bool {
	for _, kind := range strings.Split(h.Get("Accept"), ",") {
		if kind, _, _ = strings.Cut(kind, ";"); strings.TrimSpace(kind) == eventStream {
			return true
		}
	}
	return false
}

// placeOf reads a Last-Event-ID; nil if there is none. One that cannot be read is a place of no log, so that the events
// start over and the client is told.
func placeOf(h http.Header) *wire.From {
	id := h.Get(lastEventID)
	if id == "" {
		return nil
	}
	i := strings.LastIndexByte(id, ':')
	if i < 0 {
		return &wire.From{}
	}
	seq, err := strconv.ParseUint(id[i+1:], 10, 53)
	if err != nil {
		return &wire.From{}
	}
	return &wire.From{Epoch: id[:i], Seq: seq}
}

// A feed writes one stream of events. A client that takes nothing for Limits.Stall ends it.
type feed struct {
	srv     *Server
	w       http.ResponseWriter
	control *http.ResponseController
	caller  *api.Caller
	stream  *api.Stream
	epoch   string
	said    time.Time // when something was last written
}

// serveFeed sends the answer to a run.subscribe and then what its stream gives, until the run closes, the session ends,
// the server drains or the client goes.
func (d *postDoor) serveFeed(w http.ResponseWriter, r *http.Request, ch *channel, req wire.Request, a api.Answer) {
	defer a.Stream.Close()
	d.srv.countAnswer(req.Method, a)
	sub, _ := a.Result.(wire.Subscription)
	f := &feed{
		srv: d.srv, w: w, control: http.NewResponseController(w), caller: ch.caller, stream: a.Stream, epoch: sub.Epoch,
	}
	// The body was read to its end; a read deadline that is over would cut the stream.
	if err := f.control.SetReadDeadline(time.Time{}); err != nil {
		d.srv.log.Error("no deadline for a stream", "err", err)
	}
	h := w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that would hold it back
	w.WriteHeader(http.StatusOK)
	err := f.writeEvent("", "response", wire.Response{JSONRPC: "2.0", ID: req.ID, Result: a.Result})
	if err == nil {
		err = f.pump(r.Context())
	}
	if err != nil && !errors.Is(err, io.EOF) && r.Context().Err() == nil {
		d.srv.log.Debug("event stream ended", "err", err)
	}
}

// feedTick is how often a feed looks whether its session has ended, as sockets do.
const feedTick = time.Second

var errFeedTick = errors.New("time to look up")

// pump sends updates. It returns io.EOF when all was sent.
func (f *feed) pump(ctx context.Context) error {
	for {
		waits, cancel := context.WithTimeoutCause(ctx, feedTick, errFeedTick)
		u, err := f.stream.Next(waits)
		cancel()
		switch {
		case err == nil:
			err = f.writeUpdate(u)
		case errors.Is(err, errFeedTick) && ctx.Err() == nil:
			err = f.lookUp(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// lookUp ends the feed if its session or the server does, and else says that it is alive, now and then.
func (f *feed) lookUp(ctx context.Context) error {
	f.srv.mu.Lock()
	draining := f.srv.draining
	f.srv.mu.Unlock()
	if draining {
		return io.EOF
	}
	had, _ := f.caller.Session()
	s, err := f.srv.cfg.API.Session(ctx, had.ID)
	if err != nil {
		return err
	}
	if why := api.EndOf(s, time.Now()); why != "" {
		end := wire.SessionRevoked{Session: s.ID.String(), Why: why}
		if err := f.writeEvent("", wire.NoteRevoked, newNotification(wire.NoteRevoked, end)); err != nil {
			return err
		}
		return io.EOF
	}
	if time.Since(f.said) < f.srv.cfg.Limits.Ping {
		return nil
	}
	return f.write(": still here\n\n")
}

func (f *feed) writeUpdate(u api.Update) error {
	switch {
	case u.Event != nil:
		id := f.epoch + ":" + strconv.FormatUint(u.Event.Seq, 10)
		return f.writeEvent(id, wire.NoteEvent, newNotification(wire.NoteEvent, u.Event))
	case u.Receipt != nil:
		return f.writeEvent("", wire.NoteReceipt, newNotification(wire.NoteReceipt, u.Receipt))
	}
	return f.writeEvent("", wire.NoteDelta, newNotification(wire.NoteDelta, u.Delta))
}

// writeEvent writes one event. Its data is one line: JSON has no line breaks of its own.
func (f *feed) writeEvent(id, name string, data any) error {
	text, err := strictjson.Marshal(data)
	if err != nil {
		return err
	}
	head := "event: " + name + "\n"
	if id != "" {
		head += "id: " + id + "\n"
	}
	return f.write(head + "data: " + string(text) + "\n\n")
}

func (f *feed) write(text string) error {
	if err := f.control.SetWriteDeadline(time.Now().Add(f.srv.cfg.Limits.Stall)); err != nil {
		return err
	}
	if _, err := io.WriteString(f.w, text); err != nil {
		return err
	}
	f.said = time.Now()
	return f.control.Flush()
}
