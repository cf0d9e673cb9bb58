package runner

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/internal/chainwatch"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A toolCall is one phase of a call of a tool.
type toolCall struct {
	*effect
	call        *provenance.Call
	again       bool   // an earlier process may have begun it
	seen        []byte // what its simulation showed
	decided     int64  // ms UTC, the time of the step that holds it
	block, hash string // number and hash of the block that its transaction was last seen in

	attempts []tools.Attempt // that were signed for it, oldest first
	told     bool            // it is on record that the newest is stuck
	inBook   error           // why it cannot wait for its wallet

	begun time.Time
	name  string
	tool  tools.Tool
	chain tools.Chain // the tool, if it is one
	input tools.Input
}

// An outcome is what a tool has said.
type outcome struct {
	out     []byte
	err     error
	inDoubt bool   // nothing can be said of it: the call may have happened
	after   func() // see answer
}

// perform does the call.
func (c *toolCall) perform(ctx context.Context) answer {
	c.begun = c.runs.cfg.Now()
	if code, message := c.findTool(); code != "" {
		// It cannot be done here any more. An earlier process may have done it all the same.
		if c.call.Phase == provenance.PhaseSend || c.call.Phase == provenance.PhaseFinal || c.isAct() && c.again {
			return c.inDoubt()
		}
		return c.makeResult(provenance.StatusError, failureJSON(code, message))
	}
	if c.isFollowed() {
		return c.beginFollowing(ctx)
	}
	timeout := c.runs.cfg.ToolTimeout
	switch {
	case c.call.Phase == provenance.PhaseSend:
		timeout = c.runs.cfg.SendTimeout
	case c.call.Phase == provenance.PhaseSign && tools.Class(c.call.Class) == tools.WalletTx:
		timeout = walletTime
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o := c.performPhase(ctx)
	if o.inDoubt {
		return c.inDoubt()
	}
	ans := c.resultOf(ctx, o)
	ans.after = o.after
	// An error after the call was cancelled is taken for the tool's own words only if it is not tried again.
	ans.said = o.err == nil || isExplained(o.err) && isOnceAct(c.call)
	return ans
}

// findTool finds the tool and reads its arguments again. If that is not possible it says why, for the agent's model.
func (c *toolCall) findTool() (code, message string) {
	name, args, err := c.machine.Arguments(c.call)
	if err != nil {
		return "arguments", "The arguments could not be read again."
	}
	c.name, c.tool = name, c.runs.catalog.implementations[name]
	c.chain, _ = c.tool.(tools.Chain)
	same := c.runs.catalog.tools[name] == c.call.Tool
	if c.call.Phase == provenance.PhaseSend || c.call.Phase == provenance.PhaseFinal {
		// A transaction that is signed is seen through by any tool of that name on its chain: the bytes say all.
		same = isSameChain(c.chain, c.call.Signed)
	}
	if c.tool == nil || !same {
		return "tool_changed", "The tool " + name + " has changed since this run began; start a new run."
	}
	c.input = tools.Input{
		Args: args, Key: provenance.EffectKey(c.step, c.ref.Index), Hosts: c.machine.Grant().Caveats.Hosts,
		Foreseen: c.seen, At: c.decided, Again: c.again,
		Asker: tools.Asker{
			Wallet: c.run.Owner(), Session: c.run.Session.String(), Agent: c.run.Agent, Step: c.ref.Seq, Index: c.ref.Index,
		},
	}
	if c.tool.Spec().Class.Sends() {
		c.input.Wallet = c.machine.Grant().WalletOn(c.tool.Spec().Book.Chain)
	}
	return "", ""
}

// isAct says whether the call changes anything outside.
func (c *toolCall) isAct() bool {
	return c.call.Phase == provenance.PhaseAct && tools.Class(c.call.Class) != tools.Read
}

func (c *toolCall) performPhase(ctx context.Context) (o outcome) {
	switch c.call.Phase {
	case provenance.PhaseSimulate:
		o.out, o.err = c.chain.Simulate(ctx, c.input)
	case provenance.PhaseSign:
		if _, ok := c.tool.(tools.Payer); ok {
			return c.awaitWallet(ctx)
		}
		o.out, o.after, o.err = c.signTransaction(ctx)
	case provenance.PhaseSend:
		o.out, o.err = c.sendUntilMined(ctx)
		// Not if the Runner stops: then it is taken up by the next start.
		o.inDoubt = o.err != nil && !isExplained(o.err) && !errors.Is(ctx.Err(), context.Canceled)
	default:
		if c.again && tools.Class(c.call.Class) == tools.Once {
			return c.reconcileCall(ctx)
		}
		o.out, o.err = c.tool.Call(ctx, c.input)
	}
	return o
}

// reconcileCall asks a tool whether a call that must not be repeated has happened, and makes it if it has not.
func (c *toolCall) reconcileCall(ctx context.Context) outcome {
	rec, ok := c.tool.(tools.Reconciler)
	if !ok {
		return outcome{inDoubt: true}
	}
	out, happened, err := rec.Reconcile(ctx, c.input)
	if err != nil {
		_, told := errors.AsType[*tools.FoundError](err)
		return outcome{err: err, inDoubt: !told}
	}
	if !happened {
		c.input.Again, c.input.Found = false, out
		out, err = c.tool.Call(ctx, c.input)
	}
	return outcome{out: out, err: err}
}

// resultOf makes the event of what the tool has said.
func (c *toolCall) resultOf(ctx context.Context, o outcome) answer {
	var failed *tools.Error
	switch {
	case o.err == nil && len(o.out) <= provenance.MaxPayload:
		return c.makeResult(provenance.StatusOK, o.out)
	case o.err == nil && c.isAct(): // the act happened, whatever its answer is
		return c.makeResult(provenance.StatusOK,
			failureJSON("too_large", "It was done; the tool returned more about it than can be recorded."))
	case o.err == nil:
		return c.makeResult(provenance.StatusError,
			failureJSON("too_large", "The tool returned more than can be recorded; ask for less."))
	case errors.As(o.err, &failed):
		c.noteFailure(ctx, failed.Code, o.err)
		return c.makeResult(provenance.StatusError, tools.AddFinding(failureJSON(failed.Code, failed.Message), o.err))
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		c.noteFailure(ctx, "", ctx.Err())
		return c.makeResult(provenance.StatusTimeout, nil)
	}
	c.noteFailure(ctx, "failed", o.err)
	if c.isAct() { // the answer may be lost: what the act may have moved stays counted
		return c.makeResult(provenance.StatusInDoubt,
			tools.AddFinding(failureJSON("in_doubt", "It is not known whether "+c.name+" was done; do not repeat it."), o.err))
	}
	return c.makeResult(provenance.StatusError, failureJSON("failed", "The tool "+c.name+" failed; try again later."))
}

// noteFailure tells the log and the counts whose it is that a call did not work. What the other side said of a failure
// that is the request's is not told: it may quote what was asked.
func (c *toolCall) noteFailure(ctx context.Context, told string, err error) {
	spec := c.tool.Spec()
	at := definition.EdgeOf(&spec)
	code := fault.OfTool(at, told)
	level, says := slog.LevelWarn, fault.Clean(err.Error(), string(c.input.Args.JSON))
	if whose := code.Whose(); whose == fault.Request || whose == fault.User {
		level, says = slog.LevelInfo, ""
	}
	c.runs.log.Log(ctx, level, "tool failed", "run", c.run.ID, "tool", c.name, "phase", c.call.Phase, "code", code,
		"whose", code.Whose(), "told", told, "says", says)
	c.runs.cfg.Failed(at, code)
}

func (c *toolCall) makeResult(status string, out []byte) answer {
	ev := &provenance.Result{Of: c.ref, Status: status, Took: c.runs.cfg.Now().Sub(c.begun).Milliseconds()}
	if out != nil {
		ev.Output = provenance.NewPayload(out)
	}
	return answer{ev: ev}
}

// signTransaction makes the transaction while no other run signs with the account; after unlocks the account.
func (c *toolCall) signTransaction(ctx context.Context) (out []byte, after func(), err error) {
	account := c.chain.Account()
	unlock := c.runs.accounts.Lock(account)
	defer func() {
		if after == nil { // an error, or a panic
			unlock()
		}
	}()
	floor, err := c.runs.cfg.Store.NextNonce(ctx, account)
	if err != nil {
		return nil, nil, err
	}
	s, err := c.chain.Sign(ctx, c.input, floor)
	if err != nil {
		return nil, nil, err
	}
	if out, err = json.Marshal(s); err != nil {
		return nil, nil, err
	}
	return out, unlock, nil
}

// sendUntilMined broadcasts the journalled bytes until there is a receipt. Sending them again is harmless, so every
// failure that the tool does not explain is tried again until the time is up; then it is in doubt.
func (c *toolCall) sendUntilMined(ctx context.Context) ([]byte, error) {
	raw, ok := c.call.Signed.Bytes()
	if !ok {
		return nil, errors.New("the signed transaction is sealed")
	}
	var s tools.Signed
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	pause := 100 * time.Millisecond
	for {
		out, err := c.chain.Send(ctx, s)
		if err == nil || isExplained(err) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
			pause = min(2*pause, 5*time.Second)
		}
	}
}

