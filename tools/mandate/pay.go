package mandate

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// What is called of the framework, and how its structs are encoded.
const frameworkABI = `[
{"type":"function","name":"redeemDelegations","inputs":[{"type":"bytes[]"},{"type":"bytes32[]"},{"type":"bytes[]"}]},
{"type":"function","name":"disableDelegation","inputs":[` + delegationABI + `]},
{"type":"function","name":"disabledDelegations","inputs":[{"type":"bytes32"}]},
{"type":"function","name":"spentMap","inputs":[{"type":"address"},{"type":"bytes32"}]},
{"type":"function","name":"callCounts","inputs":[{"type":"address"},{"type":"bytes32"}]},
{"type":"function","name":"context","inputs":[{"type":"tuple[]","components":` + delegationFields + `}]},
{"type":"function","name":"groups","inputs":[{"type":"tuple[]","components":[
	{"name":"caveats","type":"tuple[]","components":` + caveatFields + `}]}]},
{"type":"function","name":"choice","inputs":[{"type":"tuple","components":[
	{"name":"index","type":"uint256"},{"name":"args","type":"bytes[]"}]}]}]`

const (
	caveatFields = `[{"name":"enforcer","type":"address"},{"name":"terms","type":"bytes"},{"name":"args","type":"bytes"}]`

	delegationFields = `[{"name":"delegate","type":"address"},{"name":"delegator","type":"address"},
	{"name":"authority","type":"bytes32"},{"name":"caveats","type":"tuple[]","components":` + caveatFields + `},
	{"name":"salt","type":"uint256"},{"name":"signature","type":"bytes"}]`

	delegationABI = `{"type":"tuple","components":` + delegationFields + `}`
)

var framework = func() abi.ABI {
	a, err := abi.JSON(strings.NewReader(frameworkABI))
	if err != nil {
		panic("the framework's ABI: " + err.Error()) // a constant of this program
	}
	return a
}()

// delegation is a mandate as the framework encodes it.
type delegation struct {
	Delegate, Delegator common.Address
	Authority           [32]byte
	Caveats             []Caveat
	Salt                *big.Int
	Signature           []byte
}

func (m *Mandate) encoded() delegation {
	caveats := []Caveat{}
	for _, c := range m.Caveats {
		caveats = append(caveats, Caveat{c.Enforcer, slices.Clip(c.Terms), slices.Clip(c.Args)})
	}
	return delegation{m.Delegate, m.Delegator, rootAuthority, caveats, new(big.Int).SetBytes(m.Salt[:]), m.Signature}
}

// Context returns the mandate as a redemption hands it over, and as a wallet returns it by ERC-7715.
func (m *Mandate) Context() ([]byte, error) {
	return framework.Methods["context"].Inputs.Pack([]delegation{m.encoded()})
}

// ReadContext reads what a wallet returns as the context of a permission on a chain.
func ReadContext(chain uint64, context []byte) (*Mandate, error) {
	if len(context) > MaxBytes {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(context), MaxBytes)
	}
	values, err := framework.Methods["context"].Inputs.Unpack(context)
	if err != nil {
		return nil, errors.New("it is no delegation of the framework")
	}
	list := *abi.ConvertType(values[0], new([]delegation)).(*[]delegation)
	if len(list) != 1 || list[0].Authority != rootAuthority {
		return nil, errOfChain
	}
	d := list[0]
	m := &Mandate{Chain: chain, Delegate: d.Delegate, Delegator: d.Delegator, Caveats: d.Caveats, Signature: d.Signature}
	d.Salt.FillBytes(m.Salt[:])
	if err := m.check(); err != nil {
		return nil, err
	}
	if again, err := m.Context(); err != nil || !bytes.Equal(again, context) {
		return nil, errors.New("it is not spelled as the framework spells it")
	}
	return m, nil
}

type group struct{ Caveats []Caveat }

func packGroups(who []common.Address) ([]byte, error) {
	var groups []group
	for _, a := range who {
		terms := append(word(recipientAt), padded(a)...)
		groups = append(groups, group{[]Caveat{{Enforcer: enforceData, Terms: terms, Args: []byte{}}}})
	}
	return framework.Methods["groups"].Inputs.Pack(groups)
}

func unpackGroups(terms []byte) ([]group, error) {
	values, err := framework.Methods["groups"].Inputs.Unpack(terms)
	if err != nil {
		return nil, err
	}
	return *abi.ConvertType(values[0], new([]group)).(*[]group), nil
}

// choose returns the mandate with what its choices take: which of their recipients is paid.
func (m *Mandate) choose(to common.Address) (*Mandate, error) {
	out := *m
	out.Caveats = slices.Clone(m.Caveats)
	for i, c := range out.Caveats {
		out.Caveats[i].Args = []byte{}
		if c.Enforcer != enforceChoice {
			continue
		}
		groups, err := unpackGroups(c.Terms)
		if err != nil {
			return nil, errors.New("it is a choice that is not understood")
		}
		for n, g := range groups {
			who, ok := recipientsOf(Caveat{Enforcer: enforceData, Terms: g.Caveats[0].Terms})
			if !ok || who[0] != to {
				continue
			}
			args, err := framework.Methods["choice"].Inputs.Pack(struct {
				Index *big.Int
				Args  [][]byte
			}{big.NewInt(int64(n)), [][]byte{{}}})
			if err != nil {
				return nil, err
			}
			out.Caveats[i].Args = args
			break
		}
	}
	return &out, nil
}

// A Payment is a transfer of a token from a mandate's account.
type Payment struct {
	Mandate *Mandate
	Token   common.Address
	To      common.Address
	Units   *uint256.Int
}

