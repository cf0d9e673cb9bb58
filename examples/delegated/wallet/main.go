// The program stands for the wallet of a dApp's user: it has alice's key of the dev chain.
//
//	wallet key             prints the key, for signing in and for the delegation
//	wallet agent           prints the agent's account, which alone may pay
//	wallet usdc            prints the token's contract, of which alone may be paid
//	wallet smart URL       makes alice's account a smart account, by EIP-7702
//	wallet revoke URL      reads what `writ mandate revoke --json` says, and revokes it on the chain
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/big"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/eth/devchain"
)

func main() {
	log.SetFlags(0)
	alice := devchain.Accounts()["alice"]
	if len(os.Args) < 3 {
		switch os.Args[len(os.Args)-1] {
		case "agent":
			fmt.Println(devchain.Accounts()["agent"].Address)
			return
		case "usdc":
			fmt.Println(devchain.Book().Tokens["USDC"].Address)
			return
		}
		fmt.Println(hex.EncodeToString(crypto.FromECDSA(alice.Key)))
		return
	}
	if err := act(context.Background(), os.Args[1], os.Args[2], alice); err != nil {
		log.Fatalf("wallet: %v", err)
	}
}

func act(ctx context.Context, what, url string, from devchain.Account) error {
	c, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close()
	if what == "smart" {
		return devchain.BecomeSmart(ctx, c, from)
	}
	return revoke(ctx, c, from)
}

func revoke(ctx context.Context, c *ethclient.Client, from devchain.Account) error {
	var given wire.GivenMandate
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		return err
	}
	nonce, err := c.PendingNonceAt(ctx, from.Address)
	if err != nil {
		return err
	}
	to := common.HexToAddress(given.Manager)
	tx, err := types.SignNewTx(from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: nonce, To: &to, Data: common.FromHex(given.Revoke), Gas: 200_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	if err != nil {
		return err
	}
	if err := c.SendTransaction(ctx, tx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if r, err := c.TransactionReceipt(ctx, tx.Hash()); err == nil {
			if r.Status != types.ReceiptStatusSuccessful {
				return errors.New("the revocation was reverted")
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
