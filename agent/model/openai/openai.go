// Package openai asks models behind OpenAI's Chat Completions and Responses APIs: OpenAI itself, and every server that
// speaks the same dialects, such as Ollama, llama.cpp, vLLM, LM Studio and OpenRouter.
//
// A [Model] makes the body of one streamed request of a prompt, in the types of the official SDK, and package endpoint
// sends it, once. Arguments are passed on as the model wrote them, right or wrong. Nothing is taken from the
// environment: the SDK's own client would send OPENAI_API_KEY to any base URL, and so it is not used.
package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/shared"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/agent/model/endpoint"
)

// Config says which model is asked, and how.
type Config struct {
	// Endpoint says where. Its Path and Dialect are set here.
	endpoint.Config
	// Responses asks by the Responses API instead of Chat Completions.
	Responses bool
	// Temperature is sent if it is set. Some models accept none; small ones call tools best at 0.
	Temperature *float64
	// Constrained asks for tool calls as JSON under a schema made for the request, instead of the API's own tool
	// calls: for small models on servers that enforce response_format. A request then comes to one call at most,
	// and text is not streamed. Only with Chat Completions.
	Constrained bool
	// Completion names the limit of an answer "max_completion_tokens", as OpenAI's newer models want it.
	Completion bool
	// NoOptions leaves "stream_options" out, for servers that refuse it and count tokens all the same.
	NoOptions bool
	// CacheKey sends the prompt's key for the provider's cache.
	CacheKey bool
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
	c.Path, c.Dialect = "chat/completions", dialect.Chat
	switch {
	case c.Responses && c.Constrained:
		return nil, errors.New("a constrained model is asked by Chat Completions and not by Responses")
	case c.Responses:
		c.Path, c.Dialect = "responses", dialect.Responses
	case c.Constrained:
		c.Dialect = dialect.ChatJSON
	}
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
	names, body, err := m.encodeRequest(p)
	if err != nil {
		return model.Reply{}, m.RefusePrompt(err)
	}
	if !m.cfg.Constrained {
		return m.Ask(ctx, body, names, delta)
	}
	reply, err := m.Ask(ctx, body, names, nil)
	if err == nil && reply.Text != "" && delta != nil {
		delta(reply.Text)
	}
	return reply, err
}

// encodeRequest makes the body of a request. names are those of the tools that it offers by the API's own means.
func (m *Model) encodeRequest(p model.Prompt) (names []string, body []byte, err error) {
	var params any
	if m.cfg.Responses {
		names, params, err = m.buildResponses(p)
	} else {
		names, params, err = m.buildRequest(p)
	}
	if err != nil {
		return nil, nil, err
	}
	body, err = json.Marshal(params)
	if err != nil || len(body) < 2 {
		return nil, nil, errors.New("it is no JSON")
	}
	return names, append(body[:len(body)-1], `,"stream":true}`...), nil // the SDK's types have no field for it
}

// buildRequest makes the body of a request. names are those of the tools that it offers by the API's own means.
func (m *Model) buildRequest(p model.Prompt) (names []string, params sdk.ChatCompletionNewParams, err error) {
	params.Model = m.cfg.Model
	if limit := m.Limit(p); m.cfg.Completion {
		params.MaxCompletionTokens = sdk.Int(limit)
	} else {
		params.MaxTokens = sdk.Int(limit)
	}
	if m.cfg.CacheKey && p.CacheKey != "" {
		params.PromptCacheKey = sdk.String(p.CacheKey)
	}
	params.ServiceTier = sdk.ChatCompletionNewParamsServiceTier(m.cfg.Tier)
	if m.cfg.Temperature != nil {
		params.Temperature = sdk.Float(*m.cfg.Temperature)
	}
	if !m.cfg.NoOptions {
		params.StreamOptions.IncludeUsage = sdk.Bool(true)
	}
	if m.cfg.Constrained {
		err = m.constrainRequest(p, &params)
		return names, params, err
	}
	if names, err = dialect.CheckNames(p.Tools); err != nil {
		return nil, params, err
	}
	if schema := m.AnswerSchema(p); schema != nil {
		params.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
			JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "answer", Schema: schema},
		}
	}
	for _, t := range p.Tools {
		f := sdk.FunctionDefinitionParam{Name: dialect.WireName(t.Name)}
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
			params.Messages = append(params.Messages, userMessage(msg))
		case model.RoleTool:
			params.Messages = append(params.Messages, sdk.ToolMessage(msg.Text, msg.CallID))
		case model.RoleAssistant:
			params.Messages = append(params.Messages, assistantMessage(msg))
		default:
			return nil, params, fmt.Errorf("a message has the role %q", msg.Role)
		}
	}
	return names, params, nil
}

// userMessage is a text, as every server takes it, or parts if there are files.
func userMessage(msg model.Message) sdk.ChatCompletionMessageParamUnion {
	if len(msg.Files) == 0 {
		return sdk.UserMessage(msg.Text)
	}
	var parts []sdk.ChatCompletionContentPartUnionParam
	for _, f := range msg.Files {
		if f.IsImage() {
			parts = append(parts, sdk.ImageContentPart(sdk.ChatCompletionContentPartImageImageURLParam{URL: f.DataURL()}))
		} else {
			parts = append(parts, sdk.TextContentPart(f.Quote()))
		}
	}
	return sdk.UserMessage(append(parts, sdk.TextContentPart(msg.Text)))
}

func assistantMessage(msg model.Message) sdk.ChatCompletionMessageParamUnion {
	out := &sdk.ChatCompletionAssistantMessageParam{}
	if msg.Text != "" || len(msg.Calls) == 0 {
		out.Content.OfString = sdk.String(msg.Text)
	}
	for _, c := range msg.Calls {
		out.ToolCalls = append(out.ToolCalls, sdk.ChatCompletionMessageToolCallUnionParam{
			OfFunction: &sdk.ChatCompletionMessageFunctionToolCallParam{
				ID: c.ID,
				Function: sdk.ChatCompletionMessageFunctionToolCallFunctionParam{
					Name: dialect.WireName(c.Tool), Arguments: string(dialect.ValidArgs(c.Args)),
				},
			},
		})
	}
	return sdk.ChatCompletionMessageParamUnion{OfAssistant: out}
}
