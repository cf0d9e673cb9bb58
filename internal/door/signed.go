package door

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/auth/httpsig"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/journal"
)

// Nonces remember which signed requests were taken, for all nodes and over restarts.
type Nonces interface {
	// PutNonce remembers a nonce until it expires. It returns auth.ErrNonce for one that it remembers, and
	// journal.ErrFull if it can remember no more.
	PutNonce(ctx context.Context, nonce string, data []byte, expires time.Time) error
}

// Bounds of a signed request's time.
const (
	maxSignedLife = auth.NonceLife // from its making to its end
	maxAhead      = 30 * time.Second
)

// serveSigned performs a method for who signs each request by itself (ERC-8128) and shows no key: the body is the
// method's params as the protocol has them, and the signed request is what is recorded.
func (d *Door) serveSigned(w http.ResponseWriter, r *http.Request) {
	if err := d.answerSigned(w, r); err != nil {
		writeFailure(w, chat{}, failureOf(err))
	}
}

func (d *Door) answerSigned(w http.ResponseWriter, r *http.Request) error {
	method := r.PathValue("method")
	session, err := cid.Decode(r.PathValue("session"))
	switch {
	case method != wire.RunStart && method != wire.RunCancel:
		return wire.Errorf(wire.CodeNotFound, "Only run.start and run.cancel are signed as HTTP requests.")
	case err != nil || session.String() != r.PathValue("session"):
		return wire.Errorf(wire.CodeParams, "The path names no session; it is /v1/sessions/SESSION/%s.", method)
	}
	body, s, err := d.readSigned(w, r)
	if err != nil {
		return err
	}
	v, err := d.seatSigner(r.Context(), session, method, body, s)
	if err != nil {
		return err
	}
	defer v.leave()
	call, refused := d.cfg.API.Begin(r.Context(), v.caller, wire.Request{
		JSONRPC: "2.0", ID: json.RawMessage("1"), Method: method, Params: body,
		Auth: &wire.Auth{Seq: v.frame.Seq, Sig: v.sig},
	})
	if refused != nil {
		return refused.Error
	}
	a := call.Run(r.Context())
	if a.Error != nil {
		return a.Error
	}
	w.Header().Set("Cache-Control", "no-store")
	started, ok := a.Result.(wire.Started)
	if !ok {
		writeJSON(w, http.StatusOK, a.Result)
		return nil
	}
	return d.followSigned(w, r, v, started.Run)
}

// enterSigned opens the session of a body in a dialect's form that its sender has signed, and returns the body with
// the idempotency key that was signed, if one was. The session stands in a header, since the path has no room for it.
func (d *Door) enterSigned(w http.ResponseWriter, r *http.Request, form foreign.Form) (
	v *visitor, body []byte, key string, err error,
) {
	body, s, err := d.readSigned(w, r)
	if err != nil {
		return nil, nil, "", err
	}
	named := s.Values[httpsig.Session]
	session, err := cid.Decode(named)
	if err != nil || session.String() != named {
		return nil, nil, "", wire.Errorf(wire.CodeParams,
			"The signed request names no session: send it in the header X-Writ-Session, and sign %q too.", httpsig.Session)
	}
	v, err = d.seatSigner(r.Context(), session, string(form), body, s)
	return v, body, s.Values[httpsig.Key], err
}

// seatSigner opens the session of who signed a request, which is taken once. leave must be called.
func (d *Door) seatSigner(
	ctx context.Context, session cid.Cid, method string, body []byte, s *httpsig.Signed,
) (*visitor, error) {
	v := &visitor{api: d.cfg.API}
	v.frame, v.sig = auth.HTTPFrame(session, method, body, s)
	from := api.Transport{Private: true, Streams: true, Channel: v.frame.Channel}
	if admit := d.cfg.Admit; admit != nil {
		if foreign.IsForm(method) {
			method = wire.RunStart
		}
		from.Admit = func(of journal.Session) error { return admit(of, method) }
	}
	v.caller = d.cfg.API.NewCaller(from)
	opened, refusal := d.cfg.API.SeatSigner(ctx, v.caller, v.frame, v.sig)
	if refusal != nil {
		v.leave()
		return nil, refusal
	}
	v.session = opened
	if err := d.takeNonce(ctx, s); err != nil { // only now: who cannot sign must not use up a nonce
		v.leave()
		return nil, err
	}
	return v, nil
}

