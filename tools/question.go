package tools

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/writ-run/writ/policies/label"
)

// UserAsk is the name of the tool with which an agent asks its user something. It is no other tool's.
const UserAsk = "user.ask"

// A Question is what is asked with it.
type Question struct {
	Question string   `json:"question"`
	Choices  []string `json:"choices,omitempty"` // to choose from; any other answer is one, too
}

// An asking is the tool user.ask.
type asking struct{ spec Spec }

// AskUser returns the tool with which an agent asks its user something: the run waits, and what the user then sends to
// it, signed, is the call's result. What is answered is the user's own words, and trusted as far as those are.
func AskUser() Tool {
	return asking{Spec{
		Name: UserAsk, Class: Read, Output: &Output{Integrity: label.User, Secrecy: label.Session},
		About: "Asks the user one question, and waits for the answer. Use it only if you cannot go on without.",
		Schema: []byte(`{"type":"object","additionalProperties":false,"required":["question"],"properties":{` +
			`"question":{"type":"string","minLength":1,"maxLength":2000,"description":"One question, in plain words."},` +
			`"choices":{"type":"array","maxItems":16,"items":{"type":"string","minLength":1,"maxLength":200},` +
			`"description":"What to choose from, if that is known."}}}`),
	}}
}

func (a asking) Spec() Spec { return a.spec }

// Call is never made: the user answers, and not this program.
func (asking) Call(context.Context, Input) ([]byte, error) {
	return nil, errors.New("a question to the user is not a call that this program makes")
}

// IsQuestion says whether a tool is user.ask.
func (s *Spec) IsQuestion() bool { return s.Name == UserAsk && s.Class == Read && !s.Foreign }

// ReadQuestion reads the arguments of a call of user.ask.
func ReadQuestion(args []byte) (q Question, err error) {
	err = json.Unmarshal(args, &q)
	return q, err
}
