package chain_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/chain"
	"github.com/writ-run/writ/tools/mandate"
	"github.com/writ-run/writ/tools/mined"
)

// given are the mandates of sessions.
type given map[string]*mandate.Mandate

func (g given) Find(_ context.Context, session string, _ common.Address) (*mandate.Mandate, error) {
	return g[session], nil
}

var usdc = money.Asset{Symbol: "USDC", Decimals: 6}

// wish is what alice's grant allows: 25 USDC to anybody in 40 calls.
func wish(session string) mandate.Wish {
	all := devchain.Accounts()
	return mandate.Wish{
		Chain: devchain.ID, Delegator: all["alice"].Address, Delegate: all["agent"].Address,
		Token: devchain.Book().Tokens["USDC"].Address, Total: money.Of(usdc, 25_000_000), Calls: 3,
		Until: time.Now().Add(time.Hour), Session: session,
	}
}

func give(t *testing.T, w mandate.Wish, key *ecdsa.PrivateKey) *mandate.Mandate {
	t.Helper()
	m, err := w.Mandate(1)
	if err != nil {
		t.Fatal(err)
	}
	hash := m.Digest()
	if m.Signature, err = crypto.Sign(hash[:], key); err != nil {
		t.Fatal(err)
	}
	m.Signature[64] += 27
	return m
}

