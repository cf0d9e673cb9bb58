package loop_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

const everyPoint = `schema: writ/policies/1
name: every
assets: {USDC: 6}
rules:
  - {id: p0, at: session.issue, effect: permit, when: 'life <= hours(24) && domain == "127.0.0.1" && max_calls == 40'}
  - {id: p1, at: input, effect: permit, when: 'size < 1000 && not (text contains "forbidden")'}
  - {id: p1r, at: input, effect: redact, redact: {patterns: ['card [0-9]+']}}
  - {id: p2, at: model.route, effect: permit}
  - {id: p2l, at: model.route, effect: limit, limit: {tokens: 77}}
  - {id: p3, at: model.response, effect: permit, when: 'not (text contains "jailbroken")'}
  - {id: p3l, at: model.response, effect: limit, limit: {calls: 2}}
  - {id: p4, at: tool.call, effect: permit}
  - {id: p5, at: tool.result, effect: permit, when: 'not (text contains "poison")'}
  - {id: p5r, at: tool.result, effect: redact, redact: {fields: [key]}}
  - {id: p5l, at: tool.result, effect: limit, limit: {bytes: 60}}
  - {id: p6, at: retrieval, effect: permit, when: 'source == "handbook"'}
  - {id: p7, at: spend, effect: permit}
  - {id: p8, at: output, effect: permit, when: 'not (text contains "unspeakable")'}
  - {id: p8r, at: output, effect: redact, redact: {patterns: ['sk-[a-z]+']}}
  - {id: p9, at: provenance.publish, effect: permit, when: 'part == "answer"', mode: public}
  - {id: p9s, at: provenance.publish, effect: permit, when: 'part != "answer"', mode: sealed}
`

// labelled is the setting with a policy set of its own and tools with labels.
func labelled(t *testing.T, source string, specs ...tools.Spec) loop.Config {
	t.Helper()
	c := setting(t)
	c.Rules = &provenance.PolicySet{Name: "every", Source: source}
	c.Grant.Issued = noon
	c.Agent.Routes = []provenance.AgentRoute{{ID: "only", When: "true", Use: "free"}}
	for _, s := range specs {
		rec, _, err := definition.RecordOf(s)
		if err != nil {
			t.Fatal(err)
		}
		b, err := provenance.Encode(rec)
		if err != nil {
			t.Fatal(err)
		}
		c.Tools[b.CID] = rec
		c.Agent.Tools = append(c.Agent.Tools, b.CID)
		c.Grant.Tools = append(c.Grant.Tools, s.Name)
	}
	return c
}

func toolOf(name string, out *tools.Output, clearance label.Secrecy) tools.Spec {
	return tools.Spec{Name: name, About: "A tool.", Class: tools.Read, Schema: json.RawMessage(textSchema), Output: out,
		Clearance: clearance}
}

// a talk drives a machine with the model's replies and the tools' results, by the tool's name.
type talk struct {
	*rig
	points []string // of the decisions that belong to no effect, "point outcome"
	does   []provenance.Effect
	told   []string // what the model has been told by tools
}

func (k *talk) play(input string, results map[string]string, turns ...[]provenance.ToolAsk) string {
	k.t.Helper()
	k.step(ask(input))
	for i := 0; ; i++ {
		ref := openOf[*provenance.AskModel](k.rig)
		if ref == nil {
			break
		}
		if i < len(turns) {
			k.step(&provenance.Reply{Of: *ref, Model: asked("free", turns[i]...)})
		} else {
			k.step(&provenance.Reply{Of: *ref, Model: spoke("free", "the end sk-abc "+results["say"])})
		}
		for ref := openOf[*provenance.Call](k.rig); ref != nil; ref = openOf[*provenance.Call](k.rig) {
			call := k.effects[*ref].(*provenance.Call)
			k.step(&provenance.Result{Of: *ref, Status: "ok",
				Output: provenance.NewPayload([]byte(results[k.tool[call.Tool]]))})
		}
	}
	for _, m := range k.m.Prompt(k.s, 1).Messages {
		if m.Role == "tool" {
			k.told = append(k.told, m.Text)
		}
	}
	said := ""
	for _, e := range k.does {
		if s, ok := e.(*provenance.Say); ok {
			b, _ := s.Text.Bytes()
			said += string(b)
		}
	}
	return said
}

// step lets the machine take an event, and keeps what it decided besides.
func (k *talk) step(ev provenance.Event) {
	k.t.Helper()
	if !k.give(ev) {
		k.t.Fatalf("%T was refused: %v", ev, k.refused)
	}
	k.does = append(k.does, k.rig.does...)
	for _, d := range k.decisions {
		k.points = append(k.points, d.Point+" "+d.Outcome)
	}
}

func openOf[E provenance.Effect](r *rig) *provenance.Ref {
	for _, ref := range r.s.OpenEffects() {
		if _, ok := r.effects[ref].(E); ok {
			return &ref
		}
	}
	return nil
}

