// The program deploys the vault of the example on a dev chain, from the account of alice, whose key is public. Its
// address is known before: it is that of alice's first contract.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
)

func main() {
	log.SetFlags(0)
	alice := devchain.Accounts()["alice"]
	address := crypto.CreateAddress(alice.Address, 0)
	if len(os.Args) == 3 {
		if err := deploy(context.Background(), os.Args[1], os.Args[2], alice); err != nil {
			log.Fatalf("deploy: %v", err)
		}
	}
	fmt.Println(address.Hex())
}

// deploy sends the contract and waits until it is there.
func deploy(ctx context.Context, url, file string, from devchain.Account) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var vault struct{ Bytecode hexutil.Bytes }
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &vault)
	}
	if err != nil {
		return err
	}
	c, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close()
	token := devchain.Book().Tokens["USDC"].Address
	tx, err := types.SignNewTx(from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Gas: 1_000_000, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
		Data: append(vault.Bytecode, common.LeftPadBytes(token[:], 32)...),
	})
	if err == nil {
		err = c.SendTransaction(ctx, tx)
	}
	for err == nil {
		receipt, missing := c.TransactionReceipt(ctx, tx.Hash())
		switch {
		case missing == nil && receipt.Status == types.ReceiptStatusSuccessful:
			return nil
		case missing == nil:
			return fmt.Errorf("the transaction %s was reverted", tx.Hash())
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return err
}
