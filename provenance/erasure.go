package provenance

import (
	"fmt"

	"github.com/ipfs/go-cid"
)

// Codes of erasures.
const (
	CodeLeafErasure Code = "leaf.erasure" // an erasure of a leaf that the history does not have, or twice of one
)

// Bounds of erasures: how many one head may name, and the leaves of one are those of a list.
const MaxErasures = 256

// An Erasure says that the operator has deleted the keys of leaves: their ciphertext may still be anywhere, and nobody
// can open it who did not have its key before. A [Head] that names it takes the place of the run's head before. No other
// CID changes.
type Erasure struct {
	At     int64  // ms UTC
	Why    string // short, in clear; optional
	Leaves []Link // raw, sorted by their bytes; at least one
}

func (*Erasure) kind() string { return "erasure/1" }

func (e *Erasure) fields(c *coder) {
	f := c.open()
	c.version(&f, e.kind())
	c.int(&f, "at", &e.At)
	c.optText(&f, "why", &e.Why)
	list(c, &f, "leaves", &e.Leaves, (*coder).cid)
	sorted(c, "leaves", e.Leaves, func(l *Link) string { return l.KeyString() })
	c.close(&f)
	if c.err != nil || c.mode == walking {
		return
	}
	if len(e.Leaves) == 0 {
		c.fail(CodeSchemaRange, "an erasure of nothing")
	}
	for _, l := range e.Leaves {
		if c.err == nil && codecOf(l) != cid.Raw {
			c.fail(CodeSchemaType, "a record cannot be erased, and %q names one", "leaves")
		}
	}
}

// LeafCounts says what is known of a history's leaves, each in one of the five.
type LeafCounts struct {
	Public    int `json:"public"`    // in clear
	Disclosed int `json:"disclosed"` // sealed, and opened with a key that the verifier brought
	Sealed    int `json:"sealed"`    // there, and no key was brought
	Erased    int `json:"erased"`    // the operator's signed head says that the key is deleted; none was brought
	Missing   int `json:"missing"`   // not there, and nothing says why
}

func (n LeafCounts) String() string {
	return fmt.Sprintf("%d public, %d disclosed, %d sealed, %d erased, %d missing",
		n.Public, n.Disclosed, n.Sealed, n.Erased, n.Missing)
}

// erasures reads those that the head names. It is called when all leaves have been seen.
func (v *verifier) erasures() error {
	at, seen := int64(0), map[Link]bool{}
	for _, l := range v.ev.Head.Erased {
		e := new(Erasure)
		if err := v.record(l, e); err != nil {
			return err
		}
		if e.At < at || e.At > v.ev.Head.At {
			v.fault(CodeHistoryClock, l, "an erasure is older than the one before it, or younger than the head")
		}
		at = e.At
		for _, leaf := range e.Leaves {
			_, away := v.away[leaf]
			_, here := v.find(leaf)
			if seen[leaf] || !here && !away && len(v.away) < maxWaiting {
				return &Fault{CodeLeafErasure, l, fmt.Sprintf("leaf %s is erased twice, or is none of this history", leaf)}
			}
			seen[leaf] = true
			if _, disclosed := v.keys[leaf]; disclosed {
				continue // by somebody who had kept the key
			}
			v.leaves.Erased++
			if here {
				v.leaves.Sealed--
			} else if away {
				delete(v.away, leaf)
			}
		}
	}
	v.leaves.Missing = len(v.away)
	return nil
}
