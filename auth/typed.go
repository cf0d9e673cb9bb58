package auth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// typed is a message of EIP-712 whose types are few: address, bytes32, string and uint256, no structs inside. The
// domain is the same for all of ours but for chain and salt.
type typed struct {
	name   string
	chain  uint64
	salt   [32]byte
	fields []member
}

// A member is one field: how it is declared, what is hashed, and what the wallet is shown.
type member struct {
	name, kind string
	word       [32]byte
	value      any
}

func addressOf(name string, a common.Address) member {
	return member{name, "address", [32]byte(common.LeftPadBytes(a[:], 32)), a.Hex()}
}

func bytes32Of(name string, b [32]byte) member {
	return member{name, "bytes32", b, "0x" + hex.EncodeToString(b[:])}
}

func stringOf(name, s string) member {
	return member{name, "string", crypto.Keccak256Hash([]byte(s)), s}
}

func uintOf(name string, n *uint256.Int) member {
	return member{name, "uint256", n.Bytes32(), n.Dec()}
}

func uint64Of(name string, n uint64) member { return uintOf(name, uint256.NewInt(n)) }

func (t *typed) domainOf() typed {
	return typed{name: "EIP712Domain", fields: []member{
		stringOf("name", "writ"), stringOf("version", "1"), uint64Of("chainId", t.chain), bytes32Of("salt", t.salt),
	}}
}

// hashStruct is hashStruct of EIP-712: the type's hash, then one word a field.
func (t *typed) hashStruct() common.Hash {
	var b bytes.Buffer
	sig := make([]string, len(t.fields))
	for i, f := range t.fields {
		sig[i] = f.kind + " " + f.name
	}
	b.Write(crypto.Keccak256([]byte(t.name + "(" + strings.Join(sig, ",") + ")")))
	for _, f := range t.fields {
		b.Write(f.word[:])
	}
	return crypto.Keccak256Hash(b.Bytes())
}

// signedDigest is what the wallet signs.
func (t *typed) signedDigest() [32]byte {
	d := t.domainOf()
	domain, message := d.hashStruct(), t.hashStruct()
	return crypto.Keccak256Hash([]byte("\x19\x01"), domain[:], message[:])
}

// encodeJSON is the argument of eth_signTypedData_v4.
func (t *typed) encodeJSON() ([]byte, error) {
	type declared struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	declare := func(fields []member) (out []declared) {
		for _, f := range fields {
			out = append(out, declared{f.name, f.kind})
		}
		return out
	}
	values := func(fields []member) map[string]any {
		out := make(map[string]any)
		for _, f := range fields {
			out[f.name] = f.value
		}
		return out
	}
	d := t.domainOf()
	domain := values(d.fields)
	domain["chainId"] = t.chain // wallets compare it with their chain's number
	return plainJSON(map[string]any{
		"types":       map[string]any{d.name: declare(d.fields), t.name: declare(t.fields)},
		"primaryType": t.name,
		"domain":      domain,
		"message":     values(t.fields),
	})
}

// plainJSON is json.Marshal without HTML escapes.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Salt returns what ties typed messages to one web origin: the Keccak-256 of scheme, "://" and domain.
func Salt(scheme, domain string) [32]byte {
	return crypto.Keccak256Hash([]byte(scheme + "://" + domain))
}
