// Package door lets programs in that know nothing of this protocol. Those that speak to a model provider speak to an
// agent instead: the requests of OpenAI's Chat
// Completions and Responses and of Anthropic's Messages, under /v1/. The model that they name is an agent, and their
// API key is a [Key]. What they ask is a run like any other, under the same rules, limits and records; its CID is in
// the answer's header x-writ-run.
//
// A request without a key of this kind is refused, as is everything that would change what is meant and is not taken
// here (several answers, files by their addresses, tools of the provider). Settings of sampling are the operator's:
// those that a client sends are named in the header x-writ-ignored.
package door

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth/httpsig"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/provenance"
)

// Config says what a [Door] is made of.
type Config struct {
	API *api.API     // required
	Log *slog.Logger // logs nothing if nil
	// Admit is asked before a key's session is used for a method, and may refuse; nobody is refused if it is nil.
	Admit func(of journal.Session, method string) error

	Version string // of the program, which clients of the Model Context Protocol are told
	Page    string // the address of the server's page, for links; there are none if empty
	// Scheme is how clients call the server, http or https; http if empty. Nonces remember signed requests; none is taken
	// if it is nil.
	Scheme string
	Nonces Nonces
	// Judge verifies a run's record; nothing is verified if it is nil.
	Judge func(ctx context.Context, run cid.Cid) (*provenance.Report, error)
	// CardKey is the operator's Ed25519 key, which signs what the Agent2Agent protocol tells of the agents; that is not
	// signed if it is nil.
	CardKey crypto.Signer
}

// A Door serves the dialects. Its methods may be called by many goroutines at once.
type Door struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	judging map[string]bool // guarded by mu: the wallets of which a run is being verified
}

// New returns a Door.
func New(cfg Config) (*Door, error) {
	if cfg.API == nil {
		return nil, errors.New("door: API is missing")
	}
	if cfg.CardKey != nil {
		if _, ok := cfg.CardKey.Public().(ed25519.PublicKey); !ok {
			return nil, errors.New("door: CardKey is no Ed25519 key")
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Door{cfg: cfg, log: cfg.Log, judging: map[string]bool{}}, nil
}

// Handler serves /v1/, /mcp, /a2a and the card at /.well-known/agent-card.json.
func (d *Door) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", d.listModels)
	mux.HandleFunc("GET /v1/models/{model...}", d.getModel)
	mux.HandleFunc("POST /v1/chat/completions", d.serve(chat{}))
	mux.HandleFunc("POST /v1/responses", d.serve(responses{}))
	mux.HandleFunc("POST /v1/messages", d.serve(messages{}))
	mux.HandleFunc("PUT /v1/blobs/{cid}", d.putBlob)
	mux.HandleFunc("POST /v1/sessions/{session}/{method}", d.serveSigned)
	mux.Handle("/mcp", d.newMCP())
	d.addAgentRoutes(mux)
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		writeFailure(w, dialectOf(r.URL.Path), failure{http.StatusNotFound, "invalid_request_error", "not_found",
			"There is nothing at " + r.URL.Path +
				"; there are /v1/models, /v1/chat/completions, /v1/responses and /v1/messages.", 0})
	})
	return requireJSON(mux)
}

// A dialect reads requests and writes answers of one provider's form.
type dialect interface {
	// form is how its requests are read.
	form() foreign.Form
	// writeWhole writes an answer that is not streamed.
	writeWhole(r *foreign.Request, e ending) any
	// newStream returns what writes a streamed answer.
	newStream(w *eventWriter, r *foreign.Request, run string) streamer
	// describe turns a failure into the body of an error.
	describe(f failure) any
}

// A streamer writes one answer as events.
type streamer interface {
	open() error
	text(s string) error
	close(e ending) error
	fail(f failure) error
}

// A failure is an error as clients of the dialects know them.
type failure struct {
	status  int
	kind    string // OpenAI's "type"
	code    string
	message string
	waitMS  int64
}

// Bounds of a request's body, in bytes: maxLarge of one that says how long it is, whose key is looked at first, so that
// it may have images; maxBody of any other.
const (
	maxBody  = 256 << 10
	maxLarge = 12 << 20
)

var (
	errTooLarge       = errors.New("a body is larger than is taken")
	errSignedTooLarge = fmt.Errorf("signed: %w", errTooLarge)
)

// serve answers requests of one dialect.
func (d *Door) serve(dia dialect) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := d.answer(w, r, dia); err != nil {
			writeFailure(w, dia, failureOf(err))
		}
	}
}

