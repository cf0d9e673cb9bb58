// Package openai asks models behind the OpenAI Chat Completions API: OpenAI itself, and every server that speaks the
// same dialect, such as Ollama, llama.cpp, vLLM, LM Studio and OpenRouter.
//
// A [Model] makes one streamed request a prompt on the official SDK, with its retries off: retrying and falling back
// are the router's business. The exact bodies of request and response are kept as evidence; headers, and with them
// the API key, never are. A reply is whole or it is an [*Error]: a stream that ends early, carries an error after
// its status 200, stalls, or breaks off inside a tool call gives no Reply. Arguments are passed on as the model
// wrote them, right or wrong.
//
// Nothing is taken from the environment: the SDK would send OPENAI_API_KEY to any base URL.
package openai

import (
	"bytes"
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

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/writ-run/writ/agent/model"
)

// Config says which model is asked, and how.
type Config struct {
	BaseURL string // required: up to and with "/v1", e.g. "http://127.0.0.1:11434/v1"
	Model   string // required: the model's name at the provider
	Name    string // what routes call it; Model if empty
	Key     string // API key; none if empty. Sent over https, or to this machine, only.
	// Provider names who answers, for the record; the base URL's host if empty.
	Provider string

	PriceIn, PriceOut int64 // nano-USD per 1,000,000 tokens; 0 is free
	MaxTokens         int64 // upper bound of a reply; 1024 if 0
	// Temperature is sent if it is set. Some models accept none; small ones call tools best at 0.
	Temperature *float64
	// Constrained asks for tool calls as JSON under a schema made for the request, instead of the API's own tool
	// calls: for small models on servers that enforce response_format. A request then comes to one call at most,
	// and text is not streamed.
	Constrained bool

	FirstToken time.Duration // to the first content or tool-call chunk; 60 s if 0
	Stall      time.Duration // between two chunks; 30 s if 0
	MaxBytes   int64         // of a response; 4 MiB if 0

	Transport http.RoundTripper // one like http.DefaultTransport if nil
	Now       func() time.Time  // time.Now if nil
}

// A Model asks one model at one endpoint. It may be used by many goroutines at once.
type Model struct {
	cfg  Config
	info model.Info
	chat sdk.ChatCompletionService
	host string
}

// New returns a Model, or an error that names the first field that is wrong. Nothing is connected yet.
func New(c Config) (*Model, error) {
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("model URL: it must look like http://127.0.0.1:11434/v1")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("model URL: no user, query or fragment is allowed in it; give the key as a reference")
	case c.Model == "":
		return nil, fmt.Errorf("model at %s: no model name; name one with --model-name", u.Host)
	case c.Key != "" && u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("model at %s: an API key is sent over https only; change the URL", u.Host)
	case c.PriceIn < 0 || c.PriceOut < 0 || c.MaxTokens < 0 || c.MaxBytes < 0 || c.FirstToken < 0 || c.Stall < 0:
		return nil, fmt.Errorf("model at %s: prices and limits must not be negative", u.Host)
	}
	c.Name, c.Provider = or(c.Name, c.Model), or(c.Provider, u.Hostname())
	c.MaxTokens, c.MaxBytes = or(c.MaxTokens, 1024), or(c.MaxBytes, 4<<20)
	c.FirstToken, c.Stall = or(c.FirstToken, time.Minute), or(c.Stall, 30*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableCompression = true // the bytes that are kept are those on the wire
		t.MaxResponseHeaderBytes = 64 << 10
		// A local server may close an idle connection just when it is used again, and a POST is not repeated.
		t.DisableKeepAlives = u.Scheme == "http"
		c.Transport = t
	}
	opts := []option.RequestOption{
		option.WithBaseURL(strings.TrimRight(c.BaseURL, "/") + "/"),
		option.WithMaxRetries(0),
		option.WithHTTPClient(&http.Client{
			Transport:     c.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // prompts stay here
		}),
	}
	if c.Key != "" {
		opts = append(opts, option.WithAPIKey(c.Key))
	}
	return &Model{
		cfg: c, host: u.Host,
		// The service is made without the SDK's client, which would read keys and headers from the environment.
		chat: sdk.NewChatCompletionService(opts...),
		info: model.Info{
			Name: c.Name, Kind: model.KindModel, Provider: c.Provider, Model: c.Model,
			PriceIn: c.PriceIn, PriceOut: c.PriceOut, MaxTokens: c.MaxTokens,
		},
	}, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Info says what the model is and what it costs.
