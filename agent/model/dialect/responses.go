package dialect

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"

	"github.com/writ-run/writ/agent/model"
)

// A ResponseStream puts the events of OpenAI's Responses together. What was said in pieces is said again whole at the
// end, and both must be the same; where events are numbered, each number comes once and in order.
type ResponseStream struct {
	names toolNames
	asked string
	id    string
	model string
	last  int64 // the number of the last event; 0 before the first that has one, which are counted from 1 here
	text  answerText
	parts []textPart   // what was said in pieces
	items []outputItem // that have begun
	whole *response    // the response as it is at its end
	begun bool
}

// A textPart is the text of one part of an item, as its pieces have told it.
type textPart struct {
	output, content int64
	text            string
	ended           bool
}

// An outputItem is a part of an answer: something said, a call, or a thought.
type outputItem struct {
	Type    string        `json:"type"`
	ID      string        `json:"id"`
	CallID  string        `json:"call_id"`
	Name    string        `json:"name"`
	Args    string        `json:"arguments"`
	Content []contentPart `json:"content"`
	Status  string        `json:"status"`

	at    int64
	args  string // of a call, as its pieces have told it
	ended bool
}

type contentPart struct {
	Type    string `json:"type"`
	Text    string `json:"text"`
	Refusal string `json:"refusal"`
}

type response struct {
	Object  string          `json:"object"`
	ID      string          `json:"id"`
	Model   string          `json:"model"`
	Status  string          `json:"status"`
	Tier    looseText       `json:"service_tier"`
	Output  []outputItem    `json:"output"`
	Error   json.RawMessage `json:"error"`
	Cut     *cutDetails     `json:"incomplete_details"`
	Usage   *responseUsage  `json:"usage"`
	Message json.RawMessage `json:"message"`
}

type cutDetails struct {
	Reason string `json:"reason"`
}

