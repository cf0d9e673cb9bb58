package tools

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
)

const maxBook = 4096 // names, and tokens

// ParseBook reads a book as [Book.JSON] writes it; order and white space do not matter. Unknown and duplicate keys,
// addresses with a wrong EIP-55 checksum, and whatever [Book.Check] refuses are errors.
func ParseBook(data []byte) (*Book, error) {
	v, err := parseJSON(data, MaxJSON)
	if err != nil {
		return nil, fmt.Errorf("address book: %w", err)
	}
	b := &Book{Names: map[string]common.Address{}, Tokens: map[string]Token{}}
	if err := b.readMembers(&v); err != nil {
		return nil, fmt.Errorf("address book: %w", err)
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Book) readMembers(v *value) error {
	if err := v.checkKeys("chain", "names", "tokens"); err != nil {
		return err
	}
	chain, err := v.member("chain").readUint("chain", math.MaxInt64)
	if err != nil {
		return err
	}
	b.Chain = chain
	names, tokens := v.member("names"), v.member("tokens")
	if names.kind != object || tokens.kind != object {
		return errors.New("names and tokens must be objects")
	}
	for i := range names.members {
		m := &names.members[i]
		if b.Names[m.key], err = m.readAddress(m.key); err != nil {
			return err
		}
	}
	for i := range tokens.members {
		m := &tokens.members[i]
		standard := m.member("standard")
		if standard != nil && (standard.kind != text || standard.text != StandardThings) {
			return fmt.Errorf("token %q: the standard is %q, or is not there", clipText(m.key), StandardThings)
		}
		fungible := m.value.without("standard")
		if err := fungible.checkKeys("address", "decimals"); err != nil {
			return fmt.Errorf("token %q: %w", clipText(m.key), err)
		}
		addr, err := m.member("address").readAddress(m.key)
		if err != nil {
			return err
		}
		decimals, err := m.member("decimals").readUint("decimals", money.MaxDecimals)
		if err != nil {
			return fmt.Errorf("token %q: %w", clipText(m.key), err)
		}
		b.Tokens[m.key] = Token{addr, uint8(decimals), standard != nil}
	}
	return nil
}

// Check says what is wrong with a book: a chain id of zero or more than 63 bits, a name that is not made of
// lower-case letters, digits, '.', '-' and '_' or could be taken for an address, a name for the zero address, a
// symbol that is not upper case, two symbols for one contract (a cap on the one could be passed by the other), or
// more than 4096 of either.
func (b *Book) Check() error {
	if b.Chain == 0 || b.Chain > math.MaxInt64 {
		return fmt.Errorf("address book: chain id %d is out of range", b.Chain)
	}
	if len(b.Names) > maxBook || len(b.Tokens) > maxBook {
		return fmt.Errorf("address book: more than %d names or tokens", maxBook)
	}
	for _, name := range slices.Sorted(maps.Keys(b.Names)) {
		if !validName(name) {
			return fmt.Errorf("address book: %q is not a name: lower-case letters, digits, '.', '-' and '_' only",
				clipText(name))
		}
		if b.Names[name] == (common.Address{}) {
			return fmt.Errorf("address book: %q names the zero address", name)
		}
	}
	seen := make(map[common.Address]string, len(b.Tokens))
	for _, symbol := range slices.Sorted(maps.Keys(b.Tokens)) {
		t := b.Tokens[symbol]
		if !(money.Asset{Symbol: symbol, Decimals: t.Decimals}).Valid() || symbol != strings.ToUpper(symbol) {
			return fmt.Errorf("address book: %q with %d decimals is not a token: 1 to 16 upper-case letters, digits, "+
				"'.', '-' and '_', and at most %d decimals", clipText(symbol), t.Decimals, money.MaxDecimals)
		}
		if t.Things && (t.Decimals != 0 || t.Address == (common.Address{})) {
			return fmt.Errorf("address book: %s is a collection of %s, which has an address and no decimals", symbol,
				StandardThings)
		}
		if other, ok := seen[t.Address]; ok {
			return fmt.Errorf("address book: %s and %s are the same contract; keep one", other, symbol)
		}
		seen[t.Address] = symbol
	}
	return nil
}

func validName(s string) bool {
	if s == "" || len(s) > 64 || strings.HasPrefix(s, "0x") {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

// JSON returns the book's canonical bytes, whose CID pins it. Addresses carry their EIP-55 checksum.
func (b *Book) JSON() []byte {
	addr := func(a common.Address) value { return value{kind: text, text: a.Hex()} }
	number := func(n uint64) value { return value{kind: integer, text: strconv.FormatUint(n, 10)} }
	names, tokens := value{kind: object}, value{kind: object}
	for _, name := range slices.Sorted(maps.Keys(b.Names)) {
		names.members = append(names.members, member{name, addr(b.Names[name])})
	}
	for _, symbol := range slices.Sorted(maps.Keys(b.Tokens)) {
		t := b.Tokens[symbol]
		token := value{kind: object, members: []member{
			{"address", addr(t.Address)}, {"decimals", number(uint64(t.Decimals))},
		}}
		if t.Things {
			token.members = append(token.members, member{"standard", value{kind: text, text: StandardThings}})
		}
		tokens.members = append(tokens.members, member{symbol, token})
	}
	v := value{kind: object, members: []member{{"chain", number(b.Chain)}, {"names", names}, {"tokens", tokens}}}
	return v.appendTo(nil)
}

// Address returns the address that s means: a 0x address with a right EIP-55 checksum or all in lower case, or a
// name in the book, in any case. The error is an [*Error].
func (b *Book) Address(s string) (common.Address, error) {
	if len(s) >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		a, err := parseAddress(s)
		if err != nil {
			return a, &Error{"bad_address", describeBadAddress(err)}
		}
		return a, nil
	}
	if a, ok := b.Names[strings.ToLower(s)]; ok {
		return a, nil
	}
	return common.Address{}, &Error{"unknown_name",
		fmt.Sprintf("it is not in the address book; use %s or a full 0x address.", oneOf(slices.Sorted(maps.Keys(b.Names))))}
}

// Token returns the symbol as the book spells it, and the token. s may be in any case. The error is an [*Error].
func (b *Book) Token(s string) (string, Token, error) {
	symbol := strings.ToUpper(s)
	if t, ok := b.Tokens[symbol]; ok {
		return symbol, t, nil
	}
	return "", Token{}, &Error{"unknown_token", fmt.Sprintf("it is not a token known here; use %s.",
		oneOf(slices.Sorted(maps.Keys(b.Tokens))))}
}

// clone returns a copy that shares nothing with b.
func (b *Book) clone() *Book {
	return &Book{b.Chain, maps.Clone(b.Names), maps.Clone(b.Tokens)}
}

var errChecksum = errors.New("has a wrong checksum; copy it again from its source")

// describeBadAddress says what is wrong with an address that is an argument, without repeating it.
func describeBadAddress(err error) string {
	if errors.Is(err, errChecksum) {
		return "the address " + errChecksum.Error() + "."
	}
	return "it is not an address; one has 0x and 40 hex digits."
}

// parseAddress reads a 0x address: all lower case, or with the checksum of EIP-55.
func parseAddress(s string) (common.Address, error) {
	if len(s) != 42 || s[:2] != "0x" || strings.Trim(s[2:], "0123456789abcdefABCDEF") != "" {
		return common.Address{}, fmt.Errorf("%q is not an address; one has 0x and 40 hex digits", clipText(s))
	}
	a := common.HexToAddress(s)
	if s != strings.ToLower(s) && s != a.Hex() {
		return common.Address{}, fmt.Errorf("address %s %w", s, errChecksum)
	}
	return a, nil
}

// oneOf lists at most eight choices.
func oneOf(choices []string) string {
	switch n := len(choices); {
	case n == 0:
		return "none: the list is empty"
	case n > 8:
		return fmt.Sprintf("one of %s and %d more", strings.Join(choices[:8], ", "), n-8)
	case n == 1:
		return choices[0]
	}
	return "one of " + strings.Join(choices, ", ")
}

// checkKeys says whether v is an object with exactly these keys.
func (v *value) checkKeys(want ...string) error {
	if v.kind != object {
		return fmt.Errorf("%s stands where an object should", v.kind)
	}
	for i := range v.members {
		if !slices.Contains(want, v.members[i].key) {
			return fmt.Errorf("key %q is unknown%s", clipText(v.members[i].key), didYouMean(v.members[i].key, want))
		}
	}
	for _, k := range want {
		if v.member(k) == nil {
			return fmt.Errorf("key %q is missing", k)
		}
	}
	return nil
}

func (v *value) readUint(name string, limit uint64) (uint64, error) {
	if v.kind != integer {
		return 0, fmt.Errorf("%s is %s, not an integer", name, v.kind)
	}
	n, err := strconv.ParseUint(v.text, 10, 64)
	if err != nil || n > limit {
		return 0, fmt.Errorf("%s must be between 0 and %d", name, limit)
	}
	return n, nil
}

func (v *value) readAddress(name string) (common.Address, error) {
	if v.kind != text {
		return common.Address{}, fmt.Errorf("%q: the address is %s, not a string", clipText(name), v.kind)
	}
	a, err := parseAddress(v.text)
	if err != nil {
		return a, fmt.Errorf("%q: %w", clipText(name), err)
	}
	return a, nil
}