// answer performs one request. An error is returned only while nothing was written.
func (d *Door) answer(w http.ResponseWriter, r *http.Request, dia dialect) error {
	v, body, idempotency, err := d.takeBody(w, r, dia.form())
	if err != nil {
		return err
	}
	defer v.leave()
	read := foreign.Read
	if v.frame.Method != "" {
		read = foreign.ReadSigned
	}
	req, err := read(dia.form(), body)
	if err != nil {
		return err
	}
	if err := v.checkModel(req); err != nil {
		return err
	}
	t, err := v.beginTurn(r.Context(), req, idempotency)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("X-Writ-Run", t.run)
	h.Set("Cache-Control", "no-store")
	if len(req.Ignored) > 0 {
		h.Set("X-Writ-Ignored", strings.Join(req.Ignored, ", "))
	}
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(time.Time{}); err != nil { // a run has a time of its own
		d.log.DebugContext(r.Context(), "no deadline", "err", err)
	}
	if req.Stream {
		d.streamTurn(r.Context(), w, dia, req, t)
		return nil
	}
	e, err := t.follow(r.Context(), func(string) error { return nil })
	if err != nil {
		return err
	}
	h.Set("X-Writ-Cid", e.Last)
	if !e.isAnswer() {
		return endedError(e)
	}
	e.answerByCall(req)
	writeJSON(w, http.StatusOK, dia.writeWhole(req, e))
	return nil
}

// takeBody reads a request's body within its bound, and opens the session of who asks: by the key that is shown, or of
// the signed request. leave must be called.
func (d *Door) takeBody(w http.ResponseWriter, r *http.Request, form foreign.Form) (
	v *visitor, body []byte, idempotency string, err error,
) {
	if httpsig.IsSigned(r.Header) {
		return d.enterSigned(w, r, form)
	}
	key, err := keyOf(r.Header)
	if err != nil {
		return nil, nil, "", err
	}
	limit := int64(maxBody)
	if r.ContentLength > maxBody { // who may send so much is looked at first
		if v, err = d.enter(r.Context(), key, wire.RunStart); err != nil {
			return nil, nil, "", err
		}
		limit = maxLarge
	}
	body, err = readBody(w, r, limit)
	if v == nil && err == nil {
		v, err = d.enter(r.Context(), key, wire.RunStart)
	}
	if err != nil && v != nil {
		v.leave()
	}
	return v, body, r.Header.Get("Idempotency-Key"), err
}

// streamTurn writes a turn as events. What goes wrong after the first of them is an event too.
func (d *Door) streamTurn(ctx context.Context, w http.ResponseWriter, dia dialect, req *foreign.Request, t *turn) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Trailer", "X-Writ-Cid") // it is known when the run has ended
	w.WriteHeader(http.StatusOK)
	events := &eventWriter{w: w, control: http.NewResponseController(w)}
	t.tellPlace = events.writePlace
	s := dia.newStream(events, req, t.run)
	err := s.open()
	var e ending
	if err == nil {
		e, err = t.showTurn(ctx, req, s)
	} else {
		t.leave(ctx)
	}
	if e.Last != "" {
		w.Header().Set("X-Writ-Cid", e.Last)
	}
	switch {
	case ctx.Err() != nil: // nobody is there to be told
	case err != nil:
		err = s.fail(failureOf(err))
	case !e.isAnswer():
		err = s.fail(failureOf(endedError(e)))
	default:
		err = s.close(e)
	}
	if err != nil && ctx.Err() == nil {
		d.log.DebugContext(ctx, "answer not written", "run", t.run, "err", err)
	}
}

// showTurn follows a turn and shows what is said as it is written; an answer that is a call, once it is whole.
func (t *turn) showTurn(ctx context.Context, req *foreign.Request, s streamer) (ending, error) {
	if t.shows = req.Forced == ""; t.shows {
		return t.follow(ctx, s.text)
	}
	e, err := t.follow(ctx, func(string) error { return nil })
	if err != nil || !e.isAnswer() {
		return e, err
	}
	if e.answerByCall(req); e.text != "" {
		err = s.text(e.text)
	}
	return e, err
}

// keyOf reads the key that a request shows, in the header that its dialect has for it.
func keyOf(h http.Header) (Key, error) {
	text, bearer := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	if !bearer {
		text = h.Get("X-Api-Key")
	}
	if text == "" {
		return Key{}, wire.Errorf(wire.CodeNoSession, "Show an API key; writ key new makes one.")
	}
	key, err := ParseKey(text)
	if err != nil {
		return Key{}, errForeignKey
	}
	return key, nil
}

// readBody reads a request's body within its bound.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, wire.Errorf(wire.CodeParams, "The body did not come whole.")
	}
	return data, nil
}

// checkModel refuses other models than the session's agent.
func (v *visitor) checkModel(r *foreign.Request) error {
	if r.Agent() == v.session.Agent {
		return nil
	}
	return wire.Errorf(wire.CodeNotFound, "This key is for the agent %s; name it as the model.", v.session.Agent)
}

