package strictjson

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestNoMemberStandsTwice(t *testing.T) {
	for text, says := range map[string]string{
		`{}`: "", `[]`: "", `1`: "", `null`: "", `{"a":null,"A":1}`: "", `{"a":{"a":1},"b":[{"a":1},{"a":2}]}`: "",
		`{"a":1,"a":2}`:               `the member "a" stands twice`,
		`{"a":1,"\u0061":2}`:          `the member "a" stands twice`,
		`[{"b":{"x":1,"y":2,"x":3}}]`: `the member "x" stands twice`,
		`{"":1,"":2}`:                 `the member "" stands twice`,
		`{"a":1} {"a":2}`:             "more follows",
		`{"a":1`:                      "read the JSON",
		`{"a"}`:                       "read the JSON",
		``:                            "read the JSON",
		strings.Repeat("[", 200):      "inside one another",
		`{"a":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `}`: "",
	} {
		err := CheckDoubled([]byte(text))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: %v, want %q", text, err, says)
		}
	}
}

// FuzzCheckDoubled: what passes is JSON, and says the same however often it is read and written.
func FuzzCheckDoubled(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,2]},"c":null}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if CheckDoubled(data) != nil {
			return
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatalf("%q passes, and is no JSON: %v", data, err)
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckDoubled(out); err != nil {
			t.Errorf("%q passes, and %q does not: %v", data, out, err)
		}
	})
}
