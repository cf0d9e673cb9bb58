package tamper

import (
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/provenance"
)

// hearReply is the answer of a provider, read from its bytes.
func (g *game) hearReply(ref provenance.Ref, info provenance.ModelInfo, said model.Reply) (provenance.Event, error) {
	response := chatStream(info.Model, g.asked, said)
	var offered []string
	for _, t := range g.history.tools {
		offered = append(offered, t.Name)
	}
	reply, _, err := dialect.Read(dialect.Chat, response, dialect.Question{Model: info.Model, Tools: offered})
	if err != nil {
		return nil, err
	}
	reply.Response = response
	mc := modelcall.Of(route.ModelInfoOf(info), reply)
	mc.Took, mc.TTFT = 5, 2
	if g.hears != nil {
		g.hears(g.asked-1, mc)
	}
	return &provenance.Reply{Of: ref, Model: mc}, nil
}

// chatStream is what a provider would send to say the reply.
func chatStream(name string, n int, said model.Reply) []byte {
	delta, finish := map[string]any{"content": said.Text}, "stop"
	if len(said.Calls) > 0 {
		c := said.Calls[0]
		delta = map[string]any{"tool_calls": []any{map[string]any{"index": 0, "id": c.ID, "type": "function",
			"function": map[string]string{"name": dialect.WireName(c.Tool), "arguments": string(c.Args)}}}}
		finish = "tool_calls"
	}
	var out []byte
	for _, x := range []any{
		map[string]any{"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}}},
		map[string]any{"choices": []any{}, "usage": map[string]any{"prompt_tokens": 100, "completion_tokens": 10}},
	} {
		m := x.(map[string]any)
		m["id"], m["model"], m["object"] = fmt.Sprint("chatcmpl-", n), name, "chat.completion.chunk"
		data, err := json.Marshal(m)
		if err != nil {
			panic(err) // of strings and numbers
		}
		out = append(append(append(out, "data: "...), data...), "\n\n"...)
	}
	return append(out, "data: [DONE]\n\n"...)
}

// wireWorld is the small run with a model that has a provider. hears changes what is recorded of a reply.
func wireWorld(hears func(n int, mc *provenance.ModelCall)) func() *world {
	return func() *world {
		w := smallWorld()
		w.wire, w.hears = true, hears
		return w
	}
}
