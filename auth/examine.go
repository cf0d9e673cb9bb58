package auth

import "time"

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
	return m, m.place(m.examine(raw, sig, domain, now))
}

func (m *Message) examine(raw, sig []byte, domain string, now time.Time) error {
	if beyondSecond(m) == "" {
		if err := second(m, raw); err != nil {
			return err
		}
	}
	switch {
	case domain == "":
		return fault(CodeExpect, "domain", "the verifier does not say what it expects")
	case now.IsZero():
		return fault(CodeExpect, "now", "the verifier does not say what it expects")
	case m.Domain != domain:
		return fault(CodeDomain, "domain", "it is not %s", domain)
	case m.IssuedAt.Time.After(now.Add(Skew)):
		return fault(CodeIssued, "Issued At", "it lies in the future")
	case m.NotBefore != nil && m.NotBefore.Time.After(now.Add(Skew)):
		return fault(CodeEarly, "Not Before", "this time has not come yet")
	case m.Expiration != nil && !now.Before(m.Expiration.Time):
		return fault(CodeExpired, "Expiration Time", "it is over")
	}
	_, err := signedBy(m.Address, textDigest(raw), sig)
	return err
}
