package auth

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// How a signature is checked: [Grant.Method], and the method of a recorded grant or approval.
const (
	// MethodEOA: by recovering the account's address from it, which needs no chain. An EIP-7702 account signs so too,
	// with its own key, whatever code it delegates to.
	MethodEOA = "eoa"
	// MethodEIP1271: by asking the account's contract. What it says holds at one block.
	MethodEIP1271 = "eip1271"
	// MethodEIP6492: as before, of a contract that is not deployed yet; the signature says how it will be.
	MethodEIP6492 = "eip6492"
)

// Bounds of a question to a contract.
const (
	MaxContractSig = 8 << 10   // bytes of a contract wallet's signature, EIP-6492 wrapper included
	ContractGas    = 3_000_000 // of the whole eth_call; a constant, so that asking again gives the same answer
)

// ErrUnavailable says that a chain could not be asked: it did not answer in time, too few endpoints agreed, or this
// server asks none. It is no answer, neither yes nor no.
var ErrUnavailable = errors.New("the account's chain could not be asked")

// A StalledError says that a chain has made no block for long, so that what it says now may not be so any more. It
// comes with [ErrUnavailable].
type StalledError struct{ Since time.Time }

// Error says since when.
func (e *StalledError) Error() string {
	return "it has made no block since " + e.Since.UTC().Format(time.RFC3339)
}

// Contracts asks chains about contract wallets. internal/ethcall has one. It may be used by many goroutines at once.
type Contracts interface {
	// Ask puts a question to the chain that it names, at one recent block, and returns what the contract said, whether
	// yes or no. The error is [ErrUnavailable], wrapped with the reason, and never means no.
	Ask(ctx context.Context, q Question) (Verification, error)
}

// A Question is whether an account's contract accepts a signature.
type Question struct {
	Chain   uint64 // EIP-155 id of the chain that the account lives on
	Account common.Address
	Hash    [32]byte // what was signed: the EIP-191 hash of a text, the EIP-712 digest of a typed message
	Sig     []byte   // as it came, at most MaxContractSig bytes; may be empty
	// Spends says that the answer lets value be moved, so that more than a majority of the endpoints may have to agree.
	Spends bool
}

// A Verdict is what a contract said.
type Verdict uint8

// The verdicts, by the number that the validator returns.
const (
	Accepted     Verdict = 1 // exactly the magic value
	NoCode       Verdict = 2 // the account is no contract
	NotPrepared  Verdict = 3 // EIP-6492: what was to deploy the account did not
	Failed       Verdict = 4 // the contract reverted, or ran out of gas
	WrongAnswer  Verdict = 5 // the contract said something else than exactly the magic value in 32 bytes
	lastVerdict          = WrongAnswer
	answerSize           = 6 * 32
	questionHead         = 4 * 32
)

// String is a sentence about the signature, without its full stop.
func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "the contract accepts the signature"
	case NoCode:
		return "there is no contract at this address on this chain"
	case NotPrepared:
		return "what the signature says would deploy the account does not"
	case Failed:
		return "the contract fails when it is asked"
	case WrongAnswer:
		return "the contract does not accept the signature"
	}
	return "verdict " + strconv.Itoa(int(v))
}

// A Standing says what an account is, by the code at its address.
type Standing string

// The standings.
const (
	StandingEOA       Standing = "eoa"       // no code
	StandingContract  Standing = "contract"  // a deployed contract
	StandingDelegated Standing = "delegated" // an account with a delegate's code (EIP-7702)
	StandingPrepared  Standing = "prepared"  // a contract that is not deployed yet (EIP-6492)
)

var standings = []Standing{StandingEOA, StandingContract, StandingDelegated, StandingPrepared}

// An Answer is what a chain says to a [Question] at one block.
type Answer struct {
	Verdict  Verdict
	Standing Standing
	Code     [32]byte // hash of the account's code; of a delegated account, of what names its delegate
	Owners   [32]byte // hash of what getOwners() returns, as a Safe has it; zero if the account has no such list
	Proxy    [32]byte // [ProxyState] of what runs in the account's place; zero if nothing does, or it is not deployed yet
	Gas      uint64   // that isValidSignature took
}

// State is what must not change while a session lasts: the account's code, its owners if it lists them, and what its
// proxies lead to. It has 96 bytes.
func (a Answer) State() []byte { return slices.Concat(a.Code[:], a.Owners[:], a.Proxy[:]) }

