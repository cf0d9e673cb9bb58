package workshop

import (
	"bytes"
	"strings"
	"testing"

	"github.com/writ-run/writ/policies"
)

func TestFormat(t *testing.T) {
	got, err := Format([]byte(`# What it is for.
name: x
schema: writ/policies/1
tests:
    - {want: {rule: a, outcome: permit}, name: one, at: output}
rules: # all of them
- at: output
  id: a
  effect: permit   # says something
  # why it is so
  when: not  (size>10 and turn<  -3)or tool in["a","b"]
  # the last word
- {effect: permit, id: b, at: model.route}
- {effect: permit, id: c, at: model.route, when: 'cost<=usd( "0.5" )'}


variables: {cap: '- 5+now'}
`))
	want := `# What it is for.
schema: writ/policies/1
name: x

variables: {cap: '-5 + now'}

rules: # all of them
  - id: a
    at: output
    effect: permit # says something
    # why it is so
    when: not (size > 10 && turn < -3) || tool in ["a", "b"]
    # the last word

  - {id: b, at: model.route, effect: permit}
  - {id: c, at: model.route, effect: permit, when: 'cost <= usd("0.5")'}

tests:
  - {name: one, at: output, want: {outcome: permit, rule: a}}
`
	if err != nil || string(got) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
}

func TestBuiltinSetsAreFormatted(t *testing.T) {
	for _, name := range policies.BuiltinNames() {
		src, _ := policies.Builtin(name)
		if got, err := Format(src); err != nil || !bytes.Equal(got, src) {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}

// A formatted set loads if the source does, gives the same answers, and is not changed by formatting it again.
func FuzzFormat(f *testing.F) {
	for _, name := range policies.BuiltinNames() {
		src, _ := policies.Builtin(name)
		f.Add(string(src))
	}
	f.Add(head + "# a\nrules: # b\n  # c\n  - {id: a, at: output, effect: permit, when: 'size<3 or not approved'} # d\n  # e\n# f\n")
	f.Add(head + "rules:\n  - id: a\n    at: output\n    effect: permit\n    when: |-\n      size < 3 and\n      turn<2\n")
	f.Fuzz(func(t *testing.T, src string) {
		out, err := Format([]byte(src))
		if err != nil {
			return
		}
		again, err := Format(out)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("formatting it again: %v\n%s\n%s", err, out, again)
		}
		o := policies.Options{Layer: "operator", Tools: transferTools}
		old, err := policies.Load([]byte(src), o)
		if err != nil {
			return
		}
		new, err := policies.Load(out, o)
		if err != nil {
			t.Fatalf("it does not load any more: %v\n%s", err, out)
		}
		if c := Diff(old, new); !c.Same || len(c.Unsure) > 0 {
			t.Fatalf("it means something else: %+v\n%s", c, out)
		}
		if strings.Count(src, "#") > strings.Count(string(out), "#") {
			t.Fatalf("a comment is lost:\n%s\n%s", src, out)
		}
	})
}
