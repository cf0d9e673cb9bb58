package form

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A checker holds values to schemas.
type checker struct {
	defs  map[string]*schema
	wrong []string
	work  int
}

// note lists something that is wrong. at is the place in the answer.
func (c *checker) note(at, format string, args ...any) {
	if len(c.wrong) < maxWrong {
		if at == "" {
			at = "the answer"
		} else if len(at) > 120 {
			at = strings.ToValidUTF8(at[:120], "") + "..."
		}
		c.wrong = append(c.wrong, at+" "+fmt.Sprintf(format, args...))
	}
}

// fits says whether a value fits, and lists nothing.
func (c *checker) fits(s *schema, v any, at string, depth int) bool {
	sub := &checker{defs: c.defs, work: c.work}
	sub.check(s, v, at, depth)
	c.work = sub.work
	return len(sub.wrong) == 0
}

func (c *checker) check(s *schema, v any, at string, depth int) {
	if c.work++; c.work > maxWork || depth > 4*maxDepth {
		c.note(at, "is too much to check")
		return
	}
	if s.never {
		c.note(at, "must not be there")
		return
	}
	if s.ref != "" {
		c.check(c.defs[s.ref], v, at, depth+1)
	}
	if s.types != nil && !slices.ContainsFunc(s.types, func(t string) bool { return isOf(t, v) }) {
		c.note(at, "must be of type %s", strings.Join(s.types, " or "))
		return
	}
	if s.enum != nil && !slices.ContainsFunc(s.enum, func(e any) bool { return isSame(e, v) }) {
		c.note(at, "must be one of %s", writeValues(s.enum))
	}
	switch v := v.(type) {
	case map[string]any:
		c.checkObject(s, v, at, depth)
	case []any:
		c.checkArray(s, v, at, depth)
	case string:
		c.checkText(s, v, at)
	case json.Number:
		c.checkNumber(s, numberOf(v), at)
	}
	for _, x := range s.all {
		c.check(x, v, at, depth+1)
	}
	if s.any != nil && !slices.ContainsFunc(s.any, func(x *schema) bool { return c.fits(x, v, at, depth+1) }) {
		c.note(at, "fits none of what it may be")
	}
	if s.one != nil {
		n := 0
		for _, x := range s.one {
			if c.fits(x, v, at, depth+1) {
				n++
			}
		}
		if n != 1 {
			c.note(at, "must fit exactly one of what it may be, and fits %d", n)
		}
	}
}

func (c *checker) checkObject(s *schema, v map[string]any, at string, depth int) {
	for _, name := range s.required {
		if _, there := v[name]; !there {
			c.note(at, "has no %.80q", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		place := at + "/" + name
		switch x, named := s.properties[name]; {
		case named:
			c.check(x, v[name], place, depth+1)
		case s.more != nil && s.more.never:
			c.note(place, "is not asked for")
		case s.more != nil:
			c.check(s.more, v[name], place, depth+1)
		}
	}
}

func (c *checker) checkArray(s *schema, v []any, at string, depth int) {
	if s.minItem != nil && len(v) < *s.minItem {
		c.note(at, "has %d items; at least %d are wanted", len(v), *s.minItem)
	}
	if s.maxItem != nil && len(v) > *s.maxItem {
		c.note(at, "has %d items; at most %d are wanted", len(v), *s.maxItem)
	}
	for i, x := range v {
		if s.items != nil {
			c.check(s.items, x, at+"/"+strconv.Itoa(i), depth+1)
		}
		if !s.unique {
			continue
		}
		if c.work += i; c.work > maxWork {
			c.note(at, "is too much to check")
			return
		}
		if slices.ContainsFunc(v[:i], func(y any) bool { return isSame(x, y) }) {
			c.note(at, "has an item twice")
			return
		}
	}
}

func (c *checker) checkText(s *schema, v string, at string) {
	n := utf8.RuneCountInString(v)
	if s.minLength != nil && n < *s.minLength {
		c.note(at, "has %d characters; at least %d are wanted", n, *s.minLength)
	}
	if s.maxLength != nil && n > *s.maxLength {
		c.note(at, "has %d characters; at most %d are wanted", n, *s.maxLength)
	}
	if s.pattern != nil && !s.pattern.MatchString(v) {
		c.note(at, "does not match %.120q", s.pattern.String())
	}
}

func (c *checker) checkNumber(s *schema, n float64, at string) {
	for _, b := range []struct {
		bound *float64
		ok    func(n, b float64) bool
		says  string
	}{
		{s.min, func(n, b float64) bool { return n >= b }, "at least"},
		{s.max, func(n, b float64) bool { return n <= b }, "at most"},
		{s.overMin, func(n, b float64) bool { return n > b }, "more than"},
		{s.underMax, func(n, b float64) bool { return n < b }, "less than"},
	} {
		if b.bound != nil && !b.ok(n, *b.bound) {
			c.note(at, "must be %s %s", b.says, strconv.FormatFloat(*b.bound, 'g', -1, 64))
		}
	}
}

// numberOf reads a number; one that is out of range is infinite.
func numberOf(n json.Number) float64 {
	f, _ := strconv.ParseFloat(n.String(), 64)
	return f
}

func isOf(kind string, v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return kind == "object"
	case []any:
		return kind == "array"
	case string:
		return kind == "string"
	case bool:
		return kind == "boolean"
	case nil:
		return kind == "null"
	case json.Number:
		f := numberOf(v)
		return kind == "number" || kind == "integer" && f == math.Trunc(f) && !math.IsInf(f, 0)
	}
	return false
}

func isSame(a, b any) bool {
	x, isNumber := a.(json.Number)
	y, isNumber2 := b.(json.Number)
	if isNumber && isNumber2 {
		return numberOf(x) == numberOf(y)
	}
	return reflect.DeepEqual(a, b)
}

func writeValues(list []any) string {
	b, err := json.Marshal(list)
	if err != nil { // they were read from JSON
		return "the values of the schema"
	}
	return strings.ToValidUTF8(string(b[:min(len(b), 160)]), "")
}