// An account pays by its delegation what the chain lets it, once; whatever it does not is one clear sentence.
func TestAMandatePays(t *testing.T) {
	client, all := dial(t), devchain.Accounts()
	alice, agent, bob := all["alice"], all["agent"], all["bob"]
	mandates := given{"s": give(t, wish("s"), alice.Key)}
	k := start(t, client, func(c *chain.Config) { c.Mandates = mandates })
	tool := k.tools["mandate.transfer"].(tools.Chain)
	input := func(args, session string) tools.Input {
		in := k.read("mandate.transfer", args)
		in.Wallet, in.Asker.Session = alice.Address, session
		return in
	}
	simulate := func(args, session string) (tools.Input, tools.Foreseen, tools.Moved) {
		t.Helper()
		in := input(args, session)
		out, err := tool.Simulate(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		in.Foreseen = out
		f, moved, err := tools.ReadForeseen(out, in.Args)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		return in, f, moved
	}
	refused := func(args, session, code, says string) {
		t.Helper()
		in, f, _ := simulate(args, session)
		if f.OK || f.Code != code || !strings.Contains(f.Reason, says) {
			t.Errorf("%s: got %v %q %q, want %q %q", args, f.OK, f.Code, f.Reason, code, says)
		}
		in.Foreseen = nil
		_, err := tool.Sign(t.Context(), in, 0)
		if e, ok := errors.AsType[*tools.Error](err); !ok || e.Code != code {
			t.Errorf("%s: signed with %v, want %s", args, err, code)
		}
	}
	pay := func(args string) tools.Mined {
		t.Helper()
		in, f, moved := simulate(args, "s")
		if !f.OK || moved.Debit != in.Args.Amount || moved.Credit != in.Args.Amount || f.Account != alice.Address.Hex() ||
			f.Simulated != tools.SimulatedRead || moved.Others != 0 {
			t.Fatalf("%+v, %+v", f, moved)
		}
		signed, err := tool.Sign(t.Context(), in, 0)
		if err != nil {
			t.Fatal(err)
		}
		var out []byte
		for range 2 { // it may be sent any number of times
			if out, err = tool.Send(t.Context(), signed); err != nil {
				t.Fatal(err)
			}
		}
		got, moved, err := tools.ReadMined(out, in.Args)
		if err != nil || got.Status != "ok" || moved.Debit != in.Args.Amount || got.Account != alice.Address.Hex() {
			t.Fatalf("%s: %+v, %v", out, moved, err)
		}
		if !strings.Contains(string(out), `"from":"`+agent.Address.Hex()) || signed.Account != tool.Account() {
			t.Errorf("%s: it is not the agent's account that sent it", out)
		}
		checkMined(t, client, got, in.Args)
		return got
	}

	// An account without code cannot let anybody pay.
	refused(`{"token":"USDC","to":"bob","amount":"5"}`, "s", "reverted", "EIP-7702")
	if err := devchain.BecomeSmart(t.Context(), client, alice); err != nil {
		t.Fatal(err)
	}
	pay(`{"token":"USDC","to":"bob","amount":"5"}`)
	if got := balance(t, client, alice.Address); got != "995000000" {
		t.Errorf("alice has %s", got)
	}
	refused(`{"token":"USDC","to":"bob","amount":"20.000001"}`, "s", "mandate_exhausted", "25 USDC in all and 5 USDC of it")
	pay(`{"token":"USDC","to":"bob","amount":"20"}`)
	refused(`{"token":"USDC","to":"bob","amount":"0.000001"}`, "s", "mandate_exhausted", "25 USDC")
	refused(`{"token":"USDC","to":"bob","amount":"1"}`, "other", "mandate_missing", "writ mandate")

	// Of another account, of another chain, over, for others: each has its sentence.
	for _, x := range []struct {
		change     func(*mandate.Wish)
		key        *ecdsa.PrivateKey
		code, says string
	}{
		{func(w *mandate.Wish) { w.Delegate = bob.Address }, alice.Key, "mandate_account", "the agent's account is"},
		{func(w *mandate.Wish) { w.Delegator = bob.Address }, bob.Key, "mandate_account", "not signed by this session's wallet"},
		{func(w *mandate.Wish) { w.Chain = 1 }, alice.Key, "mandate_chain", "of chain 1, and this payment is on chain 1337"},
		{func(w *mandate.Wish) { w.Until = time.Now().Add(-time.Hour) }, alice.Key, "mandate_over", "ended at"},
		{func(w *mandate.Wish) { w.Recipients = []common.Address{agent.Address} }, alice.Key, "mandate_recipient", bob.Address.Hex()},
		{func(w *mandate.Wish) {
			w.Recipients = []common.Address{agent.Address, alice.Address}
		}, alice.Key, "mandate_recipient", bob.Address.Hex()},
		{func(w *mandate.Wish) { w.Calls = 7 }, bob.Key, "reverted", "not signed as its account demands"},
	} {
		w := wish("s")
		x.change(&w)
		mandates["s"] = give(t, w, x.key)
		refused(`{"token":"USDC","to":"bob","amount":"1"}`, "s", x.code, x.says)
	}

	// One of several recipients, of a chain that knows which.
	w := wish("s")
	w.Recipients, w.Calls = []common.Address{agent.Address, bob.Address}, 2
	mandates["s"] = give(t, w, alice.Key)
	in, _, _ := simulate(`{"token":"USDC","to":"bob","amount":"1"}`, "s")
	pay(`{"token":"USDC","to":"bob","amount":"1"}`)
	pay(`{"token":"USDC","to":"agent","amount":"1"}`)
	refused(`{"token":"USDC","to":"bob","amount":"1"}`, "s", "mandate_exhausted", "allows 2 payments")

	// What was decided with one delegation is not signed with another.
	w.Calls = 3
	mandates["s"] = give(t, w, alice.Key)
	if _, err := tool.Sign(t.Context(), in, 0); !isCode(err, "changed") {
		t.Errorf("another delegation: %v", err)
	}

	// Of an amount per time nobody is asked what was paid by it.
	period := *mandates["s"]
	period.Caveats = slices.Clone(period.Caveats)
	period.Caveats[1] = mandate.Caveat{
		Enforcer: common.HexToAddress("0x474e3Ae7E169e940607cC624Da8A15Eb120139aB"), Args: []byte{},
		Terms: slices.Concat(period.Caveats[1].Terms, common.MaxHash[:], common.BigToHash(big.NewInt(1)).Bytes()),
	}
	mandates["period"] = &period
	refused(`{"token":"USDC","to":"bob","amount":"26"}`, "period", "mandate_exhausted", "allows 25 USDC in all, so 26 USDC")

	// What its owner revokes on the chain is over.
	revoke(t, client, alice, mandates["s"])
	refused(`{"token":"USDC","to":"bob","amount":"1"}`, "s", "mandate_revoked", "revoked on the chain")
}

// checkMined makes sure that a chain which is asked tells an agent's payment from the user's account from what else could
// be said of it.
func checkMined(t *testing.T, client *ethclient.Client, honest tools.Mined, args tools.Args) {
	t.Helper()
	agent, token := devchain.Accounts()["agent"].Address.Hex(), devchain.Book().Tokens["USDC"].Address
	for name, tt := range map[string]struct {
		change func(*tools.Mined)
		says   string // why it is not so; "" if it is
	}{
		"as it was": {func(*tools.Mined) {}, ""},
		"the agent's own money": {func(r *tools.Mined) {
			r.Account, r.Transfers = agent, slices.Clone(r.Transfers)
			r.Transfers[0].From = agent
		}, "has moved something else of " + agent},
		"the money of nobody": {func(r *tools.Mined) { r.Transfers = nil }, "has moved something else"},
		"less": {func(r *tools.Mined) {
			r.Transfers = slices.Clone(r.Transfers)
			r.Transfers[0].Units = "1"
		}, "has moved something else"},
		"another token": {func(r *tools.Mined) {
			r.Transfers = slices.Clone(r.Transfers)
			r.Transfers[0].Token = ""
		}, "has no USDC at"},
		"an allowance": {func(r *tools.Mined) {
			r.Allowances = []tools.Allowance{{Contract: token.Hex(), Token: "USDC", Owner: r.Account, Spender: agent, Units: "1"}}
		}, "has moved something else"},
		"nothing, since it was reverted": {func(r *tools.Mined) { r.Status = "reverted" }, "another outcome than reverted"},
		"it in another block":            {func(r *tools.Mined) { r.BlockHash = r.Hash }, "and the record in block"},
		"it by another transaction":      {func(r *tools.Mined) { r.Hash = r.BlockHash }, "has no such transaction"},
		"it in no block":                 {func(r *tools.Mined) { r.BlockHash = "" }, "does not name in full"},
	} {
		lie := honest
		tt.change(&lie)
		claim, whole := mined.OfMined(devchain.ID, &lie, args, token)
		claims := mined.Claims{Ask: func(at mined.Place) (*mined.Receipt, error) {
			return askedOf(t, client, at), nil
		}}
		claims.Note(mined.At{}, provenance.Ref{}, claim, whole)
		if _, err := claims.Check(); (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("it moved %s: %v, want %q", name, err, tt.says)
		}
	}
}

// askedOf asks the dev chain for a transaction.
func askedOf(t *testing.T, client *ethclient.Client, at mined.Place) *mined.Receipt {
	t.Helper()
	r, err := client.TransactionReceipt(t.Context(), at.Tx)
	if errors.Is(err, ethereum.NotFound) {
		return &mined.Receipt{}
	}
	if err != nil {
		t.Fatal(err)
	}
	out := &mined.Receipt{Stands: r.BlockHash == at.Block, Block: r.BlockHash, OK: r.Status == types.ReceiptStatusSuccessful}
	for _, l := range r.Logs {
		out.Logs = append(out.Logs, mined.Log{Contract: l.Address, Topics: l.Topics, Data: l.Data})
	}
	return out
}

func isCode(err error, code string) bool {
	e, ok := errors.AsType[*tools.Error](err)
	return ok && e.Code == code
}

func balance(t *testing.T, client *ethclient.Client, of common.Address) string {
	t.Helper()
	token := devchain.Book().Tokens["USDC"].Address
	data := append(common.FromHex("70a08231"), common.LeftPadBytes(of[:], 32)...)
	out, err := client.CallContract(t.Context(), ethereum.CallMsg{To: &token, Data: data}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(out).String()
}

// send signs a transaction and waits until a block has it; its status comes back.
func send(t *testing.T, client *ethclient.Client, from devchain.Account, to common.Address, data []byte) uint64 {
	t.Helper()
	nonce, err := client.PendingNonceAt(t.Context(), from.Address)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := types.SignNewTx(from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: nonce, To: &to, Data: data, Gas: 900_000, GasTipCap: big.NewInt(1e9),
		GasFeeCap: big.NewInt(1e10),
	})
	if err == nil {
		err = client.SendTransaction(t.Context(), tx)
	}
	if err != nil {
		t.Fatal(err)
	}
	for {
		if r, err := client.TransactionReceipt(t.Context(), tx.Hash()); err == nil {
			return r.Status
		}
		time.Sleep(time.Millisecond) // the node mines by itself and is asked over HTTP
	}
}

func revoke(t *testing.T, client *ethclient.Client, owner devchain.Account, m *mandate.Mandate) {
	t.Helper()
	data, err := m.PackDisable()
	if err != nil {
		t.Fatal(err)
	}
	if send(t, client, owner, mandate.Manager, data) != types.ReceiptStatusSuccessful {
		t.Fatal("the delegation was not revoked")
	}
}

// Whoever has the agent's key and all that the server knows, moves at most what the delegation allows: the chain
// refuses all else that can be made of it.
func TestAThiefOfTheServerMovesWhatTheMandateAllows(t *testing.T) {
	client, all := dial(t), devchain.Accounts()
	alice, agent, mallory := all["alice"], all["agent"], all["mallory"]
	if err := devchain.BecomeSmart(t.Context(), client, alice); err != nil {
		t.Fatal(err)
	}
	w := wish("s")
	m := give(t, w, alice.Key)
	steal := func(m *mandate.Mandate, units uint64) bool {
		t.Helper()
		data, err := mandate.Pay(m, w.Token, mallory.Address, uint256.NewInt(units))
		if err != nil {
			t.Fatal(err)
		}
		return send(t, client, agent, mandate.Manager, data) == types.ReceiptStatusSuccessful
	}
	raised := *m // what it allows is raised, and the signature kept
	higher := w
	higher.Total = money.Of(usdc, 1_000_000_000)
	other, err := higher.Mandate(1)
	if err != nil {
		t.Fatal(err)
	}
	raised.Caveats = other.Caveats
	again := *m
	again.Salt[31]++ // another one, which was never signed
	bare := *m
	bare.Caveats = bare.Caveats[1:] // one caveat less
	chosen := give(t, w, agent.Key) // signed by the thief
	for name, x := range map[string]*mandate.Mandate{"raised": &raised, "again": &again, "bare": &bare, "chosen": chosen} {
		if steal(x, 1_000_000) {
			t.Errorf("%s: the thief has moved what nobody allowed", name)
		}
	}
	if steal(m, 25_000_001) {
		t.Error("more than is allowed was moved at once")
	}
	if !steal(m, 20_000_000) || steal(m, 5_000_001) || !steal(m, 5_000_000) || steal(m, 1) {
		t.Error("not just what is allowed was moved")
	}
	// The token itself, and the account, listen to nobody but alice.
	n := uint256.NewInt(1).Bytes32()
	take := append(common.FromHex("23b872dd"), common.LeftPadBytes(alice.Address[:], 32)...)
	take = append(append(take, common.LeftPadBytes(mallory.Address[:], 32)...), n[:]...)
	if send(t, client, agent, w.Token, take) == types.ReceiptStatusSuccessful {
		t.Error("the token was taken without an allowance")
	}
	if got := balance(t, client, mallory.Address); got != "25000000" {
		t.Errorf("the thief has %s, and the delegation allows 25000000", got)
	}
	if got := balance(t, client, alice.Address); got != "975000000" {
		t.Errorf("alice has %s", got)
	}
}

// The framework names and hashes a delegation as this program does.
func TestAMandateIsTheFrameworks(t *testing.T) {
	client, alice := dial(t), devchain.Accounts()["alice"]
	w := wish("s")
	w.Recipients = []common.Address{{19: 1}, {19: 2}}
	m := give(t, w, alice.Key)
	ask := func(sig string, args []byte) []byte {
		t.Helper()
		to := mandate.Manager
		data := append(crypto.Keccak256([]byte(sig))[:4], args...)
		out, err := client.CallContract(t.Context(), ethereum.CallMsg{To: &to, Data: data}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	disable, err := m.PackDisable()
	if err != nil {
		t.Fatal(err)
	}
	const hashOf = "getDelegationHash((address,address,bytes32,(address,bytes,bytes)[],uint256,bytes))"
	hash := common.BytesToHash(ask(hashOf, disable[4:]))
	if hash != m.Hash() {
		t.Errorf("hash %s, the framework says %s", m.Hash(), hash)
	}
	domain := ask("getDomainHash()", nil)
	if got := crypto.Keccak256Hash([]byte{0x19, 1}, domain, hash[:]); got != m.Digest() {
		t.Errorf("digest %s, the framework says %s", m.Digest(), got)
	}
	if hexutil.Encode(ask("VERSION()", nil)[64:69]) != hexutil.Encode([]byte("1.3.0")) {
		t.Error("the framework has another version")
	}
}
