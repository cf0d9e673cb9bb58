package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/tools/arg"
)

// keyContract is the keyword of a schema that holds a [Contract].
const keyContract = "x-contract"

// A Contract says which function of which contract a call is. It stands in the schema, and so in the tool's record: an
// auditor makes the call data of the arguments again.
type Contract struct {
	Address common.Address
	// Token is the argument that names the contract, a token of the book, in the place of an address.
	Token string
	// Thing is the argument that names which thing of the collection Token moves: a whole number of at most 256 bits.
	Thing string
	// Sender is the function's input, and no argument, that is the account that sends the transaction.
	Sender string
	// Lets says that the contract is let take the call's amount first: both are one transaction, by which the account
	// calls itself. Only a key's account with the code of a smart account (EIP-7702) can.
	Lets bool
	// Function is the function's entry in the contract's ABI: type, name, stateMutability and inputs.
	Function json.RawMessage
}

// Contract returns which function a call of the tool is; nil if it is none, or one that every token has.
func (d *Def) Contract() *Contract { return d.of }

// Offered returns the schema as models are told it: without what is the same in every call.
func (d *Def) Offered() []byte { return d.offer }

// Const returns the value that an argument has in every call.
func (d *Def) Const(name string) (string, bool) {
	p := d.schema.findProperty(name)
	if p == nil || p.fixed == nil {
		return "", false
	}
	return *p.fixed, true
}

// offered takes out of a schema what is the same in every call. whole is its spelling.
func (s *schema) offered(v *value, whole []byte) []byte {
	props, out := v.member("properties"), value{kind: object}
	left := value{kind: object}
	for i := range s.props {
		if p := &s.props[i]; p.fixed == nil && !p.elicited {
			m := *props.member(p.name)
			if x := m.member("x-asset"); x != nil && s.findProperty(x.text).fixed != nil {
				m = m.without("x-asset")
			}
			left.setMember(p.name, m)
		}
	}
	if len(left.members) == len(s.props) && !v.hasKeyword() {
		return whole
	}
	out = *v
	for _, key := range topKeywords {
		out = out.without(key)
	}
	out.setMember("properties", left)
	return out.appendTo(nil)
}

// topKeywords are those that stand at the top of a schema, and are told to no model.
var topKeywords = []string{keyContract, keyPayment, KeyModule, KeyReconcile}

func (v *value) hasKeyword() bool {
	return slices.ContainsFunc(topKeywords, func(key string) bool { return v.member(key) != nil })
}

// without returns an object without a member.
func (v *value) without(key string) value {
	out := value{kind: object}
	for _, m := range v.members {
		if m.key != key {
			out.setMember(m.key, m.value)
		}
	}
	return out
}

// readContract reads the keyword, which may be absent.
func (d *Def) readContract(v *value) (*Contract, error) {
	if v == nil {
		return nil, nil
	}
	bad := func(why string) (*Contract, error) { return nil, fmt.Errorf("schema: %s %s", keyContract, why) }
	if !d.spec.Class.Sends() || v.kind != object {
		return bad("is an object, of a tool of class chain")
	}
	if err := v.allowOnly("address", "token", "thing", "sender", "function", "lets"); err != nil {
		return nil, fmt.Errorf("schema: %s: %w", keyContract, err)
	}
	var c Contract
	address, token, function := v.member("address"), v.member("token"), v.member("function")
	switch {
	case function == nil || function.kind != object:
		return bad("needs the function, an entry of an ABI")
	case (address == nil) == (token == nil):
		return bad("needs the address, or the argument token, and not both")
	case token != nil:
		p := d.schema.findProperty(token.text)
		if p == nil || p.format != "token" {
			return bad("names a token that is no argument of format token")
		}
		c.Token = token.text
	default:
		a, err := parseAddress(address.text)
		if err != nil || a == (common.Address{}) {
			return bad("has an address that is none")
		}
		c.Address = a
	}
	c.Function = function.appendTo(nil)
	if thing := v.member("thing"); thing != nil {
		p := d.schema.findProperty(thing.text)
		if p == nil || p.format != "thing" || !p.required || c.Token == "" {
			return bad("has a thing that is no required argument of format thing beside a token")
		}
		c.Thing = thing.text
	}
	if sender := v.member("sender"); sender != nil {
		if !arg.IsName(sender.text) || d.schema.findProperty(sender.text) != nil {
			return bad("has a sender that is no name, or is an argument")
		}
		c.Sender = sender.text
	}
	if lets := v.member("lets"); lets != nil {
		if c.Lets = lets.kind == boolTrue; !c.Lets || d.spec.Class != WalletTx || c.Token != "" {
			return bad("can only be true in lets, of a tool of class wallet with an address")
		}
	}
	return &c, nil
}

// checkLets checks that a contract that is let take what a call moves is the one that gets it.
func (d *Def) checkLets() error {
	if d.of == nil || !d.of.Lets {
		return nil
	}
	s := d.spec.Spend
	amount, to := d.schema.findProperty(s.Amount), d.schema.findProperty(s.To)
	if symbol, fixed := d.Const(s.Asset); fixed && amount.fixed == nil && !amount.allowance && to.fixed != nil {
		_, t, err := d.spec.Book.Token(symbol)
		if a, err2 := parseAddress(*to.fixed); errors.Join(err, err2) == nil && t.Address != (common.Address{}) &&
			!t.Things && a == d.of.Address {
			return nil
		}
	}
	return fmt.Errorf("schema: %s lets the contract take an amount of one token, and nobody else gets it", keyContract)
}

// ContractOf returns the contract that a call is to.
func (d *Def) ContractOf(args Args) (common.Address, error) {
	if d.of == nil {
		return common.Address{}, errors.New("the tool is no function of a contract")
	}
	if d.of.Token == "" {
		return d.of.Address, nil
	}
	_, t, err := d.spec.Book.Token(args.Value(d.of.Token).Text)
	if err == nil && t.Address == (common.Address{}) {
		err = errorf("not_erc20", "%s is the chain's native coin, not an ERC-20 token; name a token.",
			args.Value(d.of.Token).Text)
	}
	return t.Address, err
}
