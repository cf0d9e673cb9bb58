// Package mined compares what a record says of mined transactions with what a chain has.
//
// All of it is pure: who asks the chain, and which one, is for the caller. What an account owned before and after is
// not asked again, since few nodes keep it: a transaction's block, its outcome and its events are.
package mined

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/x402"
)

// A Place is where a record says that a transaction was mined.
type Place struct {
	Chain  uint64 // EIP-155 id
	Tx     common.Hash
	Number uint64 // of the block
	Block  common.Hash
}

// A Receipt is what a chain has of a transaction, and of the block that a record puts it into.
type Receipt struct {
	Stands bool        // the block that was asked for is the chain's at its number
	Block  common.Hash // that has the transaction; zero if none does
	OK     bool        // it was not reverted
	Logs   []Log
}

// A Log is an event.
type Log struct {
	Contract common.Address
	Topics   []common.Hash
	Data     []byte
}

// ErrNobody says that there is nobody to ask about a chain, which is no word against a record.
var ErrNobody = errors.New("no endpoint of yours serves this chain")

// A Claim is what a record says of a mined transaction.
type Claim struct {
	Place
	Status string // "ok" or "reverted"; "" for a transaction that only uses its nonce
	// Early says that the record itself does not take the block for final; Shallow that it does not say whether it did.
	Early, Shallow bool
	// Movement is compared as far as events of contracts tell of it: all that is from or to Account or To; of the call's
	// token, all that is called by its Symbol. Nil of what is not compared so.
	Movement    *tools.Movement
	Account, To common.Address
	Symbol      string
	Token       common.Address // zero for the chain's coin
	Paid        *x402.Paid     // by an authorisation that the transaction must have used
}

// ReadPlace reads where a record says that a transaction is. It is false if it does not say so in full.
func ReadPlace(chain uint64, tx, number, block string) (Place, bool) {
	n, err := strconv.ParseUint(number, 10, 63)
	p := Place{chain, common.HexToHash(tx), n, common.HexToHash(block)}
	return p, err == nil && strings.EqualFold(p.Tx.Hex(), tx) && strings.EqualFold(p.Block.Hex(), block)
}

// OfMined is the claim of a receipt, of a call that moves a token.
func OfMined(chain uint64, r *tools.Mined, call tools.Args, token common.Address) (Claim, bool) {
	at, ok := ReadPlace(chain, r.Hash, r.Block, r.BlockHash)
	c := Claim{Place: at, Status: r.Status}
	if r.Status == "ok" {
		c.Movement, c.Account, c.To = &r.Movement, common.HexToAddress(r.Account), call.To
		c.Symbol, c.Token = call.Amount.Asset().Symbol, token
	}
	return c, ok
}

// OfPaid is the claim of a payment by x402. Which block counts for good where it was made, its record does not say.
func OfPaid(p *x402.Paid) Claim {
	return Claim{
		Place: Place{p.Chain, p.Tx, p.Number, p.Block}, Status: "ok", Shallow: true, Paid: p,
	}
}

// errMoved says that a block has gone, as it may before it is final.
var errMoved = errors.New("the block that it was in has gone")

// check says in an error what of a claim is not as the chain has it.
func (c *Claim) check(r *Receipt) error {
	switch {
	case r.Block == common.Hash{}:
		return errors.New("has no such transaction")
	case r.Block != c.Block && c.Shallow && !r.Stands && r.OK && checkUse(c.Paid, r) == nil:
		return errMoved
	case r.Block != c.Block:
		return fmt.Errorf("has it in block %s, and the record in block %s", r.Block.Hex(), c.Block.Hex())
	case c.Status != "" && r.OK != (c.Status == "ok"):
		return fmt.Errorf("has it with another outcome than %s", c.Status)
	case c.Paid != nil:
		return checkUse(c.Paid, r)
	case c.Movement != nil:
		return c.checkMovement(r.Logs)
	}
	return nil
}

// Topics of the events by which contracts say that they move something, or let somebody move it.
var (
	topicTransfer       = topic("Transfer(address,address,uint256)")
	topicApproval       = topic("Approval(address,address,uint256)")
	topicApprovalForAll = topic("ApprovalForAll(address,address,bool)")
	topicSingle         = topic("TransferSingle(address,address,address,uint256,uint256)")
	topicBatch          = topic("TransferBatch(address,address,address,uint256[],uint256[])")
	topicUsed           = topic("AuthorizationUsed(address,bytes32)")
)

func topic(event string) common.Hash { return crypto.Keccak256Hash([]byte(event)) }

