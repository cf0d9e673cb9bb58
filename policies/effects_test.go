package policies

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/policies/label"
)

func TestOpenPointsPermitWhatNoRuleForbids(t *testing.T) {
	empty := mustLoad(t, "l", head+"rules: []\n")
	for _, p := range points {
		want := Deny
		if p.point.Open() {
			want = Permit
		}
		if d := (Layers{empty}).Decide(&Request{Point: p.point}); d.Outcome != want {
			t.Errorf("%s without rules: %s, want %s", p.point, d.Outcome, want)
		}
		if (Layers{empty}).Speaks(p.point) {
			t.Errorf("%s: a set without rules speaks", p.point)
		}
	}
	for _, p := range []Point{ModelRoute, ToolCall, Spend, Retrieval, Output} {
		if p.Open() {
			t.Errorf("%s is consequential and open", p)
		}
	}
	forbids := mustLoad(t, "l", head+"rules: [{id: a, at: input, effect: forbid, when: 'size > 5'}]\n")
	for size, want := range map[int64]Outcome{5: Permit, 6: Deny} {
		if d := (Layers{forbids}).Decide(&Request{Point: Input, Size: size}); d.Outcome != want {
			t.Errorf("a forbid alone, size %d: %s, want %s", size, d.Outcome, want)
		}
	}
	permits := mustLoad(t, "l", head+"rules: [{id: a, at: input, effect: permit, when: 'size > 5'}]\n")
	for size, want := range map[int64]Outcome{5: Deny, 6: Permit} {
		d := Layers{permits}.Decide(&Request{Point: Input, Size: size})
		if d.Outcome != want {
			t.Errorf("a permit makes an allow-list, size %d: %s, want %s", size, d.Outcome, want)
		}
		if want == Deny && !strings.Contains(d.Message, "size is 5") {
			t.Errorf("the denial does not say why: %q", d.Message)
		}
	}
}

func TestObligationsOfAllRulesAreJoined(t *testing.T) {
	operator := mustLoad(t, "operator", head+`rules:
  - {id: results, at: tool.result, effect: permit}
  - {id: long, at: tool.result, effect: limit, limit: {bytes: 100}}
  - {id: longer, at: tool.result, effect: limit, when: 'size > 5', limit: {bytes: 50}}
  - {id: never, at: tool.result, effect: limit, when: 'size > 500', limit: {bytes: 5}}
  - {id: web, at: tool.result, effect: label, label: {integrity: untrusted}}
  - {id: keys, at: tool.result, effect: redact, redact: {fields: [key]}}
`)
	grant := mustLoad(t, "grant", head+`rules:
  - {id: short, at: tool.result, effect: limit, limit: {bytes: 20}}
  - {id: own, at: tool.result, effect: label, label: {secrecy: wallet}}
  - {id: ids, at: tool.result, effect: redact, redact: {patterns: ['id-[0-9]+']}}
`)
	d := Layers{operator, grant}.Decide(&Request{Point: ToolResult, Size: 10})
	if d.Outcome != Permit || d.Limit.Bytes != 20 || len(d.Redact) != 2 ||
		!d.Label.Equal(label.Label{Integrity: label.Untrusted, Secrecy: label.Wallet}) {
		t.Errorf("got %+v", d)
	}
	if want := []string{"operator/results", "operator/long", "operator/longer", "operator/web", "operator/keys",
		"grant/short", "grant/own", "grant/ids"}; !slices.Equal(d.Rules, want) {
		t.Errorf("rules %v", d.Rules)
	}
	got := Apply([]byte(`{"key":"k","list":[{"key":{"a":1}},"id-77 id-8"],"id-9":12345678901234567890}`), d.Redact)
	if want := `{"[redacted]":12345678901234567890,"key":"[redacted]","list":[{"key":"[redacted]"},"[redacted] [redacted]"]}`; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := Apply([]byte("plain id-1 text"), d.Redact); string(got) != "plain [redacted] text" {
		t.Errorf("got %s", got)
	}
}

