// Package dialect reads the bytes that providers of models answer with.
//
// [Read] makes a [model.Reply] of a whole response. The adapter that asked reads it by this package, and so does the
// auditor, years later, from the bytes that the record keeps: text, calls, ids, stop and usage must be what the bytes
// say, since one reader made both. [ChatStream] is the same reader, for one who wants the text as it comes.
//
// It is pure: no network, no clock, no SDK. What it does not understand is an error, and never half a reply.
package dialect

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/writ-run/writ/agent/model"
)

// The dialects. The record of a runtime names that of each model, so that its bytes can be read again.
const (
	Chat     = "chat"      // a stream of OpenAI's Chat Completions
	ChatJSON = "chat-json" // the same, its text being the JSON of one call or answer

	Responses = "responses" // a stream of OpenAI's Responses
	Messages  = "messages"  // a stream of Anthropic's Messages
)

// Known says whether name is a dialect.
func Known(name string) bool { return NewStream(name, Question{}) != nil }

// A Stream puts the events of one response together, as they come.
type Stream interface {
	// Add takes in the data of one event and returns the text that it adds to the answer for certain.
	Add(data []byte) (text string, p Progress, err error)
	// HasBegun says whether any text, thought or call has come.
	HasBegun() bool
	// IsFinished says whether all of the answer is there but what it used; a stream that breaks off then broke nothing.
	IsFinished() bool
	// IsDone says whether nothing may come any more.
	IsDone() bool
	// Counted says whether the provider has counted tokens.
	Counted() bool
	// Reply returns the whole answer, or why there is none.
	Reply() (model.Reply, error)
}

// NewStream returns a reader of the answer to q in a dialect; nil if there is no such dialect.
func NewStream(name string, q Question) Stream {
	switch name {
	case Chat, ChatJSON:
		return NewChatStream(q)
	case Responses:
		return NewResponseStream(q)
	case Messages:
		return NewMessageStream(q)
	}
	return nil
}

// ErrGoesOn says that a stream has more than the answer that it said was whole.
var ErrGoesOn = errors.New("it goes on after its end")

// IsEmpty says whether an answer that claims to be whole says nothing and asks for nothing.
func IsEmpty(r *model.Reply) bool {
	return r.Stop == model.StopEnd && r.Text == "" && len(r.Calls) == 0
}

// IsSameModel says whether a model that answered is the one that was asked, as far as names tell: providers leave out
// or add a vendor's name before a slash, and answer an alias by the version that stands behind it.
func IsSameModel(asked, answered string) bool {
	a, b := bareName(asked), bareName(answered)
	return a != "" && (a == b || isVersionOf(a, b))
}

// goesOnAs says whether two names in one stream can be of one model: providers write an alias first and what stands
// behind it later, or the other way round.
func goesOnAs(one, other string) bool {
	a, b := bareName(one), bareName(other)
	return a == b || isVersionOf(a, b) || isVersionOf(b, a)
}

// bareName is a model's name without its vendor and without the variants of OpenRouter and Ollama. Vertex writes a
// version behind an @.
func bareName(name string) string {
	name = strings.ToLower(name[strings.LastIndexByte(name, '/')+1:])
	name, _, _ = strings.Cut(name, ":")
	return strings.TrimSuffix(strings.ReplaceAll(name, "@", "-"), "-latest")
}

// A version is a date or a number of at least three digits: claude-opus-4-1 is no version of claude-opus-4, nor
// gpt-4o-mini of gpt-4o.
var version = regexp.MustCompile(`^-[0-9]{3,}(-[0-9]+)*$`)

func isVersionOf(alias, name string) bool {
	behind, is := strings.CutPrefix(name, alias)
	return is && version.MatchString(behind)
}

// errOtherModel says that a provider has put two models' answers into one.
var errOtherModel = errors.New("its parts are of two models")

// toolNames gives tools' names by their names on the wire.
type toolNames map[string]string

func namesOf(q Question) toolNames {
	names := toolNames{}
	for _, name := range q.Tools {
		names[WireName(name)] = name
	}
	return names
}

// find returns the name that a tool has here. One that is not known is refused by the loop, with the name that it would
// have.
func (n toolNames) find(wire string) string {
	if name, known := n[wire]; known {
		return name
	}
	return strings.ReplaceAll(wire, "__", ".")
}

// A Question is what the reading of an answer rests on besides its bytes.
type Question struct {
	Model string   // that was asked; who answered, if the answer names nobody
	Tools []string // that were offered, by their names here
}

// Read reads a whole response of a dialect. The reply's Request, Response and TTFT are left empty. counted says whether
// the provider counted tokens; if it did not, the usage is zero and no price follows from it.
func Read(name string, response []byte, q Question) (r model.Reply, counted bool, err error) {
	if !Known(name) {
		return r, false, fmt.Errorf("no dialect is called %q", name)
	}
	s := NewStream(name, q)
	var events Events
	add := func(data []byte) error {
		if events.IsDone() || s.IsDone() {
			return ErrGoesOn
		}
		_, _, err := s.Add(data)
		return err
	}
	if err = events.Feed(response, add); err == nil {
		err = events.End(add)
	}
	if err != nil {
		return model.Reply{}, false, err
	}
	if r, err = s.Reply(); err == nil && name == ChatJSON {
		r, err = unfoldReply(r)
	}
	if err != nil {
		return model.Reply{}, false, err
	}
	return r, s.Counted(), nil
}

// WireName is a tool's name as the APIs allow it: no dots.
func WireName(name string) string { return strings.ReplaceAll(name, ".", "__") }

// unfoldReply makes a reply of the text of a constrained one.
func unfoldReply(r model.Reply) (model.Reply, error) {
	if r.Stop != model.StopEnd {
		r.Text = ""
		return r, nil
	}
	var in struct {
		Tool *string         `json:"tool"`
		Args json.RawMessage `json:"args"`
		Say  *string         `json:"say"`
	}
	dec := json.NewDecoder(strings.NewReader(r.Text))
	dec.DisallowUnknownFields()
	if dec.Decode(&in) != nil || dec.More() || (in.Tool == nil) == (in.Say == nil) {
		return model.Reply{}, errors.New("it is not what the schema asks for; the server may not support response_format")
	}
	if in.Say != nil {
		r.Text = *in.Say
		return r, nil
	}
	r.Text, r.Stop = "", model.StopTools
	r.Calls = []model.Call{{ID: "call-1", Tool: *in.Tool, Args: in.Args}}
	return r, nil
}
