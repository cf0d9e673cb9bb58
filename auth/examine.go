package auth

import (
	"context"
	"time"
)

// Examine checks a signed text by the rules of EIP-4361 alone, for people and programs that look into one: the
// grammar; the domain, which must be the one given; the times at now, give or take [Skew], as far as the message names
// them; and that the account which the message names made the signature over exactly these bytes. sig is as
// [ParseSig] returns it. The error is a [*Fault] with the first thing that is wrong.
//
// It is no sign-in: a nonce, a chain or a URI is compared with nothing, and any message that a wallet ever signed for
// the domain passes until it ends. A server uses [Desk.Open] or [Verify].
func Examine(raw, sig []byte, domain string, now time.Time) (*Message, error) {
	m, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	err = m.examineAll(raw, domain, now)
	if err == nil {
		_, err = signedBy(m.Address, textDigest(raw), sig)
	}
	return m, m.addLine(err)
}

// ExamineOn is [Examine] of a message that a contract wallet may have signed: if its account's own key did not, c is
// asked whether its contract accepts the signature, which is as [ParseContractSig] returns it. v is what was said, and
// nil if the key signed. errors.Is(err, [ErrUnavailable]) if the chain could not be asked.
func ExamineOn(
	ctx context.Context, c Contracts, raw, sig []byte, domain string, now time.Time,
) (m *Message, v *Verification, err error) {
	if m, err = Parse(raw); err != nil {
		return nil, nil, err
	}
	if err = m.examineAll(raw, domain, now); err == nil {
		_, v, err = Check(ctx, c, Question{Chain: m.Chain, Account: m.Address, Hash: textDigest(raw), Sig: sig, Spends: true})
	}
	return m, v, m.addLine(err)
}

// examineAll checks all but the signature.
func (m *Message) examineAll(raw []byte, domain string, now time.Time) error {
	if beyondSecond(m) == "" {
		if err := askSecondReader(m, raw); err != nil {
			return err
		}
	}
	switch {
	case domain == "":
		return newFault(CodeExpect, "domain", "the verifier does not say what it expects")
	case now.IsZero():
		return newFault(CodeExpect, "now", "the verifier does not say what it expects")
	case m.Domain != domain:
		return newFault(CodeDomain, "domain", "it is not %s", domain)
	case m.IssuedAt.Time.After(now.Add(Skew)):
		return newFault(CodeIssued, "Issued At", "it lies in the future")
	case m.NotBefore != nil && m.NotBefore.Time.After(now.Add(Skew)):
		return newFault(CodeEarly, "Not Before", "this time has not come yet")
	case m.Expiration != nil && !now.Before(m.Expiration.Time):
		return newFault(CodeExpired, "Expiration Time", "it is over")
	}
	return nil
}
