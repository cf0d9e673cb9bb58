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
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
	"github.com/writ-run/writ/tools/mandate"
	"github.com/writ-run/writ/tools/mined"
)

// Codes of signed transactions: what was signed is not what the call says.
const (
	CodeTxForm   provenance.Code = "transfers.form"   // not a signed EIP-1559 transaction in its one spelling
	CodeTxHash   provenance.Code = "transfers.hash"   // another hash than the recorded one
	CodeTxSender provenance.Code = "transfers.sender" // signed by another account than the recorded one
	CodeTxChain  provenance.Code = "transfers.chain"  // for another chain than the call's
	// another nonce than the recorded one, or one that was used before
	CodeTxNonce provenance.Code = "transfers.nonce"
	// to something else than the asset's contract in the address book
	CodeTxContract  provenance.Code = "transfers.contract"
	CodeTxCalldata  provenance.Code = "transfers.calldata"  // call data that is not a transfer, and nothing but one
	CodeTxRecipient provenance.Code = "transfers.recipient" // for somebody else than the call's recipient
	CodeTxAmount    provenance.Code = "transfers.amount"    // of another amount than the call's
	CodeTxValue     provenance.Code = "transfers.value"     // native coin that the call does not speak of
	CodeTxReceipt   provenance.Code = "transfers.receipt"   // a receipt of another transaction than the one sent
	// a simulation of another account's transaction than the one that was signed
	CodeTxSimulation provenance.Code = "transfers.simulation"
	// what is sent in the place of another transaction is not such a one: another account or nonce, no higher fees, or it
	// does something else than the call and than nothing
	CodeTxReplaced provenance.Code = "transfers.replaced"
	// a receipt that states other figures than its balances and events show, or those of another account
	CodeTxMoved provenance.Code = "transfers.moved"
	CodeTxMined provenance.Code = "transfers.mined" // asked, the chain has no such transaction, or it moved something else
	// a call paid by x402 something else than it says: another offer, authorisation, signature or settlement
	CodeTxPayment provenance.Code = "transfers.payment"
	// not one payment by a delegation of the grant's wallet to the account that redeems it
	CodeTxMandate provenance.Code = "transfers.mandate"
)

// A Transaction is a signed Ethereum transaction of type 2 (EIP-1559), the one kind that tools of class chain make.
type Transaction = calldata.Transaction

// ReadTransaction reads a transaction from its bytes: see [calldata.ReadTransaction].
func ReadTransaction(raw []byte) (*Transaction, error) { return calldata.ReadTransaction(raw) }

// selTransfer is the selector of ERC-20's transfer(address,uint256).
var selTransfer = []byte{0xa9, 0x05, 0x9c, 0xbb}

// A Sent is a transaction that a step had signed for its call.
type Sent struct {
	Run, Step provenance.Link // the step that broadcasts it, or, of one that was left alone, has it signed
	Seq       uint64
	Account   string // CAIP-10, as recorded and as the signature recovers
	Tx        *Transaction
	Broadcast bool
	Call      provenance.Ref // the model's call that it is for; one of those that are sent for a call is mined
	Cancels   bool           // it moves nothing: it is there so that no other with its nonce is mined
}

// Transfers judges as [Verify] does, and calls each with every signed transaction that could be read, in the order of
// the steps. What it was called with means nothing if the report says that the run failed.
func Transfers(src provenance.Source, o Options, each func(Sent)) *provenance.Report {
	return judgeRun(src, o, &auditor{onSent: each})
}