func (m *Model) Info() model.Info { return m.info }

// Reply answers p, whole, or fails with an [*Error].
func (m *Model) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	return m.Stream(ctx, p, nil)
}

// Causes of a request's end that are ours.
var (
	errFirst = errors.New("no first token in time")
	errStall = errors.New("the stream stalled")
	errSize  = errors.New("the response is too large")
)

// Stream answers p as [Model.Reply] does, and gives each piece of text to delta as it comes. What was given to delta
// is void if Stream fails.
func (m *Model) Stream(ctx context.Context, p model.Prompt, delta func(text string)) (model.Reply, error) {
	names, params, err := m.request(p)
	if err != nil {
		return model.Reply{}, &Error{"bad_prompt", "The prompt cannot be sent to " + m.host + ": " + err.Error() + ".", nil}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begun := m.cfg.Now()
	watch := time.AfterFunc(m.cfg.FirstToken, func() { cancel(errFirst) })
	defer watch.Stop()

	rec := &recording{max: m.cfg.MaxBytes}
	stream := m.chat.NewStreaming(ctx, params, option.WithMiddleware(rec.roundTrip))
	defer stream.Close()
	acc := &accumulator{names: names}
	stalls := time.AfterFunc(time.Hour, func() { cancel(errStall) })
	stalls.Stop()
	defer stalls.Stop()
	var ttft int64
	for stream.Next() {
		chunk := stream.Current()
		text, progress, err := acc.add(&chunk)
		if err != nil {
			return model.Reply{}, &Error{"bad_stream", fmt.Sprintf("The model at %s sent a stream that cannot be read: %v.", m.host, err), nil}
		}
		if progress != idle {
			watch.Stop() // only what bears content counts as a beginning
			stalls.Reset(m.cfg.Stall)
		}
		if progress == content && ttft == 0 {
			ttft = max(m.cfg.Now().Sub(begun).Milliseconds(), 1)
		}
		if text != "" && delta != nil && !m.cfg.Constrained {
			delta(text)
		}
	}
	if err := stream.Err(); err != nil {
		return model.Reply{}, m.failed(ctx, err, rec)
	}
	if cause := context.Cause(ctx); cause != nil {
		return model.Reply{}, m.failed(ctx, cause, rec)
	}
	if !rec.done() {
		return model.Reply{}, &Error{"bad_stream", "The model at " + m.host + " broke off in the middle of its answer.", nil}
	}
	reply, err := acc.reply()
	if err != nil {
		return model.Reply{}, &Error{"bad_stream", fmt.Sprintf("The model at %s gave no whole answer: %v.", m.host, err), nil}
	}
	if m.cfg.Constrained {
		if reply, err = unfold(reply); err != nil {
			return model.Reply{}, &Error{"bad_reply", fmt.Sprintf("The model at %s gave an answer that cannot be read: %v.", m.host, err), nil}
		}
		if reply.Text != "" && delta != nil {
			delta(reply.Text)
		}
	}
	if !acc.counted && (m.cfg.PriceIn > 0 || m.cfg.PriceOut > 0) {
		return model.Reply{}, &Error{"no_usage", "The model at " + m.host + " did not say how many tokens it used, so its price is not known.", nil}
	}
	reply.TTFT, reply.Request, reply.Response = ttft, rec.request, rec.response.Bytes()
	reply.Model = or(reply.Model, m.cfg.Model)
	return reply, nil
}

// A recording keeps the exact bodies of one exchange. It is used by one request at a time.
type recording struct {
	max      int64
	request  []byte
	response bytes.Buffer
	status   int
}

func (r *recording) roundTrip(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	if req.Body != nil {
		b, err := io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("request body: %w", err)
		}
		r.request = b
		req.Body = io.NopCloser(bytes.NewReader(b))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	}
	res, err := next(req)
	if err != nil {
		return nil, err
	}
	r.status = res.StatusCode
	body := res.Body
	if res.StatusCode != http.StatusOK {
		// The SDK reads an error's body whole; 64 KiB of it are enough.
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(body, 64<<10), body}
		if res.StatusCode < 400 { // it would take a redirect for an answer
			_ = body.Close()
			return nil, errStatus
		}
		return res, nil
	}
	res.Body = &tee{r, body}
	return res, nil
}

