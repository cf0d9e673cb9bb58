package tools_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
)

const orderSchema = `{"type":"object","additionalProperties":false,"required":["order"],"properties":{
	"order":{"type":"object","additionalProperties":false,"required":["amount","items"],"properties":{
		"amount":{"type":"integer","minimum":1},
		"price":{"type":"number","minimum":0.5,"maximum":99.99},
		"to":{"type":"string","format":"address"},
		"token":{"type":"string","format":"token"},
		"tip":{"type":"string","format":"amount","x-asset":"token"},
		"shipTo":{"type":"object","additionalProperties":false,"required":["country"],"properties":{
			"country":{"type":"string","enum":["NO","SE"]}}},
		"items":{"type":"array","minItems":1,"maxItems":3,"items":{"type":"object","additionalProperties":false,
			"required":["sku"],"properties":{"sku":{"type":"string"},"count":{"type":"integer"}}}}}},
	"tags":{"type":"array","items":{"type":"string","maxLength":4}},
	"meta":{"x-opaque":true,"anyOf":[{"type":"string"},{"type":"null"}]}}}`

func order(t testing.TB) *tools.Def {
	t.Helper()
	s := transfer()
	s.Class, s.Spend, s.Utterances, s.Schema = tools.Once, nil, nil, json.RawMessage(orderSchema)
	return compile(t, s)
}

