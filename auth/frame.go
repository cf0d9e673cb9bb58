package auth

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/ipfs/go-cid"
)

// A Frame is one request as its sender signs it. The session, the channel and the sequence number tie it to one
// place in one connection; the receiver must check that Seq is the next one of the channel, since a Frame cannot.
type Frame struct {
	Session cid.Cid  // undefined before a session is open
	Channel [32]byte // what the server named the connection
	Seq     uint64   // of the request on the channel
	Method  string   // e.g. "run.start"
	Params  []byte   // the exact bytes
}

const frameDomain = "writ/frame/1"

// Bytes returns what is signed: six fields, each as its length in four bytes, big-endian, and its bytes.
//
//	"writ/frame/1"
//	the session's CID in binary, or nothing
//	the channel, 32 bytes
//	the sequence number, 8 bytes, big-endian
//	the method
//	SHA-256 of the params, 32 bytes
func (f Frame) Bytes() []byte {
	params := sha256.Sum256(f.Params)
	b := make([]byte, 0, 192+len(f.Method))
	field := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	field(frameDomain)
	field(f.Session.KeyString())
	b = binary.BigEndian.AppendUint32(b, 32)
	b = append(b, f.Channel[:]...)
	b = binary.BigEndian.AppendUint32(b, 8)
	b = binary.BigEndian.AppendUint64(b, f.Seq)
	field(f.Method)
	b = binary.BigEndian.AppendUint32(b, 32)
	return append(b, params[:]...)
}

// Verify checks that the key's owner signed the frame, or the HTTP request that it is; see [HTTPFrame]. The error is a
// [*Fault].
func (f Frame) Verify(key PublicKey, sig []byte) error {
	if len(sig) > SigSize {
		return f.verifyHTTP(key, sig)
	}
	return key.verifySignature(f.Bytes(), sig)
}

// SignFrame signs f for [Frame.Verify].
func (k PrivateKey) SignFrame(f Frame) ([]byte, error) { return k.Sign(f.Bytes()) }
