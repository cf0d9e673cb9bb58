package workshop

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/tools/arg"
)

// orderTools have arguments with members, a list and something of which nobody knows what it is.
var orderTools = []policies.ToolType{{Name: "shop.order", Params: []arg.Param{
	{Name: "meta", Kind: arg.JSON},
	{Name: "order", Kind: arg.Object, Required: true},
	{Name: "order.amount", Kind: arg.Int, Required: true},
	{Name: "order.items", Kind: arg.List, Required: true},
	{Name: "order.price", Kind: arg.Number},
	{Name: "order.shipTo", Kind: arg.Object},
	{Name: "order.shipTo.country", Kind: arg.String},
	{Name: "tags", Kind: arg.List},
}}, {Name: "shop.cancel", Params: []arg.Param{
	{Name: "order", Kind: arg.String},
	{Name: "tags", Kind: arg.Int},
}}}

const orderSet = head + `rules:
  - {id: orders, at: tool.call, tool: shop.order, effect: permit, when: args.order.amount <= 10 && len(args.order.items) <= 2}
  - {id: abroad, at: tool.call, tool: shop.order, effect: forbid, when: 'given("order.shipTo") && args.order.shipTo.country != "NO"'}
  - {id: unknown, at: tool.call, tool: shop.order, effect: approve, when: 'given("meta")'}
tests:
  - {name: small, at: tool.call, given: {tool: shop.order, args: {order: {amount: 3, items: [a, b]}}}, want: {outcome: permit}}
  - {name: by paths, at: tool.call, given: {tool: shop.order, args: {order.amount: 3, order.items: 2}}, want: {outcome: permit}}
  - {name: large, at: tool.call, given: {tool: shop.order, args: {order: {amount: 11, items: []}}}, want: {outcome: deny}}
  - {name: many, at: tool.call, given: {tool: shop.order, args: {order: {amount: 3, items: [a, b, c]}}}, want: {outcome: deny}}
  - {name: at home, at: tool.call, given: {tool: shop.order, args: {order: {amount: 3, items: [], shipTo: {country: "NO"}}}}, want: {outcome: permit}}
  - {name: far, at: tool.call, given: {tool: shop.order, args: {order: {amount: 3, items: [], shipTo: {country: SE}}}}, want: {outcome: deny, rule: abroad}}
  - {name: who knows, at: tool.call, given: {tool: shop.order, args: {order: {amount: 3, items: []}, meta: {any: [thing]}}}, want: {outcome: approve, rule: unknown}}
`

// TestMembers: a condition reaches a member of an argument by its path, and the length of a list.
func TestMembers(t *testing.T) {
	set, err := policies.Load([]byte(orderSet), policies.Options{Layer: "operator", Tools: orderTools})
	if err != nil {
		t.Fatal(err)
	}
	results := Test(set, testsOf(t, set))
	if len(results) != 7 {
		t.Fatalf("%d tests ran, want 7", len(results))
	}
	for _, r := range results {
		if !r.OK {
			t.Errorf("%s: %s", r.Name, r.Detail)
		}
	}
}

