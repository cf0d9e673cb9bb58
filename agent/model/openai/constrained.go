package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/shared"

	"github.com/writ-run/writ/agent/model"
)

// Constrained calls are for small models, whose own tool calls cannot be relied on. The model answers with one JSON
// object, {"tool", "args"} or {"say"}, under a JSON schema that the server turns into a grammar. This is what makes
// that work with models of a few hundred million parameters:
//
//   - The schema is made for the request: a value can only be a word of the request that has the shape of its
//     property, so the model chooses but cannot invent an address, a token or an amount. A tool that the request
//     cannot fill, or that has no place for a figure or a token in it, is not offered.
//   - A tool that counts an amount is not offered to what reads like a question, a negation or a condition: models of
//     this size send all the same.
//   - Each tool that is offered is shown by examples made from those of its utterances that are nearest to the request.
//
// After a tool's result only {"say"} is left, so that a request comes to one call at most.

const (
	maxRequestWords = 64
	perTool         = 2 // examples
	maxSay          = 400
)

// A shape is what a word must look like to fill a property, and what it is in examples.
type shape struct {
	match    *regexp.Regexp
	examples [3]string
}

var shapes = map[string]shape{
	"address": {regexp.MustCompile(`^(0[xX][0-9a-fA-F]{40}|[a-z][a-z0-9._-]{0,63})$`), [3]string{"carol", "erin",
		"grace"}},
	"token":  {regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{1,10}$`), [3]string{"DAI", "WETH", "GLD"}},
	"amount": {regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]+)?$`), [3]string{"20", "3", "450"}},
	"thing":  {regexp.MustCompile(`^(0|[1-9][0-9]{0,77})$`), [3]string{"7", "12", "365"}},
	"block":  {regexp.MustCompile(`^(latest|[0-9]{1,19})$`), [3]string{"31", "8", "999"}},
	"hash": {regexp.MustCompile(`^0x[0-9a-f]{64}$`), [3]string{
		"0x" + strings.Repeat("cd", 32), "0x" + strings.Repeat("ef", 32), "0x" + strings.Repeat("12", 32),
	}},
}

// doubtful are words that make a request something else than an order; a question mark is kept as a word for it.
var doubtful = regexp.MustCompile(`(?i)^(.*n't|not|dont|never|no|none|without|if|unless|when|until|should|would|could|might|` +
	`maybe|what|why|how|did|does|was|is|said|stop|cancel|tomorrow|later|every|\?)$`)

var symbol = regexp.MustCompile(`^[A-Z][A-Z0-9]{1,10}$`)

// property is as much of a tool's schema as is needed here.
type property struct {
	Type   string            `json:"type"`
	Format string            `json:"format,omitempty"`
	Enum   []json.RawMessage `json:"enum,omitempty"`
	whole  json.RawMessage   // as it stands in the schema
}

func (p *property) UnmarshalJSON(b []byte) error {
	type plain property
	p.whole = bytes.Clone(b)
	return json.Unmarshal(b, (*plain)(p))
}

type toolSchema struct {
	Properties map[string]property `json:"properties"`
	Required   []string            `json:"required"`
}

func (s *toolSchema) hasFormat(formats ...string) bool {
	for _, p := range s.Properties {
		if slices.Contains(formats, p.Format) {
			return true
		}
	}
	return false
}

