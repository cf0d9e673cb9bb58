package fault

import (
	"os"
	"strings"
	"testing"
)

func TestEveryCodeHasAnOwnerAndASentence(t *testing.T) {
	owners := []Owner{User, Request, Quota, Provider, Chain, Us}
	for _, c := range Codes() {
		k := kinds[c]
		if !strings.Contains("user request quota provider chain us", string(k.whose)) || k.whose == "" {
			t.Errorf("%s: owner %q is none of %v", c, k.whose, owners)
		}
		if k.told == "" || strings.HasSuffix(k.told, ".") || k.told[:1] != strings.ToLower(k.told[:1]) {
			t.Errorf("%s: told %q", c, k.told)
		}
		if what, _, ok := strings.Cut(string(c), "."); !ok || what == "" || len(c) > 64 {
			t.Errorf("code %q", c)
		}
	}
	if c := Code("model.bored"); c.IsKnown() || c.Whose() != Us || c.Retryable() || !c.MayCost() {
		t.Errorf("a code that is not known: %v %s", c.IsKnown(), c.Whose())
	}
}

func TestCleanKeepsSecretsAndRequestsOut(t *testing.T) {
	const private = `{"messages":[{"role":"user","content":"my mother's maiden name is Quetzalcoatl"}]}`
	for _, c := range []struct{ rule, says, want string }{
		{"a plain sentence stays", "Rate limit reached.\nTry again in 1s.", "Rate limit reached. Try again in 1s."},
		{"the key", "Incorrect API key provided: topsecret.", "Incorrect API key provided: [redacted]."},
		{"what looks like a key", "bad key sk-abc", "bad key [redacted]"},
		{"a part of a key", "bad key ab***yz", "bad key [redacted]"},
		{"what is long and odd", "token eyJhbGciOiJIUzI1NiIsInR5cCI6", "token [redacted]"},
		{"an address", "see https://x.example/?key=1", "see [redacted]"},
		{"what was asked", "cannot parse 'my mother's maiden name is Quetzalcoatl' here", "cannot parse '[...]' here"},
		{"control characters", "a\x1b[31mred\u202eb\u200bc", "a [31mred b c"},
		{"what is no text", "a\xff b", "a b"},
	} {
		if got := Clean(c.says, private, "topsecret"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.rule, got, c.want)
		}
	}
	if got := Clean(strings.Repeat("ä ", 4000), ""); len(got) > MaxSays || !strings.HasSuffix(got, "...") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

// docs/failures.md lists the codes, since they stand in records.
func TestCodesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	table := ""
	for _, c := range Codes() {
		yes := map[bool]string{true: "yes", false: "no"}
		table += "| `" + string(c) + "` | " + string(c.Whose()) + " | " + yes[c.Retryable()] + " | " + yes[c.MayCost()] + " | " + c.Told() + " |\n"
	}
	if !strings.Contains(string(doc), table) {
		t.Errorf("docs/failures.md has no table of the codes as they are:\n%s", table)
	}
}
