package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
)

const blockArg = `"block":{"type":"string","format":"block","description":"block to read at; latest if absent"}`

var balanceSpec = tools.Spec{
	Output: chainFacts,
	Name:   "chain.balance",
	About:  "Balance of an account in the chain's native coin (ETH), read at one block.",
	Class:  tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["account"],"properties":{` + blockArg + `,
		"account":{"type":"string","format":"address","description":"a name in the address book or a 0x address"}}}`),
	Utterances: []string{
		"what is {account}'s native balance", "what is the native balance of {account}", "native balance of {account}",
		"how much gas money does {account} have",
	},
}

type balanceResult struct {
	Account string `json:"account"`        // EIP-55
	Name    string `json:"name,omitempty"` // in the book
	holding
	place
}

func (c *chain) balance(ctx context.Context, args tools.Args) (any, error) {
	return c.balanceOf(ctx, arg(args, "account").Addr, c.native(), arg(args, "block"))
}

var tokenBalanceSpec = tools.Spec{
	Output: chainFacts,
	Name:   "erc20.balance",
	About:  "Balance of an account in a token, or in the native coin by its symbol, read at one block.",
	Class:  tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["account","token"],"properties":{` + blockArg + `,
		"account":{"type":"string","format":"address","description":"a name in the address book or a 0x address"},
		"token":{"type":"string","format":"token","description":"the token's symbol"}}}`),
	Utterances: []string{
		"what is {account}'s {token} balance", "what is the {token} balance of {account}", "{token} balance of {account}",
		"how much {token} does {account} have", "how much {token} does {account} hold", "how many {token} does {account} have",
		"show {account}'s {token} balance", "{account}'s {token} balance", "balance {account} {token}",
	},
}

func (c *chain) tokenBalance(ctx context.Context, args tools.Args) (any, error) {
	return c.balanceOf(ctx, arg(args, "account").Addr, c.asset(arg(args, "token").Text), arg(args, "block"))
}

func (c *chain) balanceOf(ctx context.Context, account common.Address, asset money.Asset, block tools.Value) (any, error) {
	head, at, err := c.at(ctx, block)
	if err != nil {
		return nil, err
	}
	n, err := c.units(ctx, account, asset, head.Hash())
	if err != nil {
		return nil, err
	}
	return balanceResult{account.Hex(), c.people[account], show(n), at}, nil
}

// units returns a balance at a block.
func (c *chain) units(ctx context.Context, account common.Address, asset money.Asset, block common.Hash) (money.Amount, error) {
	if asset == c.native() {
		n, err := c.client.BalanceAtHash(ctx, account, block)
		if err != nil {
			return money.Amount{}, fmt.Errorf("balance: %w", err)
		}
		return amount(asset, n)
	}
	token, err := c.contract(ctx, asset.Symbol, block)
	if err != nil {
		return money.Amount{}, err
	}
	n, err := c.callUint(ctx, token, packBalanceOf(account), block)
	if err != nil {
		return money.Amount{}, fmt.Errorf("balance of %s: %w", asset.Symbol, err)
	}
	return amount(asset, n)
}

var blockSpec = tools.Spec{
	Output: chainFacts,
	Name:   "chain.block",
	About:  "Header of a block: number, hash, time, base fee and how many transactions it has.",
	Class:  tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{` + blockArg + `}}`),
	Utterances: []string{
		"what is the latest block", "what is the current block", "latest block", "show block {block}", "block {block}", "what is block {block}",
	},
}

type blockResult struct {
	place
	Parent       string `json:"parent"`
	Time         string `json:"time"` // RFC 3339, UTC
	Transactions uint   `json:"transactions"`
	GasUsed      string `json:"gas_used"`
	GasLimit     string `json:"gas_limit"`
	BaseFee      string `json:"base_fee,omitempty"` // wei per gas
}

func (c *chain) block(ctx context.Context, args tools.Args) (any, error) {
	h, at, err := c.at(ctx, arg(args, "block"))
	if err != nil {
		return nil, err
	}
	n, err := c.client.TransactionCount(ctx, h.Hash())
	if err != nil {
		return nil, fmt.Errorf("transactions of the block: %w", err)
	}
	r := blockResult{
		place: at, Parent: h.ParentHash.Hex(), Time: time.Unix(int64(h.Time), 0).UTC().Format(time.RFC3339), Transactions: n,
		GasUsed: fmt.Sprint(h.GasUsed), GasLimit: fmt.Sprint(h.GasLimit),
	}
	if h.BaseFee != nil {
		r.BaseFee = h.BaseFee.String()
	}
	return r, nil
}

var txSpec = tools.Spec{
	Output: chainFacts,
	Name:   "chain.tx",
	About:  "A transaction by its hash: whether it was included and did not revert, who sent it, and which known token it moved.",
	Class:  tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["hash"],"properties":{
		"hash":{"type":"string","format":"hash","description":"the transaction's hash"}}}`),
	Utterances: []string{"what happened to {hash}", "show transaction {hash}", "transaction {hash}", "tx {hash}", "status of {hash}"},
}