// checkUse says whether a transaction has used the authorisation of a payment, and moved what it is for.
func checkUse(p *x402.Paid, r *Receipt) error {
	is := func(l Log, event, first, second common.Hash) bool {
		return l.Contract == p.Token && slices.Equal(l.Topics, []common.Hash{event, first, second})
	}
	from, units := common.BytesToHash(p.Account[:]), p.Amount.Uint256().Bytes32()
	used := slices.ContainsFunc(r.Logs, func(l Log) bool { return is(l, topicUsed, from, p.Nonce) })
	moved := slices.ContainsFunc(r.Logs, func(l Log) bool {
		return is(l, topicTransfer, from, common.BytesToHash(p.To[:])) && bytes.Equal(l.Data, units[:])
	})
	switch {
	case !used:
		return errors.New("has it, and it has not used the authorisation that was signed")
	case !moved:
		return fmt.Errorf("has it, and it has not moved %s from %s to %s", p.Amount, p.Account.Hex(), p.To.Hex())
	}
	return nil
}

// checkMovement compares the events that a record has with those that the chain has.
func (c *Claim) checkMovement(logs []Log) error {
	var shown, said tools.Movement
	for _, l := range logs {
		AddEvent(&shown, l)
	}
	for _, t := range c.Movement.Transfers {
		if (t.Token == c.Symbol) != (common.HexToAddress(t.Contract) == c.Token) {
			return fmt.Errorf("has no %s at %s", c.Symbol, t.Contract)
		}
		if common.HexToAddress(t.Contract) != (common.Address{}) { // of the chain's coin no event tells
			said.Transfers = append(said.Transfers, t)
		}
	}
	for _, a := range c.Movement.Allowances {
		if (a.Token == c.Symbol) != (common.HexToAddress(a.Contract) == c.Token) {
			return fmt.Errorf("has no %s at %s", c.Symbol, a.Contract)
		}
		said.Allowances = append(said.Allowances, a)
	}
	if !slices.Equal(c.keysOf(&shown), c.keysOf(&said)) {
		return fmt.Errorf("has it, and it has moved something else of %s or of the recipient", c.Account.Hex())
	}
	return nil
}

// keysOf spells out the events that are about the claim's account or recipient, in their order.
func (c *Claim) keysOf(m *tools.Movement) (keys []string) {
	is := func(hex string) bool {
		a := common.HexToAddress(hex)
		return a == c.Account || a == c.To
	}
	for _, t := range m.Transfers {
		if is(t.From) || is(t.To) {
			keys = append(keys, strings.ToLower(fmt.Sprint("moves ", t.Contract, t.From, t.To, t.Units, " ", t.ID)))
		}
	}
	for _, a := range m.Allowances {
		if is(a.Owner) {
			keys = append(keys, strings.ToLower(fmt.Sprint("allows ", a.Contract, a.Owner, a.Spender, a.Units, " ", a.ID)))
		}
	}
	return keys
}

// AddEvent adds to m what an event says was moved or allowed: ERC-20, ERC-721 and ERC-1155. Of the latter two each
// event counts as one unit of a thing that no amount measures. Events of other forms move nothing by these standards.
// Which symbol a contract has is for the caller.
func AddEvent(m *tools.Movement, l Log) {
	if len(l.Topics) == 0 {
		return
	}
	switch kind := l.Topics[0]; {
	case kind == topicTransfer && len(l.Topics) >= 3:
		m.Transfers = append(m.Transfers, tools.Transfer{Contract: l.Contract.Hex(), From: addressIn(l.Topics[1]),
			To: addressIn(l.Topics[2]), Units: unitsOf(l).Dec(), ID: thingIn(l)})
	case (kind == topicSingle || kind == topicBatch) && len(l.Topics) == 4:
		m.Transfers = append(m.Transfers, tools.Transfer{Contract: l.Contract.Hex(), From: addressIn(l.Topics[2]),
			To: addressIn(l.Topics[3]), Units: "1"})
	case (kind == topicApproval || kind == topicApprovalForAll) && len(l.Topics) >= 3:
		m.Allowances = append(m.Allowances, tools.Allowance{Contract: l.Contract.Hex(), Owner: addressIn(l.Topics[1]),
			Spender: addressIn(l.Topics[2]), Units: unitsOf(l).Dec(), ID: thingIn(l)})
	}
}

func addressIn(topic common.Hash) string { return common.BytesToAddress(topic[12:]).Hex() }

// thingIn returns the number of the thing that an event of ERC-721 names, "" of any other event.
func thingIn(l Log) string {
	if len(l.Topics) != 4 {
		return ""
	}
	return new(uint256.Int).SetBytes(l.Topics[3][:]).Dec()
}

// unitsOf returns the amount of an event, one if it names a single thing instead; none if it says that nobody may move
// that any more.
func unitsOf(l Log) *uint256.Int {
	if len(l.Topics) == 4 && l.Topics[0] == topicApproval && l.Topics[2] == (common.Hash{}) {
		return new(uint256.Int)
	}
	if len(l.Topics) > 3 || len(l.Data) != 32 {
		return uint256.NewInt(1)
	}
	return new(uint256.Int).SetBytes(l.Data)
}
