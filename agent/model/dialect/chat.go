package dialect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent/model"
)

const maxCalls = 64 // in one reply

// A Progress is what a chunk of a stream brought.
type Progress int

const (
	Idle     Progress = iota // nothing, such as a role or a usage chunk
	Thinking                 // reasoning that is not part of the answer
	Content                  // text or a piece of a tool call
)

// A ChatStream puts the chunks of one stream together. It accepts one answer, and nothing after its finish reason but
// usage. Servers differ in how they number calls and responses, name ends and mark thoughts: where the meaning is sure
// all of it is read, and the table of testdata/shapes.txt says what is.
type ChatStream struct {
	names       toolNames
	asked       string
	id, lastID  string
	model, tier string
	text        answerText
	refused     bool // it is a refusal
	calls       []call
	chunks      int64  // with a choice
	first, last int64  // the numbers of their choices
	end         string // one of model's Stop constants; "" before the finish reason
	byTools     bool   // the finish reason names tools
	byCalls     bool   // calls have come, by more than the old function_call
	usage       model.Usage
	counted     bool
}

// NewChatStream returns a reader of the answer to q.
func NewChatStream(q Question) *ChatStream {
	return &ChatStream{names: namesOf(q), asked: q.Model}
}

// IsDone is never so: what ends the stream is no event of the dialect.
func (s *ChatStream) IsDone() bool { return false }

// Counted says whether the provider has counted tokens.
func (s *ChatStream) Counted() bool { return s.counted }

// IsFinished says whether the finish reason has come.
func (s *ChatStream) IsFinished() bool { return s.end != "" }

// HasBegun says whether any text, thought or call has come.
func (s *ChatStream) HasBegun() bool {
	return s.text.said.Len() > 0 || s.text.pending != "" || s.text.opened || len(s.calls) > 0
}

// A chunk is one event of a stream, as far as it is looked at. A whole answer has the same form, with a message in the
// place of the delta.
type chunk struct {
	ID      looseText `json:"id"`
	Model   looseText `json:"model"`
	Tier    looseText `json:"service_tier"`
	Choices []choice  `json:"choices"`
	Usage   *usage    `json:"usage"`
	Groq    *struct {
		Usage *usage          `json:"usage"`
		Error json.RawMessage `json:"error"`
	} `json:"x_groq"`
	Error   json.RawMessage `json:"error"`
	Object  looseText       `json:"object"`
	Detail  json.RawMessage `json:"detail"`  // an error's, as FastAPI writes it
	Message json.RawMessage `json:"message"` // an error's without an object around it
}

