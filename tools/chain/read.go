package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
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
		"what is {account}'s native balance", "what is the native balance of {account}",
		"native balance of {account}", "how much gas money does {account} have", "{account} native balance",
		"how much native does {account} have", "balance {account} native", "balance of {account} in native",
		"{account} native", "does {account} have native", "does {account} have any native",
		"native balance {account}",
	},
}

type balanceResult struct {
	Account string `json:"account"`        // EIP-55
	Name    string `json:"name,omitempty"` // in the book
	holding
	place
}

func (c views) nativeBalance(ctx context.Context, args tools.Args) (any, error) {
	return c.balanceOf(ctx, args.Value("account").Addr, c.nativeAsset(), args.Value("block"))
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
		"what is {account}'s {token} balance", "what is the {token} balance of {account}",
		"{token} balance of {account}", "how much {token} does {account} have",
		"how much {token} does {account} hold", "how many {token} does {account} have",
		"show {account}'s {token} balance", "{account}'s {token} balance", "balance {account} {token}",
		"{account} {token} balance", "balance of {account} in {token}", "{account} balance in {token}",
		"{token} {account} balance", "balance of {token} of {account}", "balance in {token} of {account}",
		"much {token} does {account} have", "how much {token} {account} have",
		"how much {token} is in {account}", "how much does {account} have in {token}",
		"does {account} have {token}", "does {account} have any {token}", "{account} {token}",
		"how much {token} belongs to {account}", "how much of {token} does {account} have",
		"what does {account} have in {token}", "how much {token} has {account}",
	},
}

func (c views) tokenBalance(ctx context.Context, args tools.Args) (any, error) {
	return c.balanceOf(ctx, args.Value("account").Addr, c.assetOf(args.Value("token").Text), args.Value("block"))
}

func (c views) balanceOf(ctx context.Context, account common.Address, asset money.Asset, block arg.Value) (any,
	error) {
	head, at, err := c.findBlock(ctx, block)
	if err != nil {
		return nil, err
	}
	n, err := c.readUnits(ctx, account, asset, head.Hash())
	if err != nil {
		return nil, err
	}
	return balanceResult{account.Hex(), c.people[account], showHolding(n), at}, nil
}

// readUnits returns a balance at a block.
func (c *chain) readUnits(ctx context.Context, account common.Address, asset money.Asset,
	block common.Hash) (money.Amount, error) {
	if asset == c.nativeAsset() {
		n, err := c.client.BalanceAtHash(ctx, account, block)
		if err != nil {
			return money.Amount{}, fmt.Errorf("balance: %w", err)
		}
		return amountOf(asset, n)
	}
	token, err := c.contractOf(ctx, asset.Symbol, block)
	if err != nil {
		return money.Amount{}, err
	}
	n, err := c.callUint(ctx, token, packBalanceOf(account), block)
	if err != nil {
		return money.Amount{}, fmt.Errorf("balance of %s: %w", asset.Symbol, err)
	}
	return amountOf(asset, n)
}

var blockSpec = tools.Spec{
	Output: chainFacts,
	Name:   "chain.block",
	About:  "Header of a block: number, hash, time, base fee and how many transactions it has.",
	Class:  tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{` + blockArg + `}}`),
	Utterances: []string{
		"what is the latest block", "what is the current block", "latest block", "show block {block}",
		"block {block}", "what is block {block}", "latest block number", "block number", "block height",
		"which block is latest", "what block is latest", "what block are we at", "which block are we at",
		"what block are we on", "block number {block}", "info about block {block}", "info block {block}",
		"what happened in block {block}",
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

func (c views) readBlock(ctx context.Context, args tools.Args) (any, error) {
	h, at, err := c.findBlock(ctx, args.Value("block"))
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
	About: "A transaction by its hash: whether it was included and did not revert, who sent it, and which " +
		"known token it moved.",
	Class: tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["hash"],"properties":{
		"hash":{"type":"string","format":"hash","description":"the transaction's hash"}}}`),
	Utterances: []string{
		"what happened to {hash}", "show transaction {hash}", "transaction {hash}", "tx {hash}",
		"status of {hash}", "{hash}", "tx hash {hash}", "tx status {hash}", "tx {hash} status",
		"status of tx {hash}", "status {hash}", "info about tx {hash}", "receipt of {hash}", "receipt {hash}",
		"did tx {hash} succeed", "did {hash} succeed", "was tx {hash} mined", "was {hash} mined",
		"has tx {hash} been mined", "what happened to tx {hash}", "is tx {hash} mined", "is {hash} mined",
		"details of tx {hash}",
	},
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
	Empty  bool      `json:"empty,omitempty"` // it pays nothing to its own account: it uses the nonce, and cancels
	Fee    *holding  `json:"fee,omitempty"`
	Gas    string    `json:"gas,omitempty"` // units that the fee is for
	// The block of its inclusion; while it is pending, only the chain.
	Chain     uint64 `json:"chain"`
	Block     string `json:"block,omitempty"`
	BlockHash string `json:"block_hash,omitempty"`
	// Final is by which the block is final, where that is known.
	Final *tools.Mark `json:"final,omitempty"`

	// What a contract has logged, by its ABI, of a call of one that has an ABI.
	Events      []any `json:"events,omitempty"`
	OtherEvents int   `json:"other_events,omitempty"`

	// What it really moved, of a transfer of a token of the book, or a call of a contract.
	Left    *tools.Sum `json:"left,omitempty"`    // the account
	Arrived *tools.Sum `json:"arrived,omitempty"` // at the recipient
	*tools.Movement
}

// A movement is a token transfer, as its call data says.
type movement struct {
	To   string `json:"to"`
	Name string `json:"name,omitempty"` // in the book
	holding
}

