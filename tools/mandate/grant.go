package mandate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
)

// A Transaction is what is to be one payment by a mandate, as it was signed.
type Transaction struct {
	Chain uint64
	From  common.Address
	To    *common.Address
	Value *uint256.Int
	Data  []byte
}

// Check reads the mandate that a transaction redeems, and says in an error why it is not one payment of so many units
// of a token to somebody, and nothing else, by a delegation to its sender.
func (tx Transaction) Check(token, to common.Address, units *uint256.Int) (*Mandate, error) {
	if tx.To == nil || *tx.To != Manager || !tx.Value.IsZero() {
		return nil, errors.New("the transaction is not to the Delegation Framework's manager, or sends coins along")
	}
	p, err := ReadPayment(tx.Chain, tx.Data)
	switch {
	case err != nil:
		return nil, err
	case p.Token != token || p.To != to || !p.Units.Eq(units):
		return nil, fmt.Errorf("it pays %s units of %s to %s, and the call says otherwise", p.Units.Dec(), p.Token.Hex(),
			p.To.Hex())
	case p.Mandate.Delegate != tx.From:
		return nil, fmt.Errorf("the delegation is to %s, and %s redeems it", p.Mandate.Delegate.Hex(), tx.From.Hex())
	}
	return p.Mandate, nil
}

// WishOf returns what a session's grant allows of a mandate's token. It is false if the grant lets nothing of the asset
// be spent, or not on the mandate's chain.
func WishOf(g *auth.Grant, session string, m *Mandate, l Limits, asset money.Asset) (Wish, bool) {
	i := slices.IndexFunc(g.Caveats.MaxTotal, func(a money.Amount) bool { return a.Asset() == asset })
	if i < 0 || !slices.Contains(g.Caveats.Chains, m.Chain) {
		return Wish{}, false
	}
	return Wish{
		Chain: m.Chain, Delegator: m.Delegator, Delegate: m.Delegate, Token: l.Token, Total: g.Caveats.MaxTotal[i],
		Calls: g.Caveats.MaxCalls, Until: g.Expires, Recipients: g.Caveats.Recipients, Session: session,
	}, true
}

// Seen are the mandates of a run, as an auditor meets them.
type Seen struct {
	hashes map[common.Hash]bool
	says   []string
}

// maxSeen bounds the mandates that are told.
const maxSeen = 16

// Add notes a mandate by which a run of a session has paid. The error says that it is not one of the grant's wallet.
func (s *Seen) Add(m *Mandate, g *auth.Grant, session string, asset money.Asset) error {
	wallet := g.WalletOn(m.Chain)
	is, signed := m.IsOf(wallet)
	if !is || wallet == (common.Address{}) {
		return fmt.Errorf("the delegation of %s on chain %d is not of the grant's wallet, %s of chain %d", m.Delegator.Hex(),
			m.Chain, g.Account.Hex(), g.Chain)
	}
	hash := m.Hash()
	if s.hashes[hash] || len(s.says) == maxSeen {
		return nil
	}
	if s.hashes == nil {
		s.hashes = map[common.Hash]bool{}
	}
	s.hashes[hash] = true
	l, err := m.Limits()
	if err != nil {
		return err
	}
	by := "signed by the wallet"
	if !signed {
		by = "whose signature the chain alone can judge"
	}
	text := fmt.Sprintf("the chain alone would have stopped at %s (delegation %s, %s)", l.Stops(asset), hash, by)
	w, ok := WishOf(g, session, m, l, asset)
	if !ok {
		s.says = append(s.says, text+"; the grant lets nothing of it be spent")
		return nil
	}
	s.says = append(s.says, text+Tell(w.Compare(l)))
	return nil
}

// Says tells of each mandate where the chain alone would have stopped, and how that differs from the grant.
func (s *Seen) Says() []string { return s.says }

// Tell tells differences in words, as the end of a sentence.
func Tell(all []Difference) string {
	var wider, narrower []string
	for _, d := range all {
		if d.Wider {
			wider = append(wider, d.Text)
		} else {
			narrower = append(narrower, d.Text)
		}
	}
	out := ""
	if len(wider) > 0 {
		out += "; it is wider than the grant, which still binds: " + strings.Join(wider, "; ")
	}
	if len(narrower) > 0 {
		out += "; it is narrower than the grant: " + strings.Join(narrower, "; ")
	}
	if out == "" {
		return "; it is what the grant allows"
	}
	return out
}

// Permission returns the wish as an entry of the parameters of wallet_requestExecutionPermissions (ERC-7715). The
// wallet may return another permission than that: what it returns is read with [ReadContext], and compared.
func (w *Wish) Permission(why string) any {
	rule := func(kind string, data any) any { return map[string]any{"type": kind, "data": data} }
	rules := []any{rule("expiry", map[string]any{"timestamp": w.Until.Unix()})}
	if len(w.Recipients) > 0 {
		rules = append(rules, rule("payee", map[string]any{"addresses": w.Recipients}))
	}
	return map[string]any{
		"chainId": fmt.Sprintf("0x%x", w.Chain), "from": w.Delegator.Hex(), "to": w.Delegate.Hex(),
		"permission": map[string]any{
			"type": "erc20-token-allowance", "isAdjustmentAllowed": true,
			"data": map[string]any{
				"tokenAddress": w.Token.Hex(), "allowanceAmount": w.Total.Uint256().Hex(), "justification": why,
			},
		},
		"rules": rules,
	}
}
