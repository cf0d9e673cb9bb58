// The program deploys a feed of prices on a dev chain, from the account of alice, whose key is public, or makes it say
// that it was updated last in 2020. Its address is known before: it is that of alice's first contract.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/contracts"
)

func main() {
	log.SetFlags(0)
	feed := crypto.CreateAddress(devchain.Accounts()["alice"].Address, 0)
	if len(os.Args) == 3 {
		if err := send(context.Background(), os.Args[1], os.Args[2] == "old", feed); err != nil {
			log.Fatalf("deploy: %v", err)
		}
	}
	fmt.Println(feed.Hex())
}

// send sends the contract, or the call that makes it old, and waits until that is done.
func send(ctx context.Context, url string, old bool, feed common.Address) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var compiled struct {
		ABI      abi.ABI
		Bytecode hexutil.Bytes
	}
	if err := json.Unmarshal(contracts.Feed, &compiled); err != nil {
		return err
	}
	price, one := big.NewInt(3412_57000000), big.NewInt(1)
	tx := &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Gas: 1_000_000, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	}
	var err error
	if old {
		tx.Nonce, tx.To = 1, &feed
		tx.Data, err = compiled.ABI.Pack("set", uint8(8), one, price, new(big.Int), big.NewInt(1_600_000_000), one)
	} else {
		tx.Data, err = compiled.ABI.Pack("", uint8(8), price)
		tx.Data = append(compiled.Bytecode, tx.Data...)
	}
	if err != nil {
		return err
	}
	c, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close()
	signed, err := types.SignNewTx(devchain.Accounts()["alice"].Key, types.LatestSignerForChainID(tx.ChainID), tx)
	if err == nil {
		err = c.SendTransaction(ctx, signed)
	}
	for err == nil {
		receipt, missing := c.TransactionReceipt(ctx, signed.Hash())
		switch {
		case missing == nil && receipt.Status == types.ReceiptStatusSuccessful:
			return nil
		case missing == nil:
			return fmt.Errorf("the transaction %s was reverted", signed.Hash())
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return err
}
