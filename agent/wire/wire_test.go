package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

const cidA = "bafyreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"

func TestParseRequest(t *testing.T) {
	sig := strings.Repeat("A", 85) + "A"
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	tests := []struct {
		rule, frame string
		want        Code // "" is good
	}{
		{"the smallest request", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, ""},
		{"space around is harmless", " {\n\"jsonrpc\" : \"2.0\",\"id\":\"a\",\"method\":\"ping\", \"params\": { } } ", ""},
		{"a signed request", `{"jsonrpc":"2.0","id":1,"method":"x","params":{},"auth":{"seq":1,"sig":"` + sig + `"}}`, ""},
		{"an escaped pair of surrogates is a character", `{"jsonrpc":"2.0","id":"\ud83d\ude00","method":"ping"}`, ""},

		{"nothing", ``, CodeParse},
		{"only space", `  `, CodeParse},
		{"not JSON", `hello`, CodeParse},
		{"cut off", `{"jsonrpc":"2.0","id":1,"method":"pi`, CodeParse},
		{"cut off after a key", `{"jsonrpc"`, CodeParse},
		{"cut off after a colon", `{"jsonrpc":`, CodeParse},
		{"no comma", `{"jsonrpc":"2.0" "id":1}`, CodeParse},
		{"a comma too many", `{"jsonrpc":"2.0","id":1,"method":"ping",}`, CodeParse},
		{"trailing data", `{"jsonrpc":"2.0","id":1,"method":"ping"} {}`, CodeParse},
		{"bad UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"ping\"}", CodeParse},
		{"half a surrogate", `{"jsonrpc":"2.0","id":"\ud83d","method":"ping"}`, CodeParse},
		{"the other half", `{"jsonrpc":"2.0","id":"\ude00","method":"ping"}`, CodeParse},
		{"an unknown escape", `{"jsonrpc":"2.0","id":"\x41","method":"ping"}`, CodeParse},
		{"an escape cut off", `{"jsonrpc":"2.0","id":"\u00`, CodeParse},
		{"a raw line feed in a text", "{\"jsonrpc\":\"2.0\",\"id\":\"a\nb\",\"method\":\"ping\"}", CodeParse},
		{"a doubled key", `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, CodeParse},
		{"a doubled key inside params", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1,"a":2}}`, CodeParse},
		{"an escaped key", `{"jsonrpc":"2.0","\u0069d":1,"method":"ping"}`, CodeParse},
		{"null id", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, CodeParse},
		{"null params", `{"jsonrpc":"2.0","id":1,"method":"ping","params":null}`, CodeParse},
		{"null deep inside", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[null]}}`, CodeParse},
		{"too deep", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":` + deep + `}}`, CodeParse},
		{"a leading zero", `{"jsonrpc":"2.0","id":01,"method":"ping"}`, CodeParse},
		{"a number without digits", `{"jsonrpc":"2.0","id":-,"method":"ping"}`, CodeParse},
		{"a number that ends in a point", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":1.}}`, CodeParse},
		{"NaN", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}`, CodeParse},
		{"a comment", `{"jsonrpc":"2.0","id":1,/**/"method":"ping"}`, CodeParse},
		{"a byte order mark", "\ufeff" + `{"jsonrpc":"2.0","id":1,"method":"ping"}`, CodeParse},
		{"too large", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"` + strings.Repeat("a", MaxFrame) + `"}}`, CodeParse},

		{"a batch", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, CodeBatch},
		{"no id", `{"jsonrpc":"2.0","method":"ping"}`, CodeRequest},
		{"a fraction as id", `{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, CodeRequest},
		{"an id beyond 2^53", `{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}`, CodeRequest},
		{"an empty id", `{"jsonrpc":"2.0","id":"","method":"ping"}`, CodeRequest},
		{"a long id", `{"jsonrpc":"2.0","id":"` + strings.Repeat("a", 65) + `","method":"ping"}`, CodeRequest},
		{"an object as id", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, CodeRequest},
		{"another version", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, CodeRequest},
		{"no version", `{"id":1,"method":"ping"}`, CodeRequest},
		{"no method", `{"jsonrpc":"2.0","id":1}`, CodeRequest},
		{"a number as method", `{"jsonrpc":"2.0","id":1,"method":7}`, CodeRequest},
		{"a key in another case", `{"jsonrpc":"2.0","ID":1,"method":"ping"}`, CodeRequest},
		{"an unknown key", `{"jsonrpc":"2.0","id":1,"method":"ping","token":"x"}`, CodeRequest},
		{"a list as params", `{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}`, CodeRequest},
		{"a text as params", `{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}`, CodeRequest},
		{"auth without sig", `{"jsonrpc":"2.0","id":1,"method":"ping","auth":{"seq":1}}`, CodeRequest},
		{"auth with a negative seq", `{"jsonrpc":"2.0","id":1,"method":"x","auth":{"seq":-1,"sig":"` + sig + `"}}`, CodeRequest},
		{"auth with a short sig", `{"jsonrpc":"2.0","id":1,"method":"x","auth":{"seq":1,"sig":"AAAA"}}`, CodeRequest},
		{"auth with a padded sig", `{"jsonrpc":"2.0","id":1,"method":"x","auth":{"seq":1,"sig":"` + sig + `=="}}`, CodeRequest},
		{"only an array's end", `{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":]}}`, CodeParse},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			r, err := ParseRequest([]byte(tt.frame))
			if tt.want == "" {
				if err != nil {
					t.Fatalf("got %v, want no error", err)
				}
				return
			}
			if !errors.Is(err, Errorf(tt.want, "")) {
				t.Fatalf("got %v (%+v), want %s", err, r, tt.want)
			}
			if e, _ := errors.AsType[*Error](err); e.Number == 0 || len(e.Message) > 400 || !strings.HasSuffix(e.Message, ".") {
				t.Errorf("got %d %q, want a number and one sentence", e.Number, e.Message)
			}
		})
	}
}

