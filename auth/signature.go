package auth

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// SigSize is the length of an account's signature: r and s of 32 bytes each, then v.
const SigSize = 65

var (
	curveOrder = [32]byte(common.FromHex("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"))
	halfOrder  = [32]byte(common.FromHex("0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0"))
)

// ParseSig reads a signature as wallets return it: 0x and 130 hex digits.
func ParseSig(s string) ([]byte, error) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok || len(digits)%2 != 0 || len(digits) > 2*MaxMessage {
		return nil, newFault(CodeSigHex, "signature", "not 0x and an even number of hex digits")
	}
	sig, err := hex.DecodeString(digits)
	if err != nil {
		return nil, newFault(CodeSigHex, "signature", "not 0x and an even number of hex digits")
	}
	if len(sig) != SigSize {
		return nil, newFault(CodeSigSize, "signature", "it has %d bytes, not %d", len(sig), SigSize)
	}
	return sig, nil
}

// canonicalSignature returns the one form of a signature: 65 bytes, r and s in range, s in the lower half (EIP-2), v 27
// or 28. A v of 0 or 1, which hardware wallets send, becomes 27 or 28; anything else is refused, since each other form
// would be a second signature over the same text.
func canonicalSignature(sig []byte) ([SigSize]byte, error) {
	var out [SigSize]byte
	if len(sig) != SigSize {
		return out, newFault(CodeSigSize, "signature", "it has %d bytes, not %d", len(sig), SigSize)
	}
	copy(out[:], sig)
	if out[64] < 2 {
		out[64] += 27
	}
	r, s := out[:32], out[32:64]
	var zero [32]byte
	switch {
	case out[64] != 27 && out[64] != 28:
		return out, newFault(CodeSigV, "signature", "v is %d, not 27, 28, 0 or 1", sig[64])
	case bytes.Equal(r, zero[:]), bytes.Equal(s, zero[:]),
		bytes.Compare(r, curveOrder[:]) >= 0, bytes.Compare(s, curveOrder[:]) >= 0:
		return out, newFault(CodeSigRange, "signature", "r or s is out of range")
	case bytes.Compare(s, halfOrder[:]) > 0:
		return out, newFault(CodeSigHighS, "signature", "s is in the upper half of the curve's order")
	}
	return out, nil
}

// recoverSigner returns the address whose key made the canonical signature over the digest.
func recoverSigner(digest common.Hash, sig [SigSize]byte) (common.Address, error) {
	sig[64] -= 27
	pub, err := crypto.Ecrecover(digest[:], sig[:])
	if err != nil {
		return common.Address{}, newFault(CodeSigRecover, "signature", "no key could have made it")
	}
	return common.BytesToAddress(crypto.Keccak256(pub[1:])[12:]), nil
}

// signedBy checks that account made sig over the digest and returns the canonical form of sig.
func signedBy(account common.Address, digest common.Hash, sig []byte) ([]byte, error) {
	if isReservedAddress(account) {
		return nil, newFault(CodeAddressReserved, "address", "nobody can sign for it")
	}
	c, err := canonicalSignature(sig)
	if err != nil {
		return nil, err
	}
	who, err := recoverSigner(digest, c)
	if err != nil {
		return nil, err
	}
	if who != account {
		return nil, newFault(CodeSigSigner, "signature", "it was not made by %s over these bytes", account.Hex())
	}
	return c[:], nil
}

// textDigest returns what a wallet signs for a text: EIP-191, version 0x45.
func textDigest(text []byte) common.Hash {
	var prefix [40]byte
	p := append(prefix[:0], "\x19Ethereum Signed Message:\n"...)
	return crypto.Keccak256Hash(strconv.AppendInt(p, int64(len(text)), 10), text)
}

// isReservedAddress says whether an address is zero or a precompile (up to 0x1ff), so that no key stands behind it. An
// ecrecover that fails returns the zero address, and contracts have taken it for a signer.
func isReservedAddress(a common.Address) bool {
	for _, b := range a[:18] {
		if b != 0 {
			return false
		}
	}
	return a[18] <= 1
}
