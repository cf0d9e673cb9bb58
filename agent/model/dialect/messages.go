package dialect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent/model"
)

// A MessageStream puts the events of Anthropic's Messages together: one message, whose blocks each begin, go on and
// end, and whose end and usage come in one event after them.
type MessageStream struct {
	names     toolNames
	asked     string
	id, model string
	tier      string
	text      answerText
	thought   bool
	blocks    []block
	stop      string // one of model's Stop constants; "" before the stop reason
	byTools   bool
	usage     messageUsage // the largest of each number that has come
	counted   bool
	begun     bool // message_start has come
	done      bool // message_stop has come
}

// A block is a part of a message.
type block struct {
	index int64
	kind  string
	call  call
	whole string // the input of a call, as its beginning has it; pieces of it may follow all the same
	ended bool
}

// NewMessageStream returns a reader of the answer to q.
func NewMessageStream(q Question) *MessageStream {
	return &MessageStream{names: namesOf(q), asked: q.Model}
}

// Counted says whether the provider has counted tokens: what it says at the beginning is no count of the answer.
func (s *MessageStream) Counted() bool { return s.counted }

// IsFinished says whether the stop reason has come.
func (s *MessageStream) IsFinished() bool { return s.stop != "" }

// IsDone says whether the message has ended.
func (s *MessageStream) IsDone() bool { return s.done }

// HasBegun says whether any text, thought or call has come.
func (s *MessageStream) HasBegun() bool { return len(s.blocks) > 0 }

