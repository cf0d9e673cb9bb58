package teller

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/mined"
)

// describePending says why a transaction is not at its end, and what is done next; "" if that is not known.
func describePending(output json.RawMessage) string {
	var seen struct {
		State, Block, Why, By, Hash string
		Cancels                     bool
		Cap                         string `json:"max_fee"`
		Base                        string `json:"base_fee"`
	}
	if json.Unmarshal(output, &seen) != nil {
		return ""
	}
	switch seen.State {
	case tools.StateReturned:
		return "block " + seen.Block + " has gone from the chain, and the transaction with it; the same bytes are sent again"
	case tools.StateReplaced:
		does := "with higher fees takes its place"
		if seen.Cancels {
			does = "that moves nothing takes its place, to cancel it"
		}
		return fmt.Sprintf("no block takes the transaction; another %s (by the %s): %s", does, seen.By, seen.Hash)
	case tools.StateStuck:
		return fmt.Sprintf("stuck: it offers %s gwei for a unit of gas, and block %s asked %s; %s. The operator may "+
			"replace or cancel it: writ tx ls", Gwei(seen.Cap), seen.Block, Gwei(seen.Base), SayStuck(seen.Why))
	}
	return ""
}

// SayStuck says why nothing is done about a transaction that blocks leave out.
func SayStuck(why string) string {
	switch why {
	case tools.StuckSettings:
		return "blocks leave it out, and chain.stuck leaves it to a person"
	case tools.StuckCeiling:
		return "what it would take is above chain.max_fee_gwei"
	case tools.StuckAttempts:
		return "it was replaced as often as may be"
	case tools.StuckGap:
		return "its nonce is above the next one of the account, and nothing from here has those between"
	case "insufficient_funds":
		return "the account has too little of the chain's coin for higher fees"
	case "other_key":
		return "it is of another account than that of chain.key"
	}
	return "blocks leave it out (" + why + ")"
}

// Gwei shows wei.
func Gwei(wei string) string {
	n, ok := new(big.Rat).SetString(wei)
	if !ok {
		return "?"
	}
	s := n.Quo(n, big.NewRat(1e9, 1)).FloatString(9)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// payments remembers what was offered for each payment, so that its receipt can be compared with it.
type payments struct {
	byHash map[string]*payment
}

// A payment is what was signed with one nonce.
type payment struct {
	first    *big.Int // wei for a unit of gas that the first transaction offered at most
	replaced bool
}

// note takes in a signed transaction, or one in the place of it.
func (p *payments) note(output json.RawMessage) {
	a, err := tools.ReadAttempt(output)
	if err != nil {
		return
	}
	var replaces struct{ State string }
	if json.Unmarshal(output, &replaces) != nil {
		return
	}
	if p.byHash == nil {
		p.byHash = map[string]*payment{}
	}
	nonce := fmt.Sprint(a.Account, " ", a.Nonce)
	if replaces.State == tools.StateReplaced {
		if of := p.byHash[nonce]; of != nil {
			of.replaced, p.byHash[a.Hash] = true, of
		}
		return
	}
	raw, err := hexutil.Decode(a.Raw)
	if err != nil {
		return
	}
	if tx, err := audit.ReadTransaction(raw); err == nil {
		of := &payment{first: tx.FeeCap.ToBig()}
		p.byHash[nonce], p.byHash[a.Hash] = of, of
	}
}

// describeCost says what a payment whose transaction was replaced has cost, and how much more than was offered first.
func (p *payments) describeCost(hash string, output json.RawMessage) string {
	var receipt tools.Mined
	of := p.byHash[hash]
	if of == nil || !of.replaced || json.Unmarshal(output, &receipt) != nil || receipt.Fee == nil {
		return ""
	}
	says := "; its fee was " + receipt.Fee.Display
	if more, ok := mined.ExtraFee(of.first, &receipt); ok {
		says += fmt.Sprintf(", %s more than the first transaction offered", more)
	}
	return says
}
