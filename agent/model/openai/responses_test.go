package openai

import (
	"net/http"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
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

// Images are parts with a data URL, texts are quoted, both before what the user says of them, in either API.
func TestFilesAreWhatTheAPIsTake(t *testing.T) {
	files := []model.File{{CID: "bx", Type: "image/png", Data: []byte("png")}, {CID: "by", Type: "text/csv", Data: []byte("1,2")}}
	p := model.Prompt{Messages: []model.Message{{Role: model.RoleUser, Text: "what is it", Files: files}}}
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(*Config) {}, `"content":[{"image_url":{"url":"data:image/png;base64,cG5n"},"type":"image_url"},{"text":"[The user attached a file`},
		{func(c *Config) { c.Responses = true },
			`"content":[{"detail":"auto","image_url":"data:image/png;base64,cG5n","type":"input_image"},{"text":"[The user attached a file`},
	} {
		m := serve(t, http.NotFound, tt.change)
		_, body, err := m.encodeRequest(p)
		if err != nil || !strings.Contains(string(body), tt.want) || !strings.Contains(string(body), "what is it") {
			t.Errorf("got %s, %v\nwant %s", body, err, tt.want)
		}
	}
	m := serve(t, http.NotFound, func(c *Config) { c.Constrained = true })
	if _, body, err := m.encodeRequest(p); err != nil || !strings.Contains(string(body), "[end of by]") || strings.Contains(string(body), "cG5n") {
		t.Errorf("under a schema: %s, %v", body, err)
	}
}
