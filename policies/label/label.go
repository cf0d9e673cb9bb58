// Package label says of data how far it can be trusted, who may see it, and where it came from.
//
// A [Label] is carried by everything that flows through a run. [Label.Join] is the label of what is made of two
// things: as little trusted as the less trusted, as secret as the more secret, from both. It only ever goes one way;
// there is no operation that makes data more trusted or less secret. The model is that of FIDES (Costa et al.,
// "Securing AI Agents with Information-Flow Control", arXiv 2505.23643).
package label

import (
	"fmt"
	"slices"
)

// An Integrity says on whose word something is. The order is by falling trust.
type Integrity uint8

// The levels. Untrusted is whatever a stranger could have written.
const (
	Operator  Integrity = iota // instructions, tools' descriptions, rules
	User                       // the request that the session key signed
	Tool                       // what a tool vouches for, such as a balance of a pinned token
	Untrusted                  // web pages, documents, names on a chain
)

// A Secrecy says who may see something. The order is by rising secrecy.
type Secrecy uint8

// The levels.
const (
	Public  Secrecy = iota
	Session         // the user and whatever the user works with
	Wallet          // private to the wallet: another reader needs its approval
	Secret          // the operator's or a third party's; no approval of the wallet gives it away
)

var (
	integrities = [...]string{"operator", "user", "tool", "untrusted"}
	secrecies   = [...]string{"public", "session", "wallet", "secret"}
)

// Integrities lists the names of the levels, by falling trust.
func Integrities() []string { return slices.Clone(integrities[:]) }

// Secrecies lists the names of the levels, by rising secrecy.
func Secrecies() []string { return slices.Clone(secrecies[:]) }

func (i Integrity) String() string { return integrities[min(int(i), len(integrities)-1)] }
func (s Secrecy) String() string   { return secrecies[min(int(s), len(secrecies)-1)] }

// ParseIntegrity reads a level's name.
func ParseIntegrity(s string) (Integrity, error) {
	i := slices.Index(integrities[:], s)
	if i < 0 {
		return Untrusted, fmt.Errorf("integrity is operator, user, tool or untrusted, not %q", s)
	}
	return Integrity(i), nil
}

// ParseSecrecy reads a level's name.
func ParseSecrecy(s string) (Secrecy, error) {
	i := slices.Index(secrecies[:], s)
	if i < 0 {
		return Secret, fmt.Errorf("secrecy is public, session, wallet or secret, not %q", s)
	}
	return Secrecy(i), nil
}

// MarshalText writes the level's name.
func (i Integrity) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// MarshalText writes the level's name.
func (s Secrecy) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the level's name.
func (i *Integrity) UnmarshalText(b []byte) (err error) {
	*i, err = ParseIntegrity(string(b))
	return err
}

// UnmarshalText reads the level's name.
func (s *Secrecy) UnmarshalText(b []byte) (err error) {
	*s, err = ParseSecrecy(string(b))
	return err
}

// A Label describes data. The zero Label is that of public words of the operator, and changes nothing in a join.
type Label struct {
	Integrity Integrity `json:"integrity"`
	Secrecy   Secrecy   `json:"secrecy"`
	// Origins name where it came from, sorted, at most MaxOrigins: "web:HOST", "doc:SOURCE", "tool:NAME".
	Origins []string `json:"origins,omitempty"`
}

// MaxOrigins bounds the origins of one label. When there are more, the last says [More].
const MaxOrigins = 32

// More stands for the origins that a label has no room for. No origin sorts behind it.
const More = "~more"

// Join returns the label of what is made of both. It shares nothing with either that could change.
func (l Label) Join(m Label) Label {
	out := Label{Integrity: max(l.Integrity, m.Integrity), Secrecy: max(l.Secrecy, m.Secrecy), Origins: l.Origins}
	for _, o := range m.Origins {
		at, there := slices.BinarySearch(out.Origins, o)
		if there {
			continue
		}
		out.Origins = slices.Insert(slices.Clone(out.Origins), at, o)
	}
	if len(out.Origins) > MaxOrigins {
		out.Origins = append(slices.Clone(out.Origins[:MaxOrigins-1]), More)
	}
	return out
}

// Equal says whether both labels are the same.
func (l Label) Equal(m Label) bool {
	return l.Integrity == m.Integrity && l.Secrecy == m.Secrecy && slices.Equal(l.Origins, m.Origins)
}

// From says whether it came, perhaps among others, from the origin. A label whose origins are not all known says yes:
// a rule against an origin must not be passed by naming many others.
func (l Label) From(origin string) bool {
	_, there := slices.BinarySearch(l.Origins, origin)
	return there || len(l.Origins) > 0 && l.Origins[len(l.Origins)-1] == More
}
