package loop

import (
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// What is here keeps the run's past for the rules that look back. It follows from the steps, so it is not recorded.

// lookBack brings the past to the time of this step.
func (w *work) lookBack() {
	if w.s.Seq == 0 {
		w.s.past = w.m.layers.Past()
	}
	w.s.past = w.s.past.At(w.at)
}

// underWay says whether a call is being made. One that is simulated or waits for the wallet is not yet.
func underWay(phase string) bool {
	return phase == provenance.PhaseAct || phase == provenance.PhaseSign || phase == provenance.PhaseSend
}

// flying lists the calls under way, if any rule asks.
func (w *work) flying() (acts []policies.Act) {
	if !w.s.past.Asked() {
		return nil
	}
	for i := range w.s.calls {
		if c := &w.s.calls[i]; underWay(c.phase) {
			acts = append(acts, w.actOf(c))
		}
	}
	return acts
}

// remember adds a call to the past that has ended; ok is false if it is only not known that it did nothing.
func (w *work) remember(c *call, ok bool) {
	if !underWay(c.phase) || !w.s.past.Asked() {
		return
	}
	a := w.actOf(c)
	a.At, a.OK = w.at, ok
	w.s.past = w.s.past.With(a)
}

func (w *work) actOf(c *call) policies.Act {
	a := policies.Act{Tool: c.tool.spec.Name, Class: string(c.tool.spec.Class), Args: argsOf(c)}
	if c.tool.spec.Spend != nil {
		a.Amount, a.To = c.args.Amount, c.args.To
	}
	return a
}

func argsOf(c *call) []policies.Arg {
	args := make([]policies.Arg, len(c.args.Values))
	for i, v := range c.args.Values {
		args[i] = policies.Arg{
			Name: v.Name, Kind: policies.ArgKind(v.Kind), Set: v.Set,
			Text: v.Text, Int: v.Int, Bool: v.Bool, Addr: v.Addr, Amount: v.Amount,
		}
	}
	return args
}
