package mandate_test

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/mandate"
)

var (
	usdc  = money.Asset{Symbol: "USDC", Decimals: 6}
	token = common.HexToAddress("0x5FbDB2315678afecb367f032d93F642f64180aa3")
	bob   = common.HexToAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
)

func wish(who ...common.Address) *mandate.Wish {
	return &mandate.Wish{
		Chain: 1337, Delegator: common.Address{1}, Delegate: common.Address{2}, Token: token,
		Total: money.Of(usdc, 25_000_000), Calls: 40, Until: time.Unix(1_800_000_000, 0), Recipients: who, Session: "s",
	}
}

func made(t testing.TB, w *mandate.Wish) *mandate.Mandate {
	t.Helper()
	m, err := w.Mandate(1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What is made of a wish is read as that wish, in JSON and as the framework encodes it.
func TestAMandateIsReadAsItWasMade(t *testing.T) {
	for _, who := range [][]common.Address{nil, {bob}, {{9}, bob}} {
		w := wish(who...)
		m := made(t, w)
		m.Signature = bytes.Repeat([]byte{7}, 65)
		l, err := m.Limits()
		if err != nil || !l.Allows(bob) || l.Allows(common.Address{8}) == (len(who) > 0) {
			t.Fatalf("%+v, %v", l, err)
		}
		slices.SortFunc(w.Recipients, common.Address.Cmp)
		if d := w.Compare(l); len(d) != 0 {
			t.Errorf("%v differs: %+v", who, d)
		}
		text, err := json.Marshal(m)
		var again mandate.Mandate
		if err == nil {
			err = json.Unmarshal(text, &again)
		}
		if err != nil || again.Digest() != m.Digest() {
			t.Errorf("%s: %v", text, err)
		}
		data, err := mandate.Pay(m, token, bob, uint256.NewInt(5))
		if err != nil {
			t.Fatal(err)
		}
		p, err := mandate.ReadPayment(1337, data)
		if err != nil || p.Mandate.Digest() != m.Digest() || p.To != bob || p.Token != token || !p.Units.Eq(uint256.NewInt(5)) {
			t.Errorf("%+v, %v", p, err)
		}
		if !m.IsOfSession("s") || m.IsOfSession("t") {
			t.Error("it is another session's")
		}
	}
}

// A mandate is of the grant's wallet only on the wallet's own chain: the same address may be somebody else's elsewhere.
func TestAMandateIsOfTheWalletOnItsChain(t *testing.T) {
	for _, x := range []struct {
		chain     uint64
		account   common.Address
		delegator common.Address
		is        bool
	}{
		{1337, common.Address{1}, common.Address{1}, true},
		{1, common.Address{1}, common.Address{1}, false},
		{1337, common.Address{3}, common.Address{1}, false},
		{1, common.Address{1}, common.Address{}, false},
	} {
		w := wish()
		w.Delegator = x.delegator
		g := &auth.Grant{Account: x.account, Chain: x.chain}
		if err := new(mandate.Seen).Add(made(t, w), g, "s", usdc); (err == nil) != x.is {
			t.Errorf("%+v: %v", x, err)
		}
	}
}

// A difference is wider if the chain would allow more, and narrower else.
func TestDifferencesAreTold(t *testing.T) {
	for _, x := range []struct {
		change func(*mandate.Wish)
		wider  bool
		text   string
	}{
		{func(w *mandate.Wish) { w.Total = money.Of(usdc, 50_000_000) }, true, "50 USDC in all, the grant 25 USDC"},
		{func(w *mandate.Wish) { w.Total = money.Of(usdc, 1) }, false, "0.000001 USDC in all"},
		{func(w *mandate.Wish) { w.Calls = 41 }, true, "41 payments, the grant 40"},
		{func(w *mandate.Wish) { w.Until = w.Until.Add(time.Second) }, true, "the grant until 2027-01-15T08:00:00Z"},
		{func(w *mandate.Wish) { w.Until = w.Until.Add(-time.Second) }, false, "until 2027-01-15T07:59:59Z"},
		{func(w *mandate.Wish) { w.Recipients = nil }, true, "anybody, the grant " + bob.Hex()},
		{func(w *mandate.Wish) { w.Recipients = []common.Address{{9}} }, true, "the grant " + bob.Hex()},
	} {
		w := wish(bob)
		x.change(w)
		l, err := made(t, w).Limits()
		if err != nil {
			t.Fatal(err)
		}
		d := wish(bob).Compare(l)
		if len(d) != 1 || d[0].Wider != x.wider || !strings.Contains(d[0].Text, x.text) {
			t.Errorf("got %+v, want %t %q", d, x.wider, x.text)
		}
	}
	l, err := made(t, wish(bob)).Limits()
	if d := wish().Compare(l); err != nil || len(d) != 1 || d[0].Wider {
		t.Errorf("%+v, %v; want one that is narrower", d, err)
	}
}

// What is made can be read again, with as many recipients as there may be; more are refused before anybody signs.
func TestManyRecipients(t *testing.T) {
	for _, n := range []int{2, 11, 12, 64} {
		var who []common.Address
		for i := range n {
			who = append(who, common.Address{byte(i + 1)})
		}
		m, err := wish(who...).Mandate(1)
		if n > 11 {
			if err == nil || !strings.Contains(err.Error(), "11 recipients at most") {
				t.Errorf("%d recipients: %v", n, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Signature = make([]byte, 65)
		context, err := m.Context()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := mandate.ReadContext(m.Chain, context); err != nil || again.Hash() != m.Hash() {
			t.Errorf("%d recipients: %v", n, err)
		}
	}
}

// Only what its enforcer counts is asked for.
func TestSpentIsAskedOfWhoCounts(t *testing.T) {
	m := made(t, wish())
	if _, ok := m.Spent(); !ok {
		t.Error("a total is counted")
	}
	m.Caveats = slices.Delete(m.Caveats, 1, 2)
	if _, ok := m.Spent(); ok {
		t.Error("nobody counts it")
	}
}

// What bounds nothing, or contradicts itself, is no mandate.
func TestWhatIsNoMandate(t *testing.T) {
	for name, change := range map[string]func(*mandate.Mandate){
		"no amount":                   func(m *mandate.Mandate) { m.Caveats = m.Caveats[2:] },
		"an amount of another length": func(m *mandate.Mandate) { m.Caveats[1].Terms = m.Caveats[1].Terms[1:] },
		"two tokens": func(m *mandate.Mandate) {
			c := m.Caveats[1]
			c.Terms = slices.Clone(c.Terms)
			c.Terms[0]++
			m.Caveats = append(m.Caveats, c)
		},
		"no payments": func(m *mandate.Mandate) { m.Caveats[2].Terms = make([]byte, 32) },
		"two recipients at once": func(m *mandate.Mandate) {
			c := m.Caveats[4]
			c.Terms = slices.Clone(c.Terms)
			c.Terms[63]++
			m.Caveats = append(m.Caveats, c)
		},
	} {
		m := made(t, wish(bob))
		change(m)
		if l, err := m.Limits(); err == nil {
			t.Errorf("%s: got %+v", name, l)
		}
	}
}

// A permission as MetaMask's own packages make it for erc20-token-allowance, with the rules expiry and redeemer, is read:
// its hash is theirs, and its limits are what it says.
func TestAPermissionOfTheKitIsRead(t *testing.T) {
	raw, err := os.ReadFile("testdata/kit.json")
	if err != nil {
		t.Fatal(err)
	}
	var kit struct {
		Hash    common.Hash
		Context hexutil.Bytes
	}
	if err := json.Unmarshal(raw, &kit); err != nil {
		t.Fatal(err)
	}
	m, err := mandate.ReadContext(1337, kit.Context)
	if err != nil || m.Hash() != kit.Hash {
		t.Fatalf("%+v, %v; want the hash %s", m, err, kit.Hash)
	}
	l, err := m.Limits()
	if err != nil || l.Token != token || l.Total.Uint64() != 25_000_000 || l.Before != 1_800_000_000 ||
		l.After != 1_700_000_000-1 || l.Calls != 0 || l.Others != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	told := mandate.Tell(wish().Compare(l))
	if !strings.Contains(told, "any number of payments, the grant 40 calls") {
		t.Error(told)
	}
	if _, err := mandate.ReadContext(1337, kit.Context[:len(kit.Context)-32]); err == nil {
		t.Error("a part of it was read")
	}
}

// A call has one spelling: what is read is what would be written.
func FuzzReadPayment(f *testing.F) {
	for _, who := range [][]common.Address{nil, {bob}, {{9}, bob}} {
		m := made(f, wish(who...))
		m.Signature = bytes.Repeat([]byte{7}, 65)
		data, err := mandate.Pay(m, token, bob, uint256.NewInt(5))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := mandate.ReadPayment(1337, data)
		if err != nil {
			return
		}
		again, err := mandate.Pay(p.Mandate, p.Token, p.To, p.Units)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("two spellings of one payment: %x and %x, %v", data, again, err)
		}
	})
}
