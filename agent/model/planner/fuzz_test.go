package planner

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
)

// A transfer is only ever asked for by a request that says so, that carries its figures, and that does not take it
// back; and the same request gives the same reply.
func FuzzPlan(f *testing.F) {
	for _, s := range []string{"send 5 USDC to bob", "don't send 5 USDC to bob", "balance alice usdc", "what is USDC?", "send 5 USDC to bob and then 3 to alice",
		"pay bob 5 USDC; pay alice 1,000 DAI", "\u2019s", "0x", "tx " + hash, "\u212Aelvin", "send 5 USDC to \u212Aate"} {
		f.Add(s)
	}
	tools := catalogue(f)
	f.Fuzz(func(t *testing.T, text string) {
		p := grammarOf(tools).Plan(text)
		if again := grammarOf(tools).Plan(text); again.Text != p.Text || len(again.Calls) != len(p.Calls) {
			t.Fatalf("%q has two readings: %+v and %+v", text, p, again)
		}
		if (p.Text == "") == (len(p.Calls) == 0) {
			t.Fatalf("%q: %+v is neither a text nor calls", text, p)
		}
		low := strings.ToLower(text)
		for _, in := range p.Calls {
			args := in.Args()
			if !json.Valid(args) {
				t.Fatalf("%q: arguments %s", text, args)
			}
			if in.Tool() != "erc20.transfer" {
				continue
			}
			if !strings.Contains(low, "send") && !strings.Contains(low, "pay") && !strings.Contains(low, "transfer") &&
				!strings.Contains(low, "give") && !strings.Contains(low, "wire") && !strings.Contains(low, "remit") {
				t.Errorf("%q became %s without a verb of sending", text, args)
			}
			for _, bad := range []string{"don't", "not ", "never", " if ", "unless", "tomorrow"} {
				if strings.Contains(" "+low, bad) && !strings.Contains(low, "-") && !strings.Contains(low, ".") {
					t.Errorf("%q became %s", text, args)
				}
			}
			var values map[string]string
			if err := json.Unmarshal(args, &values); err != nil {
				t.Fatalf("%q: arguments %s: %v", text, args, err)
			}
			for name, v := range values {
				said := strings.ReplaceAll(low, ",", "")
				if !strings.Contains(said, strings.ToLower(v)) && v != "ETH" {
					t.Errorf("%q became %s: %s was never said", text, args, name)
				}
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add("erc20.transfer", `{"amount":"5","to":"bob","token":"USDC"}`, `{"hash":"0x01","status":"ok","block":"9"}`)
	f.Add("erc20.balance", `{}`, `{"denied":{"rule":"r","message":"m","change":"c"}}`)
	f.Add("x", `[`, `{"ok":true,"changes":[{}]}`)
	f.Fuzz(func(t *testing.T, tool, args, result string) {
		ms := turn(tool, args, result, 4)
		done := pairResults(ms)
		s := answerFrom(done, ms)
		if strings.ContainsAny(s, "\n\x1b") {
			t.Errorf("%q breaks the line: %q", result, s)
		}
		m, _ := readObject(result)
		if (m["denied"] != nil || m["error"] != nil) && strings.HasPrefix(s, "Sent ") {
			t.Errorf("%q became %q", result, s)
		}
		if !strings.Contains(s, "[step 4") {
			t.Errorf("%q has no source", s)
		}
	})
}

func BenchmarkPlan(b *testing.B) {
	tools := catalogue(b)
	p := model.Prompt{Messages: []model.Message{{Role: model.RoleUser, Text: "send 5 USDC to bob"}}, Tools: tools, MaxTokens: 100}
	for b.Loop() {
		if _, err := New().Reply(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
}
