package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/anchor"
	"github.com/writ-run/writ/internal/chain"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/ethcall"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/translog"
)

// An anchorPlan says where the log is anchored; nowhere if it has no URLs.
type anchorPlan struct {
	URLs     []string
	Chain    uint64
	Contract common.Address
	Key      *ecdsa.PrivateKey
	Interval time.Duration
	MaxFee   *big.Int // wei; anchor's own if nil
}

func anchorOf(c *config.Config) (p anchorPlan, err error) {
	if len(c.Anchor.RPC) == 0 {
		return p, nil
	}
	p = anchorPlan{URLs: c.Anchor.RPC, Chain: uint64(c.Anchor.Chain), Contract: common.HexToAddress(c.Anchor.Contract), Interval: c.Anchor.Interval}
	if c.Anchor.MaxFee > 0 {
		p.MaxFee = new(big.Int).Mul(big.NewInt(c.Anchor.MaxFee), big.NewInt(1e9))
	}
	secret, err := c.Anchor.Key.Reveal()
	if err != nil {
		return p, failf(exitUsage, "config", "anchor.key: %s", err)
	}
	if p.Key, err = crypto.HexToECDSA(strings.TrimPrefix(secret, "0x")); err != nil {
		return p, failf(exitUsage, "config", "anchor.key: %s does not hold a private key of 64 hex digits", c.Anchor.Key)
	}
	return p, nil
}

// anchors are what a server runs to anchor its log. The nil one runs nothing.
type anchors struct {
	stop context.CancelFunc
	pool *chain.Pool
	wg   sync.WaitGroup
}

