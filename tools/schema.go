package tools

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ/tools/arg"
)

// Bounds of a schema.
const (
	maxSchema  = 64 << 10 // bytes
	maxParams  = 64       // of one object
	maxMembers = 256      // of all objects that are not in a list
	maxNesting = 8        // objects and lists inside each other
	maxItems   = 1024     // of a list, if the schema says no less
	maxEnum    = 4096
)

// A schema is what is allowed of one value.
type schema struct {
	kind      arg.Kind
	format    string // of a String, an Address or an Amount: "", address, token, amount, hash, block, url
	enum      []string
	min, max  int64 // of an Int, of a text's characters, of a list's elements
	low, high *arg.Decimal
	props     []prop  // of an Object, by name
	items     *schema // of a List
	fixed     *string // of an argument that is the same in every call
	elicited  bool    // it brings a user's answers, and no model is told of it
	allowance bool    // of an Amount that the recipient may move later
}

// A prop is one property of an object.
type prop struct {
	name     string
	path     string // what messages and policies call it
	at       int    // its place among the Params; -1 within a list
	asset    int    // format amount: the place of the token property
	required bool
	schema
}

// formats lists the formats of a string property with the kind that policies see.
var formats = map[string]arg.Kind{
	"": arg.String, "address": arg.Address, "token": arg.String, "amount": arg.Amount, "hash": arg.String,
	"block": arg.String, "thing": arg.String, "url": arg.String,
}

// inLists are the formats of which a list may have elements. The others name what policies and caps judge, and they do
// not see elements.
var inLists = []string{"", "hash", "block"}

// A schemaReader reads a schema and numbers the properties that are seen from outside.
type schemaReader struct {
	params  []arg.Param
	formats []string // by param
}

// readObject reads the schema of an object. path is its own, with a dot behind it, or empty; seen says that its
// properties are arguments of their own, as those of an element of a list are not.
func (r *schemaReader) readObject(v *value, path string, depth int, seen, always bool) (schema, error) {
	s := schema{kind: arg.Object}
	keys := []string{"type", "properties", "required", "additionalProperties", "description"}
	if depth == 0 {
		keys = append(keys, topKeywords...)
	}
	err := v.allowOnly(keys...)
	if err != nil {
		return s, err
	}
	if a := v.member("additionalProperties"); a == nil || a.kind != boolFalse {
		return s, errors.New(`"additionalProperties" must be false`)
	}
	required, err := v.stringsMember("required")
	if err != nil {
		return s, err
	}
	if props := v.member("properties"); props != nil {
		if props.kind != object || len(props.members) > maxParams {
			return s, fmt.Errorf(`"properties" must be an object of at most %d properties`, maxParams)
		}
		if err := checkNames(props.members); err != nil {
			return s, err
		}
		for i := range props.members {
			m := &props.members[i]
			p := prop{name: m.key, path: path + m.key, at: -1, required: slices.Contains(required, m.key)}
			if err := r.readProperty(&p, &m.value, depth, seen, always && p.required); err != nil {
				return s, inProperty(p.name, err)
			}
			s.props = append(s.props, p)
		}
		for i := range s.props {
			if err := s.linkAsset(&s.props[i], &props.members[i].value); err != nil {
				return s, inProperty(s.props[i].name, err)
			}
		}
	}
	for _, name := range required {
		if s.findProperty(name) == nil {
			return s, fmt.Errorf("required names %q, which is no property", clipText(name))
		}
	}
	return s, nil
}

// inProperty says in which property something is wrong; of nested ones it names the path.
func inProperty(name string, err error) error {
	if inner, ok := errors.AsType[*propertyError](err); ok {
		return &propertyError{name + "." + inner.path, inner.err}
	}
	return &propertyError{name, err}
}

type propertyError struct {
	path string
	err  error
}

func (e *propertyError) Error() string { return fmt.Sprintf("property %q: %v", e.path, e.err) }
func (e *propertyError) Unwrap() error { return e.err }

// checkNames refuses names that policies cannot say, and two that differ by capitals only.
func checkNames(members []member) error {
	seen := map[string]bool{}
	for i := range members {
		key := members[i].key
		if !arg.IsName(key) {
			return fmt.Errorf("property %q: the name must be of letters, digits and '_', a letter first",
				clipText(key))
		}
		if low := strings.ToLower(key); seen[low] {
			return fmt.Errorf("property %q: another one differs from it by capitals only", key)
		} else {
			seen[low] = true
		}
	}
	return nil
}