func TestParamsAreKeptAsTheyWereSent(t *testing.T) {
	params := "{ \"b\" : 1,\t\"a\":\"\\u0041\" }"
	r, err := ParseRequest([]byte(`{"params":` + params + `,"jsonrpc":"2.0","id":1,"method":"ping"}`))
	if err != nil || string(r.Params) != params {
		t.Errorf("got %q, %v; want %q", r.Params, err, params)
	}
}

func TestABadFrameStillNamesItsID(t *testing.T) {
	for _, tt := range []struct{ rule, frame, want string }{
		{"another version", `{"jsonrpc":"1.0","id":"seven","method":"ping"}`, `"seven"`},
		{"an unknown key behind the id", `{"jsonrpc":"2.0","id":7,"method":"ping","token":"x"}`, "7"},
		{"an unknown key before the id", `{"token":{"a":[1]},"jsonrpc":"2.0","method":"ping","id":7}`, "7"},
		{"a missing key", `{"jsonrpc":"2.0","id":7}`, "7"},
		{"a method that is no text", `{"jsonrpc":"2.0","id":7,"method":5}`, "7"},
		{"a method that is too long", `{"jsonrpc":"2.0","id":7,"method":"` + strings.Repeat("x", 65) + `"}`, "7"},
		{"params that are null", `{"jsonrpc":"2.0","id":7,"method":"ping","params":null}`, "7"},
		{"a null deep inside", `{"jsonrpc":"2.0","id":"a","method":"ping","params":{"a":[null]}}`, `"a"`},
		{"a key that stands twice", `{"jsonrpc":"2.0","id":7,"method":"ping","method":"ping"}`, "7"},
		{"no id", `{"jsonrpc":"2.0","method":"ping","token":"x"}`, ""},
		{"an id that is null", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, ""},
		{"an id that is no UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"ping\",\"x\":1}", ""},
		{"an id in other letters", `{"jsonrpc":"2.0","ID":7,"method":"ping"}`, ""},
		{"two ids", `{"token":1,"jsonrpc":"2.0","id":7,"method":"ping","id":8}`, ""},
		{"an id that is none", `{"jsonrpc":"2.0","id":7.5,"method":"ping","token":"x"}`, ""},
		{"no object", `7`, ""},
		{"not JSON to its end", `{"token":1,"jsonrpc":"2.0","id":7,"method":"ping"`, ""},
	} {
		if r, err := ParseRequest([]byte(tt.frame)); err == nil || string(r.ID) != tt.want {
			t.Errorf("%s: got id %s, %v; want %q and an error", tt.rule, r.ID, err, tt.want)
		}
	}
}

