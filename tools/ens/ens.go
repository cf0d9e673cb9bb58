// Package ens has the tools ens.resolve and ens.reverse, which ask the Ethereum Name Service on a chain.
//
// [New] makes them of a registry. A name is read by [Normalize], strictly; what a resolver says is told with the
// registry, the resolver and the block. An address has a name only if the name leads back to it. Whoever owns a name
// says where it leads, so what is told is untrusted, and no address of a call is ever a name of ENS: a model has to
// give the address, which is what policies judge and a wallet approves. Names that a resolver answers off the chain, or
// for names below its own, are not read.
package ens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
)

// Registry is the registry on Ethereum, and on its test chains Sepolia and Holesky.
var Registry = common.HexToAddress("0x00000000000C2E074eC69A0dFb2997BA6C7d2e1e")

// RegistryOf returns the registry that everybody uses on a chain; the zero address if there is none.
func RegistryOf(chain uint64) common.Address {
	switch chain {
	case 1, 11155111, 17000:
		return Registry
	}
	return common.Address{}
}

// A Client is what the tools need of a node.
type Client interface {
	ChainID(ctx context.Context) (*big.Int, error)
	HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error)
	CallContractAtHash(ctx context.Context, msg ethereum.CallMsg, block common.Hash) ([]byte, error)
}

// A Config says which registry is asked.
type Config struct {
	Client   Client         // required
	Book     *tools.Book    // required; its chain id must be the client's
	Registry common.Address // required
}

// New returns the two tools. It asks the chain nothing.
func New(c Config) ([]tools.Tool, error) {
	if c.Client == nil || c.Book == nil || c.Registry == (common.Address{}) {
		return nil, errors.New("ens: Client, Book and Registry are required")
	}
	s := service{c}
	list := []tools.Tool{
		&tool{s.describe(resolveSpec), s.resolve}, &tool{s.describe(reverseSpec), s.reverse},
	}
	for _, t := range list {
		if _, err := tools.Compile(t.Spec()); err != nil {
			return nil, fmt.Errorf("ens: %w", err)
		}
	}
	return list, nil
}

// A tool asks one of the two questions.
type tool struct {
	spec tools.Spec
	ask  func(ctx context.Context, args tools.Args) (any, error)
}

func (t *tool) Spec() tools.Spec { return t.spec }

// Call asks. Its errors are [*tools.Error]: bad_name, no_name, no_address, not_confirmed, refused, wrong_chain,
// unknown_block, chain_unavailable.
func (t *tool) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	v, err := t.ask(ctx, in.Args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.spec.Name, err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return tools.CanonicalJSON(b)
}

// anybodysWords: whoever owns a name says where it leads.
var anybodysWords = &tools.Output{Integrity: label.Untrusted, Secrecy: label.Session}

var resolveSpec = tools.Spec{
	Output: anybodysWords, Name: "ens.resolve", Class: tools.Read,
	About: "The address that a name of the Ethereum Name Service leads to, by the registry %s. Its owner may change " +
		"that at any time.",
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["name"],"properties":{
		"name":{"type":"string","maxLength":255,"description":"e.g. alice.eth"}}}`),
	Utterances: []string{"resolve {name}", "what is the address of the name {name}", "where does the name {name} lead"},
}

var reverseSpec = tools.Spec{
	Output: anybodysWords, Name: "ens.reverse", Class: tools.Read,
	About: "The name of the Ethereum Name Service that an address goes by, if the name leads back to it, by the " +
		"registry %s.",
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["account"],"properties":{
		"account":{"type":"string","format":"address","description":"a name in the address book or a 0x address"}}}`),
	Utterances: []string{"what name does {account} go by", "ens name of {account}", "reverse {account}"},
}

// A service is the names of one registry.
type service struct{ Config }

// describe says in a tool's description, and so in its definition, which registry it asks.
func (s service) describe(spec tools.Spec) tools.Spec {
	spec.About = fmt.Sprintf(spec.About, s.Registry.Hex())
	spec.Book = s.Book
	return spec
}

// A result is a name with its address, as both tools tell it.
type result struct {
	Name      string `json:"name"`
	Address   string `json:"address"` // EIP-55
	Registry  string `json:"registry"`
	Resolver  string `json:"resolver"` // that gave the address
	Chain     uint64 `json:"chain"`
	Block     string `json:"block"`
	BlockHash string `json:"block_hash"`
}

func (s service) resolve(ctx context.Context, args tools.Args) (any, error) {
	name, err := Normalize(args.Value("name").Text)
	if err != nil {
		return nil, err
	}
	head, err := s.newest(ctx)
	if err != nil {
		return nil, err
	}
	return s.resolveAt(ctx, name, head)
}

func (s service) resolveAt(ctx context.Context, name string, head *types.Header) (r result, err error) {
	node := Node(name)
	resolver, err := s.resolverOf(ctx, node, head.Hash(), "the name "+name)
	if err != nil {
		return r, err
	}
	out, err := s.call(ctx, resolver, selAddr, node, head.Hash())
	if err != nil {
		return r, err
	}
	address, ok := addressOf(out)
	if !ok || address == (common.Address{}) {
		return r, errorf("no_address", "The name %s has no address; ask the user for the address itself.", name)
	}
	return result{
		Name: name, Address: address.Hex(), Registry: s.Registry.Hex(), Resolver: resolver.Hex(), Chain: s.Book.Chain,
		Block: head.Number.String(), BlockHash: head.Hash().Hex(),
	}, nil
}

