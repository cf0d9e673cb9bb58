package auth

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// genText draws texts that follow the grammar of EIP-4361, far more of them than a mutated one hits.
func genText(t *rapid.T) string {
	match := func(pattern, name string) string { return rapid.StringMatching(pattern).Draw(t, name) }
	maybe := func(name string) bool { return rapid.Bool().Draw(t, name) }
	const pchar = `([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})`
	uri := func(name string) string {
		return match(`([a-z][a-z0-9+.-]{0,4}:(//[a-z0-9.-]{0,8}(:[0-9]{0,5})?(/`+pchar+`{0,6}){0,2}|(/`+pchar+`{1,6}){0,2})|urn:[a-z]{1,5}:`+pchar+`{1,8})(\?`+pchar+`{0,5})?(#`+pchar+`{0,5})?`, name)
	}
	when := func(name string) string {
		return match(`(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`, name)
	}
	var b strings.Builder
	if maybe("has scheme") {
		b.WriteString(match(`[a-z][a-z0-9+.-]{0,5}://`, "scheme"))
	}
	b.WriteString(match(`(([a-z0-9._~!$&'()*+,;=:-]|%[0-9A-F]{2}){0,5}@)?([A-Za-z0-9._~!$&'()*+,;=-]{1,12}|\[::[0-9a-f]{1,4}\])(:[0-9]{0,4})?`, "domain"))
	b.WriteString(greeting + "\n" + bob.Hex() + "\n\n")
	if maybe("has statement") {
		b.WriteString(match(`[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;= -]{0,40}`, "statement") + "\n")
	}
	b.WriteString("\nURI: " + uri("uri") + "\nVersion: 1\nChain ID: " + strconv.FormatUint(rapid.Uint64Range(1, maxChain).Draw(t, "chain"), 10))
	b.WriteString("\nNonce: " + match(`[A-Za-z0-9]{8,24}`, "nonce") + "\nIssued At: " + when("issued"))
	if maybe("has expiration") {
		b.WriteString("\nExpiration Time: " + when("expiration"))
	}
	if maybe("has not before") {
		b.WriteString("\nNot Before: " + when("not before"))
	}
	if maybe("has request id") {
		b.WriteString("\nRequest ID: " + match(pchar+`{0,12}`, "request id"))
	}
	if maybe("has resources") {
		b.WriteString("\nResources:")
		for range rapid.IntRange(0, 3).Draw(t, "resources") {
			b.WriteString("\n- " + uri("resource"))
		}
	}
	return b.String()
}

// What the grammar allows is read, and siwe-go reads the same in it unless it is known not to cope. Besides chance, some
// seeds are always the same, so that siwe-go is certainly asked.
func TestReadersAgreeOnWhatTheGrammarAllows(t *testing.T) {
	read := func(t interface{ Errorf(string, ...any) }, text string) (asked bool) {
		m, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%v\n%q", err, text)
			return false
		}
		if m.String() != text {
			t.Errorf("written again it is another text:\n%q\n%q", text, m)
		}
		if beyondSecond(m) != "" {
			return false
		}
		if err := askSecondReader(m, []byte(text)); err != nil {
			t.Errorf("siwe-go disagrees: %v\n%q", err, text)
		}
		return true
	}
	rapid.Check(t, func(t *rapid.T) { read(t, genText(t)) })
	asked, fixed := 0, rapid.Custom(genText)
	for seed := range 200 {
		if read(t, fixed.Example(seed)) {
			asked++
		}
	}
	if asked < 10 {
		t.Errorf("siwe-go was asked about %d of 200 texts, want 10 or more", asked)
	}
}
