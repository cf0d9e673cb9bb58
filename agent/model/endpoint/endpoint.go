// Package endpoint asks a provider's HTTP endpoint and keeps the exact bytes of both directions.
//
// It is the one way in which bytes go to models and come from them, whatever dialect they are in: an adapter, such as
// package openai or anthropic, makes the body of a request, and [Endpoint.Ask] sends it once. Nothing is tried again,
// since retrying and falling back are the router's business; the deadlines are its own; no redirect is followed, so
// that a prompt stays where it was sent. Headers, and with them the key, are never kept.
//
// An answer is whole or it is a [*fault.Fault]: a stream that ends early, carries an error after its status 200,
// stalls, sends nothing but signs of life or breaks off inside a tool call gives no Reply. What is said to have
// failed, and whose it is, is classified here and nowhere else.
package endpoint

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/agent/model/preset"
	"github.com/writ-run/writ/internal/fault"
)

// Config says where a model answers, what it costs, and how long it may take.
type Config struct {
	BaseURL string // required: up to and with "/v1", e.g. "http://127.0.0.1:11434/v1"
	Path    string // required: of the endpoint below BaseURL, e.g. "chat/completions"
	Dialect string // required: how its answers are read, as package dialect has it
	Model   string // required: the model's name at the provider
	Name    string // what routes call it; Model if empty
	Key     string // API key; none if empty. Sent over https, or to this machine, only.
	// KeyHeader is the header that carries the key by itself; a bearer token in Authorization if empty.
	KeyHeader string
	Header    http.Header // sent with each request, such as the API's version
	Provider  string      // who answers, for the record; the base URL's host if empty

	Schemas string // when it takes a JSON Schema of the answer, as package preset has it; never if empty

	Price     Price
	MaxTokens int64 // upper bound of a reply; 1024 if 0
	Window    int64 // tokens that fit into a prompt and its reply; 0 if that is not known
	Images    bool  // it reads images

	FirstToken time.Duration // to the first content or tool-call chunk; 60 s if 0
	Stall      time.Duration // between two chunks that bear content; 30 s if 0
	MaxBytes   int64         // of a response; 4 MiB if 0

	Transport http.RoundTripper // one like http.DefaultTransport if nil
	Now       func() time.Time  // time.Now if nil
}

// A Price is in nano-USD for 1,000,000 tokens, as in [model.Info].
type Price struct{ In, Out, Cached, Write5m, Write1h int64 }

// An Endpoint answers for one model. It may be used by many goroutines at once.
type Endpoint struct {
	cfg    Config
	info   model.Info
	client *http.Client
	url    string
	host   string
}

// New returns an Endpoint, or an error that names the first field that is wrong. Nothing is connected yet.
func New(c Config) (*Endpoint, error) {
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("model URL: it must look like http://127.0.0.1:11434/v1")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("model URL: no user, query or fragment is allowed in it; give the key as a reference")
	case c.Model == "":
		return nil, fmt.Errorf("model at %s: no model name; name one with --model-name", u.Host)
	case c.Key != "" && u.Scheme == "http" && !IsLoopback(u.Hostname()):
		return nil, fmt.Errorf("model at %s: an API key is sent over https only; change the URL", u.Host)
	case c.MaxTokens < 0 || c.MaxBytes < 0 || c.FirstToken < 0 || c.Stall < 0 ||
		min(c.Price.In, c.Price.Out, c.Price.Cached, c.Price.Write5m, c.Price.Write1h) < 0:
		return nil, fmt.Errorf("model at %s: prices and limits must not be negative", u.Host)
	case !dialect.Known(c.Dialect):
		return nil, fmt.Errorf("model at %s: no dialect is called %q", u.Host, c.Dialect)
	}
	c.Name, c.Provider = cmp.Or(c.Name, c.Model), cmp.Or(c.Provider, u.Hostname())
	c.MaxTokens, c.MaxBytes = cmp.Or(c.MaxTokens, 1024), cmp.Or(c.MaxBytes, 4<<20)
	c.FirstToken, c.Stall = cmp.Or(c.FirstToken, time.Minute), cmp.Or(c.Stall, 30*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		c.Transport = newTransport(u.Scheme)
	}
	return &Endpoint{
		cfg: c, host: u.Host, url: strings.TrimRight(c.BaseURL, "/") + "/" + c.Path,
		client: &http.Client{
			Transport:     c.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		info: model.Info{
			Name: c.Name, Kind: model.KindModel, Provider: c.Provider, Model: c.Model, MaxTokens: c.MaxTokens,
			PriceIn: c.Price.In, PriceOut: c.Price.Out, PriceCached: c.Price.Cached,
			PriceWrite5m: c.Price.Write5m, PriceWrite1h: c.Price.Write1h, Dialect: c.Dialect, Window: c.Window,
			Images: c.Images,
		},
	}, nil
}

