package chain

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
	"github.com/writ-run/writ/tools/mandate"
)

// Mandates are the delegations that sessions have handed over.
type Mandates interface {
	// Find returns the newest one that a session has for a token, by the session's CID; nil if it has none.
	Find(ctx context.Context, session string, token common.Address) (*mandate.Mandate, error)
}

const mandateArgs = `{"type":"object","additionalProperties":false,"required":["token","to","amount"],"x-payment":"erc7710",` +
	`"properties":{
	"token":{"type":"string","format":"token","description":"symbol of the ERC-20 token"},
	"to":{"type":"string","format":"address","description":"who gets it: a name in the address book or a 0x address"},
	"amount":{"type":"string","format":"amount","x-asset":"token","description":"how many whole tokens, e.g. 12.5"}}}`

var mandateSpec = tools.Spec{
	Output: chainFacts,
	Name:   "mandate.transfer",
	About: "Sends ERC-20 tokens from the user's own account, within the delegation that the user's wallet has signed. " +
		"The effect is final.",
	Class:  tools.ChainTx,
	Schema: json.RawMessage(mandateArgs),
	Spend:  &tools.Spend{Amount: "amount", Asset: "token", To: "to"},
	Utterances: []string{
		"send {amount} {token} to {to}", "pay {to} {amount} {token}", "pay {amount} {token} to {to}",
		"transfer {amount} {token} to {to}", "send {to} {amount} {token}",
	},
}

// mandateWords tells what the Delegation Framework says.
type mandateWords struct{}

func (mandateWords) Reason(data []byte) string { return mandate.Reason(data) }

func (mandateWords) Events([]*types.Log) ([]any, int) { return nil, 0 }

// whose says in a sentence whose an account is.
func (c *chain) whose(payer common.Address) string {
	if payer == c.from {
		return "agent's"
	}
	return "user's"
}

// redeem makes of a transfer the payment of it from the account whose mandate the session has. An [*tools.Error] says
// why there is none that allows it.
func (t *sender) redeem(ctx context.Context, in tools.Input, a *act, head *types.Header) error {
	token, amount := a.To, in.Args.Amount
	m, err := t.mandates.Find(ctx, in.Asker.Session, token)
	if err != nil {
		return fmt.Errorf("the session's delegation: %w", err)
	}
	if m == nil {
		return errorf("mandate_missing", "This session has no delegation for %s; its wallet gives one with: writ mandate.",
			amount.Asset().Symbol)
	}
	if err := checkGiven(t.chain, in, m); err != nil {
		return err
	}
	l, err := m.Limits()
	if err != nil {
		return errorf("mandate_unfit", "The delegation cannot be used: %v.", err)
	}
	if err := checkLeft(ctx, t.chain, m, l, in.Args, head); err != nil {
		return err
	}
	data, err := mandate.Pay(m, token, in.Args.To, amount.Uint256())
	if err != nil {
		return errorf("mandate_unfit", "The delegation cannot be used: %v.", err)
	}
	a.Call = calldata.Call{To: mandate.Manager, Value: new(uint256.Int), Data: data}
	a.transfers, a.verb, a.words, a.payer, a.mandate = false, "payment", t.words, m.Delegator, m
	return nil
}

// checkGiven says why a mandate is not one of the session's wallet to the agent's account on this chain.
func checkGiven(c *chain, in tools.Input, m *mandate.Mandate) error {
	is, _ := m.IsOf(in.Wallet)
	switch {
	case m.Chain != c.book.Chain:
		return errorf("mandate_chain", "The delegation is of chain %d, and this payment is on chain %d.", m.Chain,
			c.book.Chain)
	case m.Delegate != c.from:
		return errorf("mandate_account", "The delegation is to %s, and the agent's account is %s; give a new one.",
			m.Delegate.Hex(), c.from.Hex())
	case in.Wallet == (common.Address{}) || !is:
		return errorf("mandate_account", "The delegation of %s is not signed by this session's wallet.",
			m.Delegator.Hex())
	}
	return nil
}