var errStatus = errors.New("unexpected status")

// A tee copies what is read into the recording, up to its bound.
type tee struct {
	rec  *recording
	body io.ReadCloser
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.body.Read(p)
	if int64(t.rec.response.Len()+n) > t.rec.max {
		return 0, errSize
	}
	t.rec.response.Write(p[:n])
	return n, err
}

func (t *tee) Close() error { return t.body.Close() }

// done says whether the response ended as a stream must: with the event [DONE].
func (r *recording) done() bool {
	b := bytes.TrimSpace(r.response.Bytes())
	at := bytes.LastIndexByte(b, '\n') + 1
	data, ok := bytes.CutPrefix(b[at:], []byte("data:"))
	return ok && string(bytes.TrimSpace(data)) == "[DONE]"
}

// An Error says why there is no reply. It holds no prompt, no payload and no key, and nothing that the server wrote
// but a short code.
type Error struct {
	code    string
	message string
	err     error // the cause, for errors.Is; only of context's and ours
}

// Code is short and stable: "http 429" and its like, "timeout", "stall", "cancelled", "unreachable", "bad_stream"
// (broken off, malformed, or an error within it), "too_large", "no_usage", "bad_prompt",
// "bad_reply" (a constrained answer that is none).
func (e *Error) Code() string { return e.code }

// Error is one sentence, with the next step where there is one.
func (e *Error) Error() string { return e.message }

// Unwrap returns the cause if it is a context's end.
func (e *Error) Unwrap() error { return e.err }

// failed turns what the SDK returned into an Error.
func (m *Model) failed(ctx context.Context, err error, rec *recording) error {
	cause := context.Cause(ctx)
	var api *sdk.Error
	switch {
	case errors.Is(err, errSize):
		return &Error{"too_large", fmt.Sprintf("The model at %s answered with more than %d bytes.", m.host, m.cfg.MaxBytes), nil}
	case errors.Is(cause, errFirst):
		return &Error{"timeout", fmt.Sprintf("The model at %s said nothing within %v.", m.host, m.cfg.FirstToken), context.DeadlineExceeded}
	case errors.Is(cause, errStall):
		return &Error{"stall", fmt.Sprintf("The model at %s fell silent for %v in the middle of its answer.", m.host, m.cfg.Stall), nil}
	case errors.Is(cause, context.DeadlineExceeded):
		return &Error{"timeout", "The model at " + m.host + " took longer than it may.", context.DeadlineExceeded}
	case cause != nil:
		return &Error{"cancelled", "The request to the model at " + m.host + " was cancelled.", context.Canceled}
	case errors.As(err, &api):
		return m.status(api.StatusCode, api.Code)
	case errors.Is(err, errStatus):
		return m.status(rec.status, "")
	case rec.status == 0:
		return &Error{"unreachable", "No model answers at " + m.host + "; check that it runs, and the URL.", nil}
	}
	return &Error{"bad_stream", "The model at " + m.host + " broke off in the middle of its answer.", nil}
}

