package runner

import (
	"context"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/provenance"
)

// A reusing is a question to a model that another run of the session may have asked in the same words.
type reusing struct {
	*modelAsk
	reuse loop.Reuse
}

// perform gives the answer that another run has, or will have in a moment, and else asks the model. Failures are not
// kept, nor is what MayServe excludes.
func (q *reusing) perform(ctx context.Context) answer {
	key, ok := q.reuse.Key()
	if !ok {
		return q.modelAsk.perform(ctx)
	}
	source, lead, err := q.runs.reuse.Claim(ctx, key)
	if err != nil { // nobody waits for the answer
		return answer{}
	}
	if lead == nil {
		if mc := source.Read(ctx, q.runs.cfg.Store); mc != nil {
			return answer{ev: &provenance.Reply{Of: q.ref, Model: mc, From: &source.From}, said: true}
		}
		q.runs.reuse.Forget(key, source)
		return q.modelAsk.perform(ctx)
	}
	led := false
	defer func() {
		if !led {
			lead.Drop()
		}
	}()
	ans := q.modelAsk.perform(ctx)
	if r, ok := ans.ev.(*provenance.Reply); ok && r.Model != nil && q.reuse.MayServe(r.Model) {
		ans.lead, ans.after, led = lead, lead.Drop, true
	}
	return ans
}
