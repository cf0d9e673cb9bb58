package door

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/knownsig"
)

// errForeignKey refuses a key of another server, or one whose session is long gone.
var errForeignKey = wire.Errorf(wire.CodeSignature, "The API key is not one of this server; writ key new makes one.")

// A visitor is one request's caller: its session is open on a channel of its own, as on a socket that lives as long as
// the request.
type visitor struct {
	api     *api.API
	caller  *api.Caller
	key     Key
	seq     uint64
	session wire.Session

	frame auth.Frame // of a signed request, in the place of a key
	sig   []byte
}

// enter opens the key's session for one request, which costs as the method does. leave must be called.
func (d *Door) enter(ctx context.Context, key Key, method string) (*visitor, error) {
	v := &visitor{api: d.cfg.API, key: key}
	from := api.Transport{Private: true, Streams: true}
	if admit := d.cfg.Admit; admit != nil {
		from.Admit = func(of journal.Session) error { return admit(of, method) }
	}
	v.caller = d.cfg.API.NewCaller(from)
	opened, refused := v.caller.Enter(ctx, key.Session, key.Secret)
	if refused != nil {
		v.leave()
		if refused.Data.Code == wire.CodeNotFound {
			return nil, errForeignKey
		}
		return nil, refused
	}
	v.session = opened
	return v, nil
}

func (v *visitor) leave() { v.caller.Leave() }

// call performs one call of the protocol, signed by the key's session key if it must be. Without a key it follows from
// the signed request.
func (v *visitor) call(ctx context.Context, method string, params any, signed bool) api.Answer {
	raw, err := json.Marshal(params)
	if err != nil {
		return api.Answer{Error: wire.Errorf(wire.CodeInternal, "Something went wrong on our side.")}
	}
	req := wire.Request{JSONRPC: "2.0", ID: json.RawMessage("1"), Method: method, Params: raw}
	begin := v.api.Begin
	switch {
	case signed && v.frame.Method != "":
		begin = v.api.BeginFor
	case signed:
		v.seq++
		session := v.key.Session
		sig, err := knownsig.Sign(auth.Frame{
			Session: session, Channel: v.caller.Channel(), Seq: v.seq, Method: method, Params: raw,
		}, v.key.Secret)
		if err != nil {
			return api.Answer{Error: wire.Errorf(wire.CodeInternal, "Something went wrong on our side.")}
		}
		req.Auth = &wire.Auth{Seq: v.seq, Sig: sig}
	}
	call, refusal := begin(ctx, v.caller, req)
	if refusal != nil {
		return *refusal
	}
	return call.Run(ctx)
}

// A turn is one run that answers one request.
type turn struct {
	v      *visitor
	run    string
	stream *api.Stream
	shows  bool // what is written is shown at once, and cannot be taken back
	keyed  bool // who asks gave an idempotency key, by which the run is found again

	tellPlace func(place uint64) error // in the queue of its model; nil where nobody is told

	open     []clientCall      // of the client's, that wait for it
	others   map[wire.Ref]bool // effects that are open
	reported map[wire.Ref]bool // calls whose results were handed in and have not come by
}

// An ending is how a turn came out, in the words of no dialect.
type ending struct {
	Run    string `json:"run"`    // its CID
	Last   string `json:"cid"`    // of its newest step
	Reason string `json:"reason"` // why it closed, or "waiting" for the wallet
	Code   string `json:"code,omitempty"`
	Cost   int64  `json:"cost_nano"`

	text   string
	said   string       // by the model in its last reply
	calls  []clientCall // that the client is to make
	in     uint64
	out    uint64
	retry  bool
	waitMS int64
}

// startTurn starts a run of the session's agent and subscribes to it. The same idempotency key with the same text is
// the same run.
func (v *visitor) startTurn(ctx context.Context, r *foreign.Request, idempotency string) (*turn, error) {
	key := rand.Text()
	if idempotency != "" { // any text of a client, as one that the protocol takes
		sum := sha256.Sum256([]byte(idempotency))
		key = hex.EncodeToString(sum[:16])
	}
	params, err := r.Start(v.session.Agent, key)
	if err != nil {
		return nil, err
	}
	for i, f := range r.Files {
		if _, err := v.put(ctx, f, r.Data[i]); err != nil {
			return nil, err
		}
	}
	a := v.call(ctx, wire.RunStart, params, true)
	if a.Error != nil {
		return nil, a.Error
	}
	started, ok := a.Result.(wire.Started)
	if !ok {
		return nil, wire.Errorf(wire.CodeInternal, "Something went wrong on our side.")
	}
	t := &turn{v: v, run: started.Run, keyed: idempotency != ""}
	return t, t.attend(ctx)
}

