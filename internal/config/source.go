package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/internal/wording"
)

// A leaf is one setting: a field that is no struct.
type leaf struct {
	path  string
	field reflect.StructField
	value reflect.Value
}

var durationType = reflect.TypeFor[time.Duration]()

// listLeaves lists the settings of a struct in the order of its fields.
func listLeaves(v reflect.Value, prefix string) []leaf {
	var out []leaf
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		if f.Type.Kind() == reflect.Struct {
			out = append(out, listLeaves(v.Field(i), prefix+name+".")...)
			continue
		}
		out = append(out, leaf{prefix + name, f, v.Field(i)})
	}
	return out
}

// ChangedFrom lists the settings that are not as in another configuration, by their paths.
func (c *Config) ChangedFrom(other *Config) (paths []string) {
	theirs := listLeaves(reflect.ValueOf(other).Elem(), "")
	for i, l := range listLeaves(reflect.ValueOf(c).Elem(), "") {
		if !reflect.DeepEqual(l.value.Interface(), theirs[i].value.Interface()) {
			paths = append(paths, l.path)
		}
	}
	return paths
}

func findLeaf(c *Config, path string) (leaf, bool) {
	for _, l := range listLeaves(reflect.ValueOf(c).Elem(), "") {
		if l.path == path && l.hasTextForm() {
			return l, true
		}
	}
	return leaf{}, false
}

// hasTextForm says whether a setting has a form in one text, for the environment and flags.
func (l leaf) hasTextForm() bool {
	return l.value.Kind() != reflect.Slice || l.value.Type().Elem().Kind() == reflect.String
}

// setText reads a setting from one text; lists are separated by commas.
func (l leaf) setText(text string) error {
	if l.value.Kind() == reflect.Slice {
		var list []string
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		l.value.Set(reflect.ValueOf(list))
		return nil
	}
	return readScalar(l.value, text)
}

// readScalar reads one value of any type that a setting may have: a text, a duration, a whole number, or true or false.
func readScalar(v reflect.Value, text string) error {
	switch {
	case v.Type() == durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("not a duration; write for instance 10s or 5m")
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("neither true nor false")
		}
		v.SetBool(text == "true")
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("not a whole number, or too large")
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("not a whole number of 0 or more, or too large")
		}
		v.SetUint(n)
	default: // TestEverySettingIsRead finds a type that is not read
		return fmt.Errorf("settings of type %s cannot be read", v.Type())
	}
	return nil
}

func (l leaf) formatText() string {
	switch v := l.value.Interface().(type) {
	case []string:
		return strings.Join(v, ", ")
	case []Documents:
		return joinNames(v, func(d Documents) string { return d.Source })
	case []Model:
		return joinNames(v, func(m Model) string { return m.Name })
	case []Token:
		return joinNames(v, func(t Token) string { return t.Symbol })
	case []Name:
		return joinNames(v, func(n Name) string { return n.Name })
	case []Tool:
		return joinNames(v, Tool.Name)
	case []WalletChain:
		return joinNames(v, func(w WalletChain) string { return fmt.Sprintf("chain %d (%d endpoints)", w.Chain, len(w.RPC)) })
	default:
		return fmt.Sprint(v)
	}
}

func joinNames[T any](list []T, name func(T) string) string {
	all := make([]string, len(list))
	for i, x := range list {
		all[i] = name(x)
	}
	return strings.Join(all, ", ")
}

// readFileInto reads the YAML file. Paths in it are relative to its folder.
func (c *Config) readFileInto(name string, data []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil // empty
	} else if err != nil {
		return fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: one YAML document is read, and there is more", name)
	}
	c.file = name
	r := reader{name: name, dir: filepath.Dir(name), origins: c.origins}
	return r.readObject(doc.Content[0], reflect.ValueOf(c).Elem(), "")
}

type reader struct {
	name, dir string
	origins   map[string]string // nil inside lists
}

func (r reader) badNode(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", r.name, n.Line, fmt.Sprintf(format, args...))
}

func (r reader) readObject(n *yaml.Node, v reflect.Value, prefix string) error {
	if n.Kind != yaml.MappingNode {
		return r.badNode(n, "%s must be keys with values", cmp.Or(strings.TrimSuffix(prefix, "."), "the file"))
	}
	known := map[string]int{}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
			known[name] = i
		}
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at, ok := known[key.Value]
		switch {
		case !ok:
			words := slices.Sorted(maps.Keys(known))
			hint := cmp.Or(suggestName(key.Value, words), "; known are "+strings.Join(words, ", "))
			return r.badNode(key, "unknown key %q%s", prefix+key.Value, hint)
		case seen[key.Value]:
			return r.badNode(key, "the key %q stands twice", prefix+key.Value)
		}
		seen[key.Value] = true
		if err := r.readValue(value, v.Field(at), v.Type().Field(at), prefix+key.Value); err != nil {
			return err
		}
	}
	return nil
}

