package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// Codes of signed transactions: what was signed is not what the call says.
const (
	CodeTxForm      provenance.Code = "transfers.form"      // not a signed EIP-1559 transaction in its one spelling
	CodeTxHash      provenance.Code = "transfers.hash"      // another hash than the recorded one
	CodeTxSender    provenance.Code = "transfers.sender"    // signed by another account than the recorded one
	CodeTxChain     provenance.Code = "transfers.chain"     // for another chain than the call's
	CodeTxNonce     provenance.Code = "transfers.nonce"     // another nonce than the recorded one, or one that was used before
	CodeTxContract  provenance.Code = "transfers.contract"  // to something else than the asset's contract in the address book
	CodeTxCalldata  provenance.Code = "transfers.calldata"  // call data that is not a transfer, and nothing but one
	CodeTxRecipient provenance.Code = "transfers.recipient" // for somebody else than the call's recipient
	CodeTxAmount    provenance.Code = "transfers.amount"    // of another amount than the call's
	CodeTxValue     provenance.Code = "transfers.value"     // native coin that the call does not speak of
	CodeTxReceipt   provenance.Code = "transfers.receipt"   // a receipt of another transaction than the one sent
)

// A Transaction is a signed Ethereum transaction of type 2 (EIP-1559), the one kind that tools of class chain make.
type Transaction struct {
	Hash  common.Hash
	From  common.Address // as its signature recovers
	Chain uint64
	Nonce uint64
	To    *common.Address // nil if it makes a contract
	Value *uint256.Int    // wei
	Data  []byte
}

// maxTx bounds the bytes of a transaction that is read.
const maxTx = 64 << 10

// ReadTransaction reads a transaction from its bytes: the type, and the RLP list of EIP-1559, in the one spelling that
// its hash is of. The signature's s must be low (EIP-2). The sender is recovered, and nothing else is judged.
func ReadTransaction(raw []byte) (*Transaction, error) {
	if len(raw) > maxTx {
		return nil, fmt.Errorf("a transaction of %d bytes, at most %d are read", len(raw), maxTx)
	}
	if len(raw) == 0 || raw[0] != 2 {
		return nil, errors.New("not a transaction of type 2 (EIP-1559)")
	}
	var tx struct {
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
	return &Transaction{
		Hash: crypto.Keccak256Hash(raw), From: crypto.PubkeyToAddress(*key), Chain: tx.Chain, Nonce: tx.Nonce, To: tx.To,
		Value: &tx.Value, Data: tx.Data,
	}, nil
}

// selTransfer is the selector of ERC-20's transfer(address,uint256).
var selTransfer = []byte{0xa9, 0x05, 0x9c, 0xbb}

// A Sent is a transaction that a step had signed for its call.
type Sent struct {
	Run, Step provenance.Link // the step that broadcasts it, or, of one that was left alone, has it signed
	Seq       uint64
	Account   string // CAIP-10, as recorded and as the signature recovers
	Tx        *Transaction
	Broadcast bool
}

// Transfers judges as [Verify] does, and calls each with every signed transaction that could be read, in the order of
// the steps. What it was called with means nothing if the report says that the run failed.
func Transfers(src provenance.Source, o provenance.Options, each func(Sent)) *provenance.Report {
	return judge(src, o, &auditor{sent: each})
}

// transfers decodes every signed transaction and compares it with the call that it is for. Neither the grant nor
// the policies are needed for it: what was signed says by itself what it does.
func (a *auditor) transfers() {
	const check = provenance.CheckTransfers
	signing := map[provenance.Ref]*provenance.Call{} // calls that wait for their signed transaction
	sent := map[provenance.Ref]common.Hash{}         // broadcasts that wait for their receipt
	nonces := map[string]uint64{}                    // the least that an account may use next
	n, closed := 0, 0
	judge := func(c provenance.Link, s *provenance.Step, call *provenance.Call, signed *provenance.Payload) (*Transaction, string, error) {
		raw, ok := signed.Bytes()
		args, ok2 := call.Args.Bytes()
		if !ok || !ok2 {
			closed++
			return nil, "", nil
		}
		tx, account, f := judgeTx(raw, args, a.ev, call)
		if f != nil {
			a.fail(check, f.Code, c, "step %d: %s", s.Seq, f.Detail)
			return nil, "", errStop
		}
		n++
		if a.sent != nil {
			a.sent(Sent{a.ev.RunCID, c, s.Seq, account, tx, signed == call.Signed})
		}
		return tx, account, nil
	}
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		var unsent *provenance.Payload // the transaction that this step's event brings
		var of *provenance.Call
		switch e := s.Event.(type) {
		case *provenance.Result:
			if call := signing[e.Of]; call != nil && e.Status == provenance.StatusOK {
				unsent, of = e.Output, call
			}
			if want, waits := sent[e.Of]; waits && e.Status == provenance.StatusOK {
				if out, ok := e.Output.Bytes(); !ok {
					closed++
				} else if !isReceipt(out, want) {
					a.fail(check, CodeTxReceipt, c, "step %d: the receipt is of another transaction than the one sent", s.Seq)
					return errStop
				}
			}
			delete(signing, e.Of)
			delete(sent, e.Of)
		case *provenance.Lapse:
			if e.Of != nil {
				delete(signing, *e.Of)
				delete(sent, *e.Of)
			}
		}
		for i, e := range s.Does {
			call, ok := e.(*provenance.Call)
			if !ok {
				continue
			}
			ref := provenance.Ref{Seq: s.Seq, Index: uint64(i)}
			switch call.Phase {
			case provenance.PhaseSign:
				signing[ref] = call
			case provenance.PhaseSend:
				if samePayload(call.Signed, unsent) && of != nil && samePayload(call.Args, of.Args) && call.Tool == of.Tool {
					unsent = nil // and so looked at once
				}
				tx, account, err := judge(c, s, call, call.Signed)
				if err != nil {
					return err
				}
				if tx == nil {
					continue
				}
				if tx.Nonce < nonces[account] {
					a.fail(check, CodeTxNonce, c, "step %d: nonce %d of the account was used before", s.Seq, tx.Nonce)
					return errStop
				}
				nonces[account] = tx.Nonce + 1
				sent[ref] = tx.Hash
			}
		}
		if len(signing)+len(sent)+len(nonces) > maxOpenTx {
			return &provenance.Fault{Code: provenance.CodeHistoryBound, At: c, Detail: "more transactions without an outcome than are kept"}
		}
		if unsent != nil { // signed, and then left alone; whoever has it can still send it
			_, _, err := judge(c, s, of, unsent)
			return err
		}
		return nil
	})
	switch {
	case errors.Is(err, errStop):
	case err != nil:
		a.rep.Fault(err)
	case closed > 0:
		a.rep.Skip(check, n, fmt.Sprintf("%d signed transactions, arguments or receipts are sealed", closed))
	default:
		a.rep.Pass(check, n, "")
	}
}

