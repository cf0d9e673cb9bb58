// Package foreign reads requests in the form of another API: OpenAI's Chat Completions and Responses, Anthropic's
// Messages.
//
// [Read] says what a body asks; what would mean something else here is refused. [ReadAsk] makes of a body that its
// sender signed, as it was recorded, the params that it stands for. The server asks the agent by it, and an auditor
// reads the same bytes by it again, so it looks at nothing else: no clock, no network, no run before. What was recorded
// stays readable, so a change here may only take what was refused: testdata/asks.json holds what bodies say.
package foreign

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/strictjson"
)

// A Form is that of one API. In a record it is the method of the request.
type Form string

// The forms. Their requests are posted to /v1/ and the form, with / for the dot.
const (
	Chat      Form = "chat.completions"
	Responses Form = "responses"
	Messages  Form = "messages"
)

// IsForm says whether a method is one of the forms.
func IsForm(method string) bool { return known[Form(method)] != nil }

// known lists the members of a body that mean something here, or are ignored without harm; false says ignored.
var known = map[Form]map[string]bool{
	Chat: {
		"model": true, "messages": true, "stream": true, "stream_options": true, "n": true,
		"response_format": true, "tools": true, "tool_choice": true,
		"temperature": false, "top_p": false, "seed": false, "user": false, "metadata": false, "store": false,
		"stop":       false,
		"max_tokens": false, "max_completion_tokens": false, "presence_penalty": false, "frequency_penalty": false,
		"reasoning_effort": false, "service_tier": false, "safety_identifier": false, "prompt_cache_key": false,
		"verbosity": false, "parallel_tool_calls": false,
	},
	Responses: {
		"model": true, "input": true, "instructions": true, "stream": true, "text": true,
		"tools": true, "tool_choice": true,
		"temperature": false, "top_p": false, "user": false, "metadata": false, "store": false, "max_output_tokens": false,
		"reasoning": false, "service_tier": false, "safety_identifier": false, "prompt_cache_key": false, "include": false,
		"parallel_tool_calls": false, "truncation": false,
	},
	Messages: {
		"model": true, "messages": true, "system": true, "stream": true,
		"output_config": true, "output_format": true, "tools": true, "tool_choice": true,
		"max_tokens": false, "temperature": false, "top_p": false, "top_k": false, "metadata": false, "service_tier": false,
		"stop_sequences": false, "thinking": false,
	},
}

// A Request is what a body asks.
type Request struct {
	Model  string
	Text   string
	Stream bool
	Usage  bool            // the client wants the usage in the stream
	Schema json.RawMessage // that the answer must fit; any text if nil
	Tools  []wire.ClientTool
	Forced string // the tool that the answer must be a call of, whose schema is the answer's
	// Reports are what came of calls that an answer before asked for; there is no text with them.
	Reports []Report
	Quoting *Quoting // what the text is made of, if it is still to be made

	Files   []wire.Attached // the images of the conversation
	Data    [][]byte        // their bytes
	Ignored []string        // the members that mean nothing here, sorted
}

// A Report is what a client says came of a call.
type Report struct {
	ID     string // of the call, as the answer named it
	Output string
	Failed bool
}

// AnswerID begins the id of a call that was an answer, whose run is over.
const AnswerID = "answer_"

// Read reads a body, which the caller has bounded. The error is a [*wire.Error] with a sentence for the client.
func Read(f Form, body []byte) (*Request, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return nil, wire.Errorf(wire.CodeParse, "The body is not a JSON object.")
	}
	if err := strictjson.CheckDoubled(body); err != nil {
		return nil, wire.Errorf(wire.CodeParse, "The body cannot be read as one thing: %v.", err)
	}
	var ignored []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		used, ok := known[f][name]
		switch {
		case IsEmpty(members[name]) || used:
		case ok:
			ignored = append(ignored, name)
		default:
			return nil, wire.Errorf(wire.CodeParams, "%q is not taken here; leave it out.", name)
		}
	}
	read := map[Form]func(*Request, map[string]json.RawMessage) error{
		Chat: (*Request).readChat, Responses: (*Request).readResponses, Messages: (*Request).readMessages,
	}[f]
	r := &Request{Ignored: ignored}
	return r, read(r, members)
}

// IsEmpty reports whether a value asks for nothing: clients write out what they leave alone.
func IsEmpty(v json.RawMessage) bool {
	switch strings.TrimSpace(string(v)) {
	case "", "null", "[]", "{}", "false":
		return true
	}
	return false
}

// MaxText bounds what a request may say, in bytes of its text.
const MaxText = 64 << 10

// Start returns the params of run.start that a request stands for: what it asks an agent, under an idempotency key. The
// request has a text, and quotes nothing that is still to be read.
func (r *Request) Start(agent, key string) (wire.StartParams, error) {
	if n := len(r.Text); n == 0 || n > MaxText {
		return wire.StartParams{}, wire.Errorf(wire.CodeParams, "The messages have %d bytes of text; 1 to %d are taken.", n,
			MaxText)
	}
	return wire.StartParams{
		Agent: agent, Input: r.Text, Key: key, Answer: r.Schema, Tools: r.Tools, Files: r.Files,
	}, nil
}

// Agent returns the agent that a request names as its model.
func (r *Request) Agent() string { return strings.TrimPrefix(r.Model, "writ/") }