// checkTransfers decodes every signed transaction and compares it with the call that it is for. Neither the grant nor
// the policies are needed for it: what was signed says by itself what it does.
func (a *auditor) checkTransfers() {
	t := transfers{
		auditor: a, signing: map[provenance.Ref]*provenance.Call{}, sent: map[provenance.Ref]broadcast{},
		nonces: map[string]uint64{}, simulating: map[provenance.Ref]*provenance.Call{},
		payers: map[provenance.Ref]payer{}, payments: map[provenance.Ref]*payment{},
		buying: map[provenance.Ref]purchase{},
	}
	t.claims.Ask = a.wallet.look
	err := a.ev.Each(t.checkStep)
	if err == nil {
		err = t.checkMined()
	}
	unasked, found := t.claims.Conclude(a.rep)
	a.survey.read = err == nil && t.isRead()
	switch {
	case errors.Is(err, errStop):
	case err != nil:
		a.rep.Fault(err)
	case t.closed > 0:
		note := fmt.Sprintf("%d signed transactions, arguments or receipts are sealed", t.closed)
		a.rep.Skip(provenance.CheckTransfers, t.n, note)
	case unasked != "":
		a.rep.Skip(provenance.CheckTransfers, t.n, unasked)
	default:
		a.rep.Pass(provenance.CheckTransfers, t.n, t.note(found))
	}
}

// checkMined asks the auditor's chains for the transactions that are said to be mined.
func (t *transfers) checkMined() error {
	at, err := t.claims.Check()
	if err == nil {
		return nil
	}
	t.failCheck(provenance.CheckTransfers, CodeTxMined, at.Step, "step %d: %v", at.Seq, err)
	return errStop
}

// The transfers of a run, as far as its steps were walked.
type transfers struct {
	*auditor
	signing map[provenance.Ref]*provenance.Call // calls that wait for their signed transaction
	sent    map[provenance.Ref]broadcast        // that wait for their receipt
	// simulating are calls that wait for their simulation; payers whose transaction it simulated, by the model's call
	simulating map[provenance.Ref]*provenance.Call
	payers     map[provenance.Ref]payer
	payments   map[provenance.Ref]*payment // what was sent for each of the model's calls
	buying     map[provenance.Ref]purchase // calls that pay by x402 and wait for their result
	nonces     map[string]uint64           // the least that an account may use next; of a wallet, each that it has used
	n          int                         // transactions that were checked
	closed     int                         // that were not, since they are sealed
	lost       int                         // that were broadcast or bought, and nobody says what came of it

	claims mined.Claims // of what is said to be mined

	returned                  int // blocks that transactions were in, and that have gone
	replaced, cancelled       int // transactions in whose place another was sent; calls whose nonce was used for nothing
	extra                     mined.ExtraFees
	mandates                  mandate.Seen
	computed, differ, unclear int // simulations that were not read; transactions that moved otherwise, or nobody knows how
}

// A payer is whose account a simulated transaction moves, and the digest of the delegation by which it does; zero if
// the simulation shows none.
type payer struct {
	account common.Address
	mandate common.Hash
}

// A broadcast is a transaction that waits for its receipt.
type broadcast struct {
	payment *payment
	call    *provenance.Call // of phase send, or of phase final
}