func startAnchors(ctx context.Context, p anchorPlan, db *store.DB, heads *translog.Log, log *slog.Logger) (*anchors, error) {
	if len(p.URLs) == 0 {
		return nil, nil
	}
	pool, err := chain.NewPool(chain.PoolConfig{URLs: p.URLs, Chain: p.Chain})
	if err != nil {
		return nil, usage("anchor: %s", err)
	}
	k, err := anchor.New(anchor.Config{
		Client: pool, Store: db, Key: p.Key, Contract: p.Contract, VKey: heads.VKey(), Newest: heads.Published, Interval: p.Interval, MaxFee: p.MaxFee, Log: log,
	})
	if err != nil {
		pool.Close()
		return nil, usage("%s", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	a := &anchors{stop: stop, pool: pool}
	a.wg.Go(func() { k.Run(running) })
	return a, nil
}

func (a *anchors) close() {
	if a == nil {
		return
	}
	a.stop()
	a.wg.Wait()
	a.pool.Close()
}

// deployTime bounds how long a contract's transaction is waited for.
const deployTime = 2 * time.Minute

func (a *app) anchorCommand() *cobra.Command {
	var rpc, key, vkey string
	deploy := &cobra.Command{
		Use: "deploy --rpc URL --key REF --log VKEY", Short: "Make the contract that takes a log's anchors",
		Long: `Sends one transaction that makes a contract for the anchors of one log. The contract keeps nothing and holds nothing: it
takes calls of the account that made it, and each is one event. Its source is internal/chain/contracts/Anchor.yul.

Give the server that account's key as anchor.key, and let the account do nothing else: anchor.chain and anchor.contract
are printed. Tell auditors the contract with its chain, by another way than the server's files:

  writ-audit verify run.car --log-key VKEY --log URL --anchor-rpc URL --anchor-contract eip155:8453:0x...`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if rpc == "" || key == "" || vkey == "" {
				return usage("give --rpc, the chain; --key, the account's key as file:PATH or env:NAME; and --log, the log's key as the server says it at /log/")
			}
			if _, err := provenance.ParseLogKey(vkey); err != nil {
				return usage("--log: %s", err)
			}
			secret, err := a.secret(key)
			if err != nil {
				return err
			}
			account, err := crypto.HexToECDSA(strings.TrimPrefix(secret, "0x"))
			if err != nil {
				return usage("%s does not hold a private key of 64 hex digits", key)
			}
			ctx, cancel := context.WithTimeout(c.Context(), deployTime)
			defer cancel()
			r, err := deployAnchors(ctx, rpc, account, vkey)
			if err != nil {
				if _, said := errors.AsType[*failure](err); !said && c.Context().Err() == nil {
					err = failf(exitNetwork, "chain", "the contract is not made: %s", err)
				}
				return err
			}
			return a.done(r, func(w io.Writer) {
				fmt.Fprintf(w, "%s\nanchor:\n  rpc: [%s]\n  chain: %d\n  contract: \"%s\"\n  key: %s\n", r.Contract, rpc, r.Chain, common.HexToAddress(r.Address), key)
			})
		},
	}
	f := deploy.Flags()
	f.StringVar(&rpc, "rpc", "", "JSON-RPC `URL` of the chain")
	f.StringVar(&key, "key", "", "key of the account that will anchor: file:PATH or env:NAME")
	f.StringVar(&vkey, "log", "", "the log's `key`, origin+hash+key")
	return group("anchor", "Anchor the log's checkpoints on a chain", deploy)
}

// A deployed is a contract that was made.
type deployed struct {
	Contract string `json:"contract"` // CAIP-10
	Address  string `json:"address"`
	Chain    uint64 `json:"chain"`
	Account  string `json:"account"` // that it obeys
	Tx       string `json:"tx"`
	Block    uint64 `json:"block"`
}

func deployAnchors(ctx context.Context, rpc string, key *ecdsa.PrivateKey, vkey string) (r deployed, err error) {
	ask, err := ethcall.Dial(rpc)
	if err != nil {
		return r, usage("--rpc: %s", err)
	}
	defer ask.Close()
	if r.Chain, err = ask.ChainID(ctx); err != nil {
		return r, err
	}
	pool, err := chain.NewPool(chain.PoolConfig{URLs: []string{rpc}, Chain: r.Chain})
	if err != nil {
		return r, usage("--rpc: %s", err)
	}
	defer pool.Close()
	from := crypto.PubkeyToAddress(key.PublicKey)
	r.Account = from.Hex()
	nonce, err := pool.PendingNonceAt(ctx, from)
	if err != nil {
		return r, err
	}
	head, err := pool.HeaderByNumber(ctx, nil)
	if err != nil {
		return r, err
	}
	tip, err := pool.SuggestGasTipCap(ctx)
	if err != nil {
		return r, err
	}
	price := new(big.Int).Set(tip)
	if head.BaseFee != nil {
		price.Add(price, new(big.Int).Lsh(head.BaseFee, 1))
	}
	code := provenance.AnchorCreation(vkey)
	gas, err := pool.EstimateGas(ctx, ethereum.CallMsg{From: from, Data: code})
	if err != nil {
		return r, err
	}
	id := new(big.Int).SetUint64(r.Chain)
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, Data: code, Gas: gas + gas/5, GasTipCap: tip, GasFeeCap: price,
	})
	if err != nil {
		return r, err
	}
	r.Tx = tx.Hash().Hex()
	if err := pool.SendTransaction(ctx, tx); err != nil {
		return r, err
	}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 4*time.Second) {
		receipt, err := pool.TransactionReceipt(ctx, tx.Hash())
		if err == nil {
			if receipt.Status != types.ReceiptStatusSuccessful {
				return r, failf(exitInternal, "chain", "the chain refused the contract in transaction %s", r.Tx)
			}
			r.Block, r.Address = receipt.BlockNumber.Uint64(), receipt.ContractAddress.Hex()
			r.Contract = fmt.Sprintf("eip155:%d:%s", r.Chain, r.Address)
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, failf(exitNetwork, "timeout", "the transaction %s is sent, and not mined yet; its contract will be %s", r.Tx, crypto.CreateAddress(from, nonce).Hex())
		case <-time.After(pause):
		}
	}
}
