// Command gosdks asks an agent through the official Go SDKs of OpenAI and Anthropic, unmodified, and prints one JSON
// object. It is a module of its own, so that the product depends on neither for it.
//
//	WRIT_KEY=$KEY WRIT_URL=http://127.0.0.1:8420 go run . AGENT
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/anthropics/anthropic-sdk-go/v2"
	claudeoption "github.com/anthropics/anthropic-sdk-go/v2/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gosdks:", err)
		os.Exit(1)
	}
}

// A noting transport notes which run each answer is of, and waits for a limit of requests.
type noting struct {
	mu   sync.Mutex
	runs []string
}

func (n *noting) RoundTrip(r *http.Request) (*http.Response, error) {
	for tries := 0; ; tries++ {
		again := r.Clone(r.Context())
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			again.Body = body
		}
		res, err := http.DefaultTransport.RoundTrip(again)
		if err != nil {
			return nil, err
		}
		if res.StatusCode == http.StatusTooManyRequests && tries < 60 {
			res.Body.Close()
			time.Sleep(time.Second)
			continue
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if run := res.Header.Get("X-Writ-Run"); run != "" && !slices.Contains(n.runs, run) {
			n.runs = append(n.runs, run)
		}
		return res, nil
	}
}

// An asker is one dialect of an SDK.
type asker struct {
	text, stream, tools, formed func(ctx context.Context, words string) (string, error)
	other                       func(ctx context.Context) error // asks a model that there is not
	foreign                     func(ctx context.Context) error // with a key that is none
}

const weather = "how is the weather in Rome?"

var (
	city = map[string]any{"type": "object", "required": []string{"city"},
		"properties": map[string]any{"city": map[string]any{"type": "string"}}}
	person = map[string]any{"type": "object", "required": []string{"name"}, "additionalProperties": false,
		"properties": map[string]any{"name": map[string]any{"type": "string"}}}
)

func run() error {
	ctx, model := context.Background(), os.Args[1]
	key, url := os.Getenv("WRIT_KEY"), os.Getenv("WRIT_URL")
	noted := &noting{}
	client := &http.Client{Transport: noted}
	newOpenAI := func(key string) openai.Client {
		return openai.NewClient(option.WithAPIKey(key), option.WithBaseURL(url+"/v1"), option.WithHTTPClient(client),
			option.WithMaxRetries(0))
	}
	newClaude := func(key string) anthropic.Client {
		return anthropic.NewClient(claudeoption.WithAPIKey(key), claudeoption.WithBaseURL(url),
			claudeoption.WithHTTPClient(client), claudeoption.WithMaxRetries(0))
	}
	out := map[string]any{}
	for name, a := range map[string]asker{
		"chat":      askChat(newOpenAI, key, model),
		"responses": askResponses(newOpenAI, key, model),
		"messages":  askMessages(newClaude, key, model),
	} {
		got, err := a.askAll(ctx, noted)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		out[name] = got
	}
	out["runs"] = noted.runs
	return json.NewEncoder(os.Stdout).Encode(out)
}

func (a asker) askAll(ctx context.Context, noted *noting) (map[string]any, error) {
	got := map[string]any{}
	for name, x := range map[string]struct {
		ask   func(context.Context, string) (string, error)
		words string
	}{
		"text": {a.text, "hello"}, "stream": {a.stream, "hello"}, "tools": {a.tools, weather}, "formed": {a.formed, "who?"},
	} {
		said, err := x.ask(ctx, x.words)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		got[name] = said
	}
	_, err := a.text(ctx, "be broken")
	got["broken"], got["model"], got["key"] = status(err), status(a.other(ctx)), status(a.foreign(ctx))
	_, err = a.formed(ctx, "who, always wrong?")
	got["unformed"] = status(err)
	gone, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err = a.stream(context.WithValue(gone, cancelKey{}, cancel), "be slow")
	if !errors.Is(err, context.Canceled) {
		return nil, fmt.Errorf("a stream that was cancelled ended with %v", err)
	}
	got["cancelled"] = noted.runs[len(noted.runs)-1]
	return got, nil
}

// cancelKey has the function that a stream calls when its first words have come.
type cancelKey struct{}

func cancelOf(ctx context.Context) {
	if cancel, ok := ctx.Value(cancelKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

func status(err error) int {
	if e, ok := errors.AsType[*openai.Error](err); ok {
		return e.StatusCode
	}
	if e, ok := errors.AsType[*anthropic.Error](err); ok {
		return e.StatusCode
	}
	return 0
}

func askChat(open func(string) openai.Client, key, model string) asker {
	client := open(key)
	ask := func(words string) openai.ChatCompletionNewParams {
		return openai.ChatCompletionNewParams{Model: model,
			Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(words)}}
	}
	whole := func(ctx context.Context, p openai.ChatCompletionNewParams) (string, error) {
		c, err := client.Chat.Completions.New(ctx, p)
		if err != nil {
			return "", err
		}
		return c.Choices[0].Message.Content, nil
	}
	return asker{
		text: func(ctx context.Context, words string) (string, error) { return whole(ctx, ask(words)) },
		stream: func(ctx context.Context, words string) (string, error) {
			s := client.Chat.Completions.NewStreaming(ctx, ask(words))
			acc := openai.ChatCompletionAccumulator{}
			for s.Next() {
				acc.AddChunk(s.Current())
				if acc.Choices[0].Message.Content != "" {
					cancelOf(ctx)
				}
			}
			return acc.Choices[0].Message.Content, s.Err()
		},
		tools: func(ctx context.Context, words string) (string, error) {
			p := ask(words)
			p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(
				shared.FunctionDefinitionParam{Name: "get_weather", Parameters: city})}
			c, err := client.Chat.Completions.New(ctx, p)
			if err != nil {
				return "", err
			}
			said := c.Choices[0].Message
			p.Messages = append(p.Messages, said.ToParam(), openai.ToolMessage("21 degrees", said.ToolCalls[0].ID))
			return whole(ctx, p)
		},
		formed: func(ctx context.Context, words string) (string, error) {
			p := ask(words)
			p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
				JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "person", Schema: person}}
			return whole(ctx, p)
		},
		other: func(ctx context.Context) error {
			p := ask("hello")
			p.Model = "gpt-4o"
			_, err := whole(ctx, p)
			return err
		},
		foreign: func(ctx context.Context) error {
			client := open("writ_nothing")
			_, err := client.Models.List(ctx)
			return err
		},
	}
}