// isSameChain says whether a tool sends on the chain for which a transaction was signed.
func isSameChain(tool tools.Chain, signed *provenance.Payload) bool {
	raw, _ := signed.Bytes()
	var s tools.Signed
	if tool == nil || json.Unmarshal(raw, &s) != nil {
		return false
	}
	chainOf := func(account string) string { return account[:strings.LastIndexByte(account, ':')+1] }
	return chainOf(s.Account) == chainOf(tool.Account())
}

// isExplained says whether the tool itself says what went wrong.
func isExplained(err error) bool {
	_, ok := errors.AsType[*tools.Error](err)
	return ok
}

// isFollowed says whether a phase is waited for by looking, not by a goroutine of its own.
func (c *toolCall) isFollowed() bool {
	p := c.call.Phase
	return (p == provenance.PhaseSend || p == provenance.PhaseFinal) && !c.machine.FinalityOf(c.call).IsInstant()
}

// beginFollowing has the transaction looked at. The answer comes later, by itself.
func (c *toolCall) beginFollowing(ctx context.Context) answer {
	follower, ok := c.chain.(tools.Follower)
	if !ok || len(c.attempts) == 0 {
		c.runs.log.WarnContext(ctx, "transaction cannot be followed", "run", c.run.ID, "tool", c.name)
		return c.inDoubt()
	}
	err := c.runs.watch.Follow(chainwatch.Order{
		Run: c.run.ID, Effect: c.ref, Tool: follower, Rule: c.machine.FinalityOf(c.call), Phase: c.call.Phase,
		Begun: c.begun, Block: c.block, Hash: c.hash, Attempts: c.attempts, Told: c.told,
	})
	if err != nil {
		return answer{cut: true}
	}
	return answer{}
}
