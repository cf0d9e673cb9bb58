package contract

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
)

// A smart account lets a contract take an amount and calls it by one transaction: whatever the contract is, it gets no
// more than was asked for, then or later, and of a transaction that is not just this nothing is believed.
func TestAnAccountLetsAContractTakeInOne(t *testing.T) {
	b := openBank(t)
	alice := devchain.Accounts()["alice"]
	tool := func(vault common.Address) (tools.Payer, *tools.Def) {
		f, err := Read(Config{Address: vault, ABI: b.abi, Function: "deposit", Wallet: true, Lets: true,
			Spend: Move{Amount: "assets", Asset: "USDC"}, Spec: tools.Spec{Name: "wallet.deposit", Book: devchain.Book()}})
		if err != nil {
			t.Fatal(err)
		}
		sender, err := f.Sender(b.config())
		if err != nil {
			t.Fatal(err)
		}
		def, err := tools.Compile(sender.Spec())
		if err != nil {
			t.Fatal(err)
		}
		return sender.(tools.Payer), def
	}
	input := func(p tools.Payer) tools.Input {
		in := b.input(p, `{"assets":"5","receiver":"`+alice.Address.Hex()+`"}`)
		in.Wallet = alice.Address
		return in
	}
	plain, _ := tool(b.vault(0))
	if _, err := plain.Simulate(t.Context(), input(plain)); codeOf(err) != "no_smart_account" {
		t.Errorf("an account without code: %v", err)
	}
	if err := devchain.BecomeSmart(t.Context(), b.client, alice); err != nil {
		t.Fatal(err)
	}
	const one = "5 USDC leave, 5 USDC arrive, 0 others, 0 foreign"
	for _, tt := range []struct {
		rule             string
		kind             int64
		foreseen, landed string
	}{
		{"an honest vault", 0, one, one},
		{"twice the amount", 1, "refused: The call would fail", ""},
		{"pays somebody else", 3, "5 USDC leave, 0 USDC arrive, 1 others, 0 foreign", "5 USDC leave, 0 USDC arrive, 1 others, 0 foreign"},
		{"another thing than simulated", 5, one, "reverted"},
		{"takes less, and may take the rest later", 8, one, one},
		{"an approval that was never given", 11, "5 USDC leave, 5 USDC arrive, 1 others, 1 foreign", "5 USDC leave, 5 USDC arrive, 1 others, 1 foreign"},
	} {
		vault := b.vault(tt.kind)
		payer, def := tool(vault)
		in := input(payer)
		out, said := b.foresee(payer, in)
		if !strings.HasPrefix(said, tt.foreseen) {
			t.Errorf("%s: foreseen %s, want %s", tt.rule, said, tt.foreseen)
		}
		if tt.landed == "" {
			continue
		}
		in.Foreseen = out
		want, err := payer.Ask(t.Context(), in)
		if err != nil || len(want.Parts) != 2 || want.To != alice.Address.Hex() || want.Parts[1].To != vault.Hex() ||
			want.Parts[0].To != b.token.Hex() {
			t.Fatalf("%s: asks for %+v, %v", tt.rule, want, err)
		}
		less := common.FromHex(want.Data)
		less[4+11*32+4+63]-- // the last byte of the amount that it may take
		other := b.sendOwn(alice, want.To, less)
		code := "another_transaction"
		if tt.kind == 8 { // which gets what it takes all the same
			code = tools.PaidOtherwise
		}
		if err := payer.CheckSent(t.Context(), in, other.Hex()); codeOf(err) != code {
			t.Errorf("%s: of another batch: %v, want %s", tt.rule, err, code)
		}
		hash := b.sendOwn(alice, want.To, common.FromHex(want.Data))
		if err := payer.CheckSent(t.Context(), in, hash.Hex()); err != nil {
			t.Errorf("%s: it is refused: %v", tt.rule, err)
		}
		s, err := payer.Find(t.Context(), in, tools.Search{})
		if err != nil || s.Hash != hash.Hex() {
			t.Fatalf("%s: found %+v, %v", tt.rule, s, err)
		}
		if out, err = payer.Send(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		r, moved, err := tools.ReadMined(out, in.Args)
		if landed := line(moved); err != nil || r.Status == "ok" && landed != tt.landed || r.Status != "ok" && r.Status != tt.landed {
			t.Errorf("%s: %s, %s, %v, want %s", tt.rule, r.Status, landed, err, tt.landed)
		}
		tx, err := calldata.ReadTransaction(common.FromHex(s.Raw)) // as an auditor does
		if err != nil {
			t.Fatal(err)
		}
		args, err := calldata.Read(def, calldata.Call{From: tx.From, To: *tx.To, Value: tx.Value, Data: tx.Data})
		if err != nil || string(args.JSON) != string(in.Args.JSON) {
			t.Errorf("%s: read back as %s, %v", tt.rule, args.JSON, err)
		}
	}
}

// A wallet may send a contract's call in another form. Events do not show the native coin, nor a call that moves nothing,
// and a contract may have what it is called for sent elsewhere: whatever may have been the call is not told to be sent
// again.
func TestWhatAContractGotInAnotherFormIsNotPaidAgain(t *testing.T) {
	b := openBank(t)
	alice := devchain.Accounts()["alice"]
	honest, elsewhere := b.vault(0), b.vault(3)
	for _, vault := range []common.Address{honest, elsewhere} {
		b.sendOwn(alice, b.token.Hex(), common.FromHex("0x095ea7b3"+common.Bytes2Hex(common.LeftPadBytes(vault[:], 32))+strings.Repeat("f", 64)))
	}
	const sent = tools.PaidOtherwise
	for _, tt := range []struct {
		rule, function string
		vault          common.Address
		move           Move
		args           string
		to             common.Address
		value          int64
		change         func(data []byte) []byte
		code           string
	}{
		{"coin with words behind the call", "buy", honest, Move{Amount: "value", Asset: "ETH"}, `{"receiver":"agent","value":"0.5"}`,
			honest, 5e17, func(d []byte) []byte { return append(d, 1) }, sent},
		{"less coin", "buy", honest, Move{Amount: "value", Asset: "ETH"}, `{"receiver":"agent","value":"0.5"}`,
			honest, 1, func(d []byte) []byte { return d }, sent},
		{"no coin to the contract", "buy", honest, Move{Amount: "value", Asset: "ETH"}, `{"receiver":"agent","value":"0.5"}`,
			honest, 0, func(d []byte) []byte { d[35]++; return d }, "another_transaction"},
		{"coin to somebody else", "buy", honest, Move{Amount: "value", Asset: "ETH"}, `{"receiver":"agent","value":"0.5"}`,
			devchain.Accounts()["mallory"].Address, 1, func([]byte) []byte { return nil }, "another_transaction"},
		{"what moves nothing, with words behind it", "write", honest, Move{}, `{"text":"hello"}`,
			honest, 0, func(d []byte) []byte { return append(d, 1) }, sent},
		{"another call that moves nothing", "write", honest, Move{}, `{"text":"hello"}`,
			honest, 0, func(d []byte) []byte { d[4+64]++; return d }, "another_transaction"},
		{"a token that goes elsewhere", "deposit", elsewhere, Move{Amount: "assets", Asset: "USDC"}, `{"assets":"5","receiver":"agent"}`,
			elsewhere, 0, func(d []byte) []byte { d[35]--; return d }, sent},
	} {
		f, err := Read(Config{Address: tt.vault, ABI: b.abi, Function: tt.function, Wallet: true, Spend: tt.move,
			Spec: tools.Spec{Name: "wallet." + tt.function, Book: devchain.Book()}})
		if err != nil {
			t.Fatal(err)
		}
		sender, err := f.Sender(b.config())
		if err != nil {
			t.Fatal(err)
		}
		payer := sender.(tools.Payer)
		in := b.input(payer, tt.args)
		in.Wallet = alice.Address
		want, err := payer.Ask(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		hash := b.sendWith(alice, tt.to.Hex(), tt.value, tt.change(common.FromHex(want.Data)))
		if err := payer.CheckSent(t.Context(), in, hash.Hex()); codeOf(err) != tt.code {
			t.Errorf("%s: %v, want %s", tt.rule, err, tt.code)
		}
	}
}

// sendOwn sends a transaction of an account and waits until a block has it.
func (b *bank) sendOwn(from devchain.Account, to string, data []byte) common.Hash {
	b.Helper()
	return b.sendWith(from, to, 0, data)
}

// sendWith sends coin along, in wei.
func (b *bank) sendWith(from devchain.Account, to string, value int64, data []byte) common.Hash {
	b.Helper()
	nonce, err := b.client.PendingNonceAt(b.Context(), from.Address)
	if err != nil {
		b.Fatal(err)
	}
	target := common.HexToAddress(to)
	tx, err := types.SignNewTx(from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: nonce, To: &target, Gas: 1_000_000, Data: data, Value: big.NewInt(value),
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	if err == nil {
		err = devchain.SendOwn(b.Context(), b.client, tx)
	}
	if err != nil {
		b.Fatal(err)
	}
	for {
		if _, err := b.client.TransactionReceipt(b.Context(), tx.Hash()); err == nil {
			return tx.Hash()
		}
		if b.Context().Err() != nil {
			b.Fatal("it is in no block")
		}
		time.Sleep(time.Millisecond) // the node is asked over HTTP
	}
}

// What lets a contract take something says what, and that nobody else gets it.
func TestWhatLetsAContractTake(t *testing.T) {
	abi := []byte(`[{"type":"function","name":"put","stateMutability":"payable","inputs":[{"name":"n","type":"uint256"},{"name":"who","type":"address"}]},
		{"type":"function","name":"look","stateMutability":"view","inputs":[],"outputs":[]}]`)
	usdc := Move{Amount: "n", Asset: "USDC"}
	for _, tt := range []struct {
		rule     string
		function string
		wallet   bool
		move     Move
		want     string
	}{
		{"its own amount", "put", true, usdc, ""},
		{"of the agent's account", "put", false, usdc, "class wallet"},
		{"for somebody else", "put", true, Move{Amount: "n", Asset: "USDC", To: "who"}, "nobody else gets it"},
		{"of the native coin", "put", true, Move{Amount: "value", Asset: "ETH"}, "of one token"},
		{"of nothing", "put", true, Move{}, "of one token"},
		{"a function that reads", "look", true, Move{}, "only reads"},
	} {
		name := "vault.put"
		if tt.wallet && tt.function == "put" {
			name = "wallet.put"
		}
		_, err := Read(Config{Address: common.HexToAddress("0x1"), ABI: abi, Function: tt.function, Wallet: tt.wallet, Lets: true,
			Spend: tt.move, Spec: tools.Spec{Name: name, Book: devchain.Book()}})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.rule, err)
		}
	}
}
