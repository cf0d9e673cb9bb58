// The program stands for the wallet of a dApp's user: it has alice's key of the dev chain, and sends what it is asked
// to.
//
//	wallet key             prints the key, for signing in
//	wallet send URL        reads what `writ pay --json` says, sends the first transaction and prints run and hash
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

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
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
		fmt.Println(hex.EncodeToString(crypto.FromECDSA(alice.Key)))
		return
	}
	if err := send(context.Background(), os.Args[2], alice); err != nil {
		log.Fatalf("wallet: %v", err)
	}
}

func send(ctx context.Context, url string, from devchain.Account) error {
	var asked wire.WalletCalls
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	if len(asked.Calls) == 0 {
		return errors.New("nothing is asked for")
	}
	call := asked.Calls[0]
	if common.HexToAddress(call.From) != from.Address || call.Chain != devchain.ID {
		return errors.New("it is asked of another wallet")
	}
	c, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close()
	nonce, err := c.PendingNonceAt(ctx, from.Address)
	if err != nil {
		return err
	}
	value, err := hexutil.DecodeBig(call.Value)
	if err != nil {
		return err
	}
	to := common.HexToAddress(call.To)
	tx, err := types.SignNewTx(from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: nonce, To: &to, Value: value, Data: common.FromHex(call.Data),
		Gas: 200_000, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	if err != nil {
		return err
	}
	if err := c.SendTransaction(ctx, tx); err != nil {
		return err
	}
	fmt.Println(call.Run, tx.Hash())
	return nil
}
