package approval

import (
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/tools"
)

// However long the answers are that a call brings to its server's questions, the wallet reads what the call itself does
// first, and that there are answers.
func TestLongAnswersPushNothingOutOfASummary(t *testing.T) {
	schema, err := tools.MarkElicited([]byte(`{"type":"object","additionalProperties":false,"required":["room"],` +
		`"properties":{"room":{"type":"string"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	def, err := tools.Compile(tools.Spec{Name: "desk.book", About: "Books.", Class: tools.Once, Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	describe := func(raw string) string {
		t.Helper()
		args, err := def.Read([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		return DescribeCall(def, args)
	}
	if got := describe(`{"room":"blue"}`); got != `desk.book {"room":"blue"}` {
		t.Errorf("without answers it is %s", got)
	}
	answer := func(last string) string {
		return `{"elicited":{"00":{"action":"accept","content":{"why":"` + strings.Repeat("x", 490) + last + `"}}},"room":"blue"}`
	}
	got := describe(answer("1"))
	if !strings.HasPrefix(got, `desk.book {"room":"blue"} elicited {"00":{"action":"accept"`) || len(got) > maxSummary {
		t.Errorf("got %s, %d bytes", got, len(got))
	}
	if got == describe(answer("2")) {
		t.Error("other answers are shown as the same")
	}
}

// What a wallet signs of a call that posts names method, address and body; a long body is told by its digest as well.
func TestAWalletReadsWhatIsPosted(t *testing.T) {
	book := &tools.Book{Chain: 1, Names: map[string]common.Address{}, Tokens: map[string]tools.Token{
		"USDC": {Address: common.Address{7}, Decimals: 6},
	}}
	text := `{"type":"string"}`
	def, err := tools.Compile(tools.Spec{
		Name: "shop.post", About: "Posts.", Class: tools.Keyed, Book: book,
		Spend: &tools.Spend{Amount: "amount", Asset: "token", To: "to"},
		Schema: []byte(`{"type":"object","additionalProperties":false,"required":["amount","to","token","url"],"properties":{
			"url":{"type":"string","format":"url"},"body":` + text + `,"type":` + text + `,
			"amount":{"type":"string","format":"amount","x-asset":"token"},"token":{"type":"string","format":"token"},
			"to":{"type":"string","format":"address"}},"x-payment":"x402"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	describe := func(more, last string) string {
		t.Helper()
		args, err := def.Read([]byte(`{` + more + `"amount":"5","to":"0x000000000000000000000000000000000000dEaD","token":"USDC",` +
			`"url":"https://shop.example/` + strings.Repeat("x", 300) + last + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		return DescribeCall(def, args)
	}
	body := func(last string) string {
		return `"body":"` + strings.Repeat("y", 4000) + last + `","type":"text/plain",`
	}
	got := describe(body("1"), "1")
	if !strings.HasPrefix(got, "shop.post: 5 USDC to 0x000000000000000000000000000000000000dEaD for POST https://shop.example/xxx") ||
		!strings.Contains(got, " with 4001 bytes of text/plain, SHA-256 "+
			"ca9e33bb219ed145af6631bc098b86083a6aaa5c5b51e53168a378373efa8d73: yyy") || len(got) > maxSummary {
		t.Errorf("got %s, %d bytes", got, len(got))
	}
	for what, other := range map[string]string{"body": describe(body("2"), "1"), "address": describe(body("1"), "2")} {
		if other == got {
			t.Errorf("another %s is shown as the same", what)
		}
	}
	if got := describe("", "1"); strings.Contains(got, "POST") || !strings.Contains(got, `"url":"https://shop.example/`) {
		t.Errorf("without a body it is %s", got)
	}
}
