// Package mandate reads, makes and judges delegations of ERC-7710, as the Delegation Framework's contracts take them:
// by one of them an account lets another pay from it, within limits that the chain itself keeps.
//
// A [Mandate] is such a delegation of the user's account to the agent's. [Wish.Mandate] makes one of what a grant
// allows, for the wallet to sign; [Mandate.Limits] says what one that is signed allows, [Wish.Compare] how the two
// differ. [Pay] makes the call that redeems it, and [ReadPayment] reads that back, in its one spelling. All of it is
// pure: an auditor makes the same bytes again.
package mandate

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
)

// Manager is the framework's contract that redeems delegations, of version 1.3.0: the same on every chain that has it.
var Manager = common.HexToAddress("0xdb9B1e94B5b69Df7e401DDbedE43491141047dB3")

// What enforces caveats, likewise.
var (
	enforceTotal    = common.HexToAddress("0xf100b0819427117EcF76Ed94B358B1A5b5C6D2Fc") // ERC20TransferAmountEnforcer
	enforcePeriod   = common.HexToAddress("0x474e3Ae7E169e940607cC624Da8A15Eb120139aB") // ERC20PeriodTransferEnforcer
	enforceCalls    = common.HexToAddress("0x04658B29F6b82ed55274221a06Fc97D318E25416") // LimitedCallsEnforcer
	enforceTime     = common.HexToAddress("0x1046bb45C8d673d4ea75321280DB34899413c069") // TimestampEnforcer
	enforceData     = common.HexToAddress("0xc2b0d624c1c4319760C96503BA27C347F3260f55") // AllowedCalldataEnforcer
	enforceChoice   = common.HexToAddress("0xE1302607a3251AF54c3a6e69318d6aa07F5eB46c") // LogicalOrWrapperEnforcer
	enforceValue    = common.HexToAddress("0x92Bf12322527cAA612fd31a0e810472BBB106A8F") // ValueLteEnforcer
	enforceNonce    = common.HexToAddress("0xDE4f2FAC4B3D87A1d9953Ca5FC09FCa7F366254f") // NonceEnforcer
	enforceRedeemer = common.HexToAddress("0xE144b0b2618071B4E56f746313528a669c7E65c5") // RedeemerEnforcer
)

var (
	rootAuthority  = common.MaxHash
	delegationType = crypto.Keccak256([]byte(delegationText + caveatText))
	caveatType     = crypto.Keccak256([]byte(caveatText))
	domainType     = crypto.Keccak256([]byte(domainText))
	domainName     = crypto.Keccak256([]byte("DelegationManager"))
	domainVersion  = crypto.Keccak256([]byte("1"))
	halfOrder      = new(big.Int).Rsh(crypto.S256().Params().N, 1)
)

const (
	domainText     = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
	delegationText = "Delegation(address delegate,address delegator,bytes32 authority,Caveat[] caveats,uint256 salt)"
	caveatText     = "Caveat(address enforcer,bytes terms)"
)

// Bounds of a mandate that is read.
const (
	MaxBytes   = 16 << 10 // of its JSON
	maxCaveats = 16
	maxPart    = 4 << 10 // bytes of terms, args or a signature
)

// A Mandate is a delegation of ERC-7710 on one chain: Delegator lets Delegate act for it, as far as its caveats let it.
type Mandate struct {
	Chain     uint64
	Delegate  common.Address
	Delegator common.Address
	Caveats   []Caveat
	Salt      [32]byte
	Signature []byte // Delegator's, over Digest; empty before it is signed
}

// A Caveat is a condition that a contract keeps. Args come from whoever redeems, and are not signed.
type Caveat struct {
	Enforcer common.Address
	Terms    []byte
	Args     []byte
}

// spelled is a mandate in JSON: the members of the framework's struct, and the chain.
type spelled struct {
	Chain     uint64          `json:"chain"`
	Delegate  common.Address  `json:"delegate"`
	Delegator common.Address  `json:"delegator"`
	Authority common.Hash     `json:"authority"`
	Caveats   []spelledCaveat `json:"caveats"`
	Salt      common.Hash     `json:"salt"`
	Signature hexutil.Bytes   `json:"signature"`
}

type spelledCaveat struct {
	Enforcer common.Address `json:"enforcer"`
	Terms    hexutil.Bytes  `json:"terms"`
	Args     hexutil.Bytes  `json:"args"`
}

// MarshalJSON implements [json.Marshaler].
func (m *Mandate) MarshalJSON() ([]byte, error) {
	s := spelled{m.Chain, m.Delegate, m.Delegator, rootAuthority, []spelledCaveat{}, m.Salt, m.Signature}
	for _, c := range m.Caveats {
		s.Caveats = append(s.Caveats, spelledCaveat{c.Enforcer, c.Terms, c.Args})
	}
	return json.Marshal(s)
}

