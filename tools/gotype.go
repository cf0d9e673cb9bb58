package tools

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A keywords is a JSON Schema as it is written.
type keywords map[string]any

var (
	timeType        = reflect.TypeFor[time.Time]()
	durationType    = reflect.TypeFor[time.Duration]()
	numberType      = reflect.TypeFor[json.Number]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// schemaOfStruct returns the schema of a struct's exported fields. path is where it stands, with a dot behind it, or
// empty; within are the structs that it is in.
func schemaOfStruct(t reflect.Type, path string, within []reflect.Type) (keywords, error) {
	if slices.Contains(within, t) {
		return nil, fmt.Errorf("field %s: the type %s is within itself", strings.TrimSuffix(path, "."), t)
	}
	within = append(slices.Clone(within), t)
	props, required := map[string]keywords{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, hasOptions := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() && !f.Anonymous || name == "-" && !hasOptions {
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		field := path + f.Name
		if f.Anonymous {
			return nil, fmt.Errorf("field %s is embedded; name it", field)
		}
		if props[name] != nil {
			return nil, fmt.Errorf("field %s: another one is called %q too", field, name)
		}
		if hasOptions && options != "omitempty" && options != "omitzero" {
			return nil, fmt.Errorf("field %s has the json option %q; only omitempty and omitzero are known", field, options)
		}
		p, err := schemaOfField(f, field, within)
		if err != nil {
			return nil, err
		}
		if props[name] = p; !hasOptions && f.Type.Kind() != reflect.Pointer {
			required = append(required, name)
		}
	}
	return keywords{"type": "object", "properties": props, "required": required, "additionalProperties": false}, nil
}

// schemaOfField returns the schema of a field, with what its tags say.
func schemaOfField(f reflect.StructField, path string, within []reflect.Type) (keywords, error) {
	s, err := schemaOfType(f.Type, path, within)
	if err != nil {
		return nil, err
	}
	if about := f.Tag.Get("about"); about != "" {
		s["description"] = about
	}
	for tag, keyword := range map[string]string{"format": "format", "asset": "x-asset", "enum": "enum"} {
		said := f.Tag.Get(tag)
		if said == "" {
			continue
		}
		if s["type"] != "string" {
			return nil, fmt.Errorf("field %s has the tag %s, which is for strings; it is a %s", path, tag, f.Type)
		}
		if s[keyword] = said; tag == "enum" {
			s[keyword] = strings.Split(said, ",")
		}
	}
	return s, nil
}

func schemaOfType(t reflect.Type, path string, within []reflect.Type) (keywords, error) {
	if t.Kind() == reflect.Pointer {
		if t = t.Elem(); t.Kind() == reflect.Pointer {
			return nil, fmt.Errorf("field %s is a pointer to a pointer", path)
		}
	}
	switch {
	case t == timeType:
		return keywords{"type": "string", "description": "a time as of RFC 3339, such as 2026-01-02T15:04:05Z"}, nil
	case t == durationType:
		return nil, fmt.Errorf("field %s is a time.Duration, which JSON has no unit for; use an integer and name its unit",
			path)
	case t == numberType:
		return keywords{"type": "number"}, nil
	case reflect.PointerTo(t).Implements(jsonUnmarshaler):
		return keywords{"x-opaque": true}, nil
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		return keywords{"type": "string"}, nil
	}
	switch k := t.Kind(); k {
	case reflect.String:
		return keywords{"type": "string"}, nil
	case reflect.Bool:
		return keywords{"type": "boolean"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		bits := t.Bits()
		return keywords{"type": "integer", "minimum": int64(-1) << (bits - 1), "maximum": int64(1)<<(bits-1) - 1}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return keywords{"type": "integer", "minimum": 0, "maximum": int64(uint64(1)<<min(t.Bits(), 63) - 1)}, nil
	case reflect.Float32, reflect.Float64:
		return keywords{"type": "number"}, nil
	case reflect.Interface, reflect.Map:
		return keywords{"x-opaque": true}, nil
	case reflect.Struct:
		return schemaOfStruct(t, path+".", within)
	case reflect.Slice, reflect.Array:
		return schemaOfList(t, path, within)
	}
	return nil, fmt.Errorf("field %s is a %s, which no argument can be", path, t)
}

func schemaOfList(t reflect.Type, path string, within []reflect.Type) (keywords, error) {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return keywords{"type": "string", "description": "bytes in base64"}, nil
	}
	items, err := schemaOfType(t.Elem(), path, within)
	if err != nil {
		return nil, err
	}
	s := keywords{"type": "array", "items": items}
	if t.Kind() == reflect.Array {
		s["minItems"], s["maxItems"] = t.Len(), t.Len()
	}
	return s, nil
}
