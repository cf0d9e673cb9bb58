package mandate

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/money"
)

// Limits are what the chain keeps of a mandate.
type Limits struct {
	Token      common.Address   // the one ERC-20 token that may be transferred
	Total      *uint256.Int     // units, in all
	Calls      uint64           // payments; 0 if they are not counted
	After      uint64           // Unix seconds, before and at which nothing may be paid; 0 if never
	Before     uint64           // Unix seconds, from which on nothing may be paid; 0 if always
	Recipients []common.Address // who may be paid, sorted; anybody if empty
	Others     int              // conditions that are not understood here: each may stop more
}

// ErrUnlimited says that a mandate does not bound what may be paid.
var ErrUnlimited = errors.New("it does not bound what may be paid: a caveat such as that of " +
	"ERC20TransferAmountEnforcer is missing")

// addTotal notes that no more than n units of a token may be paid.
func (l *Limits) addTotal(token common.Address, n *uint256.Int) error {
	if l.Total != nil && token != l.Token {
		return errors.New("two tokens cannot be paid at once")
	}
	if l.Token = token; l.Total == nil || n.Lt(l.Total) {
		l.Total = n
	}
	return nil
}

// Limits reads the caveats. A mandate that bounds no amount is [ErrUnlimited]; one whose caveats contradict each other
// is an error, too.
func (m *Mandate) Limits() (l Limits, err error) {
	for i, c := range m.Caveats {
		if err := l.add(c); err != nil {
			return l, fmt.Errorf("its caveat %d: %w", i+1, err)
		}
	}
	if l.Total == nil {
		return l, ErrUnlimited
	}
	return l, nil
}

func (l *Limits) add(c Caveat) error {
	switch t := c.Terms; c.Enforcer {
	case enforceTotal:
		if len(t) != 20+32 {
			return errors.New("an amount is a token and 32 bytes")
		}
		return l.addTotal(common.BytesToAddress(t[:20]), new(uint256.Int).SetBytes(t[20:]))
	case enforcePeriod:
		if len(t) != 20+3*32 {
			return errors.New("an amount per time is a token and 3 numbers of 32 bytes")
		}
		if !new(uint256.Int).SetBytes(t[52:84]).Eq(new(uint256.Int).SetAllOne()) {
			return errors.New("it allows an amount again and again; one that allows it once is taken")
		}
		start, err := numberOf(t[84:])
		if err != nil {
			return err
		}
		if start > 0 {
			l.After = max(l.After, start-1)
		}
		return l.addTotal(common.BytesToAddress(t[:20]), new(uint256.Int).SetBytes(t[20:52]))
	case enforceCalls:
		n, err := numberOf(t)
		if err != nil || n == 0 {
			return errors.Join(err, errNothing(n))
		}
		if l.Calls == 0 || n < l.Calls {
			l.Calls = n
		}
	case enforceTime:
		if len(t) != 32 {
			return errors.New("a time has 32 bytes")
		}
		after, err := numberOf(t[:16])
		if err != nil {
			return err
		}
		before, err := numberOf(t[16:])
		if err != nil {
			return err
		}
		l.After = max(l.After, after)
		if before > 0 && (l.Before == 0 || before < l.Before) {
			l.Before = before
		}
	case enforceData, enforceChoice:
		who, ok := recipientsOf(c)
		switch {
		case !ok && c.Enforcer == enforceChoice:
			return errors.New("it is a choice that is not understood")
		case !ok:
			l.Others++
		case l.Recipients == nil:
			l.Recipients = who
		default:
			l.Recipients = slices.DeleteFunc(l.Recipients, func(a common.Address) bool { return !slices.Contains(who, a) })
			if len(l.Recipients) == 0 {
				return errors.New("nobody may be paid")
			}
		}
	case enforceValue: // of the native coin, of which a transfer of a token moves none
	case enforceNonce: // by which the account revokes all that it has given with a nonce
	case enforceRedeemer: // of which the delegate must be one: else the chain refuses it
	default:
		l.Others++
	}
	return nil
}

func errNothing(n uint64) error {
	if n == 0 {
		return errors.New("nothing may be paid")
	}
	return nil
}

// numberOf reads a number; the largest there is, if it is larger.
func numberOf(b []byte) (uint64, error) {
	if len(b) != 16 && len(b) != 32 {
		return 0, errors.New("a number has 32 bytes")
	}
	n := new(big.Int).SetBytes(b)
	if !n.IsUint64() {
		return math.MaxUint64, nil
	}
	return n.Uint64(), nil
}

// recipientAt is where a transfer's call data names who gets it.
const recipientAt = 4

// recipientsOf reads a caveat as a list of who may be paid.
func recipientsOf(c Caveat) ([]common.Address, bool) {
	if c.Enforcer == enforceData {
		t := c.Terms
		if len(t) != 64 || !bytes.Equal(t[:32], word(recipientAt)) || !bytes.Equal(t[32:44], make([]byte, 12)) {
			return nil, false
		}
		return []common.Address{common.BytesToAddress(t[44:])}, true
	}
	groups, err := unpackGroups(c.Terms)
	if err != nil || len(groups) == 0 {
		return nil, false
	}
	var out []common.Address
	for _, g := range groups {
		if len(g.Caveats) != 1 || g.Caveats[0].Enforcer != enforceData {
			return nil, false
		}
		who, ok := recipientsOf(Caveat{Enforcer: enforceData, Terms: g.Caveats[0].Terms})
		if !ok {
			return nil, false
		}
		out = append(out, who...)
	}
	slices.SortFunc(out, common.Address.Cmp)
	return slices.Compact(out), true
}

func word(n uint64) []byte {
	var out [32]byte
	binary.BigEndian.PutUint64(out[24:], n)
	return out[:]
}

