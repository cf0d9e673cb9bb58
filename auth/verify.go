package auth

import (
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
)

// Bounds on a message's times.
const (
	Skew         = time.Minute      // by which clocks may differ
	IssuedWithin = 10 * time.Minute // how old a message may be when it is shown
	MaxLife      = 24 * time.Hour   // from Issued At to Expiration Time
)

// Expect is what a verifier expects of a message. Every field is mandatory: a zero value is an error, never a check
// left out.
type Expect struct {
	Scheme    string // "https" or "http"
	Domain    string // as in [Offer]
	URI       string // did:key of the session key; the origin if the key stands in the ReCap
	Key       PublicKey
	Chain     uint64 // EIP-155 id
	Nonce     string
	RequestID string
	Account   common.Address
	Agent     string // name
	AgentCID  cid.Cid
	RulesCID  cid.Cid
	Now       time.Time
}

func (e *Expect) validate() error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"Scheme", e.Scheme != ""}, {"Domain", e.Domain != ""}, {"URI", e.URI != ""}, {"Key", e.Key.kind != ""},
		{"Chain", e.Chain != 0},
		{"Nonce", e.Nonce != ""}, {"RequestID", e.RequestID != ""}, {"Account", e.Account != common.Address{}},
		{"Agent", e.Agent != ""}, {"AgentCID", e.AgentCID.Defined()}, {"RulesCID", e.RulesCID.Defined()},
		{"Now", !e.Now.IsZero()},
	} {
		if !f.set {
			return newFault(CodeExpect, f.name, "the verifier does not say what it expects")
		}
	}
	return nil
}

// Verify returns the grant in a signed message. In this order: the text is read by both readers; each field is what
// want says; the times are sound and include want.Now, give or take [Skew]; the ReCap is canonical, its caveats are
// valid and the statement is the one generated from them; the signature is the account's, over the bytes of raw.
// The error is a [*Fault] with the first thing that is wrong.
//
// Verify does not know whether the nonce was used before; [Desk.Open] does. It asks no chain, so only an account with a
// key passes it.
func Verify(raw, sig []byte, want Expect) (*Grant, error) {
	m, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	g, err := verifyMessage(m, raw, sig, want)
	return g, m.addLine(err)
}

func verifyMessage(m *Message, raw, sig []byte, want Expect) (*Grant, error) {
	if err := askSecondReader(m, raw); err != nil {
		return nil, err
	}
	if err := want.validate(); err != nil {
		return nil, err
	}
	var requestID string
	if m.RequestID != nil {
		requestID = *m.RequestID
	}
	switch {
	case m.Scheme != want.Scheme:
		return nil, newFault(CodeScheme, "scheme", "it is not %s", want.Scheme)
	case m.Domain != want.Domain:
		return nil, newFault(CodeDomain, "domain", "it is not %s", want.Domain)
	case m.Address != want.Account:
		return nil, newFault(CodeAccount, "address", "it is not %s", want.Account.Hex())
	case m.URI != want.URI:
		return nil, newFault(CodeURI, "URI", "it is not the session key of this challenge")
	case m.Chain != want.Chain:
		return nil, newFault(CodeChain, "Chain ID", "it is not %d", want.Chain)
	case m.Nonce != want.Nonce:
		return nil, newFault(CodeNonce, "Nonce", "it is not the one of this challenge")
	case requestID != want.RequestID:
		return nil, newFault(CodeRequestID, "Request ID", "it is not the one of this challenge")
	}
	g, err := readGrant(m)
	if err != nil {
		return nil, err
	}
	switch {
	case g.Key != want.Key:
		return nil, newFault(CodeURI, "ReCap", "it does not name the session key of this challenge")
	case g.Agent != want.Agent:
		return nil, newFault(CodeAgent, "agent", "it is not %s", want.Agent)
	case !g.AgentCID.Equals(want.AgentCID):
		return nil, newFault(CodeAgent, "Resources", "the agent is not the version expected")
	case !g.RulesCID.Equals(want.RulesCID):
		return nil, newFault(CodeRules, "Resources", "the policy set is not the one expected")
	}
	if err := g.checkTimes(want.Now); err != nil {
		return nil, err
	}
	return sealGrant(g, raw, sig)
}

