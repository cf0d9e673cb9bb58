package audit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"
)

// CodeContextThread is that of a prompt that begins with something else than the runs before it in its thread say, or
// with runs that are not those.
const CodeContextThread provenance.Code = "context.thread"

// A threadJudge looks at the runs before the one that is judged.
type threadJudge struct{ *auditor }

// A past is a run of a thread: the one that is judged, or one before it.
type past struct {
	*auditor
	at     provenance.Link // its head
	after  provenance.Link // the head of the run before it; undefined of the first
	params []byte          // its request
	told   thread.Earlier
	turn   thread.Turn // what later runs are told of it
}

// readTurns judges the runs before this one, each by itself and in whole, back to the first that is not here or is
// sealed, and holds what each was told to what the runs before it say. It returns what this one was told. known is
// false if not all of that is here: then the prompts are judged by what was recorded, and the report says so.
func (a threadJudge) readTurns() (turns []thread.Turn, known bool, err error) {
	this, open, err := a.readPast(a.ev.HeadCID)
	if err != nil || !open || !this.after.Defined() {
		return nil, true, err // what is sealed is for the replay to say
	}
	chain := []past{this} // the newest first
	for gap := false; !gap && chain[len(chain)-1].after.Defined(); {
		if len(chain) == maxThread {
			break
		}
		p, open, err := a.judgePast(chain[len(chain)-1])
		if gap = errors.Is(err, provenance.ErrAbsent) || err == nil && !open; err != nil && !gap {
			return nil, false, err
		}
		if err == nil && open {
			chain = append(chain, p)
		}
	}
	unknown := 0
	for i := range chain {
		shown := int(chain[i].told.Shown)
		if missing := i + shown - (len(chain) - 1); missing > 0 {
			if i == 0 {
				a.rep.Unprove(fmt.Sprintf("the words of %d of the %d earlier turns that this run's prompts begin with, the "+
					"oldest: these runs of the thread are not here and open, so the prompts are judged by the digest on record",
					missing, shown))
			} else {
				unknown++
			}
			continue
		}
		told := make([]thread.Turn, shown)
		for k := range told {
			told[shown-1-k] = chain[i+1+k].turn
		}
		if chain[i].told.Place > 0 {
			if _, err := thread.Recall(chain[i].params, chain[i].told, told); err != nil {
				return nil, false, threadFault(chain[i].at, "%v", err)
			}
		}
		if i == 0 {
			turns, known = told, true
		}
	}
	if unknown > 0 {
		a.rep.Unprove(fmt.Sprintf("what %d runs of the thread were told of those before them: not all of these are here "+
			"and open", unknown))
	}
	return turns, known, nil
}

// maxThread bounds the runs of a thread that are judged with the newest.
const maxThread = 4096

// failThread notes what is wrong with the runs before.
func (a *auditor) failThread(err error) {
	if f, ok := errors.AsType[*provenance.Fault](err); ok && (f.Code == CodeContextThread ||
		strings.HasPrefix(string(f.Code), "fork.")) {
		a.rep.Fail(provenance.CheckContext, f)
		return
	}
	a.rep.Fault(err)
}

func threadFault(at provenance.Link, format string, args ...any) error {
	return &provenance.Fault{Code: CodeContextThread, At: at, Detail: "the run before: " + fmt.Sprintf(format, args...)}
}

// readPast reads what the run at hand was asked and told. open is false if it is sealed.
func (a threadJudge) readPast(head provenance.Link) (p past, open bool, err error) {
	p = past{auditor: a.auditor, at: head}
	var first provenance.Step
	if err := a.ev.Record(a.ev.StepCID(0), &first); err != nil {
		return p, false, err
	}
	ask, ok := first.Event.(*provenance.Ask)
	if !ok {
		return p, false, nil
	}
	if p.params, open = ask.Request.Bytes(); !open || ask.Earlier == nil {
		return p, open, nil
	}
	raw, open := ask.Earlier.Bytes()
	if !open {
		return p, false, nil
	}
	p.after = ask.After
	if p.told, err = thread.Read(ask.Method, raw); err != nil {
		err = threadFault(head, "%v", err)
	}
	return p, true, err
}

// judgePast judges the run before one, and that it is of the same wallet, agent and thread.
func (a threadJudge) judgePast(of past) (p past, open bool, err error) {
	head := of.after
	var h provenance.Head
	if err := a.ev.Record(head, &h); err != nil {
		return p, false, err
	}
	sub := &auditor{
		depth: a.depth, judged: a.judged, sets: a.sets, wallet: wallet{asking: a.wallet.asking}, isPast: true,
	}
	rep := judgeRun(nested{a.ev.Source(), head}, optionsBelow(a.auditor), sub)
	if rep.Refused() {
		return p, false, threadFault(head, "%s: %s", rep.Code, rep.Detail)
	}
	if sub.grant == nil || !sub.replayed.Closed {
		return p, false, nil
	}
	if p, open, err = (threadJudge{sub}).readPast(head); err != nil || !open {
		return p, open, err
	}
	was, is := threadOf(p.params), threadOf(of.params)
	switch {
	case sub.grant.Identity() != a.grant.Identity():
		return p, false, threadFault(head, "it is another wallet's")
	case sub.ev.Agent.Name != a.ev.Agent.Name:
		return p, false, threadFault(head, "it is one of the agent %q", sub.ev.Agent.Name)
	case was == "" || is == "":
		return p, false, threadFault(head, "nobody has asked for a thread")
	case p.told.Place+1 != of.told.Place:
		return p, false, threadFault(head, "it is number %d of its thread, and is told as number %d", p.told.Place+1,
			of.told.Place)
	case was != is:
		a.rep.Unprove("that the wallet meant a thread that an earlier run calls by another name: it may have renamed it")
	}
	p.auditor, p.turn = nil, sub.replayed.Turn()
	return p, true, nil
}

// threadOf returns the thread that a request names.
func threadOf(params []byte) string {
	var p wire.StartParams
	if wire.DecodeStrict(params, &p) != nil {
		return ""
	}
	return p.Thread
}