// ProxySlots are the storage slots of an account that say which code runs in its place, or answers for it: of ERC-1967
// the implementation and the beacon, of ERC-1822 and of OpenZeppelin's first proxies the implementation, and the
// fallback handler of a Safe, which is what answers isValidSignature.
var ProxySlots = [...][32]byte{
	common.HexToHash("0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"),
	common.HexToHash("0xa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50"),
	common.HexToHash("0xc5f16f0fcc639fa48a6947836d9850f504798523bf8c9a3a87d5876cf622bcf7"),
	common.HexToHash("0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3"),
	common.HexToHash("0x6c9a6c4a39284e37ed1cf53d337577d14212a4870fb976a4366c693b939918d5"),
}

// BeaconSlot is which of [ProxySlots] names a beacon, a contract that is asked for the implementation.
const BeaconSlot = 1

// BeaconCall is the call data of implementation(), which a beacon answers with one word.
var BeaconCall = []byte{0x5c, 0x60, 0xda, 0x1b}

// ProxyState is the Keccak-256 of the words in [ProxySlots], of the word in slot 0 if the account lists owners and the
// word is an address, where a Safe's proxy keeps its implementation, and of what the beacon answers. It is zero if all
// of them are.
func ProxyState(slots [len(ProxySlots)][32]byte, owners, zero, beacon [32]byte) [32]byte {
	if owners == [32]byte{} || !isAddressWord(zero) {
		zero = [32]byte{}
	}
	var all []byte
	for _, w := range append(slots[:], zero, beacon) {
		all = append(all, w[:]...)
	}
	if bytes.Equal(all, make([]byte, len(all))) {
		return [32]byte{}
	}
	return crypto.Keccak256Hash(all)
}

// isAddressWord says whether a word may be an address. A number below 2^64 is a counter or a length.
func isAddressWord(w [32]byte) bool {
	return bytes.Equal(w[:12], make([]byte, 12)) && !bytes.Equal(w[12:24], make([]byte, 12))
}

// A Verification is an [Answer] with where and when it was given.
type Verification struct {
	Answer
	Chain     uint64
	Number    uint64   // of the block
	Block     [32]byte // its hash
	Validator [32]byte // [ValidatorHash]
	Asked     uint64   // endpoints that were asked
	Agreed    uint64   // endpoints that gave this answer at this block
	At        time.Time
	Took      time.Duration
}

//go:embed validator.hex
var validatorHex string

// validator is the creation code of internal/eth/devchain/contracts/Validator.yul.
var validator = func() []byte {
	b, err := hex.DecodeString(strings.TrimSpace(validatorHex))
	if err != nil {
		panic("auth: validator.hex: " + err.Error()) // a file of this program
	}
	return b
}()

// ValidatorHash is the Keccak-256 of the program that asks contracts. A verification names it.
var ValidatorHash = [32]byte(crypto.Keccak256Hash(validator))

// Method returns by which method the question is one: MethodEIP6492 if the signature has that wrapper, else
// MethodEIP1271.
func (q Question) Method() string {
	if bytes.HasSuffix(q.Sig, magic6492) {
		return MethodEIP6492
	}
	return MethodEIP1271
}

// isOf says whether the signature has the form of a contract wallet's method.
func (q Question) isOf(method string) error {
	if method != MethodEIP1271 && method != MethodEIP6492 {
		return newFault(CodeSigMethod, "method", "it is none that is known here")
	}
	if _, err := q.Call(); err != nil {
		return err
	}
	if q.Method() != method {
		return newFault(CodeSigMethod, "method", "the signature is not of the method %s", method)
	}
	return nil
}

// Call returns the data of the eth_call, without "to" and with [ContractGas] of gas, that puts the question. The error
// is a [*Fault]: of an address that no contract can have, of a signature that is too long, or of a bad wrapper.
func (q Question) Call() ([]byte, error) {
	if isReservedAddress(q.Account) {
		return nil, newFault(CodeAddressReserved, "address", "nobody can sign for it")
	}
	w, err := unwrapSignature(q.Sig)
	if err != nil {
		return nil, err
	}
	var call []byte // isValidSignature(bytes32 hash, bytes signature)
	call = append(call, 0x16, 0x26, 0xba, 0x7e)
	call = append(call, q.Hash[:]...)
	call = append(call, wordOf(64)...)
	call = append(call, wordOf(uint64(len(w.sig)))...)
	call = append(call, padToWords(w.sig)...)
	data := append(make([]byte, 0, len(validator)+questionHead+len(w.prepare)+len(call)), validator...)
	data = append(data, common.LeftPadBytes(q.Account[:], 32)...)
	data = append(data, common.LeftPadBytes(w.factory[:], 32)...)
	data = append(data, wordOf(uint64(len(w.prepare)))...)
	data = append(data, wordOf(uint64(len(call)))...)
	data = append(data, w.prepare...)
	return append(data, call...), nil
}

