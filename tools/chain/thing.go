package chain

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/tools"
)

// Things of ERC-721, of which there is one each, are moved as tokens are: the book names their collection, an amount of
// it counts them, so caps, recipients and thresholds hold for them as for money. A call names one thing, and is judged
// by whether just that one goes where it says. To let somebody take one counts as spent and asks the wallet each time.
// To let somebody take all that there are and will be, setApprovalForAll, no tool does, and what does it is refused.

const thingArgs = `"collection":{"type":"string","format":"token","description":"symbol of the collection"},
	"id":{"type":"string","format":"thing","description":"the number of the one thing, decimal"},
	"amount":{"type":"string","format":"amount","x-asset":"collection","const":"1"`

var giveSpec = tools.Spec{
	Output: chainFacts,
	Name:   "erc721.transfer",
	About:  "Sends one thing of an ERC-721 collection (an NFT) from the agent's account. The effect is final.",
	Class:  tools.ChainTx,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["collection","id","to"],"properties":{` +
		thingArgs + `},
		"to":{"type":"string","format":"address","description":"who gets it: a name in the address book or a 0x address"}},
		"x-contract":{"token":"collection","thing":"id","sender":"from","function":{"type":"function","name":"safeTransferFrom",
			"stateMutability":"nonpayable","inputs":[{"name":"from","type":"address"},{"name":"to","type":"address"},{"name":"id","type":"uint256"}]}}}`),
	Spend: &tools.Spend{Amount: "amount", Asset: "collection", To: "to"},
	Utterances: []string{
		"send {collection} {id} to {to}", "transfer {collection} {id} to {to}", "give {collection} {id} to {to}",
		"send nft {id} of {collection} to {to}", "transfer nft {id} of {collection} to {to}",
	},
}

var allowOneSpec = tools.Spec{
	Output: chainFacts,
	Name:   "erc721.approve",
	About: "Lets somebody take one thing of an ERC-721 collection (an NFT) from the agent's account. It counts as sent, " +
		"and the wallet is asked each time.",
	Class:     tools.ChainTx,
	AskWallet: true,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["collection","id","spender"],"properties":{` +
		thingArgs + `,"x-allowance":true},
		"spender":{"type":"string","format":"address","description":"who may take it: a name in the address book or a 0x address"}},
		"x-contract":{"token":"collection","thing":"id","function":{"type":"function","name":"approve",
			"stateMutability":"nonpayable","inputs":[{"name":"spender","type":"address"},{"name":"id","type":"uint256"}]}}}`),
	Spend: &tools.Spend{Amount: "amount", Asset: "collection", To: "spender"},
	Utterances: []string{
		"let {spender} take {collection} {id}", "approve {collection} {id} for {spender}",
		"allow {spender} to take {collection} {id}",
	},
}

// thingSpecs are the tools of a chain if its book has a collection.
func thingSpecs(b *tools.Book, wallet bool) []tools.Spec {
	for _, t := range b.Tokens {
		if !t.Things {
			continue
		}
		give, allow := giveSpec, allowOneSpec
		if wallet {
			for _, s := range []*tools.Spec{&give, &allow} {
				s.Name = "wallet." + s.Name
				s.About = strings.Replace(s.About, "the agent's account", "the user's own wallet, which is asked to send it", 1)
			}
		}
		return []tools.Spec{give, allow}
	}
	return nil
}

var selSupports = crypto.Keccak256([]byte("supportsInterface(bytes4)"))[:4]

// idERC721 is by which a contract says that it is a collection (ERC-165).
var idERC721 = []byte{0x80, 0xac, 0x58, 0xcd}

// checkCollection makes sure that a contract says it is a collection.
func (c *chain) checkCollection(ctx context.Context, symbol string, at common.Address, block common.Hash) error {
	ask := append(append([]byte{}, selSupports...), common.RightPadBytes(idERC721, 32)...)
	n, err := views{c}.askWord(ctx, at, ask, block)
	if _, refused := err.(*tools.Error); refused || err == nil && (!n.IsUint64() || n.Uint64() != 1) {
		return errorf("token_mismatch", "%s is a collection of ERC-721 in the address book, and on the chain none; tell the "+
			"operator.", symbol)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.checkedTokens[symbol] = block
	c.mu.Unlock()
	return nil
}

func packOwnerOf(t *tools.Thing) []byte {
	id, _ := uint256.FromDecimal(t.ID) // which the call's arguments were read with
	word := id.Bytes32()
	return append(append([]byte{}, selOwnerOf...), word[:]...)
}

func (c *chain) ownerOf(ctx context.Context, t *tools.Thing, block common.Hash) (common.Address, error) {
	return views{c}.askThing(ctx, t.Collection, packOwnerOf(t), block)
}

func ownersOf(t *tools.Thing, before, after common.Address) []tools.Owner {
	return []tools.Owner{{Contract: t.Collection.Hex(), ID: t.ID, Before: before.Hex(), After: after.Hex()}}
}

// readOwnersAt reads whose a thing was before a receipt's block, and at it.
func (c *chain) readOwnersAt(ctx context.Context, receipt *types.Receipt, t *tools.Thing) ([]tools.Owner, error) {
	h, err := c.client.HeaderByNumber(ctx, receipt.BlockNumber)
	if err != nil {
		return nil, err
	}
	before, err := c.ownerOf(ctx, t, h.ParentHash)
	if err != nil {
		return nil, err
	}
	after, err := c.ownerOf(ctx, t, receipt.BlockHash)
	return ownersOf(t, before, after), err
}