func spoke(name, text string) *provenance.ModelCall {
	return &provenance.ModelCall{Name: name, Provider: "test", Asked: name + "/1", Answered: name + "/1", Stop: "end",
		Text: provenance.NewPayload([]byte(text))}
}

func asked(name string, calls ...provenance.ToolAsk) *provenance.ModelCall {
	mc := spoke(name, "")
	mc.Stop, mc.Calls, mc.Text = "tools", calls, nil
	return mc
}

func wish(id, tool, args string) provenance.ToolAsk {
	return provenance.ToolAsk{ID: id, Tool: tool, Args: provenance.NewPayload([]byte(args))}
}

func TestEveryPointIsAsked(t *testing.T) {
	docs := toolOf("docs.search", &tools.Output{Integrity: label.Tool, Documents: true}, 0)
	c := labelled(t, everyPoint, docs)
	k := &talk{rig: newRig(t, c)}
	said := k.play("look up my card 4711", map[string]string{
		"echo.say":    `{"key":"k1","said":"hello"}`,
		"docs.search": `{"documents":[{"cid":"a","source":"handbook","text":"yes"},{"cid":"b","source":"mail","text":"no"}]}`,
	}, []provenance.ToolAsk{wish("1", "echo.say", `{"text":"hello"}`), wish("2", "docs.search",
		`{"text":"x"}`), wish("3", "echo.say", `{"text":"too many"}`)})
	if said != "the end [redacted] " {
		t.Errorf("said %q", said)
	}
	for _, want := range []string{"session.issue permit", "input permit", "model.response permit", "tool.result permit",
		"retrieval permit",
		"retrieval deny", "output permit", "provenance.publish permit"} {
		if !slices.Contains(k.points, want) {
			t.Errorf("no decision %q among %q", want, k.points)
		}
	}
	told := strings.Join(k.told, "\n")
	for _, want := range []string{`"key":"[redacted]"`, "loop/calls_of_a_reply"} {
		if !strings.Contains(told, want) {
			t.Errorf("the model was not told %q: %s", want, told)
		}
	}
	if strings.Contains(told, "k1") || strings.Contains(told, `mail`) {
		t.Errorf("the model was told too much: %s", told)
	}
	if first := k.m.Prompt(k.s, 1).Messages[0].Text; first != "look up my [redacted]" {
		t.Errorf("the model read %q", first)
	}
	asks := 0
	for _, e := range k.does {
		if a, ok := e.(*provenance.AskModel); ok {
			asks++
			if a.MaxTokens != 77 {
				t.Errorf("a reply of %d tokens may come, want 77", a.MaxTokens)
			}
		}
	}
	if asks != 2 {
		t.Errorf("%d turns", asks)
	}
	for _, x := range []struct{ name, input, echo, answer, want string }{
		{"a forbidden request", "forbidden", "", "", "Denied"},
		{"a forbidden reply", "hi", "", "jailbroken", "Denied"},
		{"a forbidden answer", "hi", "", "unspeakable", "Denied"},
	} {
		k := &talk{rig: newRig(t, labelled(t, everyPoint, docs))}
		if said := k.play(x.input, map[string]string{"say": x.answer}); !strings.HasPrefix(said, x.want) ||
			!k.s.Closed {
			t.Errorf("%s: said %q", x.name, said)
		}
	}
	k = &talk{rig: newRig(t, labelled(t, everyPoint, docs))}
	k.play("hi", map[string]string{"echo.say": `"poison"`}, []provenance.ToolAsk{wish("1", "echo.say", `{"text":"a"}`)})
	if len(k.told) != 1 || !strings.Contains(k.told[0], `"denied"`) || strings.Contains(k.told[0], "said") {
		t.Errorf("a forbidden result reached the model: %q", k.told)
	}
	c = labelled(t, strings.Replace(everyPoint, "max_calls == 40", "max_calls == 41", 1), docs)
	k = &talk{rig: newRig(t, c)}
	if d := k.m.DecideIssue(); d.Outcome != "deny" || !strings.Contains(d.Message, "max_calls is 40") {
		t.Errorf("a session that no rule permits: %+v", d)
	}
	if said := k.play("hi", nil); !strings.HasPrefix(said, "Denied") {
		t.Errorf("a run of such a session said %q", said)
	}
}

func TestModesReachTheRightPayloads(t *testing.T) {
	c := labelled(t, everyPoint)
	k := &talk{rig: newRig(t, c)}
	before := k.s
	k.step(ask("hi"))
	if m := k.m.Modes(before, &provenance.Step{Event: ask("hi")}); len(m) != 0 {
		t.Errorf("a request is kept as %v", m)
	}
	say := &provenance.Say{Text: provenance.NewPayload([]byte("x"))}
	if m := k.m.Modes(k.s,
		&provenance.Step{Event: ask("hi"), Does: []provenance.Effect{say}}); m[say.Text] != "public" {
		t.Errorf("an answer is kept as %v", m)
	}
}