// Read reads what the eth_call returned. An error says that it is no answer to this question: an endpoint of another
// chain, or one that does not do what it should.
func (q Question) Read(out []byte) (Answer, error) {
	if len(out) != answerSize {
		return Answer{}, fmt.Errorf("the validator's answer has %d bytes, not %d", len(out), answerSize)
	}
	words := [6][32]byte{}
	for i := range words {
		words[i] = [32]byte(out[32*i:])
	}
	verdict, ok1 := smallNumber(words[0])
	chain, ok2 := smallNumber(words[1])
	standing, ok3 := smallNumber(words[2])
	gas, ok4 := smallNumber(words[5])
	switch {
	case !ok1 || verdict == 0 || verdict > uint64(lastVerdict), !ok3 || standing >= uint64(len(standings)), !ok4:
		return Answer{}, errors.New("the validator's answer is none of those that it gives")
	case !ok2 || chain != q.Chain:
		return Answer{}, fmt.Errorf("the answer is that of another chain than %d", q.Chain)
	}
	return Answer{
		Verdict: Verdict(verdict), Standing: standings[standing], Code: words[3], Owners: words[4], Gas: gas,
	}, nil
}

// Check says whether the account signed, and how. An account's own key is looked for first, which needs no chain, so
// that plain accounts, and delegated ones (EIP-7702) with their own key, depend on nobody; then its contract is asked.
// canonical is the signature's one form for MethodEOA, and as it came for the others, for which v is what the chain
// said.
//
// The error is a [*Fault], for which errors.Is(err, [ErrUnavailable]) holds if the chain could not be asked. c may be
// nil: then only accounts with a key sign.
func Check(ctx context.Context, c Contracts, q Question) (canonical []byte, v *Verification, err error) {
	canonical, eoa := signedBy(q.Account, q.Hash, q.Sig)
	if eoa == nil {
		return canonical, nil, nil
	}
	if f, ok := errors.AsType[*Fault](eoa); c == nil || ok && f.Code == CodeAddressReserved {
		if ok && f.Code == CodeSigSize {
			f.Detail += ", and this server does not ask contract wallets"
		}
		return nil, nil, eoa
	}
	if _, err := q.Call(); err != nil { // before anybody is asked
		return nil, nil, err
	}
	got, err := c.Ask(ctx, q)
	if err != nil {
		f := newFault(CodeUnavailable, "signature",
			"it was not made by the account's own key, and its chain could not be asked whether it is a contract that "+
				"accepts it")
		if f.cause = err; !errors.Is(err, ErrUnavailable) {
			f.cause = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil, nil, f
	}
	switch {
	case got.Verdict == Accepted && got.Chain == q.Chain:
		return bytes.Clone(q.Sig), &got, nil
	case got.Verdict == NoCode:
		return nil, nil, eoa // a plain account, and what is wrong with its signature
	}
	return nil, nil, newFault(CodeSigContract, "signature", "%s (chain %d, block %d)", got.Verdict, q.Chain, got.Number)
}

// Identity returns who an account is, as text. A key signs alike on every chain, so an account of MethodEOA is its
// address; a contract's address may belong to somebody else on another chain, so its account is named with its chain,
// by CAIP-10.
func Identity(method string, chain uint64, account common.Address) string {
	if method == MethodEOA {
		return account.Hex()
	}
	return "eip155:" + strconv.FormatUint(chain, 10) + ":" + account.Hex()
}

// ParseContractSig reads a signature that may be a contract wallet's: 0x and an even number of hex digits, of up to
// MaxContractSig bytes, none at all included, which is how a Safe signs on the chain.
func ParseContractSig(s string) ([]byte, error) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok || len(digits)%2 != 0 {
		return nil, newFault(CodeSigHex, "signature", "not 0x and an even number of hex digits")
	}
	if len(digits) > 2*MaxContractSig {
		return nil, newFault(CodeSigSize, "signature", "it has %d bytes; at most %d are read", len(digits)/2, MaxContractSig)
	}
	sig, err := hex.DecodeString(digits)
	if err != nil {
		return nil, newFault(CodeSigHex, "signature", "not 0x and an even number of hex digits")
	}
	return sig, nil
}