func TestDecodeStrict(t *testing.T) {
	key := `"idempotency_key":"12345678"`
	tests := []struct {
		rule string
		into any
		json string
		want string // part of the sentence; "" is good
	}{
		{"all there", new(StartParams), `{"agent":"a","input":"hi",` + key + `}`, ""},
		{"a missing key is named", new(StartParams), `{"agent":"a",` + key + `}`, `"input" is missing`},
		{"an unknown key is named with those known", new(RunParams), `{"ruin":"x"}`, `known are run`},
		{"a key differs in case", new(RunParams), `{"Run":"` + cidA + `"}`, `"Run" is unknown`},
		{"a CID has its form", new(RunParams), `{"run":"` + cidA + `"}`, ""},
		{"a CIDv0 is none of ours", new(RunParams), `{"run":"QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"}`, "run must be a CIDv1"},
		{"a life of more than a day", new(ChallengeParams), `{"account":"0x0000000000000000000000000000000000000001","chain":1,"key":"did:key:z` + strings.Repeat("6", 44) + `","agent":"a","life":86401}`, "life is 86401; it is at most 86400."},
		{"an empty text where a form is asked", new(RunParams), `{"run":""}`, "run must be"},
		{"a number is no text", new(RunParams), `{"run":7}`, "run cannot be a number"},
		{"a bound of a text", new(StartParams), `{"agent":"a","input":"` + strings.Repeat("x", 65537) + `",` + key + `}`, "input has 65537 bytes"},
		{"a bound of a number", new(ListParams), `{"limit":1001}`, "limit is 1001; it is at most 1000."},
		{"a fraction is no integer", new(ListParams), `{"limit":1.5}`, "limit cannot be"},
		{"a negative count", new(ListParams), `{"limit":-1}`, "limit cannot be"},
		{"a nested form", new(ChallengeParams), `{"account":"0x0000000000000000000000000000000000000001","chain":1,"key":"did:key:z` + strings.Repeat("6", 44) + `","agent":"a","limits":{"max_total":[{"asset":"USDC","decimals":6,"units":"01"}]}}`, "limits.max_total.units must be"},
		{"a nested unknown key", new(DecideParams), `{"run":"` + cidA + `","effect":{"seq":1,"index":0,"x":1},"approve":true,` + key + `}`, `"x" is unknown`},
		{"null", new(ListParams), `{"limit":null}`, "null is not used"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			err := DecodeStrict([]byte(tt.json), tt.into)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestEveryTextHasAForm(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type, at string, tag reflect.StructTag)
	walk = func(typ reflect.Type, at string, tag reflect.StructTag) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem(), at, tag)
		case reflect.Struct:
			if seen[typ] {
				return
			}
			seen[typ] = true
			for i := range typ.NumField() {
				f := typ.Field(i)
				walk(f.Type, typ.Name()+"."+f.Name, f.Tag)
			}
		case reflect.String:
			if _, ok := forms[tag.Get("form")]; !ok {
				t.Errorf("%s has no form", at)
			}
		}
	}
	for _, m := range Methods() {
		walk(m.Params, m.Name, "")
		if m.Result.Kind() == reflect.Struct {
			walk(m.Result, m.Name, "")
		}
	}
	for _, n := range []any{Hello{}, RunEvent{}, RunDelta{}, SessionRevoked{}} {
		walk(reflect.TypeOf(n), "", "")
	}
}

func TestOpenRPC(t *testing.T) {
	got := OpenRPC("1")
	const file = "openrpc.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the types say (%v); run go test ./agent/wire -update and read the diff", file, err)
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[1,-2.5e3,"\ud83d\ude00",true]}}`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":"x","method":"run.get","auth":{"seq":1,"sig":"AAAA"}}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, err := ParseRequest(frame)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("got an error of type %T", err)
			}
			return
		}
		// What passes is JSON to everyone else too, and says the same when written again.
		if !json.Valid(frame) {
			t.Fatalf("accepted what is not JSON: %q", frame)
		}
		out, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseRequest(out)
		if err != nil || again.Method != r.Method || !bytes.Equal(again.ID, r.ID) && json.Valid(again.ID) && again.ID[0] != '"' {
			t.Errorf("written again: %+v, %v; want %+v", again, err, r)
		}
	})
}

func FuzzDecodeStrict(f *testing.F) {
	f.Add([]byte(`{"run":"` + cidA + `","effect":{"seq":1,"index":0},"approve":true,"idempotency_key":"12345678"}`))
	f.Add([]byte(`{"run":"` + cidA + `","from":{"epoch":"e","seq":3},"window":10}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range Methods() {
			v := reflect.New(m.Params).Interface()
			if DecodeStrict(data, v) != nil {
				continue
			}
			// What was read can be written and read again, and is then the same: nothing was guessed or lost.
			out, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			again := reflect.New(m.Params).Interface()
			if err := DecodeStrict(out, again); err != nil {
				t.Fatalf("%s: %s written as %s: %v", m.Name, data, out, err)
			}
			out2, _ := json.Marshal(again)
			if !bytes.Equal(out, out2) {
				t.Errorf("%s: got %s, want %s", m.Name, out2, out)
			}
		}
	})
}

// What a Safe's owners have approved on the chain has an empty signature.
func TestASignatureMayBeEmpty(t *testing.T) {
	for signature, ok := range map[string]bool{"0x": true, "0x00": true, "0x0": false, "0X": false, "x": false} {
		var open OpenParams
		var decide DecideParams
		err := DecodeStrict([]byte(`{"message":"m","signature":"`+signature+`"}`), &open)
		if (err == nil) != ok || ok && open.Signature != signature {
			t.Errorf("session.open with %q: got %v", signature, err)
		}
		err = DecodeStrict([]byte(`{"run":"bafyreib6f6xzihgr3ywnntmm3bknow4ujzy5zulbuyvuqmqrskbdmzbjjq","effect":{"seq":1,"index":0},"approve":true,"message":"m","signature":"`+signature+`","idempotency_key":"key-00001"}`), &decide)
		if (err == nil) != ok {
			t.Errorf("approval.decide with %q: got %v", signature, err)
		}
	}
}
