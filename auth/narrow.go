package auth

import (
	"crypto/ed25519"
	"slices"

	"github.com/writ-run/writ/policies/money"
)

// Sorted returns the caveats with every list in its order, as they must be to be valid.
func (c Caveats) Sorted() Caveats { return c.sortedCopy() }

// JSON returns the caveats in canonical JSON, as a ReCap has them: what a delegation records. c must be valid.
func (c Caveats) JSON() string {
	w := recapCoder{writing: true}
	w.codeLiteral(`{`)
	w.codeCaveats(&c)
	w.codeLiteral(`}`)
	return string(w.b)
}

// ParseCaveats reads what [Caveats.JSON] writes, and no other spelling of it. The error is a [*Fault].
func ParseCaveats(text string) (Caveats, error) {
	var c Caveats
	if len(text) > MaxMessage {
		return Caveats{}, newFault(CodeSize, "caveats", "longer than %d bytes", MaxMessage)
	}
	r := recapCoder{b: []byte(text)}
	r.codeLiteral(`{`)
	r.codeCaveats(&c)
	r.codeLiteral(`}`)
	if r.err == nil && len(r.b) > 0 {
		r.failOnce(CodeRecapJSON, "something follows the JSON")
	}
	if r.err != nil {
		return Caveats{}, r.err
	}
	if err := c.validate(); err != nil {
		return Caveats{}, err
	}
	return c, nil
}

// Narrow returns what both c and outer allow: what one who has outer may give to another that is to have c. Sub-agents
// are one level fewer than outer has. Both must be valid; the result is [Caveats.Within] outer and c. The error is a
// [*Fault] that names the caveat of which nothing is left, or says that outer has no level of sub-agents.
func (c Caveats) Narrow(outer Caveats) (Caveats, error) {
	nothing := func(name string) (Caveats, error) {
		return Caveats{}, newFault(CodeCaveats, name,
			"nothing of what the sub-agent is to have is within what its caller has")
	}
	if outer.MaxDepth == 0 {
		return Caveats{}, newFault(CodeCaveats, "max_depth", "no sub-agent may be called")
	}
	out := Caveats{
		MaxCalls: min(c.MaxCalls, outer.MaxCalls), MaxTokens: min(c.MaxTokens, outer.MaxTokens),
		MaxCostNanoUSD: min(c.MaxCostNanoUSD, outer.MaxCostNanoUSD), MaxDepth: min(c.MaxDepth, outer.MaxDepth-1),
		ApproveIfTainted: c.ApproveIfTainted || outer.ApproveIfTainted,
	}
	for i, total := range c.MaxTotal {
		at := slices.IndexFunc(outer.MaxTotal, func(a money.Amount) bool { return a.Asset() == total.Asset() })
		if at < 0 {
			continue
		}
		total = lesserAmount(total, outer.MaxTotal[at])
		out.MaxTotal = append(out.MaxTotal, total)
		out.MaxPerCall = append(out.MaxPerCall, lesserAmount(total, lesserAmount(c.MaxPerCall[i], outer.MaxPerCall[at])))
		out.ApproveAbove = append(out.ApproveAbove, lesserAmount(c.ApproveAbove[i], outer.ApproveAbove[at]))
	}
	var ok bool
	if out.Chains, ok = intersectLists(c.Chains, outer.Chains); !ok || len(out.Chains) == 0 {
		return nothing("chains")
	}
	if out.Recipients, ok = intersectLists(c.Recipients, outer.Recipients); !ok {
		return nothing("recipients")
	}
	if out.Hosts, ok = intersectLists(c.Hosts, outer.Hosts); !ok {
		return nothing("hosts")
	}
	if out.Things, ok = intersectLists(c.Things, outer.Things); !ok {
		return nothing("things")
	}
	if out.From, ok = c.intersectSources(&outer); !ok {
		return nothing("from")
	}
	if out.Models, ok = intersectLists(c.Models, outer.Models); !ok {
		return nothing("models")
	}
	return out, nil
}

func lesserAmount(a, b money.Amount) money.Amount {
	if exceeds(a, b) {
		return b
	}
	return a
}

// intersectLists returns what stands in both lists, of which an empty one stands for everything. ok is false if nothing
// does.
func intersectLists[T comparable](a, b []T) (both []T, ok bool) {
	switch {
	case len(a) == 0:
		return slices.Clone(b), true
	case len(b) == 0:
		return slices.Clone(a), true
	}
	for _, v := range a {
		if slices.Contains(b, v) {
			both = append(both, v)
		}
	}
	return both, len(both) > 0
}

// Ed25519Key returns an Ed25519 public key as a session key is written. It fails if pub is not a proper one.
func Ed25519Key(pub ed25519.PublicKey) (PublicKey, error) {
	if len(pub) != ed25519.PublicKeySize || isWeakPoint(pub) {
		return PublicKey{}, newFault(CodeKeyForm, "key", "it is not a proper Ed25519 key")
	}
	k := PublicKey{kind: Ed25519}
	copy(k.raw[:], pub)
	return k, nil
}

// Verify checks a signature of 64 bytes over message, which must begin with a context of its own so that it is nothing
// else that the key signs. The error is a [*Fault].
func (k PublicKey) Verify(message, sig []byte) error { return k.verifySignature(message, sig) }
