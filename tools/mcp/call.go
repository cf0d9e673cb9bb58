package mcp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/elicit"
)

// KeyMeta is the member of a call's _meta that holds its idempotency key, 64 hex digits.
const KeyMeta = "run.writ/idempotency-key"

// A Tool is one tool of a server, as it was accepted.
type Tool struct {
	server   *Server
	accepted Definition
	spec     tools.Spec
	second   *Second // says whether a call happened; nil if none does
	elicits  bool    // what the server asks in a call is put to the user
}

// Tool makes a tool of a definition that was accepted, whatever the server says of it now.
func (s *Server) Tool(d Definition, u Use) (*Tool, error) {
	if u.Reconcile != nil {
		x := *u.Reconcile
		x.Settle = cmp.Or(x.Settle, defaultSettle)
		x.Rule.Tool, x.Rule.Definition = x.Tool.Name, x.Tool.CID.String()
		if err := s.checkSecond(&x); err != nil {
			return nil, fmt.Errorf("the tool %s of the server %s: %w", wording.Reveal(d.Name), s.cfg.Name, err)
		}
		u.Reconcile = &x
	}
	spec, err := SpecOf(s.cfg.Name, d, u)
	if err != nil {
		return nil, fmt.Errorf("the tool %s of the server %s: %w", wording.Reveal(d.Name), s.cfg.Name, err)
	}
	return &Tool{s, d, spec, u.Reconcile, u.Elicit}, nil
}

// Spec describes the tool.
func (t *Tool) Spec() tools.Spec { return t.spec }

// MaxTime returns how long a call takes at most.
func (t *Tool) MaxTime() time.Duration {
	if t.second == nil {
		return t.server.MaxTime()
	}
	return 2*t.server.MaxTime() + t.second.Settle
}

// Close ends the server.
func (t *Tool) Close() error { return t.server.Close() }

// Call calls the tool. Its errors are [*tools.Error] where nothing was done: server_down, definition_changed, busy. So
// is every failure of a tool that only reads: flood, timeout, refused, tool_failed, unreadable. Of a keyed call that is
// made again they stand only if it is known that the earlier one was not done.
func (t *Tool) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	var earlier error                // it is not known whether an earlier process has done it
	if in.Again && t.second != nil { // of class keyed: it is made again unless it is known to have happened
		out, happened, err := t.Reconcile(ctx, in)
		if happened {
			return out, nil
		}
		if in.Found, earlier = out, err; err != nil {
			in.Found = nil
		}
	}
	out, err := t.callOnce(ctx, in)
	if e, certain := errors.AsType[*tools.Error](err); certain && t.leavesEarlier(in) {
		err = errors.New(e.Message)
		if f, found := errors.AsType[*tools.FoundError](earlier); found {
			err = &tools.FoundError{Err: err, Finding: f.Finding}
		}
		return nil, err
	}
	if err != nil {
		return t.settleCut(ctx, in, err)
	}
	if in.Found == nil {
		return out, nil
	}
	var f tools.Finding
	if err := json.Unmarshal(in.Found, &f); err != nil {
		return nil, err
	}
	return f.AddTo(out)
}

// leavesEarlier says whether a call that does nothing leaves open what an earlier process has done with the same key:
// it does unless the second tool has said that it was not done.
func (t *Tool) leavesEarlier(in tools.Input) bool {
	return in.Again && t.spec.Class == tools.Keyed && in.Found == nil
}

func (t *Tool) callOnce(ctx context.Context, in tools.Input) ([]byte, error) {
	s := t.server
	if host := s.host(); host != "" && len(in.Hosts) > 0 && !slices.Contains(in.Hosts, host) {
		return nil, s.errorf("host_not_allowed", "its host %s is not one that the wallet's grant names", host)
	}
	leave, err := s.enter(ctx, t.elicits)
	if err != nil {
		return nil, err
	}
	defer leave()
	c, err := s.connect(ctx) // which takes its own time
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*s.cfg.Timeout)
	defer cancel()
	if err := t.checkUnchanged(ctx, c); err != nil {
		return nil, err
	}
	return t.send(ctx, c, in)
}

// enter waits until a call may be made. A question of the server does not say of which call it is, so a call whose
// questions are put to the user is made alone.
func (s *Server) enter(ctx context.Context, alone bool) (leave func(), err error) {
	busy := s.errorf("busy", "it is busy with other calls, at most %d at a time; try again later", maxFlying)
	taken, want := 0, 1
	leave = func() {
		for range taken {
			<-s.flying
		}
		if alone {
			<-s.alone
		}
	}
	if alone {
		select {
		case s.alone <- struct{}{}:
		case <-ctx.Done():
			return nil, busy
		}
		want = maxFlying
	}
	for taken < want {
		select {
		case s.flying <- struct{}{}:
			taken++
		case <-ctx.Done():
			leave()
			return nil, busy
		}
	}
	return leave, nil
}

