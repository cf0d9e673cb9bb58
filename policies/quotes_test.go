package policies

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// ourWords are the texts that explanations may show. Any other field of text kind is planted with a secret below; a new
// one is covered by being in the tables.
var ourWords = []string{"agent", "asset", "breaker", "class", "integrity", "kind", "model", "part", "provider", "secrecy", "status", "tool"}

// A planted text has parts that rules can name, and one that no rule names.
const (
	secretCore = "Zq7SECRETx9"
	planted    = "sig-" + secretCore + "-end"
)

var quotingTools = []ToolType{{Name: "note.put", Params: []arg.Param{
	{Name: "memo", Kind: arg.String}, {Name: "twin", Kind: arg.String},
	{Name: "order", Kind: arg.Object}, {Name: "order.note", Kind: arg.String}, {Name: "order.tags", Kind: arg.List},
	{Name: "raw", Kind: arg.JSON},
}}}

// plantedRequest is one with the secret in every text from outside.
func plantedRequest(p Point) *Request {
	r := &Request{Point: p, Tool: "note.put", Class: "once", Kind: "model", Model: "m", Past: PastOf([]Act{{Tool: "note.put", Class: "once", OK: true,
		Args: []arg.Value{{Name: "memo", Kind: arg.String, Set: true, Text: planted}}}})}
	r.Amount = money.Of(usdcAsset, 5)
	fields, _ := Fields(p)
	for _, f := range fields {
		if f.Kind == cond.String && !f.Ours {
			f.Set(r, value{Kind: cond.String, Text: planted})
		}
	}
	if p == ToolCall {
		for _, x := range quotingTools[0].Params {
			r.Args = append(r.Args, arg.Value{Name: x.Name, Kind: x.Kind, Set: true, Text: planted, Int: 2})
		}
	}
	return r
}

// conditionsOn lists conditions on a text, by every operator, at both sides of it, of which some hold and some do not.
func conditionsOn(x, twin string) []string {
	out := []string{
		x + ` == "other"`, x + ` != "other"`, `"other" == ` + x, `"other" != ` + x, x + ` == ` + twin, x + ` != ` + twin,
		x + ` in ["a", "b"]`, x + ` not in ["a", "b"]`, `in_set(` + x + `, "names")`, `!in_set(` + x + `, "names")`,
		`in_cidr(` + x + `, "10.0.0.0/8")`, `!in_cidr(` + x + `, "10.0.0.0/8")`,
		`(` + x + ` contains "no") == true`, `!(` + x + ` contains "sig")`,
		`same(` + x + `, "note.put", "memo")`, `!same(` + x + `, "note.put", "memo")`, `same(` + x + `, "note.put", "twin")`,
		x + ` == "other" || ` + x + ` == ` + twin + ` && turn < 3`,
	}
	for _, op := range []string{"contains", "startsWith", "endsWith"} {
		for _, lit := range []string{`"sig-"`, `"-end"`, `"no"`} {
			out = append(out, x+" "+op+" "+lit, lit+" "+op+" "+x, "!("+x+" "+op+" "+lit+")")
		}
		out = append(out, x+" "+op+" "+twin, "!("+x+" "+op+" "+twin+")")
	}
	return out
}

// Nothing quotes: no explanation, whatever the operator, the side, the variable and the effect, shows a text that came
// in with a request, a call, a result, a document or a reply.
func TestNothingQuotes(t *testing.T) {
	asked := 0
	for _, p := range Points() {
		fields, _ := Fields(p)
		var texts []string
		for _, f := range fields {
			switch {
			case f.Kind != cond.String:
			case f.Ours && !slices.Contains(ourWords, f.Name):
				t.Errorf("%s at %s is shown, and this test does not know that it is ours", f.Name, p)
			case !f.Ours:
				texts = append(texts, f.Name)
			}
		}
		if p == ToolCall {
			texts = append(texts, "args.memo", "args.order.note")
		}
		for _, x := range texts {
			twin := texts[0]
			if strings.HasPrefix(x, "args.") {
				twin = "args.twin"
			}
			for _, when := range conditionsOn(x, twin) {
				for _, c := range quotingSets(p, x, when) {
					if askQuoting(t, p, c, when) {
						asked++
					}
				}
			}
		}
	}
	if asked < 1500 {
		t.Errorf("only %d explanations were looked at", asked)
	}
	t.Logf("%d explanations", asked)
}

// quotingSets puts a condition under each effect that can be explained, plainly, as an exception, and through variables.
func quotingSets(p Point, x, when string) (out []string) {
	rule := func(effect, cond string) string {
		tool := ""
		if strings.Contains(cond, "args.") {
			tool = ", tool: note.put"
		}
		return fmt.Sprintf("  - {id: a, at: %s%s, effect: %s, when: '%s'}\n", p, tool, effect, cond)
	}
	variables := ""
	through := when
	if !strings.HasPrefix(x, "args.") { // variables see no arguments
		variables = fmt.Sprintf("variables: {held: '%s', again: held, whole: '%s'}\n", x, strings.ReplaceAll(when, x, "again"))
		through = "whole"
	}
	for _, c := range []string{when, through} {
		v := ""
		if c != when {
			v = variables
		}
		top := head + "sets: {names: [alice, bob]}\n" + v + "rules:\n"
		out = append(out, top+rule("forbid", c), top+rule("permit", c))
		if p == ToolCall || p == Spend {
			out = append(out, top+rule("permit", "turn >= 0")+strings.Replace(rule("approve", c), "id: a", "id: b", 1))
		}
	}
	return out
}

// askQuoting loads a set and asks it, and says whether there was anything to explain.
func askQuoting(t *testing.T, p Point, src, when string) bool {
	t.Helper()
	s, err := Load([]byte(src), Options{Layer: "operator", Tools: quotingTools})
	if err != nil {
		if strings.Contains(err.Error(), "always") || strings.Contains(err.Error(), "args") && p != ToolCall {
			return false
		}
		t.Errorf("%s at %s: %v", when, p, err)
		return false
	}
	r := plantedRequest(p)
	d := Layers{s}.Decide(r)
	b, err := json.Marshal(struct {
		D       Decision
		Reading []Reading
	}{d, Layers{s}.Read(r)})
	if err != nil {
		t.Fatal(err)
	}
	if i := strings.Index(string(b), secretCore[:6]); i >= 0 {
		t.Errorf("%s at %s is quoted: %s", when, p, b[max(0, i-80):min(len(b), i+60)])
	}
	return d.Outcome != Permit
}

// What is in opaque JSON and in a list cannot be named, and what asks whether it is there does not show it.
func TestOpaqueArgumentsAreNotQuoted(t *testing.T) {
	for _, when := range []string{`given("raw")`, `!given("raw")`, `given("order")`, `len(args.order.tags) > 1`, `len(args.order.tags) > 5`} {
		for _, effect := range []string{"forbid", "permit"} {
			askQuoting(t, ToolCall, head+"rules: [{id: a, at: tool.call, tool: note.put, effect: "+effect+", when: '"+when+"'}]\n", when)
		}
	}
}
