package workshop

import (
	"slices"
	"strings"
	"testing"
)

const askingSet = head + `rules:
  - {id: out, at: output, effect: permit}
  - {id: cards, at: output, effect: redact, redact: {fields: [iban], patterns: ['[0-9]{13,19}', 'sk-[a-z]+']}}
  - {id: names, at: output, effect: redact, when: size > 10, redact: {fields: [name]}}
  - {id: long, at: output, effect: limit, limit: {bytes: 100}}
  - {id: longer, at: output, effect: limit, when: turn > 3, limit: {bytes: 50}}
  - {id: web, at: tool.result, effect: label, when: 'from("web:evil.example")', label: {integrity: untrusted, secrecy: wallet}}
  - {id: models, at: model.route, effect: permit}
  - {id: big, at: model.route, effect: route, when: tokens > 8000, route: {use: [large, larger], priority: 1}}
  - {id: night, at: model.route, effect: route, when: tokens > 9000, route: {use: [larger], priority: 2}}
  - {id: cap, at: model.route, effect: limit, limit: {tokens: 900}}
  - {id: calls, at: model.response, effect: limit, limit: {calls: 3}}
  - {id: mail, at: provenance.publish, effect: permit, when: part == "result", mode: commit-only}
  - {id: kept, at: provenance.publish, effect: permit, when: part == "prompt"}
tests:
  - {name: short, at: output, given: {size: 10, turn: 3}, want: {outcome: permit, redact: {fields: [iban], patterns: ['sk-[a-z]+', '[0-9]{13,19}']}, limit: {bytes: 100}}}
  - {name: long, at: output, given: {size: 11, turn: 4}, want: {outcome: permit, redact: {fields: [name, iban], patterns: ['[0-9]{13,19}', 'sk-[a-z]+']}, limit: {bytes: 50}}}
  - {name: a stranger's page, at: tool.result, given: {origins: ['tool:fetch', 'web:evil.example']}, want: {outcome: permit, label: {integrity: untrusted, secrecy: wallet}}}
  - {name: another page, at: tool.result, given: {origins: ['web:good.example']}, want: {outcome: permit, label: {}}}
  - {name: any model, at: model.route, given: {model: small, tokens: 8000}, want: {outcome: permit, route: [], limit: {tokens: 900}}}
  - {name: large models, at: model.route, given: {model: large, tokens: 8001}, want: {outcome: permit, route: [larger, large]}}
  - {name: still large, at: model.route, given: {model: large, tokens: 9000}, want: {outcome: permit, route: [larger, large]}}
  - {name: the largest, at: model.route, given: {model: larger, tokens: 9001}, want: {outcome: permit, route: [larger]}}
  - {name: not the large one, at: model.route, given: {model: large, tokens: 9001}, want: {outcome: deny}}
  - {name: calls, at: model.response, want: {outcome: permit, limit: {calls: 3}}}
  - {name: a result, at: provenance.publish, given: {part: result}, want: {outcome: permit, mode: commit-only}}
  - {name: a prompt, at: provenance.publish, given: {part: prompt}, want: {outcome: permit, mode: sealed}}
`

// A test says exactly what a permit asks for besides, and so notices each small mistake in it.
func TestWantsOfObligations(t *testing.T) {
	s := mustLoad(t, "operator", askingSet)
	for _, res := range Test(s, testsOf(t, s)) {
		if !res.OK {
			t.Errorf("%s: %s", res.Name, res.Detail)
		}
	}
	m, err := Mutate(s, testsOf(t, s))
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, x := range m.Mutants {
		if x.Fate == Survived {
			t.Errorf("%d: %s: %s: survived: %s: %s, not %s", x.Line, x.Rule, x.What, x.Request, x.Want, x.Mistaken)
		}
		if x.Fate == Killed {
			seen = append(seen, x.What)
		}
	}
	for _, what := range []string{"fields iban becomes iban~", "patterns without sk-[a-z]+", "use without large", "bytes 100 becomes 101", "bytes 100 becomes 99",
		"tokens 900 becomes 901", "calls 3 becomes 2", "integrity untrusted becomes operator", "secrecy wallet becomes secret", "mode commit-only becomes ephemeral"} {
		if !slices.Contains(seen, what) {
			t.Errorf("no test noticed %q", what)
		}
	}
	killed, of := m.Score()
	t.Logf("%d of %d mistakes are noticed", killed, of)
}

