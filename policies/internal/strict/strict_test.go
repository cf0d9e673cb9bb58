package strict

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestWhatIsRefused(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"anchors", "a: &x 1\nb: *x\n", "anchors and aliases are not allowed"},
		{"tags", "a: !!int 1\n", "tags are not allowed"},
		{"two documents", "a: 1\n---\nb: 2\n", "must be one YAML document"},
		{"nothing", "", "the source is empty"},
		{"too much", "a: " + strings.Repeat("x", 200) + "\n", "more than 100"},
		{"no text", "a: \xff\n", "not valid UTF-8"},
		{"deep nesting", strings.Repeat("[", 65), "nested too deeply"},
		{"a key twice", "a: 1\na: 2\n", "is there twice"},
		{"an unknown key", "bb: 1\naaa: 2\n", `unknown key "aaa" in a set`},
	} {
		var r Reader
		if root := r.ReadDocument([]byte(c.source), 100); root != nil {
			r.Mapping(root, "a set", []string{"a", "bb"})
		}
		if len(r.Problems) == 0 || !strings.Contains(r.Problems[0].Text, c.want) {
			t.Errorf("%s: got %+v, want %q", c.name, r.Problems, c.want)
		}
	}
}

// However many mistakes there are, reading ends soon after the first twenty.
func TestProblemsAreBounded(t *testing.T) {
	var r Reader
	root := r.ReadDocument([]byte(strings.Repeat("- {}\n", 1000)), 1<<20)
	r.List(root, "a list", func(n *yaml.Node) { r.Scalar(n, "an entry") })
	if len(r.Problems) != maxProblems {
		t.Errorf("%d problems, want %d", len(r.Problems), maxProblems)
	}
}

func TestAPlaceIsOfTheSource(t *testing.T) {
	var r Reader
	root := r.ReadDocument([]byte("a: 'x &&\n  yy'\n"), 100)
	n := r.Mapping(root, "a set", nil)["a"]
	if line, column := Place(n, n.Value, 5); line != 1 || column != 10 {
		t.Errorf("got %d:%d, want 1:10", line, column)
	}
}