// TestNestedParams: what is in an object is an argument of its own, under its path; what is in a list is none.
func TestNestedParams(t *testing.T) {
	want := []arg.Param{
		{Name: "meta", Kind: arg.JSON},
		{Name: "order", Kind: arg.Object, Required: true},
		{Name: "order.amount", Kind: arg.Int, Required: true},
		{Name: "order.items", Kind: arg.List, Required: true},
		{Name: "order.price", Kind: arg.Number},
		{Name: "order.shipTo", Kind: arg.Object},
		{Name: "order.shipTo.country", Kind: arg.String}, // required only where shipTo is
		{Name: "order.tip", Kind: arg.Amount},
		{Name: "order.to", Kind: arg.Address},
		{Name: "order.token", Kind: arg.String},
		{Name: "tags", Kind: arg.List},
	}
	if got := order(t).Params(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestReadNested(t *testing.T) {
	d := order(t)
	got, err := d.Read([]byte(`{"tags":["a","b"],"meta":{"z":[1.50,null],"a":"secret words"},"order":{"items":[{"sku":"x","count":2}],
		"price":12.50,"amount":3,"to":"Bob","token":"usdc","tip":"0.5","shipTo":{"country":"NO"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"meta":{"a":"secret words","z":[1.5,null]},"order":{"amount":3,"items":[{"count":2,"sku":"x"}],"price":12.5,` +
		`"shipTo":{"country":"NO"},"tip":"0.5","to":"Bob","token":"usdc"},"tags":["a","b"]}`
	if string(got.JSON) != want {
		t.Errorf("got %s, want %s", got.JSON, want)
	}
	for name, want := range map[string]arg.Value{
		"meta":                 {Kind: arg.JSON, Set: true}, // and nothing of its text
		"order":                {Kind: arg.Object, Set: true},
		"order.amount":         {Kind: arg.Int, Set: true, Int: 3},
		"order.items":          {Kind: arg.List, Set: true, Int: 1},
		"order.price":          {Kind: arg.Number, Set: true, Text: "12.5"},
		"order.shipTo.country": {Kind: arg.String, Set: true, Text: "NO"},
		"order.to":             {Kind: arg.Address, Set: true, Text: "Bob", Addr: bob},
		"order.token":          {Kind: arg.String, Set: true, Text: "USDC"},
		"tags":                 {Kind: arg.List, Set: true, Int: 2},
	} {
		want.Name = name
		if v := got.Value(name); v != want {
			t.Errorf("%s: got %+v, want %+v", name, v, want)
		}
	}
	if v := got.Value("order.tip"); v.Amount.String() != "0.5 USDC" {
		t.Errorf("tip %s, want 0.5 USDC", v.Amount)
	}
	got, err = d.Read([]byte(`{"order":{"amount":1,"items":[{"sku":"x"}]}}`))
	if v := got.Value("order.shipTo.country"); err != nil || v.Set {
		t.Errorf("an absent object has %+v, %v", v, err)
	}
}

func TestReadNestedRefuses(t *testing.T) {
	d := order(t)
	with := func(order, more string) string {
		return `{"order":{"amount":1,"items":[{"sku":"x"}]` + order + `}` + more + `}`
	}
	deep := strings.Repeat("[", 17) + strings.Repeat("]", 17)
	for _, tt := range []struct{ rule, in, code, want string }{
		{"no object", `{"order":5}`, "bad_argument", `"order" must be an object`},
		{"a missing member", `{"order":{"amount":1}}`, "missing_argument", `"order.items" is missing; it is a list`},
		{"a missing member of a member", with(`,"shipTo":{}`, ""), "missing_argument", `"order.shipTo.country" is missing`},
		{"an unknown member", with(`,"prise":1`, ""), "unknown_argument", `A member of argument "order" is unknown (did you mean "order.price"?)`},
		{"a member that stands twice", with(`,"amount":2`, ""), "bad_json", "a key stands twice"},
		{"a member of the wrong type", with(`,"price":"12"`, ""), "bad_argument", `"order.price" must be a number`},
		{"a number that is too large by a digit", with(`,"price":99.990000000000000000001`, ""), "bad_argument", "at most 99.99"},
		{"a number that is too small", with(`,"price":0.4999999999999999999999`, ""), "bad_argument", "at least 0.5"},
		{"a huge number", with(`,"price":1e400`, ""), "bad_json", "too large"},
		{"a text outside its enum", with(`,"shipTo":{"country":"DK"}`, ""), "bad_argument", `"order.shipTo.country" must be one of NO, SE`},
		{"a name that is unknown", with(`,"to":"bbo"`, ""), "unknown_name", `"order.to"`},
		{"an amount without its token", with(`,"tip":"1"`, ""), "missing_argument", `"order.token" is missing; "order.tip" needs it`},
		{"no list", with("", `,"tags":"a"`), "bad_argument", `"tags" must be a list`},
		{"an empty list", `{"order":{"amount":1,"items":[]}}`, "bad_argument", "has 0 elements; it must have from 1 to 3"},
		{"an element of the wrong type", with("", `,"tags":["a",1]`), "bad_argument", `"tags[1]" must be a string`},
		{"an element that is too long", with("", `,"tags":["abcde"]`), "bad_argument", `"tags[0]" has 5 characters`},
		{"an unknown member of an element", `{"order":{"amount":1,"items":[{"sku":"x","skv":1}]}}`, "unknown_argument", `A member of argument "order.items[0]" is unknown`},
		{"a missing member of an element", `{"order":{"amount":1,"items":[{}]}}`, "missing_argument", `"order.items[0].sku" is missing`},
		{"something opaque that is too large", with("", `,"meta":"`+strings.Repeat("a", tools.MaxOpaque)+`"`), "bad_argument", `"meta" is too large`},
		{"something opaque that is too deep", with("", `,"meta":`+deep), "bad_argument", `"meta" is too large`},
		{"something opaque of too many values", with("", `,"meta":[`+strings.Repeat("0,", 1023)+`0]`), "bad_argument", `"meta" is too large`},
		{"something opaque with a key twice", with("", `,"meta":{"a":{"b":1,"b":1}}`), "bad_json", "a key stands twice"},
		{"something opaque with bad UTF-8", with("", ",\"meta\":\"\xff\""), "bad_json", "not UTF-8"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := d.Read([]byte(tt.in))
			e, ok := errors.AsType[*tools.Error](err)
			if !ok || e.Code != tt.code || !strings.Contains(e.Message, tt.want) {
				t.Errorf("got %#v, want code %s with %q", err, tt.code, tt.want)
			}
		})
	}
	if _, err := d.Read([]byte(with("", `,"meta":[[[`+strings.Repeat("0,", 1019)+`0]]]`))); err != nil {
		t.Errorf("something opaque within its bounds: %v", err)
	}
}

// FuzzReadNested: what was read is written in one way, and reads as the same again.
func FuzzReadNested(f *testing.F) {
	d := order(f)
	f.Add([]byte(`{"order":{"amount":3,"items":[{"sku":"x"}],"price":1.50,"to":"bob","token":"usdc","tip":"1","shipTo":{"country":"SE"}},` +
		`"tags":["a"],"meta":{"b":[1e2,-0,{"":null}],"a":"\u00e9"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := d.Read(in)
		if err != nil {
			if _, ok := errors.AsType[*tools.Error](err); !ok {
				t.Errorf("%q: %T is not for the model", in, err)
			}
			return
		}
		b, err := d.Read(a.JSON)
		if err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%q reads as %v, its canonical spelling as %v, %v", in, a, b, err)
		}
		for _, v := range a.Values {
			if (v.Kind == arg.JSON || v.Kind == arg.Object || v.Kind == arg.List) && v.Text != "" {
				t.Errorf("%s of kind %s shows %q", v.Name, v.Kind, v.Text)
			}
			if top := a.Value(arg.Top(v.Name)); v.Set && !top.Set {
				t.Errorf("%s is there, and %s is not", v.Name, top.Name)
			}
		}
	})
}
