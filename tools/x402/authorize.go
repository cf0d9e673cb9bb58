package x402

import (
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// A Domain is a token's domain of EIP-712: a signature holds for it alone.
type Domain struct {
	Name, Release string
	Chain         uint64
	Contract      common.Address
}

// Domain returns the token's domain as the server says it. It must be compared with the token's own.
func (t *Terms) Domain() Domain { return Domain{t.Name, t.Release, t.Chain, t.Asset} }

var (
	typeDomain = crypto.Keccak256(
		[]byte("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"))
	typeTransfer = crypto.Keccak256([]byte("TransferWithAuthorization(address from,address to,uint256 value," +
		"uint256 validAfter,uint256 validBefore,bytes32 nonce)"))
)

func wordOf(n uint64) []byte {
	w := uint256.NewInt(n).Bytes32()
	return w[:]
}

// Separator is the domain's hash, which a token calls DOMAIN_SEPARATOR.
func (d Domain) Separator() common.Hash {
	return crypto.Keccak256Hash(typeDomain, crypto.Keccak256([]byte(d.Name)), crypto.Keccak256([]byte(d.Release)),
		wordOf(d.Chain), common.LeftPadBytes(d.Contract[:], 32))
}

// An Authorization lets anybody have a token move an amount from one account to another, once: it is the
// TransferWithAuthorization of EIP-3009.
type Authorization struct {
	From, To common.Address
	Value    *uint256.Int
	// After and Before are unix seconds between which it holds, both outside.
	After, Before uint64
	Nonce         [32]byte
}

// Digest is what the payer signs.
func (a *Authorization) Digest(d Domain) common.Hash {
	value, separator := a.Value.Bytes32(), d.Separator()
	message := crypto.Keccak256(typeTransfer, common.LeftPadBytes(a.From[:], 32), common.LeftPadBytes(a.To[:], 32),
		value[:], wordOf(a.After), wordOf(a.Before), a.Nonce[:])
	return crypto.Keccak256Hash([]byte("\x19\x01"), separator[:], message)
}

// Sign signs it: 65 bytes, r, s, and v as 27 or 28. The same key and authorisation give the same signature.
func (a *Authorization) Sign(d Domain, key *ecdsa.PrivateKey) ([]byte, error) {
	if crypto.PubkeyToAddress(key.PublicKey) != a.From {
		return nil, errors.New("x402: the key is not the payer's")
	}
	digest := a.Digest(d)
	sig, err := crypto.Sign(digest[:], key)
	if err != nil {
		return nil, fmt.Errorf("x402: sign an authorisation: %w", err)
	}
	sig[64] += 27
	return sig, nil
}

// signerOf returns who signed a digest.
func signerOf(digest common.Hash, sig []byte) (common.Address, error) {
	if len(sig) != 65 || sig[64] != 27 && sig[64] != 28 {
		return common.Address{}, errors.New("the signature is malformed")
	}
	plain := append(append([]byte{}, sig[:64]...), sig[64]-27)
	key, err := crypto.SigToPub(digest[:], plain)
	if err != nil {
		return common.Address{}, errors.New("the signature is nobody's")
	}
	return crypto.PubkeyToAddress(*key), nil
}

// authorizationJSON is how an authorisation is sent, and recorded.
type authorizationJSON struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Value  string `json:"value"`
	After  string `json:"validAfter"`
	Before string `json:"validBefore"`
	Nonce  string `json:"nonce"`
}

func (a *Authorization) json() authorizationJSON {
	return authorizationJSON{a.From.Hex(), a.To.Hex(), a.Value.Dec(), strconv.FormatUint(a.After, 10),
		strconv.FormatUint(a.Before, 10), "0x" + hex.EncodeToString(a.Nonce[:])}
}

func (j authorizationJSON) read() (*Authorization, error) {
	a := &Authorization{}
	var err [5]error
	a.From, err[0] = readAddress(j.From)
	a.To, err[1] = readAddress(j.To)
	a.Value, err[2] = readUnits(j.Value)
	a.After, err[3] = strconv.ParseUint(j.After, 10, 63)
	a.Before, err[4] = strconv.ParseUint(j.Before, 10, 63)
	nonce, bad := hex.DecodeString(strings.TrimPrefix(j.Nonce, "0x"))
	copy(a.Nonce[:], nonce)
	if errors.Join(err[:]...) != nil || bad != nil || a.json() != j {
		return nil, errors.New("the authorisation is malformed")
	}
	return a, nil
}

// Header returns the header by which a request pays the terms.
func (o *Offer) Header(t *Terms, a *Authorization, sig []byte) (name, value string, err error) {
	type signed struct {
		Signature     string            `json:"signature"`
		Authorization authorizationJSON `json:"authorization"`
	}
	payload := signed{"0x" + hex.EncodeToString(sig), a.json()}
	var out any = struct {
		Version int    `json:"x402Version"`
		Scheme  string `json:"scheme"`
		Network string `json:"network"`
		Payload signed `json:"payload"`
	}{1, "exact", t.Network, payload}
	name = headerPay1
	if t.Version == 2 {
		name = headerPay2
		out = struct {
			Version  int             `json:"x402Version"`
			Resource json.RawMessage `json:"resource,omitempty"`
			Accepted json.RawMessage `json:"accepted"`
			Payload  signed          `json:"payload"`
		}{2, o.resource, t.Raw, payload}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return "", "", fmt.Errorf("x402: %w", err)
	}
	return name, base64.StdEncoding.EncodeToString(b), nil
}
