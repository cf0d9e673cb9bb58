package tools_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/writ-run/writ/tools"
)

// TestAdaptSchema: what has a type in the subset keeps it; the rest is opaque, and keeps its words for the model.
func TestAdaptSchema(t *testing.T) {
	for _, tt := range []struct{ rule, in, want string }{
		{"a plain value, without what its server enforces", `{"type":"integer","title":"N","default":5,"minimum":1}`,
			`{"minimum":1,"type":"integer"}`},
		{"a format that is not ours", `{"type":"string","format":"date-time","description":"when"}`, `{"description":"when","type":"string"}`},
		{"a value or null", `{"anyOf":[{"type":"string"},{"type":"null"}],"description":"d"}`, `{"description":"d","type":"string"}`},
		{"alternatives", `{"anyOf":[{"type":"string"},{"type":"integer"}]}`,
			`{"anyOf":[{"type":"string"},{"type":"integer"}],"x-opaque":true}`},
		{"a list of types", `{"type":["string","null"]}`, `{"type":["string","null"],"x-opaque":true}`},
		{"a reference", `{"$ref":"#/$defs/x"}`, `{"$ref":"#/$defs/x","x-opaque":true}`},
		{"anything", `{}`, `{"x-opaque":true}`},
		{"true", `true`, `{"x-opaque":true}`},
		{"numbers to choose from", `{"type":"integer","enum":[1,2]}`, `{"enum":[1,2],"type":"integer","x-opaque":true}`},
		{"an object", `{"type":"object","properties":{"perPage":{"type":"number"}},"required":["perPage"]}`,
			`{"additionalProperties":false,"properties":{"perPage":{"type":"number"}},"required":["perPage"],"type":"object"}`},
		{"an open object", `{"type":"object","additionalProperties":{"type":"string"}}`,
			`{"additionalProperties":{"type":"string"},"type":"object","x-opaque":true}`},
		{"a member that policies cannot say", `{"type":"object","properties":{"user-id":{"type":"string"}}}`,
			`{"properties":{"user-id":{"type":"string"}},"type":"object","x-opaque":true}`},
		{"a list of objects", `{"type":"array","items":{"type":"object","properties":{"a":{"oneOf":[]}}}}`,
			`{"items":{"additionalProperties":false,"properties":{"a":{"oneOf":[],"x-opaque":true}},"type":"object"},"type":"array"}`},
		{"a list of anything", `{"type":"array"}`, `{"type":"array","x-opaque":true}`},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			got, err := tools.AdaptSchema([]byte(`{"type":"object","$schema":"x","properties":{"p":` + tt.in + `}}`))
			want := `{"additionalProperties":false,"properties":{"p":` + tt.want + `},"type":"object"}`
			if err != nil || string(got) != want {
				t.Errorf("got %s, %v\nwant %s", got, err, want)
			}
		})
	}
	for in, want := range map[string]string{
		`[]`: "not that of an object", `{"type":"string"}`: "not that of an object",
		`{"type":"object","additionalProperties":true}`:                "allows any",
		`{"type":"object","properties":{"a-b":{"type":"string"}}}`:     `property "a-b"`,
		`{"type":"object","properties":{"a":true},"required":["b"]}`:   `required names "b"`,
		`{"type":"object","properties":{"a":true,"a":{"type":"bool"}}`: `stands twice`,
	} {
		if got, err := tools.AdaptSchema([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %s, %v, want an error with %q", in, got, err, want)
		}
	}
}

// FuzzAdaptSchema: what is adapted compiles, and is not adapted further.
func FuzzAdaptSchema(f *testing.F) {
	for _, p := range []string{`{"type":"array","items":{"type":"string","maxLength":3}}`, `{"anyOf":[{"type":"null"},{"type":"number"}]}`,
		`{"type":"object","properties":{"b":{"enum":["x"],"type":"string"}},"required":["b"]}`} {
		f.Add([]byte(`{"type":"object","properties":{"a":` + p + `},"required":["a"]}`))
		f.Add([]byte(`{"type":"object","properties":{"a":` + p + `}}`))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		once, err := tools.AdaptSchema(in)
		if err != nil {
			return
		}
		if _, err := tools.Compile(tools.Spec{Name: "a.b", About: "x", Class: tools.Read, Schema: once}); err != nil {
			t.Errorf("%s is adapted to %s: %v", in, once, err)
		}
		again, err := tools.AdaptSchema(once)
		if err != nil || !bytes.Equal(once, again) {
			t.Errorf("%s is adapted to %s, and that to %s, %v", in, once, again, err)
		}
	})
}
