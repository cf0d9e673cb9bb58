package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
)

// maxIncoming bounds a frame of the server: an event with all its payloads.
const maxIncoming = 16 << 20

// silence is how long a server that pings every 25 s may say nothing.
const silence = 90 * time.Second

// A link is one socket.
type link struct {
	ws      *websocket.Conn
	hello   wire.Hello // set before greeted is closed
	channel [32]byte
	greeted chan struct{}
	done    chan struct{} // closed when the reader has ended

	writing sync.Mutex // held for one write

	acting sync.Mutex // held for one signed call, until its answer says whether its number was taken
	seq    uint64     // guarded by acting: of the last signed request

	mu      sync.Mutex
	ids     uint64              // guarded by mu
	pending map[string]*pending // guarded by mu; by the id as JSON
	feeds   map[string]*feed    // guarded by mu; by subscription
	err     error               // guarded by mu: why the socket ended
}

// A pending call waits for its answer.
type pending struct {
	answer chan answer
	// first, if set, sees the result in the reader, before any later frame is looked at.
	first func(json.RawMessage) error
}

type answer struct {
	result json.RawMessage
	err    error
}

// A signer signs requests.
type signer struct {
	session cid.Cid // undefined to open a new one
	key     auth.PrivateKey
}

func newLink(ws *websocket.Conn) *link {
	return &link{
		ws: ws, greeted: make(chan struct{}), done: make(chan struct{}),
		pending: map[string]*pending{}, feeds: map[string]*feed{},
	}
}

func (l *link) isAlive() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

func (l *link) closeCause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// sayGoodbye says goodbye and ends the reader.
func (l *link) sayGoodbye() {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = l.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second)) // only politeness
	l.ws.Close()
}

// A frame is anything that a server sends.
type frame struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *wire.Error     `json:"error"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// readFrames deals with what the server sends until the socket ends.
func (l *link) readFrames() {
	defer close(l.done)
	defer l.ws.Close()
	l.ws.SetReadLimit(maxIncoming)
	heard := func() error { return l.ws.SetReadDeadline(time.Now().Add(silence)) }
	pong := l.ws.PingHandler()
	l.ws.SetPingHandler(func(data string) error {
		if err := heard(); err != nil {
			return err
		}
		return pong(data)
	})
	for {
		err := heard()
		var data []byte
		if err == nil {
			_, data, err = l.ws.ReadMessage()
		}
		var f frame
		if err == nil {
			err = json.Unmarshal(data, &f)
		}
		if err == nil {
			err = l.takeFrame(f)
		}
		if err != nil {
			l.failPending(err)
			return
		}
	}
}

func (l *link) takeFrame(f frame) error {
	switch f.Method {
	case wire.NoteHello:
		return l.takeHello(f)
	case wire.NoteEvent:
		var ev wire.RunEvent
		if err := json.Unmarshal(f.Params, &ev); err != nil {
			return err
		}
		l.passUpdate(ev.Sub, Update{Event: &ev})
	case wire.NoteDelta:
		var d wire.RunDelta
		if err := json.Unmarshal(f.Params, &d); err != nil {
			return err
		}
		l.passUpdate(d.Sub, Update{Delta: &d})
	case "":
		l.takeAnswer(f)
	}
	return nil
}

func (l *link) takeHello(f frame) error {
	if err := json.Unmarshal(f.Params, &l.hello); err != nil {
		return err
	}
	channel, err := hex.DecodeString(l.hello.Channel)
	if err != nil || copy(l.channel[:], channel) != len(l.channel) {
		return errors.New("the server's hello names no channel")
	}
	select {
	case <-l.greeted:
		return errors.New("the server said hello twice")
	default:
		close(l.greeted)
	}
	return nil
}

func (l *link) takeAnswer(f frame) {
	l.mu.Lock()
	p := l.pending[string(f.ID)]
	delete(l.pending, string(f.ID))
	l.mu.Unlock()
	if p == nil {
		return // nobody waits any more
	}
	a := answer{result: f.Result}
	if f.Error != nil {
		a.err = f.Error
	} else if p.first != nil {
		a.err = p.first(f.Result)
	}
	p.answer <- a
}

// failPending tells everybody that the socket is gone, in words that say what to do.
func (l *link) failPending(err error) {
	out := wire.Errorf(wire.CodeDown, "The connection was lost.")
	if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
		switch ce.Code {
		case wire.CloseRevoked:
			out = wire.Errorf(wire.CodeRevoked, "Your session was revoked. Sign in again.")
		case wire.CloseUnauthorized:
			out = wire.Errorf(wire.CodeExpired, "Your session has ended. Sign in again.")
		case websocket.CloseMessageTooBig:
			out = wire.Errorf(wire.CodeParams, "The request is larger than the server takes.")
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = out
	for _, p := range l.pending {
		p.answer <- answer{err: out}
	}
	clear(l.pending)
}

// callAndWait sends a request and waits for its answer. result may be nil.
func (l *link) callAndWait(
	ctx context.Context, method string, params, result any, by *signer, first func(json.RawMessage) error,
) error {
	if by != nil {
		l.acting.Lock()
		defer l.acting.Unlock()
	}
	p := &pending{answer: make(chan answer, 1), first: first}
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return l.err
	}
	l.ids++
	id := strconv.FormatUint(l.ids, 10)
	l.pending[id] = p
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.pending, id)
		l.mu.Unlock()
	}()
	if err := l.sendRequest(id, method, params, by); err != nil {
		return err
	}
	var a answer
	select {
	case a = <-p.answer:
	case <-ctx.Done():
		return ctx.Err()
	}
	if e, ok := errors.AsType[*wire.Error](a.err); ok && by != nil {
		l.correctSeq(e)
	}
	if a.err != nil || result == nil {
		return a.err
	}
	if err := json.Unmarshal(a.result, result); err != nil {
		return fmt.Errorf("read the answer to %s: %w", method, err)
	}
	return nil
}

// correctSeq sets the count of signed requests after one was refused. acting is held.
func (l *link) correctSeq(e *wire.Error) {
	switch {
	case e.Data.Expected > 0: // after a call that was given up
		l.seq = e.Data.Expected - 1
	case e.Data.Code == wire.CodeRate: // refused unread
		l.seq--
	}
}

// sendRequest writes a request. Nobody need wait for its answer. If it is signed, acting is held.
func (l *link) sendRequest(id, method string, params any, by *signer) error {
	raw, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("write %s: %w", method, err)
	}
	req := wire.Request{JSONRPC: "2.0", ID: json.RawMessage(id), Method: method, Params: raw}
	if by != nil {
		f := auth.Frame{Session: by.session, Channel: l.channel, Seq: l.seq + 1, Method: method, Params: raw}
		sig, err := by.key.SignFrame(f)
		if err != nil {
			return fmt.Errorf("sign %s: %w", method, err)
		}
		l.seq++
		req.Auth = &wire.Auth{Seq: l.seq, Sig: sig}
	}
	data, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("write %s: %w", method, err)
	}
	if len(data) > wire.MaxFrame {
		return wire.Errorf(wire.CodeParams, "The request has %d bytes; at most %d can be sent.", len(data), wire.MaxFrame)
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if err = l.ws.SetWriteDeadline(time.Now().Add(30 * time.Second)); err == nil {
		err = l.ws.WriteMessage(websocket.TextMessage, data)
	}
	if err != nil {
		l.ws.Close()
		return wire.Errorf(wire.CodeDown, "The connection was lost.")
	}
	return nil
}
