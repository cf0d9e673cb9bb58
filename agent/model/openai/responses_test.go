package openai

import (
	"net/http"
	"testing"
)

func TestARequestToResponsesIsWhatTheAPITakes(t *testing.T) {
	const answer = `event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","model":"small-2","output":[]}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":1,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Alice"}

event: response.completed
data: {"type":"response.completed","sequence_number":2,"response":{"id":"resp_1","object":"response","status":"completed","model":"small-2","service_tier":"default","output":[{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"Alice","annotations":[]}]}],"usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":10},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":4}}}}

`
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/responses" || r.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("path %s", r.URL.Path)
		}
		stream(answer)(w, r)
	}, func(c *Config) { c.Responses, c.CacheKey, c.Tier = true, true, "default" })
	p := prompt()
	p.CacheKey = "k1"
	r, err := m.Reply(t.Context(), p)
	if err != nil || r.Text != "Alice" || r.Tier != "default" || r.ID != "resp_1" || r.Usage.CachedIn != 10 || r.Usage.Reasoning != 4 {
		t.Errorf("got %+v, %v", r, err)
	}
	golden(t, "testdata/responses.golden", r.Request)
}