// A Wish is what a grant allows, as far as the chain can keep it.
type Wish struct {
	Chain      uint64
	Delegator  common.Address // whose money it is
	Delegate   common.Address // the agent's account
	Token      common.Address
	Total      money.Amount
	Calls      uint64
	Until      time.Time // at which the grant is over
	Recipients []common.Address
	Session    string // its CID
}

// maxRecipients is how many recipients fit a mandate's choice: 352 bytes for each, and 64, are at most maxPart.
const maxRecipients = (maxPart - 64) / 352

// Mandate returns what the wallet is asked to sign; an error if the wish has more than 11 recipients. number tells
// several of one session apart: one that was revoked is not the same as the next.
func (w *Wish) Mandate(number uint64) (*Mandate, error) {
	if n := len(w.Recipients); n > maxRecipients {
		return nil, fmt.Errorf("a delegation names %d recipients at most, and the grant has %d; sign in with fewer",
			maxRecipients, n)
	}
	m := &Mandate{Chain: w.Chain, Delegate: w.Delegate, Delegator: w.Delegator, Salt: saltOf(w.Session, number)}
	total := w.Total.Uint256().Bytes32()
	add := func(enforcer common.Address, terms ...[]byte) {
		m.Caveats = append(m.Caveats, Caveat{Enforcer: enforcer, Terms: bytes.Join(terms, nil), Args: []byte{}})
	}
	add(enforceValue, word(0))
	add(enforceTotal, w.Token[:], total[:])
	add(enforceCalls, word(w.Calls))
	add(enforceTime, word(0)[16:], word(uint64(w.Until.Unix()))[16:])
	switch len(w.Recipients) {
	case 0:
	case 1:
		add(enforceData, word(recipientAt), padded(w.Recipients[0]))
	default:
		terms, err := packGroups(w.Recipients)
		if err != nil {
			return nil, err
		}
		add(enforceChoice, terms)
	}
	return m, nil
}

// saltOf begins with the session's digest, so that a mandate is its session's, and ends with a number.
func saltOf(session string, number uint64) (salt [32]byte) {
	salt = sha256.Sum256([]byte(session))
	binary.BigEndian.PutUint64(salt[24:], number)
	return salt
}

// IsOfSession says whether a mandate was made for a session: its salt begins with the session's digest. A wallet that
// was asked by ERC-7715 takes a salt of its own.
func (m *Mandate) IsOfSession(session string) bool {
	want := saltOf(session, 0)
	return bytes.Equal(m.Salt[:24], want[:24])
}

// A Difference is one limit that a mandate sets otherwise than the grant.
type Difference struct {
	Wider bool   // the chain would allow more; the grant still binds
	Text  string // e.g. "50 USDC in all, the grant 25 USDC"
}

// Compare says how the limits that the chain keeps differ from the grant's. An empty list says that they are the same.
func (w *Wish) Compare(l Limits) (out []Difference) {
	add := func(wider bool, format string, args ...any) {
		out = append(out, Difference{wider, fmt.Sprintf(format, args...)})
	}
	if total := money.FromUint256(w.Total.Asset(), l.Total); total != w.Total {
		more, _ := total.Cmp(w.Total)
		add(more > 0, "%s in all, the grant %s", total, w.Total)
	}
	switch {
	case l.Calls == 0:
		add(true, "any number of payments, the grant %s", wording.CountOf(count(w.Calls), "call"))
	case l.Calls != w.Calls:
		add(l.Calls > w.Calls, "%s, the grant %d", wording.CountOf(count(l.Calls), "payment"), w.Calls)
	}
	until := uint64(w.Until.Unix())
	switch {
	case l.Before == 0:
		add(true, "for ever, the grant until %s", showTime(until))
	case l.Before != until:
		add(l.Before > until, "until %s, the grant until %s", showTime(l.Before), showTime(until))
	}
	if l.After > 0 {
		add(false, "only after %s", showTime(l.After))
	}
	if !slices.Equal(l.Recipients, w.Recipients) {
		wider := len(l.Recipients) == 0 || len(w.Recipients) > 0 && slices.ContainsFunc(l.Recipients,
			func(a common.Address) bool { return !slices.Contains(w.Recipients, a) })
		add(wider, "%s, the grant %s", showWho(l.Recipients), showWho(w.Recipients))
	}
	if l.Others > 0 {
		add(false, "%s of the wallet's own besides", wording.CountOf(int64(l.Others), "condition"))
	}
	return out
}

// Stops says in words where the chain alone would stop whoever has the agent's key.
func (l Limits) Stops(asset money.Asset) string {
	parts := []string{money.FromUint256(asset, l.Total).String() + " in all"}
	if l.Calls > 0 {
		parts = append(parts, wording.CountOf(count(l.Calls), "payment"))
	}
	if l.Before > 0 {
		parts = append(parts, "until "+showTime(l.Before))
	}
	return strings.Join(append(parts, "paying "+showWho(l.Recipients)), ", ")
}

func count(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

func showTime(s uint64) string {
	return time.Unix(int64(min(s, 253402300799)), 0).UTC().Format(time.RFC3339)
}

func showWho(list []common.Address) string {
	if len(list) == 0 {
		return "anybody"
	}
	var out []string
	for _, a := range list {
		out = append(out, a.Hex())
	}
	return strings.Join(out, " or ")
}

// Allows says whether somebody may be paid.
func (l Limits) Allows(to common.Address) bool {
	return len(l.Recipients) == 0 || slices.Contains(l.Recipients, to)
}

// InUnits says what may be paid in the token's smallest units, where nobody has said how many make one.
func (l Limits) InUnits() string { return l.Stops(money.Asset{Symbol: "units"}) }
