// Package chain has the tools that read an Ethereum chain and send tokens on it.
//
// [New] returns them: chain.balance, chain.block, chain.tx, chain.call, chain.logs, chain.gas, tx.status, abi.decode,
// erc20.balance, erc20.allowance, erc20.info, erc721.owner and erc721.balance read; with a key there are also
// tx.simulate, which says what a transfer would do, and erc20.transfer, erc20.approve and erc20.revoke, which are done
// from the key's account, and if delegations are taken, mandate.transfer, which pays from the account of whoever gave
// one; where the book has a collection, erc721.transfer and erc721.approve too. The user's own wallet sends what
// wallet.transfer and wallet.approve ask for.
// [NewCall] makes a tool of any contract's function.
//
// A model never sees a raw number alone. Every result carries the exact count of smallest units as a decimal string,
// the token's decimals, a display string made from both, and the chain, number and hash of the block at which it was
// read; all parts of one result are read at that one block. Names and symbols come from the pinned [tools.Book], and a
// token whose decimals on the chain are not those of the book is refused.
package chain

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"sync"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
)

// A Client is what the tools need of an Ethereum node. [*ethclient.Client] is one. If it has SimulateV1 as well, a
// simulation is done by the node; otherwise it is computed from a call.
type Client interface {
	ChainID(ctx context.Context) (*big.Int, error)
	HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error)
	TransactionCount(ctx context.Context, block common.Hash) (uint, error)
	TransactionInBlock(ctx context.Context, block common.Hash, index uint) (*types.Transaction, error)
	BalanceAtHash(ctx context.Context, account common.Address, block common.Hash) (*big.Int, error)
	CallContractAtHash(ctx context.Context, msg ethereum.CallMsg, block common.Hash) ([]byte, error)
	TransactionByHash(ctx context.Context, hash common.Hash) (tx *types.Transaction, pending bool, err error)
	TransactionReceipt(ctx context.Context, hash common.Hash) (*types.Receipt, error)
	NonceAt(ctx context.Context, account common.Address, number *big.Int) (uint64, error)
	PendingNonceAt(ctx context.Context, account common.Address) (uint64, error)
	SuggestGasTipCap(ctx context.Context) (*big.Int, error)
	EstimateGas(ctx context.Context, msg ethereum.CallMsg) (uint64, error)
	SendTransaction(ctx context.Context, tx *types.Transaction) error
}

// A Config says which chain the tools work on, and with whose account.
type Config struct {
	Client Client            // required
	Book   *tools.Book       // required; its chain id must be the client's
	Key    *ecdsa.PrivateKey // of the account that sends; without it the tools only read
	// Final says when a block counts for good, as [tools.ParseFinality] reads it; at once if empty.
	Final  string
	MaxFee uint64 // the most to offer for one gas, in wei; 500 gwei if 0
	// Mandates are delegations by which users' accounts let the key's account pay; nil if none are taken.
	Mandates Mandates
}

// newChain checks a Config. It asks the chain nothing.
func newChain(c Config) (*chain, error) {
	if c.Client == nil || c.Book == nil {
		return nil, errors.New("chain tools: Client and Book are required")
	}
	if err := c.Book.Check(); err != nil {
		return nil, fmt.Errorf("chain tools: %w", err)
	}
	if c.MaxFee == 0 {
		c.MaxFee = 500e9
	}
	ch := &chain{client: c.Client, book: c.Book, id: new(big.Int).SetUint64(c.Book.Chain), maxFee: c.MaxFee,
		final: c.Final, symbols: map[common.Address]string{}, people: map[common.Address]string{},
		checkedTokens: map[string]common.Hash{}, mu: new(sync.Mutex)}
	for symbol, t := range c.Book.Tokens {
		ch.symbols[t.Address] = symbol
	}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(c.Book.Names))) {
		ch.people[c.Book.Names[name]] = name // of two names for one address the first is shown
	}
	if c.Key != nil {
		ch.key, ch.from = c.Key, crypto.PubkeyToAddress(c.Key.PublicKey)
	}
	return ch, nil
}

