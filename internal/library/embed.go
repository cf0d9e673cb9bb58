package library

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// An Endpoint makes vectors by the embeddings call of OpenAI's API, which many servers speak.
type Endpoint struct {
	url, model, key string
	client          *http.Client
}

// Bounds of an endpoint.
const (
	embedTime = 20 * time.Second
	maxVector = 8192
	maxAnswer = 32 << 20
)

// NewEndpoint returns the endpoint below a base URL such as http://127.0.0.1:8080/v1. key may be empty.
func NewEndpoint(base, model, key string) (*Endpoint, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("it is not the base URL of an API, such as http://127.0.0.1:8080/v1")
	}
	if model == "" {
		return nil, errors.New("name its model too")
	}
	return &Endpoint{
		url: strings.TrimSuffix(base, "/") + "/embeddings", model: model, key: key,
		client: &http.Client{
			Timeout:       embedTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the endpoint redirects") },
		},
	}, nil
}

// Model names what vectors are of.
func (e *Endpoint) Model() string { return e.model }

// Embed makes one vector of each text.
func (e *Endpoint) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	body, err := json.Marshal(map[string]any{"model": e.model, "input": texts, "encoding_format": "float"})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if e.key != "" {
		req.Header.Set("Authorization", "Bearer "+e.key)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, errors.New("the embeddings endpoint did not answer") // the error names its URL
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the embeddings endpoint answered %d", resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, errors.New("the embeddings endpoint's answer broke off")
	}
	return readVectors(data, len(texts))
}

func readVectors(data []byte, n int) ([][]float32, error) {
	var in struct {
		Data []struct {
			Index     int       `json:"index"`
			Embedding []float32 `json:"embedding"`
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, errors.New("the embeddings endpoint's answer is not what the API says")
	}
	out := make([][]float32, n)
	for _, d := range in.Data {
		if d.Index < 0 || d.Index >= n || out[d.Index] != nil || len(d.Embedding) == 0 || len(d.Embedding) > maxVector {
			return nil, errors.New("the embeddings endpoint's answer has vectors that do not belong to the texts")
		}
		out[d.Index] = d.Embedding
	}
	for _, v := range out {
		if v == nil || len(v) != len(out[0]) {
			return nil, errors.New("the embeddings endpoint's answer lacks vectors")
		}
	}
	return out, nil
}
