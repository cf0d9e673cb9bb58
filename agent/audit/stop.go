package audit

import (
	"time"

	"github.com/writ-run/writ/provenance"
)

// stopGrace is how much later than the text that takes a call back a step of the run below may be dated and have been
// made durable before it: steps are dated before they are committed, and the two runs are written side by side.
const stopGrace = time.Minute

// stops are the times, in ms UTC, at which a run's user has taken back what calls of sub-agents were made for.
type stops map[provenance.Ref]int64

// note takes in the calls that a step takes back. What is taken back once stays so.
func (s *stops) note(calls []provenance.Ref, at int64) {
	for _, ref := range calls {
		if *s == nil {
			*s = stops{}
		}
		if _, before := (*s)[ref]; !before {
			(*s)[ref] = at
		}
	}
}

// endOf says when a call was taken back, or all that its own run is for, which was at above; 0 if neither was.
func (s stops) endOf(call provenance.Ref, above int64) int64 {
	if at, ok := s[call]; ok && (above == 0 || at < above) {
		return at
	}
	return above
}

// checkStopped says whether a step begins nothing after the user has taken back what the run was opened for.
func (r *replay) checkStopped(c provenance.Link, s *provenance.Step) bool {
	if r.stopped == 0 || s.At <= r.stopped+stopGrace.Milliseconds() {
		return true
	}
	for _, e := range s.Does {
		if begins(e) {
			r.failCheck(provenance.CheckCover, CodeDelegationStopped, c,
				"step %d begins something %s after the user had taken back what this run was called for", s.Seq,
				time.Duration(s.At-r.stopped)*time.Millisecond)
			return false
		}
	}
	return true
}

// begins says whether an effect is something new that is reserved for.
func begins(e provenance.Effect) bool {
	switch e := e.(type) {
	case *provenance.AskModel:
		return true
	case *provenance.Call:
		return e.Phase == provenance.PhaseAct || e.Phase == provenance.PhaseSign
	}
	return false
}
