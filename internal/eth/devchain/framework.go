package devchain

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm/runtime"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

// The Delegation Framework's contracts, by which accounts let others pay (ERC-7710): code to deploy, with the
// constructors' arguments, and the addresses that it has on every chain.
//
//go:embed contracts/framework.json
var frameworkJSON []byte

type framework struct {
	Proxy     hexutil.Bytes // an account of its own of an implementation: ERC1967Proxy(address,bytes)
	Contracts []struct {
		Name    string
		Address common.Address
		Code    hexutil.Bytes
	}
}

var readFramework = sync.OnceValues(func() (f framework, err error) {
	err = json.Unmarshal(frameworkJSON, &f)
	return f, err
})

// Delegator returns the code of the Delegation Framework that an account takes on to be a smart account (EIP-7702).
func Delegator() common.Address {
	return common.HexToAddress("0x63c0c19a282a1B52b07dD5a65b58948A07DAE32B")
}

// SendOwn sends a transaction of an account that may be a smart one, of which the node takes one at a time: it waits
// until the node has seen the block of the last.
func SendOwn(ctx context.Context, client *ethclient.Client, tx *types.Transaction) (err error) {
	waited := pollUntil(ctx, func() bool {
		err = client.SendTransaction(ctx, tx)
		return err == nil || !strings.Contains(err.Error(), "in-flight transaction limit")
	})
	return errors.Join(waited, err)
}

// BecomeSmart gives an account the code of [Delegator], by a transaction of its own that it signs (EIP-7702), and waits
// until a block has it.
func BecomeSmart(ctx context.Context, client *ethclient.Client, a Account) error {
	nonce, err := client.PendingNonceAt(ctx, a.Address)
	if err != nil {
		return err
	}
	number, err := client.ChainID(ctx)
	if err != nil {
		return err
	}
	id := uint256.MustFromBig(number)
	auth, err := types.SignSetCode(a.Key, types.SetCodeAuthorization{
		ChainID: *id, Address: Delegator(), Nonce: nonce + 1, // the transaction itself uses the first
	})
	if err != nil {
		return err
	}
	tx, err := types.SignNewTx(a.Key, types.LatestSignerForChainID(number), &types.SetCodeTx{
		ChainID: id, Nonce: nonce, To: a.Address, Gas: 100_000, Value: new(uint256.Int),
		AuthList:  []types.SetCodeAuthorization{auth},
		GasTipCap: uint256.NewInt(params.GWei), GasFeeCap: uint256.NewInt(10 * params.GWei),
	})
	if err != nil {
		return err
	}
	if err := client.SendTransaction(ctx, tx); err != nil {
		return err
	}
	want := types.AddressToDelegation(Delegator())
	err = pollUntil(ctx, func() bool {
		code, err := client.CodeAt(ctx, a.Address, nil)
		return err == nil && bytes.Equal(code, want)
	})
	if err != nil {
		return fmt.Errorf("the account has not become a smart account: %w", err)
	}
	return nil
}

// SmartAccount returns the transaction data that deploys a smart account of its own, which one key owns, behind a proxy
// of the framework's HybridDeleGator.
func SmartAccount(owner common.Address) ([]byte, error) {
	f, err := readFramework()
	if err != nil {
		return nil, err
	}
	const initialize = `[{"type":"function","name":"initialize","inputs":[{"type":"address"},{"type":"string[]"},` +
		`{"type":"uint256[]"},{"type":"uint256[]"}]},{"type":"constructor","inputs":[{"type":"address"},{"type":"bytes"}]}]`
	i, err := abi.JSON(strings.NewReader(initialize))
	if err != nil {
		return nil, err
	}
	call, err := i.Pack("initialize", owner, []string{}, []*big.Int{}, []*big.Int{})
	if err != nil {
		return nil, err
	}
	args, err := i.Pack("", common.HexToAddress("0x48dBe696A4D990079e039489bA2053B36E8FFEC4"), call)
	return append(slices.Clone(f.Proxy), args...), err
}

// frameworkAlloc returns what the contracts are when their constructors have run, each at its address: the dev chain
// begins with them.
var frameworkAlloc = sync.OnceValues(func() (types.GenesisAlloc, error) {
	f, err := readFramework()
	if err != nil {
		return nil, err
	}
	db, err := state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	if err != nil {
		return nil, err
	}
	out := types.GenesisAlloc{}
	for _, c := range f.Contracts {
		// Code to deploy that is called where it is to be runs as it would be deployed, and returns the contract's.
		db.SetCode(c.Address, c.Code, tracing.CodeChangeUnspecified)
		code, _, err := runtime.Call(c.Address, nil, &runtime.Config{
			ChainConfig: params.AllDevChainProtocolChanges, State: db, GasLimit: 16_000_000,
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		a := types.Account{Code: code, Balance: new(big.Int), Nonce: 1, Storage: map[common.Hash]common.Hash{}}
		for slot := range int64(frameworkSlots) {
			at := common.BigToHash(big.NewInt(slot))
			if v := db.GetState(c.Address, at); v != (common.Hash{}) {
				a.Storage[at] = v
			}
		}
		out[c.Address] = a
	}
	return out, nil
})

// frameworkSlots is how many slots of storage a constructor may have set, from the first on.
const frameworkSlots = 8