type responseUsage struct {
	In      count `json:"input_tokens"`
	Out     count `json:"output_tokens"`
	Details *struct {
		Cached count `json:"cached_tokens"`
		Write  count `json:"cache_write_tokens"`
	} `json:"input_tokens_details"`
	Made *struct {
		Reasoning count `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
}

// NewResponseStream returns a reader of the answer to q.
func NewResponseStream(q Question) *ResponseStream {
	return &ResponseStream{names: namesOf(q), asked: q.Model}
}

// Counted says whether the provider has counted tokens.
func (s *ResponseStream) Counted() bool {
	return s.whole != nil && s.whole.Usage != nil && s.whole.Usage.Out > 0
}

// IsFinished says whether the whole response has come.
func (s *ResponseStream) IsFinished() bool { return s.whole != nil }

// IsDone says the same: the event that has the whole response is the last.
func (s *ResponseStream) IsDone() bool { return s.whole != nil }

// HasBegun says whether any text, thought or call has come.
func (s *ResponseStream) HasBegun() bool { return s.begun }

// A responseEvent is one event, as far as it is looked at.
type responseEvent struct {
	Type     string          `json:"type"`
	Seq      *int64          `json:"sequence_number"`
	Response *response       `json:"response"`
	Output   int64           `json:"output_index"`
	Content  int64           `json:"content_index"`
	Item     *outputItem     `json:"item"`
	Delta    string          `json:"delta"`
	Text     string          `json:"text"`
	Refusal  string          `json:"refusal"`
	Args     string          `json:"arguments"`
	Error    json.RawMessage `json:"error"`
}

// Add takes in the data of one event and returns the text that it adds to the answer for certain.
func (s *ResponseStream) Add(data []byte) (text string, p Progress, err error) {
	var e responseEvent
	if json.Unmarshal(data, &e) != nil {
		if told := ReadError(data); told.Message != "" {
			return "", Idle, s.breakOff(told)
		}
		return "", Idle, errors.New("an event is not what the API says")
	}
	switch {
	case e.Type == "error" && !hasText(e.Error):
		return "", Idle, s.breakOff(ReadError(data))
	case hasText(e.Error) && (e.Type == "" || e.Type == "error"):
		return "", Idle, s.breakOff(ReadError(e.Error))
	case e.Type == "":
		return s.addWhole(data)
	}
	if err := s.count(e.Seq); err != nil {
		return "", Idle, err
	}
	return s.addEvent(&e)
}

func (s *ResponseStream) breakOff(e *ServerError) error {
	e.Midway = s.HasBegun()
	return e
}

// count takes in the number of an event. A server that numbers its events sends none twice.
func (s *ResponseStream) count(seq *int64) error {
	if seq == nil || *seq < 0 {
		return nil
	}
	if n := *seq + 1; n > s.last {
		s.last = n
		return nil
	}
	return errors.New("an event came twice, or after a later one")
}

func (s *ResponseStream) addEvent(e *responseEvent) (text string, p Progress, err error) {
	switch e.Type {
	case "response.created", "response.in_progress", "response.queued":
		return "", Idle, s.nameResponse(e.Response)
	case "response.output_item.added":
		return s.beginItem(e)
	case "response.output_item.done":
		return "", Idle, s.endItem(e)
	case "response.output_text.delta", "response.refusal.delta":
		return s.addText(e)
	case "response.output_text.done":
		return "", Idle, s.endText(e, e.Text)
	case "response.refusal.done":
		return "", Idle, s.endText(e, e.Refusal)
	case "response.function_call_arguments.delta":
		return s.addArgs(e)
	case "response.function_call_arguments.done":
		return "", Idle, s.endArgs(e)
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		return "", Idle, s.finish(e.Response)
	}
	if strings.HasPrefix(e.Type, "response.reasoning") {
		s.begun = true
		return "", Thinking, nil
	}
	return "", Idle, nil
}

// nameResponse takes in the id and the model of the response, of which there is one.
func (s *ResponseStream) nameResponse(r *response) error {
	switch {
	case r == nil:
		return errors.New("an event is not what the API says")
	case s.id != "" && r.ID != "" && r.ID != s.id:
		return errors.New("two responses came in one stream")
	case s.model != "" && r.Model != "" && !goesOnAs(s.model, r.Model):
		return errOtherModel
	}
	s.id, s.model = cmp.Or(s.id, r.ID), cmp.Or(s.model, r.Model)
	return nil
}

func (s *ResponseStream) beginItem(e *responseEvent) (text string, p Progress, err error) {
	switch {
	case e.Item == nil:
		return "", Idle, errors.New("an event is not what the API says")
	case s.findItem(e.Output) != nil:
		return "", Idle, errors.New("two parts of it have the same number")
	case len(s.items) >= maxBlocks:
		return "", Idle, errors.New("it has too many parts")
	}
	item := *e.Item
	item.at, item.args = e.Output, item.Args
	switch item.Type {
	case "function_call":
		p, s.begun = Content, true
	case "reasoning":
		p, s.begun = Thinking, true
	case "message":
	default: // such as a tool that runs at the provider, which nobody has offered and nobody has priced
		return "", Idle, errors.New("it has a part that was not asked for")
	}
	s.items = append(s.items, item)
	return "", p, nil
}

func (s *ResponseStream) findItem(at int64) *outputItem {
	for i := range s.items {
		if s.items[i].at == at {
			return &s.items[i]
		}
	}
	return nil
}

// openItem returns the item that goes on. Some servers leave out that an item begins.
func (s *ResponseStream) openItem(at int64, kind string) (*outputItem, error) {
	item := s.findItem(at)
	if item == nil && len(s.items) < maxBlocks {
		s.items = append(s.items, outputItem{Type: kind, at: at})
		item = &s.items[len(s.items)-1]
	}
	if item == nil || item.ended || item.Type != kind {
		return nil, errors.New("it goes on with a part that is not open")
	}
	return item, nil
}

func (s *ResponseStream) endItem(e *responseEvent) error {
	item := s.findItem(e.Output)
	switch {
	case e.Item == nil:
		return errors.New("an event is not what the API says")
	case item == nil:
		item2 := *e.Item
		item2.at, item2.args, item2.ended = e.Output, e.Item.Args, true
		s.items = append(s.items, item2)
		return nil
	case item.ended || item.Type != e.Item.Type:
		return errors.New("it ends a part that is not open")
	case item.Type == "function_call" && !item.endsAs(e.Item):
		return errNotWhole
	}
	item.ended, item.args = true, cmp.Or(item.args, e.Item.Args)
	item.CallID, item.Name = cmp.Or(item.CallID, e.Item.CallID), cmp.Or(item.Name, e.Item.Name)
	return nil
}

// endsAs says whether a call that is whole is the one that i has told so far.
func (i *outputItem) endsAs(whole *outputItem) bool {
	return (i.args == "" || i.args == whole.Args) && (i.Name == "" || i.Name == whole.Name) &&
		(i.CallID == "" || i.CallID == whole.CallID)
}

var errNotWhole = errors.New("what came in pieces is not what it says was whole")

func (s *ResponseStream) addText(e *responseEvent) (text string, p Progress, err error) {
	if _, err := s.openItem(e.Output, "message"); err != nil {
		return "", Idle, err
	}
	part := s.findText(e)
	if part == nil {
		s.parts = append(s.parts, textPart{output: e.Output, content: e.Content})
		part = &s.parts[len(s.parts)-1]
	}
	if part.ended {
		return "", Idle, ErrGoesOn
	}
	if e.Delta == "" {
		return "", Idle, nil
	}
	part.text += e.Delta
	s.begun = true
	text, thought := s.text.add(e.Delta)
	if thought && text == "" {
		return "", Thinking, nil
	}
	return text, Content, nil
}

func (s *ResponseStream) findText(e *responseEvent) *textPart {
	for i := range s.parts {
		if s.parts[i].output == e.Output && s.parts[i].content == e.Content {
			return &s.parts[i]
		}
	}
	return nil
}

func (s *ResponseStream) endText(e *responseEvent, whole string) error {
	part := s.findText(e)
	switch {
	case part == nil && whole == "":
		return nil
	case part == nil || part.text != whole:
		return errNotWhole
	}
	part.ended = true
	return nil
}

func (s *ResponseStream) addArgs(e *responseEvent) (text string, p Progress, err error) {
	item, err := s.openItem(e.Output, "function_call")
	if err != nil {
		return "", Idle, err
	}
	item.args += e.Delta
	s.begun = true
	return "", Content, nil
}

func (s *ResponseStream) endArgs(e *responseEvent) error {
	item, err := s.openItem(e.Output, "function_call")
	if err != nil {
		return err
	}
	if item.args == "" {
		item.args = e.Args
	}
	if item.args != e.Args {
		return errNotWhole
	}
	return nil
}

// finish takes in the response as it is at its end, and compares it with what came before.
func (s *ResponseStream) finish(r *response) error {
	if err := s.nameResponse(r); err != nil {
		return err
	}
	if r.Status == "failed" || r.Status == "cancelled" || hasText(r.Error) {
		e := ReadError(r.Error)
		if e.Code == "" {
			e.Code = r.Status
		}
		return s.breakOff(e)
	}
	if r.Status != "completed" && r.Status != "incomplete" {
		return errors.New("it ended for a reason that is not known")
	}
	if len(r.Output) == 0 { // which some servers leave out, since all of it has come
		for i := range s.items {
			if !s.items[i].ended && r.Status == "completed" {
				return errors.New("it ended within one of its parts")
			}
		}
		r.Output = s.toldItems()
	}
	var told strings.Builder
	for i := range s.parts {
		told.WriteString(s.parts[i].text)
	}
	if whole, _ := r.words(); len(s.parts) > 0 && whole != told.String() {
		return errNotWhole
	}
	s.whole = r
	return s.compareCalls()
}

// toldItems returns the items as the events before the end have told them.
func (s *ResponseStream) toldItems() []outputItem {
	out := make([]outputItem, len(s.items))
	copy(out, s.items)
	for i := range out {
		out[i].Args = out[i].args
		if out[i].Type != "message" || len(out[i].Content) > 0 {
			continue
		}
		for _, p := range s.parts {
			if p.output == out[i].at {
				out[i].Content = append(out[i].Content, contentPart{Type: "output_text", Text: p.text})
			}
		}
	}
	return out
}

// compareCalls compares the calls that came in pieces with those of the whole response.
func (s *ResponseStream) compareCalls() error {
	var told []outputItem
	for _, item := range s.items {
		if item.Type == "function_call" {
			told = append(told, item)
		}
	}
	n := 0
	for _, item := range s.whole.Output {
		if item.Type != "function_call" {
			continue
		}
		if len(told) > 0 && (n >= len(told) || !told[n].endsAs(&item)) {
			return errNotWhole
		}
		n++
	}
	if len(told) > n && s.whole.Status == "completed" {
		return errNotWhole
	}
	return nil
}

// words returns all that is said; refused says that it is a refusal.
func (r *response) words() (text string, refused bool) {
	for _, item := range r.Output {
		for _, part := range item.Content {
			switch {
			case item.Type != "message":
			case part.Type == "refusal":
				text, refused = text+part.Refusal, true
			case part.Type == "output_text" || part.Type == "text":
				text += part.Text
			}
		}
	}
	return text, refused
}

// addWhole takes in a response that came in one piece.
func (s *ResponseStream) addWhole(data []byte) (text string, p Progress, err error) {
	var r response
	if json.Unmarshal(data, &r) != nil || r.Object != "response" {
		if told := ReadError(data); told.Message != "" {
			return "", Idle, s.breakOff(told)
		}
		return "", Idle, errors.New("an event is not what the API says")
	}
	if s.last > 0 || len(s.items) > 0 {
		return "", Idle, errors.New("two responses came in one stream")
	}
	if err := s.finish(&r); err != nil {
		return "", Idle, err
	}
	said, _ := r.words()
	text, _ = s.text.add(said)
	return text, Content, nil
}

// Reply returns the whole answer.
func (s *ResponseStream) Reply() (model.Reply, error) {
	w := s.whole
	if w == nil {
		return model.Reply{}, errors.New("it never said that it was done")
	}
	text, refused := w.words()
	said := answerText{}
	said.add(text)
	r := model.Reply{Text: said.finish(), Model: w.Model, ID: s.id, Tier: string(w.Tier), Stop: model.StopEnd}
	if r.Model == "" {
		r.Model = s.asked
	}
	if u := w.Usage; u != nil {
		r.Usage = model.Usage{In: int64(u.In), Out: int64(u.Out)}
		if u.Details != nil {
			r.Usage.CachedIn, r.Usage.Write5m = int64(u.Details.Cached), int64(u.Details.Write)
		}
		if u.Made != nil {
			r.Usage.Reasoning = int64(u.Made.Reasoning)
		}
	}
	switch {
	case refused:
		r.Stop = model.StopFilter
	case w.Status == "incomplete":
		end, known := ends[strings.ToLower(w.cutReason())]
		if !known || end == model.StopEnd || end == model.StopTools {
			return model.Reply{}, errors.New("it was cut for a reason that is not known")
		}
		r.Stop = end
	}
	if r.Stop != model.StopEnd { // a call may be cut, so none is passed on
		return r, nil
	}
	var calls []call
	for _, item := range w.Output {
		switch item.Type {
		case "function_call":
			calls = append(calls, call{id: item.CallID, name: item.Name, args: item.Args})
		case "message", "reasoning":
		default:
			return model.Reply{}, errors.New("it has a part that was not asked for")
		}
	}
	if err := addCalls(&r, calls, s.names); err != nil {
		return model.Reply{}, err
	}
	return r, nil
}

func (r *response) cutReason() string {
	if r.Cut == nil {
		return ""
	}
	return r.Cut.Reason
}
