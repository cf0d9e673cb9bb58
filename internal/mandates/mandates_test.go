package mandates_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/mandates"
	"github.com/writ-run/writ/internal/sqlfile"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/mandate"
)

var usdc = money.Asset{Symbol: "USDC", Decimals: 6}

func linkTo(text string) cid.Cid {
	sum := sha256.Sum256([]byte(text))
	mh, err := multihash.Encode(sum[:], multihash.SHA2_256)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(cid.Raw, mh)
}

// sessionOf signs in as the wallet of a key.
func sessionOf(t *testing.T, name string, key *ecdsa.PrivateKey, names ...string) journal.Session {
	t.Helper()
	w, err := auth.ParseWallet(hex.EncodeToString(crypto.FromECDSA(key)))
	if err != nil {
		t.Fatal(err)
	}
	own, err := auth.Generate(auth.Ed25519, strings.NewReader(strings.Repeat(name+"-seed", 32)))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().UTC().Truncate(time.Second)
	amount := []money.Amount{money.Of(usdc, 25_000_000)}
	raw, err := auth.Build(auth.Offer{
		Scheme: "http", Domain: "127.0.0.1", Account: w.Address(), Chain: devchain.ID, Key: own.Public(),
		Nonce: "abcdefgh12345678", RequestID: "r1", Agent: "clerk", AgentCID: linkTo("agent"), RulesCID: linkTo("rules"),
		Tools: names, Issued: at, Expires: at.Add(time.Hour), Caveats: auth.Caveats{
			MaxTotal: amount, MaxPerCall: amount, ApproveAbove: amount, MaxCalls: 40, MaxTokens: 1000,
			MaxCostNanoUSD: 1_000_000_000, Chains: []uint64{devchain.ID},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	sig, err := w.SignText(raw)
	if err != nil {
		t.Fatal(err)
	}
	return journal.Session{
		ID: linkTo(name), Account: w.Address(), Chain: devchain.ID, Message: raw, Sig: sig, Method: auth.MethodEOA,
		Expires: at.Add(time.Hour).UnixMilli(),
	}
}

type desk struct {
	*mandates.Desk
	t      *testing.T
	client *ethclient.Client
	folder string
	book   *tools.Book
}

func open(t *testing.T) desk {
	t.Helper()
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c, err := ethclient.DialContext(t.Context(), d.URL())
	if err != nil {
		t.Fatal(err)
	}
	folder, book := t.TempDir(), devchain.Book()
	m, err := mandates.Open(folder, mandates.Config{
		Client: c, Book: book, Account: devchain.Accounts()["agent"].Address,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := errors.Join(m.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	})
	return desk{m, t, c, folder, book}
}

// ask returns what is to be signed, changed and signed.
func (d desk) ask(s journal.Session, account string, key *ecdsa.PrivateKey, change func(*mandate.Mandate)) *wire.Mandate {
	d.t.Helper()
	asked, err := d.Ask(d.t.Context(), s, wire.MandateAskParams{Account: account})
	if err != nil {
		d.t.Fatal(err)
	}
	m := new(mandate.Mandate)
	raw, err := json.Marshal(asked.Mandate)
	if err == nil {
		err = json.Unmarshal(raw, m)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	change(m)
	d.sign(m, key)
	var out wire.Mandate
	if raw, err = json.Marshal(m); err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return &out
}

func (d desk) sign(m *mandate.Mandate, key *ecdsa.PrivateKey) {
	d.t.Helper()
	hash := m.Digest()
	sig, err := crypto.Sign(hash[:], key)
	if err != nil {
		d.t.Fatal(err)
	}
	sig[64] += 27
	m.Signature = sig
}

func (d desk) put(s journal.Session, m *wire.Mandate) (wire.GivenMandate, string) {
	d.t.Helper()
	got, err := d.Put(d.t.Context(), s, wire.MandatePutParams{Mandate: m})
	if e, ok := errors.AsType[*tools.Error](err); ok {
		return got, e.Code
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return got, ""
}

// What a session's wallet has signed is found for that session alone, with what it differs by from the grant; what
// cannot be paid by is refused in a sentence.
func TestADelegationIsHandedOver(t *testing.T) {
	d, all := open(t), devchain.Accounts()
	alice, bob := all["alice"], all["bob"]
	s := sessionOf(t, "alices", alice.Key, "erc20.balance", "mandate.transfer")
	as := func(*mandate.Mandate) {}

	// An account without code is said to have none, and may sign already.
	got, code := d.put(s, d.ask(s, "", alice.Key, as))
	if code != "" || !got.Signed || got.Token != "USDC" || got.State != "open" || got.Spent != "0 USDC" ||
		len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "EIP-7702") {
		t.Fatalf("%+v, %q", got, code)
	}
	if err := devchain.BecomeSmart(t.Context(), d.client, alice); err != nil {
		t.Fatal(err)
	}
	first := d.ask(s, "", alice.Key, as)
	if got, code = d.put(s, first); code != "" || len(got.Notes) != 0 {
		t.Fatalf("%+v, %q", got, code)
	}
	token := devchain.Book().Tokens["USDC"].Address
	found, err := d.Find(t.Context(), s.ID.String(), token)
	if err != nil || found == nil || found.Hash().Hex() != got.Hash {
		t.Fatalf("found %v, %v", found, err)
	}
	if found, err = d.Find(t.Context(), linkTo("other").String(), token); err != nil || found != nil {
		t.Errorf("another session finds %v, %v", found, err)
	}

	// Wider is told and taken, and so is narrower.
	wider := mandate.Wish{
		Chain: devchain.ID, Delegator: alice.Address, Delegate: all["agent"].Address, Token: token,
		Total: money.Of(usdc, 50_000_000), Calls: 3, Until: time.Now().Add(2 * time.Hour), Session: s.ID.String(),
	}
	got, code = d.put(s, d.ask(s, "", alice.Key, func(m *mandate.Mandate) {
		w, err := wider.Mandate(9)
		if err != nil {
			t.Fatal(err)
		}
		*m = *w
	}))
	told := strings.Join(got.Notes, "\n")
	if code != "" || !strings.Contains(told, "wider than the grant, which still binds: 50 USDC in all, the grant 25 USDC") ||
		!strings.Contains(told, "narrower than the grant: 3 payments, the grant 40") {
		t.Errorf("%+v, %q", got, code)
	}

	for _, x := range []struct {
		name, code string
		key        *ecdsa.PrivateKey
		change     func(*mandate.Mandate)
	}{
		{"to another account", "mandate_account", alice.Key, func(m *mandate.Mandate) { m.Delegate = bob.Address }},
		{"of another account", "mandate_account", bob.Key, func(m *mandate.Mandate) { m.Delegator = bob.Address }},
		{"of another chain", "mandate_chain", alice.Key, func(m *mandate.Mandate) { m.Chain = 1 }},
		{"without a bound", "mandate_unfit", alice.Key, func(m *mandate.Mandate) { m.Caveats = nil }},
		{"signed by another", "mandate_signature", bob.Key, as},
		{"of another token", "mandate_token", alice.Key, func(m *mandate.Mandate) { m.Caveats[1].Terms[0] ^= 1 }},
	} {
		if _, code := d.put(s, d.ask(s, "", x.key, x.change)); code != x.code {
			t.Errorf("%s: got %q, want %q", x.name, code, x.code)
		}
	}
	without := sessionOf(t, "without", alice.Key, "erc20.balance")
	if _, err := d.Ask(t.Context(), without, wire.MandateAskParams{}); !strings.Contains(err.Error(), "mandate.transfer") {
		t.Errorf("a grant without the tool: %v", err)
	}

	// The chain's revocation is felt, and so is what is forgotten here.
	list, err := d.List(t.Context(), s)
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	d.send(alice, common.HexToAddress(list[0].Manager), hexutil.MustDecode(list[0].Revoke))
	if list, err = d.List(t.Context(), s); err != nil || list[0].State != "revoked" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := d.Forget(t.Context(), s, list[0].Hash); err != nil {
		t.Error(err)
	}
	if err := d.Forget(t.Context(), s, list[0].Hash); err == nil {
		t.Error("it was forgotten twice")
	}
	if found, err = d.Find(t.Context(), s.ID.String(), token); err != nil || found != nil {
		t.Errorf("forgotten, and found: %v, %v", found, err)
	}
}

// send sends a transaction and waits until a block has it.
func (d desk) send(from devchain.Account, to common.Address, data []byte) {
	d.t.Helper()
	var target *common.Address
	if to != (common.Address{}) {
		target = &to
	}
	nonce, err := d.client.PendingNonceAt(d.t.Context(), from.Address)
	if err != nil {
		d.t.Fatal(err)
	}
	tx, err := types.SignNewTx(from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: nonce, To: target, Data: data, Gas: 2_000_000, GasTipCap: big.NewInt(1e9),
		GasFeeCap: big.NewInt(1e10),
	})
	if err == nil {
		err = d.client.SendTransaction(d.t.Context(), tx)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	for {
		r, err := d.client.TransactionReceipt(d.t.Context(), tx.Hash())
		if err == nil && r.Status == types.ReceiptStatusSuccessful {
			return
		}
		if err == nil {
			d.t.Fatal("the transaction was reverted")
		}
		time.Sleep(time.Millisecond) // the node mines by itself and is asked over HTTP
	}
}

// A smart account that the wallet's key owns may pay as well; the chain is asked whether the signature is the account's.
func TestASmartAccountOfTheWalletIsTaken(t *testing.T) {
	d, all := open(t), devchain.Accounts()
	alice, bob := all["alice"], all["bob"]
	s := sessionOf(t, "alices", alice.Key, "mandate.transfer")
	deploy := func(owner devchain.Account) string {
		data, err := devchain.SmartAccount(owner.Address)
		if err != nil {
			t.Fatal(err)
		}
		nonce, err := d.client.PendingNonceAt(t.Context(), owner.Address)
		if err != nil {
			t.Fatal(err)
		}
		d.send(owner, common.Address{}, data)
		return crypto.CreateAddress(owner.Address, nonce).Hex()
	}
	as := func(*mandate.Mandate) {}
	own, others := deploy(alice), deploy(bob)
	got, code := d.put(s, d.ask(s, own, alice.Key, as))
	if code != "" || got.Delegator != own || !got.Signed {
		t.Errorf("%+v, %q", got, code)
	}
	if _, code := d.put(s, d.ask(s, others, alice.Key, as)); code != "mandate_signature" {
		t.Errorf("bob's account, signed by alice: got %q", code)
	}
	if _, code := d.put(s, d.ask(s, others, bob.Key, as)); code != "mandate_account" {
		t.Errorf("bob's account, signed by bob: got %q", code)
	}
}

// What was handed over for one session is no other's, also after the first has forgotten it.
func TestADelegationIsOfOneSession(t *testing.T) {
	d, alice := open(t), devchain.Accounts()["alice"]
	s, next := sessionOf(t, "first", alice.Key, "mandate.transfer"), sessionOf(t, "next", alice.Key, "mandate.transfer")
	m := d.ask(s, "", alice.Key, func(*mandate.Mandate) {})
	got, code := d.put(s, m)
	if code != "" {
		t.Fatal(code)
	}
	if _, code := d.put(s, m); code != "" {
		t.Errorf("again for its session: %q", code)
	}
	if _, code := d.put(next, m); code != "mandate_account" {
		t.Errorf("for the next session: %q", code)
	}
	if err := d.Forget(t.Context(), s, got.Hash); err != nil {
		t.Fatal(err)
	}
	if _, code := d.put(next, m); code != "mandate_account" {
		t.Errorf("for the next session, forgotten: %q", code)
	}
}

// A collection has no delegation: its things would be counted as if they were coins.
func TestACollectionHasNoDelegation(t *testing.T) {
	d, alice := open(t), devchain.Accounts()["alice"]
	s := sessionOf(t, "alices", alice.Key, "mandate.transfer")
	m := d.ask(s, "", alice.Key, func(*mandate.Mandate) {})
	x := d.book.Tokens["USDC"]
	x.Things = true
	d.book.Tokens["USDC"] = x
	for _, symbol := range []string{"", "USDC"} {
		_, err := d.Ask(t.Context(), s, wire.MandateAskParams{Token: symbol})
		if e, ok := errors.AsType[*tools.Error](err); !ok || e.Code != "mandate_token" {
			t.Errorf("asked for %q: %v", symbol, err)
		}
	}
	if _, code := d.put(s, m); code != "mandate_token" {
		t.Errorf("handed over: %q", code)
	}
}

// What the desk could not read again is not taken in: a context has half the bytes of what is kept of it.
func TestALongContextIsRefused(t *testing.T) {
	d, alice := open(t), devchain.Accounts()["alice"]
	s := sessionOf(t, "alices", alice.Key, "mandate.transfer")
	w := mandate.Wish{
		Chain: devchain.ID, Delegator: alice.Address, Delegate: devchain.Accounts()["agent"].Address,
		Token: devchain.Book().Tokens["USDC"].Address, Total: money.Of(usdc, 1), Calls: 1, Until: time.Now().Add(time.Hour),
	}
	m, err := w.Mandate(1)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		m.Caveats = append(m.Caveats, mandate.Caveat{Enforcer: common.Address{5}, Terms: make([]byte, 3000), Args: []byte{}})
	}
	d.sign(m, alice.Key)
	context, err := m.Context()
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Put(t.Context(), s, wire.MandatePutParams{Context: hexutil.Encode(context)})
	if e, ok := errors.AsType[*tools.Error](err); !ok || e.Code != "mandate_unfit" {
		t.Errorf("got %v", err)
	}
	if list, err := d.List(t.Context(), s); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// Nobody's delegations take the room of another wallet, and one that is there already takes none.
func TestAWalletHasRoomOfItsOwn(t *testing.T) {
	d, all := open(t), devchain.Accounts()
	alice, bob := all["alice"], all["bob"]
	s, other := sessionOf(t, "alices", alice.Key, "mandate.transfer"), sessionOf(t, "bobs", bob.Key, "mandate.transfer")
	as := func(*mandate.Mandate) {}
	first := d.ask(s, "", alice.Key, as)
	if _, code := d.put(s, first); code != "" {
		t.Fatal(code)
	}
	d.fill(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 100000)
		INSERT INTO mandates SELECT 's' || i, x'00', x'00', 0, 9000000000000000, x'00' FROM n`)
	if _, code := d.put(other, d.ask(other, "", bob.Key, as)); code != "" {
		t.Errorf("bob, beside many of others: %q", code)
	}
	if t.Failed() {
		return
	}
	d.fill(`WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+1 FROM n WHERE i < 1000)
		INSERT INTO owners SELECT CAST(i AS BLOB), 's' || i, ?, 9000000000000000 FROM n`, alice.Address[:])
	if _, code := d.put(s, first); code != "" {
		t.Errorf("the same again: %q", code)
	}
	if _, code := d.put(s, d.ask(s, "", alice.Key, func(m *mandate.Mandate) { m.Salt[31]++ })); code != "mandate_full" {
		t.Errorf("one too many: %q", code)
	}
	if _, code := d.put(other, d.ask(other, "", bob.Key, as)); code != "" {
		t.Errorf("bob, beside alice's: %q", code)
	}
}

// fill changes the desk's file behind its back.
func (d desk) fill(query string, args ...any) {
	d.t.Helper()
	c, err := sqlite.OpenConn(filepath.Join(d.folder, mandates.FileName), sqlite.OpenReadWrite)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := errors.Join(sqlfile.Exec(c, query, args...), c.Close()); err != nil {
		d.t.Fatal(err)
	}
}

// What is bounded by an amount per time is counted by another enforcer, so nothing is said to be paid.
func TestWhatNobodyCountsIsNotTold(t *testing.T) {
	d, alice := open(t), devchain.Accounts()["alice"]
	s := sessionOf(t, "alices", alice.Key, "mandate.transfer")
	got, code := d.put(s, d.ask(s, "", alice.Key, func(m *mandate.Mandate) {
		total := m.Caveats[1].Terms
		m.Caveats[1] = mandate.Caveat{
			Enforcer: common.HexToAddress("0x474e3Ae7E169e940607cC624Da8A15Eb120139aB"), Args: []byte{},
			Terms: slices.Concat(total, common.MaxHash[:], common.BigToHash(big.NewInt(1)).Bytes()),
		}
	}))
	if code != "" || got.Spent != "" || got.State != "open" {
		t.Errorf("%+v, %q", got, code)
	}
}