// checkUnchanged compares what the server says of the tool now with what was accepted.
func (t *Tool) checkUnchanged(ctx context.Context, c *session) error {
	s := t.server
	wait, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := c.refresh(wait, recheckAfter); err != nil {
		s.drop(c, err)
		return s.errorf("server_down", "%v", err)
	}
	l := c.listed()
	if why := l.faults[t.accepted.Name]; why != "" {
		return s.errorf("definition_changed", "its tool %s is not called: %s", wording.Reveal(t.accepted.Name), why)
	}
	i := slices.IndexFunc(l.definitions, func(d Definition) bool { return d.Name == t.accepted.Name })
	switch {
	case i < 0:
		return s.errorf("definition_changed", "it has no tool %s any more; the operator looks at it with: writ tools diff %s",
			wording.Reveal(t.accepted.Name), s.cfg.Name)
	case l.definitions[i].CID != t.accepted.CID:
		return s.errorf("definition_changed", "its tool %s is not as it was accepted, so it is not called; the operator "+
			"looks at it with: writ tools diff %s", wording.Reveal(t.accepted.Name), s.cfg.Name)
	}
	return nil
}

// send makes the call, waits for its answer and reads it. Whatever comes of it says what the server asked meanwhile.
func (t *Tool) send(ctx context.Context, c *session, in tools.Input) ([]byte, error) {
	ctx, silent := context.WithCancelCause(ctx)
	defer silent(nil)
	tooLong := errors.New("silent for too long")
	raw, brought, err := in.Args.JSON, elicit.Answers(nil), error(nil)
	if t.elicits {
		if raw, brought, err = elicit.Split(raw); err != nil {
			return nil, t.explain(ctx, c, errArguments, tooLong)
		}
	}
	token, done := c.begin(func() { silent(tooLong) }, t.newAsking(brought))
	in.Args.JSON = raw
	res, err := t.call(ctx, c, token, in)
	asked, wants := done()
	if refusal, is := errors.AsType[*jsonrpc.Error](err); is && wants == nil && t.elicits && c.reason() == nil {
		wants = t.wantsOf(refusal, brought)
	}
	if wants != nil && (errors.Is(err, errUserFirst) || isRefusal(err) || err == nil && res.IsError) {
		t.server.noteAnswer(true)
		return json.Marshal(result{Asks: wants, Asked: asked})
	}
	if err == nil {
		if wants != nil { // it has done the call without the answer, and is not asked to do it again
			asked = append(asked, describePutOff(wants))
		}
		t.server.noteAnswer(true)
		return t.read(res, asked)
	}
	err = t.explain(ctx, c, err, tooLong)
	if e, told := errors.AsType[*tools.Error](err); told && len(asked) > 0 {
		return nil, &tools.Error{Code: e.Code, Message: e.Message + " " + strings.Join(asked, " ")}
	}
	return nil, err
}

// call makes the call.
func (t *Tool) call(ctx context.Context, c *session, token string, in tools.Input) (*mcp.CallToolResult, error) {
	args, err := decodeArguments(in.Args.JSON)
	if err != nil {
		return nil, errArguments
	}
	if t.accepted.Kind != "" {
		return t.callBeside(ctx, c, token, in.Args.JSON)
	}
	params := &mcp.CallToolParams{
		Name: t.accepted.Name, Arguments: args, Meta: mcp.Meta{KeyMeta: hex.EncodeToString(in.Key[:])},
	}
	params.SetProgressToken(token)
	res, err := c.client.CallTool(ctx, params)
	if err != nil || !res.NeedsInput() {
		return res, err
	}
	// It has done nothing yet, and may go on without an answer: the same call is made once more, and says no. Where the
	// user has answered it says that, as often as the user was asked.
	for n := 0; err == nil && res.NeedsInput(); n++ {
		var known bool
		if params.InputResponses, known, err = c.answerAll(token, res.InputRequests); err != nil {
			return nil, err
		}
		if c.isAsking(token) { // the user first
			return nil, errUserFirst
		}
		if n > 0 && !known || n == elicit.MaxAsks {
			return nil, errNeedsInput
		}
		params.RequestState = res.RequestState
		res, err = c.client.CallTool(ctx, params)
	}
	return res, err
}

// isRefusal says whether a server has answered a call with an error of the protocol.
func isRefusal(err error) bool {
	_, is := errors.AsType[*jsonrpc.Error](err)
	return is
}

// explain says why a call has no answer.
func (t *Tool) explain(ctx context.Context, c *session, err, tooLong error) error {
	s := t.server
	var refused *jsonrpc.Error
	switch {
	case errors.Is(err, errArguments):
		return &tools.Error{Code: "bad_argument", Message: "The arguments cannot be read."}
	case errors.Is(err, errNeedsInput):
		return t.failure("refused", "%v", err)
	case errors.Is(context.Cause(ctx), tooLong), errors.Is(ctx.Err(), context.DeadlineExceeded):
		c.noteLate()
		if s.noteAnswer(false) {
			s.drop(c, fmt.Errorf("it has left %d calls in a row without an answer, and was stopped", maxTimeouts))
		}
		return t.failure("timeout", "it did not answer within %s", s.cfg.Timeout)
	case c.reason() != nil:
		s.drop(c, c.reason())
		return t.failure("server_down", "%v", c.reason())
	case errors.As(err, &refused):
		s.noteAnswer(true)
		if refused.Code == jsonrpc.CodeInvalidParams || refused.Code == jsonrpc.CodeMethodNotFound {
			return s.errorf("refused", "it refuses the call: %s", cleanText(refused.Message, 300))
		}
		return t.failure("tool_failed", "%s", cleanText(refused.Message, 300))
	}
	s.drop(c, errors.New("it has ended, or does not speak the protocol"))
	return t.failure("unreadable", "its answer cannot be read, or it has ended")
}

