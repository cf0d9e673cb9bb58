// Package arg says what an argument of a tool's call is: its kind, its declaration and its value. Package tools reads
// arguments, package policies judges them, and both mean these types, so nothing is converted between them.
package arg

import (
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
)

// A Kind is the type of one argument.
type Kind string

// The kinds of arguments.
const (
	String  Kind = "string" // also of formats token, hash, block and url
	Int     Kind = "int"
	Bool    Kind = "bool"
	Address Kind = "address"
	Amount  Kind = "amount"
	Number  Kind = "number" // an exact decimal, which need not be whole
	Object  Kind = "object" // its members are arguments of their own, with its name and a dot before theirs
	List    Kind = "list"   // only its length is seen
	JSON    Kind = "json"   // any JSON value; only whether it is there is seen
)

const (
	maxName = 64 // bytes
	lower   = "abcdefghijklmnopqrstuvwxyz"
	upper   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// IsName says whether s can name an argument, or a member of one: letters, digits and '_', a letter first, at most 64
// bytes, so that a policy can say args.name.
func IsName(s string) bool { return isWord(s, lower+upper) }

// IsToolName says whether s can name a tool: parts of lower-case letters, digits and '_', each beginning with a letter,
// joined by '.', at most 64 bytes in all.
func IsToolName(s string) bool {
	if len(s) > maxName {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if !isWord(part, lower) {
			return false
		}
	}
	return true
}

// isWord says whether s begins with one of the letters and goes on with them, digits and '_'.
func isWord(s, letters string) bool {
	return s != "" && len(s) <= maxName && strings.Contains(letters, s[:1]) && strings.Trim(s, letters+digits+"_") == ""
}

// A Param declares one argument of a tool, or a member of one that is an object.
type Param struct {
	Name     string // of a member its path, such as "order.amount"
	Kind     Kind
	Required bool // of a member: it is there in every call
}

// Top returns the name of the argument that the one of this name is part of; name itself if it is part of none.
func Top(name string) string {
	top, _, _ := strings.Cut(name, ".")
	return top
}

// A Value is one argument of a call, or a member of one. Its kind says which one of the fields Text to Amount counts;
// of an object and of opaque JSON none does, so what nobody has typed is seen by nobody.
type Value struct {
	Name   string // as of the Param
	Kind   Kind
	Set    bool   // false if the optional argument is absent; the fields below are then zero
	Text   string // a string as written; a token as the address book spells its symbol; a number as [Decimal] does
	Int    int64  // of a list: how many elements it has
	Bool   bool
	Addr   common.Address
	Amount money.Amount
}