// A messageUsage counts tokens. In is neither read from the cache nor written to it.
type messageUsage struct {
	In     count `json:"input_tokens"`
	Out    count `json:"output_tokens"`
	Read   count `json:"cache_read_input_tokens"`
	Write  count `json:"cache_creation_input_tokens"`
	Writes *struct {
		For5m count `json:"ephemeral_5m_input_tokens"`
		For1h count `json:"ephemeral_1h_input_tokens"`
	} `json:"cache_creation"`
	Made *struct {
		Thinking count `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
	Tier looseText `json:"service_tier"`

	for1h, thinking count
}

// A messageEvent is one event, as far as it is looked at. A whole message has the same form as the one that begins a
// stream.
type messageEvent struct {
	messageBody
	Message *messageBody    `json:"message"`
	Index   int64           `json:"index"`
	Block   *messageBlock   `json:"content_block"`
	Delta   *messageDelta   `json:"delta"`
	Error   json.RawMessage `json:"error"`
}

type messageBody struct {
	Type    string         `json:"type"`
	ID      string         `json:"id"`
	Model   string         `json:"model"`
	Content []messageBlock `json:"content"`
	Stop    looseText      `json:"stop_reason"`
	Usage   *messageUsage  `json:"usage"`
}

type messageBlock struct {
	Type  string          `json:"type"`
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Text  string          `json:"text"`
	Input json.RawMessage `json:"input"`
}

type messageDelta struct {
	Type string    `json:"type"`
	Text string    `json:"text"`
	Args string    `json:"partial_json"`
	Stop looseText `json:"stop_reason"`
}

// Add takes in the data of one event and returns the text that it adds to the answer for certain.
func (s *MessageStream) Add(data []byte) (text string, p Progress, err error) {
	var e messageEvent
	if json.Unmarshal(data, &e) != nil {
		// An error may have a text where an event has an object.
		if told := ReadError(data); told.Message != "" {
			return "", Idle, s.breakOff(told)
		}
		return "", Idle, errors.New("an event is not what the API says")
	}
	switch {
	case e.Type == "error" || e.Type == "" && hasText(e.Error):
		return "", Idle, s.breakOff(ReadError(e.Error))
	case e.Type == "ping":
		return "", Idle, nil
	case s.done:
		return "", Idle, ErrGoesOn
	case e.Type == "message":
		return s.addWhole(&e.messageBody)
	case e.Type == "message_start":
		return "", Idle, s.begin(e.Message)
	}
	if !s.begun {
		return "", Idle, errors.New("it does not begin with a message")
	}
	switch e.Type {
	case "content_block_start":
		return s.beginBlock(e.Index, e.Block)
	case "content_block_delta":
		return s.addDelta(e.Index, e.Delta)
	case "content_block_stop":
		return s.endBlock(e.Index)
	case "message_delta":
		return "", Idle, s.finish(e.Delta, e.Usage)
	case "message_stop":
		s.done = true
	}
	return "", Idle, nil // the API says that there may be events of other types
}

func (s *MessageStream) breakOff(e *ServerError) error {
	e.Midway = s.HasBegun()
	return e
}

func (s *MessageStream) begin(m *messageBody) error {
	switch {
	case m == nil:
		return errors.New("an event is not what the API says")
	case s.begun:
		return errors.New("two responses came in one stream")
	}
	s.begun, s.id, s.model = true, m.ID, m.Model
	s.addUsage(m.Usage)
	return nil
}

func (s *MessageStream) addUsage(u *messageUsage) {
	if u == nil {
		return
	}
	t := &s.usage
	t.In, t.Out, t.Read, t.Write = max(t.In, u.In), max(t.Out, u.Out), max(t.Read, u.Read), max(t.Write, u.Write)
	if u.Writes != nil {
		t.for1h = max(t.for1h, u.Writes.For1h)
		t.Write = max(t.Write, count(sumTokens(u.Writes.For1h, u.Writes.For5m)))
	}
	if u.Made != nil {
		t.thinking = max(t.thinking, u.Made.Thinking)
	}
	if u.Tier != "" {
		s.tier = string(u.Tier)
	}
}

func (s *MessageStream) beginBlock(index int64, b *messageBlock) (text string, p Progress, err error) {
	switch {
	case b == nil:
		return "", Idle, errors.New("an event is not what the API says")
	case s.stop != "":
		return "", Idle, ErrGoesOn
	case s.findBlock(index) != nil:
		return "", Idle, errors.New("two parts of it have the same number")
	}
	next := block{index: index, kind: b.Type}
	switch b.Type {
	case "text", "thinking", "redacted_thinking":
	case "tool_use":
		if len(s.blocks) >= maxBlocks {
			return "", Idle, fmt.Errorf("it has more than %d parts", maxBlocks)
		}
		next.call = call{id: b.ID, name: b.Name}
		var none map[string]json.RawMessage
		if err := json.Unmarshal(b.Input, &none); (err != nil || len(none) > 0) &&
			string(b.Input) != `""` && string(b.Input) != "[]" {
			next.whole = string(b.Input)
		}
		p = Content
	default: // such as a tool that runs at the provider, which nobody has offered and nobody has priced
		return "", Idle, errors.New("it has a part that was not asked for")
	}
	s.blocks = append(s.blocks, next)
	if b.Text == "" {
		return "", p, nil
	}
	return s.addText(b.Text)
}

// maxBlocks bounds the parts of a message.
const maxBlocks = 4 * maxCalls

func (s *MessageStream) findBlock(index int64) *block {
	for i := range s.blocks {
		if s.blocks[i].index == index {
			return &s.blocks[i]
		}
	}
	return nil
}

func (s *MessageStream) addDelta(index int64, d *messageDelta) (text string, p Progress, err error) {
	b := s.findBlock(index)
	if b == nil || b.ended || d == nil {
		return "", Idle, errors.New("it goes on with a part that is not open")
	}
	fits := map[string]string{
		"text_delta": "text", "citations_delta": "text", "input_json_delta": "tool_use",
		"thinking_delta": "thinking", "signature_delta": "thinking",
	}
	switch kind, known := fits[d.Type]; {
	case !known:
		return "", Idle, errors.New("a part of it goes on in a way that is not known")
	case kind != b.kind:
		return "", Idle, errors.New("a part of it goes on as another one")
	case d.Type == "text_delta":
		return s.addText(d.Text)
	case d.Type == "input_json_delta":
		b.call.args += d.Args
		return "", Content, nil
	case d.Type == "thinking_delta":
		s.thought = true
		return "", Thinking, nil
	}
	return "", Idle, nil
}

func (s *MessageStream) addText(said string) (text string, p Progress, err error) {
	if said == "" {
		return "", Idle, nil
	}
	text, thought := s.text.add(said)
	if thought && text == "" {
		return "", Thinking, nil
	}
	return text, Content, nil
}

func (s *MessageStream) endBlock(index int64) (text string, p Progress, err error) {
	b := s.findBlock(index)
	if b == nil || b.ended {
		return "", Idle, errors.New("it ends a part that is not open")
	}
	b.ended = true
	return "", Idle, nil
}

// finish takes in the stop reason and the final usage.
func (s *MessageStream) finish(d *messageDelta, u *messageUsage) error {
	if u != nil && u.Out > 0 {
		s.counted = true
	}
	s.addUsage(u)
	if d == nil || d.Stop == "" {
		return nil
	}
	for i := range s.blocks {
		if !s.blocks[i].ended {
			return errors.New("it ended within one of its parts")
		}
	}
	return s.setStop(string(d.Stop))
}

func (s *MessageStream) setStop(reason string) error {
	end, known := ends[strings.ToLower(reason)]
	switch {
	case !known: // among them pause_turn, which goes with tools that run at the provider
		return errors.New("it ended for a reason that is not known")
	case s.stop != "":
		return ErrGoesOn
	case end == model.StopTools:
		s.byTools, end = true, model.StopEnd
	}
	s.stop = end
	return nil
}

// addWhole takes in a message that came in one piece.
func (s *MessageStream) addWhole(m *messageBody) (text string, p Progress, err error) {
	if err := s.begin(m); err != nil {
		return "", Idle, err
	}
	for i := range m.Content {
		more, progress, err := s.beginBlock(int64(i), &m.Content[i])
		if err != nil {
			return "", Idle, err
		}
		s.blocks[i].ended = true
		text, p = text+more, max(p, progress)
	}
	s.counted = m.Usage != nil && m.Usage.Out > 0
	s.done = true
	return text, p, s.setStop(string(m.Stop))
}

// Reply returns the whole answer.
func (s *MessageStream) Reply() (model.Reply, error) {
	if s.stop == "" {
		return model.Reply{}, errors.New("it never said that it was done")
	}
	u := &s.usage
	write1h := min(u.for1h, u.Write)
	r := model.Reply{Text: s.text.finish(), Model: s.model, ID: s.id, Tier: s.tier, Stop: s.stop, Usage: model.Usage{
		In: sumTokens(u.In, u.Read, u.Write), Out: int64(u.Out), CachedIn: int64(u.Read),
		Write5m: int64(u.Write - write1h), Write1h: int64(write1h), Reasoning: int64(u.thinking),
	}}
	if r.Model == "" {
		r.Model = s.asked
	}
	if r.Stop != model.StopEnd { // a call may be cut, so none is passed on
		return r, nil
	}
	var calls []call
	for i := range s.blocks {
		b := &s.blocks[i]
		switch {
		case b.kind != "tool_use":
			continue
		case b.call.args == "":
			b.call.args = b.whole
		case b.whole != "" && !model.SameJSON(b.whole, b.call.args):
			return model.Reply{}, errNotWhole
		}
		calls = append(calls, b.call)
	}
	if s.byTools && len(calls) == 0 && r.Text == "" {
		return model.Reply{}, errors.New("it says that it calls tools and calls none")
	}
	if err := addCalls(&r, calls, s.names); err != nil {
		return model.Reply{}, err
	}
	return r, nil
}

// addCalls adds the calls that an answer makes.
func addCalls(r *model.Reply, calls []call, names toolNames) error {
	if len(calls) > maxCalls {
		return fmt.Errorf("it asks for more than %d tool calls", maxCalls)
	}
	for i := range calls {
		c := &calls[i]
		if c.name == "" {
			return errors.New("a tool call has no name")
		}
		args := c.args
		if strings.TrimSpace(args) == "" || args == "null" {
			args = "{}" // how several models call a tool without arguments
		}
		r.Calls = append(r.Calls, model.Call{ID: c.id, Tool: names.find(c.name), Args: []byte(args)})
		r.Stop = model.StopTools
	}
	r.Calls = model.UniqueCalls(r.Calls)
	return nil
}
