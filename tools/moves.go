package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/money"
)

// How a simulation came to know what a transaction would move.
const (
	SimulatedRead     = "read"     // the node ran it, and balances and events were read behind it
	SimulatedComputed = "computed" // the node cannot: what a token of ERC-20 ought to do
)

// A Movement is what a transaction moves, as the chain shows it: part of what [Chain.Simulate] and [Chain.Send] return.
// It is evidence, not an answer; [Movement.Weigh] is what follows from it. All addresses are 0x, all units decimal.
type Movement struct {
	Account string `json:"account,omitempty"` // that sends the transaction
	// Changes are balances before and after: in a simulation behind the transaction alone, of a mined one at the block
	// before its own and at its own. The account's and the recipient's in the call's asset are among them.
	Changes    []Change    `json:"changes"`
	Transfers  []Transfer  `json:"transfers,omitempty"`  // by the transaction's events
	Allowances []Allowance `json:"allowances,omitempty"` // by its events
	// FeeUnits is the fee that the account paid, if the call's asset is the native coin: it is in the balance's change.
	FeeUnits string `json:"fee_units,omitempty"`
	// Besides are the transfers of other transactions of its block, in the call's asset, from or to the account or the
	// recipient. They explain changes of balances that are not this transaction's.
	Besides []Transfer `json:"besides,omitempty"`
	// Owners are whose the call's thing was before and after, if it names one: the events alone are the contract's word.
	Owners []Owner `json:"owners,omitempty"`
}

// An Owner is whose a thing was before and after.
type Owner struct {
	Contract string `json:"contract"`
	ID       string `json:"id"`
	Before   string `json:"before"`
	After    string `json:"after"`
}

// A Change is one account's balance of one token of the book before and after.
type Change struct {
	Account  string `json:"account"`
	Name     string `json:"name,omitempty"` // in the book
	Token    string `json:"token"`          // its symbol
	Before   string `json:"before"`
	After    string `json:"after"`
	Decimals uint8  `json:"decimals"`
	Display  string `json:"display"` // the difference, e.g. "-5 USDC"
}

// A Transfer is an event by which a contract says that it has moved something.
type Transfer struct {
	Contract string `json:"contract"`
	Token    string `json:"token,omitempty"` // its symbol, if the contract is of the book
	From     string `json:"from"`
	To       string `json:"to"`
	Units    string `json:"units"`
	ID       string `json:"id,omitempty"` // of the thing, if the event names one: ERC-721
}

// An Allowance is an event by which a contract says that somebody may move what another has.
type Allowance struct {
	Contract string `json:"contract"`
	Token    string `json:"token,omitempty"`
	Owner    string `json:"owner"`
	Spender  string `json:"spender"`
	Units    string `json:"units"`
	Before   string `json:"before,omitempty"` // what it was before, if that is known
	ID       string `json:"id,omitempty"`     // of the one thing that is allowed, if the event names it: ERC-721
}

// A Foreseen is what [Chain.Simulate] returns, as far as it is judged.
type Foreseen struct {
	OK        bool   `json:"ok"`
	Reason    string `json:"reason,omitempty"`    // if not ok; it may quote the contract
	Code      string `json:"code,omitempty"`      // if not ok, as of an [Error]
	Simulated string `json:"simulated,omitempty"` // [SimulatedRead] or [SimulatedComputed]
	Movement
}

// A Mined is what [Chain.Send] returns, as far as it is judged.
type Mined struct {
	Hash      string `json:"hash"`
	Status    string `json:"status"` // "ok" or "reverted"
	Block     string `json:"block"`
	BlockHash string `json:"block_hash"`
	Final     *Mark  `json:"final,omitempty"`   // by which its block is final
	Left      *Sum   `json:"left,omitempty"`    // what left the account
	Arrived   *Sum   `json:"arrived,omitempty"` // what the recipient got
	Fee       *Sum   `json:"fee,omitempty"`     // what the account paid for it, by the chain's receipt
	Gas       string `json:"gas,omitempty"`     // units that the fee is for
	Movement
}

// A Sum is an amount as results show it.
type Sum struct {
	Token    string `json:"token"`
	Units    string `json:"units"` // smallest units, decimal
	Decimals uint8  `json:"decimals"`
	Display  string `json:"display"` // e.g. "12.5 USDC"
}

// SumOf shows an amount.
func SumOf(a money.Amount) Sum {
	return Sum{a.Asset().Symbol, a.Units(), a.Asset().Decimals, a.String()}
}

