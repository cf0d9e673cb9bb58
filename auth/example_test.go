package auth_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
)

// memory is the smallest auth.Nonces; a server keeps nonces in its database.
type memory struct{ m sync.Map }

func (n *memory) PutNonce(_ context.Context, nonce string, data []byte, _ time.Time) error {
	n.m.Store(nonce, data)
	return nil
}

func (n *memory) TakeNonce(_ context.Context, nonce string, _ time.Time) ([]byte, error) {
	data, ok := n.m.LoadAndDelete(nonce)
	if !ok {
		return nil, auth.ErrNonce
	}
	return data.([]byte), nil
}

// A wallet signs in, and its session key signs a request.
func Example() {
	ctx := context.Background()
	desk, err := auth.NewDesk(auth.Config{
		Scheme: "https", Domain: "app.example.com", Nonces: new(memory), Now: time.Now, Rand: rand.Reader,
	})
	if err != nil {
		log.Fatal(err)
	}
	wallet, err := auth.NewWallet(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	key, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		log.Fatal(err)
	}

	usdc := money.Asset{Symbol: "USDC", Decimals: 6}
	version := cid.MustParse("bafyreibnoelefnzgwbcacyt4vh52ymxvzbjq7mmqhtcnwarfq4lzegsiqe")
	channel := [32]byte{1} // the server's name for this connection
	challenge, err := desk.Challenge(ctx, auth.Request{
		Account: wallet.Address(), Chain: 1337, Key: key.Public(), Channel: channel,
		Agent: "treasurer", AgentCID: version, RulesCID: version, Tools: []string{"erc20.transfer"},
		Caveats: auth.Caveats{
			MaxTotal:     []money.Amount{money.Of(usdc, 25_000_000)},
			MaxPerCall:   []money.Amount{money.Of(usdc, 5_000_000)},
			ApproveAbove: []money.Amount{money.Of(usdc, 1_000_000)},
			MaxCalls:     40, MaxTokens: 200_000, MaxCostNanoUSD: 3_000_000_000, Chains: []uint64{1337},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	sig, err := wallet.SignText(challenge.Message) // the wallet shows the text and asks its owner
	if err != nil {
		log.Fatal(err)
	}
	grant, err := desk.Open(ctx, challenge.Message, sig, channel)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(grant.Agent, "may spend", grant.Caveats.MaxTotal[0])

	frame := auth.Frame{Session: version, Channel: channel, Seq: 1, Method: "run.start", Params: []byte(`{"input":"hi"}`)}
	sig, err = key.SignFrame(frame)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the request is the user's:", frame.Verify(grant.Key, sig) == nil)
	// Output:
	// treasurer may spend 25 USDC
	// the request is the user's: true
}
