package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// Every method and every notification has its operation, and everything that is referred to is there.
func TestAsyncAPI(t *testing.T) {
	raw := AsyncAPI("1")
	if !bytes.Equal(raw, AsyncAPI("1")) {
		t.Error("two documents of one version differ")
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil || doc["asyncapi"] != "3.0.0" {
		t.Fatalf("%v, version %v", err, doc["asyncapi"])
	}
	operations := doc["operations"].(map[string]any)
	for _, m := range Methods() {
		op, _ := operations[m.Name].(map[string]any)
		if op["action"] != "receive" || op["reply"] == nil {
			t.Errorf("%s: got %v", m.Name, op)
		}
	}
	for _, n := range notes() {
		if op, _ := operations["on."+n.name].(map[string]any); op["action"] != "send" {
			t.Errorf("%s: got %v", n.name, op)
		}
	}
	refs := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if to, is := v["$ref"].(string); is {
				if refs++; !resolves(doc, to) {
					t.Errorf("%s leads nowhere", to)
				}
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	if walk(doc); refs < 100 {
		t.Errorf("%d references", refs)
	}
}

func resolves(doc any, ref string) bool {
	at := doc
	for _, name := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		m, is := at.(map[string]any)
		if !is {
			return false
		}
		if at = m[name]; at == nil {
			return false
		}
	}
	return true
}
