package node

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/preset"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/prices"
)

// What each preset asks with is what its API takes: the path, where the key goes, and the fields that some servers
// refuse and others need.
func TestEveryPresetAsksAsItsAPITakesIt(t *testing.T) {
	const completion, options, cacheKey, tier, temperature = "max_completion_tokens", "stream_options", "prompt_cache_key", "service_tier", "temperature"
	for name, c := range map[string]struct{ path, with, without string }{
		"openai":       {"/chat/completions", completion + " " + options + " " + cacheKey + " " + tier, "max_tokens"},
		"anthropic":    {"/messages", "max_tokens cache_control " + tier, options + " " + cacheKey},
		"mistral":      {"/chat/completions", "max_tokens", options + " " + completion + " " + cacheKey + " " + tier},
		"deepseek":     {"/chat/completions", "max_tokens " + options, completion + " " + cacheKey + " " + tier},
		"openrouter":   {"/chat/completions", "max_tokens " + options, completion + " " + tier},
		"groq":         {"/chat/completions", "max_tokens " + options, cacheKey + " " + tier},
		"together":     {"/chat/completions", "max_tokens " + options, cacheKey + " " + tier},
		"ollama":       {"/chat/completions", "max_tokens " + options, completion + " " + cacheKey},
		"llama.cpp":    {"/chat/completions", "max_tokens " + options, completion + " " + cacheKey},
		"vllm":         {"/chat/completions", "max_tokens " + options, completion + " " + cacheKey},
		"tensorrt-llm": {"/chat/completions", "max_tokens " + options, completion + " " + cacheKey},
		"sglang":       {"/chat/completions", "max_tokens " + options, completion + " " + cacheKey},
		"lmstudio":     {"/chat/completions", "max_tokens " + options, completion + " " + cacheKey},
	} {
		t.Run(name, func(t *testing.T) {
			var path, key, body string
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				path, key, body = r.URL.Path, r.Header.Get("X-Api-Key")+r.Header.Get("Authorization"), string(b)
			}))
			defer server.Close()
			p, _ := preset.Find(name)
			m := config.Model{Preset: name, Model: "m", URL: server.URL}
			if !p.IsLocal() {
				t.Setenv(p.KeyEnv, "sk-"+name)
			}
			remote, err := remoteModel(m)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = remote.Reply(t.Context(), model.Prompt{CacheKey: "k", MaxTokens: 5, System: "s",
				Messages: []model.Message{{Role: model.RoleUser, Text: "hi"}}})
			if path != c.path || p.IsLocal() != (key == "") || !p.IsLocal() && !strings.HasSuffix(key, "sk-"+name) {
				t.Errorf("path %s, key %q", path, key)
			}
			if !json.Valid([]byte(body)) {
				t.Errorf("body %s", body)
			}
			for _, field := range strings.Fields(c.with) {
				if !strings.Contains(body, `"`+field+`"`) {
					t.Errorf("%s is missing in %s", field, body)
				}
			}
			for _, field := range strings.Fields(c.without) {
				if strings.Contains(body, `"`+field+`"`) {
					t.Errorf("%s stands in %s", field, body)
				}
			}
			if p.IsLocal() != strings.Contains(body, temperature) && p.IsLocal() {
				t.Errorf("a local model is not asked at temperature 0: %s", body)
			}
		})
	}
	if n := len(preset.Names()); n != 13 {
		t.Errorf("%d presets, and 13 are tested", n)
	}
}

func TestAPresetFillsInWhatIsNotSaid(t *testing.T) {
	m := config.Model{Preset: "anthropic", Model: "claude-x", PriceIn: 3_000_000_001}
	if err := m.Fill(); err != nil {
		t.Fatal(err)
	}
	if m.Name != "model" || m.Kind != "anthropic" || m.URL != "https://api.anthropic.com/v1" || m.Key != "env:ANTHROPIC_API_KEY" ||
		m.PriceCached != 300_000_001 || m.PriceWrite5m != 3_750_000_002 || m.PriceWrite1h != 6_000_000_002 {
		t.Errorf("got %+v", m)
	}
	said := config.Model{Preset: "openai", Kind: "responses", Name: "big", URL: "https://eu.api.openai.com/v1", Key: "env:MINE", Model: "x"}
	if err := said.Fill(); err != nil || said.Kind != "responses" || said.Name != "big" || said.Key != "env:MINE" ||
		said.URL != "https://eu.api.openai.com/v1" {
		t.Errorf("got %+v, %v", said, err)
	}
	unknown := config.Model{Preset: "nobody"}
	if err := unknown.Fill(); err == nil || !strings.Contains(err.Error(), "anthropic") {
		t.Errorf("got %v", err)
	}
}

// A model that is priced by a table says by which; one with a price of its own says nothing.
func TestAPricedModelNamesItsTable(t *testing.T) {
	table := &prices.File{Schema: prices.Schema, Models: map[string]prices.Price{"m": {In: 3, Out: 15}}}
	b, id, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "prices.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OPENAI_API_KEY", "sk-test")
	c := &config.Config{Prices: file, Models: []config.Model{
		{Preset: "openai", Name: "by-table", Model: "m"}, {Preset: "openai", Name: "by-hand", Model: "m", PriceIn: 4},
	}}
	if err := PriceModels(c); err != nil {
		t.Fatal(err)
	}
	models, err := Models(c.Models, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := models[0].Info, models[1].Info; a.Prices != id.String() || a.PriceIn != 3 || b.Prices != "" || b.PriceIn != 4 {
		t.Errorf("got %+v and %+v", a, b)
	}
}
