package agent

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// An answer is the event that an effect came to.
type answer struct {
	of    provenance.Ref
	ev    provenance.Event
	after func() // called once the step is durable, or could not be; nil for nothing
}

// perform begins every open effect that has not been begun. An approval is not begun: the wallet comes by itself.
func (a *actor) perform(ctx context.Context, wg *sync.WaitGroup) {
	for ref, e := range a.effects {
		if a.flying[ref] {
			continue
		}
		var do func(context.Context) answer
		switch e := e.(type) {
		case *provenance.AskModel:
			prompt := a.machine.Prompt(a.state, e.MaxTokens)
			salt, live := a.state.Salt(), a.machine.Live(a.state)
			do = func(ctx context.Context) answer { return a.askModel(ctx, ref, e, prompt, salt, live) }
		case *provenance.Call:
			// Whether an earlier process began it is not known; what must not be repeated is treated as begun.
			again := a.loaded && ref.Seq < a.info.Steps
			step := a.steps[ref.Seq]
			do = func(ctx context.Context) answer { return a.call(ctx, ref, step, e, again) }
			if a.machine.DelegateOf(e) != nil {
				do = func(ctx context.Context) answer { return a.delegate(ctx, ref, step, e) }
			}
		default:
			continue
		}
		a.flying[ref] = true
		head, wait := a.info.Head, a.needsLog(e)
		wg.Go(func() {
			if wait && !a.logged(ctx, head) {
				return // the Runner stops
			}
			ans := a.guarded(ctx, ref, do)
			ans.of = ref
			// What ended because the Runner stops did not fail: it is open, and is taken up by the next start.
			if ctx.Err() == nil {
				select {
				case a.answers <- ans:
					return
				case <-ctx.Done():
				}
			}
			if ans.after != nil {
				ans.after()
			}
		})
	}
	a.loaded = false
	for ref := range a.flying {
		if _, open := a.effects[ref]; !open {
			delete(a.flying, ref)
			delete(a.away, ref)
		}
	}
}

// guarded performs an effect. A model or a tool that panics must not end everybody's runs, nor this one's at each start
// anew: what it did is not known.
func (a *actor) guarded(ctx context.Context, ref provenance.Ref, do func(context.Context) answer) (ans answer) {
	defer func() {
		if p := recover(); p != nil {
			// Not what it says, which may quote a payload.
			a.r.log.ErrorContext(ctx, "panic in an effect", "run", a.info.ID, "seq", ref.Seq, "stack", string(debug.Stack()))
			ans = answer{ev: &provenance.Lapse{Of: &ref, Why: provenance.LapseInDoubt}}
		}
	}()
	return do(ctx)
}

// askModel asks the chosen model. A failure is an event like any other; the loop takes the next candidate.
func (a *actor) askModel(
	ctx context.Context, ref provenance.Ref, e *provenance.AskModel, prompt model.Prompt, salt [32]byte, live bool,
) answer {
	named, ok := a.r.models[e.Route.Model]
	if !ok {
		return answer{ev: &provenance.Reply{Of: ref, Failed: loop.FailedGone}}
	}
	// The run keeps the price and the label that it began with; a model that is another one by now does not answer.
	info, ok := a.machine.Model(e.Route.Model)
	if !ok || info.Provider != named.Info.Provider || info.Model != named.Info.Model || info.Kind != named.Info.Kind {
		return answer{ev: &provenance.Reply{Of: ref, Failed: loop.FailedGone}}
	}
	ctx, cancel := context.WithTimeout(ctx, a.r.cfg.ModelTimeout)
	defer cancel()
	begun := a.r.cfg.Now()
	var reply model.Reply
	var err error
	if s, ok := named.Model.(Streamer); ok && live {
		reply, err = s.Stream(ctx, prompt, func(text string) { a.r.delta(a.info.ID, text) })
	} else {
		reply, err = named.Model.Reply(ctx, prompt)
	}
	a.r.health(named.Info.Name, err == nil)
	if err != nil {
		a.r.log.WarnContext(ctx, "model failed", "run", a.info.ID, "model", e.Route.Model, "code", failure(err))
		return answer{ev: &provenance.Reply{Of: ref, Failed: failure(err)}}
	}
	if len(reply.Text) > provenance.MaxPayload || len(reply.Calls) > maxCalls {
		return answer{ev: &provenance.Reply{Of: ref, Failed: "too large"}}
	}
	mc := a.modelCall(info, reply, a.r.cfg.Now().Sub(begun))
	if len(reply.Request) > 0 { // salted, since all of a prompt but the user's words may be public
		mc.Request = sha256.Sum256(append(salt[:], reply.Request...))
	}
	return answer{ev: &provenance.Reply{Of: ref, Model: mc}}
}

// A model that failed this often in a row is passed over for so long, by every run.
const (
	failuresDown = 3
	downFor      = 30 * time.Second
)

// A pulse is the health of one model.
type pulse struct {
	failures int
	until    time.Time // passed over until then
}

