package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// OpenRPC returns the protocol as an OpenRPC 1.3.2 document in JSON, made from [Methods] and the types. It is the
// same bytes for the same version.
func OpenRPC(version string) []byte {
	g := generator{schemas: map[string]any{}}
	var methods []any
	for _, m := range Methods() {
		methods = append(methods, map[string]any{
			"name":           m.Name,
			"summary":        m.About,
			"paramStructure": "by-name",
			"x-access":       m.Access,
			"params":         g.paramsOf(m.Params),
			"result":         map[string]any{"name": "result", "schema": g.schemaOf(m.Result, "")},
		})
	}
	notes := g.describeNotes()
	faults := map[string]any{}
	for _, c := range slices.Sorted(maps.Keys(kinds)) {
		faults[string(c)] = map[string]any{"code": kinds[c].number, "retryable": kinds[c].retryable}
	}
	doc, err := json.MarshalIndent(map[string]any{
		"openrpc": "1.3.2",
		"info": map[string]any{
			"title":   "writ",
			"version": version,
			"description": "JSON-RPC 2.0 over WebSocket, path /ws, subprotocol " + Subprotocol + ", one object a text frame; " +
				"or over HTTP, one object a POST to " + Path + " with the header " + Channel + " of the channel that hello " +
				"opened, where every call that needs a session is signed and events come as server-sent events. " +
				"Unknown keys are refused in requests, and to be ignored in answers.",
		},
		"methods":         methods,
		"x-notifications": notes,
		"x-errors":        faults,
		"components":      map[string]any{"schemas": g.schemas},
	}, "", "  ")
	if err != nil { // maps of texts, numbers and the like
		panic(fmt.Sprintf("wire: %v", err))
	}
	return append(doc, '\n')
}

type generator struct{ schemas map[string]any }

func (g *generator) describeNotes() (out []any) {
	for _, n := range notes() {
		out = append(out, map[string]any{"name": n.name, "params": g.schemaOf(n.params, "")})
	}
	return out
}

func (g *generator) paramsOf(t reflect.Type) []any {
	params := []any{}
	fields := shapeOf(t).fields
	for _, name := range shapeOf(t).names {
		f := fields[name]
		params = append(params, map[string]any{
			"name": name, "required": !f.optional, "schema": g.schemaOf(f.Type, f.Tag),
		})
	}
	return params
}

// schemaOf returns the JSON Schema of a type; structs become named schemas that are referred to.
func (g *generator) schemaOf(t reflect.Type, tag reflect.StructTag) map[string]any {
	limit, err := strconv.ParseUint(tag.Get("max"), 10, 64)
	bounded := err == nil
	one := reflect.StructTag(`form:"` + tag.Get("form") + `"`) // of an element: the bound is the list's
	switch {
	case t == rawType:
		return map[string]any{}
	case t == reflect.TypeFor[Signature]():
		return map[string]any{"type": "string", "pattern": forms["base64url"].schema}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.schemaOf(t.Elem(), tag)
	case reflect.Struct:
		if _, ok := g.schemas[t.Name()]; !ok {
			g.schemas[t.Name()] = nil // ends a recursion
			g.schemas[t.Name()] = g.objectSchema(t)
		}
		return map[string]any{"$ref": "#/components/schemas/" + t.Name()}
	case reflect.Map:
		if t.Elem().Kind() != reflect.String {
			return map[string]any{"type": "object"}
		}
		return map[string]any{"type": "object", "additionalProperties": g.schemaOf(t.Elem(), one)}
	case reflect.Slice:
		return boundSchema(map[string]any{"type": "array", "items": g.schemaOf(t.Elem(), one)}, "maxItems", limit, bounded)
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int64, reflect.Uint64:
		s := map[string]any{"type": "integer", "minimum": 0, "maximum": uint64(maxInt)}
		return boundSchema(s, "maximum", limit, bounded)
	}
	s := map[string]any{"type": "string"}
	if f := forms[tag.Get("form")]; f.pattern != nil {
		s["pattern"] = f.schema
	}
	return boundSchema(s, "maxLength", limit, bounded)
}

func boundSchema(s map[string]any, keyword string, limit uint64, bounded bool) map[string]any {
	if bounded {
		s[keyword] = limit
	}
	return s
}

func (g *generator) objectSchema(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for name, f := range shapeOf(t).fields {
		properties[name] = g.schemaOf(f.Type, f.Tag)
		if !f.optional {
			required = append(required, name)
		}
	}
	slices.SortFunc(required, strings.Compare)
	return map[string]any{"type": "object", "properties": properties, "required": required}
}
