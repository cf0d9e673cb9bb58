package beside

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/eth/pool"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/provenance/logproof"
)

// deployTime bounds how long a contract's transaction is waited for.
const deployTime = 2 * time.Minute

// deployOptions are the flags of writ anchor deploy.
type deployOptions struct {
	rpc, key, vkey string
	maxGwei        uint64
}

// Anchor is writ anchor.
func Anchor(a *cli.Shell) *cobra.Command {
	var o deployOptions
	c := &cobra.Command{
		Use: "deploy --rpc URL --key REF --log VKEY", Short: "Make the contract that takes a log's anchors",
		Long: `Sends one transaction that makes a contract for the anchors of one log. The contract keeps nothing and holds
nothing: it takes calls of the account that made it, and each is one event. Its source is
internal/eth/devchain/contracts/Anchor.yul.

Give the server that account's key as anchor.key, and let the account do nothing else: anchor.chain and anchor.contract
are printed. Tell auditors the contract with its chain, by another way than the server's files:

  writ-audit verify run.car --log-key VKEY --log URL --anchor-rpc URL --anchor-contract eip155:8453:0x...`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.deploy(c.Context(), a) },
	}
	f := c.Flags()
	f.StringVar(&o.rpc, "rpc", "", "JSON-RPC `URL` of the chain")
	f.StringVar(&o.key, "key", "", "key of the account that will anchor: file:PATH or env:NAME")
	f.StringVar(&o.vkey, "log", "", "the log's `key`, origin+hash+key")
	f.Uint64Var(&o.maxGwei, "max-fee-gwei", pool.MaxGwei, "`gwei` for a unit of gas at most")
	return cli.Group("anchor", "Anchor the log's checkpoints on a chain", c)
}

func (o *deployOptions) deploy(ctx context.Context, a *cli.Shell) error {
	if o.rpc == "" || o.key == "" || o.vkey == "" {
		return cli.Usage("give --rpc, the chain; --key, the account's key as file:PATH or env:NAME; and --log, the log's " +
			"key as the server says it at /log/")
	}
	if _, err := logproof.ParseKey(o.vkey); err != nil {
		return cli.Usage("--log: %s", err)
	}
	secret, err := a.RevealSecret(o.key)
	if err != nil {
		return err
	}
	account, err := crypto.HexToECDSA(strings.TrimPrefix(secret, "0x"))
	if err != nil {
		return cli.Usage("%s does not hold a private key of 64 hex digits", o.key)
	}
	ctx, cancel := context.WithTimeout(ctx, deployTime)
	defer cancel()
	r, err := o.deployAnchors(ctx, account)
	if err != nil {
		if _, said := errors.AsType[*cli.Failure](err); !said && ctx.Err() == nil {
			err = cli.Failf(cli.ExitNetwork, "chain", "the contract is not made: %s", err)
		}
		return err
	}
	return a.Done(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s\nanchor:\n  rpc: [%s]\n  chain: %d\n  contract: \"%s\"\n  key: %s\n", r.Contract, o.rpc, r.Chain,
			common.HexToAddress(r.Address), o.key)
	})
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

func (o *deployOptions) deployAnchors(ctx context.Context, key *ecdsa.PrivateKey) (r deployed, err error) {
	ask, err := eth.Dial(o.rpc)
	if err != nil {
		return r, cli.Usage("--rpc: %s", err)
	}
	defer ask.Close()
	if r.Chain, err = ask.ChainID(ctx); err != nil {
		return r, err
	}
	chain, err := pool.New(pool.Config{URLs: []string{o.rpc}, Chain: r.Chain})
	if err != nil {
		return r, cli.Usage("--rpc: %s", err)
	}
	defer chain.Close()
	from := crypto.PubkeyToAddress(key.PublicKey)
	r.Account = from.Hex()
	tx, err := signCreation(ctx, chain, key, r.Chain, logproof.AnchorCreation(o.vkey), o.maxGwei)
	if errors.Is(err, pool.ErrDear) {
		return r, cli.Failf(cli.ExitIncomplete, "chain", "nothing was signed: %s; --max-fee-gwei lets it be more", err)
	}
	if err != nil {
		return r, err
	}
	r.Tx = tx.Hash().Hex()
	if err := chain.SendTransaction(ctx, tx); err != nil {
		return r, err
	}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 4*time.Second) {
		receipt, err := chain.TransactionReceipt(ctx, tx.Hash())
		if err == nil {
			if receipt.Status != types.ReceiptStatusSuccessful {
				return r, cli.Failf(cli.ExitInternal, "chain", "the chain refused the contract in transaction %s", r.Tx)
			}
			r.Block, r.Address = receipt.BlockNumber.Uint64(), receipt.ContractAddress.Hex()
			r.Contract = fmt.Sprintf("eip155:%d:%s", r.Chain, r.Address)
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, cli.Failf(cli.ExitNetwork, "timeout",
				"the transaction %s is sent, and not mined yet; its contract will be %s",
				r.Tx, crypto.CreateAddress(from, tx.Nonce()).Hex())
		case <-time.After(pause):
		}
	}
}

// signCreation signs the transaction that makes a contract of code, at the price that the chain asks now, which is at
// most so many gwei for a unit of gas.
func signCreation(
	ctx context.Context, chain *pool.Pool, key *ecdsa.PrivateKey, id uint64, code []byte, maxGwei uint64,
) (*types.Transaction, error) {
	from := crypto.PubkeyToAddress(key.PublicKey)
	nonce, err := chain.PendingNonceAt(ctx, from)
	if err != nil {
		return nil, err
	}
	tip, price, err := chain.PriceGas(ctx, maxGwei)
	if err != nil {
		return nil, err
	}
	gas, err := chain.EstimateGas(ctx, ethereum.CallMsg{From: from, Data: code})
	if err != nil {
		return nil, err
	}
	number := new(big.Int).SetUint64(id)
	return types.SignNewTx(key, types.LatestSignerForChainID(number), &types.DynamicFeeTx{
		ChainID: number, Nonce: nonce, Data: code, Gas: gas + gas/5, GasTipCap: tip, GasFeeCap: price,
	})
}