// note says what of the transactions a reader should know, though none of it is against the rules.
func (t *transfers) note(notes []string) string {
	for _, x := range []struct {
		n    int
		what string
	}{
		{t.computed, "simulated by computing, not by the node"},
		{t.differ, "moved other than the call says"},
		{t.returned, "sent again since their block had gone"},
		{t.replaced, "replaced at a higher fee"},
		{t.cancelled, "cancelled, and nothing has moved"},
		{t.unclear, "without a receipt that says what it moved"},
	} {
		if x.n > 0 {
			notes = append(notes, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	notes = append(append(notes, t.extra.Says()...), t.mandates.Says()...)
	return strings.Join(notes, ", ")
}

func (t *transfers) checkStep(c provenance.Link, s *provenance.Step) error {
	unsent, of, err := t.takeEvent(c, s) // the transaction that this step's event brings, and its call
	if err != nil {
		return err
	}
	for i, e := range s.Does {
		call, ok := e.(*provenance.Call)
		if !ok {
			continue
		}
		ref := provenance.Ref{Seq: s.Seq, Index: uint64(i)}
		switch call.Phase {
		case provenance.PhaseAct:
			t.noteBuying(c, s, ref, call)
		case provenance.PhaseSimulate:
			t.simulating[ref] = call
		case provenance.PhaseSign:
			t.signing[ref] = call
		case provenance.PhaseSend:
			if of != nil && isSamePayload(call.Signed, unsent) && isSamePayload(call.Args, of.Args) &&
				call.Tool == of.Tool {
				unsent = nil // so that it is looked at once
			}
			if err := t.checkSent(c, s, ref, call); err != nil {
				return err
			}
		case provenance.PhaseFinal:
			if err := t.checkFollowed(c, s, ref, call); err != nil {
				return err
			}
		}
	}
	if len(t.signing)+len(t.sent)+len(t.nonces)+len(t.simulating)+len(t.payers)+len(t.payments)+
		len(t.buying) > maxOpenTx {
		detail := "more transactions without an outcome than are kept"
		return &provenance.Fault{Code: provenance.CodeHistoryBound, At: c, Detail: detail}
	}
	if unsent != nil { // signed, and then left alone; whoever has it can still send it
		_, _, err := t.check(c, s, of, unsent)
		return err
	}
	return nil
}

// takeEvent takes in a signature or a receipt. It returns a signed transaction, with the call that it was signed for.
func (t *transfers) takeEvent(c provenance.Link, s *provenance.Step) (*provenance.Payload, *provenance.Call, error) {
	var answered *provenance.Ref
	var signed *provenance.Payload
	var of *provenance.Call
	switch e := s.Event.(type) {
	case *provenance.Result:
		answered = &e.Of
		if e.Status != provenance.StatusOK {
			if e.Status != provenance.StatusPending { // the transaction went back to the pool and is sent again
				t.noteLost(e.Of, e.Status)
			} else if f := t.takePending(e); f != nil {
				t.failCheck(provenance.CheckTransfers, f.Code, c, "step %d: %s", s.Seq, f.Detail)
				return nil, nil, errStop
			}
			break
		}
		if call := t.signing[e.Of]; call != nil {
			if e.Output == nil {
				t.failCheck(provenance.CheckTransfers, CodeTxForm, c, "step %d: a transaction was signed, and is not here", s.Seq)
				return nil, nil, errStop
			}
			signed, of = e.Output, call
		}
		if call := t.simulating[e.Of]; call != nil {
			t.takeSimulation(call, e.Output)
		}
		if want, waits := t.sent[e.Of]; waits {
			if f := t.checkReceipt(mined.At{Step: c, Seq: s.Seq}, want, e.Output); f != nil {
				t.failCheck(provenance.CheckTransfers, f.Code, c, "step %d: %s", s.Seq, f.Detail)
				return nil, nil, errStop
			}
		}
		if f := t.checkPurchase(mined.At{Step: c, Seq: s.Seq}, e); f != nil {
			t.failCheck(provenance.CheckTransfers, f.Code, c, "step %d: %s", s.Seq, f.Detail)
			return nil, nil, errStop
		}
	case *provenance.Lapse:
		if answered = e.Of; e.Of != nil {
			t.noteLost(*e.Of, "")
		}
	}
	if answered != nil {
		delete(t.signing, *answered)
		delete(t.sent, *answered)
		delete(t.simulating, *answered)
		delete(t.buying, *answered)
	}
	return signed, of, nil
}

// noteLost counts a broadcast that has ended without a receipt, and a purchase of which it is not known whether it was
// paid; an error says that it was not.
func (t *transfers) noteLost(of provenance.Ref, status string) {
	_, sent := t.sent[of]
	if _, buys := t.buying[of]; sent || buys && status != provenance.StatusError {
		t.lost++
	}
}

// isRead says whether it is known what all of them have moved.
func (t *transfers) isRead() bool {
	return t.closed+t.unclear+t.lost+len(t.sent)+len(t.buying) == 0
}

// takeSimulation notes whose transaction a simulation is of. Whether the call was decided by it is for the decisions.
func (t *transfers) takeSimulation(call *provenance.Call, output *provenance.Payload) {
	out, ok := output.Bytes()
	var seen tools.Foreseen
	if !ok || json.Unmarshal(out, &seen) != nil || !seen.OK {
		return
	}
	if seen.Simulated == tools.SimulatedComputed {
		t.computed++
	}
	by := payer{account: common.HexToAddress(seen.Account)}
	var given struct{ Mandate *mandate.Mandate }
	if json.Unmarshal(out, &given) == nil && given.Mandate != nil {
		by.mandate = given.Mandate.Digest()
	}
	t.payers[call.Of] = by
}

// checkReceipt compares a receipt with the transaction that was sent, and the figures that it states with what its
// balances and events come to.
func (t *transfers) checkReceipt(at mined.At, sent broadcast, output *provenance.Payload) *provenance.Fault {
	out, ok := output.Bytes()
	args, ok2 := sent.call.Args.Bytes()
	if !ok || !ok2 {
		t.closed++
		return nil
	}
	tx := sent.payment.find(func(tx *Transaction) bool { return isReceipt(out, tx.Hash) })
	if tx == nil {
		return faultf(CodeTxReceipt, "the receipt is of another transaction than the one sent")
	}
	if sent.call.Phase == provenance.PhaseFinal && sent.payment.isMined() && tx.Hash != sent.payment.mined {
		return faultf(CodeTxReceipt, "the receipt is of another transaction than the one that is waited for")
	}
	sent.payment.mined = tx.Hash
	read, spec, err := readArguments(t.ev, sent.call, args)
	if err != nil {
		return faultf(CodeTxForm, "%v", err)
	}
	if sent.payment.cancels[tx.Hash] {
		t.checkCancelled(at, sent, out, spec)
		return nil
	}
	got, moved, err := tools.ReadMined(out, read)
	isLast := sent.call.Phase == provenance.PhaseFinal || spec.Final == "" // else a final result follows
	if err == nil {
		claim, whole := mined.OfMined(tx.Chain, &got, read, spec.Book.Tokens[read.Amount.Asset().Symbol].Address)
		claim.Early = !isLast
		t.claims.Note(at, sent.call.Of, claim, whole)
	}
	switch {
	case err != nil: // the run records it as in doubt
		t.unclear++
		return nil
	case sent.call.Phase == provenance.PhaseFinal && got.CheckFinal(ruleOf(spec)) != nil: // in doubt, too
		t.unclear++
		return nil
	case got.Status != "ok":
		return nil
	case common.HexToAddress(got.Account) != tx.Payer:
		return faultf(CodeTxMoved, "the receipt shows what left %s, and %s paid by the transaction", got.Account, tx.Payer)
	case !isSum(got.Left, moved.Debit) || !isSum(got.Arrived, moved.Credit):
		return faultf(CodeTxMoved, "the receipt states other figures than its balances and events show: %s left, %s arrived",
			moved.Debit, moved.Credit)
	}
	if isLast {
		t.survey.addMoved(moved.Debit)
		t.addFees(sent.payment, &got)
		t.differ += countIf(moved.Differs(read))
	}
	return nil
}

func countIf(is bool) int {
	if is {
		return 1
	}
	return 0
}

// ruleOf says when a block is final for a tool, whose spec was compiled.
func ruleOf(spec tools.Spec) tools.Finality {
	f, _ := tools.ParseFinality(spec.Final)
	return f
}

// isSum says whether a stated sum is just this amount.
func isSum(stated *tools.Sum, is money.Amount) bool {
	return stated != nil && *stated == tools.SumOf(is)
}

// checkSent checks a transaction that a step broadcasts.
func (t *transfers) checkSent(c provenance.Link, s *provenance.Step, ref provenance.Ref, call *provenance.Call) error {
	p := t.payments[call.Of]
	if p != nil && p.pending == tools.StateReplaced {
		return t.checkReplacement(c, s, ref, call, p)
	}
	tx, account, err := t.check(c, s, call, call.Signed)
	if err != nil || tx == nil {
		return err
	}
	if p != nil && p.has(tx.Hash) { // the same bytes again: the block that they were in has gone, or they wait
		if p.pending == tools.StateReturned {
			t.returned++
		}
		p.pending, t.sent[ref] = "", broadcast{p, call}
		return nil
	}
	if call.Class == string(tools.WalletTx) { // who sends them says in which order; each is one call's
		account = fmt.Sprintf("%s/%d", account, tx.Nonce)
	}
	if tx.Nonce < t.nonces[account] {
		t.failCheck(provenance.CheckTransfers, CodeTxNonce, c,
			"step %d: nonce %d of the account was used before", s.Seq, tx.Nonce)
		return errStop
	}
	t.nonces[account] = tx.Nonce + 1
	p = &payment{txs: []*Transaction{tx}, cancels: map[common.Hash]bool{}}
	t.sent[ref], t.payments[call.Of] = broadcast{p, call}, p
	return nil
}

// checkFollowed checks that what is waited for, until its block is final, is what was sent, and what a block has.
func (t *transfers) checkFollowed(
	c provenance.Link, s *provenance.Step, ref provenance.Ref, call *provenance.Call,
) error {
	raw, ok := call.Signed.Bytes()
	var signed tools.Signed
	if !ok {
		t.closed++
		return nil
	}
	var tx *Transaction
	err := json.Unmarshal(raw, &signed)
	if err == nil {
		tx, err = ReadTransaction(common.FromHex(signed.Raw))
	}
	// If the receipt is sealed, it is not known which of them a block has.
	if p := t.payments[call.Of]; err != nil || p == nil || !p.has(tx.Hash) || p.isMined() && tx.Hash != p.mined {
		t.failCheck(provenance.CheckTransfers, CodeTxReceipt, c,
			"step %d: it waits for another transaction than the one sent", s.Seq)
		return errStop
	}
	t.sent[ref] = broadcast{t.payments[call.Of], call}
	return nil
}

// check checks one signed transaction against its call. It returns nil if one of them is sealed.
func (t *transfers) check(
	c provenance.Link, s *provenance.Step, call *provenance.Call, signed *provenance.Payload,
) (*Transaction, string, error) {
	raw, ok := signed.Bytes()
	args, ok2 := call.Args.Bytes()
	if !ok || !ok2 {
		t.closed++
		return nil, "", nil
	}
	tx, account, f := t.checkTransfer(raw, args, call)
	if f != nil {
		t.failCheck(provenance.CheckTransfers, f.Code, c, "step %d: %s", s.Seq, f.Detail)
		return nil, "", errStop
	}
	if f := t.checkPayer(call, tx); f != nil {
		t.failCheck(provenance.CheckTransfers, f.Code, c, "step %d: %s", s.Seq, f.Detail)
		return nil, "", errStop
	}
	t.n++
	if t.onSent != nil {
		t.onSent(Sent{t.ev.RunCID, c, s.Seq, account, tx, signed == call.Signed, call.Of, false})
	}
	return tx, account, nil
}

// checkPayer checks that who pays by a transaction is who is to, and whose simulation the call was decided by.
func (t *transfers) checkPayer(call *provenance.Call, tx *Transaction) *provenance.Fault {
	if call.Class == string(tools.WalletTx) && t.grant != nil && t.grant.WalletOn(tx.Chain) != tx.From {
		return faultf(CodeTxSender, "%s sent the transaction on chain %d, and it was for the wallet of the grant to send",
			tx.From.Hex(), tx.Chain)
	}
	by, seen := t.payers[call.Of]
	switch {
	case seen && by.account != tx.Payer:
		return faultf(CodeTxSimulation, "account %s pays by the transaction, and the simulation is of %s", tx.Payer.Hex(),
			by.account.Hex())
	case by.mandate != common.Hash{} && by.mandate != tx.Mandate:
		return faultf(CodeTxSimulation, "the transaction redeems another delegation of %s than the simulation",
			tx.Payer.Hex())
	}
	return nil
}

// maxOpenTx bounds the calls that wait for a signature or a receipt, which are kept.
const maxOpenTx = 4096

// checkTransfer says whether the signed transaction of a call does what the call says, and no more. account is the
// recorded one.
func (t *transfers) checkTransfer(
	signed, args []byte, call *provenance.Call,
) (tx *Transaction, account string, f *provenance.Fault) {
	var rec tools.Signed
	if err := json.Unmarshal(signed, &rec); err != nil {
		return nil, "", faultf(CodeTxForm, "what was signed is no signed transaction")
	}
	raw, err := hexutil.Decode(rec.Raw)
	if err != nil {
		return nil, "", faultf(CodeTxForm, "the signed transaction is not hexadecimal")
	}
	if tx, err = ReadTransaction(raw); err != nil {
		return nil, "", faultf(CodeTxForm, "%v", err)
	}
	read, tool, err := readCall(t.ev, call, args)
	if err != nil {
		return nil, "", faultf(CodeTxForm, "%v", err)
	}
	spec := tool.Spec()
	symbol := read.Amount.Asset().Symbol
	token, ok := spec.Book.Tokens[symbol]
	if !ok {
		return nil, "", faultf(CodeTxContract, "the address book has no %s", symbol)
	}
	if f := checkRecorded(tx, &rec, spec.Book.Chain); f != nil {
		return nil, "", f
	}
	switch {
	case tool.Payment() == tools.PaymentMandate:
		f = t.checkMandate(tx, read, token)
	case tool.Contract() != nil:
		f = checkCalled(tx, read, tool)
	default:
		f = checkMoved(tx, read, token)
	}
	if f != nil {
		return nil, "", f
	}
	return tx, rec.Account, nil
}

// checkMandate checks that a transaction redeems a delegation of the grant's wallet for what the call says.
func (t *transfers) checkMandate(tx *Transaction, call tools.Args, token tools.Token) *provenance.Fault {
	m, err := mandate.Transaction{Chain: tx.Chain, From: tx.From, To: tx.To, Value: tx.Value, Data: tx.Data}.Check(
		token.Address, call.To, call.Amount.Uint256())
	if err == nil && t.grant != nil {
		err = t.mandates.Add(m, t.grant, t.ev.Run.Grant.String(), call.Amount.Asset())
	}
	if err != nil {
		return faultf(CodeTxMandate, "%v", err)
	}
	tx.Payer, tx.Mandate = m.Delegator, m.Digest()
	return nil
}

// checkCalled checks that a transaction calls the function of the contract that its tool's record names, with the
// arguments of the call, and sends along what the call says and no more.
func checkCalled(tx *Transaction, call tools.Args, tool *tools.Def) *provenance.Fault {
	want, err := calldata.Of(tool, call, tx.From)
	switch {
	case err != nil:
		return faultf(CodeTxForm, "the call of the contract cannot be made again: %v", err)
	case tx.To == nil || *tx.To != want.To:
		return faultf(CodeTxContract, "the signed transaction is not to the contract of the call, %s", want.To.Hex())
	case !bytes.Equal(tx.Data, want.Data):
		return faultf(CodeTxCalldata, "the signed transaction does not call the function with the call's arguments")
	case !tx.Value.Eq(want.Value):
		return faultf(CodeTxValue, "the signed transaction sends %s wei, the call %s", tx.Value.Dec(), want.Value.Dec())
	}
	return nil
}

// readArguments reads the arguments of a call that moves value.
func readArguments(ev *provenance.Evidence, call *provenance.Call, args []byte) (tools.Args, tools.Spec, error) {
	read, tool, err := readCall(ev, call, args)
	if err != nil {
		return read, tools.Spec{}, err
	}
	return read, tool.Spec(), nil
}

func readCall(ev *provenance.Evidence, call *provenance.Call, args []byte) (tools.Args, *tools.Def, error) {
	def := ev.Tools[call.Tool]
	spec, err := definition.SpecOf(def, ev.Books[def.Book])
	if err != nil {
		return tools.Args{}, nil, fmt.Errorf("the tool cannot be read: %w", err)
	}
	tool, err := tools.Compile(spec)
	if err != nil {
		return tools.Args{}, nil, fmt.Errorf("the tool cannot be read: %w", err)
	}
	if spec.Spend == nil {
		return tools.Args{}, nil, errors.New("the tool does not say what it moves")
	}
	read, err := tool.Read(args)
	if err != nil {
		return tools.Args{}, nil, fmt.Errorf("the call's arguments cannot be read: %w", err)
	}
	return read, tool, nil
}

func faultf(code provenance.Code, format string, args ...any) *provenance.Fault {
	return &provenance.Fault{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// checkRecorded checks that a transaction is the one that the record says.
func checkRecorded(tx *Transaction, rec *tools.Signed, chain uint64) *provenance.Fault {
	on, sender, ok := splitAccount(rec.Account)
	switch {
	case !strings.EqualFold(rec.Hash, tx.Hash.Hex()):
		return faultf(CodeTxHash, "the signed transaction has another hash than the recorded one")
	case tx.Chain != chain || ok && on != fmt.Sprint(tx.Chain):
		return faultf(CodeTxChain, "the signed transaction is for chain %d, the call for chain %d", tx.Chain, chain)
	case !ok || !strings.EqualFold(sender, tx.From.Hex()):
		return faultf(CodeTxSender, "account %s signed the transaction, which is not the recorded one", tx.From.Hex())
	case rec.Nonce != tx.Nonce:
		return faultf(CodeTxNonce, "the signed transaction has nonce %d, the record says %d", tx.Nonce, rec.Nonce)
	}
	return nil
}

// checkMoved checks that a transaction moves what its call says, to whom it says, and does nothing else.
func checkMoved(tx *Transaction, call tools.Args, token tools.Token) *provenance.Fault {
	to, amount := tx.To, tx.Value
	if token.Address != (common.Address{}) { // not the native coin
		isTransfer := len(tx.Data) == 4+64 && bytes.Equal(tx.Data[:4], selTransfer) &&
			bytes.Equal(tx.Data[4:16], make([]byte, 12))
		switch {
		case to == nil || *to != token.Address:
			symbol := call.Amount.Asset().Symbol
			return faultf(CodeTxContract, "the signed transaction is not to the contract of %s", symbol)
		case !tx.Value.IsZero():
			return faultf(CodeTxValue, "the signed transaction sends %s wei besides", tx.Value.Dec())
		case !isTransfer:
			return faultf(CodeTxCalldata, "the signed transaction is not a transfer and nothing else")
		}
		to, amount = new(common.Address), new(uint256.Int).SetBytes(tx.Data[36:])
		*to = common.BytesToAddress(tx.Data[16:36])
	} else if len(tx.Data) > 0 {
		return faultf(CodeTxCalldata, "the signed transaction is not a transfer and nothing else")
	}
	switch {
	case to == nil || *to != call.To:
		const detail = "the signed transaction is for another recipient than the call's, %s"
		return faultf(CodeTxRecipient, detail, call.To.Hex())
	case !amount.Eq(call.Amount.Uint256()):
		return faultf(CodeTxAmount, "the signed transaction moves %s units, the call %s", amount.Dec(), call.Amount.Units())
	}
	return nil
}

// splitAccount takes a CAIP-10 account of an Ethereum chain apart.
func splitAccount(account string) (chain, address string, ok bool) {
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
