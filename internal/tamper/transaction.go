package tamper

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A signing is a transaction about to be signed, and what is about to be recorded of it.
type signing struct {
	tx     types.DynamicFeeTx
	by     *ecdsa.PrivateKey
	chain  uint64              // of the account, as it is recorded
	record func(*tools.Signed) // changes the record of what was signed
}

// signTransaction is what the agent's account answers to a call that wants a transaction signed.
func (g *game) signTransaction(call *provenance.Call) (string, error) {
	_, args, err := g.machine.Arguments(call)
	if err != nil {
		return "", err
	}
	b := g.world.tools[1].Book
	token := b.Tokens[args.Amount.Asset().Symbol].Address
	s := signing{by: g.account, chain: b.Chain, tx: types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(b.Chain), Nonce: g.nonce, GasTipCap: big.NewInt(1e9),
		GasFeeCap: big.NewInt(3e9), Gas: 60_000,
		To: &token, Value: new(big.Int), Data: transferOf(args.To, args.Amount),
	}}
	if g.signs != nil {
		g.signs(&s)
	}
	g.nonce++
	out, err := s.sign()
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(out)
	return string(text), err
}

// replaceTransaction is what is signed in the place of the transaction of a call: the same, at twice the price.
func (g *game) replaceTransaction(call *provenance.Call) (*provenance.Payload, error) {
	g.replaced = true
	raw, _ := call.Signed.Bytes()
	old, err := tools.ReadAttempt(raw)
	if err != nil {
		return nil, err
	}
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(must(hexutil.Decode(old.Raw))); err != nil {
		return nil, err
	}
	s := signing{by: g.account, chain: tx.ChainId().Uint64(), tx: types.DynamicFeeTx{
		ChainID: tx.ChainId(), Nonce: tx.Nonce(), GasTipCap: big.NewInt(2e9), GasFeeCap: big.NewInt(6e9), Gas: tx.Gas(),
		To: tx.To(), Value: tx.Value(), Data: tx.Data(),
	}}
	next := tools.Replacement{State: tools.StateReplaced, By: tools.BySettings, Cancels: g.replaces(&s)}
	if next.Signed, err = s.sign(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(next)
	if err == nil {
		text, err = tools.CanonicalJSON(text)
	}
	return provenance.NewPayload(text), err
}

// sign signs a transaction, and says what is recorded of it.
func (s *signing) sign() (tools.Signed, error) {
	tx, err := types.SignNewTx(s.by, types.NewLondonSigner(s.tx.ChainID), &s.tx)
	if err != nil {
		return tools.Signed{}, err
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return tools.Signed{}, err
	}
	out := tools.Signed{
		Account: fmt.Sprintf("eip155:%d:%s", s.chain, crypto.PubkeyToAddress(s.by.PublicKey)), Nonce: tx.Nonce(),
		Hash: tx.Hash().Hex(), Raw: hexutil.Encode(raw),
	}
	if s.record != nil {
		s.record(&out)
	}
	return out, nil
}

// replacedWorld is one payment on a chain whose blocks are final two blocks later. The transaction offers too little,
// and another is sent in its place, which change may change; it says whether that one cancels.
func replacedWorld(change func(*signing) bool) func() *world {
	return func() *world {
		w := wholeWorld()
		w.input = "send 1 USDC to bob"
		w.replies = []model.Reply{
			replyCall("token.send", `{"amount":"1","to":"bob","token":"USDC"}`), replyText("bob has it"),
		}
		w.tools[1].Final, w.replaces = "2 blocks", change
		return w
	}
}

// outbids leaves a replacement as it is: the call's own transfer at twice the price.
func outbids(*signing) bool { return false }

// transferOf is the call data of ERC-20's transfer.
func transferOf(to common.Address, n money.Amount) []byte {
	word := n.Uint256().Bytes32()
	return append(append([]byte{0xa9, 0x05, 0x9c, 0xbb}, common.LeftPadBytes(to[:], 32)...), word[:]...)
}

// lessAQuarter is the balance after a change, less 0.25 USDC.
func lessAQuarter(c tools.Change) string {
	n := must(uint256.FromDecimal(c.After))
	return n.SubUint64(n, 250_000).Dec()
}

// overrunWorld is the whole run with a token that takes twice what it is told, on a node that does not simulate.
func overrunWorld() *world {
	w := wholeWorld()
	w.foresees = func(f *tools.Foreseen) { f.Simulated = tools.SimulatedComputed }
	w.mines = func(r *tools.Mined) {
		n, err := uint256.FromDecimal(r.Changes[0].After)
		if err != nil {
			panic("tamper: " + err.Error())
		}
		r.Changes[0].After = n.SubUint64(n, 5_000_000).Dec()
		left := tools.SumOf(money.Of(usdc, 10_000_000))
		r.Left = &left
	}
	return w
}

// hideOverrun shows after the receipt that of the grant's total only what was asked for is spent.
func (h *history) hideOverrun() error {
	for i, s := range h.steps {
		if r, ok := s.Event.(*provenance.Result); !ok || !isReceiptOf(r) {
			continue
		}
		at := slices.IndexFunc(h.steps[0].Facts.Budgets, func(b provenance.Budget) bool {
			return b.ID == "grant/max_total_usdc"
		})
		b := h.steps[0].Facts.Budgets[at]
		b.Spent = money.Of(usdc, 5_000_000)
		h.steps[i+1].Facts.Budgets = []provenance.Budget{b}
		return nil
	}
	return errors.New("there is no receipt")
}

func isReceiptOf(r *provenance.Result) bool {
	out, _ := r.Output.Bytes()
	return bytes.Contains(out, []byte(`"arrived"`))
}

// unsay leaves the model's words alone in the answer.
func (h *history) unsay() error {
	last := h.steps[len(h.steps)-1]
	for _, e := range last.Does {
		if say, ok := e.(*provenance.Say); ok {
			text, _ := say.Text.Bytes()
			words, _, _ := strings.Cut(string(text), "\n")
			say.Text = provenance.NewPayload([]byte(words))
			return nil
		}
	}
	return errors.New("nothing is said")
}

// capUnasked shows another cap of what may go without asking.
func (h *history) capUnasked(limit money.Amount) {
	for _, s := range h.steps {
		for i := range s.Facts.Budgets {
			if b := &s.Facts.Budgets[i]; strings.HasPrefix(b.ID, "grant/unasked_") && !strings.Contains(b.ID, "+asked") {
				b.Cap = limit
			}
		}
	}
}
