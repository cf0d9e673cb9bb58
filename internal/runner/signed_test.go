package runner_test

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/toolstest"
)

// sender is the account that chain tools of these tests send from. Its key is the first one of every dev chain.
const sender = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"

// signTransfer signs the transfer that a call says, as auditors want to read it.
func signTransfer(in tools.Input, nonce uint64) tools.Signed {
	key, err := crypto.HexToECDSA("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
	if err != nil {
		panic(err)
	}
	b := book()
	id, token := new(big.Int).SetUint64(b.Chain), b.Tokens[in.Args.Amount.Asset().Symbol].Address
	word := in.Args.Amount.Uint256().Bytes32()
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, GasTipCap: new(big.Int), GasFeeCap: big.NewInt(1e9), Gas: 60_000, To: &token, Value: new(big.Int),
		Data: append(append([]byte{0xa9, 0x05, 0x9c, 0xbb}, common.LeftPadBytes(in.Args.To[:], 32)...), word[:]...),
	})
	if err != nil {
		panic(err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return tools.Signed{Account: fmt.Sprintf("eip155:%d:%s", b.Chain, sender), Nonce: nonce, Hash: tx.Hash().Hex(), Raw: hexutil.Encode(raw)}
}

// simulate is the simulation of a transfer by a token that does what it is told.
func simulate(in tools.Input) []byte {
	return toolstest.Simulation(toolstest.Plain(common.HexToAddress(sender), in.Args), tools.SimulatedRead)
}