func (m *Model) status(status int, code string) error {
	s := fmt.Sprintf("The model at %s answered with HTTP status %d", m.host, status)
	if code != "" && len(code) <= 40 && strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") == "" {
		s += " (" + code + ")"
	}
	switch {
	case status == 401 || status == 403:
		s += "; check the API key"
	case status == 404:
		s += "; check the URL and the model's name"
	case status == 429:
		s += "; it is busy or its quota is used up"
	case status < 400:
		s += "; give the URL that it points to"
	}
	return &Error{fmt.Sprintf("http %d", status), s + ".", nil}
}

// request makes the body of a request. names maps the tools' names on the wire back.
func (m *Model) request(p model.Prompt) (names map[string]string, params sdk.ChatCompletionNewParams, err error) {
	names = map[string]string{}
	params.Model = m.cfg.Model
	limit := m.cfg.MaxTokens
	if p.MaxTokens > 0 {
		limit = min(limit, p.MaxTokens)
	}
	if strings.HasSuffix(m.host, "openai.com") {
		params.MaxCompletionTokens = sdk.Int(limit) // its newer models refuse the other
	} else {
		params.MaxTokens = sdk.Int(limit)
	}
	if m.cfg.Temperature != nil {
		params.Temperature = sdk.Float(*m.cfg.Temperature)
	}
	params.StreamOptions.IncludeUsage = sdk.Bool(true)
	if m.cfg.Constrained {
		err = m.constrain(p, &params)
		return names, params, err
	}
	for _, t := range p.Tools {
		wire := wireName(t.Name)
		if other, taken := names[wire]; taken {
			return nil, params, fmt.Errorf("the tools %s and %s have the same name there", other, t.Name)
		}
		if len(wire) > 64 {
			return nil, params, fmt.Errorf("the name of the tool %s is too long", t.Name)
		}
		names[wire] = t.Name
		f := sdk.FunctionDefinitionParam{Name: wire}
		if t.About != "" {
			f.Description = sdk.String(t.About)
		}
		if len(t.Schema) > 0 {
			if err := json.Unmarshal(t.Schema, &f.Parameters); err != nil {
				return nil, params, fmt.Errorf("the schema of the tool %s is no JSON object", t.Name)
			}
		}
		params.Tools = append(params.Tools, sdk.ChatCompletionFunctionTool(f))
	}
	if p.System != "" {
		params.Messages = append(params.Messages, sdk.SystemMessage(p.System))
	}
	for _, msg := range p.Messages {
		switch msg.Role {
		case model.RoleSystem:
			params.Messages = append(params.Messages, sdk.SystemMessage(msg.Text))
		case model.RoleUser:
			params.Messages = append(params.Messages, sdk.UserMessage(msg.Text))
		case model.RoleTool:
			params.Messages = append(params.Messages, sdk.ToolMessage(msg.Text, msg.CallID))
		case model.RoleAssistant:
			params.Messages = append(params.Messages, assistant(msg))
		default:
			return nil, params, fmt.Errorf("a message has the role %q", msg.Role)
		}
	}
	return names, params, nil
}

func assistant(msg model.Message) sdk.ChatCompletionMessageParamUnion {
	out := &sdk.ChatCompletionAssistantMessageParam{}
	if msg.Text != "" || len(msg.Calls) == 0 {
		out.Content.OfString = sdk.String(msg.Text)
	}
	for _, c := range msg.Calls {
		args := string(c.Args)
		if !json.Valid(c.Args) { // servers that read their own history again refuse what is no JSON
			b, _ := json.Marshal(map[string]string{"invalid": args})
			args = string(b)
		}
		out.ToolCalls = append(out.ToolCalls, sdk.ChatCompletionMessageToolCallUnionParam{
			OfFunction: &sdk.ChatCompletionMessageFunctionToolCallParam{
				ID:       c.ID,
				Function: sdk.ChatCompletionMessageFunctionToolCallFunctionParam{Name: wireName(c.Tool), Arguments: args},
			},
		})
	}
	return sdk.ChatCompletionMessageParamUnion{OfAssistant: out}
}

// wireName is a tool's name as the API allows it: no dots.
func wireName(name string) string { return strings.ReplaceAll(name, ".", "__") }
