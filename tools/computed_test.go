package tools

import (
	"encoding/json"
	"strings"
	"testing"
)

// A schema says of a tool that a module computes its results; that is told to no model, and only a tool that reads has it.
func TestAToolSaysThatAModuleComputes(t *testing.T) {
	s := Spec{Name: "split.evenly", About: "Splits.", Class: Read, Definition: "bafk",
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{"n":{"type":"integer"}},"x-module":"writ/module/1"}`)}
	d, err := Compile(s)
	if err != nil || d.Module() != "bafk" || strings.Contains(string(d.Offered()), "x-module") {
		t.Errorf("%v: %s", err, d.Offered())
	}
	for name, change := range map[string]func(*Spec){
		"another form": func(s *Spec) {
			s.Schema = json.RawMessage(strings.Replace(string(s.Schema), "module/1", "module/2", 1))
		},
		"a tool that acts":   func(s *Spec) { s.Class = Once },
		"without its module": func(s *Spec) { s.Definition = "" },
	} {
		x := s
		change(&x)
		if _, err := Compile(x); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	s.Schema = json.RawMessage(`{"type":"object","additionalProperties":false}`)
	if d, err := Compile(s); err != nil || d.Module() != "" {
		t.Errorf("%v; a definition alone makes no module", err)
	}
}