// Moved is what a transaction moves of its call's asset, and what else it does.
type Moved struct {
	// Debit is what leaves the account: the larger of what its balance loses and what the events take from it.
	Debit money.Amount
	// Credit is what the recipient's balance gains; by the events, if its balance was not read.
	Credit money.Amount
	// Others counts transfers from the account that are not to the recipient, and allowances that it gives.
	Others int64
	// Foreign counts those of Others that are of another asset than the call's, or allowances: no amount measures them.
	Foreign int64
	// Assumed says that the account's balance was not read: Debit is then at least the call's amount.
	Assumed bool
}

// ErrMovement says that what a tool returned does not say what is moved.
var ErrMovement = errors.New("it does not say what would be moved")

// ReadForeseen reads what [Chain.Simulate] returned, and weighs it if it is ok.
func ReadForeseen(out []byte, call Args) (Foreseen, Moved, error) {
	var f Foreseen
	if err := json.Unmarshal(out, &f); err != nil {
		return f, Moved{}, fmt.Errorf("the simulation: %w", ErrMovement)
	}
	if !f.OK {
		return f, Moved{}, nil
	}
	if f.Simulated != SimulatedRead && f.Simulated != SimulatedComputed {
		return f, Moved{}, fmt.Errorf("the simulation: %w: it was neither read nor computed", ErrMovement)
	}
	m, err := f.Weigh(call)
	if err == nil && m.Assumed {
		err = fmt.Errorf("%w: the account's balance is not there", ErrMovement)
	}
	if err == nil && call.Thing != nil && len(f.Owners) == 0 {
		err = fmt.Errorf("%w: whose the thing would be is not there", ErrMovement)
	}
	if err != nil {
		return f, m, fmt.Errorf("the simulation: %w", err)
	}
	return f, m, nil
}

// ReadBlock reads which transaction of which block a receipt is of, and nothing of what it has moved.
func ReadBlock(out []byte) (Mined, error) {
	var r Mined
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("the receipt: %w", ErrMovement)
	}
	if !isBlockNumber(r.Block) {
		return r, errors.New("the receipt names no block")
	}
	return r, nil
}

// ReadMined reads what [Chain.Send] returned, and weighs it if the transaction was not reverted. One that names no
// block is an error, whatever its status.
func ReadMined(out []byte, call Args) (Mined, Moved, error) {
	nothing := money.Of(call.Amount.Asset(), 0)
	none := Moved{Debit: nothing, Credit: nothing}
	r, err := ReadBlock(out)
	if err != nil {
		return r, none, err
	}
	if r.Status != "ok" {
		return r, none, nil
	}
	m, err := r.Weigh(call)
	if err != nil {
		return r, none, fmt.Errorf("the receipt: %w", err)
	}
	return r, m, nil
}

