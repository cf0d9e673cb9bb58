package auth

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
)

// RevocationText returns the text with which a session is ended, for a person to read and sign (EIP-191), or for the
// operator. It names nothing but the session: the session's id is that of the grant, which names the rest. reason is
// printable ASCII, at most 200 characters, and may be empty; issued is in whole seconds.
func RevocationText(session cid.Cid, reason string, issued time.Time) ([]byte, error) {
	if reason == "" {
		reason = noReason
	}
	switch {
	case !session.Defined():
		return nil, newFault(CodeApprovalForm, "session", "it is missing")
	case !isPrintable(reason, maxReason):
		return nil, newFault(CodeApprovalForm, "reason", "not at most %d printable ASCII characters", maxReason)
	case !isWholeSecond(issued):
		return nil, newFault(CodeApprovalForm, "Issued At", "not a whole second after 1970")
	}
	return fmt.Appendf(nil, "%s%s%s\nReason: %s\nIssued At: %s", endSession, session, endAll, reason,
		issued.UTC().Format(time.RFC3339)), nil
}

const (
	endSession = "End session "
	endAll     = " and all that it has delegated."
	noReason   = "none"
)

// ParseRevocationText returns the session that a text of [RevocationText] ends. No other spelling is accepted. The
// error is a [*Fault].
func ParseRevocationText(text []byte) (session cid.Cid, err error) {
	bad := newFault(CodeApprovalForm, "message", "not the text of a revocation")
	if len(text) > MaxMessage {
		return cid.Undef, bad
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 3 {
		return cid.Undef, bad
	}
	id, ok := strings.CutPrefix(lines[0], endSession)
	id, ok2 := strings.CutSuffix(id, endAll)
	reason, ok3 := strings.CutPrefix(lines[1], "Reason: ")
	at, ok4 := strings.CutPrefix(lines[2], "Issued At: ")
	if !ok || !ok2 || !ok3 || !ok4 || reason == "" {
		return cid.Undef, bad
	}
	issued, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return cid.Undef, bad
	}
	if session, err = parseLink(linkPrefix + id); err != nil {
		return cid.Undef, bad
	}
	again, err := RevocationText(session, reason, issued)
	if err != nil || !bytes.Equal(again, text) {
		return cid.Undef, bad
	}
	return session, nil
}

// DelegationEndText is [RevocationText] for one delegation of a session: it ends that and what was delegated from it,
// and the session goes on.
func DelegationEndText(session, delegation cid.Cid, reason string, issued time.Time) ([]byte, error) {
	if !delegation.Defined() {
		return nil, newFault(CodeApprovalForm, "delegation", "it is missing")
	}
	text, err := RevocationText(session, reason, issued)
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "%s%s of session ", endDelegation, delegation), text[len(endSession):]...), nil
}

const endDelegation = "End delegation "

// ParseDelegationEnd returns what a text of [DelegationEndText] ends. No other spelling is accepted. The error is a
// [*Fault].
func ParseDelegationEnd(text []byte) (session, delegation cid.Cid, err error) {
	bad := newFault(CodeApprovalForm, "message", "not the text that ends a delegation")
	if len(text) > MaxMessage {
		return cid.Undef, cid.Undef, bad
	}
	rest, ok := strings.CutPrefix(string(text), endDelegation)
	id, rest, ok2 := strings.Cut(rest, " of session ")
	if !ok || !ok2 {
		return cid.Undef, cid.Undef, bad
	}
	if delegation, err = parseLink(linkPrefix + id); err != nil {
		return cid.Undef, cid.Undef, bad
	}
	if session, err = ParseRevocationText([]byte(endSession + rest)); err != nil {
		return cid.Undef, cid.Undef, bad
	}
	return session, delegation, nil
}

// VerifyText checks that an account signed a text as personal_sign does. The error is a [*Fault].
func VerifyText(account common.Address, text, sig []byte) error {
	_, err := signedBy(account, textDigest(text), sig)
	return err
}

// TextQuestion returns what the account's contract is asked about another text that it signed as personal_sign does.
// One endpoint's word is enough: a text moves no value.
func (g *Grant) TextQuestion(text, sig []byte) Question {
	return Question{Chain: g.Chain, Account: g.Account, Hash: textDigest(text), Sig: sig}
}
