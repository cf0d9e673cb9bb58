// Package preset knows how providers and servers of models are spoken to: where they are, in which API, and what they
// take of it. It is a table and connects to nothing.
package preset

import (
	"slices"
	"strings"
)

// How a model is spoken to.
const (
	OpenAI    = "openai"    // OpenAI's Chat Completions
	Responses = "responses" // OpenAI's Responses
	Anthropic = "anthropic" // Anthropic's Messages
)

// Kinds lists the ways to speak to a model.
func Kinds() []string { return []string{OpenAI, Responses, Anthropic} }

// When a server takes a JSON Schema of the answer.
const (
	SchemasAlways = "always" // tools may be offered with it
	SchemasAlone  = "alone"  // it makes a grammar of it, under which no tool could be called
)

// A Preset is how one provider or server is spoken to.
type Preset struct {
	Name   string
	Kind   string
	URL    string // base URL
	KeyEnv string // the environment variable that its key is usually in; empty if it needs none

	Schemas    string // when it takes a JSON Schema of the answer: one of the Schemas constants; empty for never
	Completion bool   // it wants "max_completion_tokens" and not "max_tokens"
	NoOptions  bool   // it refuses "stream_options" and counts tokens without being asked to
	CacheKey   bool   // it takes "prompt_cache_key"
	Tier       string // the service tier that its prices are for; none if empty
	// Windows are what is known of how much its models read, by how their names begin; the first that fits counts.
	Windows []Window
	// Of the price of input, in percent, where the provider prices its cache by itself; 0 where it does not.
	Cached, Write5m, Write1h int64
}

// A Window says how many tokens fit into a prompt and its answer of the models whose names begin so.
type Window struct {
	Prefix string
	Tokens int64
}

// WindowOf returns how many tokens fit into a prompt and its answer of a model; 0 if that is not known. What a local
// server gives a model is set there, so it is not known here.
func (p Preset) WindowOf(model string) int64 {
	for _, w := range p.Windows {
		if strings.HasPrefix(model, w.Prefix) {
			return w.Tokens
		}
	}
	return 0
}

// IsLocal says whether it is a server of this machine.
func (p Preset) IsLocal() bool { return p.KeyEnv == "" }

var presets = []Preset{
	{
		Name: "openai", Kind: OpenAI, URL: "https://api.openai.com/v1", KeyEnv: "OPENAI_API_KEY",
		Completion: true, CacheKey: true, Tier: "default", Schemas: SchemasAlways,
		Windows: []Window{
			{"gpt-4.1", 1_047_576}, {"gpt-4o", 128_000}, {"gpt-4-turbo", 128_000}, {"gpt-5", 400_000}, {"o1", 200_000},
			{"o3", 200_000}, {"o4", 200_000},
		},
	},
	{
		Name: "anthropic", Kind: Anthropic, URL: "https://api.anthropic.com/v1", KeyEnv: "ANTHROPIC_API_KEY",
		Tier: "standard_only", Schemas: SchemasAlways, Cached: 10, Write5m: 125, Write1h: 200,
		Windows: []Window{{"claude", 200_000}},
	},
	{
		Name: "mistral", Kind: OpenAI, URL: "https://api.mistral.ai/v1", KeyEnv: "MISTRAL_API_KEY",
		NoOptions: true, Schemas: SchemasAlone,
	},
	{Name: "deepseek", Kind: OpenAI, URL: "https://api.deepseek.com/v1", KeyEnv: "DEEPSEEK_API_KEY"},
	{Name: "openrouter", Kind: OpenAI, URL: "https://openrouter.ai/api/v1", KeyEnv: "OPENROUTER_API_KEY"},
	{Name: "groq", Kind: OpenAI, URL: "https://api.groq.com/openai/v1", KeyEnv: "GROQ_API_KEY"},
	{Name: "together", Kind: OpenAI, URL: "https://api.together.xyz/v1", KeyEnv: "TOGETHER_API_KEY"},

	{Name: "ollama", Kind: OpenAI, URL: "http://127.0.0.1:11434/v1", Schemas: SchemasAlone},
	{Name: "llama.cpp", Kind: OpenAI, URL: "http://127.0.0.1:8080/v1", Schemas: SchemasAlone},
	{Name: "vllm", Kind: OpenAI, URL: "http://127.0.0.1:8000/v1", Schemas: SchemasAlone},
	{Name: "tensorrt-llm", Kind: OpenAI, URL: "http://127.0.0.1:8000/v1"},
	{Name: "sglang", Kind: OpenAI, URL: "http://127.0.0.1:30000/v1", Schemas: SchemasAlone},
	{Name: "lmstudio", Kind: OpenAI, URL: "http://127.0.0.1:1234/v1", Schemas: SchemasAlone},
}

// Find returns a preset by its name.
func Find(name string) (Preset, bool) {
	i := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return Preset{}, false
	}
	return presets[i], true
}

// Names lists the presets.
func Names() []string {
	var out []string
	for _, p := range presets {
		out = append(out, p.Name)
	}
	return out
}

// Local lists where servers of this machine usually listen, each address once.
func Local() []string {
	var out []string
	for _, p := range presets {
		if p.IsLocal() && !slices.Contains(out, p.URL) {
			out = append(out, p.URL)
		}
	}
	return out
}

// NameOf returns the preset whose server usually listens at a base URL; empty if none does.
func NameOf(url string) string {
	for _, p := range presets {
		if p.URL == url {
			return p.Name
		}
	}
	return ""
}
