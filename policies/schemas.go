package policies

import (
	"bytes"
	_ "embed"
	"encoding/json"
)

//go:embed schema.json
var setSchema []byte

// SetSchema returns the JSON Schema (draft 2020-12) of a policy set, for editors. [Load] refuses more than it can say:
// conditions are typed for each point.
func SetSchema() []byte { return bytes.Clone(setSchema) }

// TestsFileSchema returns the JSON Schema of a file of tests; see [Set.Cases]. It is published as tests.schema.json, and made
// of the part of a set's schema that is about tests.
func TestsFileSchema() []byte {
	var set struct {
		Draft      string `json:"$schema"`
		Properties struct {
			Tests json.RawMessage `json:"tests"`
		} `json:"properties"`
		Defs json.RawMessage `json:"$defs"`
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := json.Unmarshal(setSchema, &set); err != nil {
		return nil // it is embedded, and a test reads it
	}
	_ = enc.Encode(map[string]any{ // of what was just decoded
		"$schema": set.Draft, "$id": "https://writ.run/schema/policy-tests/1.json", "title": "writ policy tests",
		"description": "Tests of a policy set, in a file of their own.", "type": "object", "additionalProperties": false,
		"required": []string{"schema", "tests"}, "$defs": set.Defs,
		"properties": map[string]any{"schema": map[string]string{"const": TestsSchema}, "tests": set.Properties.Tests},
	})
	return out.Bytes()
}
