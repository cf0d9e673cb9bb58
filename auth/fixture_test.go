package auth

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/writ-run/writ/policies/money"
)

var update = flag.Bool("update", false, "write the golden files and vectors anew")

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	usdc  = money.Asset{Symbol: "USDC", Decimals: 6}
	ether = money.Asset{Symbol: "ETH", Decimals: 18}
	bob   = common.HexToAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
)

// A signin is one honest sign-in: everything that two sides know about it.
type signin struct {
	wallet *Wallet
	key    PrivateKey
	offer  Offer
	raw    []byte
	sig    []byte
	want   Expect
}

func newSignin(t testing.TB) *signin {
	t.Helper()
	s := &signin{wallet: testWallet(t, 1), key: testKey(t, Ed25519, 2)}
	s.offer = Offer{
		Scheme: "https", Domain: "app.example.com", Account: s.wallet.Address(), Chain: 1337, Key: s.key.Public(),
		Nonce: "Zq3vT8nB1xKfW5mPr7LcYd", RequestID: "7f3kQ9", Agent: "treasurer",
		AgentCID: testLink("agent"), RulesCID: testLink("rules"),
		Tools: []string{"erc20.balance", "erc20.transfer", "tx.simulate"},
		Caveats: Caveats{
			MaxTotal:     []money.Amount{money.Of(usdc, 25_000_000)},
			MaxPerCall:   []money.Amount{money.Of(usdc, 5_000_000)},
			ApproveAbove: []money.Amount{money.Of(usdc, 1_000_000)},
			MaxCalls:     40, MaxTokens: 200_000, MaxCostNanoUSD: 3_000_000_000, Chains: []uint64{1337},
			ApproveIfTainted: true,
		},
		Issued: noon, Expires: noon.Add(time.Hour),
	}
	s.build(t)
	return s
}

// build makes message, signature and expectation anew from the offer.
func (s *signin) build(t testing.TB) {
	t.Helper()
	raw, err := Build(s.offer)
	if err != nil {
		t.Fatal(err)
	}
	s.raw, s.sig = raw, s.sign(t, raw)
	o := s.offer
	s.want = Expect{
		Scheme: o.Scheme, Domain: o.Domain, URI: o.Key.String(), Key: o.Key, Chain: o.Chain, Nonce: o.Nonce, RequestID: o.RequestID,
		Account: o.Account, Agent: o.Agent, AgentCID: o.AgentCID, RulesCID: o.RulesCID, Now: noon.Add(5 * time.Second),
	}
	if o.OriginURI {
		s.want.URI = o.Scheme + "://" + o.Domain
	}
}

func (s *signin) sign(t testing.TB, raw []byte) []byte {
	t.Helper()
	sig, err := s.wallet.SignText(raw)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func testWallet(t testing.TB, n byte) *Wallet {
	t.Helper()
	w, err := NewWallet(bytes.NewReader(bytes.Repeat([]byte{n}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func testKey(t testing.TB, kind Kind, n byte) PrivateKey {
	t.Helper()
	k, err := Generate(kind, bytes.NewReader(bytes.Repeat([]byte{n}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testLink(s string) cid.Cid {
	h, err := mh.Sum([]byte(s), mh.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(cid.DagCBOR, h)
}

// code returns the code of a fault, "" for nil and "other" for any other error.
func code(err error) Code {
	if err == nil {
		return ""
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Code
	}
	return "other"
}

// counter is chance for tests: bytes that never repeat.
type counter struct {
	mu sync.Mutex
	n  uint64
}

func (c *counter) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range p {
		c.n += 0x9e3779b97f4a7c15
		x := c.n ^ c.n>>29
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], x*0xbf58476d1ce4e5b9)
		p[i] = b[7]
	}
	return len(p), nil
}

// memory is a Nonces.
type memory struct {
	mu   sync.Mutex
	data map[string][]byte
	ends map[string]time.Time
	down error // returned by every call
}

func newMemory() *memory {
	return &memory{data: make(map[string][]byte), ends: make(map[string]time.Time)}
}

func (m *memory) PutNonce(_ context.Context, nonce string, data []byte, expires time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data[nonce], m.ends[nonce] = bytes.Clone(data), expires
	return m.down
}

func (m *memory) TakeNonce(_ context.Context, nonce string, now time.Time) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return nil, m.down
	}
	data, ok := m.data[nonce]
	delete(m.data, nonce)
	if !ok || !now.Before(m.ends[nonce]) {
		return nil, ErrNonce
	}
	return data, nil
}