func isBlockNumber(s string) bool {
	if s == "" || len(s) > 20 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Weigh says what a movement comes to for a call. It is a function of both alone, so an auditor arrives at the same.
func (m *Movement) Weigh(call Args) (Moved, error) {
	account, err := readAddress(m.Account)
	if err != nil {
		return Moved{}, err
	}
	w := weighing{call: call, asset: call.Amount.Asset(), account: account,
		out: new(big.Int), arrived: new(big.Int), besides: new(big.Int), besidesTo: new(big.Int),
		allowed: new(big.Int), fee: new(big.Int)}
	if m.FeeUnits != "" {
		if w.fee, err = readUnits(m.FeeUnits); err != nil {
			return Moved{}, err
		}
	}
	for _, t := range m.Transfers {
		if err := w.addTransfer(t); err != nil {
			return Moved{}, err
		}
	}
	for _, a := range m.Allowances {
		if err := w.addAllowance(a); err != nil {
			return Moved{}, err
		}
	}
	for _, t := range m.Besides {
		if err := w.addBeside(t); err != nil {
			return Moved{}, err
		}
	}
	for _, c := range m.Changes {
		if err := w.addChange(c); err != nil {
			return Moved{}, err
		}
	}
	if err := w.addOwners(m.Owners); err != nil {
		return Moved{}, err
	}
	return w.conclude()
}

// A weighing is a movement on the way to what it comes to.
type weighing struct {
	moved   Moved
	call    Args
	asset   money.Asset
	account common.Address

	allowed            *big.Int // what the recipient may move from then on
	fee                *big.Int
	out, arrived       *big.Int // by the events: net from the account, net to the recipient
	besides, besidesTo *big.Int // by the events of others: the same
	lost, gained       *big.Int // by the balances; nil if not read
	elsewhere          bool     // the call's thing is not where the call says
}

// isOf says whether an event is of what the call moves: of its asset, and of the thing that it names.
func (w *weighing) isOf(token, id string) bool {
	return token == w.asset.Symbol && (w.call.Thing == nil || id == w.call.Thing.ID)
}

// addOwners looks whose the call's thing is afterwards. Where that is not known the events must do, as with balances.
func (w *weighing) addOwners(list []Owner) error {
	for _, o := range list {
		before, err := readAddress(o.Before)
		if err != nil {
			return err
		}
		after, err := readAddress(o.After)
		if err != nil {
			return err
		}
		contract, err := readAddress(o.Contract)
		if err != nil {
			return err
		}
		want := w.call.To
		if w.call.Allowance {
			want = w.account
		}
		if w.call.Thing == nil || contract != w.call.Thing.Collection || o.ID != w.call.Thing.ID {
			return fmt.Errorf("%w: an owner is of another thing than the call's", ErrMovement)
		}
		w.elsewhere = w.elsewhere || before != w.account || after != want
	}
	return nil
}

func (w *weighing) addTransfer(t Transfer) error {
	from, to, units, err := readTransfer(t)
	if err != nil || units.Sign() == 0 {
		return err
	}
	own := w.isOf(t.Token, t.ID)
	if from == w.account && (!own || to != w.call.To && to != w.account) {
		w.moved.Others++
		if !own {
			w.moved.Foreign++
		}
	}
	if own {
		addNet(w.out, from == w.account, to == w.account, units)
		addNet(w.arrived, to == w.call.To, from == w.call.To, units)
	}
	return nil
}

func (w *weighing) addAllowance(a Allowance) error {
	owner, err := readAddress(a.Owner)
	if err != nil {
		return err
	}
	spender, err := readAddress(a.Spender)
	if err != nil {
		return err
	}
	units, err := readUnits(a.Units)
	if err != nil {
		return err
	}
	before := new(big.Int)
	if a.Before != "" {
		if before, err = readUnits(a.Before); err != nil {
			return err
		}
	}
	switch {
	case owner != w.account || units.Sign() == 0:
	case w.call.Allowance && w.isOf(a.Token, a.ID) && spender == w.call.To:
		w.allowed = units // of several the last one holds
	case w.call.Lets && w.isOf(a.Token, a.ID) && spender == w.call.To:
		if units.Cmp(w.allowed) > 0 { // a token may tell of what is left of it, too
			w.allowed = units
		}
	case units.Cmp(before) > 0:
		w.moved.Others++
		w.moved.Foreign++
	}
	return nil
}

func (w *weighing) addBeside(t Transfer) error {
	from, to, units, err := readTransfer(t)
	if err != nil {
		return err
	}
	if t.Token == w.asset.Symbol { // of a collection too: its balances count every thing
		addNet(w.besides, from == w.account, to == w.account, units)
		addNet(w.besidesTo, to == w.call.To, from == w.call.To, units)
	}
	return nil
}

func (w *weighing) addChange(c Change) error {
	account, err := readAddress(c.Account)
	if err != nil {
		return err
	}
	before, err := readUnits(c.Before)
	if err != nil {
		return err
	}
	after, err := readUnits(c.After)
	if err != nil {
		return err
	}
	if c.Token != w.asset.Symbol {
		if account == w.account && after.Cmp(before) < 0 {
			w.moved.Others++
			w.moved.Foreign++
		}
		return nil
	}
	if c.Decimals != w.asset.Decimals {
		return fmt.Errorf("%w: %s has %d decimals, not %d", ErrMovement, c.Token, w.asset.Decimals, c.Decimals)
	}
	if account == w.account {
		if w.lost != nil {
			return fmt.Errorf("%w: the account's balance is there twice", ErrMovement)
		}
		w.lost = new(big.Int).Sub(before, after)
	}
	if account == w.call.To {
		if w.gained != nil {
			return fmt.Errorf("%w: the recipient's balance is there twice", ErrMovement)
		}
		w.gained = new(big.Int).Sub(after, before)
	}
	return nil
}

func (w *weighing) conclude() (Moved, error) {
	amount := w.call.Amount.Uint256().ToBig()
	debit, credit := w.out, w.arrived
	if w.lost == nil {
		w.moved.Assumed = true
		if debit.Cmp(amount) < 0 && !w.call.Allowance {
			debit = amount
		}
	} else if lost := w.lost.Sub(w.lost.Sub(w.lost, w.besides), w.fee); lost.Cmp(debit) > 0 || w.call.To == w.account {
		debit = lost
	}
	if w.gained != nil {
		credit = w.gained.Sub(w.gained, w.besidesTo)
	} else if !w.moved.Assumed {
		return w.moved, fmt.Errorf("%w: the recipient's balance is not there", ErrMovement)
	}
	if w.call.To == w.account { // nothing should leave, and what does not leave has arrived
		credit = new(big.Int).Sub(amount, atLeastNothing(debit))
	}
	if w.call.Allowance { // what somebody may move has left, as far as caps are concerned
		debit = new(big.Int).Add(atLeastNothing(debit), w.allowed)
		credit = new(big.Int).Add(atLeastNothing(credit), w.allowed)
	}
	if left := new(big.Int).Sub(w.allowed, atLeastNothing(debit)); w.call.Lets && left.Sign() > 0 {
		// What was not taken of it can be from then on.
		debit, credit = w.allowed, new(big.Int).Add(atLeastNothing(credit), left)
	}
	if w.elsewhere {
		credit = new(big.Int)
	}
	w.moved.Debit, w.moved.Credit = w.amountOf(debit), w.amountOf(credit)
	return w.moved, nil
}

// amountOf makes an amount of units, at least nothing and at most the largest there is: a contract may claim anything.
func (w *weighing) amountOf(units *big.Int) money.Amount {
	n, over := uint256.FromBig(atLeastNothing(units))
	if over {
		n = new(uint256.Int).SetAllOne()
	}
	return money.FromUint256(w.asset, n)
}

func atLeastNothing(n *big.Int) *big.Int {
	if n.Sign() < 0 {
		return new(big.Int)
	}
	return n
}

func addNet(sum *big.Int, plus, minus bool, units *big.Int) {
	if plus {
		sum.Add(sum, units)
	}
	if minus {
		sum.Sub(sum, units)
	}
}

func readTransfer(t Transfer) (from, to common.Address, units *big.Int, err error) {
	if from, err = readAddress(t.From); err != nil {
		return from, to, nil, err
	}
	if to, err = readAddress(t.To); err != nil {
		return from, to, nil, err
	}
	units, err = readUnits(t.Units)
	return from, to, units, err
}

func readAddress(s string) (common.Address, error) {
	if len(s) != 42 || !common.IsHexAddress(s) {
		return common.Address{}, fmt.Errorf("%w: an address is missing or malformed", ErrMovement)
	}
	return common.HexToAddress(s), nil
}

func readUnits(s string) (*big.Int, error) {
	n, err := uint256.FromDecimal(s)
	if err != nil || n.Dec() != s {
		return nil, fmt.Errorf("%w: a count of units is missing or malformed", ErrMovement)
	}
	return n.ToBig(), nil
}

// Differs says whether what is moved is not what the call says: another debit or credit, or anything besides.
func (m Moved) Differs(call Args) bool {
	more, err := m.Debit.Cmp(call.Amount)
	return err != nil || more > 0 || m.Credit != call.Amount || m.Others > 0
}

// Describe says what a simulation shows, beside what the call says.
func (m Moved) Describe(call Args) string {
	s := fmt.Sprintf("the call says %s, and by its simulation %s would leave the account and %s would arrive",
		call.Amount, m.Debit, m.Credit)
	if n := m.Others - m.Foreign; n > 0 {
		s += fmt.Sprintf("; it pays others too, %s", wording.CountOf(n, "transfer"))
	}
	if n := m.Foreign; n > 0 {
		s += fmt.Sprintf("; it moves other assets or lets others move them, %s", wording.CountOf(n, "event"))
	}
	return s
}

// Over is what leaves the account beyond what the call says, as text; "" if nothing does.
func (m Moved) Over(call Args) string {
	if over, err := m.Debit.Sub(call.Amount); err == nil && !over.IsZero() {
		return over.String()
	}
	return ""
}

// Counted is what counts against caps and thresholds: the larger of the call's amount and the debit.
func (m Moved) Counted(call Args) money.Amount {
	if more, err := m.Debit.Cmp(call.Amount); err == nil && more > 0 {
		return m.Debit
	}
	return call.Amount
}