// decodeArguments reads arguments so that numbers stay as they are written.
func decodeArguments(data []byte) (any, error) {
	if len(data) == 0 || !json.Valid(data) {
		return nil, errors.New("no JSON")
	}
	return json.RawMessage(data), nil
}

// failure is an error of a call that the server has got. Of a tool that only reads it is certain that nothing was done.
func (t *Tool) failure(code, format string, args ...any) error {
	e := t.server.errorf(code, format, args...)
	if t.spec.Class == tools.Read {
		return e
	}
	return errors.New(e.Message)
}

// A result is what a model reads of a tool's answer.
type result struct {
	Text       string          `json:"text,omitempty"`
	Structured json.RawMessage `json:"structured,omitempty"`
	Files      []file          `json:"files,omitempty"`  // what is no text, named and not shown
	Failed     bool            `json:"failed,omitempty"` // the tool says that it has failed
	Cut        bool            `json:"cut,omitempty"`    // there was more
	Asked      []string        `json:"asked,omitempty"`  // what the server asked in the call, and that it was declined
	Asks       *elicit.Ask     `json:"asks,omitempty"`   // what it asks the user; the call has done nothing
}

// A file is a part of an answer that is no text.
type file struct {
	Kind  string `json:"kind"` // image, audio, link, file
	Type  string `json:"type,omitempty"`
	URI   string `json:"uri,omitempty"`
	Bytes int    `json:"bytes,omitempty"`
	CID   string `json:"cid,omitempty"` // of the bytes
}

const maxFiles = 32

// read makes what a model reads of an answer.
func (t *Tool) read(res *mcp.CallToolResult, asked []string) ([]byte, error) {
	out := result{Failed: res.IsError, Asked: asked}
	var texts []string
	for _, part := range res.Content {
		if text, is := part.(*mcp.TextContent); is {
			texts = append(texts, text.Text)
		} else if f, text := fileOf(part); len(out.Files) == maxFiles {
			out.Cut = true
		} else {
			out.Files = append(out.Files, f)
			if text != "" {
				texts = append(texts, text)
			}
		}
	}
	all := strings.Join(texts, "\n")
	out.Cut = out.Cut || len(all) > maxResult
	out.Text = cleanText(all, maxResult)
	if res.StructuredContent != nil {
		raw, err := json.Marshal(res.StructuredContent)
		if err == nil {
			raw, err = tools.CanonicalJSON(raw)
		}
		if err == nil && len(raw) <= maxResult {
			out.Structured = raw
			if same, err := tools.CanonicalJSON([]byte(all)); err == nil && bytes.Equal(same, raw) {
				out.Text = "" // servers say it twice, for clients that do not read the one
			}
		} else {
			out.Cut = true
		}
	}
	if out.Failed && t.spec.Class == tools.Read {
		e := t.server.errorf("tool_failed", "%s", cleanText(all, 1000))
		e.Message = strings.Join(append([]string{e.Message}, asked...), " ")
		return nil, e
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return tools.CanonicalJSON(b)
}

// fileOf describes a part of an answer that is no text, and returns the text in it, if there is some.
func fileOf(part mcp.Content) (f file, text string) {
	sized := func(kind, media string, data []byte) file {
		return file{Kind: kind, Type: cleanText(media, 100), Bytes: len(data), CID: provenance.NewRaw(data).CID.String()}
	}
	switch x := part.(type) {
	case *mcp.ImageContent:
		return sized("image", x.MIMEType, x.Data), ""
	case *mcp.AudioContent:
		return sized("audio", x.MIMEType, x.Data), ""
	case *mcp.ResourceLink:
		return file{Kind: "link", Type: cleanText(x.MIMEType, 100), URI: cleanText(x.URI, 500)}, ""
	case *mcp.EmbeddedResource:
		if x.Resource == nil {
			return file{Kind: "file"}, ""
		}
		f = file{Kind: "file", Type: cleanText(x.Resource.MIMEType, 100), URI: cleanText(x.Resource.URI, 500)}
		if len(x.Resource.Blob) > 0 {
			f.Bytes, f.CID = len(x.Resource.Blob), provenance.NewRaw(x.Resource.Blob).CID.String()
		}
		return f, x.Resource.Text
	}
	return file{Kind: "other"}, ""
}

// cleanText takes out what a reader would not see, and cuts to n bytes.
func cleanText(s string, n int) string {
	if len(s) > 2*n { // before it is looked at letter by letter
		s = s[:2*n]
	}
	return wording.Clip(wording.Visible(strings.ToValidUTF8(s, "\uFFFD")), n)
}
