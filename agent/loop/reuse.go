package loop

import (
	"crypto/sha256"
	"encoding/json"
	"errors"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies/turn"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// errReused says that an answer of another run stands where none may, or with tokens or bytes of its own.
var errReused = errors.New("the answer of another run must not be given here")

// A Reuse says of the open model call of a run whether another run's answer may be its own, and its answer another's.
type Reuse struct {
	m *Machine
	s State
}

// ReuseOf looks at the open model call of s.
func ReuseOf(m *Machine, s State) Reuse { return Reuse{m, s} }

// Key returns what the open model call of s shares with every other that may have its answer: the session, and
// with it the wallet, the agent and the rules that it signed; the model; the prompt with its tools and the results that
// they had, in which a read of a chain names its block; and the label of the context. It is false if the model must be
// asked: by a run of a sub-agent, for a request that may act, and after a call of what does not only read.
func (r Reuse) Key() (key [32]byte, ok bool) {
	if !r.isAllowed() {
		return key, false
	}
	m, s := r.m, r.s
	b, err := json.Marshal(struct {
		V, Session string
		Model      model.Info
		Prompt     model.Prompt
		Label      any
	}{"writ/reuse/1", m.session.String(), s.asks.One.Model, m.Prompt(s, s.asks.One.MaxTokens), s.context})
	return sha256.Sum256(b), err == nil
}

func (r Reuse) isAllowed() bool {
	m, s := r.m, r.s
	if s.asks.One == nil || s.folded != nil || s.asks.One.Model.Kind != model.KindModel || len(m.authority.Chain) > 0 {
		return false
	}
	for _, msg := range s.talk.Messages {
		for _, c := range msg.Calls {
			if !r.isRead(c.Tool) {
				return false
			}
		}
	}
	acts := readRequest(m, s.request).Writes
	return !acts
}

// isRead says whether a tool only reads.
func (r Reuse) isRead(name string) bool {
	t := r.m.tools[name]
	return t != nil && t.spec.Class == tools.Read && t.delegate == nil
}

// MayServe says whether what answered the open model call of s may be given to another run: a whole answer that calls
// nothing which acts, and none of a run that was itself given one of another.
func (r Reuse) MayServe(mc *provenance.ModelCall) bool {
	return !r.s.reused && r.isAllowed() && r.isWithoutAct(mc)
}

func (r Reuse) isWithoutAct(mc *provenance.ModelCall) bool {
	for _, c := range mc.Calls {
		if !r.isRead(c.Tool) {
			return false
		}
	}
	return mc.Stop == model.StopEnd || mc.Stop == model.StopTools
}

// readRequest reads a request by the grammar of the tools that are offered.
func readRequest(m *Machine, request string) (f turn.Facts) {
	offered := make([]route.Offered, 0, len(m.offered))
	for _, t := range m.offered {
		acts := m.tools[t.Name].spec.Class != tools.Read
		offered = append(offered, route.Offered{Name: t.Name, Utterances: t.Utterances, Acts: acts})
	}
	route.ReadRequest(&f, m.grammar(), offered, request)
	return f
}

// checkReused checks that an answer of another run may stand here. That it is that run's is for an auditor who has it.
func (mo *moment) checkReused(ev *provenance.Reply) error {
	if ev.From == nil {
		return nil
	}
	mc := ev.Model
	isBare := mc.Usage == provenance.Usage{} && mc.Cost == 0 && mc.ID == "" && mc.Response == nil
	r := ReuseOf(mo.m, mo.s)
	if !isBare || mc.Request != [32]byte{} || !r.isAllowed() || !r.isWithoutAct(mc) {
		return errReused
	}
	mo.s.reused = true
	return nil
}
