package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/eth/trouble"
)

// maxQuiet is for how long a chain may make no block. Chains of tests, whose blocks are final at once, make one when
// they are asked.
const maxQuiet = 10 * time.Minute

// endpointFinding looks at one endpoint: that it answers, for the chain of the settings, follows it, and has what
// finality asks for.
func endpointFinding(ctx context.Context, cfg *config.Config, url, where string) finding {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	bad := func(err error) finding {
		t := trouble.Of(err)
		next := "start the chain (writ devchain), or correct chain.rpc"
		if cfg.Chain.Number() != config.DevChain {
			next = fmt.Sprintf("put endpoints of chain %d under chain.rpc", cfg.Chain.Number())
		}
		return findingOf("chain", false, where+" "+t.Says, cmp.Or(t.Next, next))
	}
	dialed, err := rpc.DialOptions(ctx, url, rpc.WithHTTPClient(&http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // as the server asks
	}))
	if err != nil {
		return bad(err)
	}
	client := ethclient.NewClient(dialed)
	defer client.Close()
	id, err := client.ChainID(ctx)
	if err != nil {
		return bad(err)
	}
	if id.Cmp(new(big.Int).SetUint64(cfg.Chain.Number())) != 0 {
		return findingOf("chain", false, fmt.Sprintf("%s serves chain %s, and chain.id is %d", where, id, cfg.Chain.Number()),
			"correct chain.id, or chain.rpc")
	}
	h, err := client.HeaderByNumber(ctx, nil)
	if err != nil {
		return bad(err)
	}
	late := time.Since(time.Unix(int64(h.Time), 0))
	if late < -time.Minute {
		return findingOf("chain", false, "its newest block is from the future, by "+(-late).Round(time.Second).String(),
			"set this machine's clock")
	}
	if p, err := client.SyncProgress(ctx); err == nil && p != nil {
		return findingOf("chain", false, fmt.Sprintf("%s is still catching up, at block %d of %d", where, p.CurrentBlock,
			p.HighestBlock), "wait until the node has caught up, or use another endpoint meanwhile")
	}
	if late > maxQuiet && cfg.Chain.Finality() != "" {
		return findingOf("chain", false, fmt.Sprintf("%s has made no block since %s", where,
			time.Unix(int64(h.Time), 0).UTC().Format(time.RFC3339)),
			"ask another endpoint for its newest block: if that is newer, take this one out of chain.rpc; else the chain stands")
	}
	return finalityFinding(ctx, cfg, client, where, h)
}

// finalityFinding says whether an endpoint knows which block is final.
func finalityFinding(
	ctx context.Context, cfg *config.Config, client *ethclient.Client, where string, newest *types.Header,
) finding {
	tag := map[string]rpc.BlockNumber{"finalized": rpc.FinalizedBlockNumber, "safe": rpc.SafeBlockNumber}
	if number, tagged := tag[cfg.Chain.Finality()]; tagged {
		_, err := client.HeaderByNumber(ctx, big.NewInt(int64(number)))
		_, answered := errors.AsType[rpc.Error](err)
		if err != nil && !answered && !errors.Is(err, ethereum.NotFound) {
			t := trouble.Of(err)
			return findingOf("chain", false, where+" "+t.Says, t.Next)
		}
		if err != nil {
			return findingOf("chain", false, fmt.Sprintf("%s has no %s block, so no payment would ever be final", where,
				cfg.Chain.Finality()), "set chain.final to a number of blocks, such as 12 blocks, or use another endpoint")
		}
	}
	return findingOf("chain", true, fmt.Sprintf("chain %d answers, block %s", cfg.Chain.Number(), newest.Number), "")
}