func (r reader) readValue(n *yaml.Node, v reflect.Value, f reflect.StructField, path string) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return r.badNode(n, "%s: anchors and aliases are not read; write the value", path)
	}
	if f.Type.Kind() == reflect.Struct && f.Type != durationType {
		return r.readObject(n, v, path+".")
	}
	if r.origins != nil {
		r.origins[path] = fmt.Sprintf("%s:%d", r.name, n.Line)
	}
	if v.Kind() != reflect.Slice {
		return r.readScalarNode(n, v, f, path)
	}
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" && v.Type().Elem().Kind() == reflect.String { // a list of one
		n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Content: []*yaml.Node{n}}
	}
	if n.Kind != yaml.SequenceNode {
		return r.badNode(n, "%s must be a list", path)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	inner := r
	inner.origins = nil
	for i, item := range n.Content {
		at := fmt.Sprintf("%s.%d", path, i+1) // as people count
		var err error
		if v.Index(i).Kind() == reflect.Struct {
			err = inner.readObject(item, v.Index(i), at+".")
		} else {
			err = inner.readScalarNode(item, v.Index(i), f, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r reader) readScalarNode(n *yaml.Node, v reflect.Value, f reflect.StructField, path string) error {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Anchor != "" {
		return r.badNode(n, "%s must be one value", path)
	}
	if err := readScalar(v, n.Value); err != nil {
		return r.badNode(n, "%s: %v", path, err)
	}
	switch f.Tag.Get("path") {
	case "yes":
		v.SetString(resolvePath(r.dir, v.String()))
	case "place": // a folder or file, unless it is found elsewhere
		if !isElsewhere(v.String()) {
			v.SetString(resolvePath(r.dir, v.String()))
		}
	case "named": // a name, or a file
		if s := v.String(); strings.ContainsRune(s, '/') || strings.HasSuffix(s, ".yaml") {
			v.SetString(resolvePath(r.dir, s))
		}
	case "secret":
		if p, ok := strings.CutPrefix(v.String(), "file:"); ok {
			v.SetString("file:" + resolvePath(r.dir, p))
		}
	}
	return nil
}

// suggestName returns `; did you mean "x"?` if one of the words is near enough, else nothing.
func suggestName(word string, words []string) string {
	best := wording.Nearest(word, words)
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// Schema returns the JSON Schema of the file.
func Schema() []byte {
	s := schemaOf(reflect.ValueOf(Default()), reflect.StructTag(""))
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "writ.yaml"
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil { // maps of texts and lists
		panic(fmt.Sprintf("config: %v", err))
	}
	return append(out, '\n')
}

func schemaOf(v reflect.Value, tag reflect.StructTag) map[string]any {
	s := map[string]any{}
	if about := tag.Get("about"); about != "" {
		s["description"] = about
	}
	switch {
	case v.Type() == durationType:
		s["type"], s["pattern"] = "string", `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	case v.Type() == reflect.TypeFor[Secret]():
		s["type"], s["pattern"] = "string", "^(file|env):.+$"
	case v.Kind() == reflect.String:
		s["type"] = "string"
		if one := tag.Get("one"); one != "" {
			s["enum"] = strings.Fields(one)
		}
		if v.String() != "" {
			s["default"] = v.String()
		}
	case v.Kind() == reflect.Bool:
		s["type"] = "boolean"
	case v.CanInt() || v.CanUint():
		s["type"], s["minimum"] = "integer", 0
	case v.Kind() == reflect.Slice:
		items := schemaOf(reflect.Zero(v.Type().Elem()), "")
		s["type"], s["items"] = "array", items
		if items["type"] == "string" { // one alone may stand without a list
			delete(s, "type")
			delete(s, "items")
			s["anyOf"] = []any{items, map[string]any{"type": "array", "items": items}}
		}
	case v.Kind() == reflect.Struct:
		properties := map[string]any{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Tag.Get("yaml") != "" {
				properties[f.Tag.Get("yaml")] = schemaOf(v.Field(i), f.Tag)
			}
		}
		s["type"], s["properties"], s["additionalProperties"] = "object", properties, false
	}
	return s
}
