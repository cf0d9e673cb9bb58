package main

import (
	"context"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/model/openai"
	"github.com/writ-run/writ/internal/config"
)

// remoteModel makes a model of an OpenAI-compatible server.
func remoteModel(m config.Model, key string) (agent.NamedModel, error) {
	c := openai.Config{
		BaseURL: m.URL, Model: m.Model, Name: m.Name, Key: key, PriceIn: m.PriceIn, PriceOut: m.PriceOut, MaxTokens: m.MaxTokens,
		Constrained: m.Constrained,
	}
	if isLoopback(m.URL) { // small models, which call tools best at 0; every local server takes it
		c.Temperature = new(float64)
	}
	remote, err := openai.New(c)
	if err != nil {
		return agent.NamedModel{}, err
	}
	return agent.NamedModel{Info: remote.Info(), Model: remote}, nil
}

// localModel returns where on this machine a model server answers, or "".
func localModel(ctx context.Context) string {
	for _, f := range openai.Probe(ctx, openai.Loopback()) {
		return f.URL
	}
	return ""
}
