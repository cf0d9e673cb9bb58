// Command account is the user's side of the example: a contract wallet of one owner on a dev chain. A wallet program
// has this from its maker.
//
//	account deploy URL          deploys the contract, and prints its address
//	account sign FILE           signs a text by the owner's key, as the contract wants it (EIP-1271)
//	account replace URL WALLET  makes somebody else the owner
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/big"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/contracts"
)

// owner owns the contract at first. Its key is public, as those of all accounts of a dev chain.
var owner = devchain.Accounts()["alice"]

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		log.Fatalf("account: %v", err)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "deploy":
		return deploy(ctx, args[1])
	case len(args) == 2 && args[0] == "sign":
		return signFile(args[1])
	case len(args) == 3 && args[0] == "replace" && common.IsHexAddress(args[2]):
		return replace(ctx, args[1], common.HexToAddress(args[2]))
	}
	return errors.New("usage: account deploy URL | sign FILE | replace URL WALLET")
}

// readWallet returns the contract Wallet of internal/eth/devchain/contracts/Wallets.sol.
func readWallet() (code []byte, methods abi.ABI, err error) {
	var all struct {
		Contracts map[string]struct {
			ABI      abi.ABI
			Bytecode hexutil.Bytes
		}
	}
	err = json.Unmarshal(contracts.Wallets, &all)
	c := all.Contracts["Wallet"]
	return c.Bytecode, c.ABI, err
}

func deploy(ctx context.Context, url string) error {
	code, methods, err := readWallet()
	if err != nil {
		return err
	}
	args, err := methods.Pack("", owner.Address)
	if err != nil {
		return err
	}
	receipt, err := send(ctx, url, nil, append(code, args...))
	if err == nil {
		fmt.Println(receipt.ContractAddress.Hex())
	}
	return err
}

func replace(ctx context.Context, url string, wallet common.Address) error {
	_, methods, err := readWallet()
	if err != nil {
		return err
	}
	data, err := methods.Pack("setOwner", devchain.Accounts()["bob"].Address)
	if err == nil {
		_, err = send(ctx, url, &wallet, data)
	}
	return err
}

func signFile(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	sig, err := crypto.Sign(accounts.TextHash(text), owner.Key)
	if err != nil {
		return err
	}
	sig[64] += 27
	fmt.Println(hexutil.Encode(sig))
	return nil
}

// send sends a transaction of the owner's and waits until it is in a block.
func send(ctx context.Context, url string, to *common.Address, data []byte) (*types.Receipt, error) {
	c, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	nonce, err := c.PendingNonceAt(ctx, owner.Address)
	if err != nil {
		return nil, err
	}
	id := big.NewInt(devchain.ID)
	tx, err := types.SignNewTx(owner.Key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: to, Data: data, Gas: 1_000_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	if err != nil {
		return nil, err
	}
	if err := c.SendTransaction(ctx, tx); err != nil {
		return nil, err
	}
	for {
		receipt, err := c.TransactionReceipt(ctx, tx.Hash())
		switch {
		case err == nil && receipt.Status == types.ReceiptStatusSuccessful:
			return receipt, nil
		case err == nil:
			return nil, errors.New("the transaction was reverted")
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		time.Sleep(50 * time.Millisecond)
	}
}
