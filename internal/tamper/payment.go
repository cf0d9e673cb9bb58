package tamper

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/internal/tamper/toolbox"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/x402"
)

// paidWorld is the small run with a call that pays by x402. acts is what it is recorded to have returned.
func paidWorld(acts func(*game, tools.Args) string) func() *world {
	return func() *world {
		w := smallWorld()
		w.input = "get the report for 1 USDC"
		w.replies[0] = replyCall("market.get",
			`{"amount":"1","to":"bob","token":"USDC","url":"https://api.example.com/report"}`)
		s := toolbox.Send()
		s.Name, s.About, s.Class = "market.get", "Buys a page.", tools.Keyed
		s.Schema = []byte(strings.NewReplacer(
			`"properties":{`, `"x-payment":"x402","properties":{"url":{"type":"string","format":"url"},`,
			`"amount","to","token"`, `"amount","to","token","url"`).Replace(string(s.Schema)))
		w.tools, w.acts = []tools.Spec{s}, acts
		w.offer.Caveats.MaxTotal = []money.Amount{money.Of(usdc, 20_000_000)}
		w.offer.Caveats.MaxPerCall, w.offer.Caveats.ApproveAbove = w.offer.Caveats.MaxTotal, w.offer.Caveats.MaxTotal
		w.offer.Caveats.Hosts = []string{"api.example.com"}
		return w
	}
}

// payAgain returns the payment of another call, which the account had signed before: all of it is right but its nonce.
func payAgain(g *game, args tools.Args) string {
	b := toolbox.Book(1337)
	in := x402.Intent{Args: args, Key: [32]byte{1}, At: start.UnixMilli(), Book: b}
	raw := fmt.Sprintf(`{"x402Version":1,"accepts":[{"scheme":"exact","network":"eip155:1337",`+
		`"maxAmountRequired":"1000000","asset":%q,"payTo":%q,"maxTimeoutSeconds":60,`+
		`"extra":{"name":"USD Coin","version":"2"}}]}`,
		b.Tokens["USDC"].Address.Hex(), b.Names["bob"].Hex())
	o := must(x402.ReadOffer(noHeader{}, []byte(raw)))
	a := must(in.Authorize(&o.Terms[0], crypto.PubkeyToAddress(g.account.PublicKey), 60))
	p, _, err := x402.NewPayment(&o.Terms[0], a, g.account)
	p = must(p, err)
	p.Settled = x402.Settled{Chain: 1337, Block: "1", BlockHash: common.Hash{1}.Hex(), Tx: common.Hash{2}.Hex(),
		Left: tools.SumOf(args.Amount)}
	return string(must(tools.CanonicalJSON(must(json.Marshal(map[string]any{"status": 200, "payment": p})))))
}

// noHeader is a header in which nothing stands.
type noHeader struct{}

func (noHeader) Get(string) string { return "" }
