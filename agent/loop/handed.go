package loop

import (
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/provenance"
)

// The hard stops of a run are for the run and all agents that it calls. A call of an agent is given a share of what is
// left, and that much is nobody else's until the agent has answered: what it did not use is left again. So the runs of
// a tree never do more together than the one at its root may, however many of them run at once.

// handOn returns what a call of an agent hands on to the run that it opens. Its label is that of the arguments and of
// all that the caller's model has been given, since nobody can tell which of it the words carry.
func (mo *moment) handOn(c *call) *provenance.Handed {
	return &provenance.Handed{
		Own: c.order >= 0, Limits: mo.shareFor(c), Label: definition.LabelPayload(c.label.Join(mo.s.context)),
	}
}

// handedOut returns the sum of what open calls of agents have been given.
func (mo *moment) handedOut() (sum provenance.Limits) {
	for i := range mo.s.calls {
		if c := &mo.s.calls[i]; c.handed != nil && c.phase != "" {
			l := c.handed.Limits
			sum.Turns, sum.Calls = sum.Turns+l.Turns, sum.Calls+l.Calls
			sum.Tokens, sum.Cost = sum.Tokens+l.Tokens, sum.Cost+l.Cost
		}
	}
	return sum
}

// shareFor returns the share of the run's hard stops for one call of an agent: what is left, in equal parts for all
// calls of agents of the turn that are still to be made. One turn is the caller's own, to say what came of it.
func (mo *moment) shareFor(c *call) provenance.Limits {
	calls, agents := uint64(0), int64(1)
	for i := range mo.s.calls {
		o := &mo.s.calls[i]
		if o == c || o.outcome != "" || o.handed != nil {
			continue
		}
		if !o.counted {
			calls++ // of its own
		}
		if t := mo.m.tools[o.ask.Tool]; t != nil && t.delegate != nil {
			agents++
		}
	}
	l, sums, out := mo.m.limits, &mo.s.totals, mo.handedOut()
	return provenance.Limits{
		Turns:  divideUp(less(l.Turns, sums.Turns, out.Turns, 1), uint64(agents)),
		Calls:  divideUp(less(l.Calls, sums.Calls, out.Calls, calls), uint64(agents)),
		Tokens: divideUp(max(l.Tokens-int64(sums.In+sums.Out)-out.Tokens, 0), agents),
		Cost:   divideUp(max(l.Cost-sums.Cost-out.Cost, 0), agents),
		Wall:   max(mo.end()-mo.at, 0),
	}
}

// countHandedInFull counts all that a call of an agent was given: what became of its run is not known.
func (mo *moment) countHandedInFull(c *call) {
	if c.handed == nil {
		return
	}
	l, sums := c.handed.Limits, &mo.s.totals
	sums.Turns, mo.s.subTurns = sums.Turns+l.Turns, mo.s.subTurns+l.Turns
	sums.Calls, sums.Cost, sums.In = sums.Calls+l.Calls, sums.Cost+l.Cost, sums.In+uint64(l.Tokens)
}

// less returns n without each of the others, and not below nothing.
func less(n uint64, others ...uint64) uint64 {
	for _, o := range others {
		n -= min(n, o)
	}
	return n
}

// divideUp returns the first of d parts of n: parts that are not equal begin with the larger ones.
func divideUp[N int64 | uint64](n, d N) N {
	if n == 0 {
		return 0
	}
	return (n-1)/d + 1
}

// hasOneTurn says whether a sub-agent has been given one turn.
func (m *Machine) hasOneTurn() bool {
	n := len(m.authority.Chain)
	return n > 0 && m.authority.Chain[n-1].Limits.Turns <= 1
}