// readProperty reads the schema of a property and gives it its place among the params. always says that it is there in
// every call.
func (r *schemaReader) readProperty(p *prop, v *value, depth int, seen, always bool) (err error) {
	if seen {
		if p.at = len(r.params); p.at == maxMembers {
			return fmt.Errorf("there are more than %d properties in all", maxMembers)
		}
		r.params = append(r.params, arg.Param{Name: p.path, Required: always})
		r.formats = append(r.formats, "")
	}
	if p.schema, err = r.readValue(v, p.path, depth+1, seen, always); err != nil {
		return err
	}
	if seen {
		r.params[p.at].Kind, r.formats[p.at] = p.kind, p.format
	}
	if p.fixed == nil {
		return nil
	}
	if depth > 0 || !seen || p.required {
		return errors.New("const is of an argument itself, and such a one is not required: it is always there")
	}
	r.params[p.at].Required = true
	return nil
}

// readValue reads the schema of any value.
func (r *schemaReader) readValue(v *value, path string, depth int, seen, always bool) (s schema, err error) {
	if v.kind != object {
		return s, errors.New("it must be an object")
	}
	if depth > maxNesting {
		return s, fmt.Errorf("objects and lists are nested deeper than %d", maxNesting)
	}
	if x := v.member("x-opaque"); x != nil {
		if x.kind != boolTrue {
			return s, errors.New(`"x-opaque" can only be true`)
		}
		e := v.member(keyElicited)
		return schema{kind: arg.JSON, elicited: depth == 1 && !always && e != nil && e.kind == boolTrue}, nil
	}
	typ, err := v.stringMember("type", 16)
	if err != nil {
		return s, err
	}
	if _, err := v.stringMember("description", maxAbout); err != nil {
		return s, err
	}
	switch typ {
	case "boolean":
		return schema{kind: arg.Bool}, v.allowOnly("type", "description")
	case "integer":
		s.kind = arg.Int
		if err := v.allowOnly("type", "description", "minimum", "maximum"); err != nil {
			return s, err
		}
		return s, v.readBounds(&s, "minimum", "maximum", math.MinInt64)
	case "number":
		return readNumber(v)
	case "string":
		return readString(v, seen)
	case "object":
		return r.readObject(v, path+".", depth, seen, always)
	case "array":
		return r.readList(v, path, depth)
	}
	return s, fmt.Errorf(`"type" is %q; it must be "string", "integer", "number", "boolean", "object" or "array"; `+
		`what has no such type can be "x-opaque": true`, clipText(typ))
}

func readString(v *value, seen bool) (s schema, err error) {
	if s.format, err = v.stringMember("format", 16); err != nil {
		return s, err
	}
	kind, ok := formats[s.format]
	if !ok || v.member("format") != nil && s.format == "" {
		return s, fmt.Errorf("format %q is unknown: say address, token, amount, hash, block or url", s.format)
	}
	if s.kind = kind; !seen && !slices.Contains(inLists, s.format) {
		return s, fmt.Errorf("format %q cannot be used within a list, where policies do not see it", s.format)
	}
	err = v.allowOnly("type", "description", "format", "x-asset", "x-allowance", "enum", "const", "minLength", "maxLength")
	if err != nil {
		return s, err
	}
	if c := v.member("const"); c != nil {
		if c.kind != text {
			return s, errors.New("const must be a string")
		}
		s.fixed = &c.text
	}
	if a := v.member("x-allowance"); a != nil {
		if s.allowance = a.kind == boolTrue && s.format == "amount"; !s.allowance {
			return s, errors.New(`"x-allowance" can only be true, of format amount`)
		}
	}
	if s.enum, err = v.stringsMember("enum"); err != nil {
		return s, err
	}
	if v.member("enum") != nil && len(s.enum) == 0 {
		return s, errors.New("enum is empty, so nothing would be allowed")
	}
	return s, v.readBounds(&s, "minLength", "maxLength", 0)
}

