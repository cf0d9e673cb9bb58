package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A newServer is an entry of a server of tools as it is added to a file.
type newServer struct {
	MCP struct {
		Name      string     `yaml:"name"`
		Command   []string   `yaml:"command,omitempty,flow"`
		URL       string     `yaml:"url,omitempty"`
		Token     Secret     `yaml:"token,omitempty"`
		Login     string     `yaml:"login,omitempty"`
		Private   bool       `yaml:"private,omitempty"`
		Resources bool       `yaml:"resources,omitempty"`
		Prompts   bool       `yaml:"prompts,omitempty"`
		Env       []newEntry `yaml:"env,omitempty"`
		Accepted  string     `yaml:"accepted"`
	} `yaml:"mcp"`
}

type newEntry struct {
	Name   string `yaml:"name"`
	Value  string `yaml:"value,omitempty"`
	Secret Secret `yaml:"secret,omitempty"`
}

// AddServer returns a configuration file with one more server of tools; what else is in it stays as it is written.
// Paths are taken as they are.
func AddServer(file []byte, m MCP) ([]byte, error) {
	var e newServer
	e.MCP.Name, e.MCP.Command, e.MCP.URL, e.MCP.Token = m.Name, m.Command, m.URL, m.Token
	e.MCP.Login, e.MCP.Private, e.MCP.Accepted = m.Login, m.Private, m.Accepted
	e.MCP.Resources, e.MCP.Prompts = m.Resources, m.Prompts
	for _, v := range m.Env {
		e.MCP.Env = append(e.MCP.Env, newEntry(v))
	}
	return addEntry(file, e)
}

// A newAgent is an entry of an agent elsewhere as it is added to a file.
type newAgent struct {
	A2A struct {
		Name     string   `yaml:"name"`
		Card     string   `yaml:"card"`
		Accepted string   `yaml:"accepted"`
		Key      string   `yaml:"key,omitempty"`
		Token    Secret   `yaml:"token,omitempty"`
		Hosts    []string `yaml:"hosts,omitempty,flow"`
		Private  bool     `yaml:"private,omitempty"`
		Class    string   `yaml:"class,omitempty"`
	} `yaml:"a2a"`
}

// AddAgent returns a configuration file with one more agent elsewhere, as AddServer does.
func AddAgent(file []byte, a A2A) ([]byte, error) {
	var e newAgent
	e.A2A.Name, e.A2A.Card, e.A2A.Accepted, e.A2A.Key = a.Name, a.Card, a.Accepted, a.Key
	e.A2A.Token, e.A2A.Hosts, e.A2A.Private, e.A2A.Class = a.Token, a.Hosts, a.Private, a.Class
	return addEntry(file, e)
}

// addEntry adds an entry to the tools of a file.
func addEntry(file []byte, e any) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode([]any{e}); err != nil {
		return nil, err
	}
	entry := strings.TrimSuffix(b.String(), "\n")
	var doc yaml.Node
	if err := yaml.Unmarshal(file, &doc); err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	key, list := findTools(&doc)
	if key == nil {
		text := strings.TrimRight(string(file), "\n")
		if text != "" {
			text += "\n\n"
		}
		return []byte(text + "tools:\n" + indentLines(entry, 2) + "\n"), nil
	}
	if list.Kind != yaml.SequenceNode || list.Style&yaml.FlowStyle != 0 || len(list.Content) == 0 {
		return nil, errors.New("its tools are not a list with an entry a line; write them so, or add the entry by hand")
	}
	lines := strings.SplitAfter(string(file), "\n")
	at := list.Line - 1 // before the first entry
	out := strings.Join(lines[:at], "") + indentLines(entry, list.Column-1) + "\n" + strings.Join(lines[at:], "")
	return []byte(out), nil
}

// findTools finds the key tools of a file, and what stands under it.
func findTools(doc *yaml.Node) (key, list *yaml.Node) {
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, nil
	}
	pairs := doc.Content[0].Content
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i].Value == "tools" {
			return pairs[i], pairs[i+1]
		}
	}
	return nil, nil
}

func indentLines(text string, n int) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(text, "\n", "\n"+pad)
}