// constrainRequest makes the body of a request for a constrained call.
func (m *Model) constrainRequest(p model.Prompt, params *sdk.ChatCompletionNewParams) error {
	request, answered := "", false
	for _, msg := range p.Messages {
		switch msg.Role {
		case model.RoleUser:
			request, answered = msg.Text, false
		case model.RoleTool:
			answered = true
		}
	}
	alternatives := []any{objectSchema(map[string]any{"say": map[string]any{"type": "string", "maxLength": maxSay}})}
	var examples []example
	if !answered {
		ws := requestWords(request)
		for i, t := range p.Tools {
			var s toolSchema
			if len(t.Schema) > 0 && json.Unmarshal(t.Schema, &s) != nil {
				return errors.New("the schema of the tool " + t.Name + " is no JSON object")
			}
			args, ok := s.fillArguments(ws)
			if !ok {
				continue
			}
			alternatives = append(alternatives, objectSchema(map[string]any{"tool": map[string]any{"const": t.Name},
				"args": args}))
			var own []example
			for j, u := range t.Utterances {
				own = append(own, example{s.exampleCall(t.Name, u, i+j), countShared(u, ws)})
			}
			slices.SortStableFunc(own, func(a, b example) int { return b.near - a.near })
			examples = append(examples, own[:min(perTool, len(own))]...)
		}
	}
	slices.SortStableFunc(examples, func(a, b example) int { return a.near - b.near }) // the nearest is read last
	if answered {
		for _, e := range answers {
			examples = append(examples, example{text: "\nRequest: Result: " + e[0] + "\nReply: " +
				encodeLine(map[string]string{"say": e[1]})})
		}
	}
	system := p.System + "\n"
	for _, e := range examples {
		system += "\n" + e.text
	}
	system = strings.TrimSpace(system)
	if system != "" {
		params.Messages = append(params.Messages, sdk.SystemMessage(system))
	}
	for _, msg := range p.Messages {
		params.Messages = append(params.Messages, spokenMessages(msg)...)
	}
	params.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
		JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "reply",
			Schema: map[string]any{"anyOf": alternatives}},
	}
	return nil
}

// answers show how a result is put into words. Without them a small model chats.
var answers = [][2]string{
	{`{"display":"8 DAI","block":"30"}`, "8 DAI at block 30."},
	{`{"denied":{"rule":"cap","message":"70 GLD is over the cap."}}`, "Not done: 70 GLD is over the cap."},
	{`{"hash":"0x34","block":"41","status":"ok"}`, "Done in block 41, transaction 0x34."},
	{`{"error":"the node is down"}`, "That failed: the node is down."},
	{`{"display":"120.5 WETH","block":"44"}`, "120.5 WETH at block 44."},
}

// An example shows a tool. near is how near it is to the request.
type example struct {
	text string
	near int
}

// countShared counts the words that an utterance and a request share.
func countShared(utterance string, ws []string) int {
	n := 0
	said := strings.Fields(strings.ToLower(strings.ReplaceAll(utterance, "'s", " ")))
	for _, w := range ws {
		if slices.Contains(said, strings.ToLower(w)) {
			n++
		}
	}
	return n
}

// spokenMessages is a message in the form of the examples.
func spokenMessages(msg model.Message) []sdk.ChatCompletionMessageParamUnion {
	switch msg.Role {
	case model.RoleSystem:
		return []sdk.ChatCompletionMessageParamUnion{sdk.SystemMessage(msg.Text)}
	case model.RoleTool:
		return []sdk.ChatCompletionMessageParamUnion{sdk.UserMessage("Result: " + msg.Text)}
	case model.RoleUser:
		said := ""
		for _, f := range msg.Files {
			if !f.IsImage() {
				said += f.Quote() + "\n"
			}
		}
		return []sdk.ChatCompletionMessageParamUnion{sdk.UserMessage(said + msg.Text)}
	}
	var out []sdk.ChatCompletionMessageParamUnion
	if msg.Text != "" {
		out = append(out, sdk.AssistantMessage(encodeLine(map[string]string{"say": msg.Text})))
	}
	for _, c := range msg.Calls {
		var args any = string(c.Args)
		if json.Valid(c.Args) {
			args = json.RawMessage(c.Args)
		}
		out = append(out, sdk.AssistantMessage(encodeLine(action{c.Tool, args})))
	}
	return out
}

type action struct {
	Tool string `json:"tool"`
	Args any    `json:"args"`
}

func encodeLine(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // strings and valid JSON marshal
		return "{}"
	}
	return string(b)
}

