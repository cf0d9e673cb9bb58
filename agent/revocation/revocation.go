// Package revocation says whether a session, or what was delegated from it, was ended by one who may.
//
// [Check] judges a record as the runtime does when it takes one, and as an auditor does afterwards; [Sign] is the
// operator's own, and [Question] is what a contract wallet's chain is asked.
package revocation

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// ErrRevocation says that a revocation does not end the session that it is given for.
var ErrRevocation = errors.New("the revocation does not hold")

// revocationContext separates the operator's signature over a revocation from every other use of the key.
const revocationContext = "writ/revocation/1\n"

// Sign returns the operator's signature over the text of a revocation.
func Sign(key ed25519.PrivateKey, text []byte) []byte {
	return ed25519.Sign(key, append([]byte(revocationContext), text...))
}

// Check says whether r ends the session of its grant, by whom its method names: the grant's wallet, a
// session key of that wallet, or the operator. grant is the grant of r.Grant. signer is the one of r.Frame.From, nil
// if r has no frame; operator may be nil, and then a revocation by the operator does not hold. The runtime and an
// auditor ask the same. The error is ErrRevocation or loop.ErrSealed.
//
// Of one that a contract wallet signed (r.Verification is defined) it checks all but what only the wallet's chain can
// say: [Question] is what to ask.
func Check(r *provenance.Revocation, grant, signer *auth.Grant, operator ed25519.PublicKey) error {
	message, ok := r.Message.Bytes()
	sig, ok2 := r.Sig.Bytes()
	if !ok || !ok2 {
		return fmt.Errorf("the revocation: %w", loop.ErrSealed)
	}
	if r.Verification.Defined() {
		_, err := Question(r, grant)
		return err
	}
	if err := checkRevocationSignature(r, grant, signer, operator, message, sig); err != nil {
		return fmt.Errorf("%w: %w", ErrRevocation, err)
	}
	return nil
}

// checkRevocationSignature checks that the one whom the method names has signed that the session ends.
func checkRevocationSignature(
	r *provenance.Revocation, grant, signer *auth.Grant, operator ed25519.PublicKey, message, sig []byte,
) error {
	switch r.Method {
	case provenance.RevokedText:
		if err := checkEnding(r, message); err != nil {
			return err
		}
		return auth.VerifyText(grant.Account, message, sig)
	case provenance.RevokedOperator:
		if err := checkEnding(r, message); err != nil {
			return err
		}
		signed := append([]byte(revocationContext), message...)
		if len(operator) != ed25519.PublicKeySize || !ed25519.Verify(operator, signed, sig) {
			return errors.New("the operator's key did not sign it")
		}
		return nil
	case provenance.RevokedTyped:
		v, err := readTypedRevocation(r, grant, message)
		if err != nil {
			return err
		}
		return v.Verify(sig)
	case provenance.RevokedSession:
		return checkRevocationFrame(r, grant, signer, message, sig)
	}
	return fmt.Errorf("a revocation by the method %q is not known", r.Method)
}

// checkEnding checks that a text ends the session that the revocation is for, or that delegation of it.
func checkEnding(r *provenance.Revocation, text []byte) error {
	session, delegation, err := readEnding(text, r.Delegation.Defined())
	if err == nil && (session != r.Grant || delegation != r.Delegation) {
		err = errOtherSession
	}
	return err
}

// Question returns what a contract wallet's chain is asked about the revocation that the wallet signed: text
// or typed data that ends the session of the grant, which is the contract's. The error is ErrRevocation
// or loop.ErrSealed.
func Question(r *provenance.Revocation, grant *auth.Grant) (auth.Question, error) {
	message, ok := r.Message.Bytes()
	sig, ok2 := r.Sig.Bytes()
	if !ok || !ok2 {
		return auth.Question{}, fmt.Errorf("the revocation: %w", loop.ErrSealed)
	}
	var q auth.Question
	var err error
	switch {
	case grant.Method == auth.MethodEOA:
		err = errors.New("no chain is asked about an account with a key")
	case r.Method == provenance.RevokedText:
		err = checkEnding(r, message)
		q = grant.TextQuestion(message, sig)
	case r.Method == provenance.RevokedTyped:
		var v auth.Revocation
		if v, err = readTypedRevocation(r, grant, message); err == nil {
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

func readTypedRevocation(r *provenance.Revocation, grant *auth.Grant, message []byte) (auth.Revocation, error) {
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

// readEnding reads which session, and if one is expected which delegation of it, a text ends.
func readEnding(text []byte, one bool) (session, delegation provenance.Link, err error) {
	if one {
		return auth.ParseDelegationEnd(text)
	}
	session, err = auth.ParseRevocationText(text)
	return session, delegation, err
}

// isSameWallet says whether two grants are of one owner. An address on another chain may be another contract's.
func isSameWallet(a, b *auth.Grant) bool {
	return a.Account == b.Account && (a.Chain == b.Chain || a.Method == auth.MethodEOA && b.Method == auth.MethodEOA)
}

func checkRevocationFrame(r *provenance.Revocation, grant, signer *auth.Grant, params, sig []byte) error {
	if signer == nil || r.Frame == nil || !isSameWallet(signer, grant) {
		return errors.New("the session key is not one of the same wallet")
	}
	f := auth.Frame{
		Session: r.Frame.From, Channel: r.Frame.Channel, Seq: r.Frame.Seq, Method: wire.SessionRevoke, Params: params,
	}
	if err := f.Verify(signer.Key, sig); err != nil {
		return err
	}
	var p wire.RevokeParams
	if err := wire.DecodeStrict(params, &p); err != nil {
		return err
	}
	delegation := ""
	if r.Delegation.Defined() {
		delegation = r.Delegation.String()
	}
	if p.Session != r.Grant.String() || p.Delegation != delegation {
		return errOtherSession
	}
	return nil
}
