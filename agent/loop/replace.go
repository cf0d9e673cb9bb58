package loop

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A transaction that no block takes, since it offers too little, is replaced by another with the same nonce and higher
// fees, or by one that only uses the nonce. Each is on record before it is sent, and any of them may be the one that a
// block takes: what is settled follows from the hash that the receipt names.

// An attempt is one transaction that was signed for a call.
type attempt struct {
	tools.Attempt
	payload *provenance.Payload
}

func readAttempt(p *provenance.Payload) (attempt, error) {
	raw, ok := p.Bytes()
	if !ok {
		return attempt{}, ErrSealed
	}
	a, err := tools.ReadAttempt(raw)
	return attempt{a, p}, err
}

// findAttempt returns which of a call's attempts has a hash, or -1.
func (c *call) findAttempt(hash string) int {
	return slices.IndexFunc(c.attempts, func(a attempt) bool { return a.Hash == hash })
}

// chooseMined takes the attempt of that hash for the one that is in a block. It says whether it cancels.
func (c *call) chooseMined(hash string) (cancels bool) {
	i := c.findAttempt(hash)
	if i < 0 {
		return false
	}
	c.signed = c.attempts[i].payload
	return c.attempts[i].Cancels
}

func (c *call) isCancelledBy(hash string) bool {
	i := c.findAttempt(hash)
	return i >= 0 && c.attempts[i].Cancels
}

// takeReplacement takes in another transaction for the same nonce, which is sent from now on.
func (t transaction) takeReplacement(output *provenance.Payload) error {
	c := t.c
	next, err := readAttempt(output)
	if err != nil {
		return fmt.Errorf("what replaces the transaction of %s: %w", c.ask.Tool, err)
	}
	if c.phase != provenance.PhaseSend || !c.waitsForFinal() || len(c.attempts) == 0 {
		return fmt.Errorf("%s waits for no transaction that could be replaced", c.ask.Tool)
	}
	first := c.attempts[0]
	switch {
	case next.Account != first.Account || next.Nonce != first.Nonce:
		return fmt.Errorf("what replaces the transaction of %s has another account or nonce", c.ask.Tool)
	case c.findAttempt(next.Hash) >= 0:
		return fmt.Errorf("the transaction of %s is replaced by one that was signed before", c.ask.Tool)
	case len(c.attempts) >= tools.MaxAttempts:
		return fmt.Errorf("the transaction of %s was replaced %d times", c.ask.Tool, len(c.attempts)-1)
	case c.isCancelling() && !next.Cancels:
		return fmt.Errorf("the transaction of %s is being cancelled, and is not sent again", c.ask.Tool)
	}
	c.attempts, c.signed, c.told = append(c.attempts, next), output, false
	t.followSigned(provenance.PhaseSend)
	return nil
}

// isCancelling says whether one of a call's attempts cancels it.
func (c *call) isCancelling() bool {
	return slices.ContainsFunc(c.attempts, func(a attempt) bool { return a.Cancels })
}

// takeStuck takes in that the newest transaction waits, and that nothing is done about it: a person has to look.
func (t transaction) takeStuck(out []byte) error {
	c := t.c
	var s tools.Stuck
	if err := json.Unmarshal(out, &s); err != nil || s.Why == "" {
		return fmt.Errorf("why the transaction of %s is stuck cannot be read", c.ask.Tool)
	}
	if n := len(c.attempts); c.phase != provenance.PhaseSend || !c.waitsForFinal() || n == 0 || c.told ||
		s.Hash != c.attempts[n-1].Hash {
		return fmt.Errorf("%s waits for no transaction %s that could be stuck", c.ask.Tool, s.Hash)
	}
	c.told = true
	t.followSigned(provenance.PhaseSend)
	return nil
}

// takeCancelled ends a call whose nonce a transaction has used that moves nothing.
func (t transaction) takeCancelled(mined *tools.Mined) error {
	w, c := t.w, t.c
	if c.phase == provenance.PhaseFinal {
		if err := mined.CheckFinal(c.tool.def.Finality()); err != nil {
			return t.takeUnclear(err)
		}
	}
	w.settleCall(c, false)
	w.noteTrouble(provenance.CloseFailed, fault.ToolFailed)
	told, err := json.Marshal(map[string]string{
		"code": "cancelled", "error": "The transaction was cancelled before a block took it: nothing has moved.",
	})
	if err != nil {
		return fmt.Errorf("outcome of %s: %w", c.ask.Tool, err)
	}
	return w.finishWithResult(c, provenance.StatusCancelled, told)
}

// Attempts returns the transactions that were signed for the call of an open effect, oldest first, and whether it is on
// record that the newest is stuck.
func (s State) Attempts(effect provenance.Ref) (list []tools.Attempt, told bool) {
	c := s.findOpenCall(effect)
	if c == nil {
		return nil, false
	}
	for _, a := range c.attempts {
		list = append(list, a.Attempt)
	}
	return list, c.told
}
