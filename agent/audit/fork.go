package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"
)

// Codes of a run that goes on from a step of another one.
const (
	CodeForkStep   provenance.Code = "fork.step"   // from another step than was signed for, or from what is no step
	CodeForkOther  provenance.Code = "fork.other"  // from a run of another wallet or agent
	CodeForkShared provenance.Code = "fork.shared" // the steps that are shared do not hold
	CodeForkTold   provenance.Code = "fork.told"   // its model was told something else than these steps say
)

// A forkJudge looks at the steps that a fork shares with the run that it goes on from.
type forkJudge struct{ *auditor }

// readFork says whether the run is a fork, and returns the request of it.
func (a forkJudge) readFork() (ask *provenance.Ask, is bool, err error) {
	var first provenance.Step
	if err := a.ev.Record(a.ev.StepCID(0), &first); err != nil {
		return nil, false, err
	}
	ask, is = first.Event.(*provenance.Ask)
	return ask, is && ask.Method == wire.RunFork, nil
}

// readShared judges the shared steps in whole, as a run of their own up to there, and holds what the fork was told to
// what they say. shared is nil if not all of it is here and open: then the prompts are judged by what was recorded, and
// the report says so.
func (a forkJudge) readShared(ask *provenance.Ask) (shared *thread.Shared, err error) {
	params, open := ask.Request.Bytes()
	raw, open2 := ask.Earlier.Bytes()
	if !open || !open2 {
		return nil, nil // what is sealed is for the replay to say
	}
	_, step, err := wire.ReadAsk(ask.Method, params)
	if err != nil || step != ask.After.String() {
		return nil, a.fault(CodeForkStep, "the wallet asked for a fork of the step %s", step)
	}
	told, err := thread.Read(ask.Method, raw)
	if err != nil {
		return nil, a.fault(CodeForkTold, "%v", err)
	}
	if a.forks >= thread.MaxForks {
		return nil, a.fault(CodeForkStep, "forks are more than %d deep", thread.MaxForks)
	}
	sub, err := a.judgeShared(ask.After)
	if errors.Is(err, provenance.ErrAbsent) || err == nil && sub == nil {
		a.rep.Unprove("the words that this run shares with the one that it was forked from: its steps are not here and " +
			"open, so the prompts are judged by the digest on record")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	is, known := sub.replayed.Share()
	switch {
	case sub.grant.Identity() != a.grant.Identity():
		return nil, a.fault(CodeForkOther, "it is of a run of another wallet")
	case sub.ev.Agent.Name != a.ev.Agent.Name || len(sub.ev.Delegations) > 0:
		return nil, a.fault(CodeForkOther, "it is of a run of the agent %q", sub.ev.Agent.Name)
	case !known:
		a.rep.Unprove("the words of runs before the one that this run was forked from: they are not here and open, so " +
			"the prompts are judged by the digest on record")
		return nil, nil
	}
	if _, err := thread.RecallFork(params, told, is); err != nil {
		return nil, a.fault(CodeForkTold, "%v", err)
	}
	return &is, nil
}

func (a forkJudge) fault(code provenance.Code, format string, args ...any) error {
	return &provenance.Fault{Code: code, At: a.ev.StepCID(0), Detail: "the fork: " + fmt.Sprintf(format, args...)}
}

// judgeShared judges a run up to a step. It is nil if its permission is sealed, or a text that decides.
func (a forkJudge) judgeShared(at provenance.Link) (*auditor, error) {
	var last provenance.Step
	if err := a.ev.Record(at, &last); errors.Is(err, provenance.ErrAbsent) {
		return nil, err
	} else if err != nil {
		return nil, a.fault(CodeForkStep, "%v", err)
	}
	src, err := upTo(a.ev.Source(), at, &last)
	if err != nil {
		return nil, err
	}
	sub := &auditor{
		depth: a.depth, judged: a.judged, sets: a.sets, wallet: wallet{asking: a.wallet.asking}, forks: a.forks + 1,
		isShared: true,
	}
	rep := judgeRun(src, optionsBelow(a.auditor), sub)
	switch {
	case rep.Refused():
		return nil, a.fault(CodeForkShared, "%s: %s", rep.Code, rep.Detail)
	case sub.grant == nil, sub.replayed.Seq != last.Seq+1:
		return nil, nil
	}
	if rep.Status(provenance.CheckDecisions).Status != provenance.Pass {
		a.rep.Unprove("that all that was decided in the shared steps was right: some of it could not be recomputed")
	}
	return sub, nil
}

// A partOf source is a history up to a step, in the blocks of another. It has a head that nobody has signed: the fork
// that names the step is under one that is.
type partOf struct {
	provenance.Source
	head provenance.Block
}

func upTo(s provenance.Source, at provenance.Link, last *provenance.Step) (*partOf, error) {
	head, err := provenance.Encode(&provenance.Head{
		Run: last.Run, Seq: last.Seq, Step: at, At: last.At, Key: make([]byte, ed25519.PublicKeySize),
	})
	return &partOf{s, head}, err
}

func (p *partOf) Root() provenance.Link { return p.head.CID }

func (p *partOf) Get(l provenance.Link) ([]byte, error) {
	if l == p.head.CID {
		return p.head.Data, nil
	}
	return p.Source.Get(l)
}
