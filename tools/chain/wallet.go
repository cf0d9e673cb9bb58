package chain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"sort"
	"sync"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
)

// A payer is a tool whose transactions the user's own wallet sends. There is no key of it here: what the wallet has
// sent is looked for on the chain, by the wallet's nonces, and is the call's only if sender, target, value and data
// are. Its bytes are then recorded as those that a key here had signed would be.
type payer struct {
	*sender
	seen *seenSends
}

// seenSends are the nonces of what wallets have sent for calls of a tool, by hash, as the node showed them once: it may
// forget a transaction before another takes its place. They are gone when the process ends.
type seenSends struct {
	mu     sync.Mutex
	nonces map[common.Hash]uint64
}

// maxSeen bounds those that are kept; when there are more, all are dropped.
const maxSeen = 1024

func (s *seenSends) note(hash common.Hash, nonce uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nonces == nil || len(s.nonces) >= maxSeen {
		s.nonces = map[common.Hash]uint64{}
	}
	s.nonces[hash] = nonce
}

func (s *seenSends) nonceOf(hash common.Hash) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.nonces[hash]
	return n, ok
}

var _ tools.Payer = (*payer)(nil)

// A blockReader is a client that tells a block's transactions. [*ethclient.Client] is one.
type blockReader interface {
	BlockByNumber(ctx context.Context, number *big.Int) (*types.Block, error)
}

// NewWalletCall returns a tool of class wallet that calls the function that s names by its schema, or transfers a token
// if it names none. w may be nil.
func NewWalletCall(c Config, s tools.Spec, w Words) (tools.Tool, error) {
	ch, err := newChain(c)
	if err != nil {
		return nil, err
	}
	return ch.newPayer(s, w)
}

func (c *chain) newPayer(s tools.Spec, w Words) (tools.Tool, error) {
	s.Class = tools.WalletTx
	t, err := c.newSender(s, c.final, w)
	if err != nil {
		return nil, err
	}
	return &payer{t, new(seenSends)}, nil
}

// Wallet tools that every chain has.
var walletSpecs = func() []tools.Spec {
	pay, approve := transferSpec, approveSpec
	pay.Name, approve.Name = "wallet.transfer", "wallet.approve"
	pay.About = "Sends ERC-20 tokens from the user's own wallet, which is asked to send them. The effect is final."
	approve.About = "Lets a spender take up to an amount of a token from the user's own wallet, which is asked to send " +
		"it. It counts as spent. Name no more than is needed."
	pay.Utterances = []string{
		"send {amount} {token} to {to}", "pay {to} {amount} {token}", "pay {amount} {token} to {to}",
		"transfer {amount} {token} to {to}", "send {to} {amount} {token}",
	}
	return []tools.Spec{pay, approve}
}()

// senderFor returns the tool with the account of the session's wallet.
func (p *payer) senderFor(in tools.Input) (*sender, error) {
	if in.Wallet == (common.Address{}) {
		return nil, errorf("no_wallet", "The wallet of this session is not of this chain; it cannot pay here.")
	}
	ch, s := *p.chain, *p.sender
	ch.from, ch.key, s.chain = in.Wallet, nil, &ch
	return &s, nil
}

// Account names no account: each call has its wallet's own.
func (p *payer) Account() string { return p.caip10(common.Address{}) }

// Sign is never called.
func (p *payer) Sign(context.Context, tools.Input, uint64) (tools.Signed, error) {
	return tools.Signed{}, fmt.Errorf("%s is signed by the user's own wallet", p.about.Name)
}

// Replace does nothing: the wallet itself speeds up what it has sent.
func (p *payer) Replace(context.Context, []tools.Signed, bool) (tools.Signed, error) {
	return tools.Signed{}, errorf("own_wallet", "The wallet itself speeds up or cancels what it has sent.")
}

// Simulate says what the transaction would do now, sent by the wallet.
func (p *payer) Simulate(ctx context.Context, in tools.Input) ([]byte, error) {
	s, err := p.senderFor(in)
	if err != nil {
		return nil, err
	}
	if err := p.checkAccount(ctx, in.Wallet, in.Args.Lets); err != nil {
		return nil, fmt.Errorf("simulate %s: %w", p.about.Name, explainFailure(ctx, err))
	}
	return s.Simulate(ctx, in)
}