// New returns the tools, or an error that names the first field that is wrong. It asks the chain nothing.
func New(c Config) ([]tools.Tool, error) {
	ch, err := newChain(c)
	if err != nil {
		return nil, err
	}
	see := views{ch}
	list := []tools.Tool{
		&reader{ch.bindBook(balanceSpec), see.nativeBalance}, &reader{ch.bindBook(blockSpec), see.readBlock},
		&reader{ch.bindBook(txSpec), see.readTransaction},
		&reader{ch.bindBook(tokenBalanceSpec), see.tokenBalance}, &reader{ch.bindBook(infoSpec), see.tokenInfo},
		&reader{ch.bindBook(allowanceSpec), see.readAllowance},
		&reader{ch.bindBook(callSpec), see.callContract}, &reader{ch.bindBook(logsSpec), see.readLogs},
		&reader{ch.bindBook(gasSpec), see.readGas}, &reader{ch.bindBook(decodeSpec), see.decodeData},
		&reader{ch.bindBook(statusSpec), see.readStatus},
		&reader{ch.bindBook(ownerSpec), see.readOwner}, &reader{ch.bindBook(countSpec), see.countThings},
	}
	for _, s := range append(slices.Clone(walletSpecs), thingSpecs(c.Book, true)...) {
		t, err := ch.newPayer(s, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	if c.Key != nil {
		list = append(list, &reader{ch.bindBook(simulateSpec), ch.simulateTransfer})
		for _, s := range append([]tools.Spec{transferSpec, approveSpec, revokeSpec}, thingSpecs(c.Book, false)...) {
			t, err := ch.newSender(s, c.Final, nil)
			if err != nil {
				return nil, err
			}
			list = append(list, t)
		}
		if c.Mandates != nil {
			t, err := ch.newSender(mandateSpec, c.Final, mandateWords{})
			if err != nil {
				return nil, err
			}
			t.mandates = c.Mandates
			list = append(list, t)
		}
	}
	for _, t := range list {
		if _, err := tools.Compile(t.Spec()); err != nil {
			return nil, fmt.Errorf("chain tools: %w", err)
		}
	}
	return list, nil
}

// chain is what the tools share.
type chain struct {
	client  Client
	book    *tools.Book
	id      *big.Int
	maxFee  uint64
	final   string // see Config
	key     *ecdsa.PrivateKey
	from    common.Address            // the key's account
	symbols map[common.Address]string // by contract
	people  map[common.Address]string // the book's names by address

	mu            *sync.Mutex            // guards what follows
	checked       bool                   // the client's chain is the book's
	checkedTokens map[string]common.Hash // by symbol, the newest block at which its decimals were the book's
}

func (c *chain) bindBook(s tools.Spec) tools.Spec {
	s.Book = c.book
	return s
}

// views are what the tools of class read show.
type views struct{ *chain }

// A reader is a tool of class read.
type reader struct {
	spec tools.Spec
	read func(ctx context.Context, args tools.Args) (any, error)
}

// Results are numbers, hashes and the book's own symbols, which a stranger on the chain cannot word. A simulation is
// another matter: the reason of a revert is a text of the contract's.
var (
	chainFacts = &tools.Output{Integrity: label.Tool, Secrecy: label.Session}
	chainWords = &tools.Output{Integrity: label.Untrusted, Secrecy: label.Session}
)

func (r *reader) Spec() tools.Spec { return r.spec }

func (r *reader) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	v, err := r.read(ctx, in.Args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.spec.Name, explainFailure(ctx, err))
	}
	return encodeResult(v)
}

func encodeResult(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return tools.CanonicalJSON(b)
}

// explainFailure adds to an error of the client what the model may read: nothing answered. The client's own words stay
// in the error for the operator.
func explainFailure(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*tools.Error](err); ok || ctx.Err() != nil {
		return err
	}
	if _, ok := errors.AsType[rpc.Error](err); ok || errors.Is(err, ethereum.NotFound) {
		return err
	}
	return fmt.Errorf("%w (%w)", errorf("chain_unavailable", "The chain cannot be reached now; try again in a minute."),
		err)
}

func errorf(code, format string, args ...any) *tools.Error {
	return &tools.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// A place is the block at which something was read. Numbers of blocks are decimal strings.
type place struct {
	Chain     uint64 `json:"chain"`
	Block     string `json:"block"`
	BlockHash string `json:"block_hash"`
}

// findBlock returns the block that an optional argument of format block names, the newest one if it is absent, after
// making sure that the node serves the book's chain.
func (c *chain) findBlock(ctx context.Context, block arg.Value) (*types.Header, place, error) {
	if err := c.checkChain(ctx); err != nil {
		return nil, place{}, err
	}
	var number *big.Int
	if block.Set && block.Text != "latest" {
		n, err := strconv.ParseInt(block.Text, 10, 64)
		if err != nil {
			return nil, place{}, errorf("bad_argument", "%q is not a block number.", block.Text)
		}
		number = big.NewInt(n)
	}
	h, err := c.client.HeaderByNumber(ctx, number)
	if errors.Is(err, ethereum.NotFound) {
		return nil, place{}, errorf("unknown_block", "There is no block %s yet; ask for an earlier one, or for latest.",
			block.Text)
	}
	if err != nil {
		return nil, place{}, fmt.Errorf("block header: %w", err)
	}
	return h, place{c.book.Chain, h.Number.String(), h.Hash().Hex()}, nil
}

func (c *chain) checkChain(ctx context.Context) error {
	c.mu.Lock()
	checked := c.checked
	c.mu.Unlock()
	if checked {
		return nil
	}
	id, err := c.client.ChainID(ctx)
	if err != nil {
		return fmt.Errorf("chain id: %w", err)
	}
	if id.Cmp(c.id) != 0 {
		return errorf("wrong_chain", "The node serves chain %s, but the address book is for chain %s; tell the operator.", id,
			c.id)
	}
	c.mu.Lock()
	c.checked = true
	c.mu.Unlock()
	return nil
}

// A holding is an amount as results show it.
type holding struct {
	Token    string `json:"token"`
	Units    string `json:"units"` // smallest units, decimal
	Decimals uint8  `json:"decimals"`
	Display  string `json:"display"` // e.g. "12.5 USDC"
}

func showHolding(a money.Amount) holding {
	return holding{a.Asset().Symbol, a.Units(), a.Asset().Decimals, a.String()}
}

// assetOf returns the money asset of a symbol of the book.
func (c *chain) assetOf(symbol string) money.Asset {
	return money.Asset{Symbol: symbol, Decimals: c.book.Tokens[symbol].Decimals}
}

// nativeAsset returns the native coin: the book's token with the zero address, or ETH.
func (c *chain) nativeAsset() money.Asset {
	if symbol, ok := c.symbols[common.Address{}]; ok {
		return c.assetOf(symbol)
	}
	return money.Asset{Symbol: "ETH", Decimals: 18}
}

// amountOf makes an amount of what the chain said. A count of more than 256 bits cannot be, and is an error.
func amountOf(a money.Asset, n *big.Int) (money.Amount, error) {
	u, over := uint256.FromBig(n)
	if over || n.Sign() < 0 {
		return money.Amount{}, fmt.Errorf("the node gave %s units of %s: %w", n, a.Symbol, money.ErrOverflow)
	}
	return money.FromUint256(a, u), nil
}
