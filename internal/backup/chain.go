package backup

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
)

type journalEpoch = journal.LogEpoch

// Bounds on what a chain is asked.
const (
	logBlocks   = 2000      // of one question
	maxBlocks   = 2_000_000 // since a backup
	maxMissing  = 10_000    // transactions since
	clockMargin = time.Hour // by which a block's time and ours may differ
)

// transferTopic is of Transfer(address,address,uint256).
var transferTopic = common.HexToHash("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")

// A Chain is where the accounts that the server pays from are.
type Chain struct {
	Ask interface {
		NonceAt(ctx context.Context, account common.Address, number *big.Int) (uint64, error)
		PendingNonceAt(ctx context.Context, account common.Address) (uint64, error)
		HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error)
		FilterLogs(ctx context.Context, q ethereum.FilterQuery) ([]types.Log, error)
		TransactionByHash(ctx context.Context, hash common.Hash) (*types.Transaction, bool, error)
		TransactionReceipt(ctx context.Context, hash common.Hash) (*types.Receipt, error)
	}
	Book    *tools.Book
	Account common.Address // of the settings; zero if the server has none
}

// unasked is the refusal where a chain does not say what it must.
func unasked(format string, args ...any) error {
	return &Refusal{Code: "chain", Chain: true, Says: fmt.Sprintf(format, args...) +
		"; name another endpoint with --rpc, or restore with --no-chain, " +
		"after which every cap that outlives a session is used up"}
}

// sentSince returns what the accounts have sent that the backup does not know of, fees included.
func (c *Chain) sentSince(ctx context.Context, m Manifest) (sent []store.Sent, err error) {
	next := map[common.Address]uint64{}
	if c.Account != (common.Address{}) {
		next[c.Account] = 0
	}
	prefix := fmt.Sprintf("eip155:%d:", c.Book.Chain)
	for account, n := range m.Holds.Nonces {
		rest, here := strings.CutPrefix(account, prefix)
		if !here || !common.IsHexAddress(rest) {
			return nil, unasked("the backup has payments by %s, which is not on the chain of the settings", account)
		}
		next[common.HexToAddress(rest)] = n
	}
	for account, known := range next {
		mined, err := c.Ask.NonceAt(ctx, account, nil)
		var pending uint64
		if err == nil {
			pending, err = c.Ask.PendingNonceAt(ctx, account)
		}
		switch {
		case err != nil:
			return nil, unasked("the chain does not say what %s has sent since the backup (%s)", account, err)
		case mined < known && pending <= known:
			// What the backup reserved for it counts as spent.
		case pending > mined && pending > known:
			return nil, unasked("%s has %d transactions under way; wait until they are mined", account, pending-mined)
		case mined-known > maxMissing && known > 0:
			return nil, unasked("%s has sent %d transactions since the backup, more than are looked through", account,
				mined-known)
		}
		if mined <= known {
			continue
		}
		some, err := c.sentBy(ctx, account, known, mined, m)
		if err != nil {
			return nil, err
		}
		sent = append(sent, some...)
	}
	return addUp(sent), nil
}

// sentBy finds the transfers of one account, from a nonce on. If there were other transactions, all of the chain's own
// money may have left by them.
func (c *Chain) sentBy(ctx context.Context, account common.Address, known, mined uint64, m Manifest) (
	sent []store.Sent, err error) {
	logs, err := c.transfersOf(ctx, account, m)
	if err != nil {
		return nil, unasked("the chain does not say what %s has sent since the backup (%s)", account, err)
	}
	symbols, native := c.listAssets()
	seen := map[common.Hash]bool{} // whether the backup does not know it
	explained := uint64(0)
	for _, l := range logs {
		since, there := seen[l.TxHash]
		if !there {
			tx, err := c.readTransaction(ctx, account, l.TxHash)
			if err != nil {
				return nil, unasked("the chain does not say what %s was (%s)", l.TxHash, err)
			}
			// Another's transaction can move tokens, too, where the account has allowed it.
			since = !tx.own || tx.nonce >= known
			if seen[l.TxHash] = since; since && tx.own {
				explained++
				sent = append(sent, store.Sent{Amount: amountOf(native, tx.fee)})
				if tx.value.Sign() > 0 {
					sent = append(sent, store.Sent{To: tx.to, Amount: amountOf(native, tx.value)})
				}
			}
		}
		asset, listed := symbols[l.Address]
		if since && listed && len(l.Topics) == 3 && len(l.Data) == 32 {
			sent = append(sent, store.Sent{
				To: common.BytesToAddress(l.Topics[2][12:]).Hex(), Amount: amountOf(asset, new(big.Int).SetBytes(l.Data)),
			})
		}
	}
	if explained < mined-known {
		sent = append(sent, store.Sent{Amount: money.FromUint256(native, allUnits)})
	}
	return sent, nil
}