// Ask returns what the wallet is asked to send.
func (p *payer) Ask(ctx context.Context, in tools.Input) (tools.Wanted, error) {
	a, err := p.wanted(ctx, in)
	if err != nil {
		return tools.Wanted{}, fmt.Errorf("%s: %w", p.about.Name, explainFailure(ctx, err))
	}
	want := tools.Wanted{
		Chain: p.book.Chain, From: in.Wallet.Hex(), To: a.To.Hex(), Value: hexutil.EncodeBig(a.Value.ToBig()),
		Data: hexutil.Encode(a.Data),
	}
	if in.Args.Lets {
		parts, _ := calldata.ReadBatch(a.Call) // which it is
		for _, c := range parts {
			part := tools.Part{To: c.To.Hex(), Value: hexutil.EncodeBig(c.Value.ToBig()), Data: hexutil.Encode(c.Data)}
			want.Parts = append(want.Parts, part)
		}
	}
	return want, nil
}

func (p *payer) wanted(ctx context.Context, in tools.Input) (*act, error) {
	s, err := p.senderFor(in)
	if err != nil {
		return nil, err
	}
	head, err := s.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("newest block: %w", err)
	}
	return s.actOf(ctx, in.Args, head.Hash())
}

// compare says how a transaction differs from the call; "" if it is the call's.
func (p *payer) compare(tx *types.Transaction, a *act, wallet common.Address) string {
	from, err := types.Sender(types.LatestSignerForChainID(p.id), tx)
	switch {
	case err != nil:
		return "is not of this chain"
	case from != wallet:
		return "is sent by " + from.Hex() + ", not by the wallet"
	case tx.To() == nil || *tx.To() != a.To:
		return "goes elsewhere than to " + a.To.Hex()
	case tx.Value().Cmp(a.Value.ToBig()) != 0:
		return fmt.Sprintf("sends %s wei, not %s", tx.Value(), a.Value.Dec())
	case !bytes.Equal(tx.Data(), a.Data):
		return "has other call data"
	}
	return ""
}

// CheckSent says why a transaction is not the call's.
func (p *payer) CheckSent(ctx context.Context, in tools.Input, hash string) error {
	a, err := p.wanted(ctx, in)
	if err != nil {
		return err
	}
	tx, _, err := p.client.TransactionByHash(ctx, common.HexToHash(hash))
	if errors.Is(err, ethereum.NotFound) {
		return nil // it may be on its way
	}
	if err != nil {
		return fmt.Errorf("transaction: %w", explainFailure(ctx, err))
	}
	if differs := p.compare(tx, a, in.Wallet); differs != "" {
		return p.explainOther(ctx, a, tx, in.Wallet, differs)
	}
	p.seen.note(tx.Hash(), tx.Nonce())
	return nil
}

// maxSearch bounds the wallet's transactions that are looked at for one call.
const maxSearch = 32

// Find looks at the wallet's transactions since the call was simulated.
func (p *payer) Find(ctx context.Context, in tools.Input, s tools.Search) (tools.Signed, error) {
	found, err := p.find(ctx, in, s)
	if err != nil {
		return found, fmt.Errorf("find what the wallet has sent: %w", err)
	}
	return found, nil
}

func (p *payer) find(ctx context.Context, in tools.Input, s tools.Search) (none tools.Signed, err error) {
	a, err := p.wanted(ctx, in)
	if err != nil {
		return none, err
	}
	since, err := p.simulatedAt(in)
	if err != nil {
		return none, err
	}
	first, err := p.client.NonceAt(ctx, in.Wallet, since)
	if err != nil {
		return none, fmt.Errorf("nonce at block %s: %w", since, err)
	}
	head, err := p.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return none, fmt.Errorf("newest block: %w", err)
	}
	next, err := p.client.NonceAt(ctx, in.Wallet, head.Number)
	if err != nil {
		return none, fmt.Errorf("nonce: %w", err)
	}
	account := p.caip10(in.Wallet)
	var unknown error
	for n := first; n < min(next, first+maxSearch); n++ {
		if s.Taken != nil {
			if taken, err := s.Taken(ctx, account, n); err != nil || taken {
				if err != nil {
					return none, err
				}
				continue
			}
		}
		tx, err := p.transactionOf(ctx, in.Wallet, n, since, head.Number)
		switch {
		case errors.Is(err, errAuthorized):
		case errors.Is(err, errNoTransaction): // its code may have made a contract, or the node has changed its mind
			unknown = err
		case err != nil:
			return none, err
		case p.compare(tx, a, in.Wallet) == "":
			return p.record(tx, account)
		}
	}
	if unknown != nil {
		return none, unknown
	}
	if next > first+maxSearch {
		return none, fmt.Errorf("the wallet has sent %d transactions since, and %d are looked at", next-first, maxSearch)
	}
	return none, p.outcomeOfClaim(ctx, in, a, s.Hash, next, since, head.Number)
}