func askResponses(open func(string) openai.Client, key, model string) asker {
	client := open(key)
	ask := func(words string) responses.ResponseNewParams {
		said := responses.ResponseInputItemParamOfMessage(words, responses.EasyInputMessageRoleUser)
		return responses.ResponseNewParams{Model: model, Input: responses.ResponseNewParamsInputUnion{
			OfInputItemList: responses.ResponseInputParam{said},
		}}
	}
	whole := func(ctx context.Context, p responses.ResponseNewParams) (string, error) {
		r, err := client.Responses.New(ctx, p)
		if err != nil {
			return "", err
		}
		return r.OutputText(), nil
	}
	return asker{
		text: func(ctx context.Context, words string) (string, error) { return whole(ctx, ask(words)) },
		stream: func(ctx context.Context, words string) (said string, err error) {
			s := client.Responses.NewStreaming(ctx, ask(words))
			for s.Next() {
				switch e := s.Current(); e.Type {
				case "response.output_text.delta":
					cancelOf(ctx)
				case "response.completed":
					said = e.Response.OutputText()
				}
			}
			return said, s.Err()
		},
		tools: func(ctx context.Context, words string) (string, error) {
			p := ask(words)
			p.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("get_weather", city, false)}
			r, err := client.Responses.New(ctx, p)
			if err != nil {
				return "", err
			}
			for _, item := range r.Output {
				if item.Type != "function_call" {
					continue
				}
				call := responses.ResponseInputItemParamOfFunctionCall(item.Arguments.OfString, item.CallID, item.Name)
				told := responses.ResponseInputItemParamOfFunctionCallOutput("21 degrees")
				told.OfFunctionCallOutput.CallID = openai.String(item.CallID)
				p.Input.OfInputItemList = append(p.Input.OfInputItemList, call, told)
			}
			return whole(ctx, p)
		},
		formed: func(ctx context.Context, words string) (string, error) {
			p := ask(words)
			p.Text.Format = responses.ResponseFormatTextConfigParamOfJSONSchema("person", person)
			return whole(ctx, p)
		},
		other: func(ctx context.Context) error {
			p := ask("hello")
			p.Model = "gpt-4o"
			_, err := whole(ctx, p)
			return err
		},
		foreign: func(ctx context.Context) error {
			client := open("writ_nothing")
			_, err := client.Responses.New(ctx, ask("hello"))
			return err
		},
	}
}

func askMessages(open func(string) anthropic.Client, key, model string) asker {
	client := open(key)
	ask := func(words string) anthropic.MessageNewParams {
		return anthropic.MessageNewParams{Model: model, MaxTokens: 500,
			Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(words))}}
	}
	whole := func(ctx context.Context, p anthropic.MessageNewParams) (string, error) {
		m, err := client.Messages.New(ctx, p)
		if err != nil {
			return "", err
		}
		return m.Content[0].Text, nil
	}
	return asker{
		text: func(ctx context.Context, words string) (string, error) { return whole(ctx, ask(words)) },
		stream: func(ctx context.Context, words string) (string, error) {
			s := client.Messages.NewStreaming(ctx, ask(words))
			var m anthropic.Message
			for s.Next() {
				e := s.Current()
				if err := m.Accumulate(e); err != nil {
					return "", err
				}
				if e.Type == "content_block_delta" {
					cancelOf(ctx)
				}
			}
			if s.Err() != nil {
				return "", s.Err()
			}
			return m.Content[0].Text, nil
		},
		tools: func(ctx context.Context, words string) (string, error) {
			p := ask(words)
			p.Tools = []anthropic.ToolUnionParam{anthropic.ToolUnionParamOfTool(
				anthropic.ToolInputSchemaParam{Properties: city["properties"], Required: []string{"city"}}, "get_weather")}
			m, err := client.Messages.New(ctx, p)
			if err != nil {
				return "", err
			}
			p.Messages = append(p.Messages, m.ToParam())
			for _, block := range m.Content {
				if block.Type == "tool_use" {
					told := anthropic.NewToolResultBlock(block.ID, "21 degrees", false)
					p.Messages = append(p.Messages, anthropic.NewUserMessage(told))
				}
			}
			return whole(ctx, p)
		},
		formed: func(ctx context.Context, words string) (string, error) {
			p := ask(words)
			p.OutputConfig.Format.Schema = person
			return whole(ctx, p)
		},
		other: func(ctx context.Context) error {
			p := ask("hello")
			p.Model = "claude-x"
			_, err := whole(ctx, p)
			return err
		},
		foreign: func(ctx context.Context) error {
			client := open("sk-ant-x")
			_, err := client.Models.List(ctx, anthropic.ModelListParams{})
			return err
		},
	}
}