// checkTimes says whether a message may be shown at now.
func (g *Grant) checkTimes(now time.Time) error {
	switch {
	case g.Issued.After(now.Add(Skew)):
		return newFault(CodeIssued, "Issued At", "it lies in the future")
	case g.Issued.Before(now.Add(-IssuedWithin - Skew)):
		return newFault(CodeIssued, "Issued At", "it is too long ago")
	case g.NotBefore.After(now.Add(Skew)):
		return newFault(CodeEarly, "Not Before", "this time has not come yet")
	case !now.Before(g.Expires):
		return newFault(CodeExpired, "Expiration Time", "it is over")
	}
	return nil
}

// Reread returns the grant in a signed message to one who expects nothing in particular: an auditor. Everything is
// checked that can be with the bytes alone: the text is read by both readers, the times are in order, the ReCap is
// canonical, its caveats are valid, the statement is the one generated from them, and the signature recovers to the
// account that the text names. Evidence has one form, so sig must be as [Grant.Sig] has it.
//
// It does not say that the grant was for the right server, or held at some time: compare [Grant]'s fields.
func Reread(raw, sig []byte) (*Grant, error) {
	m, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	g, err := rereadMessage(m, raw, sig)
	return g, m.addLine(err)
}

func rereadMessage(m *Message, raw, sig []byte) (*Grant, error) {
	if err := askSecondReader(m, raw); err != nil {
		return nil, err
	}
	g, err := readGrant(m)
	if err != nil {
		return nil, err
	}
	if len(sig) == SigSize && sig[64] < 27 {
		return nil, newFault(CodeSigV, "signature", "v is %d; in a record it is 27 or 28", sig[64])
	}
	return sealGrant(g, raw, sig)
}

// RereadAs is [Reread] of a message that was signed by the method given. For a contract wallet's method only the
// signature's form is checked: what the contract says is for its chain to tell, and the grant's [Grant.Question] is
// what to ask.
func RereadAs(method string, raw, sig []byte) (*Grant, error) {
	if method == MethodEOA {
		return Reread(raw, sig)
	}
	m, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	if err := askSecondReader(m, raw); err != nil {
		return nil, err
	}
	g, err := readGrant(m)
	if err != nil {
		return nil, err
	}
	g.Message, g.Sig, g.Method = slices.Clone(raw), slices.Clone(sig), method
	if err := g.Question().isOf(method); err != nil {
		return nil, err
	}
	return g, nil
}

// sealGrant checks the signature and completes the grant.
func sealGrant(g *Grant, raw, sig []byte) (*Grant, error) {
	canonical, err := signedBy(g.Account, textDigest(raw), sig)
	if err != nil {
		return nil, err
	}
	g.Message, g.Sig, g.Method = append([]byte(nil), raw...), canonical, MethodEOA
	return g, nil
}

// readGrant turns a message into a grant, which is not signed yet.
func readGrant(m *Message) (*Grant, error) {
	g := &Grant{
		Account: m.Address, Chain: m.Chain, Scheme: m.Scheme, Domain: m.Domain, URI: m.URI, Nonce: m.Nonce,
		Issued: m.IssuedAt.Time, NotBefore: m.IssuedAt.Time,
	}
	if m.NotBefore != nil {
		g.NotBefore = m.NotBefore.Time
	}
	if m.Expiration == nil {
		return nil, newFault(CodeExpiryMissing, "Expiration Time", "a grant must end; this one does not say when")
	}
	g.Expires = m.Expiration.Time
	switch {
	case isReservedAddress(m.Address):
		return nil, newFault(CodeAddressReserved, "address", "nobody can sign for it")
	case !isOrigin(m.Scheme, m.Domain):
		return nil, newFault(CodeDomain, "domain", "not the plain origin of a web page")
	case m.RequestID == nil || *m.RequestID == "":
		return nil, newFault(CodeRequestID, "Request ID", "it is missing")
	case !g.Expires.After(g.Issued) || !g.Expires.After(g.NotBefore):
		return nil, newFault(CodeTimeOrder, "Expiration Time", "it is not after Issued At and Not Before")
	case g.Expires.Sub(g.Issued) > MaxLife:
		return nil, newFault(CodeTimeLife, "Expiration Time", "a grant lives for at most %d hours", int(MaxLife/time.Hour))
	}
	g.RequestID = *m.RequestID
	var err error
	inRecap := m.URI == m.Scheme+"://"+m.Domain // where the session key is
	if !inRecap {
		if g.Key, err = ParsePublicKey(m.URI); err != nil {
			return nil, err
		}
	}
	uri, err := g.readResources(m.Resources)
	if err != nil {
		return nil, err
	}
	r, err := parseRecap(uri)
	if err != nil {
		return nil, err
	}
	g.Agent, g.Tools, g.Caveats = r.agent, r.tools, r.caveats
	switch {
	case inRecap && r.key.kind == "":
		return nil, newFault(CodeKeyForm, "key", "neither the URI nor the ReCap names a session key")
	case inRecap:
		g.Key = r.key
	case r.key.kind != "":
		return nil, newFault(CodeKeyForm, "ReCap", "it names a session key, and the URI does too")
	}
	if !slices.Contains(g.Caveats.Chains, g.Chain) {
		return nil, newFault(CodeChain, "Chain ID", "%d is not among the chains of the limits, %v", g.Chain, g.Caveats.Chains)
	}
	sentence := r.limitsSentence(g.Expires)
	if err := fitsSentence(sentence, g.Agent); err != nil {
		return nil, err
	}
	if m.Statement == nil || *m.Statement != r.wholeStatement(sentence) {
		return nil, newFault(CodeStatement, "statement", "it does not say what the ReCap grants")
	}
	return g, nil
}