type usage struct {
	In      count `json:"prompt_tokens"`
	Out     count `json:"completion_tokens"`
	Hit     count `json:"prompt_cache_hit_tokens"` // DeepSeek
	Details *struct {
		Cached count `json:"cached_tokens"`
		Write  count `json:"cache_write_tokens"` // OpenRouter
	} `json:"prompt_tokens_details"`
	Made *struct {
		Reasoning count `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

type choice struct {
	Index   int64     `json:"index"`
	Finish  looseText `json:"finish_reason"`
	Delta   *delta    `json:"delta"`
	Message *delta    `json:"message"`
}

type delta struct {
	Content   json.RawMessage `json:"content"`
	Refusal   looseText       `json:"refusal"`
	Calls     []callPiece     `json:"tool_calls"`
	Function  *function       `json:"function_call"`     // of before there were tools
	Reasoning json.RawMessage `json:"reasoning"`         // as several servers send it beside the standard's fields
	Thought   json.RawMessage `json:"reasoning_content"` // the same
	Thinking  json.RawMessage `json:"thinking"`          // the same
}

// A looseText is a text, or nothing if something else stands in its place.
type looseText string

// UnmarshalJSON takes a text and passes over everything else but a number.
func (t *looseText) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = looseText(s)
	} else if b[0] >= '0' && b[0] <= '9' {
		*t = looseText(b)
	}
	return nil
}

// Add takes in the data of one event and returns the text that it adds to the answer for certain.
func (s *ChatStream) Add(data []byte) (text string, p Progress, err error) {
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return "", Idle, errors.New("a chunk is not what the API says")
	}
	if err := s.readError(&c, data); err != nil {
		return "", Idle, err
	}
	if err := s.addID(string(c.ID)); err != nil {
		return "", Idle, err
	}
	if s.model == "" {
		s.model = string(c.Model)
	} else if c.Model != "" && !goesOnAs(s.model, string(c.Model)) {
		return "", Idle, errOtherModel
	}
	if c.Tier != "" {
		s.tier = string(c.Tier)
	}
	s.addUsage(c.Usage)
	if c.Groq != nil {
		s.addUsage(c.Groq.Usage)
	}
	if len(c.Choices) == 0 {
		return "", Idle, nil
	}
	if len(c.Choices) > 1 || !s.followsChoice(c.Choices[0].Index) {
		return "", Idle, errors.New("it holds more than one answer")
	}
	return s.addChoice(&c.Choices[0])
}

// addID takes in the id of the response. Some servers give each chunk one of its own; one that comes again after
// another one is that of a response between whose chunks others stand.
func (s *ChatStream) addID(id string) error {
	if id == "" || id == s.lastID {
		return nil
	}
	if s.id == "" {
		s.id = id
	} else if id == s.id {
		return errors.New("two responses came in one stream")
	}
	s.lastID = id
	return nil
}

// followsChoice says whether a choice goes on with the one answer: its number is the same in each chunk, or counts the
// chunks from 1 on.
func (s *ChatStream) followsChoice(index int64) bool {
	if s.chunks == 0 {
		s.first, s.last = index, index
	}
	counts := s.first == 1 && index == s.first+s.chunks && s.last == index-1
	follows := s.chunks == 0 || counts || index == s.first && s.last == s.first
	s.chunks++
	s.last = index
	return follows
}

func (s *ChatStream) addUsage(u *usage) {
	if u == nil || u.In <= 0 && u.Out <= 0 {
		return
	}
	s.counted = true
	s.usage = model.Usage{In: int64(u.In), Out: int64(u.Out), CachedIn: int64(u.Hit)}
	if u.Details != nil {
		s.usage.CachedIn = max(int64(u.Details.Cached), s.usage.CachedIn)
		s.usage.Write5m = int64(u.Details.Write)
	}
	if u.Made != nil {
		s.usage.Reasoning = int64(u.Made.Reasoning)
	}
}

func (s *ChatStream) addChoice(c *choice) (text string, p Progress, err error) {
	d := c.Delta
	if d == nil {
		d = c.Message
	}
	if d == nil {
		d = &delta{}
	}
	said, thought := readContent(d.Content)
	if c.Delta == nil && s.text.isAll(said) {
		said = "" // MiniMax ends a stream with the whole message
	}
	if d.Refusal != "" {
		s.refused, said = true, said+string(d.Refusal)
	}
	switch {
	case len(d.Calls) > 0:
		s.byCalls = true
	case d.Function != nil && !s.byCalls: // else it is a call told again in the old way
		first := int64(0)
		d.Calls = append(d.Calls, callPiece{Index: &first, Function: *d.Function})
	}
	if s.end != "" && (said != "" || len(d.Calls) > 0) {
		return "", Idle, ErrGoesOn
	}
	if thought || hasText(d.Reasoning) || hasText(d.Thought) || hasText(d.Thinking) {
		p = Thinking
	}
	if said != "" {
		p = Content
		if text, thought = s.text.add(said); thought && text == "" {
			p = Thinking
		}
	}
	for i := range d.Calls {
		if err := s.addCallPiece(&d.Calls[i]); err != nil {
			return "", Idle, err
		}
		p = Content
	}
	return text, p, s.addFinish(string(c.Finish))
}

// readContent reads a content: a text, or a list of parts, as Mistral's reasoning models send it.
func readContent(raw json.RawMessage) (said string, thought bool) {
	if len(raw) == 0 {
		return "", false
	}
	if json.Unmarshal(raw, &said) == nil {
		return said, false
	}
	var parts []json.RawMessage
	if json.Unmarshal(raw, &parts) != nil {
		parts = []json.RawMessage{raw}
	}
	for _, raw := range parts {
		var part struct {
			Type string    `json:"type"`
			Text looseText `json:"text"`
		}
		var text string
		switch {
		case json.Unmarshal(raw, &text) == nil:
			said += text
		case json.Unmarshal(raw, &part) != nil:
		case part.Type == "text" || part.Type == "output_text" || part.Type == "":
			said += string(part.Text)
		case part.Type == "thinking" || part.Type == "reasoning":
			thought = true
		}
	}
	return said, thought
}

func hasText(raw json.RawMessage) bool {
	return len(raw) > 0 && string(raw) != "null" && string(raw) != `""` && string(raw) != "[]" && string(raw) != "{}"
}

// ends says what finish reasons mean, in lower case. There are as many as servers.
var ends = map[string]string{
	"stop": model.StopEnd, "eos": model.StopEnd, "eos_token": model.StopEnd, "end_turn": model.StopEnd,
	"stop_sequence": model.StopEnd, "complete": model.StopEnd, "end": model.StopEnd, "finished": model.StopEnd,
	"tool_calls": model.StopTools, "tool_call": model.StopTools, "tool_use": model.StopTools,
	"function_call": model.StopTools, "function_calls": model.StopTools,
	"length": model.StopLength, "max_tokens": model.StopLength, "max_length": model.StopLength,
	"model_length": model.StopLength, "max_output_tokens": model.StopLength, "token_limit": model.StopLength,
	"model_context_window_exceeded": model.StopLength,
	"content_filter":                model.StopFilter, "content_filtered": model.StopFilter, "refusal": model.StopFilter,
	"safety": model.StopFilter, "recitation": model.StopFilter, "sensitive": model.StopFilter,
	"blocklist": model.StopFilter, "prohibited_content": model.StopFilter, "spii": model.StopFilter,
	"guardrail_intervened": model.StopFilter,
}

// addFinish takes in a finish reason. Some servers give it twice; one that says that the answer is cut stands.
func (s *ChatStream) addFinish(reason string) error {
	reason = strings.ToLower(reason)
	switch reason {
	case "", "null": // DashScope writes it as a text until the end
		return nil
	case "error", "abort", "aborted", "cancelled", "insufficient_system_resource":
		return &ServerError{Code: reason, Midway: s.HasBegun()}
	}
	end, known := ends[reason]
	switch {
	case !known:
		return errors.New("it ended for a reason that is not known")
	case end == model.StopTools:
		s.byTools, end = true, model.StopEnd
	}
	if s.end == "" || s.end == model.StopEnd {
		s.end = end
	}
	return nil
}

// Reply returns the whole answer. It fails if the stream had no finish reason.
func (s *ChatStream) Reply() (model.Reply, error) {
	r := model.Reply{Text: s.text.finish(), Model: s.model, ID: s.id, Tier: s.tier, Usage: s.usage, Stop: s.end}
	if r.Model == "" {
		r.Model = s.asked
	}
	switch {
	case s.end == "":
		return model.Reply{}, errors.New("it never said that it was done")
	case s.refused:
		r.Stop = model.StopFilter
	}
	if r.Stop != model.StopEnd { // a call may be cut, so none is passed on
		return r, nil
	}
	if s.byTools && len(s.calls) == 0 && r.Text == "" {
		return model.Reply{}, errors.New("it says that it calls tools and calls none")
	}
	if err := addCalls(&r, s.calls, s.names); err != nil {
		return model.Reply{}, err
	}
	return r, nil
}

// A ServerError is an error that a server tells in the place of an answer, or within one.
type ServerError struct {
	Status  int    // as of HTTP, if it says one
	Code    string // its word for it, and its type
	Message string // its own sentence
	Midway  bool   // a part of an answer came before
}

// Error says that there was one, in words of ours.
func (e *ServerError) Error() string {
	if e.Midway {
		return "it breaks off with an error"
	}
	return "it is an error"
}

// readError returns the error that a chunk tells; nil if it tells none.
func (s *ChatStream) readError(c *chunk, data []byte) error {
	raw := c.Error
	if c.Groq != nil && hasText(c.Groq.Error) {
		raw = c.Groq.Error
	}
	switch {
	case hasText(raw):
	case c.Choices == nil && c.Usage == nil && (c.Object == "error" || hasText(c.Detail) || hasText(c.Message)):
		raw = data
	default:
		return nil
	}
	e := ReadError(raw)
	e.Midway = s.HasBegun()
	return e
}

// ReadError reads the body of an error, or what stands in it as the error.
func ReadError(raw []byte) *ServerError {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return &ServerError{Message: text}
	}
	var in struct {
		Error  json.RawMessage `json:"error"`
		Status int             `json:"status"`
		Code   looseText       `json:"code"`
		Type   looseText       `json:"type"`
		Inner  *struct {
			Code looseText `json:"code"`
		} `json:"innererror"`
		Message json.RawMessage `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	_ = json.Unmarshal(raw, &in) // what does not fit is left out
	if hasText(in.Error) {
		return ReadError(in.Error)
	}
	e := &ServerError{Status: in.Status, Code: strings.TrimSpace(string(in.Code + " " + in.Type))}
	if in.Inner != nil {
		e.Code += " " + string(in.Inner.Code)
	}
	if _, err := fmt.Sscanf(string(in.Code), "%d", &e.Status); err != nil {
		e.Status = in.Status
	}
	for _, m := range []json.RawMessage{in.Message, in.Detail} {
		if e.Message == "" && hasText(m) && json.Unmarshal(m, &e.Message) != nil {
			e.Message = string(m)
		}
	}
	return e
}
