package modelcall

import "github.com/writ-run/writ/provenance"

// Asks are the open model calls of a turn: one, or two that are asked side by side.
type Asks struct {
	One    *Open
	Beside *Open // another one of the same turn; alone, one that was outrun and has not ended yet
	Hedged bool  // the turn has had two
}

// Any says whether a model call is open.
func (a *Asks) Any() bool { return a.One != nil || a.Beside != nil }

// List returns those that are open.
func (a *Asks) List() (open []*Open) {
	for _, o := range []*Open{a.One, a.Beside} {
		if o != nil {
			open = append(open, o)
		}
	}
	return open
}

// Find returns the open model call of an effect; nil if there is none.
func (a *Asks) Find(of provenance.Ref) *Open {
	for _, o := range a.List() {
		if o.Ref == of {
			return o
		}
	}
	return nil
}

// IsOutrun says whether an open model call is one whose turn another one has answered.
func (a *Asks) IsOutrun(of provenance.Ref) bool { return a.One == nil && a.Find(of) != nil }

// Answer takes out a model call that has answered the turn. What is beside it was outrun.
func (a *Asks) Answer(o *Open) {
	if a.Beside == o {
		a.Beside = a.One
	}
	a.One, a.Hedged = nil, false
}

// Drop takes out a model call that has ended without an answer, and says whether its turn has none yet.
func (a *Asks) Drop(o *Open) bool {
	if a.One == nil {
		a.Beside = nil
		return false
	}
	if a.One == o {
		a.One = a.Beside
	}
	a.Beside = nil
	return true
}
