package price

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/contracts"
	"github.com/writ-run/writ/tools"
)

// A market is a dev chain with a feed of a price and one of a sequencer.
type market struct {
	*testing.T
	client *ethclient.Client
	abi    abi.ABI
	code   hexutil.Bytes
	nonce  uint64
}

func openMarket(t *testing.T) *market {
	t.Helper()
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	c, err := ethclient.DialContext(t.Context(), d.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var compiled struct {
		ABI      abi.ABI
		Bytecode hexutil.Bytes
	}
	if err := json.Unmarshal(contracts.Feed, &compiled); err != nil {
		t.Fatal(err)
	}
	return &market{T: t, client: c, abi: compiled.ABI, code: compiled.Bytecode}
}

// send sends a transaction from alice's account, and returns its receipt.
func (m *market) send(to *common.Address, data []byte) *types.Receipt {
	m.Helper()
	alice := devchain.Accounts()["alice"]
	tx, err := types.SignNewTx(alice.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: m.nonce, To: to, Data: data, Gas: 1_000_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	if err == nil {
		err = m.client.SendTransaction(m.Context(), tx)
	}
	if err != nil {
		m.Fatal(err)
	}
	m.nonce++
	ctx, cancel := context.WithTimeout(m.Context(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		r, err := m.client.TransactionReceipt(ctx, tx.Hash())
		newest, _ := m.client.BlockNumber(ctx)
		if err == nil && newest >= r.BlockNumber.Uint64() {
			if r.Status != types.ReceiptStatusSuccessful {
				m.Fatal("reverted")
			}
			return r
		}
		time.Sleep(2 * time.Millisecond) // the node mines by itself and is asked over HTTP
	}
	m.Fatal("not mined")
	return nil
}

func (m *market) feed(decimals uint8, answer int64) common.Address {
	m.Helper()
	args, err := m.abi.Pack("", decimals, big.NewInt(answer))
	if err != nil {
		m.Fatal(err)
	}
	return m.send(nil, append(append([]byte{}, m.code...), args...)).ContractAddress
}

// set makes a feed say something else.
func (m *market) set(feed common.Address, decimals uint8, round, answer, started, updated, answeredIn int64) {
	m.Helper()
	data, err := m.abi.Pack("set", decimals, big.NewInt(round), big.NewInt(answer), big.NewInt(started), big.NewInt(updated),
		big.NewInt(answeredIn))
	if err != nil {
		m.Fatal(err)
	}
	m.send(&feed, data)
}

func (m *market) now() int64 {
	m.Helper()
	h, err := m.client.HeaderByNumber(m.Context(), nil)
	if err != nil {
		m.Fatal(err)
	}
	return max(int64(h.Time), time.Now().Unix())
}

func ask(t *testing.T, c Client, f Feed) (string, error) {
	t.Helper()
	tool, err := New(devchain.Book(), []Feed{f})
	if err == nil {
		tool, err = tool.On(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	def, err := tools.Compile(tool.Spec())
	if err != nil {
		t.Fatal(err)
	}
	args, err := def.Read([]byte(`{"pair":"` + f.Pair + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	out, err := tool.Call(t.Context(), tools.Input{Args: args})
	return string(out), err
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*tools.Error](err); ok {
		return e.Code
	}
	return ""
}

// A price of a real feed is told with its block; whatever makes it one that nobody should act upon is an error.
func TestPricesThatCanBeReliedOn(t *testing.T) {
	m := openMarket(t)
	eth, sequencer := m.feed(8, 341257000000), m.feed(0, 0)
	f := Feed{Pair: "ETH-USD", Address: eth, MaxAge: time.Hour}
	out, err := ask(t, m.client, f)
	for _, want := range []string{`"price":"3412.57"`, `"display":"3412.57 USD"`, `"units":"341257000000"`, `"decimals":8`,
		`"block_hash":"0x`, `"chain":1337`, `"round":"1"`, `"endpoints_agreed":1`} {
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("got %s, %v; want %s", out, err, want)
		}
	}
	now := m.now()
	for _, tt := range []struct {
		rule                                        string
		decimals                                    uint8
		round, answer, started, updated, answeredIn int64
		code                                        string
	}{
		{"an update that is old", 8, 9, 1, 0, now - 3700, 9, "stale_price"},
		{"one that is young enough", 8, 9, 1, 0, now - 3000, 9, ""},
		{"an answer of zero", 8, 9, 0, 0, 0, 9, "bad_price"},
		{"an answer below zero", 8, 9, -5, 0, 0, 9, "bad_price"},
		{"a round that was never updated", 8, 9, 1, 0, 1, 9, "incomplete_round"},
		{"no round", 8, 0, 1, 0, 0, 0, "incomplete_round"},
		{"the answer of an earlier round", 8, 9, 1, 0, 0, 8, "incomplete_round"},
		{"an update after its block", 8, 9, 1, 0, now + 1e6, 9, "bad_feed"},
		{"decimals that no price has", 37, 9, 1, 0, 0, 9, "bad_feed"},
		{"a price of many decimals", 36, 9, 1, 0, 0, 9, ""},
	} {
		m.set(eth, tt.decimals, tt.round, tt.answer, tt.started, tt.updated, tt.answeredIn)
		if out, err := ask(t, m.client, f); codeOf(err) != tt.code || (err == nil) != (tt.code == "") {
			t.Errorf("%s: got %s, %v; want %q", tt.rule, out, err, tt.code)
		}
	}

	m.set(eth, 8, 9, 1, 0, 0, 9)
	f.Sequencer, f.Grace = sequencer, 10*time.Minute
	for _, tt := range []struct {
		rule            string
		answer, started int64
		code            string
	}{
		{"a sequencer that is up for long", 0, now - 3600, ""},
		{"one that is down", 1, now - 3600, "sequencer_down"},
		{"one that is up again since a moment ago", 0, now - 300, "sequencer_down"},
		{"one of which it is not known", 0, now + 1e6, "sequencer_down"},
	} {
		m.set(sequencer, 0, 3, tt.answer, tt.started, now, 3)
		if out, err := ask(t, m.client, f); codeOf(err) != tt.code || (err == nil) != (tt.code == "") {
			t.Errorf("%s: got %s, %v; want %q", tt.rule, out, err, tt.code)
		}
	}
	usdc := devchain.Book().Tokens["USDC"].Address
	for rule, at := range map[string]common.Address{"a token": usdc, "an account": {9}} {
		if out, err := ask(t, m.client, Feed{Pair: "ETH-USD", Address: at, MaxAge: time.Hour}); codeOf(err) != "bad_feed" {
			t.Errorf("%s as a feed: got %s, %v", rule, out, err)
		}
	}
}

// A price's age is by the clock, so that a node that stands still does not make it young.
func TestANodeThatStandsStillMakesNoPriceYoung(t *testing.T) {
	m := openMarket(t)
	tool, err := New(devchain.Book(), []Feed{{Pair: "ETH-USD", Address: m.feed(8, 5), MaxAge: time.Hour}})
	if err == nil {
		tool, err = tool.On(m.client)
	}
	if err != nil {
		t.Fatal(err)
	}
	tool.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	def, err := tools.Compile(tool.Spec())
	if err != nil {
		t.Fatal(err)
	}
	args, err := def.Read([]byte(`{"pair":"ETH-USD"}`))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := tool.Call(t.Context(), tools.Input{Args: args}); codeOf(err) != "stale_price" {
		t.Errorf("got %s, %v", out, err)
	}
}

// agreeing is a client of which endpoints agree from some block on downwards.
type agreeing struct {
	Client
	unknown map[common.Hash]bool
}

func (a agreeing) CallAgreed(ctx context.Context, msg ethereum.CallMsg, block common.Hash, need int) ([]byte, int, error) {
	if a.unknown[block] {
		return nil, 0, errors.New("they do not agree")
	}
	out, err := a.CallContractAtHash(ctx, msg, block)
	return out, need + 1, err
}

// Where endpoints must agree the price is of the newest block that enough of them have, which it names.
func TestEndpointsMustAgree(t *testing.T) {
	m := openMarket(t)
	f := Feed{Pair: "ETH-USD", Address: m.feed(8, 5), MaxAge: time.Hour, Quorum: 2}
	m.set(f.Address, 8, 2, 6, 0, 0, 2)
	head, err := m.client.HeaderByNumber(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := agreeing{m.client, map[common.Hash]bool{head.Hash(): true}}
	out, err := ask(t, a, f)
	if err != nil || !strings.Contains(out, `"units":"5"`) || !strings.Contains(out, `"endpoints_agreed":3`) ||
		!strings.Contains(out, head.ParentHash.Hex()) {
		t.Errorf("got %s, %v; want the price of the block before", out, err)
	}
	for n := head.Number.Int64(); n >= 0; n-- {
		h, err := m.client.HeaderByNumber(t.Context(), big.NewInt(n))
		if err != nil {
			t.Fatal(err)
		}
		a.unknown[h.Hash()] = true
	}
	if out, err := ask(t, a, f); codeOf(err) != "endpoints_disagree" {
		t.Errorf("got %s, %v", out, err)
	}
	tool, err := New(devchain.Book(), []Feed{f})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tool.On(m.client); err == nil {
		t.Error("one endpoint alone was taken for several")
	}
}

func TestFeedsThatAreRefused(t *testing.T) {
	good := Feed{Pair: "ETH-USD", MaxAge: time.Hour}
	for rule, feeds := range map[string][]Feed{
		"none":              {},
		"no pair":           {{Pair: "eth", MaxAge: time.Hour}},
		"no age":            {{Pair: "ETH-USD"}},
		"an age of a month": {{Pair: "ETH-USD", MaxAge: 30 * 24 * time.Hour}},
		"two of one pair":   {good, good},
		"too many":          make([]Feed, MaxFeeds+1),
	} {
		if _, err := New(devchain.Book(), feeds); err == nil {
			t.Errorf("%s: got no error", rule)
		}
	}
}

// What is asked of a feed is a part of the tool's definition.
func TestAChangedFeedIsAnotherDefinition(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range []Feed{
		{Pair: "ETH-USD", MaxAge: time.Hour}, {Pair: "ETH-USD", MaxAge: 2 * time.Hour},
		{Pair: "ETH-USD", MaxAge: time.Hour, Address: common.Address{1}}, {Pair: "ETH-USD", MaxAge: time.Hour, Quorum: 2},
		{Pair: "ETH-USD", MaxAge: time.Hour, Sequencer: common.Address{1}},
		{Pair: "ETH-USD", MaxAge: time.Hour, Sequencer: common.Address{1}, Grace: time.Minute},
	} {
		tool, err := New(devchain.Book(), []Feed{f})
		if err != nil {
			t.Fatal(err)
		}
		if seen[tool.Spec().Definition] {
			t.Errorf("%+v has the definition of another feed", f)
		}
		seen[tool.Spec().Definition] = true
	}
}

func FuzzDecimalText(f *testing.F) {
	f.Add(uint64(341257000000), uint8(8))
	f.Add(uint64(1), uint8(36))
	f.Add(uint64(100), uint8(0))
	f.Fuzz(func(t *testing.T, n uint64, decimals uint8) {
		if decimals > maxDecimals || n == 0 {
			t.Skip()
		}
		units := new(big.Int).SetUint64(n)
		text := decimalText(units, decimals)
		got, ok := new(big.Rat).SetString(text)
		want := new(big.Rat).SetFrac(units, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil))
		if !ok || got.Cmp(want) != 0 || strings.Contains(text, ".") && strings.HasSuffix(text, "0") {
			t.Errorf("%d of %d decimals is %s", n, decimals, text)
		}
	})
}
