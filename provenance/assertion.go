package provenance

import (
	"bytes"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

// MaxAssertions is how many assertions one head may name.
const MaxAssertions = 256

// What an [Assertion] can say came of a call.
const (
	AssertedDone   = "done"
	AssertedFailed = "failed"
)

// An Assertion is the word of the operator's wallet on what came of a call of which the history does not say whether
// it happened. It proves who says so and when, and nothing of what was done. The signature is EIP-712, type Assertion,
// over all of it. A [Head] that names it takes the place of the run's head before; no other CID changes.
type Assertion struct {
	As     string   // AssertedDone or AssertedFailed
	At     int64    // ms UTC, a whole second
	By     [20]byte // the operator's wallet
	Of     Ref      // the call
	Tx     [32]byte // hash of a transaction, as evidence; zero for none
	Run    Link     // *Run
	Sig    []byte   // 65 bytes for an EOA
	Why    string   // short, in clear; optional
	Step   Link     // *Step that the call is an effect of
	Asked  *AskedAt // where the wallet's contract accepted Sig; nil for "eoa"
	Chain  uint64   // EIP-155 id that the wallet signed for
	Method string   // how Sig is verified: "eoa", or "eip1271" or "eip6492" if the wallet is a contract
}

func (*Assertion) versionName() string { return "assertion/1" }

func (a *Assertion) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, a.versionName())
	c.choiceField(&f, "as", &a.As, AssertedDone, AssertedFailed)
	c.intField(&f, "at", &a.At)
	by := bytes.Clone(a.By[:])
	c.bytesField(&f, "by", &by)
	a.Of.codeRef(c, &f, "of")
	c.optionalBytes32(&f, "tx", &a.Tx)
	c.linkField(&f, "run", &a.Run)
	c.bytesField(&f, "sig", &a.Sig)
	c.optionalText(&f, "why", &a.Why)
	c.linkField(&f, "step", &a.Step)
	optionalRecord(c, &f, "asked", &a.Asked, (*AskedAt).codeFields)
	c.uintField(&f, "chain", &a.Chain)
	c.textField(&f, "method", &a.Method)
	c.closeMap(&f)
	if c.Err != nil || c.Mode == dagcbor.Walking {
		return
	}
	if a.Asked != nil && a.Method == "eoa" {
		c.failWith(CodeSchemaMissing, "method eoa: no chain is asked about a key's signature")
	}
	if len(by) != len(a.By) {
		c.failWith(CodeSchemaRange, "an operator's address of %d bytes instead of 20", len(by))
	}
	if a.At < 0 || a.At%1000 != 0 {
		c.failWith(CodeSchemaRange, "an assertion at %d ms, which is no whole second", a.At)
	}
	a.By = [20]byte(append(by, make([]byte, 20)...)[:20])
}

// LeavesDoubt says whether an answer to a call leaves it open what came of it; nil stands for none. Of a transaction
// whose receipt came and could not be read it does not know.
func LeavesDoubt(c *Call, answer Event) bool {
	if !MayAct(c) {
		return false
	}
	switch a := answer.(type) {
	case nil:
		return true
	case *Lapse:
		return true
	case *Result:
		switch a.Status {
		case StatusOK, StatusPending:
			return false
		case StatusError:
			return c.Phase == PhaseFinal
		}
		return true
	}
	return false
}

// MayAct says whether a call changes something outside: a look, a simulation and a signature do not.
func MayAct(c *Call) bool {
	return c.Class != "read" && c.Phase != PhaseSimulate && c.Phase != PhaseSign
}

// readAssertions reads those that the head names. What they are of is for agent/audit to judge.
func (v *verifier) readAssertions() error {
	at := int64(0)
	for _, l := range v.ev.Head.Asserted {
		a := new(Assertion)
		if err := v.readRecord(l, a); err != nil {
			return err
		}
		if a.At < at || a.At > v.ev.Head.At {
			v.noteFault(CodeHistoryClock, l, "an assertion is older than the one before it, or younger than the head")
		}
		at = a.At
		v.ev.Assertions = append(v.ev.Assertions, Asserted{CID: l, Assertion: a})
	}
	return nil
}

// An Asserted is an assertion that the head names.
type Asserted struct {
	CID Link
	*Assertion
}

// AnsweredBy returns the effect that an event answers. It is false if it answers none.
func AnsweredBy(e Event) (of Ref, ok bool) {
	kind, of := effectAnswered(e)
	return of, kind != 0
}