// magic6492 ends a signature of EIP-6492.
var magic6492 = bytes.Repeat([]byte{0x64, 0x92}, 16)

// A wrapper is a contract wallet's signature, and how to deploy the wallet before it is asked.
type wrapper struct {
	factory common.Address // zero if there is nothing to prepare
	prepare []byte         // the factory's call data
	sig     []byte
}

// unwrapSignature reads the wrapper of EIP-6492, abi.encode(address factory, bytes prepare, bytes signature) and the
// magic value, in the one form that encoders write. A signature without the magic value has no wrapper.
func unwrapSignature(sig []byte) (wrapper, error) {
	if len(sig) > MaxContractSig {
		return wrapper{}, newFault(CodeSigSize, "signature", "it has %d bytes; at most %d are read", len(sig), MaxContractSig)
	}
	body, ok := bytes.CutSuffix(sig, magic6492)
	if !ok {
		return wrapper{sig: sig}, nil
	}
	bad := func(why string) (wrapper, error) {
		return wrapper{}, newFault(CodeSigWrapper, "signature", "it has the magic value of EIP-6492, and %s", why)
	}
	if len(body) < 3*32 || !bytes.Equal(body[:12], make([]byte, 12)) || !bytes.Equal(body[32:64], wordOf(96)) {
		return bad("does not begin as its encoding does")
	}
	w := wrapper{factory: common.BytesToAddress(body[:32])}
	rest := body[3*32:]
	if w.prepare, rest, ok = takeBytes(rest); !ok || !bytes.Equal(body[64:96], wordOf(uint64(len(body)-len(rest)))) {
		return bad("its first part has another length than it says")
	}
	if w.sig, rest, ok = takeBytes(rest); !ok || len(rest) > 0 {
		return bad("its second part has another length than it says")
	}
	switch {
	case isReservedAddress(w.factory):
		return bad("its factory is no contract")
	case bytes.HasSuffix(w.sig, magic6492):
		return bad("it is wrapped twice")
	}
	return w, nil
}

// wrapSignature is the other way.
func (w wrapper) wrapSignature() []byte {
	prepare := append(wordOf(uint64(len(w.prepare))), padToWords(w.prepare)...)
	out := append(common.LeftPadBytes(w.factory[:], 32), wordOf(96)...)
	out = append(out, wordOf(uint64(96+len(prepare)))...)
	out = append(append(out, prepare...), wordOf(uint64(len(w.sig)))...)
	return append(append(out, padToWords(w.sig)...), magic6492...)
}

// Wrap returns the signature of EIP-6492 of a contract wallet that is not deployed yet: what to call on which factory
// to deploy it, and the signature that it accepts then.
func Wrap(factory common.Address, prepare, sig []byte) []byte {
	return wrapper{factory, prepare, sig}.wrapSignature()
}

// takeBytes takes an ABI-encoded byte string off the front: its length, and its bytes padded with zeros.
func takeBytes(b []byte) (v, rest []byte, ok bool) {
	if len(b) < 32 {
		return nil, nil, false
	}
	n, ok := smallNumber([32]byte(b))
	b = b[32:]
	if !ok || n > uint64(len(b)) || (n+31)/32*32 > uint64(len(b)) {
		return nil, nil, false
	}
	v, pad, rest := b[:n], b[n:(n+31)/32*32], b[(n+31)/32*32:]
	return v, rest, bytes.Equal(pad, make([]byte, len(pad)))
}

func wordOf(n uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 24, 32), n)
}

// smallNumber returns a word's number, if it is below 2^63.
func smallNumber(w [32]byte) (uint64, bool) {
	n := binary.BigEndian.Uint64(w[24:])
	return n, n < 1<<63 && bytes.Equal(w[:24], make([]byte, 24))
}

func padToWords(b []byte) []byte {
	return append(bytes.Clone(b), make([]byte, (32-len(b)%32)%32)...)
}
