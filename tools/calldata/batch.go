package calldata

import (
	"bytes"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// A batch is how a key's account with the code of a delegate (EIP-7702) makes several calls by one transaction: it
// calls itself, with execute of ERC-7821, in the mode in which one call that fails reverts all, and nothing goes along.
var (
	batchID   = []byte{0xe9, 0xae, 0x5c, 0x53} // execute(bytes32,bytes)
	batchMode = [32]byte{1}
	batchArgs = abi.Arguments{{Type: mustType("bytes32")}, {Type: mustType("bytes")}}
	batchList = abi.Arguments{{Type: mustType("tuple[]",
		abi.ArgumentMarshaling{Name: "to", Type: "address"}, abi.ArgumentMarshaling{Name: "value", Type: "uint256"},
		abi.ArgumentMarshaling{Name: "data", Type: "bytes"})}}
)

// batched is one call of a batch.
type batched struct {
	To    common.Address
	Value *big.Int
	Data  []byte
}

func mustType(name string, parts ...abi.ArgumentMarshaling) abi.Type {
	t, err := abi.NewType(name, "", parts)
	if err != nil {
		panic("calldata: " + err.Error()) // a constant of this program
	}
	return t
}

// Bounds of a batch.
const (
	maxBatch     = 8        // calls
	maxBatchData = 32 << 10 // bytes
)

// PackBatch makes one call of several that an account makes in this order, all of them or none.
func PackBatch(account common.Address, calls ...Call) (Call, error) {
	list := []batched{}
	for _, c := range calls {
		list = append(list, batched{c.To, c.Value.ToBig(), c.Data})
	}
	inner, err := batchList.Pack(list)
	if err != nil {
		return Call{}, fmt.Errorf("the calls of a batch: %w", err)
	}
	data, err := batchArgs.Pack(batchMode, inner)
	if err != nil {
		return Call{}, fmt.Errorf("a batch: %w", err)
	}
	if len(calls) == 0 || len(calls) > maxBatch || len(data) > maxBatchData {
		return Call{}, fmt.Errorf("a batch has from 1 to %d calls and %d bytes", maxBatch, maxBatchData)
	}
	return Call{From: account, To: account, Value: new(uint256.Int), Data: append(bytes.Clone(batchID), data...)}, nil
}

// ReadBatch reads the calls of a batch. It is false of what [PackBatch] would not make of them again: there is one
// spelling.
func ReadBatch(c Call) (calls []Call, ok bool) {
	if len(c.Data) > maxBatchData || !bytes.HasPrefix(c.Data, batchID) {
		return nil, false
	}
	outer, err := batchArgs.Unpack(c.Data[len(batchID):])
	if err != nil {
		return nil, false
	}
	inner, err := batchList.Unpack(outer[1].([]byte))
	if err != nil {
		return nil, false
	}
	for _, b := range *abi.ConvertType(inner[0], new([]batched)).(*[]batched) {
		value, _ := uint256.FromBig(b.Value)
		calls = append(calls, Call{c.From, b.To, value, b.Data})
	}
	again, err := PackBatch(c.From, calls...)
	return calls, err == nil && c.From == c.To && c.Value.IsZero() && bytes.Equal(again.Data, c.Data)
}