// followSigned answers with how the run ended. It goes on without a client that goes away, which gave an idempotency
// key and ends it by run.cancel.
func (d *Door) followSigned(w http.ResponseWriter, r *http.Request, v *visitor, run string) error {
	t := &turn{v: v, run: run, keyed: true}
	if err := t.attend(r.Context()); err != nil {
		return err
	}
	w.Header().Set("X-Writ-Run", run)
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil { // a run has a time of its own
		d.log.DebugContext(r.Context(), "no deadline", "err", err)
	}
	e, err := t.follow(r.Context(), func(string) error { return nil })
	if err != nil {
		return err
	}
	w.Header().Set("X-Writ-Cid", e.Last)
	if !e.isAnswer() {
		return endedError(e)
	}
	writeJSON(w, http.StatusOK, struct {
		ending
		Text string `json:"text"`
	}{e, e.text})
	return nil
}

// readSigned reads a request's body and its signature, and holds that to the clock.
func (d *Door) readSigned(w http.ResponseWriter, r *http.Request) ([]byte, *httpsig.Signed, error) {
	refuse := func(reason, format string, args ...any) ([]byte, *httpsig.Signed, error) {
		e := wire.Errorf(wire.CodeSignature, format, args...)
		e.Data.Reason = reason
		return nil, nil, e
	}
	if len(r.Header["Authorization"])+len(r.Header["X-Api-Key"]) > 0 {
		return nil, nil, wire.Errorf(wire.CodeParams, "The request shows a key and is signed; do one of them.")
	}
	body, err := readBody(w, r, maxBody)
	if errors.Is(err, errTooLarge) {
		return nil, nil, errSignedTooLarge
	}
	if err != nil {
		return nil, nil, err
	}
	if !httpsig.IsSigned(r.Header) {
		return nil, nil, wire.Errorf(wire.CodeUnsigned,
			"Sign the request with the session's key, as ERC-8128 has it; see /docs/front-door.")
	}
	scheme := d.cfg.Scheme
	if scheme == "" {
		scheme = "http"
	}
	s, err := httpsig.Read(httpsig.Request{
		Method: r.Method, Scheme: scheme, Authority: authorityOf(scheme, r.Host), Path: r.URL.EscapedPath(),
		Query: r.URL.RawQuery, Header: r.Header, Body: body,
	})
	if err != nil {
		return refuse("http.form", "The signed request cannot be taken: %v.", err)
	}
	now, created, expires := time.Now(), time.Unix(s.Created, 0), time.Unix(s.Expires, 0)
	switch {
	case expires.Sub(created) > maxSignedLife:
		return refuse("http.life", "The signature is good for longer than %d seconds; let it expire sooner.",
			int(maxSignedLife/time.Second))
	case created.After(now.Add(maxAhead)):
		return refuse("http.early", "The signature is of a time to come; set the client's clock.")
	case now.After(expires):
		return refuse("http.late", "The signature has expired; sign the request again.")
	}
	return body, s, nil
}

// authorityOf returns how a client calls the server, in small letters and without the port that is the scheme's own.
func authorityOf(scheme, host string) string {
	host = strings.ToLower(host)
	name, port, err := net.SplitHostPort(host)
	if err == nil && (scheme == "http" && port == "80" || scheme == "https" && port == "443") {
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		return name
	}
	return host
}

// takeNonce takes a signature's nonce, or refuses one that was taken.
func (d *Door) takeNonce(ctx context.Context, s *httpsig.Signed) error {
	if d.cfg.Nonces == nil {
		return wire.Errorf(wire.CodeOverload, "This server takes no signed requests.")
	}
	// A hash, so that a nonce of any length has room and none is like one of a sign-in.
	sum := auth.HTTPNonce(s)
	switch err := d.cfg.Nonces.PutNonce(ctx, sum, nil, time.Unix(s.Expires, 0)); {
	case errors.Is(err, auth.ErrNonce):
		e := wire.Errorf(wire.CodeSignature, "This signed request was taken before; sign a new one, with another nonce.")
		e.Data.Reason = "http.replayed"
		return e
	case err != nil:
		d.log.WarnContext(ctx, "a signed request's nonce cannot be remembered", "err", err)
		return wire.Errorf(wire.CodeOverload, "The server cannot remember more signed requests now; try again later.")
	}
	return nil
}
