package main

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A signing is a transaction about to be signed, and what is about to be recorded of it.
type signing struct {
	tx     types.DynamicFeeTx
	by     *ecdsa.PrivateKey
	record func(*tools.Signed) // changes the record of what was signed
}

// signed is what the agent's account answers to a call that wants a transaction signed.
func (g *game) signed(call *provenance.Call) (string, error) {
	_, args, err := g.machine.Arguments(call)
	if err != nil {
		return "", err
	}
	b := g.world.tools[1].Book
	token := b.Tokens[args.Amount.Asset().Symbol].Address
	s := signing{by: g.account, tx: types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(b.Chain), Nonce: g.nonce, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(3e9), Gas: 60_000,
		To: &token, Value: new(big.Int), Data: transferOf(args.To, args.Amount),
	}}
	if g.signs != nil {
		g.signs(&s)
	}
	g.nonce++
	tx, err := types.SignNewTx(s.by, types.NewLondonSigner(s.tx.ChainID), &s.tx)
	if err != nil {
		return "", err
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return "", err
	}
	out := tools.Signed{
		Account: fmt.Sprintf("eip155:%d:%s", b.Chain, crypto.PubkeyToAddress(s.by.PublicKey)), Nonce: tx.Nonce(), Hash: tx.Hash().Hex(), Raw: hexutil.Encode(raw),
	}
	if s.record != nil {
		s.record(&out)
	}
	text, err := json.Marshal(out)
	return string(text), err
}

// transferOf is the call data of ERC-20's transfer.
func transferOf(to common.Address, n money.Amount) []byte {
	word := n.Uint256().Bytes32()
	return append(append([]byte{0xa9, 0x05, 0x9c, 0xbb}, common.LeftPadBytes(to[:], 32)...), word[:]...)
}