// objectSchema is the schema of an object with just these properties.
func objectSchema(properties map[string]any) map[string]any {
	required := []string{}
	for k := range properties {
		required = append(required, k)
	}
	slices.Sort(required)
	return map[string]any{"type": "object", "additionalProperties": false, "required": required, "properties": properties}
}

// requestWords returns the words of a request, at most maxRequestWords, with the case of names folded away.
func requestWords(request string) []string {
	var out []string
	request = strings.NewReplacer("\u2019s ", " ", "'s ", " ", "\u2019", "'", "?", " ? ").Replace(request)
	for _, f := range strings.Fields(request) {
		if f == "?" && len(out) < maxRequestWords {
			out = append(out, f)
			continue
		}
		f = strings.Trim(f, `?!.,;:"'()`)
		if len(out) < maxRequestWords && f != "" && len(f) <= 80 {
			out = append(out, f)
		}
	}
	return out
}

// fillArguments returns the schema of the arguments with what the words can fill. ok is false if they cannot fill what
// is required, or if they hold a figure, a symbol or a hash that the tool has no place for.
func (s *toolSchema) fillArguments(ws []string) (schema map[string]any, ok bool) {
	if s.hasFormat("amount") && slices.ContainsFunc(ws, func(w string) bool { return doubtful.MatchString(w) }) {
		return nil, false
	}
	places := map[string][]string{"amount": {"amount"}, "token": {"token"}, "hash": {"hash"}}
	if slices.ContainsFunc(ws, func(w string) bool { return strings.EqualFold(w, "block") }) {
		places["amount"] = []string{"block"}
	}
	for _, w := range ws {
		for format, any := range places {
			is := shapes[format].match.MatchString(w) && (format != "token" || symbol.MatchString(w))
			if is && !s.hasFormat(any...) {
				return nil, false
			}
		}
	}
	properties := map[string]any{}
	for name, p := range s.Properties {
		required := slices.Contains(s.Required, name)
		switch sh, known := shapes[p.Format]; {
		case known && p.Type == "string":
			values := sh.candidateWords(p.Format, ws)
			if len(values) == 0 && required {
				return nil, false
			}
			if required {
				properties[name] = map[string]any{"enum": values}
			}
		case required: // a plain text or number is the model's own
			properties[name] = p.askedSchema()
		}
	}
	return objectSchema(properties), true
}

// askedSchema is what the model is asked for: of a plain value its type, of one with parts all of its schema.
func (p *property) askedSchema() any {
	if p.Type == "object" || p.Type == "array" || p.Type == "" {
		return p.whole
	}
	return p
}

// candidateWords returns the words that have the shape, sorted, each once. Symbols in capitals go before other words.
func (s shape) candidateWords(format string, ws []string) []string {
	var out, symbols []string
	for _, w := range ws {
		if format == "address" && !strings.HasPrefix(w, "0") {
			if symbol.MatchString(w) {
				continue
			}
			w = strings.ToLower(w)
		}
		if !s.match.MatchString(w) {
			continue
		}
		out = append(out, w)
		if symbol.MatchString(w) {
			symbols = append(symbols, w)
		}
	}
	if format == "token" && len(symbols) > 0 {
		out = symbols
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var slot = regexp.MustCompile(`\{[a-zA-Z0-9_]+\}`)

// exampleCall is an utterance with its slots filled, and the call that it means. n varies what they are filled with.
func (s *toolSchema) exampleCall(tool, utterance string, n int) string {
	args := map[string]string{}
	said := slot.ReplaceAllStringFunc(utterance, func(in string) string {
		name := strings.Trim(in, "{}")
		v := "something"
		if sh, ok := shapes[s.Properties[name].Format]; ok {
			v = sh.examples[n%len(sh.examples)]
		}
		args[name] = v
		return v
	})
	return "\nRequest: " + said + "\nReply: " + encodeLine(action{tool, args})
}