var selTransfer = crypto.Keccak256([]byte("transfer(address,uint256)"))[:4]

// Pay returns the call data for [Manager] by which the mandate's delegate pays.
func Pay(m *Mandate, token, to common.Address, units *uint256.Int) ([]byte, error) {
	if _, err := m.Limits(); err != nil {
		return nil, err
	}
	chosen, err := m.choose(to)
	if err != nil {
		return nil, err
	}
	context, err := chosen.Context()
	if err != nil {
		return nil, err
	}
	n := units.Bytes32()
	act := slices.Concat(token[:], make([]byte, 32), selTransfer, padded(to), n[:])
	return framework.Pack("redeemDelegations", [][]byte{context}, [][32]byte{{}}, [][]byte{act})
}

// ReadPayment reads the call data of a payment by a mandate on a chain: one mandate, one transfer, and nothing else, in
// the one spelling that [Pay] has.
func ReadPayment(chain uint64, data []byte) (p Payment, err error) {
	bad := errors.New("the call is not the redemption of one delegation for one transfer")
	method := framework.Methods["redeemDelegations"]
	if len(data) < 4 || !bytes.Equal(data[:4], method.ID) {
		return p, bad
	}
	values, err := method.Inputs.Unpack(data[4:])
	if err != nil {
		return p, bad
	}
	contexts, acts := values[0].([][]byte), values[2].([][]byte)
	if len(contexts) != 1 || len(acts) != 1 || len(acts[0]) != 20+32+4+64 {
		return p, bad
	}
	if p.Mandate, err = ReadContext(chain, contexts[0]); err != nil {
		return p, fmt.Errorf("the delegation: %w", err)
	}
	act := acts[0]
	p.Token, p.To = common.BytesToAddress(act[:20]), common.BytesToAddress(act[20+32+4+12:][:20])
	p.Units = new(uint256.Int).SetBytes(act[20+32+4+32:])
	again, err := Pay(p.Mandate, p.Token, p.To, p.Units)
	if err != nil {
		return p, fmt.Errorf("the delegation: %w", err)
	}
	if !bytes.Equal(again, data) {
		return p, bad
	}
	return p, nil
}

// PackDisable returns the call data by which the delegator revokes the mandate, at [Manager] or at an account of the
// framework.
func (m *Mandate) PackDisable() ([]byte, error) {
	return framework.Pack("disableDelegation", m.encoded())
}

// A Look is a question to the chain about a mandate, which is answered by one number.
type Look struct {
	At   common.Address
	Data []byte
}

// Disabled asks whether the mandate was revoked on the chain: 0 if not.
func (m *Mandate) Disabled() Look { return look(Manager, "disabledDelegations", m.Hash()) }

// Spent asks how many units were paid by it. It is false if nothing that is asked here counts them, as of one that is
// bounded by an amount per time only.
func (m *Mandate) Spent() (Look, bool) {
	counted := slices.ContainsFunc(m.Caveats, func(c Caveat) bool { return c.Enforcer == enforceTotal })
	return look(enforceTotal, "spentMap", Manager, m.Hash()), counted
}

// Paid asks how often was paid by it, as far as that is counted.
func (m *Mandate) Paid() Look { return look(enforceCalls, "callCounts", Manager, m.Hash()) }

func look(at common.Address, name string, args ...any) Look {
	data, err := framework.Pack(name, args...)
	if err != nil {
		panic("call data of " + name + ": " + err.Error()) // its arguments are of fixed types
	}
	return Look{at, data}
}

// Reason says why the framework refuses a payment, as the end of a sentence.
func Reason(data []byte) string {
	for name, says := range refusals {
		if len(data) >= 4 && bytes.Equal(data[:4], crypto.Keccak256([]byte(name + "()"))[:4]) {
			return says
		}
	}
	text, err := abi.UnpackRevert(data)
	if err != nil {
		if len(data) == 0 {
			return ": the account has no code of the Delegation Framework; it becomes a smart account in its wallet (EIP-7702)"
		}
		return ""
	}
	for part, says := range refusals {
		if strings.HasSuffix(text, ":"+part) {
			return says
		}
	}
	text = strings.Map(func(r rune) rune { // the contract's author's, shown as data
		if r < ' ' || r > '~' || r == '"' {
			return -1
		}
		return r
	}, text)
	return fmt.Sprintf(", saying %q", text[:min(len(text), 100)])
}

// refusals are the framework's errors and the ends of its texts.
var refusals = map[string]string{
	"CannotUseADisabledDelegation": ": the delegation was revoked on the chain",
	"InvalidDelegate":              ": the delegation is to another account than the agent's",
	"InvalidEOASignature":          ": the delegation is not signed by its account",
	"InvalidERC1271Signature":      ": the delegation is not signed as its account demands",
	"EnforcedPause":                ": the Delegation Framework is paused on this chain",
	"allowance-exceeded":           ": the delegation is exhausted",
	"limit-exceeded":               ": the delegation allows no more payments",
	"expired-delegation":           ": the delegation's time is over",
	"early-delegation":             ": the delegation's time has not begun",
	"transfer-amount-exceeded":     ": the delegation is exhausted",
	"transfer-not-started":         ": the delegation's time has not begun",
	"invalid-nonce":                ": the delegation was revoked on the chain",
	"unauthorized-redeemer":        ": the delegation is to another account than the agent's",
	"invalid-contract":             ": the delegation is for another token",
	"invalid-calldata":             ": the delegation does not allow paying this recipient",
}
