package provenance

import (
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

// Codes of erasures.
const (
	CodeLeafErasure  Code = "leaf.erasure"  // an erasure of a leaf that the history does not have, or twice of one
	CodeLeafReopened Code = "leaf.reopened" // a leaf that its record calls erased was opened with a key all the same
)

// Bounds of erasures: how many one head may name, and the leaves of one are those of a list.
const MaxErasures = 256

// An Erasure says that the operator has deleted the keys of leaves: their ciphertext may still be anywhere, and nobody
// can open it who did not have its key before. A [Head] that names it takes the place of the run's head before. No
// other CID changes.
type Erasure struct {
	At     int64  // ms UTC
	Why    string // short, in clear; optional
	Leaves []Link // raw, sorted by their bytes; at least one
}

func (*Erasure) versionName() string { return "erasure/1" }

func (e *Erasure) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, e.versionName())
	c.intField(&f, "at", &e.At)
	c.optionalText(&f, "why", &e.Why)
	listField(c, &f, "leaves", &e.Leaves, (*coder).CodeLink)
	requireSorted(c, "leaves", e.Leaves, func(l *Link) string { return l.KeyString() })
	c.closeMap(&f)
	if c.Err != nil || c.Mode == dagcbor.Walking {
		return
	}
	if len(e.Leaves) == 0 {
		c.failWith(CodeSchemaRange, "an erasure of nothing")
	}
	for _, l := range e.Leaves {
		if c.Err == nil && codecOf(l) != cid.Raw {
			c.failWith(CodeSchemaType, "a record cannot be erased, and %q names one", "leaves")
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
	// Reopened are those of Disclosed that the operator's signed head calls erased: somebody has kept the key, or the
	// operator has not deleted it.
	Reopened int `json:"reopened,omitempty"`
}

func (n LeafCounts) String() string {
	s := fmt.Sprintf("%d public, %d disclosed, %d sealed, %d erased, %d missing",
		n.Public, n.Disclosed, n.Sealed, n.Erased, n.Missing)
	if n.Reopened > 0 {
		s += fmt.Sprintf("; of the disclosed the record calls %d erased", n.Reopened)
	}
	return s
}

// checkErasures reads those that the head names. It is called when all leaves have been seen.
func (v *verifier) checkErasures() error {
	at, seen := int64(0), map[Link]bool{}
	for _, l := range v.ev.Head.Erased {
		e := new(Erasure)
		if err := v.readRecord(l, e); err != nil {
			return err
		}
		if e.At < at || e.At > v.ev.Head.At {
			v.noteFault(CodeHistoryClock, l, "an erasure is older than the one before it, or younger than the head")
		}
		at = e.At
		for _, leaf := range e.Leaves {
			_, away := v.away[keyOf(leaf)]
			_, here := v.findBlock(leaf)
			if seen[leaf] || !here && !away && len(v.away) < maxWaiting {
				return &Fault{CodeLeafErasure, l,
					fmt.Sprintf("leaf %s is erased twice, or is none of this history", leaf)}
			}
			seen[leaf] = true
			if again := v.erased[leaf]; again {
				continue // by the head of another history, which shares it
			}
			v.erased[leaf] = true
			if _, disclosed := v.keys[leaf]; disclosed && here { // somebody had kept the key and disclosed it
				v.leaves.Reopened++
				continue
			}
			v.leaves.Erased++
			if here {
				v.leaves.Sealed--
			} else if away {
				delete(v.away, keyOf(leaf))
			}
		}
	}
	return nil
}