func newTransport(scheme string) http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // the bytes that are kept are those on the wire
	t.MaxResponseHeaderBytes = 64 << 10
	t.MaxIdleConnsPerHost = 64
	if scheme == "http" {
		t.IdleConnTimeout = localIdle
	}
	return t
}

// localIdle is how long a connection to a server of this machine or network is kept for the next request. Such servers
// close one that is idle, the known ones after 5 s, maybe just when it is used again, and a POST is not repeated.
const localIdle = time.Second

// IsLoopback says whether a host is this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Info says what the model is and what it costs.
func (e *Endpoint) Info() model.Info { return e.info }

// Host is where it is, for sentences.
func (e *Endpoint) Host() string { return e.host }

// Limit returns how long an answer to p may be, in tokens.
func (e *Endpoint) Limit(p model.Prompt) int64 {
	if p.MaxTokens > 0 {
		return min(e.cfg.MaxTokens, p.MaxTokens)
	}
	return e.cfg.MaxTokens
}

// AnswerSchema returns the JSON Schema that a request for p carries by the API's own means; nil if it carries none.
func (e *Endpoint) AnswerSchema(p model.Prompt) json.RawMessage {
	if e.cfg.Schemas == preset.SchemasAlways || e.cfg.Schemas == preset.SchemasAlone && len(p.Tools) == 0 {
		return p.Answer
	}
	return nil
}

// RefusePrompt is the fault of a prompt that cannot be put into a request.
func (e *Endpoint) RefusePrompt(err error) *fault.Fault {
	return &fault.Fault{
		Code: fault.ModelPrompt, Hint: "The prompt cannot be sent to " + e.host + ": " + err.Error() + ".",
	}
}

// Causes of a request's end that are ours.
var (
	errFirst = errors.New("no first token in time")
	errStall = errors.New("the stream stalled")
	errSize  = errors.New("the response is too large")
)

// Ask sends a body, once, and returns the whole answer or a [*fault.Fault]. tools are the names of those that the body
// offers. Each piece of text is given to delta as it comes, if it is not nil; what was given to it is void if Ask
// fails.
func (e *Endpoint) Ask(ctx context.Context, body []byte, tools []string, delta func(text string)) (model.Reply, error) {
	// The request may outlive its caller by what is read of it for the next one's sake.
	asker := ctx
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(asker))
	left := context.AfterFunc(asker, func() { cancel(context.Cause(asker)) })
	x := &exchange{Endpoint: e, begun: e.cfg.Now(), request: body, delta: delta}
	defer func() {
		if x.rest == nil || !left() {
			cancel(nil)
			return
		}
		go endResponse(x.rest, func() { cancel(nil) })
	}()
	x.heard = func() { model.TellFirst(ctx) }
	x.first, x.stall = model.Within(ctx, e.cfg.FirstToken, e.cfg.Stall)
	x.asked = dialect.Question{Model: e.cfg.Model, Tools: tools}
	x.live = dialect.NewStream(e.info.Dialect, x.asked)
	x.watch = time.AfterFunc(x.first, func() { cancel(errFirst) })
	defer x.watch.Stop()
	x.stalls = time.AfterFunc(time.Hour, func() { cancel(errStall) })
	x.stalls.Stop()
	defer x.stalls.Stop()
	if err := context.Cause(asker); err != nil { // what is sent is paid for, and ctx may not have ended yet
		return model.Reply{}, x.explainFailure(asker, err)
	}
	if err := x.ask(ctx); err != nil {
		return model.Reply{}, x.explainFailure(ctx, err)
	}
	reply, err := x.readReply()
	if err != nil {
		return model.Reply{}, err
	}
	reply.TTFT, reply.Request, reply.Response = x.ttft, x.request, x.response.Bytes()
	return reply, nil
}

// An exchange is one request and its response. The exact bodies of both are kept.
type exchange struct {
	*Endpoint
	asked  dialect.Question
	live   dialect.Stream
	events dialect.Events
	delta  func(text string) // nil for nobody
	heard  func()            // is told that the first content has come

	begun         time.Time
	first, stall  time.Duration
	ttft          int64
	watch, stalls *time.Timer

	request  []byte
	response bytes.Buffer
	status   int
	after    time.Duration // of the header Retry-After
	rest     io.ReadCloser // of a response whose answer is whole; nil if there is nothing more to read
}

