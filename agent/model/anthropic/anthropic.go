// Package anthropic asks models behind Anthropic's Messages API, and servers that speak the same dialect.
//
// A [Model] makes the body of one streamed request of a prompt, and package endpoint sends it, once. What a prompt has
// in common with the one before comes first and in the same order: tools, instructions, conversation; breakpoints for
// the provider's cache stand behind the first two and at the end, where the next turn goes on.
package anthropic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/agent/model/endpoint"
)

// Version is that of the API.
const Version = "2023-06-01"

// Config says which model is asked, and how.
type Config struct {
	// Endpoint says where. Its Path, Dialect, KeyHeader and Header are set here.
	endpoint.Config
	Temperature *float64 // sent if it is set
	// NoCache leaves the breakpoints out: for servers that do not know them.
	NoCache bool
	// Tier is the service tier that is asked for, whose price is known; none if empty.
	Tier string
}

// A Model asks one model at one endpoint. It may be used by many goroutines at once.
type Model struct {
	*endpoint.Endpoint
	cfg Config
}

// New returns a Model, or an error that names the first field that is wrong. Nothing is connected yet.
func New(c Config) (*Model, error) {
	c.Path, c.Dialect, c.KeyHeader = "messages", dialect.Messages, "X-Api-Key"
	c.Header = http.Header{"Anthropic-Version": {Version}}
	e, err := endpoint.New(c.Config)
	if err != nil {
		return nil, err
	}
	return &Model{Endpoint: e, cfg: c}, nil
}

// Reply answers p, whole, or fails with a [*fault.Fault].
func (m *Model) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	return m.Stream(ctx, p, nil)
}

// Stream answers p as [Model.Reply] does, and gives each piece of text to delta as it comes. What was given to delta
// is void if Stream fails.
func (m *Model) Stream(ctx context.Context, p model.Prompt, delta func(text string)) (model.Reply, error) {
	names, req, err := m.buildRequest(p)
	if err == nil {
		var body []byte
		if body, err = json.Marshal(req); err == nil {
			return m.Ask(ctx, body, names, delta)
		}
	}
	return model.Reply{}, m.RefusePrompt(err)
}

// A request is the body, its fields in the order in which the provider's cache compares them.
type request struct {
	Model       string    `json:"model"`
	MaxTokens   int64     `json:"max_tokens"`
	Stream      bool      `json:"stream"`
	Temperature *float64  `json:"temperature,omitempty"`
	Tier        string    `json:"service_tier,omitempty"`
	Tools       []tool    `json:"tools,omitempty"`
	System      []block   `json:"system,omitempty"`
	Messages    []message `json:"messages"`
	Output      *output   `json:"output_config,omitempty"`
}

// An output says what the answer must look like.
type output struct {
	Format struct {
		Type   string          `json:"type"`
		Schema json.RawMessage `json:"schema"`
	} `json:"format"`
}

type tool struct {
	Name   string          `json:"name"`
	About  string          `json:"description,omitempty"`
	Schema json.RawMessage `json:"input_schema"`
	Cache  *breakpoint     `json:"cache_control,omitempty"`
}

type message struct {
	Role    string  `json:"role"`
	Content []block `json:"content"`
}

// A block is a part of a message: a text, a call, or the answer to one.
type block struct {
	Type    string          `json:"type"`
	Text    string          `json:"text,omitempty"`
	ID      string          `json:"id,omitempty"`
	Name    string          `json:"name,omitempty"`
	Input   json.RawMessage `json:"input,omitempty"`
	CallID  string          `json:"tool_use_id,omitempty"`
	Content string          `json:"content,omitempty"`
	Source  *source         `json:"source,omitempty"`
	Cache   *breakpoint     `json:"cache_control,omitempty"`
}

// A source is an image.
type source struct {
	Type  string `json:"type"`
	Media string `json:"media_type"`
	Data  []byte `json:"data"` // as JSON, base64
}

type breakpoint struct {
	Type string `json:"type"`
}

// buildRequest makes a request. names are those of the tools that it offers.
func (m *Model) buildRequest(p model.Prompt) (names []string, req *request, err error) {
	req = &request{
		Model: m.cfg.Model, MaxTokens: m.Limit(p), Stream: true, Temperature: m.cfg.Temperature, Tier: m.cfg.Tier,
	}
	if names, err = dialect.CheckNames(p.Tools); err != nil {
		return nil, nil, err
	}
	for _, t := range p.Tools {
		schema := t.Schema
		if len(schema) == 0 {
			schema = json.RawMessage(`{"type":"object"}`)
		}
		if schema[0] != '{' || !json.Valid(schema) {
			return nil, nil, fmt.Errorf("the schema of the tool %s is no JSON object", t.Name)
		}
		req.Tools = append(req.Tools, tool{Name: dialect.WireName(t.Name), About: t.About, Schema: schema})
	}
	if p.System != "" {
		req.System = []block{{Type: "text", Text: p.System}}
	}
	for _, msg := range p.Messages {
		if err := req.addMessage(msg); err != nil {
			return nil, nil, err
		}
	}
	if len(req.Messages) == 0 {
		return nil, nil, errors.New("it has no message")
	}
	if !m.cfg.NoCache {
		req.markCache()
	}
	if schema := m.AnswerSchema(p); schema != nil {
		req.Output = &output{}
		req.Output.Format.Type, req.Output.Format.Schema = "json_schema", schema
	}
	return names, req, nil
}

// addMessage adds a message. The API wants the roles in turn, so what follows in one role is one message.
func (r *request) addMessage(msg model.Message) error {
	role, blocks := "user", []block(nil)
	switch msg.Role {
	case model.RoleSystem: // the runtime's own word within the conversation, which has no role of its own there
		blocks = textBlock("[system] " + msg.Text)
	case model.RoleUser:
		for _, f := range msg.Files { // before the question, as the API's guide wants it
			if f.IsImage() {
				blocks = append(blocks, block{Type: "image", Source: &source{"base64", f.Type, f.Data}})
			} else {
				blocks = append(blocks, textBlock(f.Quote())...)
			}
		}
		blocks = append(blocks, textBlock(msg.Text)...)
	case model.RoleTool:
		blocks = []block{{Type: "tool_result", CallID: msg.CallID, Content: msg.Text}}
	case model.RoleAssistant:
		role, blocks = "assistant", textBlock(msg.Text)
		for _, c := range msg.Calls {
			blocks = append(blocks, block{
				Type: "tool_use", ID: c.ID, Name: dialect.WireName(c.Tool), Input: dialect.ValidArgs(c.Args),
			})
		}
	default:
		return fmt.Errorf("a message has the role %q", msg.Role)
	}
	if len(blocks) == 0 { // the API refuses a message without content
		return nil
	}
	if n := len(r.Messages); n > 0 && r.Messages[n-1].Role == role {
		r.Messages[n-1].Content = append(r.Messages[n-1].Content, blocks...)
		return nil
	}
	r.Messages = append(r.Messages, message{role, blocks})
	return nil
}

// textBlock is a text; the API refuses an empty one.
func textBlock(text string) []block {
	if text == "" {
		return nil
	}
	return []block{{Type: "text", Text: text}}
}

// markCache sets the breakpoints: all before one of them is kept.
func (r *request) markCache() {
	ephemeral := &breakpoint{"ephemeral"}
	if n := len(r.System); n > 0 {
		r.System[n-1].Cache = ephemeral
	} else if n := len(r.Tools); n > 0 {
		r.Tools[n-1].Cache = ephemeral
	}
	last := r.Messages[len(r.Messages)-1].Content
	last[len(last)-1].Cache = ephemeral
}
