package calldata

import (
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"
)

// A Transaction is a signed Ethereum transaction of type 2 (EIP-1559), the one kind that tools of class chain make.
type Transaction struct {
	Hash  common.Hash
	From  common.Address // as its signature recovers
	Payer common.Address // whose asset it moves: From, or who has given From a delegation
	// Mandate is the digest of that delegation, for who has read it; zero if there is none.
	Mandate common.Hash
	Chain   uint64
	Nonce   uint64
	To      *common.Address // nil if it makes a contract
	Value   *uint256.Int    // wei
	Data    []byte
	// What it offers for a unit of gas, in wei: to the block's maker, and in all.
	TipCap, FeeCap *uint256.Int
}

// maxTx bounds the bytes of a transaction that is read.
const maxTx = 64 << 10

// A dynamicFeeTx is the RLP list of a transaction of EIP-1559.
type dynamicFeeTx struct {
	Chain, Nonce   uint64
	TipCap, FeeCap uint256.Int
	Gas            uint64
	To             *common.Address `rlp:"nil"`
	Value          uint256.Int
	Data           []byte
	AccessList     []struct {
		Address common.Address
		Keys    []common.Hash
	}
	YParity uint64
	R, S    uint256.Int
}

// ReadTransaction reads a transaction from its bytes: the type, and the RLP list of EIP-1559, in the one spelling that
// its hash is of. The signature's s must be low (EIP-2). The sender is recovered, and nothing else is judged.
func ReadTransaction(raw []byte) (*Transaction, error) {
	if len(raw) > maxTx {
		return nil, fmt.Errorf("a transaction of %d bytes, at most %d are read", len(raw), maxTx)
	}
	if len(raw) == 0 || raw[0] != 2 {
		return nil, errors.New("not a transaction of type 2 (EIP-1559)")
	}
	var tx dynamicFeeTx
	if err := rlp.DecodeBytes(raw[1:], &tx); err != nil {
		return nil, fmt.Errorf("not a transaction of EIP-1559: %w", err)
	}
	if tx.YParity > 1 || !crypto.ValidateSignatureValues(byte(tx.YParity), tx.R.ToBig(), tx.S.ToBig(), true) {
		return nil, errors.New("the transaction's signature is malformed")
	}
	unsigned, err := rlp.EncodeToBytes([]any{
		tx.Chain, tx.Nonce, &tx.TipCap, &tx.FeeCap, tx.Gas, tx.To, &tx.Value, tx.Data, tx.AccessList,
	})
	if err != nil {
		return nil, fmt.Errorf("read a transaction: %w", err)
	}
	var sig [crypto.SignatureLength]byte
	r, s := tx.R.Bytes32(), tx.S.Bytes32()
	copy(sig[:], r[:])
	copy(sig[32:], s[:])
	sig[64] = byte(tx.YParity)
	key, err := crypto.SigToPub(crypto.Keccak256(raw[:1], unsigned), sig[:])
	if err != nil {
		return nil, errors.New("the transaction's signature is nobody's")
	}
	from := crypto.PubkeyToAddress(*key)
	return &Transaction{
		Hash: crypto.Keccak256Hash(raw), From: from, Payer: from, Chain: tx.Chain, Nonce: tx.Nonce,
		To: tx.To, Value: &tx.Value, Data: tx.Data, TipCap: &tx.TipCap, FeeCap: &tx.FeeCap,
	}, nil
}