// checkLeft says what of a mandate's limits a payment would exceed at a block.
func checkLeft(
	ctx context.Context, c *chain, m *mandate.Mandate, l mandate.Limits, args tools.Args, head *types.Header,
) error {
	var got [3]*big.Int
	paid, counted := m.Spent()
	for i, q := range []mandate.Look{m.Disabled(), paid, m.Paid()} {
		n, err := c.callUint(ctx, q.At, q.Data, head.Hash())
		if err != nil {
			if _, ok := err.(*tools.Error); ok { // nothing, or not a number, answers there
				return errorf("mandate_chain", "The Delegation Framework is not on chain %d, so nobody's account can pay there by "+
					"a delegation.", c.book.Chain)
			}
			return fmt.Errorf("what was paid by the delegation: %w", err)
		}
		got[i] = n
	}
	asset := args.Amount.Asset()
	if !counted { // what was paid is then told by the simulation alone, which the chain refuses
		got[1] = new(big.Int)
	}
	spent, err := amountOf(asset, got[1])
	if err != nil {
		return err
	}
	total := money.FromUint256(asset, l.Total)
	after, err := spent.Add(args.Amount)
	over := err != nil
	if !over {
		more, err := after.Cmp(total)
		over = err != nil || more > 0
	}
	at := func(s uint64) string { return time.Unix(int64(s), 0).UTC().Format(time.RFC3339) }
	switch {
	case got[0].Sign() != 0:
		return errorf("mandate_revoked", "The delegation was revoked on the chain; its wallet may give a new one.")
	case l.Before > 0 && head.Time >= l.Before:
		return errorf("mandate_over", "The delegation ended at %s; its wallet may give a new one.", at(l.Before))
	case l.After > 0 && head.Time <= l.After:
		return errorf("mandate_early", "The delegation holds only after %s.", at(l.After))
	case over && !counted:
		return errorf("mandate_exhausted", "The delegation allows %s in all, so %s are too much.", total, args.Amount)
	case over:
		return errorf("mandate_exhausted", "The delegation allows %s in all and %s of it are paid, so %s are too much.",
			total, spent, args.Amount)
	case l.Calls > 0 && got[2].Cmp(new(big.Int).SetUint64(l.Calls)) >= 0:
		return errorf("mandate_exhausted", "The delegation allows %d payments, and all were made.", l.Calls)
	case !l.Allows(args.To):
		return errorf("mandate_recipient", "The delegation does not allow paying %s.", args.To.Hex())
	}
	return nil
}

// checkMandate refuses to pay by another mandate than a call was decided with.
func checkMandate(in tools.Input, a *act) error {
	if in.Foreseen == nil || a.mandate == nil {
		return nil
	}
	var then struct {
		Mandate *mandate.Mandate `json:"mandate"`
	}
	if err := json.Unmarshal(in.Foreseen, &then); err != nil || then.Mandate == nil ||
		then.Mandate.Digest() != a.mandate.Digest() {
		return errorf("changed", "Another delegation was given since the payment was decided. Nothing was sent; ask again.")
	}
	return nil
}

// paymentOf reads a transaction as a payment by a mandate.
func (t *sender) paymentOf(tx *types.Transaction) (tools.Args, bool) {
	if tx.To() == nil || *tx.To() != mandate.Manager {
		return tools.Args{}, false
	}
	p, err := mandate.ReadPayment(t.book.Chain, tx.Data())
	symbol, known := t.symbols[p.Token]
	if err != nil || !known {
		return tools.Args{}, false
	}
	return tools.Args{Amount: money.FromUint256(t.assetOf(symbol), p.Units), To: p.To}, true
}

// payerOf returns whose balance a transaction moves.
func (t *sender) payerOf(tx *types.Transaction, from common.Address) common.Address {
	if t.mandates == nil {
		return from
	}
	if p, err := mandate.ReadPayment(t.book.Chain, tx.Data()); err == nil {
		return p.Mandate.Delegator
	}
	return from
}