// beginTurn starts a run, or goes on with the one whose calls the client has made.
func (v *visitor) beginTurn(ctx context.Context, r *foreign.Request, idempotency string) (*turn, error) {
	if len(r.Reports) > 0 {
		return v.continueTurn(ctx, r.Reports, idempotency != "")
	}
	if err := v.resolve(ctx, r); err != nil {
		return nil, err
	}
	return v.startTurn(ctx, r, idempotency)
}

// attend is subscribe for who has the run done: it is left if its events cannot be told.
func (t *turn) attend(ctx context.Context) error {
	err := t.subscribe(ctx)
	if err != nil {
		t.leave(ctx)
	}
	return err
}

// subscribe has the run's events told from its first on.
func (t *turn) subscribe(ctx context.Context) error {
	sub := t.v.call(ctx, wire.RunSubscribe, wire.SubscribeParams{Run: t.run}, false)
	if sub.Error != nil {
		return sub.Error
	}
	t.stream = sub.Stream
	return nil
}

// follow hands text to show as it is written, and returns how the turn ended: when the run closed, or when it waits
// for the wallet, which may take hours. If ctx ends before, or what is shown is not taken, the run is left.
func (t *turn) follow(ctx context.Context, show func(text string) error) (ending, error) {
	defer t.stream.Close()
	e := ending{Run: t.run}
	shown := ""
	for {
		u, err := t.stream.Next(ctx)
		if ctx.Err() != nil {
			t.leave(ctx)
			return e, ctx.Err()
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return e, wire.Errorf(wire.CodeInternal,
					"The run's events ended before it did; look at it: writ runs show %s.", t.run)
			}
			return e, err
		}
		switch {
		case u.Delta != nil && u.Delta.Text == "": // it waits in the queue of its model
			if t.tellPlace == nil || u.Delta.Place == 0 {
				continue
			}
			if err := t.tellPlace(u.Delta.Place); err != nil {
				t.leave(ctx)
				return e, err
			}
		case u.Delta != nil:
			shown += u.Delta.Text
			if err := show(u.Delta.Text); err != nil {
				t.leave(ctx)
				return e, err
			}
		case u.Event != nil:
			waits := t.takeOpen(u.Event)
			if len(t.reported) > 0 { // it was told before what was handed in
				continue
			}
			done := e.takeEvent(u.Event)
			if waits && !done {
				e.Reason, e.calls, e.text, done = "tools", t.open, e.said, true
			}
			if !done {
				if u.Event.Event.Restart && t.shows && shown != "" {
					t.leave(ctx)
					return e, wire.Errorf(wire.CodeOverload,
						"The answer broke off, and what comes next would not belong to it. Ask again.")
				}
				if u.Event.Event.Kind == "reply" { // a next answer is another one
					shown = ""
				}
				continue
			}
			rest, again := strings.CutPrefix(e.text, shown)
			if !again { // what was shown is not what was decided
				rest = "\n\n" + e.text
			}
			if rest != "" {
				return e, show(rest)
			}
			return e, nil
		}
	}
}

// leave ends the run of somebody who has gone, unless it can be asked for again by its key, or somebody else follows
// it.
func (t *turn) leave(ctx context.Context) {
	if t.stream != nil {
		t.stream.Close() // before others are looked for: of two who go at once, the second ends the run
	}
	if !t.keyed && !t.v.api.IsFollowed(t.run) {
		t.cancel(ctx)
	}
}

// cancel ends the run, also if ctx has ended. What it costs is settled as for any run.
func (t *turn) cancel(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	t.v.call(ctx, wire.RunCancel, wire.RunParams{Run: t.run}, true)
}

// takeEvent notes what an event says, and reports whether the turn is over.
func (e *ending) takeEvent(ev *wire.RunEvent) bool {
	e.Last = ev.CID
	if m := ev.Event.Model; m != nil {
		e.in, e.out, e.Cost, e.said = e.in+m.In, e.out+m.Out, e.Cost+m.Cost, ev.Event.Text
	}
	for _, d := range ev.Does {
		switch d.Kind {
		case "say":
			e.text = d.Text
		case "seek":
			var s struct {
				Text string `json:"text"`
			}
			_ = json.Unmarshal(d.Summary, &s) // a summary without a text is told without it
			e.Reason = "waiting"
			e.text = "This waits for the wallet's approval: " + s.Text + ". Approve or refuse it with: writ approve " + e.Run
		case "close":
			e.Reason, e.Code, e.retry, e.waitMS = d.Reason, d.Code, d.Retryable, d.RetryAfterMS
		}
	}
	return e.Reason != ""
}

// isAnswer reports whether the turn ended with something to say to the user, and not with a failure.
func (e *ending) isAnswer() bool {
	switch e.Reason {
	case "answered", "denied", "waiting", "truncated", "declined", "tools":
		return true
	}
	return false
}
