package config

import (
	"strings"
	"testing"
)

func TestAgentsElsewhereInTheSettings(t *testing.T) {
	const good = "tools:\n- a2a: {name: desk.ask, card: 'https://d.example/card.json', accepted: d.json, class: once, " +
		"token: env:K, header: X-Key, timeout: 1m, reconcile: true}\n"
	if err := CheckTools([]byte(good), "writ.yaml"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, new, says string }{
		{"name: desk.ask", "name: Desk", "is not a tool's name"},
		{"card: 'https://d.example/card.json', ", "", "needs card"},
		{"https://d.example", "ftp://d.example", "card: "},
		{"accepted: d.json, ", "", "writ tools add desk.ask --card"},
		{"timeout: 1m", "timeout: 11m", "at most 10m"},
		{"class: once", "class: keyed", "reconcile is for class once"},
		{"class: once", "class: twice", "none of read, keyed, once"},
		{"token: env:K, ", "", "there is none"},
		{"token: env:K", "token: secret", "token: "},
		{"reconcile: true", "elicit: true", "elicit"},
	} {
		err := CheckTools([]byte(strings.Replace(good, tt.old, tt.new, 1)), "writ.yaml")
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", tt.new, err, tt.says)
		}
	}
}

func TestAddAgentKeepsTheFile(t *testing.T) {
	a := A2A{Name: "desk.ask", Card: "https://d.example/card.json", Accepted: "desk.ask.card.json", Key: "00ff",
		Token: "env:K", Private: true, Class: "keyed", Hosts: []string{"api.example:8443"}}
	const file = "tools: # mine\n  - mcp: {name: a, url: 'https://x', accepted: a.json}\n"
	out, err := AddAgent([]byte(file), a)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{File: write(t, string(out))})
	if err != nil {
		t.Fatal(err)
	}
	got := c.Tools[0].A2A
	if got.Accepted = a.Accepted; len(c.Tools) != 2 || got.Name != a.Name || got.Card != a.Card || got.Key != a.Key ||
		got.Token != a.Token || !got.Private || got.Class != a.Class || len(got.Hosts) != 1 || got.Hosts[0] != a.Hosts[0] || !strings.Contains(string(out), "# mine") {
		t.Errorf("%s became %+v", out, c.Tools)
	}
}