// UnmarshalJSON implements [json.Unmarshaler]: it refuses what is too long, and one whose authority is not the
// delegator's own.
func (m *Mandate) UnmarshalJSON(data []byte) error {
	if len(data) > MaxBytes {
		return fmt.Errorf("it has %d bytes, at most %d are read", len(data), MaxBytes)
	}
	var s spelled
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("it is no delegation: %w", err)
	}
	out := Mandate{Chain: s.Chain, Delegate: s.Delegate, Delegator: s.Delegator, Salt: s.Salt, Signature: s.Signature}
	for _, c := range s.Caveats {
		out.Caveats = append(out.Caveats, Caveat{c.Enforcer, c.Terms, c.Args})
	}
	if s.Authority != rootAuthority {
		return errOfChain
	}
	if err := out.check(); err != nil {
		return err
	}
	*m = out
	return nil
}

var errOfChain = errors.New("it rests on another delegation; one by the account itself is taken")

func (m *Mandate) check() error {
	if len(m.Caveats) > maxCaveats || len(m.Signature) > maxPart {
		return fmt.Errorf("it has more than %d caveats, or a signature of more than %d bytes", maxCaveats, maxPart)
	}
	for _, c := range m.Caveats {
		if len(c.Terms) > maxPart || len(c.Args) > maxPart {
			return fmt.Errorf("a caveat has more than %d bytes", maxPart)
		}
	}
	return nil
}

// Hash returns the framework's name of a mandate, which is the same on every chain: what it counts under, and what is
// disabled when it is revoked.
func (m *Mandate) Hash() common.Hash {
	var all []byte
	for _, c := range m.Caveats {
		all = append(all, crypto.Keccak256(caveatType, padded(c.Enforcer), crypto.Keccak256(c.Terms))...)
	}
	return crypto.Keccak256Hash(delegationType, padded(m.Delegate), padded(m.Delegator), rootAuthority[:],
		crypto.Keccak256(all), m.Salt[:])
}

// Digest returns what is signed: the typed data of the delegation (EIP-712) for the framework's manager on its chain.
func (m *Mandate) Digest() common.Hash {
	chain := common.BigToHash(new(big.Int).SetUint64(m.Chain))
	domain := crypto.Keccak256(domainType, domainName, domainVersion, chain[:], padded(Manager))
	hash := m.Hash()
	return crypto.Keccak256Hash([]byte{0x19, 0x01}, domain, hash[:])
}

// Signer returns whose key has signed, and false if the signature is no such one, as that of a contract's own.
func (m *Mandate) Signer() (common.Address, bool) {
	if len(m.Signature) != crypto.SignatureLength {
		return common.Address{}, false
	}
	sig := append([]byte{}, m.Signature...)
	if sig[64] == 27 || sig[64] == 28 {
		sig[64] -= 27
	}
	if sig[64] > 1 || new(big.Int).SetBytes(sig[32:64]).Cmp(halfOrder) > 0 {
		return common.Address{}, false
	}
	hash := m.Digest()
	key, err := crypto.SigToPub(hash[:], sig)
	if err != nil {
		return common.Address{}, false
	}
	return crypto.PubkeyToAddress(*key), true
}

// IsOf says whether a mandate is a wallet's: its key has signed it, or it is of the wallet itself, a contract, whose
// word only the chain knows.
func (m *Mandate) IsOf(wallet common.Address) (is, signed bool) {
	signer, ok := m.Signer()
	signed = ok && signer == wallet
	return signed || m.Delegator == wallet, signed
}

// TypedData returns what a wallet is asked to sign, for eth_signTypedData_v4.
func (m *Mandate) TypedData() any {
	type field struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	type caveat struct {
		Enforcer string        `json:"enforcer"`
		Terms    hexutil.Bytes `json:"terms"`
	}
	caveats := []caveat{}
	for _, c := range m.Caveats {
		caveats = append(caveats, caveat{c.Enforcer.Hex(), c.Terms})
	}
	return map[string]any{
		"types": map[string][]field{
			"EIP712Domain": {{"name", "string"}, {"version", "string"}, {"chainId", "uint256"},
				{"verifyingContract", "address"}},
			"Delegation": {{"delegate", "address"}, {"delegator", "address"}, {"authority", "bytes32"},
				{"caveats", "Caveat[]"}, {"salt", "uint256"}},
			"Caveat": {{"enforcer", "address"}, {"terms", "bytes"}},
		},
		"primaryType": "Delegation",
		"domain": map[string]any{
			"name": "DelegationManager", "version": "1", "chainId": m.Chain, "verifyingContract": Manager.Hex(),
		},
		"message": map[string]any{
			"delegate": m.Delegate.Hex(), "delegator": m.Delegator.Hex(), "authority": rootAuthority.Hex(),
			"caveats": caveats, "salt": common.Hash(m.Salt).Hex(),
		},
	}
}

func padded(a common.Address) []byte { return common.LeftPadBytes(a[:], 32) }
