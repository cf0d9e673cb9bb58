package tools_test

import (
	"context"
	"encoding/json"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
)

type item struct {
	SKU   string `json:"sku"`
	Count int    `json:"count,omitempty"`
}

type purchase struct {
	Order struct {
		Items []item     `json:"items" about:"what is bought"`
		Price float64    `json:"price"`
		By    *time.Time `json:"by"`
		Pair  [2]uint8   `json:"pair,omitempty"`
	} `json:"order"`
	To     string            `json:"to" format:"address"`
	Token  string            `json:"token" format:"token"`
	Tip    string            `json:"tip" format:"amount" asset:"token"`
	Mode   string            `json:"mode,omitempty" enum:"fast,slow"`
	Gift   *bool             `json:"gift"`
	Photo  []byte            `json:"photo,omitempty"`
	Peer   *netip.Addr       `json:"peer"`
	Units  *big.Int          `json:"units"`
	Exact  json.Number       `json:"exact,omitzero"`
	Meta   json.RawMessage   `json:"meta,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

// TestFuncOfAnyClass: a function may move value, take nested arguments, and hand on its idempotency key.
func TestFuncOfAnyClass(t *testing.T) {
	spec := tools.Spec{Name: "shop.buy", About: "Buys things.", Class: tools.Keyed, Book: book(),
		Spend: &tools.Spend{Amount: "tip", Asset: "token", To: "to"}, Utterances: []string{"tip {to} {tip} {token}"}}
	var got purchase
	var key [32]byte
	tool, err := tools.Func(spec, func(ctx context.Context, in purchase) (string, error) {
		got, key = in, tools.InputOf(ctx).Key
		return "done", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d := compile(t, tool.Spec())
	want := []arg.Param{
		{Name: "exact", Kind: arg.Number},
		{Name: "gift", Kind: arg.Bool},
		{Name: "labels", Kind: arg.JSON},
		{Name: "meta", Kind: arg.JSON},
		{Name: "mode", Kind: arg.String},
		{Name: "order", Kind: arg.Object, Required: true},
		{Name: "order.by", Kind: arg.String},
		{Name: "order.items", Kind: arg.List, Required: true},
		{Name: "order.pair", Kind: arg.List},
		{Name: "order.price", Kind: arg.Number, Required: true},
		{Name: "peer", Kind: arg.String},
		{Name: "photo", Kind: arg.String},
		{Name: "tip", Kind: arg.Amount, Required: true},
		{Name: "to", Kind: arg.Address, Required: true},
		{Name: "token", Kind: arg.String, Required: true},
		{Name: "units", Kind: arg.JSON},
	}
	if !reflect.DeepEqual(d.Params(), want) {
		t.Errorf("got %+v\nwant %+v", d.Params(), want)
	}
	call := func(in string) ([]byte, error) {
		args, err := d.Read([]byte(in))
		if err != nil {
			return nil, err
		}
		return tool.Call(t.Context(), tools.Input{Args: args, Key: [32]byte{7}})
	}
	out, err := call(`{"to":"bob","token":"usdc","tip":"0.50","gift":false,"photo":"aGk=","meta":{"b":1,"a":[2]},"exact":0.10,` +
		`"peer":"10.0.0.1","units":123456789012345678901234567890,"labels":{"a":"b"},"mode":"slow",` +
		`"order":{"items":[{"sku":"x","count":2},{"sku":"y"}],"price":12.5,"by":"2026-01-02T15:04:05Z","pair":[1,255]}}`)
	if err != nil || string(out) != `"done"` || key != [32]byte{7} {
		t.Fatalf("got %s, %v, key %x", out, err, key)
	}
	switch o := got.Order; {
	case got.To != bob.Hex() || got.Token != "USDC" || got.Tip != "0.50":
		t.Errorf("got %s to %s of %s, want what the names stand for", got.Tip, got.To, got.Token)
	case len(o.Items) != 2 || o.Items[0] != (item{"x", 2}) || o.Price != 12.5 || o.By.Year() != 2026 || o.Pair != [2]uint8{1, 255}:
		t.Errorf("order %+v", o)
	case string(got.Meta) != `{"a":[2],"b":1}` || string(got.Photo) != "hi" || *got.Gift || got.Exact != "0.1" || got.Mode != "slow":
		t.Errorf("got %+v", got)
	case got.Units.String() != "123456789012345678901234567890" || got.Peer.String() != "10.0.0.1" || got.Labels["a"] != "b":
		t.Errorf("got %+v", got)
	}
	const rest = `"to":"bob","token":"USDC","tip":"1"`
	for in, want := range map[string]string{
		`{` + rest + `,"order":{"price":1,"items":[]},"mode":"x"}`:                  "one of fast, slow",
		`{` + rest + `,"order":{"price":1,"items":[],"by":"tomorrow"}}`:             "cannot be read",
		`{` + rest + `,"order":{"price":1,"items":[],"pair":[1]}}`:                  `"order.pair" has 1 elements`,
		`{` + rest + `,"order":{"price":1,"items":[],"pair":[1,256]}}`:              `"order.pair[1]" is 256`,
		`{` + rest + `,"order":{"price":1,"items":[{"sku":"x","count":1.5}]}}`:      `"order.items[0].count" must be an integer`,
		`{` + rest + `,"order":{"price":1,"items":[]},"labels":["a"]}`:              `"labels" cannot be read`,
		`{` + rest + `,"order":{"price":1,"items":[]},"photo":"not base64 at all"}`: "cannot be read",
	} {
		_, err := call(in)
		if e, ok := err.(*tools.Error); !ok || !strings.Contains(e.Message, want) {
			t.Errorf("%s: got %v, want an error with %q for the model", in, err, want)
		}
	}
}

type loop struct {
	Name string
	Next *loop
}

// TestFuncSaysWhichField: what cannot be an argument is told by the field's name.
func TestFuncSaysWhichField(t *testing.T) {
	spec := tools.Spec{Name: "a.b", About: "x", Class: tools.Once}
	for _, tt := range []struct {
		rule string
		err  error
		want string
	}{
		{"a channel", try[struct{ A struct{ B chan int } }](spec), "field A.B is a chan int"},
		{"a duration", try[struct{ Wait time.Duration }](spec), "field Wait is a time.Duration"},
		{"a type within itself", try[loop](spec), "field Next: the type tools_test.loop is within itself"},
		{"an embedded struct", try[struct{ item }](spec), "field item is embedded"},
		{"an exported embedded struct", try[struct{ Embedded }](spec), "field Embedded is embedded"},
		{"two of one name", try[struct {
			A string
			B string `json:"a"`
		}](spec), `field B: another one is called "a"`},
		{"an unknown option", try[struct {
			A int `json:"a,string"`
		}](spec), `field A has the json option "string"`},
		{"a format of no string", try[struct {
			A int `format:"address"`
		}](spec), "field A has the tag format"},
		{"a name that policies cannot say", try[struct {
			A int `json:"a-b"`
		}](spec), `property "a-b"`},
		{"no struct", try[string](spec), "must be a struct"},
		{"class chain", try[struct{}](tools.Spec{Name: "a.b", About: "x", Class: tools.ChainTx}), "implement tools.Chain"},
		{"a schema of its own", try[struct{}](tools.Spec{Name: "a.b", About: "x", Class: tools.Read, Schema: []byte(`{}`)}), "leave it empty"},
		{"an amount of nothing", try[struct {
			A string `format:"amount"`
		}](spec), "x-asset must name"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", tt.err, tt.want)
			}
		})
	}
}

// Embedded is a struct to embed.
type Embedded struct{ A int }

func try[In any](spec tools.Spec) error {
	_, err := tools.Func(spec, func(context.Context, In) (int, error) { return 0, nil })
	return err
}