// ReadAsk reads the request that opens a run, as it was signed and recorded: the params of a method of the protocol, as
// wire.ReadAsk does, or a body of a [Form]. Of such a body the params have a key that says nothing.
func ReadAsk(method string, params []byte) (p wire.StartParams, step string, err error) {
	if !IsForm(method) {
		return wire.ReadAsk(method, params)
	}
	r, err := ReadSigned(Form(method), params)
	switch {
	case err != nil:
		return p, "", err
	case len(r.Reports) > 0:
		return p, "", wire.Errorf(wire.CodeParams, "The newest messages are results of calls, which open no run.")
	}
	if p, err = r.Start(r.Agent(), "signed-request"); err != nil {
		return p, "", err
	}
	raw, err := json.Marshal(p) // the bounds of its fields are those of the protocol
	if err != nil {
		return p, "", wire.Errorf(wire.CodeParams, "A schema of the request is no JSON.")
	}
	p = wire.StartParams{}
	return p, "", wire.DecodeStrict(raw, &p)
}

// ReadSigned reads a body that is recorded as it is: at most [wire.MaxFrame] bytes, which say all by themselves and
// have a salt.
func ReadSigned(f Form, body []byte) (*Request, error) {
	if len(body) > wire.MaxFrame {
		return nil, wire.Errorf(wire.CodeParams, "A signed body has %d bytes; at most %d are taken.", len(body),
			wire.MaxFrame)
	}
	r, err := Read(f, body)
	if err == nil {
		err = checkSalt(body)
	}
	if err == nil && r.Quoting != nil {
		return nil, wire.Errorf(wire.CodeParams, "A signed request says all by itself: it refers to an answer by its id; "+
			"send what the answer says.")
	}
	return r, err
}

// Bounds of a signed body's salt, in characters: 16 bytes of chance in base64 are 22.
const minSalt, maxSalt = 22, 64

// checkSalt refuses a body without chance of its client's. The digest of a signed body stands in its signature, which
// a record shows to all; of a body that can be guessed it would tell a right guess. No API minds such a member.
func checkSalt(body []byte) error {
	var b struct {
		Metadata struct {
			Salt string `json:"writ_salt"`
		} `json:"metadata"`
	}
	if json.Unmarshal(body, &b) == nil && len(b.Metadata.Salt) >= minSalt && len(b.Metadata.Salt) <= maxSalt {
		return nil
	}
	return wire.Errorf(wire.CodeParams, `A signed body needs chance, so that nobody guesses it by its digest: add `+
		`"metadata": {"writ_salt": TEXT}, with 16 new random bytes or more in base64 or hex, %d to %d characters.`,
		minSalt, maxSalt)
}

func (r *Request) readChat(body map[string]json.RawMessage) (err error) {
	var all []message
	var options struct {
		Usage bool `json:"include_usage"`
	}
	n := 1
	if err := errors.Join(field(body, "model", &r.Model), field(body, "messages", &all), field(body, "stream", &r.Stream),
		field(body, "stream_options", &options), field(body, "n", &n)); err != nil {
		return wire.Errorf(wire.CodeParams, "%v", err)
	}
	if n != 1 {
		return wire.Errorf(wire.CodeParams, `"n" is %d; one answer is given.`, n)
	}
	r.Usage = options.Usage
	var format formatted
	if err := field(body, "response_format", &format); err != nil {
		return err
	}
	if r.Schema, err = format.schema(); err != nil {
		return err
	}
	if err = r.readTools(body); err == nil {
		err = r.readConversation("", all)
	}
	return err
}

func (r *Request) readResponses(body map[string]json.RawMessage) (err error) {
	var instructions string
	var config struct {
		Format formatted `json:"format"`
	}
	if err := errors.Join(field(body, "model", &r.Model), field(body, "stream", &r.Stream),
		field(body, "instructions", &instructions), field(body, "text", &config)); err != nil {
		return wire.Errorf(wire.CodeParams, "%v", err)
	}
	if r.Schema, err = config.Format.schema(); err != nil {
		return err
	}
	var all []message
	var text string
	switch raw := body["input"]; {
	case json.Unmarshal(raw, &text) == nil:
		content, err := json.Marshal(text)
		if err != nil {
			return wire.Errorf(wire.CodeParams, "%q is no text.", "input")
		}
		all = []message{{Role: "user", Content: content}}
	case json.Unmarshal(raw, &all) != nil:
		return wire.Errorf(wire.CodeParams, `"input" must be a text or a list of messages.`)
	}
	if err = r.readTools(body); err == nil {
		err = r.readConversation(instructions, all)
	}
	return err
}

func (r *Request) readMessages(body map[string]json.RawMessage) (err error) {
	var all []message
	err = errors.Join(
		field(body, "model", &r.Model), field(body, "messages", &all), field(body, "stream", &r.Stream),
	)
	if err != nil {
		return wire.Errorf(wire.CodeParams, "%v", err)
	}
	var config struct {
		Format formatted `json:"format"`
	}
	err = errors.Join(field(body, "output_config", &config), field(body, "output_format", &config.Format))
	if err == nil {
		r.Schema, err = config.Format.schema()
	}
	if err != nil {
		return err
	}
	system := ""
	if raw, ok := body["system"]; ok && !IsEmpty(raw) {
		if system, err = textOfContent(raw); err != nil {
			return err
		}
	}
	if err = r.readTools(body); err == nil {
		err = r.readConversation(system, all)
	}
	return err
}
