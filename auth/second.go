package auth

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spruceid/siwe-go"
)

// askSecondReader asks siwe-go what it reads in raw and refuses any difference to m. It is frozen upstream and lax in
// known ways, so it never decides alone; but two parsers that were written apart seldom share a bug.
//
// siwe-go does not know a scheme before the domain: it is taken off for siwe-go, and only for it. A few texts that
// the grammar allows are beyond siwe-go, see beyondSecond; no grant needs them, so they are refused too.
func askSecondReader(m *Message, raw []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = newFault(CodeSecondPanics, "", "siwe-go could not cope with the message")
		}
	}()
	text := string(raw)
	if m.Scheme != "" {
		text = text[len(m.Scheme)+len("://"):]
	}
	other, e := siwe.ParseMessage(text)
	if e != nil {
		return newFault(CodeSecondRefuses, "", "siwe-go cannot read the message")
	}
	var issued, expires, notBefore *string = &m.IssuedAt.Text, nil, nil
	if m.Expiration != nil {
		expires = &m.Expiration.Text
	}
	if m.NotBefore != nil {
		notBefore = &m.NotBefore.Text
	}
	uri := other.GetURI()
	otherIssued := other.GetIssuedAt()
	var resources []string
	for _, r := range other.GetResources() {
		resources = append(resources, r.String())
	}
	for _, f := range []struct {
		name string
		same bool
	}{
		{"domain", other.GetDomain() == m.Domain},
		{"address", other.GetAddress() == m.Address},
		{"statement", isSameText(other.GetStatement(), m.Statement)},
		{"URI", uri.String() == m.URI},
		{"Version", other.GetVersion() == "1"},
		{"Chain ID", other.GetChainID() >= 0 && uint64(other.GetChainID()) == m.Chain},
		{"Nonce", other.GetNonce() == m.Nonce},
		{"Issued At", isSameText(&otherIssued, issued)},
		{"Expiration Time", isSameText(other.GetExpirationTime(), expires)},
		{"Not Before", isSameText(other.GetNotBefore(), notBefore)},
		{"Request ID", isSameText(other.GetRequestID(), m.RequestID)},
		{"Resources", slices.Equal(resources, m.Resources)},
		{"message", other.String() == text},
	} {
		if !f.same {
			return newFault(CodeSecondDiffers, f.name, "siwe-go reads something else")
		}
	}
	return nil
}

// beyondSecond names what a message holds that the grammar allows and siwe-go cannot read, or cannot write again as it
// was; it is empty for a message on which siwe-go must agree.
func beyondSecond(m *Message) string {
	domain, err := url.Parse("https://" + m.Domain)
	authority := ""
	if err == nil {
		if authority = domain.Host; domain.User != nil {
			authority = domain.User.String() + "@" + authority
		}
	}
	switch {
	case authority != m.Domain:
		return "a domain that net/url spells otherwise"
	case m.Statement != nil && strings.TrimSpace(*m.Statement) == "":
		return "a statement of no characters or of spaces"
	case !plainURL(m.URI):
		return "a URI that net/url spells otherwise"
	case m.RequestID != nil && *m.RequestID == "":
		return "an empty request id"
	case m.Resources != nil && len(m.Resources) == 0:
		return "a Resources line with none below"
	case slices.ContainsFunc(m.Resources, func(r string) bool { return !plainURL(r) }):
		return "a resource that net/url spells otherwise"
	}
	for _, s := range []*Stamp{&m.IssuedAt, m.Expiration, m.NotBefore} {
		if s == nil {
			continue
		}
		if _, err := time.Parse(time.RFC3339Nano, s.Text); err != nil || strings.HasSuffix(s.Text, "-00:00") {
			return "a time in small letters, with a leap second, or at the unknown offset -00:00"
		}
	}
	return ""
}

func plainURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.String() == s
}

func isSameText(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