// What a test wants and does not get is told with both.
func TestWantsThatFail(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"fields: [iban], patterns: ['sk-", "fields: [iban, bic], patterns: ['sk-", `redact: got {"fields":["iban"],"patterns":["[0-9]{13,19}","sk-[a-z]+"]}, want {"fields":["bic","iban"]`},
		{"limit: {bytes: 100}}}", "limit: {bytes: 101}}}", `limit: got {"bytes":100}, want {"bytes":101}`},
		{"limit: {bytes: 50}}}", "limit: {}}}", `limit: got {"bytes":50}, want {}`},
		{"label: {}}", "label: {secrecy: wallet}}", `label: got {}, want {"secrecy":"wallet"}`},
		{"route: [], ", "route: [small], ", `route: got null, want ["small"]`},
		{"mode: commit-only}}", "mode: public}}", `mode: got "commit-only", want "public"`},
	} {
		var details []string
		s := mustLoad(t, "operator", replaced(t, askingSet, c.from, c.to))
		for _, res := range Test(s, testsOf(t, s)) {
			details = append(details, res.Detail)
		}
		if got := strings.Join(details, ""); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.to, got, c.want)
		}
	}
	for _, c := range []struct{ from, to, want string }{
		{"label: {}}", "mode: public}", "mode: stands at provenance.publish, not at tool.result"},
		{"{outcome: deny}", "{outcome: deny, route: []}", "route: only a permit asks for something besides"},
		{"mode: sealed}", "mode: seled}", `mode must be public, sealed, commit-only or ephemeral; did you mean "sealed"?`},
		{"label: {}}", "label: {secrecy: walet}}", `secrecy is public, session, wallet or secret, not "walet"`},
		{"label: {}}", "lable: {}}", `unknown key "lable" in want; did you mean "label"?`},
		{"calls: 3}}", "calls: 0}}", "it must be a whole number from 1"},
	} {
		err := loadWithTests(replaced(t, askingSet, c.from, c.to))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.to, err, c.want)
		}
	}
}

func replaced(t *testing.T, in, from, to string) string {
	t.Helper()
	if !strings.Contains(in, from) {
		t.Fatalf("there is no %q", from)
	}
	return strings.Replace(in, from, to, 1)
}

// What asks for the past is compared too: the request of a run that has done nothing yet.
func TestDiffAsksAboutARunThatHasDoneNothing(t *testing.T) {
	src := head + "rules: [{id: a, at: output, effect: permit, when: '!happened(\"erc20.transfer\") && size < 5'}]\n"
	got := Diff(mustLoad(t, "operator", src), mustLoad(t, "operator", strings.Replace(src, "< 5", "< 6", 1)))
	if len(got.Differences) != 1 || got.Differences[0].Change() != `output {size: 5}: deny -> permit` {
		t.Errorf("got %+v", got.Differences)
	}
	// Obligations are told.
	src = strings.Replace(askingSet[:strings.Index(askingSet, "tests:")], "turn > 3", "size == 3", 1)
	got = Diff(mustLoad(t, "operator", src), mustLoad(t, "operator", strings.Replace(src, "bytes: 50", "bytes: 51", 1)))
	if len(got.Differences) != 1 || !strings.Contains(got.Differences[0].Change(), `limit {"bytes":50} -> permit, `) {
		t.Errorf("got %+v", got)
	}
}