func (r *Runner) health(model string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pulses[model]
	if ok {
		p = pulse{}
	} else if p.failures++; p.failures >= failuresDown {
		p.until = r.cfg.Now().Add(downFor)
	}
	r.pulses[model] = p
}

// down lists the models that are passed over now, sorted.
func (r *Runner) down() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	now := r.cfg.Now()
	for name, p := range r.pulses {
		if now.Before(p.until) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// failure is the short code of a model's error. The error's text may quote a prompt, so it is not recorded.
func failure(err error) string {
	var coded interface{ Code() string }
	switch {
	case errors.As(err, &coded):
		return name(coded.Code())
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	}
	return "error"
}

// maxCalls bounds the tool calls of one reply.
const maxCalls = 64

// name makes a provider's word fit for a record: valid UTF-8, at most 200 bytes.
func name(s string) string { return clip(strings.ToValidUTF8(s, "?"), 200) }

// modelCall is the record of a reply.
func (a *actor) modelCall(info model.Info, reply model.Reply, took time.Duration) *provenance.ModelCall {
	for _, n := range []*int64{&reply.Usage.In, &reply.Usage.Out, &reply.Usage.CachedIn} {
		*n = min(max(*n, 0), loop.MaxUsage)
	}
	mc := &provenance.ModelCall{
		Name: info.Name, Provider: info.Provider, Asked: info.Model, Answered: name(or(reply.Model, info.Model)),
		ID: name(reply.ID), Stop: name(or(reply.Stop, model.StopEnd)), TTFT: reply.TTFT, Took: took.Milliseconds(),
		Usage: provenance.Usage{
			In: uint64(reply.Usage.In), Out: uint64(reply.Usage.Out), Cached: uint64(reply.Usage.CachedIn),
		},
		Cost: info.Cost(reply.Usage),
	}
	if reply.Text != "" {
		mc.Text = provenance.NewPayload([]byte(reply.Text))
	}
	for _, c := range reply.Calls {
		args, err := tools.CanonicalJSON(c.Args)
		if err != nil { // recorded as it came; the gate refuses it
			args = c.Args
		}
		mc.Calls = append(mc.Calls, provenance.ToolAsk{ID: name(c.ID), Tool: name(c.Tool), Args: provenance.NewPayload(args)})
	}
	if len(reply.Response) > 0 && len(reply.Response) <= provenance.MaxPayload {
		mc.Response = provenance.NewPayload(reply.Response)
	}
	if reply.ID != "" && mc.Response != nil {
		mc.Evidence = 1
	}
	return mc
}

// EffectKey returns the idempotency key of an effect: SHA-256 over the step's CID and the effect's place in it. It is
// never made by a model, and no two effects share one.
func EffectKey(step provenance.Link, index uint64) [32]byte {
	b := append([]byte("writ/effect/1\n"), step.Bytes()...)
	return sha256.Sum256(binary.BigEndian.AppendUint64(b, index))
}

// call performs one phase of a tool call.
func (a *actor) call(ctx context.Context, ref provenance.Ref, step provenance.Link, e *provenance.Call, again bool) answer {
	begun := a.r.cfg.Now()
	result := func(status string, out []byte) answer {
		ev := &provenance.Result{Of: ref, Status: status, Took: a.r.cfg.Now().Sub(begun).Milliseconds()}
		if out != nil {
			ev.Output = provenance.NewPayload(out)
		}
		return answer{ev: ev}
	}
	acts := e.Phase == provenance.PhaseAct && tools.Class(e.Class) != tools.Read
	// What was to be done cannot be done here any more. An earlier process may have done it all the same.
	gone := func(code, message string) answer {
		if e.Phase == provenance.PhaseSend || acts && again {
			return answer{ev: &provenance.Lapse{Of: &ref, Why: provenance.LapseInDoubt}}
		}
		return result(provenance.StatusError, failureJSON(code, message))
	}
	name, args, err := a.machine.Arguments(e)
	if err != nil {
		return gone("arguments", "The arguments could not be read again.")
	}
	tool := a.r.impls[name]
	chain, _ := tool.(tools.Chain)
	// A transaction that is signed is seen through by any tool of that name on its chain: the bytes say all.
	same := a.r.tools[name] == e.Tool
	if e.Phase == provenance.PhaseSend {
		same = sameChain(chain, e.Signed)
	}
	if tool == nil || !same {
		return gone("tool_changed", "The tool "+name+" has changed since this run began; start a new run.")
	}
	in := tools.Input{Args: args, Key: EffectKey(step, ref.Index), Hosts: a.machine.Grant().Caveats.Hosts}
	timeout := a.r.cfg.ToolTimeout
	if e.Phase == provenance.PhaseSend {
		timeout = a.r.cfg.SendTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	var out []byte
	var after func()
	switch e.Phase {
	case provenance.PhaseSimulate:
		out, err = chain.Simulate(ctx, in)
	case provenance.PhaseSign:
		out, after, err = a.sign(ctx, chain, in)
	case provenance.PhaseSend:
		out, err = a.send(ctx, chain, e)
		if err != nil && !told(err) {
			if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return answer{ev: &provenance.Lapse{Of: &ref, Why: provenance.LapseInDoubt}}
			}
		}
	default:
		if again && tools.Class(e.Class) == tools.Once {
			rec, ok := tool.(tools.Reconciler)
			if !ok {
				return answer{ev: &provenance.Lapse{Of: &ref, Why: provenance.LapseInDoubt}}
			}
			var happened bool
			out, happened, err = rec.Reconcile(ctx, in)
			if err != nil {
				return answer{ev: &provenance.Lapse{Of: &ref, Why: provenance.LapseInDoubt}}
			}
			if happened {
				break
			}
		}
		out, err = tool.Call(ctx, in)
	}
	ans := result(provenance.StatusOK, out)
	var failed *tools.Error
	switch {
	case err == nil && len(out) > provenance.MaxPayload && acts: // it happened, whatever it has to say
		ans = result(provenance.StatusOK, failureJSON("too_large", "It was done; the tool returned more about it than can be recorded."))
	case err == nil && len(out) > provenance.MaxPayload:
		ans = result(provenance.StatusError, failureJSON("too_large", "The tool returned more than can be recorded; ask for less."))
	case err == nil:
	case errors.As(err, &failed):
		ans = result(provenance.StatusError, failureJSON(failed.Code, failed.Message))
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		ans = result(provenance.StatusTimeout, nil)
	default:
		a.r.log.WarnContext(ctx, "tool failed", "run", a.info.ID, "tool", name, "phase", e.Phase, "err", err)
		if acts { // an answer that got lost, perhaps: what it may have moved stays counted
			ans = result(provenance.StatusInDoubt, failureJSON("in_doubt", "It is not known whether "+name+" was done; do not repeat it."))
			break
		}
		ans = result(provenance.StatusError, failureJSON("failed", "The tool "+name+" failed; try again later."))
	}
	ans.after = after
	return ans
}

// sameChain says whether a tool sends on the chain for which a transaction was signed.
func sameChain(tool tools.Chain, signed *provenance.Payload) bool {
	raw, _ := signed.Bytes()
	var s tools.Signed
	if tool == nil || json.Unmarshal(raw, &s) != nil {
		return false
	}
	chainOf := func(account string) string { return account[:strings.LastIndexByte(account, ':')+1] }
	return chainOf(s.Account) == chainOf(tool.Account())
}

func told(err error) bool {
	var t *tools.Error
	return errors.As(err, &t)
}

func failureJSON(code, message string) []byte {
	b, err := json.Marshal(map[string]string{"code": code, "error": message})
	if err != nil { // strings marshal
		return []byte(`{"error":"failed"}`)
	}
	return b
}

// sign makes the transaction while it holds the account, so that two runs do not take one nonce. after lets go.
func (a *actor) sign(ctx context.Context, chain tools.Chain, in tools.Input) (out []byte, after func(), err error) {
	account := chain.Account()
	a.r.mu.Lock()
	mu := a.r.accounts[account]
	if mu == nil {
		mu = new(sync.Mutex)
		a.r.accounts[account] = mu
	}
	a.r.mu.Unlock()
	mu.Lock()
	defer func() {
		if after == nil { // an error, or a panic
			mu.Unlock()
		}
	}()
	floor, err := a.r.cfg.Store.NextNonce(ctx, account)
	if err != nil {
		return nil, nil, err
	}
	s, err := chain.Sign(ctx, in, floor)
	if err != nil {
		return nil, nil, err
	}
	if out, err = json.Marshal(s); err != nil {
		return nil, nil, err
	}
	return out, mu.Unlock, nil
}

// send broadcasts the journalled bytes until there is a receipt. Sending them again is harmless, so every failure
// that the tool does not explain is tried again until the time is up; then it is in doubt.
func (a *actor) send(ctx context.Context, chain tools.Chain, e *provenance.Call) ([]byte, error) {
	raw, ok := e.Signed.Bytes()
	if !ok {
		return nil, errors.New("the signed transaction is sealed")
	}
	var s tools.Signed
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	pause := 100 * time.Millisecond
	for {
		out, err := chain.Send(ctx, s)
		if err == nil || told(err) {
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

// nonceOf returns the transaction nonce that a step takes: that of a signing which leads to a broadcast. One that is
// signed and then left alone takes none, or the account would wait for it for ever.
func (a *actor) nonceOf(ev provenance.Event, does []provenance.Effect) *TxNonce {
	if !slices.ContainsFunc(does, func(e provenance.Effect) bool {
		c, ok := e.(*provenance.Call)
		return ok && c.Phase == provenance.PhaseSend
	}) {
		return nil
	}
	r, ok := ev.(*provenance.Result)
	if !ok || r.Status != provenance.StatusOK {
		return nil
	}
	c, ok := a.effects[r.Of].(*provenance.Call)
	if !ok || c.Phase != provenance.PhaseSign {
		return nil
	}
	raw, _ := r.Output.Bytes()
	var s tools.Signed
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	return &TxNonce{Account: s.Account, Nonce: s.Nonce}
}
