package audit

import (
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
)

// followEpochs trusts the logs that go on from those that the verifier trusts, by the statements that it has.
func (l *logCheck) followEpochs() (err error) {
	if len(l.o.Epochs) > 0 && len(l.policy.Logs) > 0 {
		l.policy.Logs, l.epochs, err = logproof.FollowEpochs(l.policy.Logs, l.o.Epochs)
	}
	return err
}

// checkEpochs checks that the log of the head begins with what the statements of its epochs say that it kept. The proof
// of that is the log's; if that was not given, the statements' words are repeated as such.
func (l *logCheck) checkEpochs() error {
	if len(l.epochs) == 0 {
		return nil
	}
	for _, k := range l.policy.Logs { // the logs whose keys the verifier has come first
		var ok bool
		if l.way, ok = logproof.FindWay(l.epochs, k.Origin(), l.seen.Origin); ok {
			break
		}
	}
	for i, e := range l.way {
		if l.way[i:].Kept() < e.Size {
			continue // a later epoch lost some of it
		}
		kept := logproof.Checkpoint{Origin: l.seen.Origin, Size: e.Size, Root: e.Root}
		unasked, err := checkOneLog(l.seen, kept, l.o)
		if f, found := errors.AsType[*provenance.Fault](err); found && f.Code == logproof.CodeLogConsistency {
			return provenance.Faultf(logproof.CodeLogEpoch, "epoch %d of the log does not begin with the %d entries that "+
				"its statement says it kept", e.N, e.Size)
		} else if err != nil {
			return err
		}
		l.unkept = l.unkept || unasked != ""
	}
	return nil
}

// describeEpochs adds to the report what the statements say.
func (l *logCheck) describeEpochs() (note string) {
	for _, e := range l.way {
		note += fmt.Sprintf("; epoch %d goes on from %d entries of %s, as that one's key says (%s)", e.N, e.Size, e.Log,
			e.Why)
		for _, c := range e.Seen {
			l.rep.Unprove(fmt.Sprintf("what the log lost when its epoch %d began: a state of %d entries is named, and %d "+
				"were kept", e.N, c.Size, e.Size))
		}
	}
	for i, e := range l.epochs {
		twin := func(o logproof.Epoch) bool { return o.Log == e.Log && o.Next != e.Next }
		if slices.ContainsFunc(l.epochs[:i], twin) {
			l.rep.Unprove(fmt.Sprintf("that %s goes on as one log: its key has signed two statements", e.Log))
		}
	}
	if l.unkept {
		note += "; that it kept them was not shown, since the log was not given"
	}
	return note
}

// carryCheckpoint returns a checkpoint of a log that ended as one of the log that goes on, or says why not.
func (l *logCheck) carryCheckpoint(c logproof.Checkpoint) (logproof.Checkpoint, string) {
	way, ok := logproof.FindWay(l.epochs, c.Origin, l.seen.Origin)
	switch {
	case !ok:
		return c, "" // they are found to be of two logs
	case c.Size > way.Kept():
		return c, fmt.Sprintf("it has %d entries of a log that ended, and the one that goes on kept %d", c.Size, way.Kept())
	}
	c.Origin = l.seen.Origin
	return c, ""
}