func TestRoutesNarrow(t *testing.T) {
	set := mustLoad(t, "operator", head+`rules:
  - {id: any, at: model.route, effect: permit}
  - {id: cheap, at: model.route, effect: route, when: 'turn < 3', route: {use: [small, rules]}}
  - {id: night, at: model.route, effect: route, when: 'calls > 5', route: {use: [rules], priority: 9}}
  - {id: short, at: model.route, effect: limit, limit: {tokens: 300}}
`)
	for _, c := range []struct {
		model       string
		turn, calls int64
		want        Outcome
		says        string
	}{
		{"small", 0, 0, Permit, ""}, {"rules", 0, 0, Permit, ""},
		{"large", 0, 0, Deny, "operator/cheap: this turn goes to small or rules"},
		{"large", 3, 0, Permit, ""}, // no route rule matches
		{"small", 0, 6, Deny, "operator/night: this turn goes to rules"},
		{"rules", 0, 6, Permit, ""}, {"large", 9, 6, Deny, "operator/night"},
	} {
		d := Layers{set}.Decide(&Request{Point: ModelRoute, Model: c.model, Turn: c.turn, Calls: c.calls})
		if d.Outcome != c.want || !strings.Contains(d.Message, c.says) {
			t.Errorf("%s at turn %d, calls %d: %s %q", c.model, c.turn, c.calls, d.Outcome, d.Message)
		}
		if d.Outcome == Permit && d.Limit.Tokens != 300 {
			t.Errorf("%s: limit %+v", c.model, d.Limit)
		}
	}
	// Two layers that lead to different models leave none.
	other := mustLoad(t, "grant", head+`rules:
  - {id: any, at: model.route, effect: permit}
  - {id: mine, at: model.route, effect: route, route: {use: [large]}}
`)
	for _, m := range []string{"small", "rules", "large"} {
		if d := (Layers{set, other}).Decide(&Request{Point: ModelRoute, Model: m}); d.Outcome != Deny {
			t.Errorf("%s: %s", m, d.Outcome)
		}
	}
}

func TestTheStricterModeStands(t *testing.T) {
	set := mustLoad(t, "l", head+`rules:
  - {id: all, at: provenance.publish, effect: permit}
  - {id: results, at: provenance.publish, tool: erc20.transfer, effect: permit, when: 'part == "result"', mode: public}
  - {id: own, at: provenance.publish, effect: permit, when: 'secrecy == "wallet"', mode: ephemeral}
`)
	for _, c := range []struct {
		part, tool string
		secrecy    label.Secrecy
		want       Mode
	}{
		{"result", "erc20.transfer", label.Session, Public}, {"args", "erc20.transfer", label.Session, ""},
		{"result", "other", label.Session, ""}, {"result", "erc20.transfer", label.Wallet, Ephemeral},
	} {
		d := Layers{set}.Decide(&Request{Point: ProvenancePublish, Part: c.part, Tool: c.tool, Label: label.Label{Secrecy: c.secrecy}})
		if d.Outcome != Permit || d.Mode != c.want {
			t.Errorf("%s of %s, %s: %s %q, want %q", c.part, c.tool, c.secrecy, d.Outcome, d.Mode, c.want)
		}
	}
}

func TestLabelsInConditions(t *testing.T) {
	set := mustLoad(t, "l", head+`rules:
  - {id: p, at: tool.call, effect: permit}
  - {id: web, at: tool.call, effect: forbid, when: 'untrusted && from("web:evil.example")'}
  - {id: own, at: tool.call, effect: forbid, when: 'secrecy in ["wallet", "secret"] && host != ""'}
  - {id: ask, at: tool.call, effect: approve, when: 'tainted && class != "read"'}
`)
	evil := label.Label{Integrity: label.Untrusted, Origins: []string{"web:evil.example"}}
	for _, c := range []struct {
		name string
		r    Request
		want Outcome
		says string
	}{
		{"plain", Request{}, Permit, ""},
		{"from there", Request{Label: evil}, Deny, "untrusted is true"},
		{"from elsewhere", Request{Label: label.Label{Integrity: label.Untrusted, Origins: []string{"web:b.example"}}}, Permit, ""},
		{"private data to a host", Request{Label: label.Label{Secrecy: label.Wallet}, Host: "b.example"}, Deny, `host is not ""`},
		{"tainted", Request{Context: evil, Class: "once"}, Approve, "tainted"},
	} {
		c.r.Point = ToolCall
		if d := (Layers{set}).Decide(&c.r); d.Outcome != c.want || !strings.Contains(d.Message, c.says) {
			t.Errorf("%s: %s %q", c.name, d.Outcome, d.Message)
		}
	}
}

func FuzzRedaction(f *testing.F) {
	for _, s := range []string{`{"key":"secret-1","b":["secret-2",{"key":[1]}]}`, "secret-3 and more", `"secret-4"`, `{"a":1}{"b":2}`, "[", "\xff secret-5"} {
		f.Add([]byte(s))
	}
	p, err := compilePattern(`secret-[0-9]+`)
	if err != nil {
		f.Fatal(err)
	}
	rs := []*Redaction{{fields: []string{"key"}, patterns: nil}, {patterns: []*regexp.Regexp{p}}}
	f.Fuzz(func(t *testing.T, text []byte) {
		out := Apply(text, rs)
		if p.Match(out) {
			t.Errorf("%q left %q", text, out)
		}
		if json.Valid(text) != json.Valid(out) && json.Valid(text) {
			t.Errorf("%q was JSON, %q is not", text, out)
		}
		if again := Apply(out, rs); string(again) != string(out) {
			t.Errorf("%q, redacted again, is %q", out, again)
		}
		if short, more := Cut(out, 10); len(short) > 10 || more != (len(out) > 10) || !strings.HasPrefix(string(out), string(short)) {
			t.Errorf("%q is cut to %q", out, short)
		}
	})
}
