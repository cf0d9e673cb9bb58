package form_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/form"
)

func TestAnAnswerFitsOrItIsSaidWhy(t *testing.T) {
	const person = `{"type":"object","required":["name","age"],"additionalProperties":false,"properties":{
		"name":{"type":"string","minLength":1,"maxLength":5,"pattern":"^[a-z]*$"},"age":{"type":"integer","minimum":0,"exclusiveMaximum":200}}}`
	const tree = `{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","required":["v"],"properties":{
		"v":{"type":"number"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}}}}}`
	for _, tt := range []struct{ name, schema, text, want string }{
		{"it fits", person, `{"name":"bob","age":41}`, ""},
		{"in a fence", person, "```json\n{\"name\":\"bob\",\"age\":41}\n```", ""},
		{"words around it", person, `Here: {"name":"bob","age":41}`, "it is not JSON"},
		{"words after it", person, `{"name":"bob","age":41} as asked`, "something follows the JSON value"},
		{"another type", person, `[1]`, "the answer must be of type object"},
		{"each thing that is wrong", person, `{"name":"Robert","age":200,"x":1}`,
			`/age must be less than 200; /name has 6 characters; at most 5 are wanted; /name does not match "^[a-z]*$"; /x is not asked for`},
		{"a half", person, `{"name":"bob","age":4.5}`, "/age must be of type integer"},
		{"a whole one with a point", person, `{"name":"bob","age":4.0}`, ""},
		{"one out of range", person, `{"name":"bob","age":1e999}`, "/age must be of type integer"},
		{"missing", person, `{"name":"bob"}`, `the answer has no "age"`},
		{"a reference", tree, `{"v":1,"next":{"v":2,"next":null}}`, ""},
		{"wrong below a reference", tree, `{"v":1,"next":{"next":null}}`, "/next fits none of what it may be"},
		{"a reference to itself", `{"$ref":"#"}`, `1`, "the answer is too much to check"},
		{"a list", `{"type":"array","items":{"enum":["a",1]},"maxItems":3,"minItems":1,"uniqueItems":true}`, `["a",1,1.0,2]`,
			`the answer has 4 items; at most 3 are wanted; the answer has an item twice`},
		{"one of", `{"oneOf":[{"type":"integer"},{"minimum":3}]}`, `4`, "the answer must fit exactly one of what it may be, and fits 2"},
		{"all of", `{"allOf":[{"minimum":3},{"maximum":5}]}`, `6`, "the answer must be at most 5"},
		{"a constant", `{"const":{"a":1}}`, `{"a":2}`, `the answer must be one of [{"a":1}]`},
		{"never", `{"properties":{"x":false}}`, `{"x":1}`, "/x must not be there"},
	} {
		f, err := form.Parse([]byte(tt.schema))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		value, wrong := f.Read(tt.text)
		if got := strings.Join(wrong, "; "); got != tt.want || (got == "") != (value != "") {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestASchemaIsReadStrictly(t *testing.T) {
	for schema, want := range map[string]string{
		`{"title":"x","description":"y","format":"date"}`: "",
		`[]`:                         "the schema of the answer is no JSON object",
		`{"if":{}}`:                  `the schema of the answer: # has the keyword "if", which is not taken here`,
		`{"type":"text"}`:            `the schema of the answer: #/type "text" is none of object, array, string, number, integer, boolean, null`,
		`{"$ref":"#/$defs/x"}`:       `the schema of the answer: #: there is no "#/$defs/x"`,
		`{"$ref":"http://x"}`:        `the schema of the answer: #: there is no "http://x"`,
		`{"items":3}`:                "the schema of the answer: #/items is no schema",
		`{"pattern":"("}`:            "the schema of the answer: #/pattern cannot be read",
		`{"anyOf":[]}`:               "the schema of the answer: #/anyOf is no list of schemas",
		`{"enum":[]}`:                "the schema of the answer: an enum has no values",
		`{"required":"x"}`:           "the schema of the answer: #/required has not the type that it must have",
		strings.Repeat(" ", 20_000):  "the schema of the answer has 20000 bytes; at most 16384 are taken",
		strings.Repeat(`{"not":`, 3): "the schema of the answer is no JSON object",
	} {
		_, err := form.Parse([]byte(schema))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%.40s: got %q, want %q", schema, got, want)
		}
	}
}

// FuzzRead: whatever fits is JSON, and fits again.
func FuzzRead(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"items":{"$ref":"#"}}}}`, `{"a":[{"a":[]}]}`)
	f.Add(`{"anyOf":[{"$ref":"#"},{"$ref":"#"}]}`, `1`)
	f.Fuzz(func(t *testing.T, schema, text string) {
		x, err := form.Parse([]byte(schema))
		if err != nil {
			return
		}
		value, wrong := x.Read(text)
		if (value == "") == (len(wrong) == 0) {
			t.Errorf("%q of %q: %q, %q", text, schema, value, wrong)
		}
		if again, wrong := x.Read(value); len(wrong) == 0 && again != value {
			t.Errorf("%q is read again as %q", value, again)
		}
	})
}
