package workshop

import (
	"bytes"
	"encoding/json"

	"github.com/writ-run/writ/policies"
)

// TestsFileSchema returns the JSON Schema of a file of tests; see [Set.Cases]. It is published as tests.schema.json,
// and made of the part of a set's schema that is about tests.
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
	if err := json.Unmarshal(policies.SetSchema(), &set); err != nil {
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
