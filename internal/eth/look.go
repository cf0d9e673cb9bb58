package eth

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
)

// A Status is what is known of one chain's endpoints.
type Status struct {
	Chain   uint64
	Quorum  int      // that must agree before value may be moved
	Up      int      // endpoints that answer, of this chain
	All     int      // endpoints that are configured
	Reasons []string // why the others do not count
}

// Look asks every endpoint for its chain and its newest block.
func (s *Chains) Look(ctx context.Context) []Status {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var out []Status
	for id, ch := range s.chains {
		st := Status{Chain: id, Quorum: ch.quorum, All: len(ch.clients)}
		for _, a := range askAll(ctx, ch.clients, isEveryone, 0, func(ctx context.Context, c *Client) (Block, error) {
			got, err := c.ChainID(ctx)
			if err != nil {
				return Block{}, err
			}
			if got != id {
				return Block{}, fmt.Errorf("%s: it serves chain %d", c.host, got)
			}
			return s.newest(ctx, c)
		}) {
			if a.err == nil {
				st.Up++
			} else {
				st.Reasons = append(st.Reasons, a.err.Error())
			}
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Chain, b.Chain) })
	return out
}

// An Account is what the endpoints of a chain say of an account.
type Account struct {
	Chain   uint64
	At      Block
	Answer  auth.Answer // its verdict is about an empty signature over nothing, which no wallet should accept
	Need    int         // how many must agree before the account may move value
	Agree   []string    // hosts of the endpoints that give this answer at this block
	Against []string    // hosts of those that give another
	Silent  []string    // why the others give none
}

// Account asks every endpoint of a chain what an account is, by the question that a sign-in puts, over an empty
// signature. The error is auth.ErrUnavailable, with the reason: a contract wallet could then not sign in to spend.
func (s *Chains) Account(ctx context.Context, chain uint64, account common.Address) (Account, error) {
	q := auth.Question{Chain: chain, Account: account, Spends: true}
	v, err := s.Ask(ctx, q)
	if err != nil {
		return Account{}, err
	}
	ch := s.chains[q.Chain]
	out := Account{Chain: q.Chain, At: Block{Number: v.Number, Hash: v.Block}, Answer: v.Answer, Need: ch.quorum}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for _, a := range askAll(ctx, ch.clients, isEveryone, 0,
		func(ctx context.Context, c *Client) (auth.Answer, error) {
			return c.AskAt(ctx, q, v.Block)
		}) {
		switch {
		case a.err != nil:
			out.Silent = append(out.Silent, a.err.Error())
		case a.v == v.Answer:
			out.Agree = append(out.Agree, a.client.host)
		default:
			out.Against = append(out.Against, a.client.host)
		}
	}
	slices.Sort(out.Agree)
	slices.Sort(out.Against)
	slices.Sort(out.Silent)
	return out, nil
}
