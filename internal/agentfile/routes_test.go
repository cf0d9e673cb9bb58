package agentfile

import (
	"strings"
	"testing"
)

func TestTheTestsOfMarginPass(t *testing.T) {
	src, there := ShippedRoutes("margin")
	if !there {
		t.Fatal("there is no margin")
	}
	set, err := ParseRoutes(src)
	if err != nil {
		t.Fatal(err)
	}
	failed, err := set.RunTests()
	if err != nil || len(failed) > 0 {
		t.Errorf("%v, %v", failed, err)
	}
	reached := map[string]bool{"premium": true} // only after the small one has failed, which a test cannot say
	for _, c := range set.Tests {
		reached[c.Want] = true
	}
	for _, r := range set.Routes {
		if !reached[r.ID] {
			t.Errorf("no test reaches the route %s", r.ID)
		}
	}
}

func TestABadRouteSetIsASentence(t *testing.T) {
	const begin = "schema: writ/routes/1\nname: x\n"
	for _, c := range []struct{ src, want string }{
		{"schema: other\n", "this program reads"},
		{begin, "1 to 64 routes"},
		{begin + "routes: [{id: a, use: x}, {id: a, use: y}]\n", "twice"},
		{begin + "routes: [{id: a}]\n", "says what it uses"},
		{begin + "routes: [{id: a, use: cache}]\n", "not yet"},
		{begin + "routes: [{id: a, use: x, when: 'tokns > 1'}]\n", "tokns"},
		{begin + "routes: [{id: a, use: x, when: 'tokens'}]\n", "route condition"},
		{begin + "extra: 1\n", "extra"},
		{begin + "---\n", "more than one document"},
	} {
		if _, err := ParseRoutes([]byte(c.src)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.src, err, c.want)
		}
	}
	d := Definition{Name: "a", Instructions: "x", Routes: []Route{{ID: "a", Use: "cache"}}}
	if err := d.checkFields(); err == nil || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("an agent's own: %v", err)
	}
}