func (s service) reverse(ctx context.Context, args tools.Args) (any, error) {
	account := args.Value("account")
	if account.Kind != arg.Address {
		return nil, errors.New("the account is no address")
	}
	head, err := s.newest(ctx)
	if err != nil {
		return nil, err
	}
	hex := account.Addr.Hex()
	node := Node(strings.ToLower(hex[2:]) + ".addr.reverse")
	resolver, err := s.resolverOf(ctx, node, head.Hash(), "the address "+hex)
	if err != nil {
		return nil, err
	}
	out, err := s.call(ctx, resolver, selName, node, head.Hash())
	if err != nil {
		return nil, err
	}
	said, ok := textOf(out)
	if !ok || said == "" {
		return nil, errorf("no_name", "The address %s has no name.", hex)
	}
	name, err := Normalize(said)
	if err != nil || name != said {
		return nil, errorf("not_confirmed", "The address %s calls itself by a name that is not written as names are, so it "+
			"has none; use the address.", hex)
	}
	r, err := s.resolveAt(ctx, name, head)
	e, told := errors.AsType[*tools.Error](err)
	if told && e.Code != "chain_unavailable" || err == nil && r.Address != hex {
		return nil, errorf("not_confirmed", "The address %s calls itself by a name that does not lead to it, so the name is "+
			"not its own; use the address.", hex)
	}
	return r, err
}

// newest returns the newest block of the right chain.
func (s service) newest(ctx context.Context) (*types.Header, error) {
	id, err := s.Client.ChainID(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	if !id.IsUint64() || id.Uint64() != s.Book.Chain {
		return nil, errorf("wrong_chain",
			"The node serves chain %s, but the address book is for chain %d; tell the operator.", id, s.Book.Chain)
	}
	head, err := s.Client.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, unavailable(err)
	}
	return head, nil
}

// Node returns the number by which the registry knows a name that is normalised (EIP-137, namehash).
func Node(name string) (node common.Hash) {
	labels := strings.Split(name, ".")
	for i := len(labels) - 1; i >= 0; i-- {
		node = crypto.Keccak256Hash(node[:], crypto.Keccak256([]byte(labels[i])))
	}
	return node
}

var (
	selResolver = crypto.Keccak256([]byte("resolver(bytes32)"))[:4]
	selAddr     = crypto.Keccak256([]byte("addr(bytes32)"))[:4]
	selName     = crypto.Keccak256([]byte("name(bytes32)"))[:4]
)

// resolverOf asks the registry who answers for a node.
func (s service) resolverOf(ctx context.Context, node, block common.Hash, what string) (common.Address, error) {
	out, err := s.call(ctx, s.Registry, selResolver, node, block)
	if err != nil {
		return common.Address{}, err
	}
	resolver, ok := addressOf(out)
	if !ok {
		return resolver, errorf("refused", "The contract %s does not answer as a registry of names does; tell the operator.",
			s.Registry.Hex())
	}
	if resolver == (common.Address{}) {
		return resolver, errorf("no_name", "Nobody answers for %s in the registry; look at how it is written.", what)
	}
	return resolver, nil
}

func (s service) call(ctx context.Context, to common.Address, selector []byte, node, block common.Hash) (
	[]byte, error,
) {
	msg := ethereum.CallMsg{To: &to, Data: append(append([]byte{}, selector...), node[:]...)}
	out, err := s.Client.CallContractAtHash(ctx, msg, block)
	if e, ok := errors.AsType[rpc.Error](err); ok && strings.Contains(strings.ToLower(e.Error()), "revert") {
		return nil, errorf("refused", "The contract %s, which answers for it, does not answer on the chain; use the address.",
			to.Hex())
	}
	if err != nil && ctx.Err() == nil {
		return nil, unavailable(err)
	}
	return out, err
}

const wordSize = 32

// addressOf reads the one address that a call returns. What is longer, or has more than an address in it, is none.
func addressOf(out []byte) (a common.Address, ok bool) {
	if len(out) != wordSize || new(big.Int).SetBytes(out[:wordSize-common.AddressLength]).Sign() != 0 {
		return a, false
	}
	return common.BytesToAddress(out), true
}

// textOf reads the one text that a call returns, of at most maxName bytes.
func textOf(out []byte) (string, bool) {
	if len(out) < 2*wordSize {
		return "", false
	}
	offset, size := new(big.Int).SetBytes(out[:wordSize]), new(big.Int).SetBytes(out[wordSize:2*wordSize])
	if offset.Cmp(big.NewInt(wordSize)) != 0 || size.Cmp(big.NewInt(maxName)) > 0 ||
		int64(len(out)-2*wordSize) < size.Int64() {
		return "", false
	}
	return string(out[2*wordSize : 2*wordSize+size.Int64()]), true
}

func errorf(code, format string, args ...any) *tools.Error {
	return &tools.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// unavailable says that nothing answered. The node's own words stay in the error, for the operator.
func unavailable(err error) error {
	told := errorf("chain_unavailable", "The chain cannot be reached now; try again in a minute.")
	return fmt.Errorf("%w (%w)", told, err)
}

func badName(name, format string, args ...any) *tools.Error {
	return errorf("bad_name", "The name %s %s; ask the user for the address itself.",
		wording.Spell(wording.Clip(name, 64)), fmt.Sprintf(format, args...))
}