// TestMembersThatAreNotDeclared: a path that no tool's schema has does not load, and what has no value is not read.
func TestMembersThatAreNotDeclared(t *testing.T) {
	for when, want := range map[string]string{
		`args.order.price > 1`:                               `write a number as decimal("10")`,
		`args.order.price + decimal("1") > args.order.price`: `"+" cannot be used on a number`,
		`args.order.price > 1.5`:                             `a number as decimal("12.5")`,
		`args.order.price == decimal("1,5")`:                 `not a number`,
		`args.order.price in [decimal("1")]`:                 `"in" needs strings`,
		`args.order.amuont > 1`:                              `unknown argument "order.amuont"`,
		`args.order.amount.units > 1`:                        `unknown argument "order.amount.units"`,
		`args.meta.limit > 1`:                                `unknown argument "meta.limit"`,
		`args.order == "x"`:                                  `args.order is an object and has no value`,
		`args.meta == "x"`:                                   `only given("meta") can be asked`,
		`args.tags == 1`:                                     `only its length can be judged: len(args.tags)`,
		`args.order.items[0] == "x"`:                         `there are no methods or indexes`,
		`args["order"].amount > 1`:                           `args.order.amount`,
		`len(args.order) > 1`:                                `args.order is no list`,
		`len("x") > 1`:                                       `len needs an argument that is a list`,
		`"x" in args.tags`:                                   `"in" needs a list of constants`,
		`given("order.size")`:                                `unknown argument "order.size"`,
		`same(class, "shop.order", "meta")`:                  `of kind json, which has no value to compare`,
		`same(class, "shop.order", "order.amount")`:          `class is a string, but argument "order.amount" of shop.order is an int`,
	} {
		src := head + "rules:\n  - {id: a, at: tool.call, tool: shop.order, effect: permit, when: '" + when + "'}\n"
		_, err := policies.Load([]byte(src), policies.Options{Layer: "operator", Tools: orderTools})
		if when == `args["order"].amount > 1` { // another spelling of the same
			want = ""
			if err != nil {
				t.Errorf("%s: %v", when, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", when, err, want)
		}
	}
	// Of two tools only what both have alike is known.
	src := head + "rules:\n  - {id: a, at: tool.call, tool: [shop.order, shop.cancel], effect: permit, when: 'given(\"tags\")'}\n"
	if _, err := policies.Load([]byte(src), policies.Options{Layer: "operator", Tools: orderTools}); err == nil || !strings.Contains(err.Error(), `unknown argument "tags"`) {
		t.Errorf("got %v", err)
	}
}

// TestAbsentMember: a member that is not there is no value, so its rule denies and says so; it is not 0.
func TestAbsentMember(t *testing.T) {
	set, err := policies.Load([]byte(orderSet), policies.Options{Layer: "operator", Tools: orderTools})
	if err != nil {
		t.Fatal(err)
	}
	d := policies.Layers{set}.Decide(&policies.Request{Point: policies.ToolCall, Tool: "shop.order", Args: []arg.Value{{Name: "order", Kind: arg.Object, Set: true}}})
	if d.Outcome != policies.Deny || !strings.Contains(d.Message, `no argument "order.amount"`) {
		t.Errorf("got %s: %s", d.Outcome, d.Message)
	}
}

// TestExplanationOfAMember: a denial names the path and the length, with what would be allowed.
func TestExplanationOfAMember(t *testing.T) {
	set, err := policies.Load([]byte(orderSet), policies.Options{Layer: "operator", Tools: orderTools})
	if err != nil {
		t.Fatal(err)
	}
	d := policies.Layers{set}.Decide(&policies.Request{Point: policies.ToolCall, Tool: "shop.order", Args: []arg.Value{
		{Name: "meta", Kind: arg.JSON, Set: true, Text: "never shown"}, {Name: "order", Kind: arg.Object, Set: true},
		{Name: "order.amount", Kind: arg.Int, Set: true, Int: 3}, {Name: "order.items", Kind: arg.List, Set: true, Int: 5}}})
	if d.Outcome != policies.Deny || !strings.Contains(d.Message+d.Change, "len(args.order.items)") || strings.Contains(d.Message+d.Change, "never") {
		t.Errorf("got %s: %s; %s", d.Outcome, d.Message, d.Change)
	}
}

// TestNumbers: decimals are compared digit for digit, never as floats.
func TestNumbers(t *testing.T) {
	set, err := policies.Load([]byte(head+`rules: [{id: a, at: tool.call, tool: shop.order, effect: permit, when: args.order.price <= decimal("0.3")}]`+"\n"),
		policies.Options{Layer: "operator", Tools: orderTools})
	if err != nil {
		t.Fatal(err)
	}
	for price, want := range map[string]policies.Outcome{
		"0.3": policies.Permit, "0.30000000000000004": policies.Deny, "0.29999999999999999999999": policies.Permit, "-1e+100": policies.Permit, "1e-300": policies.Permit, "1e+300": policies.Deny,
	} {
		d := policies.Layers{set}.Decide(&policies.Request{Point: policies.ToolCall, Tool: "shop.order",
			Args: []arg.Value{{Name: "order.price", Kind: arg.Number, Set: true, Text: price}}})
		if d.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", price, d.Outcome, d.Message, want)
		}
		if want == policies.Deny && !strings.Contains(d.Message, price) {
			t.Errorf("%s is not shown: %s", price, d.Message)
		}
	}
}