const lax = `schema: writ/policies/1
name: lax
assets: {USDC: 6}
rules:
  - {id: calls, at: tool.call, effect: permit}
  - {id: spends, at: spend, effect: permit}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`

func TestSecrets(t *testing.T) {
	private := toolOf("mail.read", &tools.Output{Integrity: label.Tool, Secrecy: label.Wallet}, 0)
	secret := toolOf("vault.read", &tools.Output{Integrity: label.Tool, Secrecy: label.Secret}, 0)
	open := toolOf("web.post", &tools.Output{Integrity: label.Tool}, 0)
	cleared := toolOf("mail.file", &tools.Output{Integrity: label.Tool}, label.Secret)
	for _, c := range []struct {
		name, from, to, args string
		want                 string // the effect that the second call leads to
	}{
		{"private to a tool without clearance", "mail.read", "web.post", `{"text":"made up"}`, "seek"},
		{"private to a cleared tool", "mail.read", "mail.file", `{"text":"made up"}`, "call"},
		{"what the user wrote goes anywhere", "mail.read", "web.post", `{"text":"hello"}`, "call"},
		{"secret to a tool without clearance", "vault.read", "web.post", `{"text":"made up"}`, "deny"},
		{"secret to a cleared tool", "vault.read", "mail.file", `{"text":"made up"}`, "call"},
		{"nothing private", "web.post", "web.post", `{"text":"made up"}`, "call"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &talk{rig: newRig(t, labelled(t, lax, private, secret, open, cleared))}
			k.step(ask("say hello"))
			k.step(&provenance.Reply{Of: *openOf[*provenance.AskModel](k.rig),
				Model: asked("free", wish("1", c.from, `{"text":"a"}`))})
			k.step(&provenance.Result{Of: *openOf[*provenance.Call](k.rig), Status: "ok",
				Output: provenance.NewPayload([]byte(`"x"`))})
			k.step(&provenance.Reply{Of: *openOf[*provenance.AskModel](k.rig),
				Model: asked("free", wish("2", c.to, c.args))})
			got := ""
			switch k.rig.does[0].(type) {
			case *provenance.Call:
				got = "call"
			case *provenance.Seek:
				got = "seek"
			case *provenance.Deny:
				got = "deny"
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	// A secret is in no answer, and in no prompt of a model that is somebody else's.
	k := &talk{rig: newRig(t, labelled(t, lax, secret))}
	if said := k.play("hi", map[string]string{"vault.read": `"s3cret"`},
		[]provenance.ToolAsk{wish("1", "vault.read", `{"text":"a"}`)}); !strings.Contains(said, "flow/secrecy") {
		t.Errorf("said %q", said)
	}
	cfg := labelled(t, lax, secret)
	cfg.Agent.Routes = []provenance.AgentRoute{{ID: "first", When: "turn < 1", Use: "free"},
		{ID: "then", When: "true", Use: "paid"}}
	k = &talk{rig: newRig(t, cfg)}
	if said := k.play("hi", map[string]string{"vault.read": `"s3cret"`}, []provenance.ToolAsk{wish("1", "vault.read",
		`{"text":"a"}`)}); !strings.Contains(said, "the model paid would hold a secret") {
		t.Errorf("said %q", said)
	}
}

// A tool whose record says so is called only with the wallet's approval, though every policy permits it, and the machine
// that an auditor makes of the record asks too.
func TestAToolThatAsksTheWalletIsNotCalledWithout(t *testing.T) {
	own := toolOf("files.write", nil, 0)
	own.Class, own.AskWallet, own.Definition = tools.Once, true, "bafkreigh2akiscaildc"
	rec, _, err := definition.RecordOf(own)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := definition.SpecOf(rec, nil); err != nil || !again.AskWallet || again.Definition != own.Definition {
		t.Fatalf("the record gives %+v, %v", again, err)
	}
	for _, approved := range []bool{true, false} {
		k := &talk{rig: newRig(t, labelled(t, lax, own))}
		k.step(ask("say hello"))
		k.step(&provenance.Reply{Of: *openOf[*provenance.AskModel](k.rig),
			Model: asked("free", wish("1", "files.write", `{"text":"hello"}`))})
		if _, seeks := k.rig.does[0].(*provenance.Seek); !seeks {
			t.Fatalf("it leads to a %T, want the wallet to be asked", k.rig.does[0])
		}
		if approved {
			approves(0)(k.rig)
		} else {
			refuses(0)(k.rig)
		}
		if called := openOf[*provenance.Call](k.rig) != nil; called != approved {
			t.Errorf("approved: %v, called: %v", approved, called)
		}
	}
}

func ask(input string) *provenance.Ask { return askOf("payer", input) }

func askOf(agent, input string) *provenance.Ask {
	params, err := json.Marshal(wire.StartParams{Agent: agent, Input: input, Key: "key-00001"})
	if err != nil {
		panic(err)
	}
	return &provenance.Ask{Method: wire.RunStart, Request: provenance.NewPayload(params)}
}
