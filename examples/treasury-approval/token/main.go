// Command token puts the example's USDC on a chain of anvil and gives 100 of it, and coin for fees, to an account. It
// prints the token's address.
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
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 || !common.IsHexAddress(os.Args[3]) {
		log.Fatal("usage: token URL USDC.json ACCOUNT")
	}
	token, err := deploy(os.Args[1], os.Args[2], common.HexToAddress(os.Args[3]))
	if err != nil {
		log.Fatalf("token: %v", err)
	}
	fmt.Println(token.Hex())
}

func deploy(url, file string, to common.Address) (token common.Address, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var usdc struct{ Bytecode hexutil.Bytes }
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &usdc)
	}
	if err != nil {
		return token, err
	}
	c, err := rpc.DialContext(ctx, url)
	if err != nil {
		return token, err
	}
	defer c.Close()
	var accounts []common.Address // anvil signs for these
	if err := c.CallContext(ctx, &accounts, "eth_accounts"); err != nil || len(accounts) == 0 {
		return token, fmt.Errorf("the chain has no accounts of its own: %w", err)
	}
	from := accounts[0]
	token = crypto.CreateAddress(from, 0)
	mint := append(crypto.Keccak256([]byte("mint(address,uint256)"))[:4], common.LeftPadBytes(to[:], 32)...)
	mint = append(mint, common.LeftPadBytes(big.NewInt(100e6).Bytes(), 32)...)
	type tx struct {
		From common.Address  `json:"from"`
		To   *common.Address `json:"to,omitempty"`
		Data hexutil.Bytes   `json:"data"`
	}
	for _, t := range []tx{{From: from, Data: usdc.Bytecode}, {from, &token, mint}} {
		var hash common.Hash
		if err := c.CallContext(ctx, &hash, "eth_sendTransaction", t); err != nil {
			return token, err
		}
		if err := wait(ctx, c, hash); err != nil { // what follows is of no use before
			return token, err
		}
	}
	return token, c.CallContext(ctx, nil, "anvil_setBalance", to, hexutil.EncodeBig(big.NewInt(1e18)))
}

// wait returns once a transaction has done what it was to do.
func wait(ctx context.Context, c *rpc.Client, hash common.Hash) error {
	for {
		var receipt *struct{ Status hexutil.Uint64 }
		switch err := c.CallContext(ctx, &receipt, "eth_getTransactionReceipt", hash); {
		case err != nil:
			return err
		case receipt != nil && receipt.Status == 1:
			return nil
		case receipt != nil:
			return fmt.Errorf("the transaction %s was reverted", hash)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
