package tools

import (
	"github.com/ethereum/go-ethereum/common"
)

// A Thing is one of the things of a collection, of which there is one each (ERC-721, an NFT).
type Thing struct {
	Collection common.Address
	ID         string // a whole number of at most 256 bits, decimal
}

// String is how permissions and policies write it, after CAIP-19: "erc721:", the collection's address, "/", the number.
func (t *Thing) String() string {
	if t == nil {
		return ""
	}
	return StandardThings + ":" + t.Collection.Hex() + "/" + t.ID
}

// readThing reads which thing a call moves. An amount of a collection counts things and says of none which it is: where
// the call does not name one, it is refused, and so is a number where the asset is no collection.
func (d *Def) readThing(out *Args) error {
	if d.spec.Spend == nil {
		return nil
	}
	symbol := out.Amount.Asset().Symbol
	token := d.spec.Book.Tokens[symbol]
	named := d.of != nil && d.of.Thing != ""
	switch {
	case !named && !token.Things:
		return nil
	case !named:
		return errorf("bad_thing", "%s is a collection of single things; use a tool that names one by its number.", symbol)
	case !token.Things:
		return errorf("bad_thing", "%s is no collection of single things; use a tool of its own.", symbol)
	}
	out.Thing = &Thing{token.Address, out.Value(d.of.Thing).Text}
	return nil
}