// listAssets returns the assets of the settings by their contracts, and the chain's own.
func (c *Chain) listAssets() (symbols map[common.Address]money.Asset, native money.Asset) {
	symbols = map[common.Address]money.Asset{}
	for symbol, t := range c.Book.Tokens {
		symbols[t.Address] = money.Asset{Symbol: symbol, Decimals: t.Decimals}
	}
	native, ok := symbols[common.Address{}]
	if !ok {
		native = money.Asset{Symbol: "ETH", Decimals: 18}
	}
	return symbols, native
}

// allUnits is above every cap, with room for what is reserved.
var allUnits = new(uint256.Int).Lsh(uint256.NewInt(1), 254)

func viewSent(s store.Sent) SentView {
	if units := s.Amount.Uint256(); units.Cmp(allUnits) >= 0 {
		return SentView{s.To, "all " + s.Amount.Asset().Symbol}
	}
	return SentView{s.To, s.Amount.String()}
}

// A transaction is what counts of one: what left the account by it besides tokens.
type transaction struct {
	own        bool // the account has sent it; else the rest is not set
	nonce      uint64
	fee, value *big.Int
	to         string // EIP-55; empty if it makes a contract
}

func (c *Chain) readTransaction(ctx context.Context, account common.Address, hash common.Hash) (t transaction,
	err error) {
	tx, _, err := c.Ask.TransactionByHash(ctx, hash)
	if err != nil {
		return t, err
	}
	if from, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx); err != nil || from != account {
		return t, nil
	}
	r, err := c.Ask.TransactionReceipt(ctx, hash)
	if err != nil {
		return t, err
	}
	price := r.EffectiveGasPrice
	if price == nil {
		price = tx.GasFeeCap()
	}
	t = transaction{own: true, nonce: tx.Nonce(), value: tx.Value(),
		fee: new(big.Int).Mul(price, new(big.Int).SetUint64(r.GasUsed))}
	if tx.To() != nil {
		t.to = tx.To().Hex()
	}
	return t, nil
}

// transfersOf returns the logs of the tokens in the settings that have left the account since an hour before the
// backup. Other contracts are not asked for: anybody can have one say that the account has sent something.
func (c *Chain) transfersOf(ctx context.Context, account common.Address, m Manifest) ([]types.Log, error) {
	from, last, err := c.blocksSince(ctx, m)
	if err != nil {
		return nil, err
	}
	if last-from > maxBlocks {
		return nil, fmt.Errorf("%d blocks have come since, more than are looked through", last-from)
	}
	var tokens []common.Address
	for _, t := range c.Book.Tokens {
		if t.Address != (common.Address{}) {
			tokens = append(tokens, t.Address)
		}
	}
	if len(tokens) == 0 { // an empty list would be all contracts
		return nil, nil
	}
	var all []types.Log
	for ; from <= last; from += logBlocks {
		logs, err := c.Ask.FilterLogs(ctx, ethereum.FilterQuery{
			FromBlock: new(big.Int).SetUint64(from), ToBlock: new(big.Int).SetUint64(min(from+logBlocks-1, last)),
			Addresses: tokens, Topics: [][]common.Hash{{transferTopic}, {common.BytesToHash(account[:])}},
		})
		if err != nil {
			return nil, err
		}
		if all = append(all, logs...); len(all) > 10*maxMissing {
			return nil, fmt.Errorf("more than %d transfers since", 10*maxMissing)
		}
	}
	return all, nil
}

// blocksSince returns the first block that may be later than the backup, and the newest.
func (c *Chain) blocksSince(ctx context.Context, m Manifest) (from, last uint64, err error) {
	made, err := time.Parse(time.RFC3339, m.Made)
	if err != nil {
		return 0, 0, err
	}
	head, err := c.Ask.HeaderByNumber(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	last = head.Number.Uint64()
	for to := last; from < to; {
		mid := from + (to-from)/2
		h, err := c.Ask.HeaderByNumber(ctx, new(big.Int).SetUint64(mid))
		if err != nil {
			return 0, 0, err
		}
		if int64(h.Time) < made.Add(-clockMargin).Unix() {
			from = mid + 1
		} else {
			to = mid
		}
	}
	return from, last, nil
}

func amountOf(a money.Asset, n *big.Int) money.Amount {
	u, over := uint256.FromBig(n)
	if over {
		u = new(uint256.Int).SetAllOne()
	}
	return money.FromUint256(a, u)
}

// addUp adds the amounts of one asset to one recipient.
func addUp(list []store.Sent) []store.Sent {
	var out []store.Sent
	for _, s := range list {
		i := slices.IndexFunc(out, func(o store.Sent) bool { return o.To == s.To && o.Amount.Asset() == s.Amount.Asset() })
		if i < 0 {
			out = append(out, s)
			continue
		}
		out[i].Amount = out[i].Amount.AddCapped(s.Amount)
	}
	slices.SortFunc(out, func(a, b store.Sent) int {
		return strings.Compare(a.Amount.Asset().Symbol+a.To, b.Amount.Asset().Symbol+b.To)
	})
	return out
}
