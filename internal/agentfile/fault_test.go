package agentfile

import (
	"strings"
	"testing"
)

// What is wrong with a file is told in its own words: no type of this program is named.
func TestFaultsOfAFileNameNoTypes(t *testing.T) {
	for _, c := range []struct{ src, says string }{
		{"assets: x\n", `line 1: there is no key "assets" here`},
		{"schema: {a: 1}\n", "line 1: a map of keys stands where a text should"},
		{"tools: {a: 1}\n", "line 1: a map of keys stands where a list should"},
		{"tools: word\n", "line 1: a text `word` stands where a list should"},
		{"grant: [1]\n", "line 1: a list stands where a map of keys should"},
		{"grant: {max_calls: many}\n", "line 1: a text `many` stands where a number should"},
	} {
		_, err := Parse([]byte(c.src), 1337)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "unmarshal") {
			t.Errorf("%s: got %v, want %q", c.src, err, c.says)
		}
	}
	if _, err := ParseRoutes([]byte("rules: []\n")); err == nil || !strings.Contains(err.Error(), `no key "rules" here`) {
		t.Errorf("routes: %v", err)
	}
}
