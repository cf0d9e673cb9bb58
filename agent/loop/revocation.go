package loop

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// ErrRevocation says that a revocation does not end the session that it is given for.
var ErrRevocation = errors.New("the revocation does not hold")

// revocationContext separates the operator's signature over a revocation from every other use of the key.
const revocationContext = "writ/revocation/1\n"

// SignRevocation returns the operator's signature over the text of a revocation.
func SignRevocation(key ed25519.PrivateKey, text []byte) []byte {
	return ed25519.Sign(key, append([]byte(revocationContext), text...))
}

// CheckRevocation says whether r ends the session of its grant, by whom its method names: the grant's wallet, a
// session key of that wallet, or the operator. grant is the grant of r.Grant. signer is the one of r.Frame.From, nil
// if r has no frame; operator may be nil, and then a revocation by the operator does not hold. The runtime and an
// auditor ask the same. The error is ErrRevocation or ErrSealed.
func CheckRevocation(r *provenance.Revocation, grant, signer *auth.Grant, operator ed25519.PublicKey) error {
	message, ok := r.Message.Bytes()
	sig, ok2 := r.Sig.Bytes()
	if !ok || !ok2 {
		return fmt.Errorf("the revocation: %w", ErrSealed)
	}
	bad := func(err error) error { return fmt.Errorf("%w: %w", ErrRevocation, err) }
	if r.Method == provenance.RevokedText || r.Method == provenance.RevokedOperator {
		session, err := auth.ParseRevocationText(message)
		if err != nil {
			return bad(err)
		}
		if session != r.Grant {
			return bad(errOtherSession)
		}
	}
	switch r.Method {
	case provenance.RevokedText:
		if err := auth.VerifyText(grant.Account, message, sig); err != nil {
			return bad(err)
		}
	case provenance.RevokedOperator:
		if len(operator) != ed25519.PublicKeySize || !ed25519.Verify(operator, append([]byte(revocationContext), message...), sig) {
			return bad(errors.New("the operator's key did not sign it"))
		}
	case provenance.RevokedTyped:
		v, err := auth.ParseRevocation(message)
		if err == nil && v.Session != r.Grant {
			err = errOtherSession
		}
		if err == nil {
			err = v.Under(grant)
		}
		if err == nil {
			err = v.Verify(sig)
		}
		if err != nil {
			return bad(err)
		}
	case provenance.RevokedSession:
		return checkFrame(r, grant, signer, message, sig)
	default:
		return bad(fmt.Errorf("a revocation by the method %q is not known", r.Method))
	}
	return nil
}

var errOtherSession = errors.New("it is for another session")

// sameWallet says whether two grants are of one owner. An address on another chain may be another contract's.
func sameWallet(a, b *auth.Grant) bool {
	return a.Account == b.Account && (a.Chain == b.Chain || a.Method == auth.MethodEOA && b.Method == auth.MethodEOA)
}

func checkFrame(r *provenance.Revocation, grant, signer *auth.Grant, params, sig []byte) error {
	bad := func(err error) error { return fmt.Errorf("%w: %w", ErrRevocation, err) }
	if signer == nil || r.Frame == nil || !sameWallet(signer, grant) {
		return bad(errors.New("the session key is not one of the same wallet"))
	}
	f := auth.Frame{
		Session: r.Frame.From, Channel: r.Frame.Channel, Seq: r.Frame.Seq, Method: wire.SessionRevoke, Params: params,
	}
	if err := f.Verify(signer.Key, sig); err != nil {
		return bad(err)
	}
	var p wire.RevokeParams
	if err := wire.DecodeStrict(params, &p); err != nil {
		return bad(err)
	}
	if p.Session != r.Grant.String() {
		return bad(errOtherSession)
	}
	return nil
}
