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
//
// Of one that a contract wallet signed (r.Verification is defined) it checks all but what only the wallet's chain can say:
// [RevocationQuestion] is what to ask.
func CheckRevocation(r *provenance.Revocation, grant, signer *auth.Grant, operator ed25519.PublicKey) error {
	message, ok := r.Message.Bytes()
	sig, ok2 := r.Sig.Bytes()
	if !ok || !ok2 {
		return fmt.Errorf("the revocation: %w", ErrSealed)
	}
	bad := func(err error) error { return fmt.Errorf("%w: %w", ErrRevocation, err) }
	if r.Method == provenance.RevokedText || r.Method == provenance.RevokedOperator {
		session, delegation, err := endedBy(message, r.Delegation.Defined())
		if err != nil {
			return bad(err)
		}
		if session != r.Grant || delegation != r.Delegation {
			return bad(errOtherSession)
		}
	}
	if r.Verification.Defined() {
		_, err := RevocationQuestion(r, grant)
		return err
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
		v, err := typedRevocation(r, grant, message)
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

// RevocationQuestion returns what a contract wallet's chain is asked about the revocation that the wallet signed: text or
// typed data that ends the session of the grant, which is the contract's. The error is ErrRevocation or ErrSealed.
func RevocationQuestion(r *provenance.Revocation, grant *auth.Grant) (auth.Question, error) {
	message, ok := r.Message.Bytes()
	sig, ok2 := r.Sig.Bytes()
	if !ok || !ok2 {
		return auth.Question{}, fmt.Errorf("the revocation: %w", ErrSealed)
	}
	var q auth.Question
	var err error
	switch {
	case grant.Method == auth.MethodEOA:
		err = errors.New("no chain is asked about an account with a key")
	case r.Method == provenance.RevokedText:
		var session, delegation provenance.Link
		if session, delegation, err = endedBy(message, r.Delegation.Defined()); err == nil && (session != r.Grant || delegation != r.Delegation) {
			err = errOtherSession
		}
		q = grant.TextQuestion(message, sig)
	case r.Method == provenance.RevokedTyped:
		var v auth.Revocation
		if v, err = typedRevocation(r, grant, message); err == nil {
			q, err = v.Question(sig)
		}
	default:
		err = fmt.Errorf("a chain is not asked about the method %q", r.Method)
	}
	if err == nil {
		_, err = q.Call()
	}
	if err != nil {
		return auth.Question{}, fmt.Errorf("%w: %w", ErrRevocation, err)
	}
	return q, nil
}

func typedRevocation(r *provenance.Revocation, grant *auth.Grant, message []byte) (auth.Revocation, error) {
	v, err := auth.ParseRevocation(message)
	if err == nil && r.Delegation.Defined() {
		err = errors.New("typed data names no delegation")
	}
	if err == nil && v.Session != r.Grant {
		err = errOtherSession
	}
	if err == nil {
		err = v.Under(grant)
	}
	return v, err
}

var errOtherSession = errors.New("it is for another session")

// endedBy reads which session, and if one is expected which delegation of it, a text ends.
func endedBy(text []byte, one bool) (session, delegation provenance.Link, err error) {
	if one {
		return auth.ParseDelegationEnd(text)
	}
	session, err = auth.ParseRevocationText(text)
	return session, delegation, err
}

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
	delegation := ""
	if r.Delegation.Defined() {
		delegation = r.Delegation.String()
	}
	if p.Session != r.Grant.String() || p.Delegation != delegation {
		return bad(errOtherSession)
	}
	return nil
}