// readNumber reads the schema of a number, whose bounds are as exact as it is.
func readNumber(v *value) (s schema, err error) {
	s.kind = arg.Number
	if err := v.allowOnly("type", "description", "minimum", "maximum"); err != nil {
		return s, err
	}
	for key, to := range map[string]**arg.Decimal{"minimum": &s.low, "maximum": &s.high} {
		e := v.member(key)
		if e == nil {
			continue
		}
		if e.kind != integer && e.kind != fraction {
			return s, fmt.Errorf("%q must be a number", key)
		}
		d, err := arg.ParseDecimal(e.text)
		if err != nil {
			return s, fmt.Errorf("%q: %w", key, err)
		}
		*to = &d
	}
	if s.low != nil && s.high != nil && s.low.Compare(*s.high) > 0 {
		return s, errors.New("minimum is above maximum")
	}
	return s, nil
}

func (r *schemaReader) readList(v *value, path string, depth int) (s schema, err error) {
	s.kind = arg.List
	if err := v.allowOnly("type", "description", "items", "minItems", "maxItems"); err != nil {
		return s, err
	}
	if err := v.readBounds(&s, "minItems", "maxItems", 0); err != nil {
		return s, err
	}
	if v.member("maxItems") == nil {
		s.max = max(s.min, maxItems)
	}
	if s.max > MaxArgs {
		return s, fmt.Errorf(`"maxItems" must be at most %d`, MaxArgs)
	}
	items := v.member("items")
	if items == nil {
		return s, errors.New(`"items" is missing; of elements that cannot be typed say {"x-opaque": true}`)
	}
	element, err := r.readValue(items, path+"[]", depth+1, false, false)
	if err != nil {
		return s, fmt.Errorf("items: %w", err)
	}
	s.items = &element
	return s, nil
}

// linkAsset finds the token that an amount counts, in the same object.
func (s *schema) linkAsset(p *prop, v *value) error {
	if p.kind == arg.JSON {
		return nil
	}
	name, err := v.stringMember("x-asset", 64)
	if err != nil {
		return err
	}
	if p.format != "amount" {
		if name != "" {
			return errors.New("x-asset belongs to format amount only")
		}
		return nil
	}
	token := s.findProperty(name)
	if token == nil || token.format != "token" {
		return fmt.Errorf("x-asset must name a property of format token, not %q", name)
	}
	p.asset = token.at
	return nil
}

// findProperty returns a property of an object, or nil.
func (s *schema) findProperty(name string) *prop {
	for i := range s.props {
		if s.props[i].name == name {
			return &s.props[i]
		}
	}
	return nil
}

// allowOnly says which member of an object is none of keys.
func (v *value) allowOnly(keys ...string) error {
	for i := range v.members {
		if k := v.members[i].key; !slices.Contains(keys, k) {
			return fmt.Errorf("keyword %q is not supported here%s; there are %s", clipText(k), didYouMean(k, keys),
				strings.Join(keys, ", "))
		}
	}
	return nil
}

// stringMember returns a member of an object that is a text, or "" if it is absent.
func (v *value) stringMember(key string, limit int) (string, error) {
	e := v.member(key)
	if e == nil {
		return "", nil
	}
	if e.kind != text || len(e.text) > limit {
		return "", fmt.Errorf("%q must be a string of at most %d bytes", key, limit)
	}
	return e.text, nil
}

// stringsMember returns a member of an object that is a list of texts without duplicates, or nil if it is absent.
func (v *value) stringsMember(key string) ([]string, error) {
	e := v.member(key)
	if e == nil {
		return nil, nil
	}
	if e.kind != list {
		return nil, fmt.Errorf("%q must be a list", key)
	}
	var out []string
	for _, x := range e.list {
		if x.kind != text || slices.Contains(out, x.text) || len(out) == maxEnum {
			return nil, fmt.Errorf("%q must be a list of at most %d different strings", key, maxEnum)
		}
		out = append(out, x.text)
	}
	return out, nil
}

// readBounds reads a lower and an upper bound, both optional.
func (v *value) readBounds(s *schema, low, high string, least int64) error {
	s.min, s.max = least, math.MaxInt64
	for key, dst := range map[string]*int64{low: &s.min, high: &s.max} {
		e := v.member(key)
		if e == nil {
			continue
		}
		n, err := strconv.ParseInt(e.text, 10, 64)
		if e.kind != integer || err != nil || n < least {
			return fmt.Errorf("%q must be an integer of at least %d", key, least)
		}
		*dst = n
	}
	if s.min > s.max {
		return fmt.Errorf("%s is above %s", low, high)
	}
	return nil
}
