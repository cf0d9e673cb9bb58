package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/auth/httpsig"
)

// A frame may be an HTTP request that its sender signed as ERC-8128 has it, with a session key of secp256k1: such a key
// is an Ethereum account. Then its signature is that of the account, 65 bytes, and the base that it is over. All of the
// frame follows from the base: the session and the method stand in the path, or of a body in the form of another API
// the method in the path and the session in a header; the params are the body, whose digest is signed; and the channel
// is the hash of the base, so that its nonce makes it another channel for each request.

const httpFrameDomain = "writ/http/1\n"

// formPaths are the paths of bodies in the forms of other APIs, by the methods that they are recorded as.
var formPaths = map[string]string{
	"chat.completions": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages",
}

// HTTPFramePath returns the path at which a request for a method of a session is signed. At one that does not name the
// session, the header httpsig.Session does, and is signed too.
func HTTPFramePath(session cid.Cid, method string) string {
	if path, ok := formPaths[method]; ok {
		return path
	}
	return "/v1/sessions/" + session.String() + "/" + method
}

// HTTPFrame returns the frame that a signed request is, and its signature in the form that [Frame.Verify] takes.
func HTTPFrame(session cid.Cid, method string, body []byte, s *httpsig.Signed) (f Frame, sig []byte) {
	return Frame{Session: session, Channel: httpChannel(s.Base), Seq: 1, Method: method, Params: body},
		append(s.Sig[:], s.Base...)
}

func httpChannel(base string) [32]byte { return sha256.Sum256([]byte(httpFrameDomain + base)) }

// HTTPNonce returns what a signed request is remembered by, so that it is taken once: of its account and its nonce.
func HTTPNonce(s *httpsig.Signed) string {
	sum := sha256.Sum256([]byte(httpFrameDomain + s.Account + "\n" + s.Nonce))
	return "http-" + hex.EncodeToString(sum[:])
}

// Account returns the address of the Ethereum account that a session key of secp256k1 is, and zero for another.
func (k PublicKey) Account() (a common.Address) {
	if k.kind == Secp256k1 {
		a = common.BytesToAddress(ethcrypto.Keccak256(k.raw[1:])[12:])
	}
	return a
}

// verifyHTTP is Verify of a frame that was signed as an HTTP request.
func (f Frame) verifyHTTP(key PublicKey, sig []byte) error {
	bad := func(why string) error { return newFault(CodeSigSigner, "signature", "%s", why) }
	if key.kind != Secp256k1 {
		return bad("the session key is no Ethereum account, so it signs no HTTP requests")
	}
	s, err := httpsig.ParseBase(string(sig[SigSize:]))
	if err != nil {
		return newFault(CodeSigSize, "signature", "%v", err)
	}
	account := key.Account()
	_, address, _ := strings.Cut(strings.TrimPrefix(s.Account, "eip155:"), ":0x")
	digest, err := httpsig.DigestOf(s.Values["content-digest"])
	switch {
	case address != hex.EncodeToString(account[:]):
		return bad("keyid is another account than the session's key")
	case s.Values["@method"] != "POST" || s.Values["@query"] != "?" ||
		s.Values["@path"] != HTTPFramePath(f.Session, f.Method):
		return bad("it is for another path than that of this session and method")
	case formPaths[f.Method] == "" && !s.IsWholeOnly():
		return bad("it covers a header that says nothing there")
	case formPaths[f.Method] != "" && s.Values[httpsig.Session] != f.Session.String():
		return bad("it is for another session, or for none")
	case err != nil || digest != sha256.Sum256(f.Params):
		return bad("it is over another body")
	case f.Seq != 1 || f.Channel != httpChannel(s.Base):
		return bad("it is not on the channel that the request is")
	}
	if v := sig[SigSize-1]; v != 27 && v != 28 { // else one request had two signatures
		return newFault(CodeSigV, "signature", "v is %d, not 27 or 28", v)
	}
	_, err = signedBy(account, textDigest([]byte(s.Base)), sig[:SigSize])
	return err
}
