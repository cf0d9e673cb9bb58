package chain

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/tools"
)

// Things of which there is one each (ERC-721): who has one, and how many an account has. Any contract may be named, so
// what is told is anybody's word. What such a contract calls itself and its things is not told at all.

var ownerSpec = tools.Spec{
	Output: chainWords,
	Name:   "erc721.owner",
	About: "Who owns one thing of an ERC-721 contract (an NFT), and the account that is approved for it, read at one " +
		"block; operators of all that its owner has are not told. Any contract can say so.",
	Class: tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["contract","id"],"properties":{` +
		blockArg + `,` + contractArg + `,
		"id":{"type":"string","minLength":1,"maxLength":78,"description":"its number, decimal"}}}`),
	Utterances: []string{"who owns nft {id} of {contract}", "who owns number {id} of {contract}"},
}

var countSpec = tools.Spec{
	Output: chainWords,
	Name:   "erc721.balance",
	About: "How many things of an ERC-721 contract (NFTs) an account has, read at one block. Any contract can say " +
		"so.",
	Class: tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["account","contract"],"properties":{` +
		blockArg + `,` + contractArg + `,
		"account":{"type":"string","format":"address","description":"a name in the address book or a 0x address"}}}`),
	Utterances: []string{"how many nfts of {contract} does {account} have", "nfts of {contract} of {account}"},
}

type ownerResult struct {
	Contract string `json:"contract"`
	ID       string `json:"id"`
	Owner    string `json:"owner"`              // EIP-55
	Name     string `json:"name,omitempty"`     // in the book
	Approved string `json:"approved,omitempty"` // who may move this one; nobody if absent
	place
}

type countResult struct {
	Contract string `json:"contract"`
	Account  string `json:"account"`
	Name     string `json:"name,omitempty"`
	Count    string `json:"count"`
	place
}

var (
	selOwnerOf     = crypto.Keccak256([]byte("ownerOf(uint256)"))[:4]
	selGetApproved = crypto.Keccak256([]byte("getApproved(uint256)"))[:4]
)

func (c views) readOwner(ctx context.Context, args tools.Args) (any, error) {
	text := args.Value("id").Text
	id, err := uint256.FromDecimal(text)
	if err != nil || id.Dec() != text {
		return nil, errorf("bad_argument", "Argument %q must be a whole number of at most 256 bits, decimal.", "id")
	}
	head, at, err := c.findBlock(ctx, args.Value("block"))
	if err != nil {
		return nil, err
	}
	contract, word := args.Value("contract").Addr, id.Bytes32()
	owner, err := c.askThing(ctx, contract, append(append([]byte{}, selOwnerOf...), word[:]...), head.Hash())
	if err != nil {
		return nil, err
	}
	if owner == (common.Address{}) {
		return nil, errorf("no_thing", "The contract %s has nothing of the number %s.", contract.Hex(), text)
	}
	r := ownerResult{Contract: contract.Hex(), ID: text, Owner: owner.Hex(), Name: c.people[owner], place: at}
	approved, err := c.askThing(ctx, contract, append(append([]byte{}, selGetApproved...), word[:]...), head.Hash())
	if err != nil {
		return nil, err
	}
	if approved != (common.Address{}) {
		r.Approved = approved.Hex()
	}
	return r, nil
}

func (c views) countThings(ctx context.Context, args tools.Args) (any, error) {
	head, at, err := c.findBlock(ctx, args.Value("block"))
	if err != nil {
		return nil, err
	}
	contract, account := args.Value("contract").Addr, args.Value("account").Addr
	n, err := c.askWord(ctx, contract, packBalanceOf(account), head.Hash())
	if err != nil {
		return nil, err
	}
	return countResult{contract.Hex(), account.Hex(), c.people[account], n.String(), at}, nil
}

// askThing asks a contract for an address.
func (c views) askThing(ctx context.Context, contract common.Address, data []byte, block common.Hash) (
	a common.Address, err error,
) {
	n, err := c.askWord(ctx, contract, data, block)
	if err != nil {
		return a, err
	}
	if n.BitLen() > 8*common.AddressLength {
		return a, notERC721(contract)
	}
	return common.BigToAddress(n), nil
}

// askWord asks a contract for one word. That it refuses is told without its words.
func (c views) askWord(ctx context.Context, contract common.Address, data []byte, block common.Hash) (*big.Int, error) {
	out, err := c.client.CallContractAtHash(ctx, ethereum.CallMsg{To: &contract, Data: data}, block)
	if _, refused := errors.AsType[*refusal](explainRefusal(err)); refused {
		return nil, errorf("no_thing", "The contract %s refuses to say: it has no such thing, or knows none at all.",
			contract.Hex())
	}
	if err != nil {
		return nil, err
	}
	if len(out) != 32 {
		return nil, notERC721(contract)
	}
	return new(big.Int).SetBytes(out), nil
}

func notERC721(contract common.Address) *tools.Error {
	return errorf("not_erc721", "The contract %s does not answer as one of ERC-721 does; look at the address.",
		contract.Hex())
}