// failureOf is an error as clients of the dialects are told it.
func failureOf(err error) failure {
	e, ok := errors.AsType[*wire.Error](err)
	switch {
	case errors.Is(err, errSignedTooLarge):
		return failure{http.StatusRequestEntityTooLarge, "invalid_request_error", "request_too_large",
			fmt.Sprintf("A signed body has at most %d KiB, since it is recorded as it is.", maxBody>>10), 0}
	case errors.Is(err, errTooLarge):
		return failure{http.StatusRequestEntityTooLarge, "invalid_request_error", "request_too_large",
			fmt.Sprintf("The body is larger than is taken: %d KiB, or %d MiB if it says its length.",
				maxBody>>10, maxLarge>>20), 0}
	case !ok:
		return failure{
			http.StatusInternalServerError, "api_error", string(wire.CodeInternal), "Something went wrong on our side.", 0,
		}
	}
	f := failure{http.StatusBadRequest, "invalid_request_error", string(e.Data.Code), e.Message, e.Data.RetryAfterMS}
	switch e.Data.Code {
	case wire.CodeNoSession, wire.CodeSignature, wire.CodeUnsigned, wire.CodeExpired, wire.CodeRevoked:
		f.status, f.kind, f.code = http.StatusUnauthorized, "authentication_error", "invalid_api_key"
	case wire.CodeForbidden, wire.CodeDenied, wire.CodeElsewhere:
		f.status, f.kind = http.StatusForbidden, "permission_error"
	case wire.CodeNotFound:
		f.status, f.kind, f.code = http.StatusNotFound, "not_found_error", "model_not_found"
	case wire.CodeRate, wire.CodeTooMany, wire.CodeQuota:
		f.status, f.kind = http.StatusTooManyRequests, "rate_limit_error"
	case wire.CodeBudget:
		f.status, f.kind, f.code = http.StatusTooManyRequests, "insufficient_quota", "insufficient_quota"
	case wire.CodeConflict:
		f.status = http.StatusConflict
	case wire.CodeOverload, wire.CodeFenced, wire.CodeChain:
		f.status, f.kind = http.StatusServiceUnavailable, "overloaded_error"
	case wire.CodeInternal, wire.CodeDamaged, wire.CodeRules, wire.CodeUnknown:
		f.status, f.kind = http.StatusInternalServerError, "api_error"
	}
	return f
}

// endedError is the error of a turn that ended without an answer.
func endedError(e ending) error {
	code, text := wire.CodeInternal, "The run failed"
	switch e.Reason {
	case "limit":
		code, text = wire.CodeBudget, "A limit of this key is reached"
	case "revoked":
		code, text = wire.CodeRevoked, "The key was revoked"
	case "timeout":
		code, text = wire.CodeOverload, "The run took longer than it may"
	case "cancelled":
		code, text = wire.CodeConflict, "The run was cancelled"
	case "failed":
		switch {
		case e.Code == "model.form": // its text says what is wrong
			code, text = wire.CodeParams, strings.TrimSuffix(e.text, ".")
		case e.retry:
			code = wire.CodeOverload
		}
	}
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	out := wire.Errorf(code, "%s; writ runs show %s tells more.", text, e.Run)
	out.Data.RetryAfterMS = e.waitMS
	return out
}

// writeFailure writes an error in the dialect's form.
func writeFailure(w http.ResponseWriter, dia dialect, f failure) {
	f.setWait(w.Header())
	writeJSON(w, f.status, dia.describe(f))
}

// setWait says when to come again.
func (f failure) setWait(h http.Header) {
	if f.status == http.StatusTooManyRequests || f.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.FormatInt(f.waitMS/1000+1, 10))
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := strictjson.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":{"message":"Something went wrong on our side."}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // whether it arrives only the client can know
}

// patience is how long a client may take nothing.
const patience = 30 * time.Second

// An eventWriter writes server-sent events, each at once.
type eventWriter struct {
	w       io.Writer
	control *http.ResponseController
}

// writeEvent writes one event; name may be empty.
func (e *eventWriter) writeEvent(name string, v any) error {
	data, err := strictjson.Marshal(v)
	if err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	return e.writeRaw(name, string(data))
}

func (e *eventWriter) writeRaw(name, data string) error {
	if name != "" {
		name = "event: " + name + "\n"
	}
	return e.writeLines(name + "data: " + data)
}

// writePlace says which place in the queue of its model the request has, in a comment, which every client passes over.
func (e *eventWriter) writePlace(place uint64) error {
	return e.writeLines(fmt.Sprintf(": place %d in the queue of the model", place))
}

func (e *eventWriter) writeLines(lines string) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	if _, err := io.WriteString(e.w, lines+"\n\n"); err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	return e.control.Flush()
}
