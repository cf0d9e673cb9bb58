package pool

import (
	"context"
	"math/big"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
)

// What an account's next nonce is decides more than one answer: a transaction that is signed with one too high waits
// until all before it were sent, and so does all that its account sends later. So every endpoint is asked, and what
// counts is what more than half of them do not exceed. Of two that differ the lower counts: what is too low costs one
// payment at most, since the caller never signs below what it has signed before, and what is too high would cost all.

// nonceTime bounds how long one of several endpoints is waited for.
const nonceTime = 2 * time.Second

// NonceAt returns an account's next nonce at a block, the newest one if number is nil.
func (p *Pool) NonceAt(ctx context.Context, account common.Address, number *big.Int) (uint64, error) {
	return p.agreeOnNonce(ctx, func(ctx context.Context, c *ethclient.Client) (uint64, error) {
		return c.NonceAt(ctx, account, number)
	})
}

// PendingNonceAt returns an account's next nonce with its pending transactions counted.
func (p *Pool) PendingNonceAt(ctx context.Context, account common.Address) (uint64, error) {
	return p.agreeOnNonce(ctx, func(ctx context.Context, c *ethclient.Client) (uint64, error) {
		return c.PendingNonceAt(ctx, account)
	})
}

// agreeOnNonce asks all endpoints that serve, and returns the lower median of what they say. If none of them answers
// soon, it is the first answer of any.
func (p *Pool) agreeOnNonce(
	ctx context.Context, ask func(context.Context, *ethclient.Client) (uint64, error),
) (uint64, error) {
	q := question[uint64]{method: "eth_getTransactionCount", ask: ask}
	order, in := p.orderEndpoints(q.method, time.Now())
	if len(p.endpoints) == 1 || in == 0 {
		return askEndpoints(ctx, p, q)
	}
	said := make(chan uint64, in)
	done := make(chan struct{}, in)
	for _, e := range order[:in] {
		go func() {
			if n, err := tryEndpoint(ctx, e, q, p.chain, min(p.shareTime(ctx, 1), nonceTime)); err == nil {
				said <- n
			}
			done <- struct{}{}
		}()
	}
	for range in { // each is as long as its attempt
		<-done
	}
	close(said)
	var all []uint64
	for n := range said {
		all = append(all, n)
	}
	if len(all) == 0 {
		return askEndpoints(ctx, p, q)
	}
	slices.Sort(all)
	return all[(len(all)-1)/2], nil
}
