package audit_test

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/agent/audit"
)

// signedTx returns the bytes of a transaction that go-ethereum signs.
func signedTx(t testing.TB, data types.TxData) []byte {
	t.Helper()
	key, err := crypto.HexToECDSA("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(1337)), data)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func transactions(t testing.TB) [][]byte {
	to := common.Address{19: 7}
	id, fee := big.NewInt(1337), big.NewInt(3e9)
	return [][]byte{
		signedTx(t, &types.DynamicFeeTx{ChainID: id, Nonce: 3, GasTipCap: fee, GasFeeCap: fee, Gas: 21000, To: &to,
			Value: big.NewInt(5), Data: []byte("data")}),
		// makes a contract
		signedTx(t, &types.DynamicFeeTx{ChainID: id, GasTipCap: new(big.Int), GasFeeCap: fee, Value: new(big.Int),
			Data: []byte{0x60}}),
		signedTx(t,
			&types.DynamicFeeTx{ChainID: id, GasTipCap: fee, GasFeeCap: fee, Gas: 50000, To: &to, Value: new(big.Int),
				AccessList: types.AccessList{{Address: to, StorageKeys: []common.Hash{{1}, {2}}}}}),
	}
}

// checkAgainstGeth compares what was read with what go-ethereum reads of the same bytes.
func checkAgainstGeth(t *testing.T, raw []byte, got *audit.Transaction) {
	t.Helper()
	want := new(types.Transaction)
	if err := want.UnmarshalBinary(raw); err != nil {
		t.Fatalf("%x: go-ethereum does not read it: %v", raw, err)
	}
	from, err := types.Sender(types.NewLondonSigner(want.ChainId()), want)
	if err != nil {
		t.Fatalf("%x: go-ethereum finds no sender: %v", raw, err)
	}
	sameTo := got.To == nil && want.To() == nil || got.To != nil && want.To() != nil && *got.To == *want.To()
	if got.Hash != want.Hash() || got.From != from || new(big.Int).SetUint64(got.Chain).Cmp(want.ChainId()) != 0 ||
		got.Nonce != want.Nonce() || !sameTo || got.Value.ToBig().Cmp(want.Value()) != 0 ||
		!bytes.Equal(got.Data, want.Data()) {
		t.Errorf("%x: got %+v, go-ethereum reads another transaction", raw, got)
	}
}

func TestATransactionIsReadAsGoEthereumReadsIt(t *testing.T) {
	for _, raw := range transactions(t) {
		got, err := audit.ReadTransaction(raw)
		if err != nil {
			t.Fatalf("%x: %v", raw, err)
		}
		checkAgainstGeth(t, raw, got)
	}
	to := common.Address{19: 7}
	whole := transactions(t)[0]
	for name, raw := range map[string][]byte{
		"nothing": {},
		"another type": signedTx(t, &types.AccessListTx{ChainID: big.NewInt(1337), GasPrice: big.NewInt(1),
			Gas: 21000, To: &to, Value: new(big.Int)}),
		"before EIP-2718": signedTx(t,
			&types.LegacyTx{GasPrice: big.NewInt(1), Gas: 21000, To: &to, Value: new(big.Int)}),
		"cut":              whole[:len(whole)-1],
		"a byte behind it": append(bytes.Clone(whole), 0),
		"larger than read": signedTx(t, &types.DynamicFeeTx{ChainID: big.NewInt(1337), GasTipCap: new(big.Int),
			GasFeeCap: new(big.Int), Value: new(big.Int), Data: make([]byte, 1<<16)}),
		"a high s, EIP-2": highS(t, whole),
	} {
		if tx, err := audit.ReadTransaction(raw); err == nil {
			t.Errorf("%s: read as %+v", name, tx)
		}
	}
}

// highS replaces the signature by its other spelling, with s = n - s.
func highS(t *testing.T, raw []byte) []byte {
	t.Helper()
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		t.Fatal(err)
	}
	v, r, s := tx.RawSignatureValues()
	s.Sub(crypto.S256().Params().N, s)
	sig := append(append(common.LeftPadBytes(r.Bytes(), 32), common.LeftPadBytes(s.Bytes(), 32)...), byte(1-v.Uint64()))
	high, err := tx.WithSignature(types.NewLondonSigner(tx.ChainId()), sig)
	if err != nil {
		t.Fatal(err)
	}
	out, err := high.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// FuzzReadTransaction: what is read, go-ethereum reads in the same way, and it is the only spelling.
func FuzzReadTransaction(f *testing.F) {
	for _, raw := range transactions(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got, err := audit.ReadTransaction(raw); err == nil {
			checkAgainstGeth(t, raw, got)
		}
	})
}
