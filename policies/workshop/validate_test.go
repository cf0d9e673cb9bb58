package workshop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies"
)

// validator reads a schema of ours with a validator that is not ours.
func validator(t *testing.T, schema []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("../schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("../schema.json") // against the meta-schema of its draft
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is a YAML document as an editor hands it to a validator.
func asJSON(t *testing.T, src []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(src, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What loads has a place in the schema: no editor underlines a good set.
func TestGoodSetsFollowThePublishedSchema(t *testing.T) {
	s := validator(t, policies.SetSchema())
	good := map[string][]byte{"obligations": []byte(askingSet), "cases": []byte(caseSet), "members": []byte(orderSet)}
	for _, name := range policies.BuiltinNames() {
		good[name], _ = policies.Builtin(name)
	}
	for _, pattern := range []string{"testdata/patterns/*.yaml", "../../examples/*/policies.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v %v", pattern, files, err)
		}
		for _, name := range files {
			var err error
			if good[name], err = os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	page, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range strings.Split(string(page), "\n### ")[1:] {
		_, after, _ := strings.Cut(part, "```yaml\n")
		src, _, _ := strings.Cut(after, "```")
		good[fmt.Sprint("recipe ", i+1)] = []byte("schema: " + policies.Schema + "\nname: recipe\n" + src)
	}
	for name, src := range good {
		if err := s.Validate(asJSON(t, src)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(good) < 35 {
		t.Errorf("%d sets only", len(good))
	}
}

// What a schema can see without reading conditions, it refuses: a misspelt key, point or effect, an effect's block.
func TestBadSetsAreRefusedByThePublishedSchema(t *testing.T) {
	s := validator(t, policies.SetSchema())
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var refused []string
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(asJSON(t, src)) != nil {
			refused = append(refused, strings.TrimSuffix(filepath.Base(name), ".yaml"))
		}
	}
	if want := []string{"misspelt-effect", "misspelt-key", "misspelt-point", "no-time-to-approve"}; !slices.Equal(refused, want) {
		t.Errorf("refused are %v, want %v", refused, want)
	}
	const one = head + "rules: [{id: a, at: output, effect: permit}]\n"
	for _, c := range []struct{ what, src string }{
		{"another version", strings.Replace(one, "policies/1", "policies/2", 1)},
		{"no rules", head},
		{"an id in capitals", strings.Replace(one, "id: a", "id: A", 1)},
		{"an empty limit", strings.Replace(one, "effect: permit", "effect: limit, limit: {}", 1)},
		{"a bound of none", strings.Replace(one, "effect: permit", "effect: limit, limit: {bytes: 0}", 1)},
		{"a level that is not there", strings.Replace(one, "effect: permit", "effect: label, label: {secrecy: hidden}", 1)},
		{"a mode that is not there", strings.Replace(one, "effect: permit", "effect: permit, mode: open", 1)},
		{"a route to nothing", strings.Replace(one, "effect: permit", "effect: route, route: {use: []}", 1)},
		{"a condition that is a number", strings.Replace(one, "effect: permit", "effect: permit, when: 5", 1)},
		{"a window that is not there", one + "budgets: [{id: b, cap: calls(1), scope: wallet, window: year}]\n"},
		{"a scope that is not there", one + "budgets: [{id: b, cap: calls(1), scope: world}]\n"},
		{"decimals beyond all", strings.Replace(one, "USDC: 6", "USDC: 99", 1)},
		{"a waiver without a reason", one + "waive: [{check: unused, for: b}]\n"},
		{"a waiver of no check", one + "waive: [{check: all, for: b, why: no}]\n"},
		{"a test without a want", one + "tests: [{name: a, at: output}]\n"},
		{"an outcome that is not there", one + "tests: [{name: a, at: output, want: {outcome: allow}}]\n"},
	} {
		if s.Validate(asJSON(t, []byte(c.src))) == nil {
			t.Errorf("%s is not refused", c.what)
		}
		if loadWithTests(c.src) == nil {
			t.Errorf("%s: the schema refuses what loads", c.what)
		}
	}
	if err := s.Validate(asJSON(t, []byte(one))); err != nil {
		t.Error(err)
	}
}

func TestTheSchemaOfTestFiles(t *testing.T) {
	want := TestsFileSchema()
	if *update {
		if err := os.WriteFile("../tests.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("../tests.schema.json"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("tests.schema.json is not what schema.json says (%v); run go test ./policies/workshop -run TestTheSchemaOfTestFiles -update", err)
	}
	s := validator(t, want)
	const good = "schema: writ/policy-tests/1\ntests:\n  - {name: a, at: output, given: {size: 5, now: 2026-03-02T19:00:00Z}, want: {outcome: permit, redact: {}}}\n"
	if err := s.Validate(asJSON(t, []byte(good))); err != nil {
		t.Error(err)
	}
	set := mustLoad(t, "operator", head+"rules: [{id: a, at: output, effect: permit}]\n")
	if _, err := ReadCases(set, "good", []byte(good)); err != nil {
		t.Error(err)
	}
	for _, c := range [][2]string{{"policy-tests/1", "policies/1"}, {"at: output", "at: outptu"}, {"outcome: permit", "outcome: allow"},
		{"redact: {}", "redcat: {}"}, {"tests:", "rules:"}, {"name: a, ", ""}} {
		src := []byte(strings.Replace(good, c[0], c[1], 1))
		if s.Validate(asJSON(t, src)) == nil {
			t.Errorf("%s is not refused by the schema", c[1])
		}
		if _, err := ReadCases(set, "bad", src); err == nil {
			t.Errorf("%s is not refused", c[1])
		}
	}
	// What looks like a time is not reckoned with as a difference of numbers.
	for _, now := range []string{"2027-02-29T12:00:00Z", "2027-02-28", "2027-2-8", "2027-13-01T00:00:00Z", "2027-02-28T24:00:00Z",
		"2027-02-28T12:00:00", "2016-12-31T23:59:60Z", "10000-01-01T00:00:00Z"} {
		src := []byte(strings.Replace(good, "2026-03-02T19:00:00Z", now, 1))
		if _, err := ReadCases(set, "bad", src); err == nil || !strings.Contains(err.Error(), "is no time, such as 2026-11-28T08:00:00Z") {
			t.Errorf("now: %s: %v", now, err)
		}
	}
	for _, now := range []string{"2028-02-29T12:00:00Z", "2027-02-28T12:00:00+02:00", "1790000000000", "days(3) - 5"} {
		if _, err := ReadCases(set, "good", []byte(strings.Replace(good, "2026-03-02T19:00:00Z", now, 1))); err != nil {
			t.Errorf("now: %s: %v", now, err)
		}
	}
}
