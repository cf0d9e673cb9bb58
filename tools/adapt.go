package tools

import (
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools/arg"
)

// AdaptSchema makes a [Spec.Schema] of a JSON Schema that somebody else wrote, such as that of a tool server or of an
// OpenAPI operation. What the subset has stays typed. What it has not becomes opaque with all its keywords, so that the
// model reads them and no policy takes it for what it may not be: alternatives, references, open objects, lists of
// types, and members whose names policies cannot say. A property that may be null or X and is not required is X.
//
// Keywords that only describe or narrow a typed value further ("title", "default", "pattern", formats that are not
// ours) are left out: the tool's own side enforces them. It is an error if the schema is not that of an object, or one
// of its own properties has a name that policies cannot say.
func AdaptSchema(foreign []byte) ([]byte, error) {
	v, err := parseJSON(foreign, maxSchema)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if v.kind != object || v.member("type") == nil || v.member("type").text != "object" {
		return nil, errors.New("schema: it is not that of an object")
	}
	if a := v.member("additionalProperties"); a != nil && a.kind != boolFalse && v.member("properties") == nil {
		return nil, errors.New("schema: it names no property and allows any")
	}
	if props := v.member("properties"); props != nil {
		if err := checkNames(props.members); err != nil {
			return nil, fmt.Errorf("schema: %w", err)
		}
	}
	adapted := adaptObject(&v, 0)
	out := adapted.appendTo(nil)
	var r schemaReader
	if _, err := r.readObject(&adapted, "", 0, true, true); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return out, nil
}

// kept are the keywords of each type that mean the same to us.
var kept = map[string][]string{
	"boolean": {"description"}, "integer": {"description", "minimum", "maximum"}, "number": {"description", "minimum",
		"maximum"},
	"string": {"description", "enum", "minLength", "maxLength"}, "array": {"description", "items", "minItems", "maxItems"},
	"object": {"description", "properties", "required", "additionalProperties"},
}

// narrowing are keywords that may be left out of a typed value.
var narrowing = []string{
	"type", "title", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "pattern", "format",
	"$schema", "$id",
	"$comment", "multipleOf", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum", "contentEncoding", "contentMediaType",
}

func adaptObject(v *value, depth int) value {
	out := value{kind: object}
	for i := range v.members {
		switch m := v.members[i]; m.key {
		case "additionalProperties", "type":
		case "properties":
			props := value{kind: object}
			for j := range m.members {
				p := m.members[j]
				optional := !isRequired(v, p.key)
				props.members = append(props.members, member{p.key, adaptValue(&p.value, depth+1, optional)})
			}
			out.members = append(out.members, member{"properties", props})
		case "description", "required":
			out.members = append(out.members, m)
		}
	}
	out.setMember("additionalProperties", value{kind: boolFalse})
	out.setMember("type", value{kind: text, text: "object"})
	return clipDescription(out)
}

func isRequired(v *value, name string) bool {
	list := v.member("required")
	return list != nil && slices.ContainsFunc(list.list, func(x value) bool { return x.text == name })
}

// adaptValue returns a value's schema as it is, typed and without what we do not enforce, or opaque.
func adaptValue(v *value, depth int, optional bool) value {
	if optional {
		v = withoutNull(v)
	}
	if !isTyped(v) || depth > maxNesting {
		return makeOpaque(v)
	}
	var out value
	switch typ := v.member("type").text; typ {
	case "object":
		out = adaptObject(v, depth)
	default:
		out = value{kind: object}
		for _, m := range v.members {
			if slices.Contains(kept[typ], m.key) {
				out.members = append(out.members, m)
			}
		}
		out.setMember("type", value{kind: text, text: typ})
		if typ == "array" {
			out.setMember("items", adaptValue(v.member("items"), depth+1, false))
		}
		out = clipDescription(out)
	}
	var r schemaReader
	if _, err := r.readValue(&out, "", depth, false, false); err != nil {
		return makeOpaque(v)
	}
	return out
}

// isTyped says whether all that a schema says of a value has a place in the subset, or may be left out.
func isTyped(v *value) bool {
	if v.kind != object || v.member("type") == nil || kept[v.member("type").text] == nil {
		return false
	}
	typ := v.member("type").text
	for i := range v.members {
		if key := v.members[i].key; !slices.Contains(kept[typ], key) && !slices.Contains(narrowing, key) {
			return false
		}
	}
	switch props := v.member("properties"); {
	case typ == "array":
		return v.member("items") != nil
	case typ != "object":
		return true
	case props == nil || props.kind != object:
		return false
	default: // an object that may have other members is not what its properties say
		a := v.member("additionalProperties")
		open := a != nil && a.kind != boolFalse
		return !open && !slices.ContainsFunc(props.members, func(m member) bool { return !arg.IsName(m.key) })
	}
}

// withoutNull returns X of a schema that allows X or null; any other as it is.
func withoutNull(v *value) *value {
	for _, key := range []string{"anyOf", "oneOf"} {
		either := v.member(key)
		if either == nil || len(either.list) != 2 {
			continue
		}
		for i := range either.list {
			if t := either.list[i].member("type"); t != nil && t.text == "null" {
				rest := either.list[1-i]
				if about := v.member("description"); about != nil && rest.kind == object && rest.member("description") == nil {
					rest.members = slices.Clone(rest.members)
					rest.setMember("description", *about)
				}
				return &rest
			}
		}
	}
	return v
}

// makeOpaque returns a schema that allows anything, with the keywords of v for the model.
func makeOpaque(v *value) value {
	out := value{kind: object}
	if v.kind == object {
		out.members = slices.Clone(v.members)
	}
	out.setMember("x-opaque", value{kind: boolTrue})
	return out
}

// clipDescription cuts a description that is longer than one of ours may be.
func clipDescription(v value) value {
	if d := v.member("description"); d != nil && (d.kind != text || len(d.text) > maxAbout) {
		v.setMember("description", value{kind: text, text: wording.Clip(d.text, maxAbout-3)})
	}
	return v
}

// setMember sets a member of an object, and keeps its members sorted.
func (v *value) setMember(key string, to value) {
	if m := v.member(key); m != nil {
		*m = to
		return
	}
	i, _ := slices.BinarySearchFunc(v.members, key, compareKey)
	v.members = slices.Insert(v.members, i, member{key, to})
}
