package auth

import (
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
)

// An Offer is what the server puts before a wallet to sign. Every field is mandatory but Tools.
type Offer struct {
	Scheme    string // of the page that asks: "https" or "http"
	Domain    string // its host as in the browser's origin, with the port unless it is the scheme's own
	Account   common.Address
	Chain     uint64 // EIP-155 id; one of Caveats.Chains
	Key       PublicKey
	Nonce     string // 8 to 128 letters and digits
	RequestID string
	Agent     string // 1 to 32 lower-case letters, digits and hyphens, a letter first
	AgentCID  cid.Cid
	RulesCID  cid.Cid
	Tools     []string // in any order
	Caveats   Caveats  // lists in any order
	Issued    time.Time
	Expires   time.Time // at most MaxLife after Issued
	// OriginURI writes the origin into the message's URI, as some wallet kits force it, and the session key into the
	// ReCap, with its fingerprint in the sentence. False writes the key into the URI.
	OriginURI bool
}

// Build returns the one message of an offer. Times are cut to whole seconds. The message passes [Parse] and siwe-go,
// and what [Reread] says of it, once it is signed, is what the offer says. An error is a [*Fault] that names the
// first field that is wrong.
func Build(o Offer) ([]byte, error) {
	raw, _, err := buildMessage(o)
	return raw, err
}

// buildMessage is Build, and the grant that was read in the message; it is not signed yet.
func buildMessage(o Offer) ([]byte, *Grant, error) {
	r := recap{agent: o.Agent, tools: slices.Sorted(slices.Values(o.Tools)), caveats: o.Caveats.sortedCopy()}
	if err := r.validate(); err != nil {
		return nil, nil, err
	}
	if err := r.caveats.Validate(); err != nil {
		return nil, nil, err
	}
	if !o.AgentCID.Defined() || !o.RulesCID.Defined() {
		return nil, nil, newFault(CodeResources, "Resources", "the agent or the policy set has no CID")
	}
	uri := o.Key.String()
	if o.OriginURI {
		uri, r.key = o.Scheme+"://"+o.Domain, o.Key
	}
	expires := o.Expires.UTC().Truncate(time.Second)
	statement := r.wholeStatement(r.limitsSentence(expires))
	m := Message{
		Scheme: o.Scheme, Domain: o.Domain, Address: o.Account, Statement: &statement, URI: uri,
		Chain: o.Chain, Nonce: o.Nonce, RequestID: &o.RequestID,
		IssuedAt: stampOf(o.Issued), Expiration: pointerTo(stampOf(expires)), NotBefore: pointerTo(stampOf(o.Issued)),
		Resources: []string{linkPrefix + o.AgentCID.String(), linkPrefix + o.RulesCID.String(), r.encodeURI()},
	}
	raw := []byte(m.String())
	// Read it back: no field may say more than it should, such as a nonce with a line break in it.
	back, err := Parse(raw)
	if err != nil {
		return nil, nil, err
	}
	if err := askSecondReader(back, raw); err != nil {
		return nil, nil, err
	}
	g, err := readGrant(back)
	if err != nil {
		return nil, nil, err
	}
	return raw, g, nil
}

func stampOf(t time.Time) Stamp {
	t = t.UTC().Truncate(time.Second)
	return Stamp{t.Format(time.RFC3339), t}
}

func pointerTo[T any](v T) *T { return &v }
