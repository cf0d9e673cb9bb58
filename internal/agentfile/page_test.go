package agentfile

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// keysOf lists what a file can have, as the program reads it: "routes.when".
func keysOf(t reflect.Type, under string, out map[string]bool) {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || under == "delegates.grant." { // as grant
		return
	}
	for i := range t.NumField() {
		key := under + t.Field(i).Tag.Get("yaml")
		out[key] = true
		keysOf(t.Field(i).Type, key+".", out)
	}
}

// A schemaPart is as much of a JSON Schema as has keys.
type schemaPart struct {
	Properties map[string]*schemaPart
	Items      *schemaPart
}

func (s *schemaPart) keys(under string, out map[string]bool) {
	for key, sub := range s.Properties {
		out[under+key] = true
		sub.keys(under+key+".", out)
	}
	if s.Items != nil {
		s.Items.keys(under, out)
	}
}

// uses says whether an example has a key.
func uses(v any, path []string) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(x any) bool { return uses(x, path) })
	case map[string]any:
		sub, ok := v[path[0]]
		return ok && (len(path) == 1 || uses(sub, path[1:]))
	}
	return false
}

// The published schema, docs/agents.md and its examples have the keys that are read, and no others.
func TestThePageNamesEveryKey(t *testing.T) {
	read, published := map[string]bool{}, map[string]bool{}
	keysOf(reflect.TypeFor[file](), "", read)
	var schema schemaPart
	if err := json.Unmarshal(JSONSchema, &schema); err != nil {
		t.Fatal(err)
	}
	schema.keys("", published)
	if !maps.Equal(read, published) {
		t.Errorf("read:\n%q\nin the schema:\n%q", slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(published)))
	}
	page, err := os.ReadFile("../../docs/agents.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{"threads.busy": strings.Contains(string(page), "`busy`")} // its only key has no table
	for _, part := range strings.Split(string(page), "\n## ")[1:] {
		under := ""
		if title, _, _ := strings.Cut(part, "\n"); title[0] == '`' {
			under = strings.Trim(title, "`") + "."
		}
		for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(part, -1) {
			named[under+m[1]] = true
		}
	}
	if !maps.Equal(read, named) {
		t.Errorf("read:\n%q\non the page:\n%q", slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(named)))
	}
	var examples []any
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if _, err := Parse([]byte(m[1]), 1337); err != nil {
			t.Errorf("an example: %v", err)
		}
		var v any
		if err := yaml.Unmarshal([]byte(m[1]), &v); err != nil {
			t.Fatal(err)
		}
		examples = append(examples, v)
	}
	for key := range read {
		if !uses(examples, strings.Split(key, ".")) {
			t.Errorf("no example has %s", key)
		}
	}
}
