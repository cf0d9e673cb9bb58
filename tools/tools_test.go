package tools_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/tools"
)

var (
	alice = common.HexToAddress("0xa11ce00000000000000000000000000000000001")
	bob   = common.HexToAddress("0xb0b0000000000000000000000000000000000002")
	usdc  = common.HexToAddress("0xc0ffee0000000000000000000000000000000003")
)

func book() *tools.Book {
	return &tools.Book{
		Chain:  1337,
		Names:  map[string]common.Address{"alice": alice, "bob": bob},
		Tokens: map[string]tools.Token{"USDC": {Address: usdc, Decimals: 6}, "ETH": {Decimals: 18}},
	}
}

const transferSchema = `{"type":"object","additionalProperties":false,"required":["token","to","amount"],"properties":{
	"token":{"type":"string","format":"token"},
	"to":{"type":"string","format":"address"},
	"amount":{"type":"string","format":"amount","x-asset":"token"},
	"note":{"type":"string","maxLength":5},
	"tries":{"type":"integer","minimum":1,"maximum":3},
	"fast":{"type":"boolean"},
	"tx":{"type":"string","format":"hash"},
	"at":{"type":"string","format":"block"},
	"mode":{"type":"string","enum":["a","b"]}}}`

func transfer() tools.Spec {
	return tools.Spec{
		Name: "test.transfer", About: "Sends tokens.", Class: tools.ChainTx, Schema: json.RawMessage(transferSchema),
		Spend: &tools.Spend{Amount: "amount", Asset: "token", To: "to"}, Book: book(),
		Utterances: []string{"send {amount} {token} to {to}"},
	}
}

