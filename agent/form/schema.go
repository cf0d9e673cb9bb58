package form

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A schema is one place of a Form.
type schema struct {
	never bool // the schema false

	types      []string
	ref        string
	properties map[string]*schema
	required   []string
	more       *schema // of properties that are not named; nil for any
	items      *schema
	enum       []any // one of these, if it is not nil
	all, any   []*schema
	one        []*schema

	min, max           *float64
	overMin, underMax  *float64 // exclusive
	minLength, maxItem *int
	maxLength, minItem *int
	unique             bool
	pattern            *regexp.Regexp
}

// describing are the keywords that say nothing of which values fit.
var describing = []string{
	"$schema", "$id", "$comment", "title", "description", "default", "examples", "format", "deprecated", "readOnly",
	"writeOnly",
}

var kinds = []string{"object", "array", "string", "number", "integer", "boolean", "null"}

// A parser reads a schema.
type parser struct {
	form *Form
	refs []reference
	n    int
}

type reference struct{ at, to string }

func (p *parser) parse(raw json.RawMessage, at string) (*schema, error) {
	if p.n++; p.n > MaxSchema/8 || strings.Count(at, "/") > 2*maxDepth {
		return nil, errors.New("it is too large or too deep")
	}
	switch string(bytes.TrimSpace(raw)) {
	case "true":
		return &schema{}, nil
	case "false":
		return &schema{never: true}, nil
	}
	var keys map[string]json.RawMessage
	if json.Unmarshal(raw, &keys) != nil || keys == nil {
		return nil, fmt.Errorf("%s is no schema", at)
	}
	s := &schema{}
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	slices.Sort(names) // so that of several faults the same one is told
	for _, name := range names {
		if err := p.parseKey(s, name, keys[name], at); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// parseKey reads one keyword.
func (p *parser) parseKey(s *schema, name string, raw json.RawMessage, at string) (err error) {
	into := func(v any) {
		if json.Unmarshal(raw, v) != nil {
			err = fmt.Errorf("%s/%s has not the type that it must have", at, name)
		}
	}
	one := func(to **schema) { *to, err = p.parse(raw, at+"/"+name) }
	many := func(to *[]*schema) { *to, err = p.parseList(raw, at+"/"+name) }
	switch name {
	case "type":
		return parseTypes(s, raw, at)
	case "$ref":
		into(&s.ref)
		p.refs = append(p.refs, reference{at, s.ref})
	case "properties":
		s.properties, err = p.parseMap(raw, at+"/"+name)
	case "$defs", "definitions":
		var defs map[string]*schema
		defs, err = p.parseMap(raw, at+"/"+name)
		for k, d := range defs {
			p.form.defs[at+"/"+name+"/"+k] = d
		}
	case "required":
		into(&s.required)
	case "additionalProperties":
		one(&s.more)
	case "items":
		one(&s.items)
	case "enum":
		s.enum, err = readValues(raw)
	case "const":
		s.enum, err = readValues(slices.Concat([]byte("["), raw, []byte("]")))
	case "allOf":
		many(&s.all)
	case "anyOf":
		many(&s.any)
	case "oneOf":
		many(&s.one)
	case "pattern":
		var text string
		if into(&text); err == nil {
			if s.pattern, err = regexp.Compile(text); err != nil {
				err = fmt.Errorf("%s/pattern cannot be read", at)
			}
		}
	case "uniqueItems":
		into(&s.unique)
	default:
		return parseBound(s, name, at, into, &err)
	}
	return err
}

// parseBound reads a keyword that bounds something, or only describes.
func parseBound(s *schema, name, at string, into func(any), err *error) error {
	numbers := map[string]**float64{
		"minimum": &s.min, "maximum": &s.max, "exclusiveMinimum": &s.overMin, "exclusiveMaximum": &s.underMax,
	}
	counts := map[string]**int{
		"minLength": &s.minLength, "maxLength": &s.maxLength, "minItems": &s.minItem, "maxItems": &s.maxItem,
	}
	switch {
	case numbers[name] != nil:
		into(numbers[name])
	case counts[name] != nil:
		into(counts[name])
	case !slices.Contains(describing, name):
		return fmt.Errorf("%s has the keyword %.40q, which is not taken here", at, name)
	}
	return *err
}

func parseTypes(s *schema, raw json.RawMessage, at string) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		s.types = []string{one}
	} else if json.Unmarshal(raw, &s.types) != nil || len(s.types) == 0 {
		return fmt.Errorf("%s/type is no type", at)
	}
	for _, t := range s.types {
		if !slices.Contains(kinds, t) {
			return fmt.Errorf("%s/type %.40q is none of %s", at, t, strings.Join(kinds, ", "))
		}
	}
	return nil
}

func (p *parser) parseMap(raw json.RawMessage, at string) (map[string]*schema, error) {
	var in map[string]json.RawMessage
	if json.Unmarshal(raw, &in) != nil {
		return nil, fmt.Errorf("%s is no object", at)
	}
	out := map[string]*schema{}
	for name, raw := range in {
		s, err := p.parse(raw, at+"/"+name)
		if err != nil {
			return nil, err
		}
		out[name] = s
	}
	return out, nil
}

func (p *parser) parseList(raw json.RawMessage, at string) (out []*schema, err error) {
	var in []json.RawMessage
	if json.Unmarshal(raw, &in) != nil || len(in) == 0 {
		return nil, fmt.Errorf("%s is no list of schemas", at)
	}
	for i, raw := range in {
		s, err := p.parse(raw, fmt.Sprintf("%s/%d", at, i))
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func readValues(raw json.RawMessage) ([]any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	out := []any{}
	if dec.Decode(&out) != nil || len(out) == 0 {
		return nil, errors.New("an enum has no values")
	}
	return out, nil
}