// maxOpenTx bounds the calls that wait for a signature or a receipt, which are kept.
const maxOpenTx = 4096

// judgeTx says whether the signed transaction of a call does what the call says, and no more. account is the recorded
// one.
func judgeTx(signed, args []byte, ev *provenance.Evidence, call *provenance.Call) (*Transaction, string, *provenance.Fault) {
	bad := func(code provenance.Code, format string, args ...any) (*Transaction, string, *provenance.Fault) {
		return nil, "", &provenance.Fault{Code: code, Detail: fmt.Sprintf(format, args...)}
	}
	var rec tools.Signed
	if err := json.Unmarshal(signed, &rec); err != nil {
		return bad(CodeTxForm, "what was signed is no signed transaction")
	}
	raw, err := hexutil.Decode(rec.Raw)
	if err != nil {
		return bad(CodeTxForm, "the signed transaction is not hexadecimal")
	}
	tx, err := ReadTransaction(raw)
	if err != nil {
		return bad(CodeTxForm, "%v", err)
	}
	def := ev.Tools[call.Tool]
	spec, err := loop.SpecOf(def, ev.Books[def.Book])
	if err != nil {
		return bad(CodeTxForm, "the tool cannot be read: %v", err)
	}
	tool, err := tools.Compile(spec)
	if err != nil {
		return bad(CodeTxForm, "the tool cannot be read: %v", err)
	}
	if spec.Spend == nil {
		return bad(CodeTxForm, "the tool does not say what it moves")
	}
	read, err := tool.Read(args)
	if err != nil {
		return bad(CodeTxForm, "the call's arguments cannot be read: %v", err)
	}
	asset := read.Amount.Asset()
	token, ok := spec.Book.Tokens[asset.Symbol]
	if !ok {
		return bad(CodeTxContract, "the address book has no %s", asset.Symbol)
	}
	chain, sender, ok := cutAccount(rec.Account)
	switch {
	case !strings.EqualFold(rec.Hash, tx.Hash.Hex()):
		return bad(CodeTxHash, "the signed transaction has another hash than the recorded one")
	case tx.Chain != spec.Book.Chain || ok && chain != fmt.Sprint(tx.Chain):
		return bad(CodeTxChain, "the signed transaction is for chain %d, the call for chain %d", tx.Chain, spec.Book.Chain)
	case !ok || !strings.EqualFold(sender, tx.From.Hex()):
		return bad(CodeTxSender, "account %s signed the transaction, which is not the recorded one", tx.From.Hex())
	case rec.Nonce != tx.Nonce:
		return bad(CodeTxNonce, "the signed transaction has nonce %d, the record says %d", tx.Nonce, rec.Nonce)
	}
	to, amount := tx.To, tx.Value
	if token.Address != (common.Address{}) { // not the native coin
		switch {
		case to == nil || *to != token.Address:
			return bad(CodeTxContract, "the signed transaction is not to the contract of %s", asset.Symbol)
		case !tx.Value.IsZero():
			return bad(CodeTxValue, "the signed transaction sends %s wei besides", tx.Value.Dec())
		case len(tx.Data) != 4+64 || !bytes.Equal(tx.Data[:4], selTransfer) || !bytes.Equal(tx.Data[4:16], make([]byte, 12)):
			return bad(CodeTxCalldata, "the signed transaction is not a transfer and nothing else")
		}
		to, amount = new(common.Address), new(uint256.Int).SetBytes(tx.Data[36:])
		*to = common.BytesToAddress(tx.Data[16:36])
	} else if len(tx.Data) > 0 {
		return bad(CodeTxCalldata, "the signed transaction is not a transfer and nothing else")
	}
	switch {
	case to == nil || *to != read.To:
		return bad(CodeTxRecipient, "the signed transaction is for another recipient than the call's, %s", read.To.Hex())
	case !amount.Eq(read.Amount.Uint256()):
		return bad(CodeTxAmount, "the signed transaction moves %s units, the call %s", amount.Dec(), read.Amount.Units())
	}
	return tx, rec.Account, nil
}

// cutAccount takes a CAIP-10 account of an Ethereum chain apart.
func cutAccount(account string) (chain, address string, ok bool) {
	rest, ok := strings.CutPrefix(account, "eip155:")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ":")
}

// isReceipt says whether out, the outcome of a broadcast, is of the transaction.
func isReceipt(out []byte, tx common.Hash) bool {
	var r struct {
		Hash string `json:"hash"`
	}
	return json.Unmarshal(out, &r) == nil && strings.EqualFold(r.Hash, "0x"+hex.EncodeToString(tx[:]))
}
