package openapi

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// maxDepth is how deep a schema is written out. What is below, as of one that refers to itself, is opaque.
const maxDepth = 8

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// schemaOf writes a schema out as JSON Schema, without references. What an answer alone has is left out.
func schemaOf(ref *openapi3.SchemaRef, about string, depth int) any {
	if ref == nil || ref.Value == nil || depth > maxDepth {
		return map[string]any{"x-opaque": true}
	}
	s := ref.Value
	if len(s.AllOf) > 0 {
		if merged := mergeAll(s, depth); merged != nil {
			return describe(merged, about, s.Description)
		}
	}
	out := map[string]any{}
	if types := withoutNull(s.Type); len(types) == 1 {
		out["type"] = types[0]
	} else if len(s.Properties) > 0 && len(types) == 0 {
		out["type"] = "object"
	}
	if alternatives := slices.Concat(s.OneOf, s.AnyOf, s.AllOf); len(alternatives) > 0 || s.Not != nil || len(out) == 0 {
		return describe(map[string]any{"x-opaque": true}, about, s.Description)
	}
	switch out["type"] {
	case "object":
		writeObject(out, s, depth)
	case "array":
		out["items"] = schemaOf(s.Items, "", depth+1)
		setBound(out, "minItems", s.MinItems)
		if s.MaxItems != nil {
			out["maxItems"] = *s.MaxItems
		}
	case "string":
		setBound(out, "minLength", s.MinLength)
		if s.MaxLength != nil {
			out["maxLength"] = *s.MaxLength
		}
	}
	if len(s.Enum) > 0 {
		out["enum"] = slices.DeleteFunc(slices.Clone(s.Enum), func(v any) bool { return v == nil })
	}
	for key, bound := range map[string]*float64{"minimum": s.Min, "maximum": s.Max} {
		if bound != nil && (out["type"] == "integer" || out["type"] == "number") {
			out[key] = json.RawMessage(mustNumber(*bound))
		}
	}
	return describe(out, about, s.Description)
}

func withoutNull(t *openapi3.Types) []string {
	if t == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(t.Slice()), func(s string) bool { return s == "null" })
}

func setBound(out map[string]any, key string, n uint64) {
	if n > 0 {
		out[key] = n
	}
}

func mustNumber(f float64) []byte {
	b, err := json.Marshal(f)
	if err != nil { // no JSON has such a number
		return []byte("0")
	}
	return b
}

// describe adds a description: of the parameter, or else of the schema.
func describe(out map[string]any, about, own string) map[string]any {
	if about == "" {
		about = own
	}
	if about != "" {
		out["description"] = about
	}
	return out
}

func writeObject(out map[string]any, s *openapi3.Schema, depth int) {
	props := map[string]any{}
	required := []string{}
	for _, name := range sortedKeys(s.Properties) {
		p := s.Properties[name]
		if p.Value != nil && p.Value.ReadOnly {
			continue
		}
		props[name] = schemaOf(p, "", depth+1)
		if slices.Contains(s.Required, name) {
			required = append(required, name)
		}
	}
	if len(props) > 0 {
		out["properties"] = props
	}
	if len(required) > 0 {
		out["required"] = required
	}
	if a := s.AdditionalProperties; a.Schema != nil || a.Has != nil && *a.Has {
		out["additionalProperties"] = true // others may stand beside them, so it is opaque
	}
}

// mergeAll returns one object of a schema that is several objects at once, or nil if it is something else.
func mergeAll(s *openapi3.Schema, depth int) map[string]any {
	props := map[string]any{}
	var required []string
	own := *s
	own.AllOf = nil
	parts := slices.Clone(s.AllOf)
	if len(own.Properties) > 0 {
		parts = append(parts, &openapi3.SchemaRef{Value: &own})
	}
	for _, ref := range parts {
		part, _ := schemaOf(ref, "", depth+1).(map[string]any)
		members, ok := part["properties"].(map[string]any)
		if _, open := part["additionalProperties"]; !ok || open {
			return nil
		}
		for name, schema := range members {
			if props[name] != nil {
				return nil
			}
			props[name] = schema
		}
		must, _ := part["required"].([]string)
		required = append(required, must...)
	}
	slices.Sort(required)
	out := map[string]any{"type": "object", "properties": props}
	if len(required) > 0 {
		out["required"] = slices.Compact(required)
	}
	return out
}
