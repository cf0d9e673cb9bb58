package openai

import (
	"encoding/json"
	"fmt"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/dialect"
)

// buildResponses makes the body of a request to the Responses API. Nothing is stored at the provider: the conversation
// is sent whole each time, as it is to any other.
func (m *Model) buildResponses(p model.Prompt) (names []string, params responses.ResponseNewParams, err error) {
	params.Model = m.cfg.Model
	params.MaxOutputTokens = sdk.Int(m.Limit(p))
	params.Store = sdk.Bool(false)
	if m.cfg.Temperature != nil {
		params.Temperature = sdk.Float(*m.cfg.Temperature)
	}
	if m.cfg.CacheKey && p.CacheKey != "" {
		params.PromptCacheKey = sdk.String(p.CacheKey)
	}
	params.ServiceTier = responses.ResponseNewParamsServiceTier(m.cfg.Tier)
	if p.System != "" {
		params.Instructions = sdk.String(p.System)
	}
	names, err = dialect.CheckNames(p.Tools)
	if err != nil {
		return nil, params, err
	}
	for _, t := range p.Tools {
		f := responses.FunctionToolParam{Name: dialect.WireName(t.Name), Strict: sdk.Bool(false)}
		if t.About != "" {
			f.Description = sdk.String(t.About)
		}
		if len(t.Schema) > 0 {
			if err := json.Unmarshal(t.Schema, &f.Parameters); err != nil {
				return nil, params, fmt.Errorf("the schema of the tool %s is no JSON object", t.Name)
			}
		}
		params.Tools = append(params.Tools, responses.ToolUnionParam{OfFunction: &f})
	}
	if schema := m.AnswerSchema(p); schema != nil {
		f := &responses.ResponseFormatTextJSONSchemaConfigParam{Name: "answer"}
		if err := json.Unmarshal(schema, &f.Schema); err != nil {
			return nil, params, fmt.Errorf("the schema of the answer is no JSON object")
		}
		params.Text.Format.OfJSONSchema = f
	}
	var items responses.ResponseInputParam
	for _, msg := range p.Messages {
		more, err := responseItems(msg)
		if err != nil {
			return nil, params, err
		}
		items = append(items, more...)
	}
	params.Input.OfInputItemList = items
	return names, params, nil
}

// responseParts is a message with files.
func responseParts(msg model.Message) (parts responses.ResponseInputMessageContentListParam) {
	for _, f := range msg.Files {
		if f.IsImage() {
			part := responses.ResponseInputContentParamOfInputImage(responses.ResponseInputImageDetailAuto)
			part.OfInputImage.ImageURL = sdk.String(f.DataURL())
			parts = append(parts, part)
		} else {
			parts = append(parts, responses.ResponseInputContentParamOfInputText(f.Quote()))
		}
	}
	return append(parts, responses.ResponseInputContentParamOfInputText(msg.Text))
}

// responseItems is a message as the items that the API has for it.
func responseItems(msg model.Message) (out []responses.ResponseInputItemUnionParam, err error) {
	say := func(role responses.EasyInputMessageRole) {
		out = append(out, responses.ResponseInputItemParamOfMessage(msg.Text, role))
	}
	switch msg.Role {
	case model.RoleSystem:
		say(responses.EasyInputMessageRoleSystem)
	case model.RoleUser:
		if len(msg.Files) == 0 {
			say(responses.EasyInputMessageRoleUser)
			break
		}
		out = append(out, responses.ResponseInputItemParamOfMessage(responseParts(msg), responses.EasyInputMessageRoleUser))
	case model.RoleTool:
		item := responses.ResponseInputItemParamOfFunctionCallOutput(msg.Text)
		item.OfFunctionCallOutput.CallID = sdk.String(msg.CallID)
		out = append(out, item)
	case model.RoleAssistant:
		if msg.Text != "" || len(msg.Calls) == 0 {
			say(responses.EasyInputMessageRoleAssistant)
		}
		for _, c := range msg.Calls {
			out = append(out, responses.ResponseInputItemParamOfFunctionCall(string(dialect.ValidArgs(c.Args)), c.ID,
				dialect.WireName(c.Tool)))
		}
	default:
		return nil, fmt.Errorf("a message has the role %q", msg.Role)
	}
	return out, nil
}
