package mandating

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/mandate"
)

var (
	usdc  = money.Asset{Symbol: "USDC", Decimals: 6}
	agent = common.HexToAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
	token = common.HexToAddress("0x5FbDB2315678afecb367f032d93F642f64180aa3")
	bob   = common.HexToAddress("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
)

type (
	wish  = mandate.Wish
	saved = cli.SavedSession
)

// granted returns the session of alice, whose grant is saved, and what it allows of a token.
func granted(t *testing.T) (cli.SavedSession, mandate.Wish) {
	t.Helper()
	own, err := auth.Generate(auth.Ed25519, strings.NewReader(strings.Repeat("seed", 32)))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := multihash.Sum([]byte("x"), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	alice, at := devchain.Accounts()["alice"], time.Now().UTC().Truncate(time.Second)
	amount := []money.Amount{money.Of(usdc, 25_000_000)}
	text, err := auth.Build(auth.Offer{
		Scheme: "http", Domain: "127.0.0.1", Account: alice.Address, Chain: devchain.ID, Key: own.Public(),
		Nonce: "abcdefgh12345678", RequestID: "r1", Agent: "clerk", AgentCID: cid.NewCidV1(cid.Raw, sum),
		RulesCID: cid.NewCidV1(cid.Raw, sum), Tools: []string{"mandate.transfer"}, Issued: at, Expires: at.Add(time.Hour),
		Caveats: auth.Caveats{
			MaxTotal: amount, MaxPerCall: amount, ApproveAbove: amount, MaxCalls: 40, MaxTokens: 1000,
			MaxCostNanoUSD: 1_000_000_000, Chains: []uint64{devchain.ID}, Recipients: []common.Address{bob},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := cli.SavedSession{Session: "s", Account: alice.Address.Hex(), Message: string(text)}
	return s, mandate.Wish{
		Chain: devchain.ID, Delegator: alice.Address, Delegate: agent, Token: token, Total: amount[0], Calls: 40,
		Until: at.Add(time.Hour), Recipients: []common.Address{bob}, Session: s.Session,
	}
}

func asked(t *testing.T, w mandate.Wish) (out wire.MandateAsk) {
	t.Helper()
	m, err := w.Mandate(1)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(m)
	if err == nil {
		err = json.Unmarshal(raw, &out.Mandate)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func newGiver(out *bytes.Buffer) *giver {
	key := hex.EncodeToString(crypto.FromECDSA(devchain.Accounts()["alice"].Key))
	return &giver{
		Shell: &cli.Shell{In: new(bytes.Buffer), Out: out, Err: out, Env: func(string) string { return key }},
		with:  "env:KEY", yes: true, delegate: agent.Hex(), contract: token.Hex(),
	}
}

// With --yes only what is no wider than the saved grant and the flags is signed, whatever the server asks for.
func TestYesSignsNothingWider(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*giver, *wish, *saved)
		want   string // of the refusal; it is signed if empty
	}{
		"what was granted": {func(*giver, *wish, *saved) {}, ""},
		"less": {func(_ *giver, w *wish, _ *saved) {
			w.Total, w.Calls, w.Until = money.Of(usdc, 1), 1, w.Until.Add(-time.Minute)
		}, ""},
		"own smart account": {func(g *giver, w *wish, _ *saved) {
			w.Delegator, g.account = common.Address{7}, common.Address{7}.Hex()
		}, ""},
		"of another account": {func(_ *giver, w *wish, _ *saved) { w.Delegator = bob }, "it lets pay from"},
		"to another":         {func(_ *giver, w *wish, _ *saved) { w.Delegate = bob }, "it is to"},
		"to somebody":        {func(g *giver, _ *wish, _ *saved) { g.delegate = "" }, "no --delegate"},
		"of another token":   {func(_ *giver, w *wish, _ *saved) { w.Token = bob }, "of the token"},
		"of some token":      {func(g *giver, _ *wish, _ *saved) { g.contract = "" }, "no --contract"},
		"of another chain":   {func(_ *giver, w *wish, _ *saved) { w.Chain = 1 }, "not for chain 1"},
		"more": {func(_ *giver, w *wish, _ *saved) { w.Total = money.Of(usdc, 25_000_001) },
			"25.000001 USDC in all"},
		"longer":         {func(_ *giver, w *wish, _ *saved) { w.Until = w.Until.Add(time.Second) }, "until"},
		"more often":     {func(_ *giver, w *wish, _ *saved) { w.Calls = 41 }, "41 payments"},
		"to anybody":     {func(_ *giver, w *wish, _ *saved) { w.Recipients = nil }, "anybody"},
		"an older login": {func(_ *giver, _ *wish, s *saved) { s.Message = "" }, "writ login"},
	} {
		g := newGiver(new(bytes.Buffer))
		s, w := granted(t)
		x.change(g, &w, &s)
		a := asked(t, w)
		wallet, err := g.OpenWallet(t.Context(), g.with)
		if err != nil {
			t.Fatal(err)
		}
		err = g.sign(t.Context(), wallet, &a, s)
		switch {
		case x.want == "" && (err != nil || len(a.Mandate.Signature) != 2+2*65):
			t.Errorf("%s: %v, signature %q", name, err, a.Mandate.Signature)
		case x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want) || len(a.Mandate.Signature) > 2):
			t.Errorf("%s: got %v, signature %q, want %q", name, err, a.Mandate.Signature, x.want)
		}
	}
}

// What is shown to be signed elsewhere is made here of the bytes that are told: the server's own is not passed on.
func TestWhatIsSignedElsewhereIsMadeHere(t *testing.T) {
	out := new(bytes.Buffer)
	g := newGiver(out)
	s, w := granted(t)
	a := asked(t, w)
	a.TypedData, a.Permission = json.RawMessage(`{"evil":1}`), json.RawMessage(`{"evil":2}`)
	if err := g.showAsked(a, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"primaryType":"Delegation"`, `"type":"erc20-token-allowance"`, `"allowanceAmount":"0x17d7840"`,
		`"delegate":"` + agent.Hex() + `"`, `"from":"` + w.Delegator.Hex() + `"`, `"type":"payee"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is missing in %s", want, out)
		}
	}
	if strings.Contains(out.String(), "evil") {
		t.Errorf("the server's own is passed on: %s", out)
	}
}

// A command that sends is printed for the account that can run it, and for another one what it has to send.
func TestARevocationIsForWhoCanSendIt(t *testing.T) {
	x := wire.GivenMandate{Delegator: "0xAb", Manager: "0xcd", Revoke: "0x01", Chain: 7}
	for wallet, want := range map[string][]string{
		"0xaB": {"cast send --from 0xAb 0xcd 0x01", "chain 7"},
		"0xee": {"Only the account that pays, 0xAb,", "chain 7", "0xcd", "0x01"},
	} {
		var b strings.Builder
		printRevocation(&b, x, wallet)
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("for %s: got %q, which lacks %q", wallet, b.String(), w)
			}
		}
		if strings.Contains(b.String(), "cast") != (wallet == "0xaB") {
			t.Errorf("for %s: got %q", wallet, b.String())
		}
	}
}
