package workshop

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/internal/keys"
)

// schemaNode is as much of JSON Schema as schema.json uses.
type schemaNode struct {
	Ref                  string                 `json:"$ref"`
	Const                string                 `json:"const"`
	Enum                 []string               `json:"enum"`
	Required             []string               `json:"required"`
	Properties           map[string]*schemaNode `json:"properties"`
	AdditionalProperties json.RawMessage        `json:"additionalProperties"`
	Items                *schemaNode            `json:"items"`
	AnyOf                []*schemaNode          `json:"anyOf"`
	Defs                 map[string]*schemaNode `json:"$defs"`
}

func readSchema(t *testing.T) *schemaNode {
	t.Helper()
	data, err := os.ReadFile("../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schemaNode
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestSchemaListsTheKeysThatLoadReads(t *testing.T) {
	s := readSchema(t)
	rule, test := s.Properties["rules"].Items, s.Properties["tests"].Items
	for _, c := range []struct {
		what string
		node *schemaNode
		keys []string
	}{
		{"a set", s, keys.Set}, {"a budget", s.Properties["budgets"].Items, keys.Budget}, {"a rule", rule, keys.Rule},
		{"a reserve", s.Defs["reserve"], keys.Reserve}, {"a test", test, keysTest}, {"want", test.Properties["want"], keysWant},
		{"a waiver", s.Properties["waive"].Items, keys.Waiver},
	} {
		got, want := slices.Sorted(maps.Keys(c.node.Properties)), slices.Sorted(slices.Values(c.keys))
		if !slices.Equal(got, want) || string(c.node.AdditionalProperties) != "false" {
			t.Errorf("%s: the schema has %v, Load reads %v", c.what, got, want)
		}
	}
	if got := s.Defs["point"].Enum; !slices.Equal(got, pointNames()) {
		t.Errorf("points: %v", got)
	}
	if got := rule.Properties["effect"].Enum; !slices.Equal(got, keys.Effects) {
		t.Errorf("effects: %v", got)
	}
	if got := append(s.Properties["waive"].Items.Properties["check"].Enum, policies.CheckWaiver); !slices.Equal(got, policies.Checks) {
		t.Errorf("checks: %v", got)
	}
	if s.Properties["schema"].Const != policies.Schema {
		t.Errorf("schema: %q", s.Properties["schema"].Const)
	}
}

func TestBuiltinSetsFollowTheSchema(t *testing.T) {
	s := readSchema(t)
	var check func(at string, n *schemaNode, v any)
	check = func(at string, n *schemaNode, v any) {
		if name, ok := strings.CutPrefix(n.Ref, "#/$defs/"); ok {
			n = s.Defs[name]
		}
		switch v := v.(type) {
		case map[string]any:
			for _, k := range n.Required {
				if _, ok := v[k]; !ok {
					t.Errorf("%s: %s is missing", at, k)
				}
			}
			for k, x := range v {
				if p := n.Properties[k]; p != nil {
					check(at+"."+k, p, x)
				} else if string(n.AdditionalProperties) == "false" {
					t.Errorf("%s: unexpected %s", at, k)
				}
			}
			if len(n.AnyOf) > 0 {
				check(at, n.AnyOf[0], v)
			}
		case []any:
			for _, x := range v {
				if n.Items != nil {
					check(at+"[]", n.Items, x)
				}
			}
		case string:
			if n.Enum != nil && !slices.Contains(n.Enum, v) || n.Const != "" && n.Const != v {
				t.Errorf("%s: %q is not allowed", at, v)
			}
		}
	}
	for _, name := range policies.BuiltinNames() {
		src, _ := policies.Builtin(name)
		var v map[string]any
		if err := yaml.Unmarshal(src, &v); err != nil {
			t.Fatal(err)
		}
		check(name, s, v)
	}
}