// record writes a transaction as one that was signed here.
func (p *payer) record(tx *types.Transaction, account string) (tools.Signed, error) {
	if tx.Type() != types.DynamicFeeTxType {
		return tools.Signed{}, fmt.Errorf("the wallet sent a transaction of type %d, and only type 2 is recorded", tx.Type())
	}
	raw, err := tx.MarshalBinary()
	return tools.Signed{Account: account, Nonce: tx.Nonce(), Hash: tx.Hash().Hex(), Raw: hexutil.Encode(raw)}, err
}

// simulatedAt returns the block at which the call was simulated.
func (p *payer) simulatedAt(in tools.Input) (*big.Int, error) {
	var at place
	if err := json.Unmarshal(in.Foreseen, &at); err != nil {
		return nil, fmt.Errorf("the simulation: %w", err)
	}
	n, ok := new(big.Int).SetString(at.Block, 10)
	if !ok {
		return nil, errors.New("the simulation names no block")
	}
	return n, nil
}

// What used a nonce that no transaction has.
var (
	errAuthorized    = errors.New("an authorization has used the nonce")
	errNoTransaction = errors.New("no transaction of the block has the nonce that was used in it")
)

// transactionOf finds the transaction of a nonce that was used after a block, by halves. The error is errAuthorized if
// the account has used it to take on code (EIP-7702), and errNoTransaction if the block does not say what has.
func (p *payer) transactionOf(
	ctx context.Context, wallet common.Address, nonce uint64, after, last *big.Int,
) (*types.Transaction, error) {
	node, ok := p.client.(blockReader)
	if !ok {
		return nil, errors.New("the endpoint does not tell the transactions of a block")
	}
	low := after.Int64() + 1
	var failed error
	i := sort.Search(int(last.Int64()-low+1), func(i int) bool {
		used, err := p.client.NonceAt(ctx, wallet, big.NewInt(low+int64(i)))
		if err != nil {
			failed = err
		}
		return used > nonce
	})
	if failed != nil {
		return nil, fmt.Errorf("nonce: %w", failed)
	}
	block, err := node.BlockByNumber(ctx, big.NewInt(low+int64(i)))
	if err != nil {
		return nil, fmt.Errorf("block: %w", err)
	}
	failed = errNoTransaction
	for _, tx := range block.Transactions() {
		from, err := types.Sender(types.LatestSignerForChainID(p.id), tx)
		if err == nil && from == wallet && tx.Nonce() == nonce {
			return tx, nil
		}
		for _, auth := range tx.SetCodeAuthorizations() {
			who, err := auth.Authority()
			isHere := auth.ChainID.IsZero() || auth.ChainID.CmpBig(p.id) == 0
			if err == nil && who == wallet && auth.Nonce == nonce && isHere {
				failed = errAuthorized
			}
		}
	}
	return nil, fmt.Errorf("block %s, nonce %d: %w", block.Number(), nonce, failed)
}

// outcomeOfClaim says what has become of a transaction that the wallet said it had sent, and that is not in the chain.
// What is known of it is its nonce, if the node shows it as the call's, or has once. That it never will be there is
// said only once a final block has its nonce used by something else; until then any block may go.
func (p *payer) outcomeOfClaim(
	ctx context.Context, in tools.Input, a *act, hash string, next uint64, since, last *big.Int,
) error {
	if hash == "" {
		return tools.ErrUnsent
	}
	claimed := common.HexToHash(hash)
	if tx, _, err := p.client.TransactionByHash(ctx, claimed); err == nil && p.compare(tx, a, in.Wallet) == "" {
		p.seen.note(claimed, tx.Nonce())
	}
	nonce, known := p.seen.nonceOf(claimed)
	if !known || nonce >= next {
		return tools.ErrUnsent // unknown, or waiting
	}
	other, err := p.transactionOf(ctx, in.Wallet, nonce, since, last)
	if err != nil || other.Hash() == claimed {
		return errors.Join(tools.ErrUnsent, err)
	}
	if p.compare(other, a, in.Wallet) == "" {
		return tools.ErrUnsent // another call that asks for the same got it; what is sent for that one is this one's
	}
	rule, err := tools.ParseFinality(p.about.Final)
	if err != nil {
		return err
	}
	if used, err := p.finalNonce(ctx, in.Wallet, rule); err != nil || used <= nonce {
		return errors.Join(tools.ErrUnsent, err)
	}
	if other.To() != nil && *other.To() == in.Wallet && other.Value().Sign() == 0 && len(other.Data()) == 0 {
		return errorf("cancelled", "The wallet has cancelled it: transaction %s took its place and moves nothing.",
			other.Hash())
	}
	return errorf("replaced", "The wallet has sent another transaction in its place, %s; it is not this call.",
		other.Hash())
}
