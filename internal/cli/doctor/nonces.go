package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/node"
)

// examineNonces tells of each endpoint that says a higher next nonce of the agents' account than the journal explains:
// a payment that is signed with it waits for transactions that nobody may ever have sent, and so does all after it. An
// account that this journal has paid nothing from yet explains nothing.
func (l *look) examineNonces(ctx context.Context, db journal.Database) error {
	c, err := node.ChainOf(l.cfg)
	if err != nil || c.Key == nil {
		return nil // another finding says so
	}
	at := crypto.PubkeyToAddress(c.Key.PublicKey)
	known, err := db.NextNonce(ctx, fmt.Sprintf("eip155:%d:%s", l.cfg.Chain.Number(), at.Hex()))
	if err != nil || known == 0 {
		return err
	}
	if epochs, err := db.LogEpochs(ctx); err != nil || len(epochs) > 0 {
		return err // it was restored: what was sent after the backup stands in no journal
	}
	for i, url := range l.cfg.Chain.RPC {
		said, err := askNonce(ctx, url, at)
		if err != nil || said <= known {
			continue // one that does not answer is told of as an endpoint
		}
		l.add(need{Kind: needNonce, Detail: fmt.Sprintf("endpoint %d of chain.rpc says that the agents' account %s has sent "+
			"%d transactions, and the journal explains %d: the endpoint is wrong, or another program sends from this account",
			i+1, at.Hex(), said, known),
			Next: "ask another endpoint for eth_getTransactionCount of the account; take a wrong one out of chain.rpc (of " +
				"several the majority counts), or give the other program an account of its own"})
	}
	return nil
}

// askNonce asks one endpoint for an account's next nonce.
func askNonce(ctx context.Context, url string, of common.Address) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.PendingNonceAt(ctx, of)
}