// Statuses of a transaction.
const (
	statusPending  = "pending"
	statusOK       = "ok"
	statusReverted = "reverted"
)

type txResult struct {
	Hash   string    `json:"hash"`
	Status string    `json:"status"`
	From   string    `json:"from"`
	To     string    `json:"to,omitempty"` // absent if it made a contract
	Nonce  string    `json:"nonce"`
	Value  holding   `json:"value"`
	Moves  *movement `json:"moves,omitempty"` // what it asks a token of the book to transfer
	Fee    *holding  `json:"fee,omitempty"`
	// The block of its inclusion; while it is pending, only the chain.
	Chain     uint64 `json:"chain"`
	Block     string `json:"block,omitempty"`
	BlockHash string `json:"block_hash,omitempty"`
}

// A movement is a token transfer, as its call data says.
type movement struct {
	To   string `json:"to"`
	Name string `json:"name,omitempty"` // in the book
	holding
}

func (c *chain) tx(ctx context.Context, args tools.Args) (any, error) {
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	hash := common.HexToHash(arg(args, "hash").Text)
	tx, pending, err := c.client.TransactionByHash(ctx, hash)
	if errors.Is(err, ethereum.NotFound) {
		return nil, errorf("unknown_tx", "The chain knows no transaction %s; check the hash, or wait if it was just sent.", hash.Hex())
	}
	if err != nil && strings.Contains(err.Error(), "indexing is in progress") { // go-ethereum, soon after its start
		return nil, errorf("not_indexed", "The node still indexes its transactions; ask again in a minute.")
	}
	if err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	r, err := c.describe(tx)
	if err != nil || pending {
		return r, err
	}
	receipt, err := c.client.TransactionReceipt(ctx, hash)
	if errors.Is(err, ethereum.NotFound) {
		return r, nil // the node has it in no block just now
	}
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return r, c.settle(r, receipt)
}

// describe says what a transaction is, before its inclusion.
func (c *chain) describe(tx *types.Transaction) (*txResult, error) {
	from, err := types.Sender(types.LatestSignerForChainID(c.id), tx)
	if err != nil {
		return nil, fmt.Errorf("sender of the transaction: %w", err)
	}
	value, err := amount(c.native(), tx.Value())
	if err != nil {
		return nil, err
	}
	r := &txResult{
		Hash: tx.Hash().Hex(), Status: statusPending, From: from.Hex(), Nonce: fmt.Sprint(tx.Nonce()), Value: show(value), Chain: c.book.Chain,
	}
	if tx.To() == nil {
		return r, nil
	}
	r.To = tx.To().Hex()
	if symbol, ok := c.symbols[*tx.To()]; ok {
		if to, n, ok := unpackTransfer(tx.Data()); ok {
			moved, err := amount(c.asset(symbol), n)
			if err != nil {
				return nil, err
			}
			r.Moves = &movement{to.Hex(), c.people[to], show(moved)}
		}
	}
	return r, nil
}

// settle adds what a receipt says.
func (c *chain) settle(r *txResult, receipt *types.Receipt) error {
	r.Status = statusReverted
	if receipt.Status == types.ReceiptStatusSuccessful {
		r.Status = statusOK
	}
	r.Block, r.BlockHash = receipt.BlockNumber.String(), receipt.BlockHash.Hex()
	if receipt.EffectiveGasPrice == nil {
		return nil
	}
	fee, err := amount(c.native(), new(big.Int).Mul(receipt.EffectiveGasPrice, new(big.Int).SetUint64(receipt.GasUsed)))
	if err != nil {
		return err
	}
	shown := show(fee)
	r.Fee = &shown
	return nil
}

var infoSpec = tools.Spec{
	Output: chainFacts,
	Name:   "erc20.info",
	About:  "What a token is: its contract, decimals and total supply, read at one block.",
	Class:  tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["token"],"properties":{` + blockArg + `,
		"token":{"type":"string","format":"token","description":"the token's symbol"}}}`),
	Utterances: []string{"what is {token}", "tell me about {token}", "info about {token}", "{token} info", "what is the total supply of {token}"},
}

// infoResult leaves out the contract's own name and symbol: they are whatever its author wrote, and the model would
// read them.
type infoResult struct {
	Address string  `json:"address"`
	Supply  holding `json:"supply"`
	Token   string  `json:"token"`
	place
}

func (c *chain) info(ctx context.Context, args tools.Args) (any, error) {
	symbol := arg(args, "token").Text
	head, at, err := c.at(ctx, arg(args, "block"))
	if err != nil {
		return nil, err
	}
	token, err := c.contract(ctx, symbol, head.Hash())
	if err != nil {
		return nil, err
	}
	n, err := c.callUint(ctx, token, selTotalSupply, head.Hash())
	if err != nil {
		return nil, fmt.Errorf("supply of %s: %w", symbol, err)
	}
	supply, err := amount(c.asset(symbol), n)
	if err != nil {
		return nil, err
	}
	return infoResult{Address: token.Hex(), Supply: show(supply), Token: symbol, place: at}, nil
}