// readResources reads the links to agent and rules and returns the ReCap's URI.
func (g *Grant) readResources(list []string) (recap string, err error) {
	n, last := 0, -1
	for i, r := range list {
		if strings.HasPrefix(r, recapPrefix) {
			n, last = n+1, i
		}
	}
	switch {
	case n == 0:
		return "", newFault(CodeRecapMissing, "Resources", "there is no ReCap")
	case n > 1:
		return "", newFault(CodeRecapCount, "Resources", "there are %d ReCaps", n)
	case last != len(list)-1:
		return "", newFault(CodeRecapPlace, "Resources", "the ReCap is not the last one")
	case len(list) != 3:
		return "", newFault(CodeResources, "Resources", "they must be the agent, the policy set and the ReCap")
	}
	if g.AgentCID, err = parseLink(list[0]); err != nil {
		return "", err
	}
	if g.RulesCID, err = parseLink(list[1]); err != nil {
		return "", err
	}
	return list[2], nil
}

// SessionKey returns the key that a message names, in its URI or, if that is the origin, in its ReCap. It checks
// nothing else: a server needs the key before it opens a message, so that who relays one cannot use it up.
func (m *Message) SessionKey() (PublicKey, error) {
	if m.URI != m.Scheme+"://"+m.Domain || len(m.Resources) == 0 {
		return ParsePublicKey(m.URI)
	}
	r, err := parseRecap(m.Resources[len(m.Resources)-1])
	if err != nil {
		return PublicKey{}, err
	}
	if r.key.kind == "" {
		return PublicKey{}, newFault(CodeKeyForm, "key", "neither the URI nor the ReCap names a session key")
	}
	return r.key, nil
}

// Rules returns the policy set that a message names, and checks nothing else.
func (m *Message) Rules() (cid.Cid, error) {
	if len(m.Resources) != 3 {
		return cid.Undef, newFault(CodeResources, "Resources", "they must be the agent, the policy set and the ReCap")
	}
	return parseLink(m.Resources[1])
}

const linkPrefix = "ipfs://"

func parseLink(s string) (cid.Cid, error) {
	text, ok := strings.CutPrefix(s, linkPrefix)
	c, err := cid.Decode(text)
	// Decode reads several spellings; String writes one.
	if !ok || err != nil || c.Version() != 1 || c.String() != text {
		return cid.Undef, newFault(CodeResources, "Resources", "not ipfs:// and a CIDv1 in base32")
	}
	return c, nil
}

// isOrigin says whether scheme and domain are as a browser writes the origin of a page: a lower-case host, with the
// port only if it is not the scheme's own; no userinfo, no dot at the end.
func isOrigin(scheme, domain string) bool {
	if scheme != "https" && scheme != "http" || strings.Contains(domain, "@") {
		return false
	}
	host, port, ok := splitAuthority(domain)
	if !ok || !isPort(port) || strings.HasSuffix(domain, ":") || strings.HasPrefix(port, "0") {
		return false
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return false
	}
	if strings.HasPrefix(domain, "[") {
		return host == strings.ToLower(host)
	}
	return isHost(host)
}
