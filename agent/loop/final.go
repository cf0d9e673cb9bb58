package loop

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A chain may take a block back. A tool that says when a block is final (tools.Spec.Final) is therefore done in two
// phases after the signature: send ends when the transaction is in a block, which is provisional, and final when that
// block counts for good. Only then is anything settled: if the block goes, the same bytes are sent again, and what was
// reserved stays so. The run's own time stands still meanwhile.

// maxSends bounds how often the bytes of one call are sent because blocks that they were in have gone.
const maxSends = 64

// A transaction is the call of one, in a step.
type transaction struct {
	w *work
	c *call
}

// waitsForFinal says whether the tool of a call has finality.
func (c *call) waitsForFinal() bool { return c.tool != nil && c.tool.spec.Final != "" }

// isOut says whether a call's transaction is with the chain, which will say what becomes of it.
func (c *call) isOut() bool {
	return c.waitsForFinal() && (c.phase == provenance.PhaseSend || c.phase == provenance.PhaseFinal)
}

// isBroadcast says whether a transaction may be broadcast, so that it cannot be taken back.
func (c *call) isBroadcast() bool {
	return c.phase == provenance.PhaseSend || c.phase == provenance.PhaseFinal
}

// followSigned begins a phase of a signed transaction.
func (t transaction) followSigned(phase string) {
	w, c := t.w, t.c
	if c.phase = phase; phase == provenance.PhaseSend {
		c.sends++
	}
	call := w.room.newCall()
	*call = provenance.Call{
		Of: c.of, Tool: c.tool.link, Args: c.ask.Args, Class: string(c.tool.spec.Class), Phase: phase, Signed: c.signed,
		Decisions: []provenance.Decision{},
	}
	c.wait = w.addEffect(call)
}

// takeIncluded takes in the receipt of a transaction that is in a block, and waits until that block is final.
func (t transaction) takeIncluded(out []byte) error {
	c := t.c
	mined, err := tools.ReadBlock(out)
	if err == nil && !c.chooseMined(mined.Hash) {
		_, _, err = tools.ReadMined(out, c.args)
	}
	if err != nil {
		return t.takeUnclear(err)
	}
	c.block, c.blockHash = mined.Block, mined.BlockHash
	t.followSigned(provenance.PhaseFinal)
	return nil
}

// takePending takes in that a transaction is not at its end, and what is done next.
func (t transaction) takePending(output *provenance.Payload, out []byte) error {
	var seen struct {
		State string `json:"state"`
	}
	if err := json.Unmarshal(out, &seen); err != nil {
		return fmt.Errorf("what is pending of %s cannot be read", t.c.ask.Tool)
	}
	switch seen.State {
	case tools.StateReplaced:
		return t.takeReplacement(output)
	case tools.StateStuck:
		return t.takeStuck(out)
	}
	return t.takeReturn(out)
}

// takeReturn takes in that the block which a transaction was in has gone: the same bytes are sent again.
func (t transaction) takeReturn(out []byte) error {
	c := t.c
	var r tools.Return
	err := json.Unmarshal(out, &r)
	if err != nil || r.State != tools.StateReturned || c.phase != provenance.PhaseFinal {
		return fmt.Errorf("what is pending of %s is no block that has gone", c.ask.Tool)
	}
	if r.BlockHash != c.blockHash {
		return fmt.Errorf("block %s has gone, and %s was in %s", r.BlockHash, c.ask.Tool, c.blockHash)
	}
	if c.sends >= maxSends {
		return t.takeUnclear(fmt.Errorf("the chain has replaced its block %d times", c.sends))
	}
	c.block, c.blockHash = "", ""
	if n := len(c.attempts); n > 0 { // the newest attempt outbids the older ones
		c.signed = c.attempts[n-1].payload
	}
	t.followSigned(provenance.PhaseSend)
	return nil
}

// takeUnclear ends a call that may have happened, and how much of it nobody knows: all that is reserved counts.
func (t transaction) takeUnclear(why error) error {
	w, c := t.w, t.c
	w.rememberCall(c, false)
	w.endUnknown(c, true)
	w.noteTrouble(provenance.CloseFailed, fault.ChainUnavailable)
	w.s.inDoubt = true
	says := "It is not known what this has moved: " + why.Error() + ". Do not repeat it."
	told, err := json.Marshal(map[string]string{"in_doubt": says})
	if err != nil {
		return fmt.Errorf("outcome of %s: %w", c.ask.Tool, err)
	}
	return w.finishWithResult(c, provenance.StatusInDoubt, told)
}

// noteMined has what was paid told with the run's answer, if no model will speak of it any more.
func (t transaction) noteMined(mined tools.Mined) {
	w, c := t.w, t.c
	if c.waitsForFinal() && (w.s.ending != "" || w.isSessionOver()) {
		w.s.notes = append(w.s.notes, fmt.Sprintf("%s to %s: %s left the account and %s arrived (block %s, final).",
			c.tool.spec.Name, c.args.To.Hex(), c.moved.Debit, c.moved.Credit, mined.Block))
	}
}

// countWait keeps the time that transactions are out, or a question waits for the user, which is not the run's.
func (mo *moment) countWait() {
	out := false
	for i := range mo.s.calls {
		out = out || mo.s.calls[i].isOut() || mo.s.calls[i].phase == provenance.PhaseAsk
	}
	if out && mo.s.outSince == 0 {
		mo.s.outSince = mo.at
	} else if !out && mo.s.outSince != 0 {
		mo.s.waited, mo.s.outSince = mo.s.waited+mo.at-mo.s.outSince, 0
	}
}

// end is when the run has taken as long as it may.
func (mo *moment) end() int64 { return mo.s.Opened + mo.m.limits.Wall + mo.s.waited }

// End is when a run has taken as long as it may, in ms UTC. It has no end while a transaction is with the chain, or a
// question with the user.
func (m *Machine) End(s State) int64 {
	if s.outSince != 0 {
		return math.MaxInt64
	}
	return s.Opened + m.limits.Wall + s.waited
}

// Included returns the block by number and hash that the transaction of a call with an open effect was last seen in.
func (s State) Included(effect provenance.Ref) (block, hash string) {
	if c := s.findOpenCall(effect); c != nil {
		return c.block, c.blockHash
	}
	return "", ""
}

// FinalityOf returns when a block is final for a call, by the record of its tool.
func (m *Machine) FinalityOf(c *provenance.Call) tools.Finality {
	if t := m.toolAt(c.Tool); t != nil {
		return t.def.Finality()
	}
	return tools.Finality{}
}