func compile(t testing.TB, s tools.Spec) *tools.Def {
	t.Helper()
	d, err := tools.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCompileRefuses(t *testing.T) {
	schema := func(props string) func(*tools.Spec) {
		return func(s *tools.Spec) {
			s.Class, s.Spend, s.Utterances = tools.Read, nil, nil
			s.Schema = json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{` + props + `}}`)
		}
	}
	for _, tt := range []struct {
		rule   string
		change func(*tools.Spec)
		want   string
	}{
		{"a name with capitals", func(s *tools.Spec) { s.Name = "test.Send" }, "name must be"},
		{"an empty part of the name", func(s *tools.Spec) { s.Name = "test..send" }, "name must be"},
		{"no class", func(s *tools.Spec) { s.Class = "" }, "class is missing"},
		{"an unknown class", func(s *tools.Spec) { s.Class = "write" }, `class "write" is unknown`},
		{"no description", func(s *tools.Spec) { s.About = "" }, "about must say"},
		{"a chain tool without a spend", func(s *tools.Spec) { s.Spend = nil }, "Spend is required"},
		{"a read tool with a spend", func(s *tools.Spec) { s.Class = tools.Read }, "no Spend"},
		{"a spend of an unknown property", func(s *tools.Spec) { s.Spend.To = "too" }, "recipient must name"},
		{"a spend of the wrong format", func(s *tools.Spec) { s.Spend.Amount = "note" }, "amount must name"},
		{"no book where names are used", func(s *tools.Spec) { s.Book = nil }, "a Book is required"},
		{"two symbols for one contract", func(s *tools.Spec) { s.Book.Tokens["USDT"] = s.Book.Tokens["USDC"] }, "same contract"},
		{"a lower-case symbol", func(s *tools.Spec) { s.Book.Tokens["dai"] = tools.Token{Address: bob} }, "not a token"},
		{"a name that looks like an address", func(s *tools.Spec) { s.Book.Names["0xbob"] = bob }, "not a name"},
		{"an utterance with an unknown slot", func(s *tools.Spec) { s.Utterances = []string{"pay {whom}"} }, "{whom}"},
		{"an utterance that does not close", func(s *tools.Spec) { s.Utterances = []string{"pay {to"} }, "{to"},
		{"a schema that is no JSON", func(s *tools.Spec) { s.Schema = json.RawMessage(`{`) }, "schema: the JSON is wrong"},
		{"an open schema", func(s *tools.Spec) { s.Schema = json.RawMessage(`{"type":"object"}`) }, "additionalProperties"},
		{"an unknown keyword", schema(`"a":{"type":"string","pattern":".*"}`), `"pattern" is not supported`},
		{"a misspelt keyword", schema(`"a":{"type":"string","maxlength":4}`), `did you mean "maxLength"?`},
		{"a type outside the subset", schema(`"a":{"type":"null"}`), `"type" is "null"`},
		{"no type", schema(`"a":{}`), `can be "x-opaque": true`},
		{"alternatives", schema(`"a":{"type":"string","anyOf":[]}`), `"anyOf" is not supported`},
		{"an object that is open", schema(`"a":{"type":"object","properties":{"b":{"type":"string"}}}`), `property "a": "additionalProperties"`},
		{"a mistake far inside", schema(`"a":{"type":"object","additionalProperties":false,"properties":{"b":{"type":"text"}}}`), `property "a.b": "type"`},
		{"a list of anything", schema(`"a":{"type":"array"}`), `"items" is missing`},
		{"a list of recipients", schema(`"a":{"type":"array","items":{"type":"string","format":"address"}}`), "cannot be used within a list"},
		{"a number whose bounds exclude everything", schema(`"a":{"type":"number","minimum":0.2,"maximum":0.1}`), "above"},
		{"too deep", schema(strings.Repeat(`"a":{"type":"object","additionalProperties":false,"properties":{`, 9) + strings.Repeat("}}", 9)), "nested deeper than 8"},
		{"two names alike", schema(`"a":{"type":"string"},"A":{"type":"string"}`), "capitals only"},
		{"a second url, inside", schema(`"a":{"type":"string","format":"url"},"b":{"type":"object","additionalProperties":false,"properties":{"c":{"type":"string","format":"url"}}}`), "two properties have the format url"},
		{"an unknown format", schema(`"a":{"type":"string","format":"date"}`), `format "date" is unknown`},
		{"an amount of nothing", schema(`"a":{"type":"string","format":"amount"}`), "x-asset must name"},
		{"an amount of something that is no token",
			schema(`"b":{"type":"string"},"a":{"type":"string","format":"amount","x-asset":"b"}`), "x-asset must name"},
		{"bounds that exclude everything", schema(`"a":{"type":"integer","minimum":2,"maximum":1}`), "above"},
		{"an empty enum", schema(`"a":{"type":"string","enum":[]}`), "enum is empty"},
		{"a property that policies cannot name", schema(`"a-b":{"type":"string"}`), "letters, digits and"},
		{"a property that stands twice", schema(`"a":{"type":"string"},"a":{"type":"boolean"}`), "twice"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			s := transfer()
			tt.change(&s)
			_, err := tools.Compile(s)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestCompiledSpecCompilesToItself(t *testing.T) {
	s := transfer()
	d := compile(t, s)
	s.Book.Names["bob"] = alice // what was compiled does not change
	if got := d.Spec().Book.Names["bob"]; got != bob {
		t.Errorf("bob became %s", got)
	}
	again := compile(t, d.Spec())
	if !reflect.DeepEqual(again.Spec(), d.Spec()) || !reflect.DeepEqual(again.Params(), d.Params()) {
		t.Error("a Def made from a Def's Spec differs")
	}
}

func TestRead(t *testing.T) {
	d := compile(t, transfer())
	for _, tt := range []struct{ rule, in, want string }{
		{"a name, a symbol and an amount", `{"to":"bob","token":"USDC","amount":"5"}`,
			`{"amount":"5","to":"bob","token":"USDC"}`},
		{"names and symbols in any case; the spelling stays", ` {"to":"Bob", "token":"usdc","amount":"5.0"} `,
			`{"amount":"5.0","to":"Bob","token":"usdc"}`},
		{"a lower-case address", `{"to":"0xb0b0000000000000000000000000000000000002","token":"USDC","amount":"5.000000"}`,
			`{"amount":"5.000000","to":"0xb0b0000000000000000000000000000000000002","token":"USDC"}`},
		{"every optional one", `{"to":"bob","token":"USDC","amount":"5","tries":3,"fast":true,"at":"latest","note":"a\u00e9\n","mode":"b"}`,
			"{\"amount\":\"5\",\"at\":\"latest\",\"fast\":true,\"mode\":\"b\",\"note\":\"a\u00e9\\n\",\"to\":\"bob\",\"token\":\"USDC\",\"tries\":3}"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			got, err := d.Read([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if string(got.JSON) != tt.want {
				t.Errorf("canonical: got %s, want %s", got.JSON, tt.want)
			}
			if got.Amount.String() != "5 USDC" || got.To != bob {
				t.Errorf("moves %s to %s, want 5 USDC to %s", got.Amount, got.To, bob)
			}
			for i, p := range d.Params() {
				if v := got.Values[i]; v.Name != p.Name || v.Kind != p.Kind {
					t.Errorf("value %d is %s (%s), want %s (%s)", i, v.Name, v.Kind, p.Name, p.Kind)
				}
				if p.Name == "token" && got.Values[i].Text != "USDC" {
					t.Errorf("token %q, want the book's spelling", got.Values[i].Text)
				}
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	d := compile(t, transfer())
	with := func(more string) string { return `{"to":"bob","token":"USDC","amount":"5",` + more + `}` }
	move := func(to, token, amount string) string {
		return `{"to":` + to + `,"token":` + token + `,"amount":` + amount + `}`
	}
	for _, tt := range []struct{ rule, in, code, want string }{
		{"nothing", ``, "bad_json", "a value was expected"},
		{"a list", `[]`, "bad_json", "one JSON object"},
		{"a key that stands twice", with(`"to":"alice"`), "bad_json", "a key stands twice"},
		{"a key that stands twice in another spelling", with(`"\u0074o":"alice"`), "bad_json", "a key stands twice"},
		{"something behind the object", `{} {}`, "bad_json", "something follows"},
		{"bad UTF-8", with("\"note\":\"\xff\""), "bad_json", "not UTF-8"},
		{"half a surrogate pair", with(`"note":"\ud800"`), "bad_json", "half a surrogate"},
		{"too many bytes", with(`"note":"` + strings.Repeat("a", tools.MaxArgs) + `"`), "bad_json", "at most 16384"},
		{"too deep", strings.Repeat("[", 10_000), "bad_json", "nested deeper"},
		{"an unknown argument", with(`"tokn":"x"`), "unknown_argument", `An argument is unknown (did you mean "token"?); known: `},
		{"a missing argument", `{"to":"bob","token":"USDC"}`, "missing_argument", `"amount" is missing; it is a decimal`},
		{"null for absent", with(`"note":null`), "bad_argument", `"note" must be a string`},
		{"a number for an amount", move(`"bob"`, `"USDC"`, `5`), "bad_argument", `such as "12.5"`},
		{"a fraction for an integer", with(`"tries":1.5`), "bad_argument", "an integer"},
		{"an integer outside 64 bits", with(`"tries":99999999999999999999`), "bad_argument", "an integer"},
		{"an integer above its maximum", with(`"tries":4`), "bad_argument", "from 1 to 3"},
		{"a text above its length", with(`"note":"123456"`), "bad_argument", "has 6 characters"},
		{"a text outside its enum", with(`"mode":"c"`), "bad_argument", "one of a, b"},
		{"a short hash", with(`"tx":"0x12"`), "bad_argument", "64 lower-case hex"},
		{"a block with a sign", with(`"at":"-1"`), "bad_argument", "block number"},
		{"an unknown name", move(`"bbo"`, `"USDC"`, `"5"`), "unknown_name", "use one of alice, bob"},
		{"an unknown token", move(`"bob"`, `"DAI"`, `"5"`), "unknown_token", "one of ETH, USDC"},
		{"a wrong checksum", move(`"0xB0b0000000000000000000000000000000000002"`, `"USDC"`, `"5"`), "bad_address", "wrong checksum"},
		{"an address that is too short", move(`"0xb0b"`, `"USDC"`, `"5"`), "bad_address", "40 hex digits"},
		{"the zero address as recipient", move(`"0x0000000000000000000000000000000000000000"`, `"USDC"`, `"5"`), "bad_address", "lost"},
		{"more decimals than the token has", move(`"bob"`, `"USDC"`, `"0.0000001"`), "bad_amount", "at most 6 decimals"},
		{"a negative amount", move(`"bob"`, `"USDC"`, `"-5"`), "bad_amount", "decimal number"},
		{"an amount with an exponent", move(`"bob"`, `"USDC"`, `"5e3"`), "bad_amount", "decimal number"},
		{"a spend of zero", move(`"bob"`, `"USDC"`, `"0.00"`), "bad_amount", "more than zero"},
		{"an amount outside 256 bits", move(`"bob"`, `"USDC"`, `"`+strings.Repeat("9", 75)+`"`), "bad_amount", "too large"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := d.Read([]byte(tt.in))
			e, ok := errors.AsType[*tools.Error](err)
			if !ok || e.Code != tt.code || !strings.Contains(e.Message, tt.want) {
				t.Errorf("got %#v, want code %s with %q", err, tt.code, tt.want)
			}
		})
	}
}

func TestOptionalAmountNeedsItsToken(t *testing.T) {
	s := transfer()
	s.Class, s.Spend = tools.Read, nil
	s.Schema = json.RawMessage(strings.Replace(transferSchema, `"required":["token","to","amount"],`, "", 1))
	d := compile(t, s)
	if _, err := d.Read([]byte(`{"amount":"5"}`)); err == nil || !strings.Contains(err.Error(), `"amount" needs it`) {
		t.Errorf("got %v", err)
	}
	if _, err := d.Read([]byte(`{}`)); err != nil {
		t.Errorf("nothing at all: %v", err)
	}
}

func TestBook(t *testing.T) {
	b := book()
	got, err := tools.ParseBook(b.JSON())
	if err != nil || !reflect.DeepEqual(got, b) {
		t.Fatalf("got %v, %v, want %v", got, err, b)
	}
	const want = `{"chain":1337,"names":{"alice":"0xA11CE00000000000000000000000000000000001",` +
		`"bob":"0xB0b0000000000000000000000000000000000002"},"tokens":{` +
		`"ETH":{"address":"0x0000000000000000000000000000000000000000","decimals":18},` +
		`"USDC":{"address":"0xc0FFEE0000000000000000000000000000000003","decimals":6}}}`
	if !strings.EqualFold(string(b.JSON()), want) {
		t.Errorf("got %s, want %s", b.JSON(), want)
	}
	for _, tt := range []struct{ rule, in, want string }{
		{"an unknown key", `{"chain":1,"names":{},"tokens":{},"name":{}}`, `key "name" is unknown (did you mean "names"?)`},
		{"a missing key", `{"chain":1,"names":{}}`, `key "tokens" is missing`},
		{"chain zero", `{"chain":0,"names":{},"tokens":{}}`, "out of range"},
		{"too many decimals", `{"chain":1,"names":{},"tokens":{"A":{"address":"0xb0b0000000000000000000000000000000000002","decimals":37}}}`, "between 0 and 36"},
		{"a name for nobody", `{"chain":1,"names":{"x":"0x0000000000000000000000000000000000000000"},"tokens":{}}`, "zero address"},
		{"an address that is a number", `{"chain":1,"names":{"x":5},"tokens":{}}`, "not a string"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if _, err := tools.ParseBook([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestCanonicalJSON(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{` { "b" : [ 1 , true, null,false ] , "a" : "\u0041\/\u001f\ud83d\ude00" } `, `{"a":"A/\u001f` + "\U0001f600" + `","b":[1,true,null,false]}`},
		{`-0`, `0`}, {`-0.0`, `0`}, {`1.0`, `1`}, {`1e2`, `100`}, {`1.50`, `1.5`}, {`1e400`, ""},
		{`123456789012345678901234567890`, `123456789012345678901234567890`},
		{`01`, ""}, {`1.`, ""}, {`.5`, ""}, {`+1`, ""}, {`nul`, ""}, {`"\x"`, ""}, {`"\u+123"`, ""}, {"\"\n\"", ""},
		{`{"a":1,}`, ""}, {`[1,]`, ""}, {`{,}`, ""}, {`"`, ""}, {`"\`, ""}, {`{"a"`, ""}, {"\xef\xbb\xbf1", ""}, {`{}`, `{}`}, {`[]`, `[]`},
	} {
		got, err := tools.CanonicalJSON([]byte(tt.in))
		if string(got) != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: got %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestFunc(t *testing.T) {
	type in struct {
		City string `json:"city" about:"name of the city"`
		Days uint8  `json:"days,omitempty"`
	}
	type out struct {
		City    string
		Degrees float64
	}
	weather := tools.Spec{Name: "weather.now", About: "Weather of a city.", Class: tools.Read}
	tool, err := tools.Func(weather, func(_ context.Context, a in) (out, error) {
		if a.City == "Atlantis" {
			return out{}, &tools.Error{Code: "unknown_city", Message: "No such city."}
		}
		return out{a.City, 21.5}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d := compile(t, tool.Spec())
	call := func(s string) ([]byte, error) {
		a, err := d.Read([]byte(s))
		if err != nil {
			return nil, err
		}
		return tool.Call(t.Context(), tools.Input{Args: a})
	}
	if got, err := call(`{"city":"Oslo","days":3}`); string(got) != `{"City":"Oslo","Degrees":21.5}` || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	for s, want := range map[string]string{
		`{"city":"Atlantis"}`: "No such city", `{"days":1}`: `"city" is missing`, `{"city":"x","days":256}`: "from 0 to 255",
	} {
		if _, err := call(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", s, err, want)
		}
	}
}

func FuzzCanonicalJSON(f *testing.F) {
	for _, s := range []string{`{"b":[1,2.5e3,"\ud83d\ude00"],"a":null}`, `"\u0000"`, `-0.0`, transferSchema} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := tools.CanonicalJSON(in)
		if err != nil {
			return
		}
		again, err := tools.CanonicalJSON(got)
		if err != nil || !bytes.Equal(got, again) {
			t.Errorf("%q -> %q -> %q, %v", in, got, again, err)
		}
		var a, b any // encoding/json is laxer; what we accept must mean the same to it
		if json.Unmarshal(in, &a) != nil || json.Unmarshal(got, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%q means %v, %q means %v", in, a, got, b)
		}
	})
}

func FuzzRead(f *testing.F) {
	d := compile(f, transfer())
	f.Add([]byte(`{"to":"bob","token":"usdc","amount":"5.50","tries":2,"fast":false,"at":"7","note":"\u00e9"}`))
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
	})
}

func FuzzParseBook(f *testing.F) {
	f.Add(book().JSON())
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := tools.ParseBook(in)
		if err != nil {
			return
		}
		b, err := tools.ParseBook(a.JSON())
		if err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%q reads as %v, its canonical spelling as %v, %v", in, a, b, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	d := compile(b, transfer())
	in := []byte(`{"token":"USDC","to":"bob","amount":"5"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Read(in); err != nil {
			b.Fatal(err)
		}
	}
}

// A call that pays by x402 is kept to the form in which auditors can check it, and models are not told of the keyword.
func TestPaymentsHaveTheirForm(t *testing.T) {
	spec := tools.Spec{
		Name: "paid.get", About: "Buys a page.", Class: tools.Keyed, Book: &tools.Book{Chain: 1},
		Spend: &tools.Spend{Amount: "amount", Asset: "token", To: "to"},
		Schema: []byte(`{"type":"object","additionalProperties":false,"required":["amount","to","token","url"],"properties":{
			"url":{"type":"string","format":"url"},"amount":{"type":"string","format":"amount","x-asset":"token"},
			"token":{"type":"string","format":"token"},"to":{"type":"string","format":"address"}},"x-payment":"x402"}`),
	}
	d, err := tools.Compile(spec)
	if err != nil || d.Payment() != tools.PaymentX402 || strings.Contains(string(d.Offered()), "x-payment") {
		t.Fatalf("%v, %q is offered as %s", err, d.Payment(), d.Offered())
	}
	for name, change := range map[string]func(*tools.Spec){
		"another class":    func(s *tools.Spec) { s.Class = tools.Once },
		"another protocol": func(s *tools.Spec) { s.Schema = bytes.Replace(s.Schema, []byte("x402"), []byte("x403"), 1) },
		"nothing moves":    func(s *tools.Spec) { s.Spend = nil },
		"no url":           func(s *tools.Spec) { s.Schema = bytes.Replace(s.Schema, []byte(`,"format":"url"`), nil, 1) },
	} {
		s := spec
		change(&s)
		if _, err := tools.Compile(s); err == nil || !strings.Contains(err.Error(), "x-payment") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