func (c views) readTransaction(ctx context.Context, args tools.Args) (any, error) {
	if err := c.checkChain(ctx); err != nil {
		return nil, err
	}
	hash := common.HexToHash(args.Value("hash").Text)
	tx, pending, err := c.client.TransactionByHash(ctx, hash)
	if errors.Is(err, ethereum.NotFound) {
		return nil, errorf("unknown_tx", "The chain knows no transaction %s; check the hash, or wait if it was just sent.",
			hash.Hex())
	}
	if err != nil && strings.Contains(err.Error(), "indexing is in progress") { // go-ethereum, soon after its start
		return nil, errorf("not_indexed", "The node still indexes its transactions; ask again in a minute.")
	}
	if err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	r, err := c.describeTransaction(tx)
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
	if there, err := c.isInChain(ctx, receipt); !there {
		return r, err
	}
	if err := c.addReceipt(r, receipt); err != nil {
		return nil, err
	}
	args, ok := c.transferOf(tx)
	if !ok {
		return r, nil
	}
	return r, c.addMovement(ctx, r, args, common.HexToAddress(r.From), receipt)
}

// isInChain says whether a receipt is of a block that the chain has now. One without a block, or of a block that was
// replaced by another, says nothing about what happened.
func (c *chain) isInChain(ctx context.Context, receipt *types.Receipt) (bool, error) {
	if receipt.BlockNumber == nil || receipt.BlockNumber.Sign() < 0 || receipt.BlockHash == (common.Hash{}) {
		return false, nil
	}
	h, err := c.client.HeaderByNumber(ctx, receipt.BlockNumber)
	if errors.Is(err, ethereum.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("block of the receipt: %w", err)
	}
	return h.Hash() == receipt.BlockHash, nil
}

// describeTransaction says what a transaction is, before its inclusion.
func (c *chain) describeTransaction(tx *types.Transaction) (*txResult, error) {
	from, err := types.Sender(types.LatestSignerForChainID(c.id), tx)
	if err != nil {
		return nil, fmt.Errorf("sender of the transaction: %w", err)
	}
	value, err := amountOf(c.nativeAsset(), tx.Value())
	if err != nil {
		return nil, err
	}
	r := &txResult{
		Hash: tx.Hash().Hex(), Status: statusPending, From: from.Hex(), Nonce: fmt.Sprint(tx.Nonce()),
		Value: showHolding(value), Chain: c.book.Chain,
	}
	if tx.To() == nil {
		return r, nil
	}
	r.To = tx.To().Hex()
	r.Empty = *tx.To() == from && tx.Value().Sign() == 0 && len(tx.Data()) == 0
	if symbol, ok := c.symbols[*tx.To()]; ok {
		if to, n, ok := unpackTransfer(tx.Data()); ok {
			moved, err := amountOf(c.assetOf(symbol), n)
			if err != nil {
				return nil, err
			}
			r.Moves = &movement{to.Hex(), c.people[to], showHolding(moved)}
		}
	}
	return r, nil
}

// addReceipt adds what a receipt says.
func (c *chain) addReceipt(r *txResult, receipt *types.Receipt) error {
	r.Status = statusReverted
	if receipt.Status == types.ReceiptStatusSuccessful {
		r.Status = statusOK
	}
	r.Block, r.BlockHash = receipt.BlockNumber.String(), receipt.BlockHash.Hex()
	if receipt.EffectiveGasPrice == nil {
		return nil
	}
	fee, err := amountOf(c.nativeAsset(), new(big.Int).Mul(receipt.EffectiveGasPrice,
		new(big.Int).SetUint64(receipt.GasUsed)))
	if err != nil {
		return err
	}
	shown := showHolding(fee)
	r.Fee, r.Gas = &shown, strconv.FormatUint(receipt.GasUsed, 10)
	return nil
}

var infoSpec = tools.Spec{
	Output: chainFacts,
	Name:   "erc20.info",
	About:  "What a token is: its contract, decimals and total supply, read at one block.",
	Class:  tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["token"],"properties":{` + blockArg + `,
		"token":{"type":"string","format":"token","description":"the token's symbol"}}}`),
	Utterances: []string{
		"what is {token}", "tell me about {token}", "info about {token}", "{token} info",
		"what is the total supply of {token}", "info {token}", "info of {token}", "{token} total supply",
		"total supply of {token}", "supply of {token}", "{token} supply", "{token} decimals",
		"decimals of {token}", "how many decimals does {token} have", "{token} contract", "contract of {token}",
		"{token} token", "token {token}", "about {token}", "what token is {token}", "how much {token} exists",
		"how much {token} is there",
	},
}

// infoResult leaves out the contract's own name and symbol: they are whatever its author wrote, and the model would
// read them.
type infoResult struct {
	Address string  `json:"address"`
	Supply  holding `json:"supply"`
	Token   string  `json:"token"`
	place
}

func (c views) tokenInfo(ctx context.Context, args tools.Args) (any, error) {
	symbol := args.Value("token").Text
	head, at, err := c.findBlock(ctx, args.Value("block"))
	if err != nil {
		return nil, err
	}
	token, err := c.contractOf(ctx, symbol, head.Hash())
	if err != nil {
		return nil, err
	}
	n, err := c.callUint(ctx, token, selTotalSupply, head.Hash())
	if err != nil {
		return nil, fmt.Errorf("supply of %s: %w", symbol, err)
	}
	supply, err := amountOf(c.assetOf(symbol), n)
	if err != nil {
		return nil, err
	}
	return infoResult{Address: token.Hex(), Supply: showHolding(supply), Token: symbol, place: at}, nil
}
