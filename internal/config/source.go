package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A leaf is one setting: a field that is no struct.
type leaf struct {
	path  string
	field reflect.StructField
	value reflect.Value
}

var durationType = reflect.TypeFor[time.Duration]()

// leaves lists the settings of a struct in the order of its fields.
func leaves(v reflect.Value, prefix string) []leaf {
	var out []leaf
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		if f.Type.Kind() == reflect.Struct {
			out = append(out, leaves(v.Field(i), prefix+name+".")...)
			continue
		}
		out = append(out, leaf{prefix + name, f, v.Field(i)})
	}
	return out
}

func find(c *Config, path string) (leaf, bool) {
	for _, l := range leaves(reflect.ValueOf(c).Elem(), "") {
		if l.path == path && l.settable() {
			return l, true
		}
	}
	return leaf{}, false
}

// settable says whether a setting has a form in one text, for the environment and flags.
func (l leaf) settable() bool {
	return l.value.Kind() != reflect.Slice || l.value.Type().Elem().Kind() == reflect.String
}

// set reads a setting from one text; lists are separated by commas.
func (l leaf) set(text string) error {
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
	return scalar(l.value, text)
}

func scalar(v reflect.Value, text string) error {
	switch {
	case v.Type() == durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("not a duration; write for instance 10s or 5m")
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("not a whole number")
		}
		v.SetInt(n)
	default: // a type that Config does not use
		panic("config: " + v.Type().String())
	}
	return nil
}

func (l leaf) text() string {
	switch v := l.value.Interface().(type) {
	case []string:
		return strings.Join(v, ", ")
	case []Documents:
		var all []string
		for _, d := range v {
			all = append(all, d.Source)
		}
		return strings.Join(all, ", ")
	case []Model:
		var all []string
		for _, m := range v {
			all = append(all, m.Name)
		}
		return strings.Join(all, ", ")
	case []WalletChain:
		var all []string
		for _, w := range v {
			all = append(all, fmt.Sprintf("chain %d (%d endpoints)", w.Chain, len(w.RPC)))
		}
		return strings.Join(all, ", ")
	default:
		return fmt.Sprint(v)
	}
}

// file reads the YAML file. Paths in it are relative to its folder.
func (c *Config) file(name string, data []byte) error {
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
	r := reader{name: name, dir: filepath.Dir(name), origins: c.origins}
	return r.object(doc.Content[0], reflect.ValueOf(c).Elem(), "")
}

type reader struct {
	name, dir string
	origins   map[string]string // nil inside lists
}

func (r reader) bad(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", r.name, n.Line, fmt.Sprintf(format, args...))
}

func (r reader) object(n *yaml.Node, v reflect.Value, prefix string) error {
	if n.Kind != yaml.MappingNode {
		return r.bad(n, "%s must be keys with values", or(strings.TrimSuffix(prefix, "."), "the file"))
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
			hint := or(meant(key.Value, words), "; known are "+strings.Join(words, ", "))
			return r.bad(key, "unknown key %q%s", prefix+key.Value, hint)
		case seen[key.Value]:
			return r.bad(key, "the key %q stands twice", prefix+key.Value)
		}
		seen[key.Value] = true
		if err := r.value(value, v.Field(at), v.Type().Field(at), prefix+key.Value); err != nil {
			return err
		}
	}
	return nil
}

func (r reader) value(n *yaml.Node, v reflect.Value, f reflect.StructField, path string) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return r.bad(n, "%s: anchors and aliases are not read; write the value", path)
	}
	if f.Type.Kind() == reflect.Struct && f.Type != durationType {
		return r.object(n, v, path+".")
	}
	if r.origins != nil {
		r.origins[path] = fmt.Sprintf("%s:%d", r.name, n.Line)
	}
	if v.Kind() != reflect.Slice {
		return r.scalar(n, v, f, path)
	}
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" && v.Type().Elem().Kind() == reflect.String { // a list of one
		n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Content: []*yaml.Node{n}}
	}
	if n.Kind != yaml.SequenceNode {
		return r.bad(n, "%s must be a list", path)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	inner := r
	inner.origins = nil
	for i, item := range n.Content {
		at := fmt.Sprintf("%s.%d", path, i)
		var err error
		if v.Index(i).Kind() == reflect.Struct {
			err = inner.object(item, v.Index(i), at+".")
		} else {
			err = inner.scalar(item, v.Index(i), f, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r reader) scalar(n *yaml.Node, v reflect.Value, f reflect.StructField, path string) error {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Anchor != "" {
		return r.bad(n, "%s must be one value", path)
	}
	if err := scalar(v, n.Value); err != nil {
		return r.bad(n, "%s: %v", path, err)
	}
	switch f.Tag.Get("path") {
	case "yes":
		v.SetString(resolve(r.dir, v.String()))
	case "named": // a name, or a file
		if s := v.String(); strings.ContainsRune(s, '/') || strings.HasSuffix(s, ".yaml") {
			v.SetString(resolve(r.dir, s))
		}
	case "secret":
		if p, ok := strings.CutPrefix(v.String(), "file:"); ok {
			v.SetString("file:" + resolve(r.dir, p))
		}
	}
	return nil
}

// meant returns `; did you mean "x"?` if one of the words is near enough, else nothing.
func meant(word string, words []string) string {
	best, distance := "", 1+max(2, len(word)/3) // two letters swapped are two edits
	for _, w := range words {
		if d := edits(word, w); d < distance {
			best, distance = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// edits is Levenshtein's distance, bounded by the first 64 bytes.
func edits(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func keys(m map[string]string) iter.Seq[string] { return maps.Keys(m) }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
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
	case v.Kind() == reflect.Int64:
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