// ask sends the request and reads the response to its end.
func (x *exchange) ask(ctx context.Context) error {
	res, err := x.send(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if x.rest == nil {
			res.Body.Close()
		}
	}()
	part := make([]byte, 32<<10)
	for !x.isDone() {
		n, err := res.Body.Read(part)
		if int64(x.response.Len()+n) > x.cfg.MaxBytes {
			return errSize
		}
		x.response.Write(part[:n])
		if err := x.events.Feed(part[:n], x.takeEvent); err != nil {
			return asBadStream(err)
		}
		switch {
		case err == io.EOF:
			return asBadStream(x.events.End(x.takeEvent))
		case err != nil && x.live.IsFinished() && !isOver(ctx):
			return nil // the answer is whole; how the connection ends says nothing about it
		case err != nil:
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	x.rest = res.Body
	return nil
}

// Bounds of what is read after an answer: its protocol's own end, which is a few bytes.
const (
	maxEnd  = 4 << 10
	endWait = time.Second
)

// endResponse reads a response whose answer is whole to its end, since only then is its connection good for another
// request. One that does not end is given up.
func endResponse(rest io.ReadCloser, giveUp func()) {
	late := time.AfterFunc(endWait, giveUp)
	defer giveUp()
	defer late.Stop()
	defer rest.Close()
	_, _ = io.CopyN(io.Discard, rest, maxEnd)
}

// send sends the request and returns the response, if its status is 200.
func (x *exchange) send(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.url, bytes.NewReader(x.request))
	if err != nil {
		return nil, err
	}
	for name, values := range x.cfg.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream, application/json")
	req.Header.Set("User-Agent", "writ")
	switch {
	case x.cfg.Key == "":
	case x.cfg.KeyHeader != "":
		req.Header.Set(x.cfg.KeyHeader, x.cfg.Key)
	default:
		req.Header.Set("Authorization", "Bearer "+x.cfg.Key)
	}
	res, err := x.client.Do(req)
	if err != nil {
		return nil, err
	}
	x.status = res.StatusCode
	model.TellLimits(ctx, readLimits(res.Header, x.cfg.Now()))
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	x.after = retryAfter(res.Header, x.cfg.Now())
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // what came of it is enough
	e := dialect.ReadError(body)
	if e.Message == "" && !json.Valid(body) {
		e.Message = string(body)
	}
	e.Status = res.StatusCode
	return nil, e
}

// isDone says whether the answer has said that nothing more comes.
func (x *exchange) isDone() bool { return x.events.IsDone() || x.live.IsDone() }

// isOver says whether the request has ended for another reason than that nothing more came.
func isOver(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return cause != nil && !errors.Is(cause, errStall)
}

// lastWait is how long a server that has finished its answer may take to say what it used and that it is done.
const lastWait = 5 * time.Second

// takeEvent takes in an event of the response as it comes.
func (x *exchange) takeEvent(data []byte) error {
	if x.isDone() {
		return dialect.ErrGoesOn
	}
	text, progress, err := x.live.Add(data)
	if err != nil {
		return err
	}
	if progress != dialect.Idle {
		x.watch.Stop() // only what bears content counts as a beginning
		x.stalls.Reset(x.stall)
	}
	if x.live.IsFinished() {
		x.watch.Stop()
		x.stalls.Reset(min(x.stall, lastWait))
	}
	if progress == dialect.Content && x.ttft == 0 {
		x.ttft = max(x.cfg.Now().Sub(x.begun).Milliseconds(), 1)
		x.heard()
	}
	if text != "" && x.delta != nil {
		x.delta(text)
	}
	return nil
}

// A badStream is a stream that cannot be read.
type badStream struct{ err error }

func (e *badStream) Error() string { return e.err.Error() }

// asBadStream returns an error of a stream's reader; what the server itself has told stays as it is.
func asBadStream(err error) error {
	if _, told := errors.AsType[*dialect.ServerError](err); told || err == nil {
		return err
	}
	return &badStream{err}
}

// readReply reads the bytes of a response that has ended well, as an auditor will read them again.
func (x *exchange) readReply() (model.Reply, error) {
	reply, counted, err := dialect.Read(x.info.Dialect, x.response.Bytes(), x.asked)
	fail := func(code fault.Code, format string, args ...any) (model.Reply, error) {
		hint := "The model at " + x.host + " " + fmt.Sprintf(format, args...) + "."
		return model.Reply{}, &fault.Fault{Code: code, Hint: hint}
	}
	switch {
	case err != nil && x.info.Dialect == dialect.ChatJSON && x.live.IsFinished():
		return fail(fault.ModelUnreadable, "gave an answer that cannot be read: %v", err)
	case err != nil:
		return fail(fault.ModelStream, "gave no whole answer: %v", err)
	case dialect.IsEmpty(&reply):
		return fail(fault.ModelEmpty, "ended its answer without having said anything")
	case !x.info.IsPriced():
	case !counted:
		return fail(fault.ModelUsage, "did not say how many tokens it used, so its price is not known")
	case !dialect.IsSameModel(x.info.Model, reply.Model):
		return fail(fault.ModelOther, "answered as another model than %q, whose price is not known", x.info.Model)
	}
	return reply, nil
}
