package audit

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// CodeContextModule is that of a result that the module, which its tool's record names, does not have.
const CodeContextModule provenance.Code = "context.module"

// CodeContextReconciled is that of a result that does not follow from what a second tool has said of the call.
const CodeContextReconciled provenance.Code = "context.reconciled"

// A Compute computes what the module of that CID has as the result of arguments, in the one spelling of JSON; out is
// nil if it has none. known is false if the verifier does not have the module, or it could not be computed here.
type Compute func(cid string, args []byte) (out []byte, known bool)

// A recomputing computes the results of modules again.
type recomputing struct {
	*auditor
	defs    map[provenance.Link]*tools.Def
	open    map[provenance.Ref]keyedCall
	same    int                       // that came out the same
	sealed  int                       // of which the arguments or the result is sealed
	missing map[string]map[string]int // by module and tool: results that were not computed again
}

// A keyedCall is a call with its idempotency key.
type keyedCall struct {
	*provenance.Call
	key [32]byte
}

// checkComputed computes every result of a module again, as far as the verifier has its file, and judges again what
// second tools have said of calls in doubt.
func checkComputed(a *auditor) {
	r := &recomputing{auditor: a, defs: map[provenance.Link]*tools.Def{}, open: map[provenance.Ref]keyedCall{},
		missing: map[string]map[string]int{}}
	if !r.compileTools() {
		return
	}
	if err := a.ev.Each(r.takeStep); err != nil {
		if err != errStop {
			a.rep.Fault(err)
		}
		return
	}
	for _, cid := range slices.Sorted(maps.Keys(r.missing)) {
		for _, name := range slices.Sorted(maps.Keys(r.missing[cid])) {
			a.rep.Unprove(fmt.Sprintf("that what %s returned (%d times) is what its module computes: it was not computed "+
				"again, which needs the file %s, by --module", name, r.missing[cid][name], cid))
		}
	}
	if r.sealed > 0 {
		a.rep.Unprove(fmt.Sprintf("that %d results are what modules compute: they or their arguments are sealed", r.sealed))
	}
	if c := a.rep.Status(provenance.CheckContext); r.same > 0 && c.Status == provenance.Pass {
		a.rep.Pass(c.Name, c.Count, fmt.Sprintf("%s; results of modules that were computed again and are the same: %d",
			questions[c.Name], r.same))
	}
}

// compileTools makes the tools whose results are looked at, and says whether there are any. A record that is no tool
// is for the replay to report.
func (r *recomputing) compileTools() bool {
	for link, rec := range r.ev.Tools {
		if rec.Definition == "" {
			continue
		}
		spec, err := definition.SpecOf(rec, r.ev.Books[rec.Book])
		if err != nil {
			continue
		}
		if def, err := tools.Compile(spec); err == nil && (def.Module() != "" || def.Reconciliation() != nil) {
			r.defs[link] = def
		}
	}
	return len(r.defs) > 0
}

func (r *recomputing) takeStep(at provenance.Link, s *provenance.Step) error {
	if res, ok := s.Event.(*provenance.Result); ok && r.open[res.Of].Call != nil {
		call := r.open[res.Of]
		delete(r.open, res.Of)
		if !r.compareResult(at, s.Seq, r.defs[call.Tool], call.Call, res) || !r.checkFound(at, s.Seq, call, res) {
			return errStop
		}
	}
	for i, e := range s.Does {
		if call, ok := e.(*provenance.Call); ok && r.defs[call.Tool] != nil {
			r.open[provenance.Ref{Seq: s.Seq, Index: uint64(i)}] = keyedCall{call, provenance.EffectKey(at, uint64(i))}
		}
	}
	return nil
}

// checkFound judges again what a second tool has said of a call, and says whether the result follows from it.
func (r *recomputing) checkFound(at provenance.Link, seq uint64, c keyedCall, res *provenance.Result) bool {
	why := r.defs[c.Tool].CheckFound(c.Args.Bytes, c.key, res.Status, res.Output.Bytes)
	if why != "" {
		r.failCheck(provenance.CheckContext, CodeContextReconciled, at, "step %d: the call %s", seq, why)
	}
	return why == ""
}

// compareResult computes one result again, and says whether there is nothing wrong with it.
func (r *recomputing) compareResult(at provenance.Link, seq uint64, def *tools.Def, call *provenance.Call,
	res *provenance.Result) bool {
	raw, open := call.Args.Bytes()
	was, shown := res.Output.Bytes()
	if def.Module() == "" || res.Status != provenance.StatusOK {
		return true
	}
	if !open || !shown {
		r.sealed++
		return true
	}
	args, err := def.Read(raw)
	if err != nil {
		return true // such a call is denied, which the replay says
	}
	var out []byte
	known := false
	if r.compute != nil {
		out, known = r.compute(def.Module(), args.JSON)
	}
	switch {
	case !known:
		names := r.missing[def.Module()]
		if names == nil {
			names = map[string]int{}
			r.missing[def.Module()] = names
		}
		names[def.Spec().Name]++
		return true
	case bytes.Equal(out, was):
		r.same++
		return true
	}
	what := "has another result of these arguments than the record"
	if out == nil {
		what = "has no result of these arguments, and the record has one"
	}
	r.failCheck(provenance.CheckContext, CodeContextModule, at, "step %d: the module %s of %s %s", seq, def.Module(),
		def.Spec().Name, what)
	return false
}
