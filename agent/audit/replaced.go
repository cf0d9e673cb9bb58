package audit

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/mined"
)

// A payment is what was sent for one call: transactions with one nonce, of which one is mined, and what became of them.
type payment struct {
	txs     []*Transaction // oldest first
	cancels map[common.Hash]bool
	mined   common.Hash // of the one that a block has, by the last receipt
	pending string      // why it is sent again: a state of tools
}

func (p *payment) find(is func(*Transaction) bool) *Transaction {
	if i := slices.IndexFunc(p.txs, is); i >= 0 {
		return p.txs[i]
	}
	return nil
}

func (p *payment) has(hash common.Hash) bool {
	return p.find(func(tx *Transaction) bool { return tx.Hash == hash }) != nil
}

func (p *payment) isMined() bool { return p.mined != common.Hash{} }

// takePending notes why a transaction is sent again.
func (t *transfers) takePending(e *provenance.Result) *provenance.Fault {
	sent, waits := t.sent[e.Of]
	out, ok := e.Output.Bytes()
	if !waits {
		return nil
	}
	if !ok {
		t.closed++
		return nil
	}
	var seen struct{ State, Hash string }
	if json.Unmarshal(out, &seen) != nil {
		return faultf(CodeTxReplaced, "why a transaction is sent again cannot be read")
	}
	sent.payment.pending = seen.State
	return nil
}

// checkReplacement checks what is sent in the place of other transactions: theirs is the nonce, it outbids them, and it
// does what the call says, or nothing.
func (t *transfers) checkReplacement(
	c provenance.Link, s *provenance.Step, ref provenance.Ref, call *provenance.Call, p *payment,
) error {
	raw, ok := call.Signed.Bytes()
	args, ok2 := call.Args.Bytes()
	if p.pending = ""; !ok || !ok2 {
		t.closed++
		return nil
	}
	tx, cancels, f := t.readReplacement(raw, args, call, p)
	if f != nil {
		t.failCheck(provenance.CheckTransfers, f.Code, c, "step %d: %s", s.Seq, f.Detail)
		return errStop
	}
	p.txs, p.cancels[tx.Hash] = append(p.txs, tx), cancels
	t.n++
	t.replaced++
	t.sent[ref] = broadcast{p, call}
	if t.onSent != nil {
		account := fmt.Sprintf("eip155:%d:%s", tx.Chain, tx.From.Hex())
		t.onSent(Sent{t.ev.RunCID, c, s.Seq, account, tx, true, call.Of, cancels})
	}
	return nil
}

func (t *transfers) readReplacement(
	raw, args []byte, call *provenance.Call, p *payment,
) (tx *Transaction, cancels bool, f *provenance.Fault) {
	a, err := tools.ReadAttempt(raw)
	if err != nil {
		return nil, false, faultf(CodeTxReplaced, "%v", err)
	}
	if cancels = a.Cancels; !cancels {
		tx, _, f = t.checkTransfer(raw, args, call)
	} else {
		tx, f = readCancelling(a)
	}
	if f != nil {
		return nil, false, f
	}
	if f := p.checkNext(tx, cancels); f != nil {
		return nil, false, f
	}
	return tx, cancels, nil
}

// checkNext checks a transaction against those in whose place it is sent.
func (p *payment) checkNext(tx *Transaction, cancels bool) *provenance.Fault {
	for _, old := range p.txs {
		switch {
		case tx.Hash == old.Hash:
			return faultf(CodeTxReplaced, "a transaction is replaced by itself")
		case tx.From != old.From || tx.Chain != old.Chain || tx.Nonce != old.Nonce:
			return faultf(CodeTxReplaced, "the replacement has another account, chain or nonce")
		case !cancels && !p.cancels[old.Hash] && (tx.Payer != old.Payer || tx.Mandate != old.Mandate):
			return faultf(CodeTxReplaced, "the replacement is paid by another account, or by another delegation")
		case !outbids(tx.FeeCap, old.FeeCap) || !outbids(tx.TipCap, old.TipCap):
			return faultf(CodeTxReplaced, "the replacement does not offer an eighth more than what it replaces")
		case p.cancels[old.Hash] && !cancels:
			return faultf(CodeTxReplaced, "a payment that was being cancelled is sent again")
		}
	}
	return nil
}

func outbids(price, other *uint256.Int) bool { return tools.Outbids(price.ToBig(), other.ToBig()) }

// readCancelling reads a transaction that only uses its nonce.
func readCancelling(a tools.Attempt) (*Transaction, *provenance.Fault) {
	raw, err := hexutil.Decode(a.Raw)
	if err != nil {
		return nil, faultf(CodeTxForm, "the signed transaction is not hexadecimal")
	}
	tx, err := ReadTransaction(raw)
	if err != nil {
		return nil, faultf(CodeTxForm, "%v", err)
	}
	if f := checkRecorded(tx, &a.Signed, tx.Chain); f != nil {
		return nil, f
	}
	if tx.To == nil || *tx.To != tx.From || !tx.Value.IsZero() || len(tx.Data) != 0 {
		return nil, faultf(CodeTxReplaced, "a transaction that is to cancel another does something")
	}
	return tx, nil
}

// checkCancelled counts a call whose nonce was used by a transaction that moves nothing.
func (t *transfers) checkCancelled(at mined.At, sent broadcast, out []byte, spec tools.Spec) {
	got, err := tools.ReadBlock(out)
	switch {
	case err != nil || sent.call.Phase == provenance.PhaseFinal && got.CheckFinal(ruleOf(spec)) != nil:
		t.unclear++
	case sent.call.Phase == provenance.PhaseFinal || spec.Final == "":
		t.cancelled++
		t.addFees(sent.payment, &got)
		place, whole := mined.ReadPlace(sent.payment.txs[0].Chain, got.Hash, got.Block, got.BlockHash)
		t.claims.Note(at, sent.call.Of, mined.Claim{Place: place}, whole)
	}
}

// addFees counts what replacements have cost.
func (t *transfers) addFees(p *payment, got *tools.Mined) {
	if len(p.txs) > 1 {
		t.extra.Add(p.txs[0].FeeCap.ToBig(), got)
	}
}
